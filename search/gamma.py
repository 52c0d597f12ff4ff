"""GAMMA: a genetic algorithm that knows what a mapping is.

References: [Kao2020] ICCAD, "GAMMA: Automating the HW Mapping of DNN Models on Accelerators via Genetic Algorithm"; its
operators on loop orders, tiles, parallel dimensions, levels and processing elements.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from designopt import Categorical, DesignSpace, Evaluation, Integer, Real, Searcher, tunable
from designopt.env import DesignEnv
from designopt.parameters import Array
from designopt.search.seen import Seen

TRIES = 10
"""How often a child that is a known design is bred again before a random design takes its place."""


@runtime_checkable
class LevelledMapping(Protocol):
    """An environment whose designs are mappings of nested loops on levels of an array."""

    @property
    def mapping_levels(self) -> tuple[tuple[str, ...], ...]:
        """Names of a level's loop order, its parallel dimension and its tiles, the outer level first."""
        ...

    @property
    def mapping_orders(self) -> NDArray[np.int64]:
        """(o, l) loop orders by their code."""
        ...

    @property
    def mapping_array(self) -> tuple[str, str]:
        """Names of the units in a cluster and of the processing elements."""
        ...


class GammaSearch(Searcher):
    """Genetic algorithm over mappings, with the operators of GAMMA [Kao2020].

    A child takes the tiles of each dimension from one of two parents (crossover). Then, each with its own probability:
    a tile is drawn anew, within the tile of the level above; a level spreads another dimension; two loops of a level
    change places (reorder); the array gets another number of processing elements; the array is split into clusters
    (growth); its clusters are dissolved (aging). Tiles are repaired, so that an inner one is never larger than the
    outer, and the processing elements become a multiple of the cluster. The best ``elite`` of the population survive
    unconditionally; parents are drawn among the better half.

    Made for mappings, thousands of evaluations. Designs are compared feasibility first; none is proposed twice before
    breeding gives no new. Asynchronous form: a queue holds one generation; when it is empty the next is bred from
    what was told so far, by whomever it was proposed; designs without values take no part.
    """

    requires: ClassVar[tuple[type, ...]] = (DesignEnv, LevelledMapping)

    @dataclass(frozen=True)
    class Config:
        """Hyper-parameters; crossover, tile and reorder rates and the elite default to GAMMA's."""

        population: int = tunable(40, Integer(10, 200, log=True), "mappings per generation")
        crossover: float = tunable(0.9, Real(0.1, 0.9), "probability that tiles of two parents are mixed")
        tile: float = tunable(0.4, Real(0.1, 0.9), "probability that a tile is drawn anew")
        reorder: float = tunable(0.5, Real(0.1, 0.9), "probability that two loops change places")
        parallel: float = tunable(0.2, Real(0.0, 0.9), "probability that a level spreads another dimension")
        growth: float = tunable(0.1, Real(0.0, 0.9), "probability that the array is split into clusters")
        aging: float = tunable(0.1, Real(0.0, 0.9), "probability that clusters are dissolved")
        pes: float = tunable(0.2, Real(0.0, 0.9), "probability of another number of processing elements")
        elite: float = tunable(0.05, Categorical([0.05, 0.1, 0.2]), "share of the population that always survives")

        def __post_init__(self) -> None:
            if self.population < 4:
                raise ValueError(f"population = {self.population}; it must be at least 4")
            for name in ("crossover", "tile", "reorder", "parallel", "growth", "aging", "pes", "elite"):
                if not 0 <= getattr(self, name) <= 1:
                    raise ValueError(f"{name} = {getattr(self, name)}; it must be from 0 to 1")

    config: Config

    def __init__(self, env: DesignEnv, config: Config | None = None, *, seed: int = 0, device: str = "cpu") -> None:
        super().__init__(env, config, seed=seed, device=device)
        assert isinstance(env, LevelledMapping)
        self.batch = self.config.population
        self.genome = Genome(env, env.design_space)
        self._seen = Seen(self.space)
        self._queue: deque[Array] = deque()
        self._population: list[tuple[tuple[float, float], Array]] = []  # (violation, loss), design; the best first
        self._told: list[tuple[tuple[float, float], Array]] = []  # since the last generation

    def ask(self, n: int, pending: Array) -> Array:
        """-> (<= n, d) designs, at most those of one generation."""
        if not self._queue:
            self._queue.extend(self._generation(n, len(pending)))
        return np.array([self._queue.popleft() for _ in range(min(n, len(self._queue)))])

    def tell(self, designs: Array, evaluation: Evaluation) -> None:
        """Results in any order, batch size and status; they count at the next generation."""
        self._seen.add(designs)
        losses = evaluation.losses(self.objectives)[:, 0]
        violation = evaluation.violation(self.constraints)
        for i in np.flatnonzero(evaluation.status == "ok"):
            self._told.append(((float(violation[i]), float(losses[i])), designs[i].copy()))

    def _generation(self, n: int, in_evaluation: int) -> Array:
        size = self.config.population
        known = len(self._population) + len(self._told)
        if known < size:
            return self._fresh(self.genome.repair(self._seen.sample(max(size - known - in_evaluation, n), self.rng)))
        elite = max(1, round(self.config.elite * size))
        rivals = sorted(self._population[elite:] + self._told, key=lambda member: member[0])
        self._population = sorted(self._population[:elite] + rivals[: size - elite], key=lambda member: member[0])
        self._told = []
        children = [child for child in (self._child() for _ in range(size)) if child is not None]
        return np.array(children) if children else self._fresh(self._seen.sample(n, self.rng))

    def _fresh(self, designs: Array) -> Array:
        fresh = designs[self._seen.fresh(designs)]
        designs = fresh if len(fresh) else designs
        self._seen.add(designs)
        return designs

    def _child(self) -> Array | None:
        parents = self._population[: max(2, len(self._population) // 2)]
        for _ in range(TRIES):
            first, second = self.rng.choice(len(parents), size=2, replace=False)
            child = parents[first][1].copy()
            if self.rng.random() < self.config.crossover:
                self.genome.cross_tiles(child, parents[second][1], self.rng)
            for name, operator in self.genome.operators.items():
                if self.rng.random() < getattr(self.config, name):
                    operator(child, self.rng)
            child = self.genome.repair(child[None])
            if self._seen.fresh(child)[0]:
                self._seen.add(child)
                return np.asarray(child[0])
        return None


class Genome:
    """The operators of GAMMA on one design (d,), in place."""

    def __init__(self, env: LevelledMapping, space: DesignSpace) -> None:
        at = {name: column for column, name in enumerate(space.names)}
        self._space = space
        self._levels = [[at[name] for name in level] for level in env.mapping_levels]
        self._orders = env.mapping_orders
        self._codes = {tuple(order.tolist()): code for code, order in enumerate(self._orders)}
        self._cluster, self._pes = (at[name] for name in env.mapping_array)
        self.operators: dict[str, Callable[[Array, np.random.Generator], None]] = {
            "tile": self.redraw_tile,
            "parallel": self.redraw_parallel,
            "reorder": self.swap_loops,
            "pes": self.redraw_pes,
            "growth": self.grow,
            "aging": self.age,
        }

    @property
    def tiles(self) -> NDArray[np.int64]:
        """(levels, dimensions) columns of the tiles."""
        return np.array([level[2:] for level in self._levels])

    def cross_tiles(self, child: Array, other: Array, rng: np.random.Generator) -> None:
        """Tiles of about half of the dimensions, on all levels, come from the other parent."""
        tiles = self.tiles
        taken = tiles[:, rng.random(tiles.shape[1]) < 0.5]
        child[taken] = other[taken]

    def redraw_tile(self, child: Array, rng: np.random.Generator) -> None:
        """One tile is drawn anew, up to the tile of the level above."""
        tiles = self.tiles
        level, d = rng.integers(tiles.shape[0]), rng.integers(tiles.shape[1])
        column = tiles[level, d]
        child[column] = self._draw(column, rng)
        if level > 0:
            child[column] = min(child[column], child[tiles[level - 1, d]])

    def redraw_parallel(self, child: Array, rng: np.random.Generator) -> None:
        """One level spreads another dimension over its units."""
        column = self._levels[rng.integers(len(self._levels))][1]
        child[column] = self._draw(column, rng)

    def swap_loops(self, child: Array, rng: np.random.Generator) -> None:
        """Two loops of one level change places."""
        column = self._levels[rng.integers(len(self._levels))][0]
        order = self._orders[int(child[column])].copy()
        i, j = rng.choice(len(order), size=2, replace=False)
        order[[i, j]] = order[[j, i]]
        child[column] = self._codes[tuple(order.tolist())]

    def redraw_pes(self, child: Array, rng: np.random.Generator) -> None:
        """Another number of processing elements."""
        child[self._pes] = self._draw(self._pes, rng)

    def grow(self, child: Array, rng: np.random.Generator) -> None:
        """The array is split into clusters of another size."""
        child[self._cluster] = min(self._draw(self._cluster, rng), child[self._pes])

    def age(self, child: Array, rng: np.random.Generator) -> None:
        """Clusters of one unit, and inner tiles that are the outer ones: the inner level has nothing left to do."""
        child[self._cluster] = 1
        child[self.tiles[1:]] = child[self.tiles[0]]

    def repair(self, designs: Array) -> Array:
        """(n, d) -> the same with inner tiles within outer ones, and processing elements in whole clusters."""
        designs = designs.copy()
        for outer, inner in zip(self.tiles[:-1], self.tiles[1:], strict=True):
            designs[:, inner] = np.minimum(designs[:, inner], designs[:, outer])
        pes = designs[:, self._pes]
        designs[:, self._cluster] = np.minimum(designs[:, self._cluster], pes)
        designs[:, self._pes] = pes - pes % designs[:, self._cluster]
        return designs

    def _draw(self, column: int, rng: np.random.Generator) -> float:
        return float(self._space.sample(1, rng)[0, column])
