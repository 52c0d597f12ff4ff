"""Two-bar truss: volume against stress.

References: [Deb2001] Multi-objective optimization using evolutionary algorithms, section 8.5; as in pymoo's truss2d.
"""

import numpy as np

from designopt import Constraint, DesignEnv, DesignSpace, Evaluation, Objective, Real, Reference
from designopt.evaluation import Array


class TwoBarTruss(DesignEnv):
    """Volume and largest stress of two bars that carry 100 kN between supports 5 m apart.

    Design: cross-sectional areas of the bars AC and BC (m^2), height of the joint (m).
    Objectives: volume, stress; both minimised.  Constraint: stress at most 100 MPa.
    The lower bound of the areas is 1e-5 instead of 0, where stress is infinite; no feasible area is below 3e-4.
    """

    design_space = DesignSpace(
        area_ac=Real(1e-5, 0.01, unit="m^2"),
        area_bc=Real(1e-5, 0.01, unit="m^2"),
        height=Real(1.0, 3.0, unit="m"),
    )
    objectives = (Objective("volume", "min", unit="m^3"), Objective("stress", "min", unit="kPa"))
    constraints = (Constraint("stress_limit", unit="kPa", scale=1e5),)
    reference = Reference(
        source="merged front of 4 seeds of NSGA-II and local steps, 75559 points, seeds within 4e-06; "
        "benchmarks/reference_fronts.py TwoBarTruss",
        hypervolume=4301.3426,
        reference_point=(0.055, 1.05e5),
    )

    def evaluate(self, designs: Array) -> Evaluation:
        """designs: (n, 3) -> Evaluation with objectives (n, 2), constraints (n, 1)."""
        a, b, y = designs.T
        length_ac, length_bc = np.sqrt(16 + y**2), np.sqrt(1 + y**2)
        volume = a * length_ac + b * length_bc
        stress = np.maximum(20 * length_ac / (y * a), 80 * length_bc / (y * b))
        return Evaluation(np.stack([volume, stress], axis=1), stress[:, None] - 1e5)
