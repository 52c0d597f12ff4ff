"""Speed reducer: a light gearbox whose first shaft is little stressed.

References: [Golinski1970] for the gearbox; [Kurpati2002] Constraint handling improvements for multiobjective genetic
algorithms, for the objectives and stress limits; [TanabeIshibuchi2020], problem CRE24.
"""

import numpy as np

from designopt import Constraint, DesignEnv, DesignSpace, Evaluation, Integer, Objective, Real, Reference
from designopt.evaluation import Array

CONSTRAINTS = (
    "tooth_bending",
    "tooth_contact",
    "deflection_1",
    "deflection_2",
    "pinion_size",
    "slender_face",
    "wide_face",
    "shaft_1_length",
    "shaft_2_length",
    "shaft_1_stress",
    "shaft_2_stress",
)


class SpeedReducerMO(DesignEnv):
    """Weight (as volume of metal) of a single-stage gearbox and stress in its first shaft.

    Design: face width and tooth module (cm), teeth of the pinion, lengths of both shafts between bearings and their
    diameters (cm).  Objectives: weight, stress; both minimised.
    Constraints: eleven ratios to their limits, less one, so dimensionless; stresses at most 1300 and 1100 kgf/cm^2 (the
    single-objective problem has 1100 and 850).
    """

    design_space = DesignSpace(
        face_width=Real(2.6, 3.6, unit="cm"),
        module=Real(0.7, 0.8, unit="cm"),
        teeth=Integer(17, 28),
        shaft_1_length=Real(7.3, 8.3, unit="cm"),
        shaft_2_length=Real(7.3, 8.3, unit="cm"),
        shaft_1_diameter=Real(2.9, 3.9, unit="cm"),
        shaft_2_diameter=Real(5.0, 5.5, unit="cm"),
    )
    objectives = (Objective("weight", "min", unit="cm^3"), Objective("stress", "min", unit="kgf/cm^2"))
    constraints = tuple(map(Constraint, CONSTRAINTS))
    reference = Reference(
        source="merged front of 4 seeds of NSGA-II and local steps, 59487 points, seeds within 3e-06; "
        "benchmarks/reference_fronts.py SpeedReducerMO",
        hypervolume=2061524.8,
        reference_point=(6000.0, 1350.0),
    )

    def evaluate(self, designs: Array) -> Evaluation:
        """designs: (n, 7) -> Evaluation with objectives (n, 2), constraints (n, 11)."""
        b, m, z, l1, l2, d1, d2 = designs.T
        weight = (
            0.7854 * b * m**2 * (10 / 3 * z**2 + 14.933 * z - 43.0934)
            - 1.508 * b * (d1**2 + d2**2)
            + 7.477 * (d1**3 + d2**3)
            + 0.7854 * (l1 * d1**2 + l2 * d2**2)
        )
        stress_1 = np.sqrt((745 * l1 / (m * z)) ** 2 + 1.69e7) / (0.1 * d1**3)
        stress_2 = np.sqrt((745 * l2 / (m * z)) ** 2 + 1.575e8) / (0.1 * d2**3)
        constraints = [
            27 / (b * m**2 * z) - 1,
            397.5 / (b * m**2 * z**2) - 1,
            1.93 * l1**3 / (m * z * d1**4) - 1,
            1.93 * l2**3 / (m * z * d2**4) - 1,
            m * z / 40 - 1,
            b / (12 * m) - 1,
            5 * m / b - 1,
            (1.5 * d1 + 1.9) / l1 - 1,
            (1.1 * d2 + 1.9) / l2 - 1,
            stress_1 / 1300 - 1,
            stress_2 / 1100 - 1,
        ]
        return Evaluation(np.stack([weight, stress_1], axis=1), np.stack(constraints, axis=1))
