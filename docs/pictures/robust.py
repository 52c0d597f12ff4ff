"""Draws docs/robust.png: bounds against time on one generated instance, and its worst case item by item.

OMP_NUM_THREADS=1 python docs/pictures/robust.py
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import designopt as do

OUTPUT = Path(__file__).parents[1] / "robust.png"
COLOURS = {"outsourced": "tab:red", "produced": "tab:blue", "produced and repaired": "tab:green"}


def course(axes, result):
    """Incumbent and proved bound against wall time."""
    seconds = [row["seconds"] for row in result.trace]
    for key, label in (("incumbent", "best certified design"), ("bound", "proved bound")):
        values = np.array([row[key] for row in result.trace])
        axes.step(seconds, np.where(np.isfinite(values), values, np.nan), where="post", marker=".", label=label)
    axes.set(xlabel="seconds", ylabel="worst-case profit", title="relaxed_recourse")
    axes.legend()


def worst_case(axes, env, design):
    """Loss of every item in the worst scenario, and what is done about it."""
    _, scenario, recourse = env.worst_case(design)
    held = np.flatnonzero(design > 0.5)
    for choice, (what, colour) in enumerate(COLOURS.items()):
        rows = held[recourse[held] == choice]
        if len(rows):
            axes.bar(rows, env.instance.profit[rows], color=colour, alpha=0.35, label=what)
            axes.bar(rows, (env.instance.degradation * scenario)[rows], color=colour)
    axes.set(xlabel="item", ylabel="profit; dark: taken away", title="the worst scenario and its recourse")
    axes.legend()


def draw():
    """Search one instance and draw it."""
    env = do.make("designopt/RobustKnapsack-v0", n=40, correlation="UN", h=80, deviation=0.15, delta=1.0, seed=1)
    result = do.optimize(env, search="relaxed_recourse", budget=200, seed=0)
    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4.2), layout="constrained")
    course(left, result)
    worst_case(right, env, result.designs[result.best_row])
    figure.savefig(OUTPUT, dpi=110)


if __name__ == "__main__":
    draw()
