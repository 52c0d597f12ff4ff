"""The counterfactual search as a backend, for studies with a store, workers and slow simulators."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from designopt.counterfactual import Counterfactual
from designopt.env import DesignEnv
from designopt.evaluation import Evaluation
from designopt.parameters import Array, Integer
from designopt.search.counterfactual.differences import black_box_start
from designopt.search.counterfactual.engine import graded
from designopt.search.counterfactual.evolution import Evolution, Population, initial
from designopt.search.counterfactual.steps import Answer, Request
from designopt.searcher import Searcher, tunable


class MCDSearch(Searcher):
    """Sparsity beam, then NSGA-II with operators that know the query, on a ``CounterfactualEnv``.

    The beam proposes one change more at each depth. While results of a depth are missing, and when the beam has ended,
    designs are children of the population, which holds everything told.

    It asks the environment and nothing else: ``designopt.recommend`` also uses gradients of a model and draws a diverse
    set from all valid designs.
    """

    requires: ClassVar[tuple[type, ...]] = (DesignEnv, Counterfactual)
    multi_objective = True

    @dataclass(frozen=True)
    class Config:
        """Hyper-parameters."""

        population: int = tunable(100, Integer(20, 400, log=True), "designs that survive")
        beam: int = tunable(1000, Integer(20, 100_000, log=True), "evaluations that the beam may take")

        def __post_init__(self) -> None:
            for name in ("population", "beam"):
                if getattr(self, name) < 1:
                    raise ValueError(f"{name} = {getattr(self, name)}; it must be at least 1")

    def __init__(self, env: DesignEnv, config: Config | None = None, *, seed: int = 0, device: str = "cpu") -> None:
        super().__init__(env, config, seed=seed, device=device)
        assert isinstance(env, Counterfactual)
        problem = self.problem = env.problem
        settings = self.config
        assert isinstance(settings, MCDSearch.Config)
        size = settings.population
        self.batch = size
        self._evolution = Evolution(problem, initial(problem, None, self.rng, size), self.rng, size)
        self._told: list[Population] = []
        self._stage = black_box_start(problem, self._evolution, budget=settings.beam) if graded(problem) else None
        self._open: dict[bytes, int] = {}
        self._request: Request | None = None
        if self._stage is not None:
            self._next_depth(next(self._stage))
        else:
            self._queue: Iterator[Array] = iter(self._evolution.starts)

    def _next_depth(self, request: Request) -> None:
        self._request = request
        designs = np.unique(request.designs, axis=0)
        self._queue = iter(designs)
        n, width = len(request.designs), len(self.problem.constraint_names)
        self._violations = np.full((n, width), np.nan)
        self._results = Population(request.designs, np.full((n, len(self.objectives)), np.nan), np.full(n, np.inf))
        self._open = {design.tobytes(): i for i, design in enumerate(designs)}

    def ask(self, n: int, pending: Array) -> Array:
        """-> (<= n, f) designs over the features that can change."""
        for part in self._told:
            self._evolution.tell(part)
        self._told = []
        designs = [design for _, design in zip(range(n), self._queue, strict=False)]
        if not designs and self._stage is not None and not self._open:
            assert self._request is not None
            try:
                self._next_depth(self._stage.send(Answer(self._results, self._violations)))
            except StopIteration:
                self._stage = None
                self._queue = iter(self._evolution.starts)
            designs = [design for _, design in zip(range(n), self._queue, strict=False)]
        full = np.array(designs) if designs else self._evolution.children(n)
        return np.clip(full[:, self.problem.free], self.space.low, self.space.high)

    def tell(self, designs: Array, evaluation: Evaluation) -> None:
        """Results in any order."""
        problem = self.problem
        full = problem.canonical(problem.full(designs))
        ok = evaluation.status == "ok"
        valid = problem.valid(evaluation.constraints) & ok
        total = np.where(ok, np.maximum(evaluation.constraints, 0.0).sum(axis=1), np.inf)
        total = np.where(ok & ~valid, np.maximum(total, 1e-12), total)  # met, but by less than the margin
        total[valid] = 0.0
        told = Population(full, evaluation.losses(self.objectives), total)
        self._told.append(told)
        for row, design in enumerate(full):
            if self._open.pop(design.tobytes(), None) is not None:
                assert self._request is not None
                same = (self._request.designs == design).all(axis=1)
                self._violations[same] = evaluation.constraints[row]
                self._results.objectives[same], self._results.violation[same] = told.objectives[row], total[row]
