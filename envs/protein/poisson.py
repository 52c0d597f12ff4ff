"""Fields that nearly solve a Poisson equation: point charges in the plane, and a library of graded approximations.

The experiment is that of Ghaffari et al., ICLR 2024, with a library of our own in place of theirs, which was trained
with physics-informed networks and is not distributed: fields of misplaced and misjudged charges, plus smooth errors.
"""

from __future__ import annotations

import numpy as np

from designopt import DesignEnv, DesignSpace, Evaluation, Objective, Real, Reference
from designopt.envs.protein.pools import check_pools, draw, good_count, level_of
from designopt.parameters import Array

BANDS = ((30, 40), (40, 50), (50, 60), (60, 70), (70, 80))
"""Percentiles of the library from which the good fields are drawn, at each level of separation."""

N_TRAIN = 1000

FLOOR = 1e-12
"""Error below which fields count as exact: fitness is at most 12."""


class PoissonField(DesignEnv):
    """A potential on a square grid, to agree with that of three point charges.

    Design: ``size * size`` values of the field, mean zero. The exact field u sums ``-q log(r) / (2 pi)`` over charges q
    at distance r, no less than a core radius. Fitness, maximise: ``-log10(sum_p w_p (x_p - u_p)^2)``, weights w_p
    proportional to ``(max(u) - u_p)^2`` and summing to 1: errors count where the potential is deep.

    Known beforehand, when separation or imbalance is given: 1000 fields of a library that the seed generates, a share
    of them from a band of good ones, the others from the worst 15 %. The optimum itself is not among them.

    Args:
        size: points along a side of the unit square.
        separation: level 0 to 4: the good fields are from percentile 30-40, 40-50, 50-60, 60-70 or 70-80.
        imbalance: share of good fields, less than 1; separation alone means 0.1, imbalance alone means level 0.
        library: fields in the library.
        data_seed: of the charges, the library, and the draw from it.
        render_mode: None or "ansi".

    Raises:
        ValueError: an argument out of range, or a library too small for the data set.
    """

    objectives = (Objective("fitness", "max"),)

    def __init__(
        self,
        size: int = 32,
        separation: int | None = None,
        imbalance: float | None = None,
        library: int = 8000,
        data_seed: int = 12345,
        render_mode: str | None = None,
    ) -> None:
        super().__init__(render_mode)
        for name, value, least in (("size", size, 4), ("library", library, 1), ("data_seed", data_seed, 0)):
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ValueError(f"{name} = {value!r}; it must be a whole number of at least {least}")
        self.size, self.library, self.data_seed = size, library, data_seed
        rng = np.random.default_rng(data_seed)
        self._charges = -rng.uniform(0.5, 1.5, 3)
        self._places = rng.uniform(0.2, 0.8, (3, 2))
        self.exact = self._field(self._charges[None], self._places[None])[0]
        depth = (self.exact.max() - self.exact) ** 2
        self._weights = depth / depth.sum()
        limit = float(np.ceil(4 * np.abs(self.exact).max()))
        self.design_space = DesignSpace({f"u{i}": Real(-limit, limit) for i in range(size * size)})
        self.reference = Reference("Green's function", -float(np.log10(FLOOR)), tuple(self.exact.tolist()))
        self._split: tuple[int, int, tuple[int, int]] | None = None
        if separation is not None or imbalance is not None:
            level = int(level_of(separation, tuple(band[0] for band in BANDS)))
            n_high = good_count(imbalance, N_TRAIN)
            if n_high >= N_TRAIN:
                raise ValueError(f"imbalance = {imbalance}; here it is a share of good fields, less than 1")
            self._split = N_TRAIN - n_high, n_high, next(band for band in BANDS if band[0] == level)
            check_pools(int(0.15 * library), int(0.1 * library), *self._split[:2], f"PoissonField, library = {library}")

    def evaluate(self, designs: Array) -> Evaluation:
        """designs: (n, size * size) -> fitness (n, 1)."""
        error = (np.asarray(designs) - self.exact) ** 2 @ self._weights
        return Evaluation(-np.log10(np.maximum(error, FLOOR))[:, None])

    def _field(self, charges: Array, places: Array) -> Array:
        """(n, c) charges at (n, c, 2) -> (n, size * size) potentials, mean zero."""
        axis = (np.arange(self.size) + 0.5) / self.size
        core = 0.5 / self.size  # a grid point may be as near as it likes
        total = np.zeros((len(charges), self.size, self.size))
        for charge, place in zip(charges.T, places.transpose(1, 0, 2), strict=True):
            squared = (axis - place[:, :1])[:, :, None] ** 2 + (axis - place[:, 1:])[:, None, :] ** 2
            total -= charge[:, None, None] / (4 * np.pi) * np.log(np.maximum(squared, core**2))
        fields = total.reshape(len(charges), -1)
        return np.asarray(fields - fields.mean(axis=1, keepdims=True))

    def solutions(self, n: int, seed: int | None = None) -> Array:
        """(n, size * size) approximate fields, from nearly exact to useless.

        The error of each is of one random amplitude, 1e-3 to 1 on a logarithmic scale: charges off by it (relative),
        places by a tenth of it, and a sum of 16 standing waves, up to three half waves a side.
        """
        rng = np.random.default_rng([self.data_seed if seed is None else seed, 1])
        amplitude = 10 ** rng.uniform(-3, 0, n)
        charges = self._charges * (1 + amplitude[:, None] * rng.standard_normal((n, 3)))
        places = self._places + 0.1 * amplitude[:, None, None] * rng.standard_normal((n, 3, 2))
        fields = self._field(charges, places) + amplitude[:, None] * self.exact.std() * self._smooth(n, rng)
        low, high = self.design_space.low, self.design_space.high
        return np.asarray(np.clip(fields - fields.mean(axis=1, keepdims=True), low, high))

    def _smooth(self, n: int, rng: np.random.Generator) -> Array:
        """(n, size * size) random smooth fields of unit variance."""
        axis = (np.arange(self.size) + 0.5) / self.size
        waves = np.cos(np.pi * np.arange(4)[:, None] * axis)
        coefficients = rng.standard_normal((n, 4, 4)) / 4
        norm = 1 / np.sqrt((waves**2).mean(axis=1))
        waves = waves * norm[:, None]
        return np.asarray(np.einsum("nij,ix,jy->nxy", coefficients, waves, waves).reshape(n, -1))

    def offline_data(self, seed: int | None = None) -> tuple[Array, Evaluation]:
        """See ``designopt.offline.OfflineData``."""
        if self._split is None:
            designs = np.empty((0, self.design_space.dim))
            return designs, self.evaluate(designs)
        n_low, n_high, band = self._split
        fields = self.solutions(self.library)
        order = np.argsort(self.evaluate(fields).objectives[:, 0], kind="stable")
        low, *edges = (int(len(order) * percent / 100) for percent in (15, *band))
        rng = np.random.default_rng(self.data_seed if seed is None else seed)
        designs = fields[draw(order[:low], order[edges[0] : edges[1]], n_low, n_high, rng)]
        return designs, self.evaluate(designs)
