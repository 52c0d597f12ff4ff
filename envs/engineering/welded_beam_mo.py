"""Welded beam: what a stiffer beam costs.

References: [Deb2000] An efficient constraint handling method for genetic algorithms; with two
objectives as in pymoo.
"""

import numpy as np

from designopt import Constraint, DesignEnv, DesignSpace, Evaluation, Objective, Real, Reference
from designopt.evaluation import Array


class WeldedBeamMO(DesignEnv):
    """Fabrication cost and end deflection of a cantilever of length 14 in, welded on and loaded by 6000 lbf.

    Design: weld thickness and length, beam depth and width (in).  Objectives: cost, deflection; both minimised.
    Constraints: shear stress in the weld, bending stress and buckling load of the beam relative to their limits; the
    weld is not thicker than the beam is wide.
    """

    design_space = DesignSpace(
        weld_thickness=Real(0.125, 5.0, unit="in"),
        weld_length=Real(0.1, 10.0, unit="in"),
        beam_depth=Real(0.1, 10.0, unit="in"),
        beam_width=Real(0.125, 5.0, unit="in"),
    )
    objectives = (Objective("cost", "min", unit="$"), Objective("deflection", "min", unit="in"))
    constraints = tuple(map(Constraint, ("shear_stress", "bending_stress", "weld_over_beam_width", "buckling_load")))
    reference = Reference(
        source="merged front of 4 seeds of NSGA-II and local steps, 56092 points, seeds within 6e-05; "
        "benchmarks/reference_fronts.py WeldedBeamMO",
        hypervolume=0.5129987,
        reference_point=(40.0, 0.015),
    )

    def evaluate(self, designs: Array) -> Evaluation:
        """designs: (n, 4) -> Evaluation with objectives (n, 2), constraints (n, 4)."""
        h, length, t, b = designs.T
        P, L = 6000.0, 14.0  # lbf, in
        cost = 1.10471 * h**2 * length + 0.04811 * t * b * (L + length)
        deflection = 2.1952 / (b * t**3)

        R = np.hypot(length, h + t) / 2
        J = np.sqrt(2) * h * length * (length**2 / 12 + (h + t) ** 2 / 4)
        direct = P / (np.sqrt(2) * h * length)
        torsion = P * (L + length / 2) * R / J
        shear = np.sqrt(direct**2 + direct * torsion * length / R + torsion**2)
        bending = 6 * P * L / (b * t**2)
        buckling = 64746.022 * (1 - 0.0282346 * t) * t * b**3
        constraints = [shear / 13600 - 1, bending / 30000 - 1, (h - b) / (5 - 0.125), 1 - buckling / P]
        return Evaluation(np.stack([cost, deflection], axis=1), np.stack(constraints, axis=1))
