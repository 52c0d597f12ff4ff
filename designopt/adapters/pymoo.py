"""Environments as pymoo problems.

pymoo minimises: a maximised objective is its negative in ``F``. Constraints have the same sign in both (feasible <= 0).
Log-scaled reals are natural logarithms and ordinals are indices over there; ``problem.designs(X)`` translates back.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from pymoo.core.problem import Problem

from designopt.env import DesignEnv
from designopt.parameters import Array


class EnvProblem(Problem):  # type: ignore[misc]  # pymoo has no types
    """A design environment that pymoo's algorithms can minimise.

    Any space works with the algorithms that take named variables of mixed type (``MixedVariableGA`` and its mating,
    sampling and duplicate elimination in NSGA-II). When every column is real, ``xl`` and ``xu`` are arrays and the
    algorithms over real vectors work as well.

    A design without values (any status but ok) is left to pymoo's ``replace_nan_values_by``, set to infinity: the worst
    of all in every comparison, as pymoo has it for values that a problem does not give.
    """

    def __init__(self, env: DesignEnv) -> None:
        self.env = env
        variables = env.design_space.pymoo()
        sizes: dict[str, Any] = {"n_obj": len(env.objectives), "n_ieq_constr": len(env.constraints)}
        if not env.design_space.discrete.any():
            bounds = np.array([variable.bounds for variable in variables.values()])
            sizes |= {"n_var": len(variables), "xl": bounds[:, 0], "xu": bounds[:, 1]}
        super().__init__(vars=variables, replace_nan_values_by=np.inf, **sizes)

    def designs(self, X: Any) -> Array:
        """One or n points of this problem, as vectors (n, d) or dictionaries by name -> (n, d) designs."""
        if isinstance(X, Mapping):
            X = [X]
        elif isinstance(X, np.ndarray) and X.dtype != object:
            X = [dict(zip(self.env.design_space.columns, row, strict=True)) for row in np.atleast_2d(X)]
        return self.env.design_space.from_pymoo(X)

    def _evaluate(self, X: Any, out: dict[str, Any], *args: Any, **kwargs: Any) -> None:
        evaluation = self.env.evaluate(self.designs(X))
        ok = (evaluation.status == "ok")[:, None]
        out["F"] = np.where(ok, evaluation.losses(self.env.objectives), np.nan)
        out["G"] = np.where(ok, evaluation.constraints, np.nan)


def to_pymoo(env: DesignEnv) -> EnvProblem:
    """The environment as a pymoo Problem: objectives minimised, constraints feasible when <= 0."""
    return EnvProblem(env)
