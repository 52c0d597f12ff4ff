"""Static robust search: the recourse is fixed before the scenario."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from designopt import DesignEnv, Real, tunable
from designopt.milp import solve
from designopt.parameters import Array
from designopt.search.robust.base import RobustSearch
from designopt.search.robust.models import one_recourse
from designopt.two_stage import AffineRecourse


class StaticRobustSearch(RobustSearch):
    """One design with one recourse for all scenarios, by dualising the worst case [Bertsimas2004].

    Pessimistic: its programme overestimates the cost; the value of the design with real recourse is at least as good.

    Reference: [Bertsimas2004] The price of robustness, Operations Research 52.
    """

    requires: ClassVar[tuple[type, ...]] = (DesignEnv, AffineRecourse)

    @dataclass(frozen=True)
    class Config:
        """Hyper-parameters; seconds are wall-clock."""

        main_seconds: float = tunable(10.0, Real(1.0, 100.0), "limit of the programme")
        solver: str = "highs"

    config: Config

    def candidates(self) -> Iterator[Array]:
        """One design."""
        assert isinstance(self.env, AffineRecourse)
        model = self.env.affine_model()
        main = one_recourse(model, relaxed=False)
        answer = solve(main, seconds=self.seconds_left(self.config.main_seconds), solver=self.config.solver)
        if answer.values is not None:
            yield answer.values[: len(model.first.c)]
