"""Draws docs/nas_variants.png: a sharpDARTS search of HyperCuboid, the annealing, a cell, and one-shot scores.

OMP_NUM_THREADS=1 python docs/pictures/nas_variants.py
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch

import designopt as do
from designopt.launch import make_searcher
from designopt.report.nas_figures import shares
from designopt.search.nas.annealing import cosine_power_annealing

OUTPUT = Path(__file__).parents[1] / "nas_variants.png"
PATHS = 24


def annealing(axes):
    """Learning rate against epochs for several powers."""
    for power in (1, 2, 10, 100):
        axes.plot(np.arange(1, 51), cosine_power_annealing(50, 0.025, 1e-4, power=power), label=f"p = {power}")
    axes.set(xlabel="epoch", ylabel="learning rate", title="cosine power annealing")
    axes.legend(frameon=False)


def trajectories(axes, search):
    """Softmax of alpha of the last stage."""
    grid = shares(search.trace)["grid"][:, -1]
    names = search.env.choice_names()["grid"]
    for choice in np.argsort(-grid[-1])[:6]:
        axes.plot(range(1, len(grid) + 1), grid[:, choice], marker=".", label=names[choice])
    axes.set(xlabel="epoch", ylabel="weight", title="last stage: the six heaviest of 18 choices")
    axes.legend(frameon=False, fontsize=8)


def one_shot(axes, search):
    """Accuracy of random paths inside the supernet and trained alone."""
    env = search.env
    designs = np.unique(env.design_space.sample(PATHS, 1), axis=0)
    inside = []
    for design in designs:
        mixture = {"grid": torch.as_tensor(env.mixture_of(design)["grid"]).float()}
        inside.append(100 * search.losses.accuracy(search.w, mixture, search.losses.validation))
    from scipy.stats import kendalltau

    alone = env.evaluate(designs).objectives[:, 0]
    found = env.evaluate(search.design()[None]).objectives[0, 0]
    tau = kendalltau(inside, alone).statistic
    axes.scatter(inside, alone, label="random paths")
    axes.axhline(found, color="tab:green", ls="--", label="the path found")
    axes.set(xlabel="inside the supernet (%)", ylabel="trained alone (%)")
    axes.set_title(f"{len(designs)} paths, Kendall tau {tau:.2f}")
    axes.legend(frameon=False)
    print(f"found {found:.1f}, random mean {alone.mean():.1f}, best {alone.max():.1f}, tau {tau:.2f}")


def draw():
    """Search and draw."""
    env = do.make("designopt/HyperCuboid-v0", layers=1, steps=3, epochs=4)
    search = make_searcher(env, "sharpdarts", seed=0, epochs=12)
    search.search()
    print(f"{search.cpu_seconds:.1f} CPU seconds, {search.gradient_evaluations} gradients")
    figure, panels = plt.subplots(1, 3, figsize=(15, 4.2), layout="constrained")
    annealing(panels[0])
    trajectories(panels[1], search)
    one_shot(panels[2], search)
    figure.savefig(OUTPUT, dpi=110)


if __name__ == "__main__":
    draw()
