"""Stepped cantilever beam of least volume.

References:
    [Thanedar1995] Thanedar & Vanderplaats, Survey of discrete variable optimization for structural design,
        J. Structural Engineering 121(2), 1995.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from designopt import Constraint, DesignSpace, Evaluation, Integer, Objective, Ordinal, Real, Reference
from designopt.envs.engineering.variants import VariantEnv
from designopt.parameters import Array, Parameter

SEGMENTS = (1, 2, 3, 4, 5)


class CantileverBeam(VariantEnv):
    """Volume of a cantilever of five rectangular segments, 100 cm each, under 50 000 N at its tip.

    Design: widths of segments 1 (at the wall) to 5, then their heights (cm).  Objective: volume (cm^3), minimise.
    Constraints: bending stress of segments 5 to 1 at most 14 000 N/cm^2; tip deflection at most 2.7 cm
    (E = 2e7 N/cm^2); height at most 20 widths in each segment.
    Variants: classical (a geometric program: its local optimum is global); as_published (a deflection that misses the
    moments of inertia and has E = 2 * 107, constant and far beyond the limit, so that no design is feasible); mixed
    (segment 1 in whole cm, segments 2 and 3 from tables of widths and heights).

    Version history: v0 first release.
    """

    objectives = (Objective("volume", "min", unit="cm^3"),)
    constraints = (
        *(Constraint(f"stress_{i}", unit="N/cm^2", scale=14_000.0) for i in reversed(SEGMENTS)),
        Constraint("tip_deflection", unit="cm", scale=2.7),
        *(Constraint(f"slenderness_{i}", scale=20.0) for i in SEGMENTS),
    )
    variants: ClassVar[dict[str, Reference]] = {
        "classical": Reference(
            value=63108.74805,
            design=(
                3.057728317,
                2.813266494,
                2.523586301,
                2.204555694,
                1.749757014,
                61.15456628,
                56.26532981,
                50.47172597,
                44.09111383,
                34.99514024,
            ),
            source="SLSQP; global, being a geometric program",
        ),
        "as_published": Reference(source="no feasible design: the deflection constraint is a positive constant"),
        "mixed": Reference(
            value=64578.19402,
            design=(3.0, 3.1, 2.6, 2.280887417, 1.749757014, 60.0, 55.0, 50.0, 45.61774833, 34.99514024),
            source="enumeration of segments 1 to 3 by lower bound, SLSQP",
        ),
    }

    def __init__(self, variant: str = "classical", render_mode: str | None = None) -> None:
        super().__init__(variant, render_mode)
        widths: list[Parameter] = [Real(1.0, 5.0, unit="cm") for _ in SEGMENTS]
        heights: list[Parameter] = [Real(30.0, 65.0, unit="cm") for _ in SEGMENTS]
        if variant == "mixed":
            widths[:3] = Integer(1, 5, unit="cm"), *2 * (Ordinal([2.4, 2.6, 2.8, 3.1], unit="cm"),)
            heights[:3] = Integer(30, 65, unit="cm"), *2 * (Ordinal([45, 50, 55, 60], unit="cm"),)
        names = [f"{size}_{i}" for size in ("width", "height") for i in SEGMENTS]
        self.design_space = DesignSpace(zip(names, widths + heights, strict=True))

    def evaluate(self, designs: Array) -> Evaluation:
        """designs: (n, 10) -> Evaluation with objectives (n, 1), constraints (n, 11)."""
        b, h = designs[:, :5], designs[:, 5:]
        P, L, E = 50_000.0, 100.0, 2e7
        volume = L * (b * h).sum(axis=1)
        arm = L * np.array([5, 4, 3, 2, 1])  # from the tip to the thick end of each segment
        stress = 6 * P * arm / (b * h**2) - 14_000
        if self.variant == "as_published":
            deflection = np.full(len(designs), P * L**3 * (125 / L) / (3 * (2 * 107)))
        else:
            compliance = np.array([61, 37, 19, 7, 1]) * 12 / (b * h**3)
            deflection = P * L**3 / (3 * E) * compliance.sum(axis=1)
        g = [stress[:, ::-1], deflection[:, None] - 2.7, h / b - 20]
        return Evaluation(volume[:, None], np.concatenate(g, axis=1))
