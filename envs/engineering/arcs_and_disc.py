"""The two-dimensional example of multi-objective counterfactuals: four arcs and a disc of valid designs.

Reference: [Regenwetter2025] MCD, J. Mech. Des. 147(2), arXiv:2305.11308.
"""

import numpy as np

from designopt import Constraint, DesignEnv, DesignSpace, Evaluation, Objective, Real
from designopt.evaluation import Array


class ArcsAndDisc(DesignEnv):
    """As far to the upper right as the valid region reaches; it is 8.4 % of the square.

    Valid inside the disc of radius 0.1 around (0.3, 0.3), or where ((u^6 - 1)^2 + (v^6 - 1)^2)^2 < 0.99 with
    u = x1 - x2 and v = x1 + x2. Metric ``valid`` is 1 or 0; the constraint ``region`` is graded.
    """

    design_space = DesignSpace(x1=Real(-1.1, 1.1), x2=Real(-1.1, 1.1))
    objectives = (Objective("right", "max"), Objective("up", "max"))
    constraints = (Constraint("region"),)

    def evaluate(self, designs: Array) -> Evaluation:
        """designs: (n, 2) -> Evaluation with objectives (n, 2), constraints (n, 1) and the metric valid."""
        designs = np.asarray(designs, dtype=np.float64)
        x1, x2 = designs.T
        disc = np.hypot(x1 - 0.3, x2 - 0.3) - 0.1
        arcs = (((x1 - x2) ** 6 - 1) ** 2 + ((x1 + x2) ** 6 - 1) ** 2) ** 2 - 0.99
        region = np.minimum(disc, arcs)
        return Evaluation(designs.copy(), region[:, None], metrics={"valid": (region < 0).astype(np.float64)})
