"""Car side impact: light, gentle to the passenger, slow to intrude.

References: [JainDeb2014] An evolutionary many-objective optimization algorithm using reference-point based nondominated
sorting approach, part II; responses are the regression models of [Gu2001] for thicknesses of body parts.
"""

import numpy as np

from designopt import Constraint, DesignEnv, DesignSpace, Evaluation, Objective, Real, Reference
from designopt.evaluation import Array

PARTS = {
    "b_pillar_inner": (0.5, 1.5),
    "b_pillar_reinforcement": (0.45, 1.35),
    "floor_side_inner": (0.5, 1.5),
    "cross_members": (0.5, 1.5),
    "door_beam": (0.875, 2.625),
    "door_beltline_reinforcement": (0.4, 1.2),
    "roof_rail": (0.4, 1.2),
}
LIMITS = {
    "abdomen_load": (1.0, "kN"),
    "viscous_criterion_upper": (0.32, "m/s"),
    "viscous_criterion_middle": (0.32, "m/s"),
    "viscous_criterion_lower": (0.32, "m/s"),
    "rib_deflection_upper": (32.0, "mm"),
    "rib_deflection_middle": (32.0, "mm"),
    "rib_deflection_lower": (32.0, "mm"),
    "pubic_force_limit": (4.0, "kN"),
    "b_pillar_velocity": (9.9, "mm/ms"),
    "front_door_velocity": (15.7, "mm/ms"),
}

# Of each part per mm of thickness. Summed along rows: a matrix product rounds differently in batches of another size.
WEIGHT = np.array([4.9, 6.67, 6.98, 4.01, 1.78, 1e-5, 2.73])


class CarSideImpactMO(DesignEnv):
    """Weight, pubic force on the passenger and mean velocity of the intruding B-pillar and door.

    Design: thicknesses of seven body parts (mm).  Objectives: weight, pubic force, velocity; all minimised.
    Constraints: ten responses of the dummy and the structure, each below its limit (in its own unit).
    """

    design_space = DesignSpace({name: Real(*bounds, unit="mm") for name, bounds in PARTS.items()})
    objectives = (
        Objective("weight", "min", unit="kg"),
        Objective("pubic_force", "min", unit="kN"),
        Objective("intrusion_velocity", "min", unit="mm/ms"),
    )
    constraints = tuple(Constraint(name, unit=unit, scale=limit) for name, (limit, unit) in LIMITS.items())
    reference = Reference(
        source="merged front of 4 seeds of NSGA-II and local steps, 992388 points, seeds within 9e-04; "
        "benchmarks/reference_fronts.py CarSideImpactMO",
        hypervolume=18.410378,
        reference_point=(45.0, 4.1, 13.0),
    )

    def evaluate(self, designs: Array) -> Evaluation:
        """designs: (n, 7) -> Evaluation with objectives (n, 3), constraints (n, 10)."""
        x1, x2, x3, x4, x5, x6, x7 = designs.T
        x8, x9 = 0.345, 0.192  # GPa, yield stress of the steels of B-pillar inner and floor side inner
        weight = 1.98 + (designs * WEIGHT).sum(axis=1)
        pubic_force = 4.72 - 0.5 * x4 - 0.19 * x2 * x3
        pillar = 10.58 - 0.674 * x1 * x2 - 1.95 * x2 * x8
        door = 16.45 - 0.489 * x3 * x7 - 0.843 * x5 * x6
        responses = [
            1.16 - 0.3717 * x2 * x4 - 0.0092928 * x3,
            0.261 - 0.0159 * x1 * x2 - 0.188 * x1 * x8 - 0.019 * x2 * x7 + 0.0144 * x3 * x5 + 0.08045 * x6 * x9,
            0.214
            + (0.00817 - 0.00364 * x6) * x5
            - (0.131 * x8 + 0.0704 * x9) * x1
            + (0.03099 * x6 - 0.018 * x7 - 0.018 * x2) * x2
            + (0.0208 * x8 + 0.121 * x9) * x3,
            0.74 - 0.61 * x2 + 0.227 * x2**2 - 0.031296 * x3 - 0.166 * x7 * x9,
            28.98 + 3.818 * x3 - 4.2 * x1 * x2 + 6.63 * x6 * x9 - 7.77 * x7 * x8,
            33.86 + 2.95 * x3 - 5.057 * x1 * x2 - 11 * x2 * x8 - 9.98 * x7 * x8 + 22 * x8 * x9,
            46.36 - 9.9 * x2 - 12.9 * x1 * x8,
            pubic_force,
            pillar,
            door,
        ]
        limits = np.array([limit for limit, _ in LIMITS.values()])
        objectives = np.stack([weight, pubic_force, (pillar + door) / 2], axis=1)
        return Evaluation(objectives, np.stack(responses, axis=1) - limits)
