"""Draws docs/sequence.png: what two searches make of few good sequences far from many bad ones.

OMP_NUM_THREADS=1 python docs/pictures/sequence.py      # needs the data set protein/gb1_wu2016.csv.gz

GB1 behind tags of 8 letters, 50 good sequences among 1000 bad ones; the latent space and the proposals of the third
round. The same figures are on the page of a run (``designopt run ... --report``).
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.font_manager import FontProperties
from matplotlib.patches import Circle, PathPatch
from matplotlib.textpath import TextPath
from matplotlib.transforms import Affine2D

import designopt as do
from designopt.report.sequence_figures import LAST, PRIOR, information, letters, plane

OUTPUT = Path(__file__).parents[1] / "sequence.png"
COLOURS = {"AVLIPMFW": "#0072B2", "GSTCYNQ": "#009E73", "KRH": "#D55E00", "DE": "#E69F00"}
BOLD = FontProperties(family="DejaVu Sans", weight="bold")


def latent(axes, result):
    """Codes of all that is known in their main plane, proposals, circles of the prior."""
    row = result.trace[-1]
    order = np.argsort(row["fitness"], kind="stable")
    main = plane(row["codes"].astype(float))
    x, y = (row["codes"][order] @ main).T
    dots = axes.scatter(x, y, 7, row["fitness"][order], cmap="viridis", vmin=0, vmax=0.6)
    axes.scatter(*(row["proposed"] @ main).T, 22, "#D55E00", marker="x", linewidths=0.8, label="proposed")
    for radius, dash in zip(PRIOR.values(), ("-", "--"), strict=True):
        axes.add_patch(Circle((0, 0), radius, fill=False, ls=dash, color="#808080"))
    new = result.evaluation.objectives[-LAST:, 0]
    axes.set_title(f"{result.search}: {np.count_nonzero(new)} of {len(new)} proposals are worth anything", loc="left")
    axes.set_aspect("equal", "datalim")
    axes.set(xlabel="first principal axis of the codes", ylabel="second")
    axes.legend(loc="upper left", frameon=False)
    return dots


def logo(axes, result):
    """Letters of the last proposals in bits, above those of the optimum."""
    alphabet = letters(result)
    for i, column in enumerate(information(result.designs[-LAST:].astype(int), len(alphabet))):
        floor = 0.0
        for k in np.argsort(column, kind="stable"):
            if column[k] >= 0.02:
                glyph(axes, alphabet[k], i + 0.55, floor, column[k])
                floor += column[k]
    for i, k in enumerate(np.asarray(result.reference.design, dtype=int)):
        axes.text(i + 1, -0.45, alphabet[k], ha="center", va="center", weight="bold", color="#20262d")
    axes.text(0.3, -0.45, "optimum", ha="right", va="center")
    axes.set(xlim=(0.4, result.space.dim + 0.6), ylim=(-0.8, np.log2(len(alphabet))), ylabel="bits", xlabel="position")
    axes.set_xticks(range(1, result.space.dim + 1))


def glyph(axes, letter, x, y, height):
    """A letter stretched over a box 0.9 wide."""
    path = TextPath((0, 0), letter, size=1, prop=BOLD)
    box = path.get_extents()
    width = 0.9 * min(1, box.width / 0.3)
    place = Affine2D().translate(-box.x0, -box.y0).scale(width / box.width, height / box.height)
    place = place.translate(x + (0.9 - width) / 2, y)
    colour = next((c for group, c in COLOURS.items() if letter in group), "#808080")
    axes.add_patch(PathPatch(path, fc=colour, lw=0, transform=place + axes.transData))


def draw():
    """Search and draw."""
    env = do.make("designopt/GB1-v0", separation=3, imbalance=0.05)
    results = [do.optimize(env, name, budget=300, batch=100, seed=0, epochs=150) for name in ("pgvae", "rwr")]
    figure, axes = plt.subplots(2, 2, figsize=(13, 8.2), layout="constrained", height_ratios=[1.6, 1])
    for column, result in zip(axes.T, results, strict=True):
        dots = latent(column[0], result)
        logo(column[1], result)
    figure.colorbar(dots, ax=axes[0], label="fitness, as a share of the best measured", aspect=30, pad=0.01)
    figure.savefig(OUTPUT, dpi=80)


if __name__ == "__main__":
    draw()
