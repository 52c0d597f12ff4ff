"""Column-and-constraint generation.

Reference: [Zeng2013] Solving two-stage robust optimization problems using a column-and-constraint generation method,
Operations Research Letters 41.
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
from designopt.search.robust.models import scenario_main
from designopt.two_stage import ScenarioBlocks


class CCGSearch(RobustSearch):
    """Exact: a main problem over the scenarios found so far, an exact adversary that finds the next.

    Every scenario adds its own recourse, whole-numbered where the environment says so, so the main problem grows:
    optimal and proved for small problems, a heuristic with a valid bound when its time runs out.
    """

    requires: ClassVar[tuple[type, ...]] = (DesignEnv, ScenarioBlocks)

    @dataclass(frozen=True)
    class Config:
        """Hyper-parameters; seconds are wall-clock."""

        iterations: int = tunable(100, Integer(1, 1000), "scenarios at most")
        main_seconds: float = tunable(10.0, Real(1.0, 1000.0, log=True), "limit of one main problem")
        solver: str = "highs"

    config: Config

    def candidates(self) -> Iterator[Array]:
        """The main problem's designs."""
        assert isinstance(self.env, ScenarioBlocks)
        first = self.env.first_stage()
        uncertainty = self.problem.uncertainty
        scenarios = [uncertainty.project(np.zeros((1, uncertainty.dim)))[0]]
        blocks = [self.env.block(scenarios[0])]
        for _ in range(self.config.iterations):
            main = scenario_main(first, blocks)
            answer = solve(
                main, seconds=self.seconds_left(self.config.main_seconds), gap=1e-9, solver=self.config.solver
            )
            self.prove(answer.bound, "main problem")
            if answer.values is None:
                return
            x = answer.values[: len(first.c)]
            _, high, scenario = self.worst_loss(x)
            self.offer(x, high, "exact worst case")
            yield x
            if self.proved or any(np.allclose(scenario, old, atol=1e-9) for old in scenarios):
                return
            scenarios.append(scenario)
            blocks.append(self.env.block(scenario))
