"""The counterfactual search: a sparsity beam, then evolution, for one query or several at once."""

from __future__ import annotations

import time
from collections.abc import Sequence as Seq
from typing import Protocol

import numpy as np

from designopt.counterfactual.problem import Problem
from designopt.counterfactual.targets import OneOf, Outputs
from designopt.parameters import Array
from designopt.search.counterfactual.archive import Archive
from designopt.search.counterfactual.beam import gradient_beam
from designopt.search.counterfactual.differences import black_box_start
from designopt.search.counterfactual.evolution import Evolution, Mask, initial, symbols
from designopt.search.counterfactual.sparsify import sparsify
from designopt.search.counterfactual.steps import Answer, Request, Stage, project

POPULATION = 100
REFINED = 10
"""How many of the best designs are refined after the search."""
CLOSING = 0.85
"""Share of a time limit after which they are refined."""
PATIENCE = 5000
"""Calls without a smaller least violation, while nothing is valid, after which the targets look out of reach."""
HOPELESS = 3.0
"""Total violation (in scales) beyond which a design is not worth a gradient."""


class Model(Protocol):
    """A predictor over whole batches of designs (n, d)."""

    differentiable: bool

    def outputs(self, designs: Array) -> dict[str, Array]:
        """Name -> (n,) values."""

    def jacobian(self, designs: Array) -> tuple[dict[str, Array], dict[str, Array]]:
        """Name -> (n,) values, and name -> (n, d) derivatives."""


class Search:
    """One query's search; ``request`` is what it wants evaluated next, None when it has ended.

    Args:
        budget: calls of the model; a gradient of a design counts as one further call.
        gradients: whether requests may ask for them.
        known_valid: (N,) which data rows are known to meet the targets.
    """

    def __init__(
        self, problem: Problem, *, budget: int, seed: int, gradients: bool, known_valid: Mask | None = None
    ) -> None:
        self.problem = problem
        self.budget = budget
        self.archive = Archive(problem)
        self.gave_up = False
        rng = np.random.default_rng(np.random.SeedSequence(seed))
        starts = initial(problem, known_valid, rng, POPULATION)
        self.evolution = Evolution(problem, starts, rng, POPULATION)
        self._least, self._least_at = np.inf, 0
        self._last = False  # whether the request at hand was cut to what the budget allows
        self._gradients = gradients
        self._stage = self._run()
        self.request: Request | None = self._cut(next(self._stage))

    def _run(self) -> Stage:
        problem, gradients = self.problem, self._gradients
        if gradients:
            yield from gradient_beam(problem, self.evolution, budget=self.budget // 2)
        elif graded(problem):
            yield from black_box_start(problem, self.evolution, budget=2 * self.budget // 5)
        yield from begin(problem, self.evolution)
        reserve = min(REFINED * 40, self.budget // 10) + (3 if gradients else 1) * POPULATION
        while self.budget - self.archive.calls > reserve:
            yield from generation(problem, self.evolution, gradients)
        yield from self._finish()

    def _finish(self) -> Stage:
        """Refine the best designs, then go on for as long as anybody asks."""
        population = self.evolution.population
        valid = np.flatnonzero(population.violation <= 0)
        score = population.objectives[valid, :3] @ (1.0, 0.3, 0.5)
        best = valid[np.argsort(score, kind="stable")[:REFINED]]
        yield from sparsify(self.problem, population.designs[best])
        while True:
            yield from generation(self.problem, self.evolution, self._gradients)

    def close(self) -> None:
        """Refine now what was found, because the time is nearly over; nothing happens while nothing is valid."""
        if self.request is not None and len(self.archive):
            self._stage = self._finish()
            self.request = self._cut(next(self._stage))

    def receive(self, outputs: Outputs, slopes: Array | None = None) -> None:
        """Results of the request: outputs (n,) by name and, where asked for, slopes of the violations (n, k, d)."""
        assert self.request is not None
        n = len(self.request.designs)
        population, violations = self.archive.add(self.request.designs, outputs, n if slopes is None else 2 * n)
        least = population.violation.min(initial=np.inf)
        if least < 0.99 * self._least or not np.isfinite(self._least):
            self._least, self._least_at = least, self.archive.calls
        self.gave_up = not len(self.archive) and self.archive.calls - self._least_at >= PATIENCE
        if self.gave_up or self._last or self.archive.calls >= self.budget:
            self.request = None
        else:
            self.request = self._cut(self._stage.send(Answer(population, violations, slopes)))

    def _cut(self, request: Request) -> Request:
        """No more than the budget allows; what is cut off is the end of the search."""
        left = self.budget - self.archive.calls
        each = 2 if request.gradient else 1
        if len(request.designs) * each <= left:
            return request
        self._last = True
        return Request(request.designs[:left])


def begin(problem: Problem, evolution: Evolution) -> Stage:
    """Evaluate the designs that evolution begins from."""
    starts = np.unique(evolution.starts, axis=0)
    answer = yield Request(starts)
    evolution.tell(answer.population)


def generation(problem: Problem, evolution: Evolution, gradients: bool, steps: int = 2) -> Stage:
    """One generation; with gradients, half of the children are first led to the targets."""
    children = evolution.children(POPULATION)
    if gradients:
        half = POPULATION // 2
        led = children[:half]
        for _ in range(steps):
            answer = yield Request(led, True)
            support = problem.changed(led) & problem.free & ~symbols(problem)
            near = answer.population.violation <= HOPELESS
            led = np.where(near[:, None], project(problem, led, answer, support), led)
        children = np.concatenate([led, children[half:]])
    answer = yield Request(children)
    evolution.tell(answer.population)


def graded(problem: Problem) -> bool:
    """Whether some target has a violation that tells near from far."""
    return any(not isinstance(t, OneOf) for t in problem.hard.values()) or bool(problem.restrictions)


def run(searches: Seq[Search], model: Model, *, seconds: float | None = None) -> None:
    """Run searches over one model to their ends; each round is one call of the model for all of them.

    Args:
        searches: of problems over one space.
        model: predicts outputs.
        seconds: wall-clock limit; what was found by then stays in the archives.
    """
    deadline = np.inf if seconds is None else time.monotonic() + seconds
    while time.monotonic() < deadline:
        active = [s for s in searches if s.request is not None]
        if not active:
            return
        for gradient in (False, True):
            group = [s for s in active if s.request is not None and s.request.gradient == gradient]
            if group:
                _evaluate(group, model, gradient)


def _evaluate(group: Seq[Search], model: Model, gradient: bool) -> None:
    requests = [s.request for s in group if s.request is not None]
    designs = np.concatenate([r.designs for r in requests])
    jacobian: dict[str, Array] = {}
    if gradient:
        outputs, jacobian = model.jacobian(designs)
    else:
        outputs = model.outputs(designs)
    stops = np.cumsum([len(r.designs) for r in requests])
    for search, stop, request in zip(group, stops, requests, strict=True):
        rows = slice(stop - len(request.designs), stop)
        own = {name: values[rows] for name, values in outputs.items()}
        slopes = None
        if gradient:
            slopes = violation_slopes(search.problem, own, {name: d[rows] for name, d in jacobian.items()})
        search.receive(own, slopes)


def violation_slopes(problem: Problem, outputs: Outputs, jacobian: dict[str, Array]) -> Array:
    """(n, k, d) derivatives of the violations by the chain rule; zero where they are unknown."""
    n = len(next(iter(jacobian.values())))
    slopes = np.zeros((n, len(problem.constraint_names), problem.space.dim))
    for j, ((name, target), scale) in enumerate(zip(problem.hard.items(), problem.scales, strict=True)):
        for output, slope in target.slope(name, outputs).items():
            if output in jacobian:
                slopes[:, j] += slope[:, None] * jacobian[output] / scale
    return slopes
