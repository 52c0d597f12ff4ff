"""Search guided by bottlenecks: change the block that is to blame, as FARSI does.

Reference: [Boroujerdian2022] "FARSI: an early-stage design space exploration framework to tame the domain-specific
system-on-chip complexity", ACM Trans. Embedded Computing Systems.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np

from designopt import Evaluation, Integer, Real, Searcher, tunable
from designopt.env import DesignEnv
from designopt.parameters import Array
from designopt.search.seen import Seen

REDRAWS = 20
"""Moves drawn in a row that lead to known designs before a random design takes their place."""


@runtime_checkable
class BlockDesign(Protocol):
    """An environment whose designs are tasks on blocks, and that can say where the trouble is."""

    def initial_design(self) -> Array:
        """(d,) the smallest design, from which blocks are added."""
        ...

    def sample_feasible(self, n: int, seed: Any = None) -> Array:
        """(n, d) random valid designs."""
        ...

    def bottlenecks(self, design: Array) -> dict[str, tuple[float, Array]]:
        """Concern -> how much it matters, and the (tasks, blocks) shares of who is to blame; each adds up to 1."""
        ...

    def moves(self, design: Array, concern: str, task: int, block: int) -> dict[str, Array]:
        """Kind of move -> (k, d) designs near one (d,) that ease a concern of a task on a block."""
        ...


class FARSISearch(Searcher):
    """FARSI's heuristic: find the bottleneck of the current design, change the block that causes it, anneal.

    A proposal draws a concern (a budget that is exceeded, by how much; when all are met, the objective), a task and a
    block in proportion to their blame, a kind of move among swap (another variant of the block), split (a second block
    for the task) and migrate (to another block that is there), and one design of that kind. A better result becomes the
    current design; a worse one by simulated annealing: with probability exp(-excess / temperature), excess relative.
    Feasible designs are better than infeasible ones; those are compared by scaled violation. After ``patience`` results
    without a new best the search goes back to its best design and the temperature starts again.

    Only designs that were told are looked into: that costs no evaluation, as their simulation knew it already.
    Asynchronous form: moves of the current design are handed out at any time; results count when they arrive.
    """

    requires: ClassVar[tuple[type, ...]] = (DesignEnv, BlockDesign)

    @dataclass(frozen=True)
    class Config:
        """Hyper-parameters."""

        temperature: float = tunable(0.05, Real(0.001, 1.0, log=True), "relative excess accepted with 1 / e at first")
        cooling: float = tunable(0.98, Real(0.9, 0.999), "factor of the temperature a result")
        patience: int = tunable(60, Integer(10, 1000, log=True), "results without a new best before going back to it")

        def __post_init__(self) -> None:
            if not self.temperature > 0:
                raise ValueError(f"temperature = {self.temperature}; it must be positive")
            if not 0 < self.cooling <= 1:
                raise ValueError(f"cooling = {self.cooling}; it must be in (0, 1]")
            if self.patience < 1:
                raise ValueError(f"patience = {self.patience}; it must be at least 1")

    config: Config

    def __init__(self, env: DesignEnv, config: Config | None = None, *, seed: int = 0, device: str = "cpu") -> None:
        super().__init__(env, config, seed=seed, device=device)
        assert isinstance(env, BlockDesign)
        self.problem: BlockDesign = env
        self._seen = Seen(self.space)
        self._current: Array | None = None
        self._best: Array | None = None
        self._rank = self._best_rank = (math.inf, math.inf)  # (violation, loss)
        self._temperature = self.config.temperature
        self._stale = 0
        self._blame: dict[str, tuple[float, Array]] = {}  # of the current design; empty: not looked into yet
        self._options: dict[tuple[str, int, int], dict[str, Array]] = {}

    def ask(self, n: int, pending: Array) -> Array:
        """-> (n, d) moves of the current design; before there is one, the smallest design and random ones."""
        designs = np.empty((n, self.space.dim))
        for i in range(n):
            designs[i] = self._proposal()
            self._seen.add(designs[i : i + 1])
        return designs

    def _proposal(self) -> Array:
        if self._current is None:
            first = self.problem.initial_design()
            if self._seen.fresh(first[None])[0]:
                return first
        else:
            for _ in range(REDRAWS):
                design = self._move(self._current)
                if design is not None and self._seen.fresh(design[None])[0]:
                    return design
        designs = self.problem.sample_feasible(REDRAWS, self.rng)
        return np.asarray(designs[self._seen.fresh(designs).argmax()])

    def _move(self, current: Array) -> Array | None:
        """One move of the current design, None when the draw has none."""
        if not self._blame:
            self._blame, self._options = self.problem.bottlenecks(current), {}
        concerns = list(self._blame)
        if not concerns:
            return None
        weights = np.array([self._blame[c][0] for c in concerns])
        concern = concerns[self.rng.choice(len(concerns), p=weights / weights.sum())]
        shares = self._blame[concern][1]
        task, block = np.unravel_index(self.rng.choice(shares.size, p=shares.ravel() / shares.sum()), shares.shape)
        place = concern, int(task), int(block)
        if place not in self._options:
            self._options[place] = self.problem.moves(current, *place)
        options = self._options[place]
        kinds = [kind for kind, designs in options.items() if len(designs)]
        if not kinds:
            return None
        designs = options[kinds[self.rng.integers(len(kinds))]]
        return np.asarray(designs[self.rng.integers(len(designs))])

    def tell(self, designs: Array, evaluation: Evaluation) -> None:
        """Results in any order, batch size and status, also of designs that somebody else proposed."""
        self._seen.add(designs)
        losses = evaluation.losses(self.objectives)[:, 0]
        violation = evaluation.violation(self.constraints)
        for i in np.flatnonzero(evaluation.status == "ok"):
            self._learn(designs[i], (float(violation[i]), float(losses[i])))

    def _learn(self, design: Array, rank: tuple[float, float]) -> None:
        self._temperature *= self.config.cooling
        self._stale += 1
        if rank < self._best_rank:
            self._best, self._best_rank, self._stale = design.copy(), rank, 0
        if rank <= self._rank or self.rng.random() < math.exp(-_excess(rank, self._rank) / self._temperature):
            self._current, self._rank, self._blame = design.copy(), rank, {}
        if self._stale >= self.config.patience:
            self._current, self._rank, self._blame = self._best, self._best_rank, {}
            self._temperature, self._stale = self.config.temperature, 0


def _excess(rank: tuple[float, float], current: tuple[float, float]) -> float:
    """How much worse, relative to the current design: in violation while there is one, else in loss."""
    (violation, loss), (least, best) = rank, current
    if violation > 0:
        return (violation - least) / least if least > 0 else math.inf
    return (loss - best) / max(abs(best), 1e-300)
