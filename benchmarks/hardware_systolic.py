"""The systolic array beside SCALE-Sim: counts of its reference runs, speed, and searches against the true optimum.

    OMP_NUM_THREADS=1 DESIGNOPT_DATA=FOLDER python benchmarks/hardware_systolic.py

Writes docs/benchmarks/hardware_systolic.md, its picture, and the parity plot of docs/environments/systolic.md.
"""

import csv
import time
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import NullFormatter

import designopt as do
from designopt import data
from designopt.envs.hardware.enumeration import optimum
from designopt.envs.hardware.layers import COLUMNS, NETWORKS
from designopt.envs.hardware.systolic import SystolicArray
from designopt.provenance import versions

DOCS = Path(__file__).parents[1] / "docs"
TOOL = {
    "cycles": "Total Cycles",
    "ifmap_sram_reads": "SRAM IFMAP Reads",
    "filter_sram_reads": "SRAM Filter Reads",
    "ofmap_sram_writes": "SRAM OFMAP Writes",
}
BACKENDS = ("random", "local", "ga", "aco", "tpe", "ppo")
BUDGET, SEEDS = 300, 5


def parity():
    """-> (runs, seconds of the tool, ours): numbers of both on every reference run, and the picture."""
    with data.find("archgym/reference/scalesim_reference.csv").open(newline="") as file:
        runs = list(csv.DictReader(file))
    figure, axes = plt.subplots(1, 4, figsize=(11, 3), layout="constrained")
    equal, seconds = 0, 0.0
    marks = {"ws": "o", "os": "s", "is": "^"}
    for run in runs:
        env = SystolicArray(layers=[{column: run[column] for column in COLUMNS}])
        design = [int(run["array_h"]), int(run["array_w"]), list(marks).index(run["dataflow"]), 64, 64, 64, 64]
        started = time.process_time()
        metrics = env.evaluate(np.array([design], dtype=float)).metrics
        seconds += time.process_time() - started
        for (name, column), panel in zip(TOOL.items(), axes, strict=True):
            equal += int(run[column]) == metrics[name][0]
            panel.loglog(int(run[column]), metrics[name][0], marks[run["dataflow"]], color="C0", mfc="none")
    for name, panel in zip(TOOL, axes, strict=True):
        ends = np.array(panel.get_xlim())
        panel.loglog(ends, ends, color="0.7", zorder=0)
        panel.set(title=name, xlabel="SCALE-Sim 2.0.2")
        for axis in (panel.xaxis, panel.yaxis):
            axis.set_minor_formatter(NullFormatter())
    axes[0].set_ylabel("closed form")
    for flow, mark in marks.items():
        axes[0].plot([], [], mark, color="C0", mfc="none", label=flow)
    axes[0].legend(frameon=False)
    figure.savefig(DOCS / "environments" / "systolic.png", dpi=110)
    return len(runs), equal, sum(float(run["wall_s"]) for run in runs), seconds


def speeds():
    lines = ["| network | layers | distinct | designs/s | designs/s per layer | enumeration of 551 124 designs, s |"]
    lines.append("|---" * 6 + "|")
    for network in NETWORKS:
        env = SystolicArray(network)
        designs = env.design_space.sample(100_000, seed=0)
        env.evaluate(designs[:1000])
        used = []
        for _ in range(3):
            started = time.process_time()
            env.evaluate(designs)
            used.append(time.process_time() - started)
        rate, distinct = len(designs) / min(used), len(env.layers.distinct)
        started = time.process_time()
        found = optimum(env)
        took = time.process_time() - started
        assert found == env.reference
        lines.append(
            f"| {network} | {len(env.layers)} | {distinct} | {rate:,.0f} | {rate * distinct:,.0f} | {took:.1f} |"
        )
        print(lines[-1], flush=True)
    return lines


def regret():
    figure, axes = plt.subplots(1, 3, figsize=(11, 3.2), layout="constrained", sharey=True)
    lines = [f"| goal | {' | '.join(BACKENDS)} |", "|---" * (len(BACKENDS) + 1) + "|"]
    for goal, panel in zip(("latency", "energy", "edp"), axes, strict=True):
        env = SystolicArray("resnet18", goal)
        cells = []
        for name in BACKENDS:
            curves = []
            for seed in range(SEEDS):
                result = do.optimize(env, search=name, budget=BUDGET, seed=seed)
                losses = np.where(result.evaluation.feasible, result.evaluation.objectives[:, 0], np.inf)
                curves.append(np.minimum.accumulate(losses)[:BUDGET] / env.reference.value)
            median = np.median(curves, axis=0)
            panel.loglog(np.arange(1, len(median) + 1), np.maximum(median - 1, 1e-4), label=name)
            cells.append(f"{median[-1]:.3f} ({sum(curve[-1] <= 1 + 1e-9 for curve in curves)})")
        lines.append(f"| {goal} | {' | '.join(cells)} |")
        print(lines[-1], flush=True)
        panel.set(title=f"resnet18, {goal}", xlabel="evaluations")
    axes[0].set_ylabel("regret, relative to the true optimum")
    axes[-1].legend(frameon=False, fontsize=8)
    figure.savefig(DOCS / "benchmarks" / "hardware_systolic.png", dpi=110)
    return lines


def main():
    runs, equal, tool, ours = parity()
    print(runs, equal, tool, ours)
    speed = speeds()
    searches = regret()
    used = ", ".join(f"{k} {v}" for k, v in versions().items() if k in ("python", "numpy", "optuna", "pymoo"))
    (DOCS / "benchmarks" / "hardware_systolic.md").write_text(
        "\n".join(
            [
                "# Systolic array",
                "",
                f"Beside SCALE-Sim 2.0.2: {equal} of {4 * runs} numbers of its {runs} reference runs are equal "
                f"(cycles, three SRAM counts). The tool took {tool:.1f} s of wall time for them on another "
                f"machine; the closed form {ours * 1000:.0f} ms of one core, one design a call.",
                "",
                "## Speed",
                "",
                "100 000 designs in one call, processor time of one core, best of three. Equal layers are computed "
                "once: the fourth number is designs/s times distinct layers. The last column finds the true "
                "optimum.",
                "",
                *speed,
                "",
                "## Searches against the true optimum",
                "",
                f"ResNet-18 within 2 mm2; median over {SEEDS} seeds of the best feasible objective after {BUDGET} "
                "evaluations, in units of the true optimum, default hyper-parameters; in brackets how many seeds found "
                "the optimum.",
                "",
                "![Regret](hardware_systolic.png)",
                "",
                *searches,
                "",
                f"Command: `OMP_NUM_THREADS=1 python benchmarks/hardware_systolic.py`. Versions: {used}.",
                "",
            ]
        )
    )


if __name__ == "__main__":
    main()
