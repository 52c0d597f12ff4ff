"""Two-stage environments whose recourse is a linear programme and whose scenarios can be listed.

The cost after recourse is convex in a scenario that enters the right-hand side, so its worst case over a polytope lies
at a vertex; with a finite set it lies at a point of it. Either way, listing settles the worst case.
"""

from __future__ import annotations

import time
from typing import Protocol

import numpy as np

from designopt.milp import INFINITY, MILP, solve
from designopt.parameters import Array
from designopt.two_stage import Block, FirstStage, SecondStage, WorstCase


class _Problem(Protocol):
    cost_sign: int

    def first_stage(self) -> FirstStage: ...
    def block(self, xi: Array) -> Block: ...
    @property
    def scenarios(self) -> Array: ...


class LinearRecourse:
    """Second stages and worst cases from ``first_stage``, ``block`` and ``scenarios``."""

    def second_stage(self: _Problem, x: Array, xi: Array) -> SecondStage:
        """Cost of design x (d,) under scenario xi (u,) with the best recourse; NaN where there is none."""
        block, first = self.block(np.asarray(xi, dtype=float)), self.first_stage()
        x = np.asarray(x, dtype=float)
        answer = solve(
            MILP(
                cost=block.z_cost,
                A=block.W,
                row_lower=np.full(len(block.h), -INFINITY),
                row_upper=block.h - block.T @ x,
                lower=block.lower,
                upper=block.upper,
                integer=block.integer,
            )
        )
        if answer.values is None:
            return SecondStage(float("nan"), np.full(len(block.z_cost), np.nan))
        cost = first.c @ x + block.x_cost @ x + answer.cost
        return SecondStage(float(self.cost_sign * cost), answer.values)

    def second_stage_values(self, X: Array, Xi: Array) -> Array:
        """Costs (s,) of designs X (s, d) under scenarios Xi (s, u)."""
        return np.array([self.second_stage(x, xi).value for x, xi in zip(X, Xi, strict=True)])  # type: ignore[misc]

    def worst_case(
        self: _Problem, x: Array, *, tolerance: float = 1e-6, cutoff: float | None = None, seconds: float | None = None
    ) -> WorstCase:
        """Certified worst cost of design x by listing the scenarios.

        Stops early once ``cutoff`` is reached; out of time, the interval's upper end is infinite.
        """
        del tolerance  # a list has none
        deadline = np.inf if seconds is None else time.monotonic() + seconds
        worst = WorstCase((-np.inf, -np.inf), self.scenarios[0], np.zeros(0))
        for xi in self.scenarios:
            stage = LinearRecourse.second_stage(self, x, xi)
            if stage.value > worst.interval[0]:
                worst = WorstCase((stage.value, stage.value), xi, stage.recourse)
            if (cutoff is not None and worst.interval[0] >= cutoff) or time.monotonic() > deadline:
                return WorstCase((worst.interval[0], np.inf), worst.scenario, worst.recourse)
        return worst
