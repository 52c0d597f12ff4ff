"""Gower's dissimilarity between designs of mixed features, and the distance to the nearest rows of a data set.

Reference: Gower, "A general coefficient of similarity and some of its properties", Biometrics 27, 1971.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from designopt.parameters import Array

CHUNK = 1 << 21
"""How many float64 values of differences are held at once."""


class Gower:
    """delta(a, b) = mean over the d features of |a - b| / range where numeric, and of a != b where categorical.

    Args:
        ranges: (d,) largest less smallest value of each numeric feature in the data; a feature that is constant
            there (range 0) tells nothing and counts as zero, though still among the d.
        categorical: (d,) mask.
    """

    def __init__(self, ranges: Array, categorical: NDArray[np.bool_]) -> None:
        self.categorical = np.asarray(categorical, dtype=bool)
        spread = np.where(self.categorical | (ranges <= 0), 1.0, ranges)
        self.weights: Array = np.where(self.categorical | (ranges > 0), 1.0, 0.0) / spread / len(ranges)

    def __call__(self, a: Array, b: Array) -> Array:
        """a: (n, d), b: (d,) or (n, d) -> (n,)."""
        difference = np.abs(a - b)
        if self.categorical.any():
            difference[:, self.categorical] = difference[:, self.categorical] != 0
        return np.asarray(difference @ self.weights)

    def pairwise(self, a: Array, b: Array) -> Array:
        """a: (n, d), b: (m, d) -> (n, m), in chunks of bounded memory."""
        from scipy.spatial.distance import cdist

        numeric, category = ~self.categorical, self.categorical
        scaled_a, scaled_b = ((x * self.weights)[:, numeric] for x in (a, b))
        distances = cdist(scaled_a, scaled_b, "cityblock")
        if category.any():
            step = max(1, CHUNK // max(1, len(b) * int(category.sum())))
            for start in range(0, len(a), step):
                rows = slice(start, start + step)
                mismatch = a[rows][:, None, category] != b[None][:, :, category]
                distances[rows] += mismatch @ self.weights[category]
        return np.asarray(distances)


class Neighbours:
    """Mean distance to the k nearest of m data rows: how much a design looks like the data.

    Designs differ from an anchor (the query) in few features, so distances are those of the anchor, corrected column
    by column where the design differs.

    Args:
        rows: (m, d), k <= m.
        anchor: (d,).
    """

    def __init__(self, gower: Gower, rows: Array, anchor: Array, k: int = 3) -> None:
        self.k = min(k, len(rows))
        self._columns = np.ascontiguousarray(rows.T)
        self._anchor = np.asarray(anchor, dtype=np.float64)
        self._terms = np.abs(self._columns - self._anchor[:, None]) * gower.weights[:, None]
        different = (self._columns != self._anchor[:, None]) * gower.weights[:, None]
        self._terms[gower.categorical] = different[gower.categorical]
        self._base = self._terms.sum(axis=0)
        self._weights, self._categorical = gower.weights, gower.categorical

    def __call__(self, designs: Array) -> Array:
        """designs: (n, d) -> (n,)."""
        from designopt.counterfactual.kernels import mean_of_nearest

        return np.asarray(
            mean_of_nearest(
                np.ascontiguousarray(designs),
                self._anchor,
                self._columns,
                self._terms,
                self._base,
                self._weights,
                self._categorical,
                self.k,
            )
        )
