"""Draw the two-dimensional engineering problems: objective contours, feasible region, optimum.

Usage: python docs/pictures/engineering.py   (writes docs/environments/engineering.png)
"""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

import designopt as do

PROBLEMS = ("Ackley", "JLH1", "JLH2", "GKXWC1", "GKXWC2", "ThreeTruss")
INK, EDGE, MARK = "#1f2933", "#0b3c5d", "#d1495b"


def draw(axes: plt.Axes, name: str) -> None:
    """One problem: contours in colour where feasible, washed out where not."""
    env = do.make(f"designopt/{name}-v0")
    space, reference = env.design_space, env.reference
    x, y = (np.linspace(low, high, 401) for low, high in zip(space.low, space.high, strict=True))
    X, Y = np.meshgrid(x, y)
    evaluation = env.evaluate(np.stack([X.ravel(), Y.ravel()], axis=1))
    f = evaluation.objectives[:, 0].reshape(X.shape)
    worst = (evaluation.constraints / [c.scale for c in env.constraints]).max(axis=1).reshape(X.shape)

    axes.contourf(X, Y, f, levels=18, cmap="YlGnBu_r", alpha=0.95)
    axes.contour(X, Y, f, levels=18, colors="white", linewidths=0.4, alpha=0.8, linestyles="solid")
    with plt.rc_context({"hatch.color": "#9aa5b1", "hatch.linewidth": 0.6}):
        axes.contourf(X, Y, worst, levels=[0, np.inf], colors=["#f5f7fa"], alpha=0.72)
        axes.contourf(X, Y, worst, levels=[0, np.inf], colors="none", hatches=["///"])
    axes.contour(X, Y, worst, levels=[0], colors=EDGE, linewidths=1.4)
    axes.plot(*reference.design, "*", color=MARK, markersize=13, markeredgecolor="white", clip_on=False, zorder=5)

    labels = [
        f"{n.replace('_', ' ')} ({p.unit.replace('^2', '²')})" if p.unit else n for n, p in space.parameters.items()
    ]
    axes.set_xlabel(labels[0], color=INK)
    axes.set_ylabel(labels[1], color=INK)
    axes.set_title(f"{name}   f* = {reference.value:.6g}".replace("-", "−"), color=INK, fontsize=11, loc="left")
    axes.tick_params(colors=INK, labelsize=8)


def main() -> None:
    """Write the picture."""
    figure, panels = plt.subplots(2, 3, figsize=(11, 7.4), layout="constrained")
    for axes, name in zip(panels.flat, PROBLEMS, strict=True):
        draw(axes, name)
    figure.suptitle(
        "Objective (darker is better), infeasible region hatched, constrained optimum starred", color=INK, fontsize=11
    )
    target = Path(__file__).parents[1] / "environments" / "engineering.png"
    figure.savefig(target, dpi=110)
    few_colours = Image.open(target).convert("RGB").quantize(255, method=Image.Quantize.MAXCOVERAGE)
    few_colours.save(target, optimize=True)  # a third of the size
    print(f"{target}: {target.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
