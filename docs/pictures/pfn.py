"""Draws what the prior-fitted network predicts, and how it learned: docs/surrogates/pfn.png.

python docs/pictures/pfn.py
"""

import json
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import torch

from designopt.surrogates import PFN

DOCS = Path(__file__).parents[1]


def bounded(x):
    """A smooth response that a stop clips from below."""
    return np.maximum(np.sin(7 * x) + 0.6 * x, -0.35)


def predictions(axis):
    """The bars' density over x, on ten points of a function with a kink."""
    x = np.array([0.03, 0.14, 0.27, 0.4, 0.47, 0.58, 0.66, 0.74, 0.83, 0.96])
    model = PFN.load().condition_on(torch.as_tensor(x[:, None]), torch.as_tensor(bounded(x)[:, None]))
    grid, levels = np.linspace(0, 1, 301), np.linspace(-1.3, 1.9, 321)
    bars = model.bars(torch.as_tensor(grid[:, None]))
    with torch.no_grad():
        density = torch.stack([bars.log_prob(float(y))[:, 0] for y in levels]).exp().numpy()
        low, middle, high = (bars.quantile(p)[:, 0].numpy() for p in (0.05, 0.5, 0.95))
    axis.pcolormesh(grid, levels, density**0.4, cmap="Blues", shading="auto", rasterized=True)
    axis.plot(grid, bounded(grid), color="black", lw=1, ls="--", label="the function")
    axis.plot(grid, middle, color="tab:orange", lw=1.5, label="median")
    axis.plot(grid, low, color="tab:orange", lw=0.7, label="90 %")
    axis.plot(grid, high, color="tab:orange", lw=0.7)
    axis.plot(x, bounded(x), "o", color="black", ms=5, label="seen")
    axis.set(xlabel="x", ylabel="y", title="Predicted density, no fitting", xlim=(0, 1), ylim=(-1.3, 1.9))
    axis.legend(loc="upper right", fontsize=8)


def learning(axis):
    """Held-out quality over the time of training, beside the published architecture."""
    flat = json.loads((DOCS / "benchmarks" / "pfn_quality.json").read_text())["flat"]
    ours = json.loads((DOCS.parent / "surrogates" / "weights" / "pfn.json").read_text())["curve"]
    for cell, colour in (("1,30", "tab:blue"), ("3,30", "tab:green"), ("10,60", "tab:red")):
        for curve, style, name in ((ours, "o-", "anchored"), (flat, "s--", "flat")):
            seconds = [row.get("cpu_seconds", row.get("cpu")) for row in curve]
            shares = [row[cell] for row in curve]
            axis.plot([0, *seconds] if curve is flat else seconds, [0, *shares] if curve is flat else shares, style,
                      color=colour, ms=3, lw=1.2, label=f"{name}, {cell}")  # fmt: skip
    axis.set(xlabel="CPU seconds of training", ylabel="share of the available gain", ylim=(0, 1))
    axis.set_title("Learning; d, n = parameters, seen points")
    axis.grid(alpha=0.3)
    axis.legend(fontsize=7, ncols=3, loc="upper center", bbox_to_anchor=(0.5, -0.16), frameon=False)


def main():
    """Both."""
    figure, axes = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained")
    predictions(axes[0])
    learning(axes[1])
    figure.savefig(DOCS / "surrogates" / "pfn.png", dpi=110)


if __name__ == "__main__":
    main()
