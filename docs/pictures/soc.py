"""The picture of docs/environments/soc.md: parity with recorded runs of FARSI, and a guided search under a deadline.

python docs/pictures/soc.py
"""

import json
from pathlib import Path

import numpy as np

import designopt as do
from designopt import data
from designopt.envs.hardware.soc import simulate

PICTURE = Path(__file__).parents[1] / "environments" / "soc.png"
BLUE, ORANGE, GREEN, PURPLE, GREY = "#2b6cb0", "#dd6b20", "#2f855a", "#805ad5", "#9aa5b1"


def parity(axes):
    """Every recorded run: what FARSI says against what we say."""
    reference = json.loads(data.find("archgym/reference/farsi_reference.json").read_text())
    columns = {"latency (s)": BLUE, "PE energy (J)": ORANGE, "peak power (W)": GREEN, "area (m²)": PURPLE}
    pairs = {name: [] for name in columns}
    for run in reference["runs"]:
        known, ours = run["result"], simulate(run, reference["workloads"][run["workload"]], model="farsi")
        values = (
            (known["latency_s"], ours.latency), (known["energy_by_type_J"]["pe"], ours.energy_pe),
            (known["power_W"], ours.power), (known["area_m2"], ours.area),
        )  # fmt: skip
        for name, pair in zip(columns, values, strict=True):
            pairs[name].append(pair)
    worst = max(np.abs(np.array(p)[:, 1] / np.array(p)[:, 0] - 1).max() for p in pairs.values())
    for name, colour in columns.items():
        real, ours = np.array(pairs[name]).T
        axes.loglog(real, ours, "o", ms=5, mfc="none", mew=1.1, color=colour, label=name)
    limits = axes.get_xlim()
    axes.plot(limits, limits, color=GREY, lw=0.8, zorder=0)
    axes.set_title(
        f"{len(reference['runs'])} recorded designs: largest difference {worst:.0e}", loc="left", fontsize=11
    )
    axes.set_xlabel("FARSI")
    axes.set_ylabel('designopt, model="farsi"')
    axes.legend(fontsize=9, frameon=False, loc="upper left")


def search(axes):
    """Random valid designs, and those that the search guided by bottlenecks looks at."""
    env = do.make("designopt/SoC-v0", workload="edge_detection", goal="energy")
    random = env.evaluate(env.sample_feasible(3000, 0))
    found = do.optimize(env, search="farsi", budget=500, seed=0)
    for evaluation, colour, size, label in (
        (random, GREY, 5, "3000 random valid designs"),
        (found.evaluation, BLUE, 9, "500 designs of the guided search"),
    ):
        axes.scatter(
            evaluation.metrics["latency_s"] * 1e3,
            evaluation.objectives[:, 0] * 1e3,
            s=size,
            c=colour,
            label=label,
            lw=0,
        )
    feasible = found.evaluation.feasible
    axes.scatter(
        found.evaluation.metrics["latency_s"][feasible] * 1e3, found.evaluation.objectives[feasible, 0] * 1e3, s=22,
        facecolors="none", edgecolors=ORANGE, lw=0.8, label=f"within all budgets ({feasible.sum()})",
    )  # fmt: skip
    axes.axvline(34, color=ORANGE, lw=0.9, ls="--")
    axes.annotate("deadline 34 ms", (34, 0.98), xycoords=("data", "axes fraction"), xytext=(4, 0), fontsize=9,
                  textcoords="offset points", color=ORANGE, va="top")  # fmt: skip
    axes.set(xscale="log", yscale="log", xlabel="latency (ms)", ylabel="energy (mJ)")
    axes.set_title('edge_detection, model="corrected"', loc="left", fontsize=11)
    axes.legend(fontsize=9, frameon=False, loc="upper left", bbox_to_anchor=(0.0, 0.93))


def main():
    """Draw both panels."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.9), layout="constrained")
    parity(left)
    search(right)
    figure.savefig(PICTURE, dpi=110)


if __name__ == "__main__":
    main()
