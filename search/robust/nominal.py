"""Nominal search: the best design if nature does nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from designopt import DesignEnv, Real, tunable
from designopt.milp import solve
from designopt.parameters import Array
from designopt.search.robust.base import RobustSearch
from designopt.search.robust.models import scenario_main
from designopt.two_stage import ScenarioBlocks


class NominalSearch(RobustSearch):
    """The optimum of the nominal scenario (that nearest to zero): what robustness is compared with.

    One design. The nominal optimum bounds every worst case, so it is proved as a bound.
    """

    requires: ClassVar[tuple[type, ...]] = (DesignEnv, ScenarioBlocks)

    @dataclass(frozen=True)
    class Config:
        """Hyper-parameters; seconds are wall-clock."""

        main_seconds: float = tunable(10.0, Real(1.0, 100.0), "limit of the programme")
        solver: str = "highs"

    config: Config

    def candidates(self) -> Iterator[Array]:
        """One design."""
        assert isinstance(self.env, ScenarioBlocks)
        scenario = self.problem.uncertainty.project(np.zeros((1, self.problem.uncertainty.dim)))[0]
        first = self.env.first_stage()
        main = scenario_main(first, [self.env.block(scenario)])
        answer = solve(main, seconds=self.seconds_left(self.config.main_seconds), solver=self.config.solver)
        self.prove(answer.bound, "nominal programme")
        if answer.values is not None:
            yield answer.values[: len(first.c)]
