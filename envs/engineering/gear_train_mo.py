"""Compound gear train: closeness to a wanted ratio against the size of the gears.

References: [Sandgren1990] Nonlinear integer and discrete programming in mechanical design optimization; [Deb2001]
Multi-objective optimization using evolutionary algorithms; [TanabeIshibuchi2020], problem CRE25.
"""

import numpy as np

from designopt import Constraint, DesignEnv, DesignSpace, Evaluation, Integer, Objective, Reference
from designopt.evaluation import Array

RATIO = 6.931


class GearTrainMO(DesignEnv):
    """Error of the ratio of two gear pairs, wanted 6.931, and teeth of the largest of the four gears.

    Design: teeth of the driving and driven gear of each pair.  Objectives: ratio error, largest gear; both minimised.
    Constraint: an error of at most half the wanted ratio.
    """

    design_space = DesignSpace(
        driver_1=Integer(12, 60),
        driver_2=Integer(12, 60),
        driven_1=Integer(12, 60),
        driven_2=Integer(12, 60),
    )
    objectives = (Objective("ratio_error", "min"), Objective("largest_gear", "min", unit="teeth"))
    constraints = (Constraint("relative_error"),)
    reference = Reference(
        source="exact: all designs enumerated, 17 points; benchmarks/reference_fronts.py GearTrainMO",
        hypervolume=91.916319,
        reference_point=(3.5, 54.0),
    )

    def evaluate(self, designs: Array) -> Evaluation:
        """designs: (n, 4) -> Evaluation with objectives (n, 2), constraints (n, 1)."""
        driver_1, driver_2, driven_1, driven_2 = designs.T
        error = np.abs(RATIO - driven_1 * driven_2 / (driver_1 * driver_2))
        return Evaluation(np.stack([error, designs.max(axis=1)], axis=1), error[:, None] / RATIO - 0.5)
