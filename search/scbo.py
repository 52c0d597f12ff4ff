"""SCBO: constrained Bayesian optimisation in a trust region.

Reference: [Eriksson2021] Scalable constrained Bayesian optimization, AISTATS.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from scipy.stats import norm, rankdata

from designopt import Evaluation, History, Integer, Real, Searcher, tunable
from designopt.env import DesignEnv
from designopt.parameters import Array
from designopt.search.candidates import fresh, initial_designs, initial_size, sobol
from designopt.surrogates.device import one_thread, resolve_device
from designopt.surrogates.gp import fit_gp
from designopt.surrogates.thompson import draw
from designopt.surrogates.warp import bilog

LENGTH, SHORTEST, LONGEST = 0.8, 0.5**7, 1.6
"""Side of the trust region in the unit coding: at first, where it restarts, at most."""
BETTER = 1e-3
"""Relative improvement that counts as a success."""


@dataclass(frozen=True)
class Region:
    """A trust region: told rows from ``first`` on belong to it; ``centre`` is the best, None before any is ok."""

    first: int = 0
    length: float = LENGTH
    centre: int | None = None
    successes: int = 0
    failures: int = 0


class SCBOSearch(Searcher):
    """Thompson sampling in a box around the best design, which grows on success and shrinks on failure.

    For many dimensions, where models of the whole space say little. Of the candidates in the box, functions drawn from
    the models choose the best feasible one, or the one of least total violation. When the box has shrunk to nothing,
    search starts afresh, and models forget what was told before.

    Deviations: the sides of the box are equal, and successes and failures are counted by design, not by batch, so that
    results do not depend on how they arrive in groups.
    """

    memoryless = True

    @dataclass(frozen=True)
    class Config:
        """Hyper-parameters."""

        n_initial: int = tunable(0, Integer(0, 50), "space-filling designs at first; 0: 2 (d + 1) within [4, 20]")
        success_tolerance: int = tunable(3, Integer(2, 10), "successes in a row after which the region doubles")
        failure_factor: float = tunable(1.0, Real(0.5, 2.0), "failures that halve the region, over max(4, d)")

    config: Config

    def __init__(self, env: DesignEnv, config: Config | None = None, *, seed: int = 0, device: str = "cpu") -> None:
        super().__init__(env, config, seed=seed, device=device)
        self.history = History(env)
        self.region = Region()
        self._device = resolve_device(device)
        self._initial = initial_size(self.config.n_initial, self.space.dim)

    def tell(self, designs: Array, evaluation: Evaluation) -> None:
        """Remember n designs; the region follows them one after the other."""
        first = len(self.history)
        self.history.append(designs, evaluation)
        for row in range(first, len(self.history)):
            self.region = self._follow(self.region, row)

    def _follow(self, region: Region, row: int) -> Region:
        """The region after one more told row."""
        h, best = self.history, region.centre
        better = bool(h.ok[row]) and (best is None or self._improves(row, best))
        centre = row if better else best
        if row - region.first < self._initial:
            return Region(region.first, region.length, centre)
        successes = region.successes + 1 if better else 0
        failures = 0 if better else region.failures + 1
        length = region.length
        if successes == self.config.success_tolerance:
            length, successes = min(2 * length, LONGEST), 0
        if failures == math.ceil(self.config.failure_factor * max(4, self.space.dim)):
            length, failures = length / 2, 0
        if length < SHORTEST:
            return Region(first=row + 1)
        return Region(region.first, length, centre, successes, failures)

    def _improves(self, row: int, best: int) -> bool:
        """Whether a told row is feasible and better than the best, or violates less while that is infeasible."""
        h = self.history
        if h.feasible[best] or h.feasible[row]:
            worst = h.losses[best, 0] - BETTER * abs(h.losses[best, 0]) if h.feasible[best] else np.inf
            return bool(h.feasible[row] and h.losses[row, 0] < worst)
        return bool(h.violation[row] < h.violation[best])

    @one_thread
    def ask(self, n: int, pending: Array) -> Array:
        """-> between 1 and n designs (., d); one that is known only when all others seem to be."""
        h, region = self.history, self.region
        asked = len(h) + len(pending)
        known = np.concatenate([h.designs, pending])
        missing = self._initial - (asked - region.first)
        rows = region.first + np.flatnonzero(h.ok[region.first :])
        if missing > 0 or len(rows) < 2 or region.centre is None:
            return initial_designs(self.space, asked, min(n, max(missing, 1)), self.seed, known)
        rng = np.random.default_rng(np.random.SeedSequence((self.seed, asked)))
        scales = np.array([c.scale for c in self.constraints])
        loss = norm.ppf((rankdata(h.losses[rows, 0]) - 0.5) / len(rows))
        Y = np.column_stack([loss, bilog(h.constraints[rows] / scales)])
        model = fit_gp(self._tensor(h.unit[rows]), self._tensor(Y), self.space.categorical)
        candidates = self._candidates(h.unit[region.centre], rng)
        candidates = candidates[fresh(self.space, candidates, known)]
        if len(candidates) == 0:
            return initial_designs(self.space, asked, 1, self.seed, known)
        unit = self._tensor(self.space.to_unit(candidates))
        chosen: list[int] = []
        for _ in range(min(n, len(candidates))):
            values = draw(model, unit, rng).cpu().numpy()
            violation = np.maximum(values[:, 1:], 0.0).sum(axis=1)
            order = np.lexsort((values[:, 0], violation))
            chosen.append(next(int(i) for i in order if i not in chosen))
        return candidates[chosen]

    def _candidates(self, centre: Array, rng: np.random.Generator) -> Array:
        """Designs in the region around the unit coding (d,) of its centre: about 20 columns of each moved."""
        d = self.space.dim
        n = min(5000, max(2000, 200 * d))
        low = np.clip(centre - self.region.length / 2, 0, 1)
        high = np.clip(centre + self.region.length / 2, 0, 1)
        moved = rng.random((n, d)) < min(20 / d, 1)
        points = sobol(d, 0, n, rng)
        # Categories have no distance: every choice is within reach, the smaller the region the more rarely.
        box = low + points * (high - low)
        keep = rng.random((n, d)) > self.region.length
        box = np.where(self.space.categorical, np.where(keep, centre, points), box)
        return self.space.from_unit(np.where(moved, box, centre))

    def _tensor(self, values: Array) -> torch.Tensor:
        return torch.as_tensor(values, dtype=torch.double, device=self._device)
