"""Tension/compression spring of least weight.

References:
    [Arora1989] Arora, Introduction to Optimum Design, McGraw-Hill 1989.
    [Belegundu1982] Belegundu, A study of mathematical programming methods for structural optimization, 1982.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from designopt import Constraint, DesignSpace, Evaluation, Integer, Objective, Real, Reference
from designopt.envs.engineering.variants import VariantEnv
from designopt.parameters import Array


class CompressionSpring(VariantEnv):
    """Weight of a coil spring under load, limited by deflection, shear stress, surge frequency and outer diameter.

    Design: wire diameter, mean coil diameter (in), active coils.  Objective: weight index (N + 2) D d^2 (in^3),
    minimise.  All four constraints are dimensionless.
    Variants: classical (a coil must be wider than its wire: designs with D <= d are ``invalid``, for no such spring
    can be wound and the shear formula has a pole at D = d and the wrong sign beyond); as_published (the bare formulas;
    the feasible set is the same, since the deflection constraint rejects every D <= d); mixed (whole coils).

    Version history: v0 first release.
    """

    objectives = (Objective("weight", "min", unit="in^3"),)
    constraints = tuple(map(Constraint, ("deflection", "shear_stress", "surge_frequency", "outer_diameter")))
    variants: ClassVar[dict[str, Reference]] = {
        "classical": Reference(
            value=0.01266523282, design=(0.05168905927, 0.3567176958, 11.28896836), source="multi-start SLSQP"
        ),
        "as_published": Reference(
            value=0.01266523282, design=(0.05168905927, 0.3567176958, 11.28896836), source="multi-start SLSQP"
        ),
        "mixed": Reference(
            value=0.01266602104,
            design=(0.0518973227, 0.3617486718, 11.0),
            source="enumeration of all numbers of coils, SLSQP",
        ),
    }

    def __init__(self, variant: str = "classical", render_mode: str | None = None) -> None:
        super().__init__(variant, render_mode)
        self.design_space = DesignSpace(
            wire_diameter=Real(0.05, 1.0, unit="in"),
            coil_diameter=Real(0.25, 1.3, unit="in"),
            active_coils=Integer(2, 15) if variant == "mixed" else Real(2.0, 15.0),
        )

    def evaluate(self, designs: Array) -> Evaluation:
        """designs: (n, 3) -> Evaluation with objectives (n, 1), constraints (n, 4)."""
        d, D, N = designs.T
        weight = (N + 2) * D * d**2
        deflection = 1 - D**3 * N / (71785 * d**4)
        with np.errstate(divide="ignore"):  # the pole at D = d
            shear = (4 * D**2 - d * D) / (12566 * (D * d**3 - d**4)) + 1 / (5108 * d**2) - 1
        surge = 1 - 140.45 * d / (D**2 * N)
        outer = (D + d) / 1.5 - 1
        evaluation = Evaluation(weight[:, None], np.stack([deflection, shear, surge, outer], axis=1))
        if self.variant != "as_published":
            unwindable = d >= D
            evaluation.objectives[unwindable] = evaluation.constraints[unwindable] = np.nan
            evaluation.status[unwindable] = "invalid"
            evaluation.errors[unwindable] = "coil_diameter must be greater than wire_diameter"
        return evaluation
