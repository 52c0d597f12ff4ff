"""Multiple-disc clutch brake with every dimension from stock: mass against stopping time.

References: [Osyczka1992] Computer aided multicriterion optimization system; [DebSrinivasan2006] Innovization:
innovating design principles through optimization, for the discrete values; formulas as in pymoo's clutch.
"""

import numpy as np

from designopt import Constraint, DesignEnv, DesignSpace, Evaluation, Integer, Objective, Ordinal, Reference
from designopt.evaluation import Array


class ClutchBrake(DesignEnv):
    """Mass of a stack of discs and the time in which it stops a shaft from 250 rpm.

    Design: inner and outer disc radius and disc thickness (mm), actuating force (N), number of friction surfaces; all
    discrete, about 2.3 million designs.  Objectives: mass, stopping time; both minimised.
    Constraints: width of the ring, length of the stack, pressure, pressure times sliding speed, sliding speed, braking
    torque, stopping time.
    """

    design_space = DesignSpace(
        inner_radius=Integer(60, 80, unit="mm"),
        outer_radius=Integer(90, 110, unit="mm"),
        thickness=Ordinal((1.5, 2.0, 2.5, 3.0), unit="mm"),
        force=Ordinal(range(600, 1001, 10), unit="N"),
        surfaces=Integer(2, 9),
    )
    objectives = (Objective("mass", "min", unit="kg"), Objective("stopping_time", "min", unit="s"))
    constraints = (
        Constraint("ring_width", unit="mm", scale=20),
        Constraint("length", unit="mm", scale=30),
        Constraint("pressure", unit="MPa"),
        Constraint("pressure_speed", unit="MPa m/s", scale=10),
        Constraint("sliding_speed", unit="m/s", scale=10),
        Constraint("torque", unit="N m", scale=60),
        Constraint("stopping_time_limit", unit="s", scale=15),
    )
    reference = Reference(
        source="exact: all designs enumerated, 86 points; benchmarks/reference_fronts.py ClutchBrake",
        hypervolume=13.368442,
        reference_point=(2.2, 12.5),
    )

    def evaluate(self, designs: Array) -> Evaluation:
        """designs: (n, 5) -> Evaluation with objectives (n, 2), constraints (n, 7)."""
        ri, ro, t, F, Z = designs.T
        density, friction, inertia = 7.8e-6, 0.5, 55.0  # kg/mm^3, 1, kg m^2
        speed = np.pi * 250 / 30  # rad/s
        resisting_torque, load_torque, safety = 3.0, 40.0, 1.5  # N m, N m, 1

        area = np.pi * (ro**2 - ri**2)
        radius = 2 / 3 * (ro**3 - ri**3) / (ro**2 - ri**2)  # mm, of the friction force
        torque = friction * F * Z * radius / 1000
        sliding = speed * radius / 1000
        pressure = F / area
        mass = area * t * (Z + 1) * density
        time = inertia * speed / (torque + resisting_torque)
        constraints = [
            20 - (ro - ri),
            (Z + 1) * (t + 0.5) - 30,
            pressure - 1,
            pressure * sliding - 10,
            sliding - 10,
            safety * load_torque - torque,
            time - 15,
        ]
        return Evaluation(np.stack([mass, time], axis=1), np.stack(constraints, axis=1))
