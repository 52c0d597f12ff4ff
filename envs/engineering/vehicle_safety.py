"""Vehicle front in two crashes: mass, shock and intrusion.

References: [Liao2008] Multiobjective optimization for crash safety design of vehicles using stepwise regression model;
[TanabeIshibuchi2020], problem RE34.
"""

import numpy as np

from designopt import DesignEnv, DesignSpace, Evaluation, Objective, Real, Reference
from designopt.evaluation import Array

MASS = np.array([2.3573285, 2.3220035, 4.5688768, 7.7213633, 4.4559504])


class VehicleSafety(DesignEnv):
    """Mass, acceleration in a full frontal and toe-board intrusion in an offset frontal crash.

    Design: thicknesses of five reinforcing members around the front (mm).  Objectives: all minimised; quadratic
    regressions over crash simulations, acceleration and intrusion in the units of that regression.  No constraints.
    """

    design_space = DesignSpace({f"thickness_{i}": Real(1, 3, unit="mm") for i in range(1, 6)})
    objectives = (
        Objective("mass", "min", unit="kg"),
        Objective("acceleration", "min"),
        Objective("intrusion", "min"),
    )
    reference = Reference(
        source="merged front of 4 seeds of NSGA-II and local steps, 1136724 points, seeds within 3e-03; "
        "benchmarks/reference_fronts.py VehicleSafety",
        hypervolume=247.36598,
        reference_point=(1864.72022, 11.81993945, 0.2903999384),
    )

    def evaluate(self, designs: Array) -> Evaluation:
        """designs: (n, 5) -> Evaluation with objectives (n, 3)."""
        x1, x2, x3, x4, x5 = designs.T
        mass = 1640.2823 + (designs * MASS).sum(axis=1)
        acceleration = (
            6.5856
            + (1.15 - 0.1106 * x1 - 0.3695 * x4 + 0.0861 * x5) * x1
            - (1.0427 - 0.3628 * x4) * x2
            + (0.9738 - 0.3437 * x3) * x3
            + (0.8364 + 0.1764 * x4) * x4
        )
        intrusion = (
            -0.0551
            + 0.0181 * x1
            + (0.1024 - 0.0073 * x1 - 0.0241 * x2 + 0.024 * x3 - 0.0118 * x4) * x2
            + (0.0421 - 0.0204 * x4 - 0.008 * x5) * x3
            + 0.0109 * x4**2
        )
        return Evaluation(np.stack([mass, acceleration, intrusion], axis=1))
