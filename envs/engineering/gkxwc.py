"""Two planar problems with periodic constraints and, in the second, tiny feasible islands.

References:
    [Gardner2014] Gardner, Kusner, Xu, Weinberger & Cunningham, Bayesian optimization with inequality constraints,
        ICML 2014, simulations 1 and 2.
"""

from __future__ import annotations

import numpy as np

from designopt import Constraint, DesignEnv, DesignSpace, Evaluation, Objective, Real, Reference
from designopt.parameters import Array


class GKXWC1(DesignEnv):
    """Waves with feasible stripes; the constraint is not active at the optimum.

    Design: x1, x2 in [0, 6].  Objective: cos(2 x1) cos(x2) + sin(x1), minimise.
    Constraint: cos(x1) cos(x2) - sin(x1) sin(x2) <= 1/2.

    Version history: v0 first release.
    """

    design_space = DesignSpace(x1=Real(0.0, 6.0), x2=Real(0.0, 6.0))
    objectives = (Objective("waves"),)
    constraints = (Constraint("stripes", scale=0.5),)
    reference = Reference(value=-2.0, design=(1.5 * np.pi, 0.0), source="closed form: (3 pi / 2, 0)")

    def evaluate(self, designs: Array) -> Evaluation:
        """designs: (n, 2) -> Evaluation with objectives (n, 1), constraints (n, 1)."""
        x1, x2 = designs.T
        waves = np.cos(2 * x1) * np.cos(x2) + np.sin(x1)
        stripes = np.cos(x1) * np.cos(x2) - np.sin(x1) * np.sin(x2) - 0.5
        return Evaluation(waves[:, None], stripes[:, None])


class GKXWC2(DesignEnv):
    """A smooth slope over two small islands, 1.8 % of the square; the better island holds the optimum on its shore.

    Design: x1, x2 in [0, 6].  Objective: sin(x1) + x2, minimise.  Constraint: sin(x1) sin(x2) <= -0.95.

    Version history: v0 first release.
    """

    design_space = DesignSpace(x1=Real(0.0, 6.0), x2=Real(0.0, 6.0))
    objectives = (Objective("slope"),)
    constraints = (Constraint("islands", scale=0.95),)
    reference = Reference(
        value=0.2532358975, design=(1.5 * np.pi, 1.2532358976), source="closed form: (3 pi / 2, arcsin 0.95)"
    )

    def evaluate(self, designs: Array) -> Evaluation:
        """designs: (n, 2) -> Evaluation with objectives (n, 1), constraints (n, 1)."""
        x1, x2 = designs.T
        slope = np.sin(x1) + x2
        islands = np.sin(x1) * np.sin(x2) + 0.95
        return Evaluation(slope[:, None], islands[:, None])
