"""Relaxed recourse: one mixed-integer programme with a valid bound, then exact worst cases and a screened descent.

Method and derivation: docs/robust.md. Relaxing only the recourse lets the inner maximum be dualised; what is ignored
is the integrality gap of the recourse, which shrinks as problems grow. A recourse fixed before the scenario (static
robust) errs on the other side and starts it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from designopt import DesignEnv, Integer, Real, tunable
from designopt.milp import solve
from designopt.parameters import Array
from designopt.search.robust.base import RobustSearch
from designopt.search.robust.descent import Screen, descend, perturbed, stop_at
from designopt.search.robust.models import one_recourse
from designopt.two_stage import AffineRecourse


class RelaxedRecourseSearch(RobustSearch):
    """Anytime search of two-stage robust problems with uncertain objective: certified values and a proved bound.

    Steps: the static robust programme; the relaxed-recourse programme started from it, every improving solution
    evaluated exactly; descent over flips and swaps; then perturbation and descent again until the time is over. Ends by
    itself when incumbent and bound meet.
    """

    requires: ClassVar[tuple[type, ...]] = (DesignEnv, AffineRecourse)

    @dataclass(frozen=True)
    class Config:
        """Hyper-parameters; seconds are wall-clock."""

        static_seconds: float = tunable(1.5, Real(0.5, 5.0), "limit of the static robust programme")
        relaxed_seconds: float = tunable(5.0, Real(1.0, 60.0), "limit of the relaxed-recourse programme")
        descent_seconds: float = tunable(3.0, Real(0.0, 60.0), "limit of descents after it; 0: none")
        restarts: int = tunable(20, Integer(0, 1000), "perturbed descents within that limit")

    config: Config

    def candidates(self) -> Iterator[Array]:
        """Designs, each with the best certified loss so far or from a programme."""
        assert isinstance(self.env, AffineRecourse)
        model, sign = self.env.affine_model(), self.sign * self.env.cost_sign
        assert sign > 0, "the environment's loss is its cost"
        nx = len(model.first.c)
        static = solve(one_recourse(model, relaxed=False), seconds=self.seconds_left(self.config.static_seconds))
        seen = [] if static.values is None else [static.values[:nx]]
        self.note("static robust programme")
        relaxed = solve(
            one_recourse(model, relaxed=True),
            seconds=self.seconds_left(self.config.relaxed_seconds),
            start=static.values,
        )
        self.prove(relaxed.bound, "relaxed-recourse programme")
        seen += [values[:nx] for values in reversed(relaxed.incumbents)]
        screen = Screen(nx, self.problem.uncertainty.dim)
        for x in {x.tobytes(): x for x in map(np.round, seen)}.values():
            _, high, scenario = self.worst_loss(x, cutoff=self.best_loss)
            self._learn(screen, x, scenario)
            if self.offer(x, high, "exact worst case"):
                yield x
        yield from self._descents(screen)

    def _descents(self, screen: Screen) -> Iterator[Array]:
        until = stop_at(self.seconds_left(self.config.descent_seconds))
        if self.best is None:
            return
        x, loss = descend(self, self.best, self.best_loss, screen, until)
        yield self.best
        for _ in range(self.config.restarts):
            if until() or self.proved:
                return
            start = perturbed(x if self.rng.random() < 0.5 else self.best, self.rng)
            _, high, scenario = self.worst_loss(start)
            self._learn(screen, start, scenario)
            y, reached = descend(self, start, high, screen, until)
            if reached <= loss + 0.002 * abs(loss):  # a step aside is allowed, a leap down is not
                x, loss = y, reached
            yield self.best

    def _learn(self, screen: Screen, x: Array, scenario: Array) -> None:
        bound = self.problem.second_stage(x, scenario).bound
        if bound is not None:
            screen.add(self.sign * bound, scenario)
