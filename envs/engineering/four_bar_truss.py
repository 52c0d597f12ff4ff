"""Four-bar plane truss: volume against sway.

References: [ChengLi1999] Generalized center method for multiobjective engineering optimization; [TanabeIshibuchi2020]
An easy-to-use real-world multi-objective optimization problem suite, problem RE21.
"""

import numpy as np

from designopt import DesignEnv, DesignSpace, Evaluation, Objective, Real, Reference
from designopt.evaluation import Array


class FourBarTruss(DesignEnv):
    """Volume of a truss of four bars and displacement of its joint under F = 10 kN; stresses hold through the bounds.

    Design: cross-sectional areas of the bars (cm^2).  Objectives: volume, displacement; both minimised. No constraints.
    """

    design_space = DesignSpace(
        area_1=Real(1, 3, unit="cm^2"),
        area_2=Real(np.sqrt(2), 3, unit="cm^2"),
        area_3=Real(np.sqrt(2), 3, unit="cm^2"),
        area_4=Real(1, 3, unit="cm^2"),
    )
    objectives = (Objective("volume", "min", unit="cm^3"), Objective("displacement", "min", unit="cm"))
    reference = Reference(
        source="merged front of 4 seeds of NSGA-II and local steps, 585608 points, seeds within 1e-06; "
        "benchmarks/reference_fronts.py FourBarTruss",
        hypervolume=49.447506,
        reference_point=(3000.0, 0.042),
    )

    def evaluate(self, designs: Array) -> Evaluation:
        """designs: (n, 4) -> Evaluation with objectives (n, 2)."""
        a1, a2, a3, a4 = designs.T
        F, E, L = 10.0, 2e5, 200.0  # kN, kN/cm^2, cm
        root2 = np.sqrt(2)
        # The root of a3, without physical dimension, is what the literature has; kept so that fronts compare.
        volume = L * (2 * a1 + root2 * a2 + np.sqrt(a3) + a4)
        displacement = F * L / E * (2 / a1 + 2 * root2 / a2 - 2 * root2 / a3 + 2 / a4)
        return Evaluation(np.stack([volume, displacement], axis=1))
