"""Systems on a chip: agreement with recorded runs of FARSI, what its defects amount to, speed, and searches.

    OMP_NUM_THREADS=1 python benchmarks/hardware_soc.py

Needs the data sets ``archgym/farsi/...`` and ``archgym/reference/farsi_reference.json`` (see ``designopt data``). CPU
seconds of one thread. Writes docs/benchmarks/hardware_soc.md and its .json of numbers.
"""

# ruff: noqa: E501 - sentences and table heads of the page

import json
import os
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np

import designopt as do
from designopt import data
from designopt.envs.hardware.soc import simulate
from designopt.envs.hardware.soc.workload import workload_of
from designopt.provenance import versions

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks" / "hardware_soc.md"
DESIGNS = 20_000
REAL_TOOL = {"whole": (0.1, 0.2), "simulation": (0.005, 0.025)}
"""Seconds of FARSI for one design: with its library and graphs, and of the simulation proper; recorded with the runs."""
SEARCHES = ("farsi", "ga", "local", "aco", "random")
BUDGET, SEEDS = 500, 5


def recorded():
    """The recorded runs and their workloads."""
    reference = json.loads(data.find("archgym/reference/farsi_reference.json").read_text())
    return reference["runs"], reference["workloads"]


def agreement():
    """Largest relative difference by workload and quantity."""
    runs, workloads = recorded()
    rows = {}
    for run in runs:
        known, ours = run["result"], simulate(run, workloads[run["workload"]], model="farsi")
        pairs = {
            "latency": [(ours.latency, known["latency_s"])],
            "task ends": [(ours.task_end_times[t], v["end_s"]) for t, v in known["tasks"].items()],
            "PE energy": [(ours.energy_pe, known["energy_by_type_J"]["pe"])],
            "energy": [(ours.energy, known["energy_J"])],
            "power": [(ours.power, known["power_W"])],
            "area": [(ours.area, known["area_m2"])],
            "peak bytes": [(ours.mem_peak_bytes[m], v) for m, v in known["mem_peak_bytes"].items()],
        }
        row = rows.setdefault(run["workload"], {"designs": 0} | dict.fromkeys(pairs, 0.0))
        row["designs"] += 1
        for name, values in pairs.items():
            worst = max(abs(a - b) / abs(b) if b else abs(a) for a, b in values)
            row[name] = max(row[name], worst)
    return rows


def defects():
    """What FARSI's rules change on the recorded designs, against the rule that the corrected model has in its place."""
    runs, workloads = recorded()
    farsi, fifo, true = [], [], []
    for run in runs:
        workload = workloads[run["workload"]]
        farsi.append(simulate(run, workload, model="farsi"))
        fifo.append(simulate(run, workload, model="farsi", fifo=True))
        true.append(simulate(run, workload, model="corrected"))
    order = np.array([b.latency / a.latency for a, b in zip(farsi, fifo, strict=True)])
    rules = np.array([b.latency / a.latency for a, b in zip(farsi, true, strict=True)])
    held = np.array(
        [sum(a.mem_peak_bytes.values()) / sum(b.mem_peak_bytes.values()) for a, b in zip(farsi, true, strict=True)]
    )
    buses = [[name for name, block in run["blocks"].items() if block["type"] == "ic"] for run in runs]
    counted = np.array([
        sum(a.work_by_block[b] for b in names) / sum(c.work_by_block[b] for b in names)
        for a, c, names in zip(farsi, true, buses, strict=True)
    ])  # fmt: skip
    one = next(i for i, run in enumerate(runs) if run["id"] == "edge_detection-A53-narrow")
    accelerators = {
        run["id"].removeprefix("edge_detection-"): [
            a.latency,
            a.energy_pe,
            b.energy_pe,
            1e6 * sum(a.area_by_block[p] for p in run["blocks"] if p.startswith("ip")),
        ]
        for run, a, b in zip(runs, farsi, true, strict=True)
        if run["id"].startswith("edge_detection-ip")
    }
    density = {}
    for name in ("edge_detection", "cava", "audio"):
        graph = workload_of(name)
        ratio = (graph.ip_energy / (graph.ip_area_m2 * 1e12))[graph.real]
        density[name] = [float(ratio.min()), float(np.median(ratio)), float(ratio.max())]
    valid = {}
    for name in ("edge_detection", "cava", "audio"):
        env = do.make("designopt/SoC-v0", workload=name)
        wrong = env.coding.violations(env.design_space.sample(DESIGNS, 0))
        valid[name] = float((wrong == 0).all(axis=1).mean())
    return {
        "designs": len(runs),
        "order changed": int((np.abs(order - 1) > 1e-9).sum()), "order worst": float(np.abs(order - 1).max()),
        "rules changed": int((np.abs(rules - 1) > 1e-9).sum()), "rules worst": float(np.abs(rules - 1).max()),
        "held more": int((held > 1 + 1e-9).sum()), "held median": float(np.median(held)), "held worst": float(held.max()),
        "bus counted twice": int((counted > 1 + 1e-9).sum()), "bus worst": float(counted.max()),
        "accelerators": accelerators,
        "A53": {
            "farsi": [farsi[one].energy, farsi[one].energy_pe, farsi[one].power, farsi[one].area],
            "corrected": [true[one].energy, true[one].energy_pe, true[one].power, true[one].area],
        },
        "density": density, "valid": valid,
    }  # fmt: skip


def speed():
    """Designs per CPU second of ``evaluate``, best of three: valid ones, and uniform ones that are repaired first."""
    rows = []
    for workload in ("stereo_depth", "edge_detection", "cava", "audio"):
        for model in ("farsi", "corrected"):
            env = do.make("designopt/SoC-v0", workload=workload, model=model)
            designs = env.sample_feasible(DESIGNS, 0)
            uniform = env.design_space.sample(DESIGNS, 1)
            env.evaluate(designs[:10])
            seconds = [min(_cpu(lambda d=d: env.evaluate(d)) for _ in range(3)) for d in (designs, uniform)]  # noqa: B023
            rows.append({
                "workload": workload, "model": model, "tasks": len(env.graph), "parameters": env.design_space.dim,
                "valid": DESIGNS / seconds[0], "uniform": DESIGNS / seconds[1],
            })  # fmt: skip
    return rows


def _cpu(work):
    start = time.process_time()
    work()
    return time.process_time() - start


def searches():
    """Best energy within the budgets, by workload, search and seed; None: no design met them."""
    rows = {}
    for workload in ("stereo_depth", "edge_detection", "cava", "audio"):
        for search in SEARCHES:
            # What knows nothing of blocks gets every design repaired, or it would find no valid one.
            env = do.make("designopt/SoC-v0", workload=workload, goal="energy", repair=search != "farsi")
            found = [do.optimize(env, search=search, budget=BUDGET, seed=seed) for seed in range(SEEDS)]
            rows[f"{workload} {search}"] = [r.best_value if r.best is not None else None for r in found]
    return rows


def write(numbers):
    """The page from the numbers."""
    low, high = REAL_TOOL["simulation"]
    d = numbers["defects"]
    lines = [
        "# Systems on a chip", "",
        "`designopt/SoC-v0` against 86 recorded runs of FARSI's simulator (commit ce59c968, CACTI off). One thread, CPU seconds.", "",
        "Command: `OMP_NUM_THREADS=1 python benchmarks/hardware_soc.py`. Versions: "
        + ", ".join(f"{k} {v}" for k, v in numbers["versions"].items()) + ".", "",
        "## Agreement", "",
        'Largest relative difference of `simulate(..., model="farsi")`; the bar is 1e-9.', "",
        "| workload | designs | " + " | ".join(k for k in next(iter(numbers["agreement"].values())) if k != "designs") + " |",
        "|---" * 9 + "|",
    ]  # fmt: skip
    for workload, row in numbers["agreement"].items():
        lines.append(
            f"| {workload} | " + " | ".join(f"{v:.0e}" if isinstance(v, float) else str(v) for v in row.values()) + " |"
        )
    lines += [
        "", "## Speed", "",
        f"`evaluate` on {DESIGNS:,} designs, best of three; target: 10,000 designs a second on edge_detection. FARSI takes "
        f"{REAL_TOOL['whole'][0]} to {REAL_TOOL['whole'][1]} s a design with its library and graphs, of which the simulation proper "
        f"{1000 * low:.0f} to {1000 * high:.0f} ms; the last column is beside the latter. Load average of the machine at the time: {numbers['load']:.0f}.", "",
        "| workload | tasks | parameters | model | valid designs/s | uniform, repaired, designs/s | over FARSI's simulation |",
        "|---" * 7 + "|",
    ]  # fmt: skip
    for r in numbers["speed"]:
        lines.append(
            f"| {r['workload']} | {r['tasks']} | {r['parameters']} | {r['model']} | {r['valid']:,.0f} | {r['uniform']:,.0f} "
            f"| {r['valid'] * low:,.0f}x to {r['valid'] * high:,.0f}x |"
        )
    lines += ["", "## What FARSI's rules change", "", f"On the {d['designs']} recorded designs.", ""]
    a53 = d["A53"]
    lines += [
        f"* New tasks overtake waiting ones: first come first served changes the latency of {d['order changed']} designs, by up to {d['order worst']:.0%}.",
        f"* All corrected rules together change the latency of {d['rules changed']} designs, by up to {d['rules worst']:.0%}.",
        f"* Memory is kept that nobody needs: {d['held more']} designs hold too much, in the median {d['held median']:.2f} times as much, at most {d['held worst']:.2f} times.",
        f"* A bus counts what crosses it once for every pipe that leaves it: too much in {d['bus counted twice']} designs, at most {d['bus worst']:.2f} times.",
        "* Six accelerators of edge_detection (u: unrolling, f: clock over 100 MHz): latency, energy of the processors in FARSI, corrected, their area: "
        + "; ".join(f"{k} {v[0]:.3g} s, {v[1]:.3g} J, {v[2]:.3g} J, {v[3]:.3g} mm2" for k, v in d["accelerators"].items()) + ".",
        f"* edge_detection on one A53 costs {a53['farsi'][0]:.3g} J, of which the core {a53['farsi'][1]:.3g} J, on {a53['farsi'][3]:.3g} m2; corrected "
        f"{a53['corrected'][0]:.3g} J, the core with its leakage {a53['corrected'][1]:.3g} J, {a53['corrected'][2]:.3g} W, {a53['corrected'][3] * 1e6:.3g} mm2.",
        "* The energy table over the area table (least, median, largest over tasks): "
        + "; ".join(f"{k} {v[0]:.3g}, {v[1]:.3g}, {v[2]:.3g}" for k, v in d["density"].items()) + ".",
        "* Uniform designs that are valid: " + ", ".join(f"{k} {v:.2%}" for k, v in d["valid"].items()) + ".",
        "", "## Searches", "",
        f"Least energy (mJ) within the budgets of latency, power and area (corrected model) after {BUDGET} evaluations, seeds 0 to {SEEDS - 1}: median, "
        "and in how many seeds the budgets were met. All but `farsi` search with `repair=True`.", "",
        "| workload | " + " | ".join(SEARCHES) + " |", "|---" * (len(SEARCHES) + 1) + "|",
    ]  # fmt: skip
    for workload in dict.fromkeys(key.split()[0] for key in numbers["searches"]):
        cells = []
        for search in SEARCHES:
            values = numbers["searches"][f"{workload} {search}"]
            met = [v for v in values if v is not None]
            median = float(np.median([np.inf if v is None else v for v in values]))
            cells.append((f"{1e3 * median:.3g}" if np.isfinite(median) else "-") + f" ({len(met)}/{len(values)})")
        lines.append(f"| {workload} | " + " | ".join(cells) + " |")
    PAGE.write_text("\n".join(lines) + "\n")


def main():
    """Measure everything, keep the numbers, and write the page."""
    numbers = {
        "versions": {name: versions()[name] for name in ("python", "numpy")} | {"numba": version("numba")},
        "agreement": agreement(), "defects": defects(), "speed": speed(), "load": os.getloadavg()[0],
        "searches": searches(),
    }  # fmt: skip
    PAGE.with_suffix(".json").write_text(json.dumps(numbers, indent=1) + "\n")
    write(numbers)


if __name__ == "__main__":
    main()
