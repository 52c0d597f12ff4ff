"""Draws what three surrogates make of the same designs, and what they would evaluate next: docs/bayesian.png.

python docs/pictures/bayesian.py
"""

from pathlib import Path

import matplotlib
import numpy as np
import torch

matplotlib.use("Agg")
import matplotlib.pyplot as plt

import designopt as do
from designopt.launch import make_searcher

OUTPUT = Path(__file__).parents[1] / "bayesian.png"
N = 25


def values(env, designs):
    """Losses and greatest constraint of (n, 2) designs."""
    found = env.evaluate(designs)
    return found.objectives[:, 0], found.constraints.max(axis=1)


def panel(axis, env, name, side, grid):
    """One surrogate: acquisition function, designs, the constraint's boundary and the next design."""
    searcher = make_searcher(env, name, seed=0, device="cpu")
    designs = env.design_space.sample(N, 3)
    found = env.evaluate(designs)
    searcher.tell(designs, found)
    following = searcher.ask(1, np.empty((0, 2)))[0]
    worth = searcher._worth(searcher._beliefs(np.random.default_rng(0)), np.random.default_rng(0))
    with torch.no_grad():
        unit = torch.as_tensor(env.design_space.to_unit(grid))
        log = torch.cat([worth(part[:, None]) for part in unit.split(1024)]).numpy()
    shown = np.maximum(log - log.max(), -12).reshape(len(side), -1)
    image = axis.contourf(side, side, shown, levels=np.linspace(-12, 0, 13), cmap="Blues")
    axis.contour(side, side, values(env, grid)[1].reshape(len(side), -1), levels=[0], colors="#d55e00", linewidths=1.5)
    feasible = found.feasible
    axis.plot(*designs[feasible].T, "o", color="#009e73", ms=5, label="feasible")
    axis.plot(*designs[~feasible].T, "x", color="#444444", ms=5, label="infeasible")
    axis.plot(*env.reference.design, "*", color="#e69f00", ms=14, mec="black", mew=0.6, clip_on=False, label="optimum")
    axis.plot(*following, "D", color="#cc79a7", ms=8, mec="black", mew=0.8, clip_on=False, zorder=5, label="next")
    axis.set(title=f'search="{name}"', xlabel="x1", ylabel="x2")
    return image


def main():
    """Three panels over the same designs."""
    env = do.make("designopt/GKXWC1-v0")
    side = np.linspace(0, 6, 81)
    grid = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    figure, axes = plt.subplots(1, 3, figsize=(12, 4.3), layout="constrained", sharey=True)
    for axis, name in zip(axes, ("gp", "agp", "pfn"), strict=True):
        image = panel(axis, env, name, side, grid)
    figure.colorbar(image, ax=axes, label="log acquisition below its maximum")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=4, frameon=False)
    figure.savefig(OUTPUT, dpi=90)


if __name__ == "__main__":
    main()
