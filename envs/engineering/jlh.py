"""Two planar problems for seeing what constrained acquisition functions do.

References:
    [Jetton2023] Jetton, Li & Hoyle, Constrained Bayesian optimization methods using regression and classification
        Gaussian processes as constraints, IDETC-CIE 2023.
"""

from __future__ import annotations

import numpy as np

from designopt import Constraint, DesignEnv, DesignSpace, Evaluation, Objective, Real, Reference
from designopt.parameters import Array


class JLH1(DesignEnv):
    """A bowl whose bottom is cut off by a straight line.

    Design: x1, x2 in [0, 1].  Objective: squared distance to (1/2, 1/2), minimise.  Constraint: x1 + x2 <= 3/4.

    Version history: v0 first release.
    """

    design_space = DesignSpace(x1=Real(0.0, 1.0), x2=Real(0.0, 1.0))
    objectives = (Objective("squared_distance"),)
    constraints = (Constraint("line", scale=0.75),)
    reference = Reference(value=0.03125, design=(0.375, 0.375), source="closed form")

    def evaluate(self, designs: Array) -> Evaluation:
        """designs: (n, 2) -> Evaluation with objectives (n, 1), constraints (n, 1)."""
        distance = ((designs - 0.5) ** 2).sum(axis=1)
        line = designs.sum(axis=1) - 0.75
        return Evaluation(distance[:, None], line[:, None])


class JLH2(DesignEnv):
    """Waves cut off by an ellipse that passes between two basins.

    Design: x1 in [-5, 0], x2 in [-5, 5].  Objective: cos(2 x1) cos(x2) + sin(x1), minimise.
    Constraint: (x1 + 5)^2 / 4 + x2^2 / 100 <= 5/2.

    Version history: v0 first release.
    """

    design_space = DesignSpace(x1=Real(-5.0, 0.0), x2=Real(-5.0, 5.0))
    objectives = (Objective("waves"),)
    constraints = (Constraint("ellipse", scale=2.5),)
    reference = Reference(value=-1.825439616, design=(-1.837722341, 0.0), source="multi-start SLSQP")

    def evaluate(self, designs: Array) -> Evaluation:
        """designs: (n, 2) -> Evaluation with objectives (n, 1), constraints (n, 1)."""
        x1, x2 = designs.T
        waves = np.cos(2 * x1) * np.cos(x2) + np.sin(x1)
        ellipse = (x1 + 5) ** 2 / 4 + x2**2 / 100 - 2.5
        return Evaluation(waves[:, None], ellipse[:, None])
