"""The accelerator beside ZigZag: words and energy of its reference runs, and speed.

    OMP_NUM_THREADS=1 DESIGNOPT_DATA=FOLDER python benchmarks/hardware_accelerator.py

Writes docs/benchmarks/hardware_accelerator.md and the parity plot of docs/environments/accelerator.md.
"""

import csv
import time
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from designopt import data
from designopt.envs.hardware.accelerator.env import BASELINE, DNNAccelerator
from designopt.envs.hardware.accelerator.fixed_mapping import DIMENSIONS, analyse
from designopt.provenance import versions

DOCS = Path(__file__).parents[1] / "docs"
NETWORKS = ("alexnet", "resnet18", "vgg16", "mobilenet_v2", "resnet50")


def parity():
    """-> (runs, equal and all word counts, equal energies, our seconds), and the picture."""
    with data.find("archgym/reference/zigzag_fixedmap_reference.csv").open(newline="") as file:
        runs = list(csv.DictReader(file))
    figure, (left, right) = plt.subplots(1, 2, figsize=(8.5, 3.6), layout="constrained")
    equal = total = energies = 0
    seconds = 0.0
    for run in runs:
        layer = {name: int(run[name]) for name in (*DIMENSIONS, "stride")}
        started = time.process_time()
        found = analyse(layer, run["spatial"], {operand: run[f"alloc_{operand}"] for operand in "WIO"})
        seconds += time.process_time() - started
        for operand, colour in zip("WIO", ("C0", "C1", "C2"), strict=True):
            for level, t in enumerate(found.words[operand]):
                theirs = [int(word) for word in run[f"{operand}{level}_words"].split("/")]
                ours = [t.read_up, t.write_from_above, t.read_down, t.write_from_below]
                equal += sum(a == b for a, b in zip(theirs, ours, strict=True))
                total += 4
                left.loglog(theirs, ours, "o", color=colour, mfc="none", ms=4)
        energies += abs(found.energy_total / float(run["energy_total"]) - 1) < 1e-12
        right.loglog(float(run["energy_total"]), found.energy_total, "s", color="C3", mfc="none", ms=4)
    for panel, title in ((left, "words of every memory and direction"), (right, "energy, pJ")):
        ends = np.array(panel.get_xlim())
        panel.loglog(ends, ends, color="0.7", zorder=0)
        panel.set(title=title, xlabel="ZigZag 3.9.1", ylabel="fixed mapping")
    for name, colour in (("weights", "C0"), ("input maps", "C1"), ("output maps", "C2")):
        left.plot([], [], "o", color=colour, mfc="none", label=name)
    left.legend(frameon=False)
    figure.savefig(DOCS / "environments" / "accelerator.png", dpi=110)
    return len(runs), equal, total, energies, seconds


def speeds():
    lines = ["| network | layers | designs/s | feasible |", "|---" * 4 + "|"]
    for network in NETWORKS:
        env = DNNAccelerator(network)
        designs = env.design_space.sample(2000 if network == "alexnet" else 500, seed=0)
        env.evaluate(designs[:10])
        used = []
        for _ in range(3):
            started = time.process_time()
            evaluation = env.evaluate(designs)
            used.append(time.process_time() - started)
        rate = len(designs) / min(used)
        lines.append(f"| {network} | {len(env.names)} | {rate:,.0f} | {evaluation.feasible.mean():.0%} |")
        print(lines[-1], flush=True)
    return lines


def eyeriss():
    env = DNNAccelerator(goal="pareto")
    evaluation = env.evaluate(env.design_space.encode([BASELINE]))
    latency, energy, area = evaluation.objectives[0]
    return latency, energy, area, float(evaluation.metrics["utilization"][0])


def main():
    runs, equal, total, energies, seconds = parity()
    with data.find("archgym/reference/zigzag_reference.csv").open(newline="") as file:
        searches = [float(run["wall_s"]) for run in csv.DictReader(file)]
    speed = speeds()
    latency, energy, area, used = eyeriss()
    library = ", ".join(f"{k} {v}" for k, v in versions().items() if k in ("python", "numpy", "numba"))
    (DOCS / "benchmarks" / "hardware_accelerator.md").write_text(
        "\n".join(
            [
                "# DNN accelerator",
                "",
                f"Beside ZigZag 3.9.1 with a given mapping: {equal} of {total} word counts and {energies} of {runs} "
                f"energies of its reference runs are equal; ours take {seconds / runs * 1000:.2f} ms each.",
                "",
                "## Speed",
                "",
                "Random designs in one call, every layer with its best mapping; processor time of one core, best of "
                "three, compilation left out.",
                "",
                *speed,
                "",
                f"ZigZag searching the mapping of one layer took {min(searches):.1f} to {max(searches):.1f} s of wall "
                f"time, median {np.median(searches):.1f} s, in its {len(searches)} reference runs (other templates, "
                "effort 5, a loaded two-core machine): a design of five layers is about a minute. It searches more "
                "mappings than our family has, so this compares cost, not results.",
                "",
                "## Eyeriss on AlexNet's five layers",
                "",
                f"{latency:,.0f} cycles, {energy:,.0f} uJ, {area:.2f} mm2, {used:.0%} of the elements at work. "
                "ArchGym's baseline, from Timeloop and Accelergy with tables of other technology: 7,885,704 cycles, "
                "29,206, 2.03 mm2. They are not fitted to each other.",
                "",
                f"Command: `OMP_NUM_THREADS=1 python benchmarks/hardware_accelerator.py`. Versions: {library}.",
                "",
            ]
        )
    )


if __name__ == "__main__":
    main()
