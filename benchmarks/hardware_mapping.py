"""Mappings beside MAESTRO: counts of its reference runs, what it leaves out, speed, and GAMMA beside other searches.

    OMP_NUM_THREADS=1 DESIGNOPT_DATA=FOLDER python benchmarks/hardware_mapping.py

Writes docs/benchmarks/hardware_mapping.md and the picture of docs/environments/mapping.md.
"""

import csv
import time
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

import designopt as do
from designopt import data
from designopt.envs.hardware.mapping import analyse
from designopt.provenance import versions

DOCS = Path(__file__).parents[1] / "docs"
TENSORS = ("input", "filter", "output")
COUNTS = [f"{t}_{level}_{what}" for t in TENSORS for level in ("l1", "l2") for what in ("rd", "wr", "size")]
BACKENDS = ("random", "ga", "aco", "gamma")
BUDGET, SEEDS = 400, 2
TOOL_MS = "5 to 18"


def both(row):
    layer = {name: row[name] for name in ("K", "C", "Y", "X", "R", "S", "stride", "type")}
    rates = {"noc_bw": int(row["noc_bw"]), "offchip_bw": int(row["offchip_bw"])}
    return [analyse(layer, row["mapping"], int(row["num_pes"]), **rates, model=m) for m in ("maestro", "corrected")]


def parity():
    """-> lines about the reference runs, and the picture."""
    with data.find("archgym/reference/maestro_reference.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    found = [both(row) for row in rows]
    names = {"runtime": "runtime_cycles", "macs": "macs_counted"} | {name: name for name in COUNTS}
    equal = sum(
        getattr(ours, a) == int(row[b]) for (ours, _), row in zip(found, rows, strict=True) for a, b in names.items()
    )
    figure, axes = plt.subplots(1, 4, figsize=(11, 3.1), layout="constrained")
    shown = {
        "runtime": "runtime_cycles",
        "input_l2_rd": "input_l2_rd",
        "filter_l2_rd": "filter_l2_rd",
        "output_l2_wr": "output_l2_wr",
    }
    for panel, (name, column) in zip(axes, shown.items(), strict=True):
        tool = [int(row[column]) for row in rows]
        panel.loglog(tool, [getattr(fixed, name) for _, fixed in found], ".", color="C1", ms=4, label="corrected")
        panel.loglog(
            tool, [getattr(ours, name) for ours, _ in found], "o", color="C0", mfc="none", ms=5, label="maestro"
        )
        panel.set(title=name, xlabel="MAESTRO")
    axes[0].set_ylabel("designopt")
    axes[0].legend(frameon=False)
    figure.savefig(DOCS / "environments" / "mapping.png", dpi=110)
    pairs = [(int(row["macs_counted"]), int(row["macs_true"])) for row in rows]
    wrong = [counted / true for counted, true in pairs if counted != true]
    sizes = {"input": lambda r: r["input_l2_wr"], "filter": lambda r: r["filter_l2_wr"]}
    short = {t: sum(int(row[f"{t}_l2_rd"]) < int(size(row)) for row in rows) for t, size in sizes.items()}
    ratio = {t: [getattr(f, f"{t}_l2_rd") / max(getattr(o, f"{t}_l2_rd"), 1) for o, f in found] for t in TENSORS}
    two = [row for row in rows if "|" in row["mapping"]]
    level = [float(row["csv_energy_nJ"]) / 0.00023 / float(row["energy_mac_units"]) for row in two]
    lines = [
        f"{equal} of {len(rows) * len(names)} numbers of {len(rows)} runs are equal (20 a run).",
        "",
        "| in the 150 reference runs | |",
        "|---|---|",
        f"| runs whose MACs are miscounted | {len(wrong)}, by {min(wrong):.2f} to {max(wrong):.2f} |",
        f"| runs that read less of the filters than there is | {short['filter']} |",
        f"| runs that read less of the input than there is | {short['input']} |",
        f"| published L2-only energy over the full sum, two levels | {min(level):.3f} to {max(level):.3f} |",
    ]
    lines += [
        f"| L2 reads of {t}, corrected over MAESTRO: median, largest | {np.median(r):.2f}, {max(r):.0f} |"
        for t, r in ratio.items()
    ]
    return lines


def speeds():
    lines = ["| model | mappings/s on one core | MAESTRO, ms a run |", "|---|---|---|"]
    for model in ("maestro", "corrected"):
        env = do.make("designopt/Mapping-v0", model=model)
        designs = env.design_space.sample(40_000, seed=0)
        env.evaluate(designs[:100])
        used = []
        for _ in range(3):
            started = time.process_time()
            env.evaluate(designs)
            used.append(time.process_time() - started)
        lines.append(f"| {model} | {len(designs) / min(used):,.0f} | {TOOL_MS if model == 'maestro' else '-'} |")
    return lines


def searches():
    lines = [f"| goal | {' | '.join(BACKENDS)} |", "|---" * (len(BACKENDS) + 1) + "|"]
    for goal in ("latency", "edp"):
        env = do.make("designopt/Mapping-v0", goal=goal)
        cells = []
        for name in BACKENDS:
            results = [do.optimize(env, search=name, budget=BUDGET, seed=seed) for seed in range(SEEDS)]
            best = [r.best_value for r in results if r.best is not None]
            cells.append(f"{np.median(best):.3e} ({len(best)})" if best else "none feasible")
        lines.append(f"| {goal} | {' | '.join(cells)} |")
        print(lines[-1], flush=True)
    return lines


def main():
    counts, speed, found = parity(), speeds(), searches()
    used = ", ".join(f"{k} {v}" for k, v in versions().items() if k in ("python", "numpy", "numba", "pymoo"))
    text = [
        "# Mapping: beside MAESTRO, and searches", "",
        "Written by `benchmarks/hardware_mapping.py`; one core.", "",
        "## Counts", "", *counts, "",
        "## Speed", "", *speed, "",
        "Random designs of the default layer, best of three; the tool's time is that of the reference runs.", "",
        "## Searches", "",
        f"Best value after {BUDGET} evaluations, median of {SEEDS} seeds (how many are feasible), default layer,"
        " model corrected, lower is better.", "",
        *found, "", used, "",
    ]  # fmt: skip
    (DOCS / "benchmarks" / "hardware_mapping.md").write_text("\n".join(text))


if __name__ == "__main__":
    main()
