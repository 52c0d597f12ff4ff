"""Multiple-disc brake: a light one that stops soon.

References: [OsyczkaKundu1995] A new method to solve generalized multicriteria optimization problems using the simple
genetic algorithm; [RayLiew2002] A swarm metaphor for multiobjective design optimization. The RE suite (CRE23) has the
same formulas with a real number of surfaces from 11 to 20 and without the limit on the length.
"""

import numpy as np

from designopt import Constraint, DesignEnv, DesignSpace, Evaluation, Integer, Objective, Real, Reference
from designopt.evaluation import Array


class DiscBrake(DesignEnv):
    """Mass and stopping time of a brake of ring-shaped discs pressed together by an engaging force.

    Design: inner and outer disc radius (mm), engaging force (N), number of friction surfaces.
    Objectives: mass, stopping time; both minimised.
    Constraints: width of the ring at least 20 mm, length of the stack at most 30 mm, pressure at most 0.4 MPa, a
    temperature index at most 1, braking torque at least 900 N m.
    """

    design_space = DesignSpace(
        inner_radius=Real(55, 80, unit="mm"),
        outer_radius=Real(75, 110, unit="mm"),
        force=Real(1000, 3000, unit="N"),
        surfaces=Integer(2, 20),
    )
    objectives = (Objective("mass", "min", unit="kg"), Objective("stopping_time", "min", unit="s"))
    constraints = (
        Constraint("ring_width", unit="mm", scale=20),
        Constraint("length", unit="mm", scale=30),
        Constraint("pressure", unit="MPa", scale=0.4),
        Constraint("temperature"),
        Constraint("torque", unit="N m", scale=900),
    )
    reference = Reference(
        source="merged front of 4 seeds of NSGA-II and local steps, 742770 points, seeds within 6e-05; "
        "benchmarks/reference_fronts.py DiscBrake",
        hypervolume=40.909461,
        reference_point=(3.0, 18.0),
    )

    def evaluate(self, designs: Array) -> Evaluation:
        """designs: (n, 4) -> Evaluation with objectives (n, 2), constraints (n, 5)."""
        r, R, F, s = designs.T
        squares, cubes = R**2 - r**2, R**3 - r**3
        # A ring of no width divides by zero: NaN, so its status is invalid.
        with np.errstate(divide="ignore", invalid="ignore"):
            mass = 4.9e-5 * squares * (s - 1)
            time = 9.82e6 * squares / (F * s * cubes)
            pressure = F / (3.14 * squares)
            temperature = 2.22e-3 * F * cubes / squares**2
            torque = 2.66e-2 * F * s * cubes / squares
        constraints = [20 - (R - r), 2.5 * (s + 1) - 30, pressure - 0.4, temperature - 1, 900 - torque]
        return Evaluation(np.stack([mass, time], axis=1), np.stack(constraints, axis=1))
