"""Ant colony optimisation over discrete choices: ants follow trails, good designs leave them.

References: [Dorigo1997] "Ant Colony System", IEEE Trans. Evolutionary Computation 1 (selection rule, local and global
update); [Blum2004] "The hyper-cube framework for ant colony optimization", IEEE Trans. SMC-B 34 (trails in [0, 1],
independent of the scale of the objective).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from designopt import Categorical, Evaluation, Real, Searcher, Sequence, tunable
from designopt.env import DesignEnv
from designopt.parameters import Array, levels
from designopt.search.seen import Seen

BINS = 32
"""A real column, and a discrete one of more values, is cut into so many equal bins of the unit coding."""

START = 0.1
DECAY = 0.1
"""Trail at the start, and the share of it that comes back wherever an ant has just gone [Dorigo1997]."""

REDRAWS = 5
"""How many ants in a row may end at known designs before a random design takes their place."""


class AntColonySearch(Searcher):
    """Ant colony system: each column is a choice among levels, each level has a trail, an ant takes one of each column.

    With probability ``greediness`` an ant takes the level of the strongest trail, otherwise one drawn in proportion to
    the trails. Where it has gone, the trail falls back towards its start, so that the next ant goes elsewhere. When
    ``ants`` results are in, the best design since the trails were laid strengthens its levels,
    trail = (1 - evaporation) trail + evaporation. After ``depth`` such generations all trails are laid anew.

    Made for discrete spaces with few values a column; the order of values is not used. A column of more than 32 values,
    or a real one, is cut into 32 equal bins of the unit coding; the ant chooses the bin, the place inside is random.
    Designs are compared feasibility first. Known designs are drawn again. The ranges of the hyper-parameters are the
    published grid [Krishnan2023].

    Asynchronous form: ants leave at any time, on the trails as they are; a generation is any ``ants`` results,
    whoever asked for them. Designs without values count but never become the best.
    """

    @dataclass(frozen=True)
    class Config:
        """Hyper-parameters."""

        ants: int = tunable(16, Categorical([2, 4, 8, 16, 32, 64]), "results per generation")
        evaporation: float = tunable(
            0.1, Categorical([0.1, 0.25, 0.5, 0.75, 1.0]), "how fast the best leaves its trail"
        )
        greediness: float = tunable(0.5, Categorical([0.0, 0.25, 0.5, 0.75, 1.0]), "how often the strongest is taken")
        depth: int = tunable(16, Categorical([2, 4, 8, 16]), "generations before the trails are laid anew")

        def __post_init__(self) -> None:
            for name in ("ants", "depth"):
                if getattr(self, name) < 1:
                    raise ValueError(f"{name} = {getattr(self, name)}; it must be at least 1")
            if not 0 < self.evaporation <= 1:
                raise ValueError(f"evaporation = {self.evaporation}; it must be in (0, 1]")
            if not 0 <= self.greediness <= 1:
                raise ValueError(f"greediness = {self.greediness}; it must be from 0 to 1")

    config: Config

    def __init__(self, env: DesignEnv, config: Config | None = None, *, seed: int = 0, device: str = "cpu") -> None:
        super().__init__(env, config, seed=seed, device=device)
        self.batch = self.config.ants
        self._values: list[Array | None] = []  # one per column; None: bins of the unit coding
        for p in self.space.parameters.values():
            values = None if isinstance(p, Real) else levels(p)
            values = None if values is not None and len(values) > BINS else values
            self._values += [values] * (p.length if isinstance(p, Sequence) else 1)
        self._widths = np.array([BINS if values is None else len(values) for values in self._values])
        self._columns = np.arange(self.space.dim)
        self._seen = Seen(self.space)
        self._lay_trails()

    def _lay_trails(self) -> None:
        self._trails = np.where(np.arange(self._widths.max()) < self._widths[:, None], START, 0.0)
        self._generation = 0
        self._told = 0
        self._best: NDArray[np.int64] | None = None
        self._rank = (np.inf, np.inf)  # (violation, loss) of the best

    def ask(self, n: int, pending: Array) -> Array:
        """-> (n, d) designs, one an ant."""
        designs = np.empty((n, self.space.dim))
        for i in range(n):
            for _ in range(REDRAWS):
                chosen = self._walk()
                design = self._design(chosen)
                if self._seen.fresh(design)[0]:
                    break
            else:
                design = self._seen.sample(1, self.rng)
            self._seen.add(design)
            designs[i] = design[0]
        return designs

    def _walk(self) -> NDArray[np.int64]:
        """-> (d,) the level that an ant takes of each column; the trail falls back where it went."""
        strongest = self._trails == self._trails.max(axis=1, keepdims=True)
        greedy = self.rng.random(self.space.dim) < self.config.greediness
        ends = np.cumsum(np.where(greedy[:, None], strongest, self._trails), axis=1)
        draw = self.rng.random(self.space.dim) * ends[:, -1]
        chosen: NDArray[np.int64] = np.minimum((ends <= draw[:, None]).sum(axis=1), self._widths - 1)
        self._trails[self._columns, chosen] += DECAY * (START - self._trails[self._columns, chosen])
        return chosen

    def _design(self, chosen: NDArray[np.int64]) -> Array:
        """(d,) levels -> (1, d) a design there."""
        place = self.rng.random(self.space.dim)
        design = self.space.from_unit(((chosen + place) / self._widths)[None])
        for column, values in enumerate(self._values):
            if values is not None:
                design[0, column] = values[chosen[column]]
        return design

    def _levels(self, design: Array) -> NDArray[np.int64]:
        """(d,) design -> (d,) its levels."""
        bins = (self.space.to_unit(design[None])[0] * BINS).astype(np.int64).clip(0, BINS - 1)
        found = [
            bins[column] if values is None else np.searchsorted(values, design[column])
            for column, values in enumerate(self._values)
        ]
        return np.array(found, dtype=np.int64)

    def tell(self, designs: Array, evaluation: Evaluation) -> None:
        """Results in any order, batch size and status, also of designs that somebody else proposed."""
        self._seen.add(designs)
        losses = evaluation.losses(self.objectives)[:, 0]
        violation = evaluation.violation(self.constraints)
        for i in range(len(designs)):
            rank = (float(violation[i]), float(losses[i]))
            if evaluation.status[i] == "ok" and rank < self._rank:
                self._rank, self._best = rank, self._levels(designs[i])
            self._told += 1
            if self._told == self.config.ants:
                self._strengthen()

    def _strengthen(self) -> None:
        self._told = 0
        self._generation += 1
        if self._generation == self.config.depth:
            self._lay_trails()
        elif self._best is not None:
            trail = self._trails[self._columns, self._best]
            self._trails[self._columns, self._best] = trail + self.config.evaporation * (1 - trail)
