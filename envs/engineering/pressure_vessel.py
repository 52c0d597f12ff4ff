"""Pressure vessel of least cost.

References:
    [Sandgren1990] Sandgren, Nonlinear integer and discrete programming in mechanical design optimization,
        J. Mechanical Design 112(2), 1990.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from designopt import Constraint, DesignSpace, Evaluation, Objective, Ordinal, Real, Reference
from designopt.envs.engineering.variants import VariantEnv
from designopt.parameters import Array


class PressureVessel(VariantEnv):
    """Cost of a cylindrical vessel with hemispherical heads: material, forming and welding.

    Design: thickness of shell and of heads, inner radius, length of the cylinder (in).  Objective: cost ($), minimise.
    Constraints: shell and head thickness against the ASME boiler code (in); volume at least 1 296 000 in^3; length at
    most 240 in.
    Variants: classical (continuous, length 10 to 200 in); as_published (length 0 to 190 in); mixed (classical, plates
    in steps of 1/16 in, as rolled).

    Version history: v0 first release.
    """

    objectives = (Objective("cost", "min", unit="$"),)
    constraints = (
        Constraint("shell_thickness", unit="in"),
        Constraint("head_thickness", unit="in"),
        Constraint("volume", unit="in^3", scale=1_296_000.0),
        Constraint("length", unit="in", scale=240.0),
    )
    variants: ClassVar[dict[str, Reference]] = {
        "classical": Reference(
            value=5885.332789, design=(0.7781686427, 0.3846491638, 40.31961874, 200.0), source="multi-start SLSQP"
        ),
        "as_published": Reference(
            value=5910.064488, design=(0.7923763196, 0.3916720258, 41.0557678, 190.0), source="multi-start SLSQP"
        ),
        "mixed": Reference(
            value=6059.714346,
            design=(0.8125, 0.4375, 42.09844554, 176.6365967),
            source="enumeration of all plates, SLSQP",
        ),
    }

    def __init__(self, variant: str = "classical", render_mode: str | None = None) -> None:
        super().__init__(variant, render_mode)
        plate = (
            Ordinal([i / 16 for i in range(1, 100)], unit="in")
            if variant == "mixed"
            else Real(1 / 16, 99 / 16, unit="in")
        )
        length = Real(0.0, 190.0, unit="in") if variant == "as_published" else Real(10.0, 200.0, unit="in")
        self.design_space = DesignSpace(
            shell_thickness=plate, head_thickness=plate, radius=Real(10.0, 200.0, unit="in"), length=length
        )

    def evaluate(self, designs: Array) -> Evaluation:
        """designs: (n, 4) -> Evaluation with objectives (n, 1), constraints (n, 4)."""
        Ts, Th, R, L = designs.T
        cost = 0.6224 * Ts * R * L + 1.7781 * Th * R**2 + 3.1661 * Ts**2 * L + 19.84 * Ts**2 * R
        shell = 0.0193 * R - Ts
        head = 0.00954 * R - Th
        volume = 1_296_000 - np.pi * R**2 * L - 4 / 3 * np.pi * R**3
        return Evaluation(cost[:, None], np.stack([shell, head, volume, L - 240], axis=1))
