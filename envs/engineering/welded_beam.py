"""Welded beam of least cost.

References:
    [Ragsdell1976] Ragsdell & Phillips, Optimal design of a class of welded structures using geometric programming,
        J. Engineering for Industry 98(3), 1976.
    [Deb2000] Deb, An efficient constraint handling method for genetic algorithms, CMAME 186, 2000: this statement.
"""

from __future__ import annotations

import numpy as np

from designopt import Constraint, DesignEnv, DesignSpace, Evaluation, Objective, Real, Reference
from designopt.parameters import Array


class WeldedBeam(DesignEnv):
    """Cost of a steel bar welded to a rigid support, loaded by 6000 lbf at 14 in from it.

    Design: weld thickness h and length l, bar thickness t (in the plane of the load) and width b (in).
    Objective: cost ($) of weld and bar, minimise.
    Constraints: shear stress in the weld (psi), bending stress in the bar (psi), weld not thicker than the bar (in),
    buckling load (lbf), deflection at the end (in).
    Other statements circulate with optima of 1.7249 (seven constraints, another polar moment) and 1.6702: their values
    must not be compared with this one's 2.3811.

    Version history: v0 first release.
    """

    design_space = DesignSpace(
        weld_thickness=Real(0.125, 10.0, unit="in"),
        weld_length=Real(0.1, 15.0, unit="in"),
        bar_thickness=Real(0.1, 10.0, unit="in"),
        bar_width=Real(0.1, 10.0, unit="in"),
    )
    objectives = (Objective("cost", "min", unit="$"),)
    constraints = (
        Constraint("shear_stress", unit="psi", scale=13_600.0),
        Constraint("bending_stress", unit="psi", scale=30_000.0),
        Constraint("weld_within_bar", unit="in"),
        Constraint("buckling_load", unit="lbf", scale=6000.0),
        Constraint("deflection", unit="in", scale=0.25),
    )
    reference = Reference(
        value=2.381134253, design=(0.2443689838, 6.218606351, 8.291471242, 0.2443689848), source="multi-start SLSQP"
    )

    def evaluate(self, designs: Array) -> Evaluation:
        """designs: (n, 4) -> Evaluation with objectives (n, 1), constraints (n, 5)."""
        h, l, t, b = designs.T  # noqa: E741 - the field's symbol
        cost = 1.10471 * h**2 * l + 0.04811 * t * b * (14 + l)
        R = np.sqrt(0.25 * (l**2 + (h + t) ** 2))
        primary = 6000 / (np.sqrt(2) * h * l)
        torsion = 6000 * (14 + 0.5 * l) * R / (2 * 0.707 * h * l * (l**2 / 12 + 0.25 * (h + t) ** 2))
        shear = np.sqrt(primary**2 + torsion**2 + l * primary * torsion / R)
        bending = 504_000 / (t**2 * b)
        buckling = 64_746 * (1 - 0.0282346 * t) * t * b**3
        deflection = 2.1952 / (t**3 * b)
        g = [shear - 13_600, bending - 30_000, h - b, 6000 - buckling, deflection - 0.25]
        return Evaluation(cost[:, None], np.stack(g, axis=1))
