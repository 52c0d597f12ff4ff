"""Relaxed recourse: one mixed-integer programme with a valid bound, then exact worst cases and a screened descent.

Method and derivation: docs/robust.md. Relaxing only the recourse lets the inner maximum be dualised; what is ignored
is the integrality gap of the recourse, which shrinks as problems grow. A recourse fixed before the scenario (static
robust) errs on the other side and starts it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from designopt import DesignEnv, Integer, Real, tunable
from designopt.milp import solve
from designopt.parameters import Array
from designopt.search.robust.base import RobustSearch
from designopt.search.robust.descent import Screen, descents, learn, stop_at
from designopt.search.robust.hull_cuts import hull_cut, with_cuts
from designopt.search.robust.models import one_recourse
from designopt.two_stage import AffineModel, AffineRecourse, PricedRecourse

SAFE = 0.85  # of a study's time is planned for: HiGHS and worst cases end late


class RelaxedRecourseSearch(RobustSearch):
    """Anytime search of two-stage robust problems with uncertain objective: certified values and a proved bound.

    Steps: the static robust programme; the relaxed-recourse programme started from it, every improving solution
    evaluated exactly; descent over flips and swaps, and again from perturbed designs; then the relaxed-recourse
    programme again and again, each time with cuts that make it exact at the designs it chose before (where recourses
    can be priced). Ends by itself when incumbent and bound meet.
    """

    requires: ClassVar[tuple[type, ...]] = (DesignEnv, AffineRecourse)

    @dataclass(frozen=True)
    class Config:
        """Hyper-parameters; seconds are wall-clock, and stretched or shrunk alike to a study's time limit."""

        static_seconds: float = tunable(1.5, Real(0.5, 5.0), "limit of the static robust programme")
        relaxed_seconds: float = tunable(5.5, Real(1.0, 600.0, log=True), "limit of all relaxed-recourse programmes")
        descent_seconds: float = tunable(2.0, Real(0.0, 60.0), "limit of the descents between them; 0: none")
        restarts: int = tunable(20, Integer(0, 1000), "perturbed descents within that limit")
        solver: str = "highs"

    config: Config

    def candidates(self) -> Iterator[Array]:
        """Designs, each with the best certified loss so far or from a programme."""
        assert isinstance(self.env, AffineRecourse)
        model, sign = self.env.affine_model(), self.sign * self.env.cost_sign
        assert sign > 0, "the environment's loss is its cost"
        nx, limits = len(model.first.c), self.config
        most = limits.static_seconds + limits.relaxed_seconds + limits.descent_seconds
        left = self.seconds_left(np.inf)
        pace = 1.0 if np.isinf(left) else SAFE * max(left, 0.0) / most
        static = solve(
            one_recourse(model, relaxed=False), seconds=pace * limits.static_seconds, solver=self.config.solver
        )
        seen = [] if static.values is None else [static.values[:nx]]
        self.note("static robust programme")
        begun, for_programmes = time.monotonic(), pace * limits.relaxed_seconds
        relaxed = solve(
            one_recourse(model, relaxed=True), seconds=for_programmes, start=static.values, solver=self.config.solver
        )
        for_programmes -= time.monotonic() - begun
        self.prove(relaxed.bound, "relaxed-recourse programme")
        seen += [values[:nx] for values in reversed(relaxed.incumbents)]
        screen = Screen(nx, self.problem.uncertainty.dim)
        chosen: dict[bytes, tuple[Array, Array]] = {}
        for x in (np.round(x) + 0.0 for x in seen):
            if x.tobytes() not in chosen:
                _, high, scenario = self.worst_loss(x, cutoff=self.best_loss)
                chosen[x.tobytes()] = x, scenario
                learn(self, screen, x, scenario)
                if self.offer(x, high, "exact worst case"):
                    yield x
        until = stop_at(self.seconds_left(pace * limits.descent_seconds))
        yield from descents(self, screen, limits.restarts, until)
        if isinstance(self.env, PricedRecourse):
            yield from self._sharpened(self.env, model, chosen, time.monotonic() + self.seconds_left(for_programmes))

    def _sharpened(
        self,
        env: PricedRecourse,
        model: AffineModel,
        chosen: dict[bytes, tuple[Array, Array]],
        end: float,
    ) -> Iterator[Array]:
        """Relaxed-recourse programmes that are exact at the designs chosen so far (design and scenario by its bytes).

        The scenario need not be the worst one: where it already costs more than the incumbent, the cut says so.
        """
        programme, nx = one_recourse(model, relaxed=True), len(model.first.c)
        cuts, uncut = [], [*chosen.values()]
        while self.best is not None and not self.proved and time.monotonic() < end:
            cuts += [hull_cut(env, model, x, scenario) for x, scenario in uncut]
            uncut = []
            start = np.full(len(programme.cost), np.nan)
            start[:nx] = self.best
            left = self.seconds_left(end - time.monotonic())
            answer = solve(
                with_cuts(programme, cuts, nx), seconds=left, gap=1e-6, start=start, solver=self.config.solver
            )
            # The incumbent is a design: a bound beyond its cost is rounding.
            self.prove(min(answer.bound, self.best_loss), "relaxed-recourse programme with cuts")
            for x in (np.round(values[:nx]) + 0.0 for values in reversed(answer.incumbents)):
                if x.tobytes() in chosen:
                    continue
                if self.seconds_left(np.inf) <= 0:
                    return
                _, high, scenario = self.worst_loss(x, cutoff=self.best_loss)
                chosen[x.tobytes()] = x, scenario
                uncut.append((x, scenario))
                if self.offer(x, high, "exact worst case"):
                    yield x
            if not uncut:
                return
