"""Draw docs/environments/protein.png: initial data of the two-peak toy, and how far tags put good sequences of GB1."""

from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")
import matplotlib.pyplot as plt

import designopt as do

TARGET = Path(__file__).parents[1] / "environments" / "protein.png"


def main() -> None:
    """Draw and save."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.4), layout="constrained")
    toy = do.make("designopt/GaussianMixture-v0", separation=2, imbalance=0.1)
    x = np.linspace(toy.design_space.low[0], toy.design_space.high[0], 600)[:, None]
    designs, known = toy.offline_data()
    left.plot(x, toy.evaluate(x).objectives, color="0.6")
    left.scatter(designs, known.objectives, s=9, color="C3", zorder=3, label="known beforehand")
    left.set(xlabel="x", ylabel="fitness", title="GaussianMixture, separation 2, imbalance 0.1")
    left.legend(frameon=False)
    for level, letters in enumerate((3, 4, 5, 8)):
        env = do.make("designopt/GB1-v0", separation=level, imbalance=0.1)
        designs, known = env.offline_data()
        good = known.objectives[:, 0] >= 1e-3
        distance = (designs[~good, None] != designs[good][None]).sum(axis=2).min(axis=1)
        counts = np.bincount(distance, minlength=13)
        right.plot(counts / counts.sum(), marker="o", label=f"level {level}: tag of {letters}")
    right.set(
        xlabel="letters between a bad sequence and the nearest good one", ylabel="share", title="GB1, known beforehand"
    )
    right.legend(frameon=False)
    figure.savefig(TARGET, dpi=110)


if __name__ == "__main__":
    main()
