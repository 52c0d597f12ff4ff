"""Draw docs/environments/nas_tabular.png: what NAS-Bench-201 hides from a search, its best cell, its trade-off.

DESIGNOPT_DATA=FOLDER python docs/pictures/nas_tabular.py
"""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import FancyArrowPatch
from scipy.stats import kendalltau

import designopt as do
from designopt.envs.nas import cells
from designopt.metrics import non_dominated

OUTPUT = Path(__file__).parents[1] / "environments" / "nas_tabular.png"
COLOURS = {"none": "0.75", "skip_connect": "C4", "nor_conv_1x1": "C2", "nor_conv_3x3": "C3", "avg_pool_3x3": "C0"}
PLACES = np.array([[0, 0], [1, 0.8], [1, -0.8], [2, 0]])


def columns(panel: plt.Axes, env: do.DesignEnv, every: np.ndarray) -> np.ndarray:
    """What is searched against what judges; -> the design of best truth."""
    searched, truth = env.evaluate(every).objectives[:, 0], env.truth(every)
    tau = kendalltau(searched, truth).statistic
    panel.plot(searched, truth, ".", ms=2, alpha=0.3, color="C0")
    looks, best = searched.argmax(), truth.argmax()
    panel.plot(
        searched[looks], truth[looks], "o", color="C1", label=f"looks best, regret {truth[best] - truth[looks]:.2f}"
    )
    panel.plot(
        searched[best], truth[best], "*", color="C3", ms=11, label=f"is best: {cells.codes_of(every[best, None])[0]}"
    )
    panel.set(xlabel="validation after 12 epochs (%)", ylabel="test after 200 epochs (%)")
    panel.set_title(f"CIFAR-100, 15,625 cells, Kendall tau {tau:.2f}")
    panel.legend(frameon=False, loc="lower right")
    return every[best]


def cell(panel: plt.Axes, env: do.DesignEnv, design: np.ndarray) -> None:
    """Nodes and labelled arrows."""
    operations = env.design_space.decode(design[None])[0].values()
    for (source, target), operation in zip(cells.EDGES, operations, strict=True):
        start, end = PLACES[source], PLACES[target]
        arrow = FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=14, shrinkA=14, shrinkB=14, lw=2)
        arrow.set_color(COLOURS[operation])
        panel.add_patch(arrow)
        share = {(0, 3): 0.25, (1, 2): 0.3}.get((source, target), 0.5)
        place = start + share * (end - start)
        panel.annotate(
            operation, place, ha="center", va="center", fontsize=8, bbox={"fc": "white", "ec": "none", "pad": 1}
        )
    for node, name in enumerate(("in", "1", "2", "out")):
        panel.plot(*PLACES[node], "o", ms=24, mfc="white", mec="0.3")
        panel.annotate(name, PLACES[node], ha="center", va="center")
    panel.set(xlim=(-0.2, 2.2), ylim=(-1.1, 1.1), title="the best of them")
    panel.axis("off")


def trade_off(panel: plt.Axes, every: np.ndarray) -> None:
    """Truth against latency on two devices, with the cells that no other beats in both."""
    env = do.make("designopt/NASBench201-v0", dataset="cifar100")
    truth, latencies = env.truth(every), env.latencies(every)
    for device, colour in (("lat_raspi4", "C2"), ("lat_pixel3", "C4")):
        front = np.flatnonzero(non_dominated(np.column_stack([latencies[device], -truth])))
        front = front[latencies[device][front].argsort()]
        panel.plot(latencies[device], truth, ".", ms=1, alpha=0.1, color=colour)
        label = f"{device[4:]}: {len(front)} not dominated"
        panel.plot(latencies[device][front], truth[front], ".-", ms=4, lw=1, color=colour, label=label)
    panel.set(xscale="log", xlim=(1, None), ylim=(35, 76), xlabel="latency (ms)", ylabel="test after 200 epochs (%)")
    panel.set_title("what speed costs")
    panel.legend(frameon=False, loc="lower right")


def main() -> None:
    """Draw."""
    env = do.make("designopt/NASBench201-v0", dataset="cifar100")
    every = np.indices((5,) * 6).reshape(6, -1).T.astype(float)
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(14, 4.2), layout="constrained")
    cell(middle, env, columns(left, env, every))
    trade_off(right, every)
    figure.savefig(OUTPUT, dpi=100)


if __name__ == "__main__":
    main()
