"""Proximal exploration: the best designs at every distance from where the search began.

Reference: [Ren2022] Proximal exploration for model-guided protein sequence design, ICML. The convolutional stand-in of
the release is replaced by the random forest that all searches here share.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from designopt import Integer, Real, tunable
from designopt.parameters import Array
from designopt.search.sequence.stand_in import StandInSearch, StandInSettings


class PEXSearch(StandInSearch):
    """Proximal exploration: prefers designs few changes away from the wild type, unless more changes promise more.

    The wild type is the best of the designs told before the first proposal. Parents are the ``neighbours`` best
    designs at each distance that beat all smaller distances; of their mutants, the upper hull of predicted fitness over
    distance is proposed, peel by peel. Distance counts columns that differ: made for sequences.
    """

    @dataclass(frozen=True)
    class Config(StandInSettings):
        """Hyper-parameters."""

        mutations: float = tunable(2.0, Real(0.5, 5.0), "expected number of columns that mutate")
        neighbours: int = tunable(5, Integer(1, 20), "parents at each distance")

        def __post_init__(self) -> None:
            super().__post_init__()
            if self.neighbours < 1:
                raise ValueError(f"neighbours = {self.neighbours}; it must be at least 1")

    config: Config
    memoryless = False  # the wild type is what was best when the first proposal was made
    _wild: Array | None = None

    def _choose(self, n: int, designs: Array, y: Array, rng: np.random.Generator) -> Array:
        if self._wild is None:
            self._wild = designs[np.argmax(y)].copy()
        wild = self._wild
        distance = (designs != wild).sum(axis=1)
        parents = designs[frontier(distance, y, self.config.neighbours)]
        pool: list[Array] = [np.empty((0, self.space.dim))]
        for _ in range(10):  # a nearly exhausted neighbourhood gives few new mutants
            room = self.config.model_calls - sum(map(len, pool))
            if room <= 0:
                break
            mutants = self._mutants(parents[rng.integers(len(parents), size=room)], rng)
            pool.append(self._new(mutants))
        candidates = np.concatenate(pool)
        if not len(candidates):
            return candidates
        candidates = candidates[self._distinct(candidates)]
        predicted = self._predict(candidates)
        return np.asarray(candidates[peeled((candidates != wild).sum(axis=1), predicted, n)])


def frontier(distance: Array, y: Array, width: int) -> NDArray[np.int64]:
    """Rows of the ``width`` best at each distance, of those distances whose best beats every smaller one."""
    rows: list[int] = []
    best = -np.inf
    for d in np.unique(distance):
        here = np.flatnonzero(distance == d)
        here = here[np.argsort(-y[here], kind="stable")][:width]
        here = here[y[here] > best]
        rows += here.tolist()
        best = max(best, y[here].max(initial=best))
    return np.array(rows)


def peeled(distance: Array, y: Array, n: int) -> NDArray[np.int64]:
    """Rows of n designs: the upper convex hull of y over distance, then that of the rest, and so on."""
    left = np.lexsort((-y, distance))
    rows: list[int] = []
    while len(rows) < n and len(left):
        tops = left[np.unique(distance[left], return_index=True)[1]]  # the best at each distance, by distance
        hull: list[int] = []
        for i in tops.tolist():
            while len(hull) > 1 and _below(hull[-2], hull[-1], i, distance, y):
                hull.pop()
            hull.append(i)
        rows += hull
        left = left[~np.isin(left, hull)]
    return np.array(rows[:n])


def _below(a: int, b: int, c: int, x: Array, y: Array) -> bool:
    """Whether b lies on or under the line from a to c."""
    return bool((y[b] - y[a]) * (x[c] - x[a]) <= (y[c] - y[a]) * (x[b] - x[a]))
