"""Draw recommendations on the two-dimensional example under several weights.

Usage: python docs/pictures/counterfactuals.py   (writes docs/counterfactuals.png)
"""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import designopt as do
from designopt.search.counterfactual.recommend import recommend

INK, REGION, POOL, MARK = "#1f2933", "#cfe5f4", "#8a97a6", "#d1495b"
WEIGHTS = {
    "default weights": {},
    "proximity 10": {"proximity": 10.0},
    "sparsity 3": {"sparsity": 3.0, "diversity": 0.1},
    "diversity 3": {"diversity": 3.0},
}


def main() -> None:
    """Write the picture."""
    env = do.make("designopt/ArcsAndDisc-v0")
    designs = np.random.default_rng(0).uniform(-1.1, 1.1, (2000, 2))
    table = pd.DataFrame(designs, columns=["x1", "x2"]).assign(valid=env.evaluate(designs).metrics["valid"])
    answer = recommend(
        table,
        {"x1": 0.0, "x2": 0.0},
        {"valid": "== 1"},
        lambda x: env.evaluate(x).metrics["valid"],
        bounds={"x1": (-1.1, 1.1), "x2": (-1.1, 1.1)},
        budget=10_000,
    )
    line = np.linspace(-1.1, 1.1, 500)
    X, Y = np.meshgrid(line, line)
    region = env.evaluate(np.stack([X.ravel(), Y.ravel()], axis=1)).constraints[:, 0].reshape(X.shape)
    figure, panels = plt.subplots(1, 4, figsize=(12, 3.4), layout="constrained", sharey=True)
    for axes, (name, weights) in zip(panels, WEIGHTS.items(), strict=True):
        drawn = answer.resample(weights, 10)
        axes.contourf(X, Y, region, levels=[-10, 0], colors=[REGION])
        axes.plot(answer.archive["x1"], answer.archive["x2"], ".", color=POOL, markersize=1.5)
        axes.plot(drawn["x1"], drawn["x2"], "o", color=MARK, markeredgecolor="white", markersize=7, clip_on=False)
        axes.plot(0, 0, "+", color=INK, markersize=11, markeredgewidth=1.6)
        axes.set_title(name, loc="left", fontsize=11, color=INK)
        axes.set_aspect("equal")
        axes.tick_params(colors=INK, labelsize=8)
        axes.set_xlabel("x1", color=INK)
    panels[0].set_ylabel("x2", color=INK)
    target = Path(__file__).parents[1] / "counterfactuals.png"
    figure.savefig(target, dpi=110)
    print(f"{target}: {target.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
