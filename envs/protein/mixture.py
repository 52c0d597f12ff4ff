"""Two peaks on a line: the toy of Ghaffari et al., ICLR 2024, on which separation and imbalance can be seen."""

from __future__ import annotations

import numpy as np

from designopt import DesignEnv, DesignSpace, Evaluation, Objective, Real, Reference
from designopt.envs.protein.pools import good_count, level_of
from designopt.parameters import Array

CENTRES = (4.0, 6.0, 8.0, 10.0, 12.0)
"""Of the high peak, at each level of separation."""

N_LOW = 200


class GaussianMixture(DesignEnv):
    """A low narrow peak at 0, and a high one m away: ``exp(-x^2 / 0.125) + 2.5 exp(-(x - m)^2 / 2)``, maximise.

    Known beforehand, when separation or imbalance is given: 200 designs around the low peak, normal with standard
    deviation 0.6, and few on the far shoulder of the high one, uniform from m + 0.5 to m + 1.

    Args:
        separation: level 0 to 4: m is 4, 6, 8, 10 or 12.
        imbalance: good designs over bad ones; separation alone means 0.1, imbalance alone means level 0.
        data_seed: of the initial data set.
        render_mode: None or "ansi".

    Raises:
        ValueError: an argument out of range.
    """

    objectives = (Objective("fitness", "max"),)

    def __init__(
        self,
        separation: int | None = None,
        imbalance: float | None = None,
        data_seed: int = 12345,
        render_mode: str | None = None,
    ) -> None:
        super().__init__(render_mode)
        self.centre = level_of(separation, CENTRES)
        nothing = separation is None and imbalance is None
        self._n_low, self._n_high = (0, 0) if nothing else (N_LOW, good_count(imbalance, N_LOW))
        self.data_seed = data_seed
        self.design_space = DesignSpace(x=Real(-5.0, self.centre + 5.0))
        self.reference = Reference("peak", self._value(self.centre), (self.centre,))

    def _value(self, x: float) -> float:
        return float(self.evaluate(np.array([[x]])).objectives[0, 0])

    def evaluate(self, designs: Array) -> Evaluation:
        """designs: (n, 1) -> fitness (n, 1)."""
        x = np.asarray(designs)
        return Evaluation(np.exp(-(x**2) / (2 * 0.25**2)) + 2.5 * np.exp(-((x - self.centre) ** 2) / 2))

    def offline_data(self, seed: int | None = None) -> tuple[Array, Evaluation]:
        """See ``designopt.offline.OfflineData``."""
        rng = np.random.default_rng(self.data_seed if seed is None else seed)
        low = rng.normal(0.0, 0.6, self._n_low)
        high = self.centre + rng.uniform(0.5, 1.0, self._n_high)
        designs = np.concatenate([low, high])[:, None]
        return designs, self.evaluate(designs)
