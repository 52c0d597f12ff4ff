"""The memory controller: agreement with recorded runs of DRAMSys, speed beside it, and true optima.

    OMP_NUM_THREADS=1 python benchmarks/hardware.py                   # agreement and speed: table and picture
    OMP_NUM_THREADS=1 python benchmarks/hardware.py --enumerate chstone-aes   # every design; resumes where it stopped

Needs the data sets ``archgym/...`` (see ``designopt data``). CPU seconds of one thread; compilation is cached by
numba and measured apart. Writes docs/benchmarks/hardware_dram.md, its .json of numbers, and docs/environments/dram.png.
"""

# ruff: noqa: E501 - sentences and table heads of the page

import argparse
import csv
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np

import designopt as do
from designopt import data
from designopt.envs.hardware.dram.env import canonical, dram_space
from designopt.provenance import versions

DOCS = Path(__file__).parents[1] / "docs"
NUMBERS = DOCS / "benchmarks" / "hardware_dram.json"
DESIGNS = 150
REAL_TOOL = (0.10, 0.25)
"""Seconds of one DRAMSys run of 10,000 requests on a two-core machine, recorded with its results."""
SETS = {"reads": "dramsys_reference.csv", "writes and idle gaps": "dramsys_mixed_reference.csv"}
COMPILE = """
import time, designopt as do
env = do.make("designopt/DRAMController-v0", requests=10)
designs = env.design_space.sample(1, 0)
start, cpu = time.perf_counter(), time.process_time()
env.evaluate(designs)
print(time.perf_counter() - start, time.process_time() - cpu)
"""


def recorded(file):
    """-> (memory, trace, clock), its designs (n, 10), and {column: (n,)} of the recorded runs."""
    space = dram_space()
    groups = {}
    with data.find(f"archgym/reference/{file}").open() as lines:
        for line in csv.DictReader(lines):
            design = [
                p.choices.index(line[name]) if hasattr(p, "choices") else int(line[name])
                for name, p in space.parameters.items()
            ]
            values = {"time_ns": line["total_time_ns"], "energy_pj": line["energy_pJ"]}
            key = line["memory"], line["trace"], float(line["trace_clk_mhz"])
            groups.setdefault(key, []).append((design, [float(v or "nan") for v in values.values()]))
    for key, rows in groups.items():
        designs, values = np.array([d for d, _ in rows]), np.array([v for _, v in rows])
        yield key, designs, {"time_ns": values[:, 0], "energy_pj": values[:, 1]}


def agreement():
    """Rows of the table, and recorded against computed values for the picture."""
    rows, pairs = [], {"time_ns": [], "energy_pj": []}
    for label, file in SETS.items():
        for (memory, trace, clock), designs, real in recorded(file):
            folder = "traces_mixed" if trace.startswith("syn") else "traces"
            env = do.make(
                "designopt/DRAMController-v0", memory=memory, trace_clock_mhz=clock, wrap_addresses=True,
                workload=str(data.find(f"archgym/dram/{folder}/{trace}")),
            )  # fmt: skip
            ours = env.outcome(designs)
            row = {"set": label, "memory": memory, "trace": trace.removesuffix(".stl"), "runs": len(designs)}
            for name, tolerance in (("time_ns", 0.001), ("energy_pj", 1.0)):
                known = np.isfinite(real[name])
                error = np.abs(ours[name] - real[name])[known]
                relative = (error / real[name][known]).max() if known.any() else None
                row |= {f"{name} rows": int(known.sum()), f"{name} exact": int((error <= tolerance).sum())}
                row[f"{name} worst"] = relative
                pairs[name].append((f"{memory} {row['trace']}", real[name][known], ours[name][known]))
            rows.append(row)
    return rows, pairs


def speed():
    """Designs per CPU second on 10,000 requests, uniform designs: best of three, without and with canonical memory."""
    rows = []
    for workload in ("stream", "cloud-1", "random"):
        designs = dram_space("full").sample(DESIGNS, 0).astype(np.int64)
        env = do.make("designopt/DRAMController-v0", workload=workload, memoise=False)
        env.simulate(designs[:1])
        plain = min(_cpu(lambda: env.simulate(designs)) for _ in range(3))  # noqa: B023
        many = dram_space("rl").sample(20 * DESIGNS, 1)
        cached = do.make("designopt/DRAMController-v0", workload=workload, ranges="rl")
        simulated = len(np.unique(canonical(many.astype(np.int64), read_only=True), axis=0))
        memoised = _cpu(lambda: cached.evaluate(many))  # noqa: B023
        again = _cpu(lambda: cached.evaluate(many))  # noqa: B023
        rows.append(
            {
                "trace": workload, "plain": DESIGNS / plain, "asked": len(many), "distinct": simulated,
                "canonical": len(many) / memoised, "known": len(many) / again,
            }
        )  # fmt: skip
    return rows


def _cpu(work):
    start = time.process_time()
    work()
    return time.process_time() - start


def first_call():
    """Wall and CPU seconds of the first evaluation in a fresh process: without and with numba's cache on disk."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(2):
            run = subprocess.run(
                [sys.executable, "-c", COMPILE], env=os.environ | {"NUMBA_CACHE_DIR": folder}, capture_output=True,
                text=True, check=True,
            )  # fmt: skip
            found.append([float(value) for value in run.stdout.split()])
    return {"compile": found[0], "cached": found[1]}


def enumerate_designs(workload, folder, chunk=2000):
    """Simulate every canonical design of the lists for reinforcement learning; a stopped run goes on where it was."""
    space = dram_space("rl")
    lists = [getattr(p, "values", None) or range(len(p.choices)) for p in space.parameters.values()]
    env = do.make("designopt/DRAMController-v0", workload=workload, ranges="rl", memoise=False)
    every = np.array(list(itertools.product(*lists)), dtype=np.int64)
    distinct = np.unique(canonical(every, read_only=not env.trace.writes.any()), axis=0)
    folder.mkdir(parents=True, exist_ok=True)
    outcomes = []
    for start in range(0, len(distinct), chunk):
        part = folder / f"{workload}-{start:06d}.npy"
        if not part.exists():
            outcome = env.outcome(distinct[start : start + chunk])
            unfinished = part.with_suffix(".tmp.npy")
            np.save(unfinished, np.stack([outcome["time_ns"], outcome["energy_pj"], outcome["power_mw"]], axis=1))
            unfinished.rename(part)
            print(f"{min(start + chunk, len(distinct))} of {len(distinct)} designs", file=sys.stderr)
        outcomes.append(np.load(part, allow_pickle=False))
    time_ns, energy_pj, power_mw = np.concatenate(outcomes).T
    goals = {"latency": time_ns, "energy": energy_pj, "power": power_mw, "edp": energy_pj * time_ns}
    space_designs = distinct.astype(float)
    return {
        "workload": workload, "requests": len(env.trace), "designs": len(every), "canonical": len(distinct),
        "outcomes": len(np.unique(np.stack([time_ns, energy_pj], axis=1), axis=0)),
        "optima": {
            goal: {
                "value": float(values.min()), "designs": int((values == values.min()).sum()),
                "median": float(np.median(values)), "one": space.decode(space_designs[[values.argmin()]])[0],
            }
            for goal, values in goals.items()
        },
    }  # fmt: skip


def draw(pairs):
    """Parity of every recorded run, and what remains between both."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(1, 2, figsize=(11, 4.9), layout="constrained")
    names = list(dict.fromkeys(name for values in pairs.values() for name, *_ in values))
    colours = dict(zip(names, plt.get_cmap("tab20").colors, strict=False))
    for axes, (metric, unit, scale) in zip(panels, [("time_ns", "µs", 1e3), ("energy_pj", "µJ", 1e6)], strict=True):
        worst = 0.0
        for name, real, ours in pairs[metric]:
            if len(real) == 0:
                continue
            worst = max(worst, np.abs(ours / real - 1).max())
            axes.loglog(
                real / scale, ours / scale, "o", ms=5, mfc="none", mew=1.1, color=colours[name],
                label=f"{name} ({len(real)})",
            )  # fmt: skip
        low, high = axes.get_xlim()
        axes.plot([low, high], [low, high], color="#9aa5b1", lw=0.8, zorder=0)
        title = "Time to the last response" if metric == "time_ns" else "Energy"
        axes.set_title(f"{title}: largest difference {worst:.1e}", loc="left", fontsize=11)
        axes.set_xlabel(f"DRAMSys ({unit})")
        axes.set_ylabel(f"designopt ({unit})")
        axes.legend(fontsize=8, frameon=False, loc="upper left")
    figure.savefig(DOCS / "environments" / "dram.png", dpi=110)


def write(numbers):
    """The page from the numbers; parts that were not run yet are left out."""
    lines = [
        "# The memory controller", "",
        "Recorded runs of DRAMSys 4.0 against `designopt/DRAMController-v0`, and its speed. One thread, CPU seconds.", "",
        "Command: `OMP_NUM_THREADS=1 python benchmarks/hardware.py`. Versions: "
        + ", ".join(f"{k} {v}" for k, v in numbers["versions"].items()) + ".", "",
    ]  # fmt: skip
    if "agreement" in numbers:
        lines += [
            "## Agreement", "",
            "Exact: time within 0.001 ns, energy within 1 pJ. Worst: largest relative difference.", "",
            "| runs with | memory | trace | times exact | worst | energies exact | worst |", "|---|---|---|---|---|---|---|",
        ]  # fmt: skip
        for r in numbers["agreement"]:
            cells = []
            for name in ("time_ns", "energy_pj"):
                known = r[f"{name} rows"]
                worst = r[f"{name} worst"]
                cells += [f"{r[f'{name} exact']} / {known}", f"{worst:.1e}" if worst else "0"] if known else ["-", "-"]
            lines.append(f"| {r['set']} | {r['memory']} | {r['trace']} | " + " | ".join(cells) + " |")
        for name, text in (("time_ns", "times"), ("energy_pj", "energies")):
            for label in SETS:
                mine = [r for r in numbers["agreement"] if r["set"] == label]
                exact, known = (sum(r[f"{name} {what}"] for r in mine) for what in ("exact", "rows"))
                lines += ["", f"{label.capitalize()}, {text}: **{exact} of {known}** exact."]
        lines.append("")
    if "speed" in numbers:
        low, high = REAL_TOOL
        call = numbers["first call"]
        lines += [
            "## Speed", "",
            f"10,000 requests. Plain: {DESIGNS} uniform designs of the full ranges, each simulated, best of three. Canonical: "
            "uniform designs of the lists for reinforcement learning, of which only distinct canonical ones are simulated. "
            "Known: the same designs asked again.", "",
            f"A DRAMSys run took {low:.2f} to {high:.2f} s on a two-core machine ({1 / high:.0f} to {1 / low:.0f} a second).", "",
            "| trace | plain, designs/s | over DRAMSys | canonical, designs/s | asked | simulated | known, designs/s |",
            "|---|---|---|---|---|---|---|",
        ]  # fmt: skip
        for r in numbers["speed"]:
            lines.append(
                f"| {r['trace']} | {r['plain']:.0f} | {r['plain'] * low:.0f}x to {r['plain'] * high:.0f}x "
                f"| {r['canonical']:.0f} | {r['asked']} | {r['distinct']} | {r['known']:.0f} |"
            )
        lines += [
            "",
            f"First call in a fresh process: {call['compile'][1]:.1f} CPU s ({call['compile'][0]:.1f} s wall) with compilation, "
            f"{call['cached'][1]:.2f} CPU s from numba's cache on disk. Load average of the machine at the time: "
            f"{numbers['load']:.0f}.", "",
        ]  # fmt: skip
    for entry in numbers.get("enumerated", {}).values():
        lines += [
            f"## True optima: {entry['workload']}", "",
            f"All {entry['designs']:,} designs of the lists for reinforcement learning on {entry['requests']:,} requests: "
            f"{entry['canonical']:,} canonical designs, {entry['outcomes']:,} distinct pairs of time and energy.", "",
            "| goal | optimum | median design | canonical designs that attain it | one of them |", "|---|---|---|---|---|",
        ]  # fmt: skip
        for goal, best in entry["optima"].items():
            one = ", ".join(f"{value:g}" if isinstance(value, float) else str(value) for value in best["one"].values())
            lines.append(f"| {goal} | {best['value']:.9g} | {best['median']:.6g} | {best['designs']} | {one} |")
        lines.append("")
    (DOCS / "benchmarks" / "hardware_dram.md").write_text("\n".join(lines))


def main():
    """Run what is asked for, keep its numbers, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--enumerate", metavar="WORKLOAD", help="simulate every design on this workload")
    parser.add_argument(
        "--folder", type=Path, default=Path("enumerated"), help="where parts of an enumeration are kept"
    )
    arguments = parser.parse_args()
    numbers = json.loads(NUMBERS.read_text()) if NUMBERS.exists() else {}
    numbers["versions"] = {name: versions()[name] for name in ("python", "numpy")} | {"numba": version("numba")}
    if arguments.enumerate:
        found = enumerate_designs(arguments.enumerate, arguments.folder)
        numbers["enumerated"] = numbers.get("enumerated", {}) | {arguments.enumerate: found}
    else:
        numbers["agreement"], pairs = agreement()
        draw(pairs)
        numbers |= {"speed": speed(), "first call": first_call(), "load": os.getloadavg()[0]}
    NUMBERS.write_text(json.dumps(numbers, indent=1) + "\n")
    write(numbers)


if __name__ == "__main__":
    main()
