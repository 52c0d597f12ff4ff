"""Reinforced concrete beam.

References:
    [Amir1989] Amir & Hasegawa, Nonlinear mixed-discrete structural optimization,
        J. Structural Engineering 115(3), 1989.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from designopt import Constraint, DesignSpace, Evaluation, Integer, Objective, Ordinal, Real, Reference
from designopt.envs.engineering.variants import VariantEnv
from designopt.parameters import Array

BAR_AREAS = (6.0, 6.16, 6.32, 6.6, 7.0, 7.11, 7.2, 7.8, 7.9, 8.0, 8.4)
"""Total areas (in^2) of the groups of reinforcing bars on sale in [Amir1989]."""


class ReinforcedConcreteBeam(VariantEnv):
    """Cost of a simply supported concrete beam of 30 ft with tension steel, per the ACI 318-77 strength rule.

    Design: area of steel (in^2), height and width of the section (in).  Objective: cost ($), minimise.
    Constraints: height at most 4 widths; bending resistance at least the factored moment, both over 36 ksi = 0.9 * 50
    ksi * 0.8 (strength reduction, yield stress, effective depth over height), hence in in^3.
    Variants: classical (continuous, also the published code); mixed (steel from a table of bar groups, whole inches of
    height).

    Version history: v0 first release.
    """

    objectives = (Objective("cost", "min", unit="$"),)
    constraints = (Constraint("slenderness", scale=4.0), Constraint("bending_resistance", unit="in^3", scale=180.0))
    variants: ClassVar[dict[str, Reference]] = {
        "classical": Reference(
            value=358.5457038, design=(6.470521605, 33.49749925, 8.374374822), source="multi-start SLSQP"
        ),
        "mixed": Reference(
            value=359.208,
            design=(6.32, 34.0, 8.5),
            source="enumeration of all steel areas and heights, SLSQP; equals [Amir1989]",
        ),
    }

    def __init__(self, variant: str = "classical", render_mode: str | None = None) -> None:
        super().__init__(variant, render_mode)
        mixed = variant == "mixed"
        self.design_space = DesignSpace(
            steel_area=Ordinal(BAR_AREAS, unit="in^2") if mixed else Real(0.2, 15.0, unit="in^2"),
            height=Integer(28, 40, unit="in") if mixed else Real(28.0, 40.0, unit="in"),
            width=Real(5.0, 10.0, unit="in"),
        )

    def evaluate(self, designs: Array) -> Evaluation:
        """designs: (n, 3) -> Evaluation with objectives (n, 1), constraints (n, 2)."""
        As, h, b = designs.T
        cost = 29.4 * As + 0.6 * b * h
        slenderness = h / b - 4
        resistance = 180 + 7.35 * As**2 / b - As * h
        return Evaluation(cost[:, None], np.stack([slenderness, resistance], axis=1))
