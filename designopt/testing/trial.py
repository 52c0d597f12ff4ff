"""One search backend on one environment, with the checks that hold for each single ask and tell."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from designopt.env import DesignEnv
from designopt.evaluation import Evaluation
from designopt.parameters import Array
from designopt.searcher import Searcher
from designopt.testing.environments import require

Factory = Callable[[DesignEnv, int], Searcher]
"""(environment, seed) -> searcher."""


@dataclass(frozen=True)
class Trial:
    """One backend on one environment."""

    make: Factory
    env: DesignEnv
    rounds: int
    batch: int
    history: int
    seed: int

    def searcher(self, *, seed: int | None = None, told: bool = False) -> Searcher:
        """A fresh searcher; told: of designs that it never asked for."""
        searcher = self.make(self.env, self.seed if seed is None else seed)
        if told:
            designs = self.env.design_space.sample(self.history, self.seed + 1)
            searcher.tell(designs, self.env.evaluate(designs))
        return searcher

    def ask(self, searcher: Searcher, n: int, pending: Array | None = None) -> Array:
        """The designs asked for, after checks that hold for every ask."""
        space = self.env.design_space
        pending = np.empty((0, space.dim)) if pending is None else pending
        given = pending.copy()
        designs = searcher.ask(n, given)
        where = f"{type(searcher).__name__} on {self.env.id}: ask({n}, {len(pending)} pending)"
        require(np.array_equal(given, pending), f"{where} changed the array of pending designs")
        require(
            isinstance(designs, np.ndarray) and designs.ndim == 2 and designs.dtype == np.float64,
            f"{where} must return a float64 array (n, {space.dim}), not {_describe(designs)}",
        )
        require(
            1 <= len(designs) <= n, f"{where} returned {len(designs)} designs; at least 1 and at most {n} are allowed"
        )
        try:
            space.validate(designs)
        except ValueError as error:
            raise AssertionError(f"{where} returned designs outside the space: {error}") from error
        return designs

    def tell(self, searcher: Searcher, designs: Array, evaluation: Evaluation | None = None) -> None:
        """Tell results (by default the true ones), after a check that the arguments are left alone."""
        evaluation = self.env.evaluate(designs) if evaluation is None else evaluation
        given, told = designs.copy(), evaluation[:]
        told.objectives, told.constraints = told.objectives.copy(), told.constraints.copy()
        searcher.tell(given, told)
        same = np.array_equal(given, designs) and all(
            np.array_equal(getattr(told, name), getattr(evaluation, name), equal_nan=name != "status")
            for name in ("objectives", "constraints", "status")
        )
        require(same, f"{type(searcher).__name__} on {self.env.id}: tell changed the arrays that it was given")

    def failure(self, n: int, status: str) -> Evaluation:
        """N rows without values."""
        return Evaluation.failure(n, len(self.env.objectives), len(self.env.constraints), status, f"made {status}")

    def run(self, searcher: Searcher, rounds: int | None = None) -> Iterator[Array]:
        """Ask and tell with evaluations in flight: of two batches the older is told, backwards, one design failed."""
        pending = self.ask(searcher, self.batch)
        yield pending
        for _ in range(self.rounds if rounds is None else rounds):
            new = self.ask(searcher, self.batch, pending)
            yield new
            evaluation = self.env.evaluate(pending)[::-1]
            self.tell(searcher, pending[::-1], self.with_failure(evaluation))
            pending = new
        yield self.ask(searcher, self.batch, pending)

    def with_failure(self, evaluation: Evaluation) -> Evaluation:
        """The same results, but the first of several failed."""
        if len(evaluation) < 2:
            return evaluation
        return Evaluation.concatenate([self.failure(1, "failed"), evaluation[1:]])


def _describe(value: object) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.dtype} array {value.shape}"
    return type(value).__name__
