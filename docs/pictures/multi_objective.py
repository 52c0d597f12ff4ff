"""Draws the fronts of the multi-objective environments: docs/environments/multi_objective.png.

python docs/pictures/multi_objective.py
"""

import sys
from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")
import matplotlib.pyplot as plt

import designopt

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))
from reference_fronts import NAMES, reference_front  # noqa: E402 - a script, not a package


def label(objective):
    """Name and unit of an axis."""
    name = objective.name.replace("_", " ")
    return f"{name} [{objective.unit.replace('^2', '²').replace('^3', '³')}]" if objective.unit else name


def draw(axes, env, cloud, front):
    """Random feasible designs in grey under the front; a third objective is the colour of the front."""
    axes.scatter(*cloud[:, :2].T, s=3, color="0.82", linewidths=0, rasterized=True)
    if front.shape[1] == 2:
        axes.scatter(*front.T, s=14 if len(front) < 100 else 4, color="tab:blue", linewidths=0)
    else:
        order = np.argsort(-front[:, 2])  # the best of the third objective on top
        points = axes.scatter(*front[order, :2].T, c=front[order, 2], s=4, cmap="viridis", linewidths=0)
        axes.figure.colorbar(points, ax=axes, label=label(env.objectives[2]))
    lowest, highest = front.min(axis=0)[:2], front.max(axis=0)[:2]
    margin = 0.08 * (highest - lowest)
    axes.set_xlim(lowest[0] - margin[0], highest[0] + 3 * margin[0])
    axes.set_ylim(lowest[1] - margin[1], highest[1] + 3 * margin[1])
    axes.set_title(env.id.removeprefix("designopt/"), fontsize=11)
    axes.set_xlabel(label(env.objectives[0]))
    axes.set_ylabel(label(env.objectives[1]))
    axes.spines[["top", "right"]].set_visible(False)
    axes.ticklabel_format(axis="both", style="sci", scilimits=(-3, 4), useMathText=True)


def main():
    """Short runs: the fronts look the same as the reference fronts at this size."""
    figure, grid = plt.subplots(3, 3, figsize=(13, 11), layout="constrained")
    for axes, name in zip(grid.flat, NAMES, strict=True):
        env = designopt.make(f"designopt/{name}-v0")
        front, _ = reference_front(env, seeds=[0], generations=150, rounds=6)
        front = np.random.default_rng(0).permutation(front)[:2500]
        evaluation = env.evaluate(env.design_space.sample(20_000, seed=0))
        cloud = evaluation.objectives[evaluation.feasible][:3000]
        draw(axes, env, cloud, front)
    figure.savefig(ROOT / "docs" / "environments" / "multi_objective.png", dpi=90)


if __name__ == "__main__":
    main()
