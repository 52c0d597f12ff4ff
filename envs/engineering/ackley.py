"""Ackley's function over a ball and a half-space.

References:
    [Eriksson2021] Eriksson & Poloczek, Scalable constrained Bayesian optimization, AISTATS 2021 (there with d = 10).
"""

from __future__ import annotations

import numpy as np

from designopt import Constraint, DesignEnv, DesignSpace, Evaluation, Objective, Real, Reference
from designopt.parameters import Array


class Ackley(DesignEnv):
    """Ackley's function: a narrow funnel under ripples; the optimum lies on the boundary of the feasible set.

    Design: x1 .. xd in [-5, 10], ``dim`` of them.  Objective: Ackley's function (a = 20, b = 0.2, c = 2 pi), minimise.
    Constraints: sum of x at most 0; Euclidean norm of x at most 5. The feasible share falls from 17 % at d = 2 to less
    than 1 in 30 000 at d = 10.

    Version history: v0 first release.
    """

    objectives = (Objective("ackley"),)
    constraints = (Constraint("sum", scale=5.0), Constraint("norm", scale=5.0))

    def __init__(self, dim: int = 2, render_mode: str | None = None) -> None:
        super().__init__(render_mode)
        if dim < 1:
            raise ValueError(f"Ackley: dim = {dim}; it must be at least 1")
        self.design_space = DesignSpace({f"x{i}": Real(-5.0, 10.0) for i in range(1, dim + 1)})
        self.reference = Reference(value=0.0, design=(0.0,) * dim, source="closed form")

    def evaluate(self, designs: Array) -> Evaluation:
        """designs: (n, dim) -> Evaluation with objectives (n, 1), constraints (n, 2)."""
        norm = np.linalg.norm(designs, axis=1)
        bowl = -20 * np.exp(-0.2 * norm / np.sqrt(designs.shape[1]))
        ripples = -np.exp(np.cos(2 * np.pi * designs).mean(axis=1))
        ackley = bowl + ripples + 20 + np.e
        return Evaluation(ackley[:, None], np.stack([designs.sum(axis=1), norm - 5], axis=1))
