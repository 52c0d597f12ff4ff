"""Car side impact: least weight under limits on what happens to the occupant.

References:
    [Gu2001] Gu, Yang, Tho, Makowski, Faruque & Li, Optimisation and robustness for crashworthiness of side impact,
        Int. J. Vehicle Design 26(4), 2001.
    [Youn2004] Youn, Choi, Yang & Gu, Reliability-based design optimization for crashworthiness of vehicle side impact,
        Structural and Multidisciplinary Optimization 26, 2004: the response surfaces.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from designopt import Constraint, DesignSpace, Evaluation, Objective, Ordinal, Real, Reference
from designopt.envs.engineering.variants import VariantEnv
from designopt.parameters import Array

YIELD_STRESSES = (0.192, 0.345)
"""Mild and high-strength steel, as yield stress in GPa."""


class CarSideImpact(VariantEnv):
    """Weight of a car's side structure, with response surfaces of a finite-element crash and a dummy.

    Design: thicknesses of B-pillar inner and reinforcement, floor side inner, cross members, door beam, door beltline
    reinforcement, roof rail (mm); steel of B-pillar inner and floor side inner, as yield stress (GPa); height and
    hitting position of the barrier (mm).  Objective: weight (kg), minimise.
    Constraints: abdomen load (kN); viscous criterion at upper, middle and lower rib (m/s); deflection of the three ribs
    (mm); force on the pubic symphysis (kN); velocity of the B-pillar and of the front door (mm/ms).
    Variants: classical (viscous criterion at most 0.32, barrier within 30 mm, any yield stress between the two steels);
    as_published (limit 0.9 instead, a coefficient of the lower rib ten times too small, barrier from -20 to 0 mm);
    mixed (classical with one of the two steels). Barrier height and hitting position are noise of the crash test rather
    than choices, but every deterministic statement optimises them too.

    Version history: v0 first release.
    """

    objectives = (Objective("weight", "min", unit="kg"),)
    variants: ClassVar[dict[str, Reference]] = {
        "classical": Reference(
            value=22.84296928,
            design=(0.5, 1.116365591, 0.5, 1.302197204, 0.5, 1.5, 0.5, 0.345, 0.192, -19.56152995, 0.0),
            source="multi-start SLSQP",
        ),
        "as_published": Reference(
            value=22.84296928,
            design=(0.5, 1.116365591, 0.5, 1.302197204, 0.5, 1.5, 0.5, 0.345, 0.192, -19.56152995, 0.0),
            source="multi-start SLSQP",
        ),
        "mixed": Reference(
            value=22.84296928,
            design=(0.5, 1.116365591, 0.5, 1.302197204, 0.5, 1.5, 0.5, 0.345, 0.192, -19.56152995, 0.0),
            source="enumeration of both steels, SLSQP; the steel of the floor does not matter",
        ),
    }

    def __init__(self, variant: str = "classical", render_mode: str | None = None) -> None:
        super().__init__(variant, render_mode)
        published = variant == "as_published"
        panel = Real(0.5, 1.5, unit="mm")
        steel = Ordinal(YIELD_STRESSES, unit="GPa") if variant == "mixed" else Real(*YIELD_STRESSES, unit="GPa")
        barrier = Real(-20.0, 0.0, unit="mm") if published else Real(-30.0, 30.0, unit="mm")
        self.design_space = DesignSpace(
            b_pillar_inner=panel,
            b_pillar_reinforcement=Real(0.45, 1.35, unit="mm"),
            floor_side_inner=panel,
            cross_members=panel,
            door_beam=panel,
            door_beltline_reinforcement=panel,
            roof_rail=panel,
            b_pillar_inner_yield=steel,
            floor_side_inner_yield=steel,
            barrier_height=barrier,
            hitting_position=barrier,
        )
        self._viscous_limit = 0.9 if published else 0.32
        self._lower_viscous_x2 = 0.061 if published else 0.61
        ribs = ("upper", "middle", "lower")
        self.constraints = (
            Constraint("abdomen_load", unit="kN"),
            *(Constraint(f"viscous_criterion_{rib}", unit="m/s", scale=self._viscous_limit) for rib in ribs),
            *(Constraint(f"rib_deflection_{rib}", unit="mm", scale=32.0) for rib in ribs),
            Constraint("pubic_force", unit="kN", scale=4.0),
            Constraint("b_pillar_velocity", unit="mm/ms", scale=9.9),
            Constraint("front_door_velocity", unit="mm/ms", scale=15.7),
        )

    def evaluate(self, designs: Array) -> Evaluation:
        """designs: (n, 11) -> Evaluation with objectives (n, 1), constraints (n, 10)."""
        x1, x2, x3, x4, x5, x6, x7, x8, x9, x10, x11 = designs.T
        weight = 1.98 + 4.90 * x1 + 6.67 * x2 + 6.98 * x3 + 4.01 * x4 + 1.78 * x5 + 2.73 * x7
        abdomen_load = 1.16 - 0.3717 * x2 * x4 - 0.00931 * x2 * x10 - 0.484 * x3 * x9 + 0.01343 * x6 * x10
        viscous_upper = (
            0.261
            - 0.0159 * x1 * x2
            - 0.188 * x1 * x8
            - 0.019 * x2 * x7
            + 0.0144 * x3 * x5
            + 0.0008757 * x5 * x10
            + 0.08045 * x6 * x9
            + 0.00139 * x8 * x11
            + 0.00001575 * x10 * x11
        )
        viscous_middle = (
            0.214
            + 0.00817 * x5
            - 0.131 * x1 * x8
            - 0.0704 * x1 * x9
            + 0.03099 * x2 * x6
            - 0.018 * x2 * x7
            + 0.0208 * x3 * x8
            + 0.121 * x3 * x9
            - 0.00364 * x5 * x6
            + 0.0007715 * x5 * x10
            - 0.0005354 * x6 * x10
            + 0.00121 * x8 * x11
        )
        viscous_lower = (
            0.74 - self._lower_viscous_x2 * x2 - 0.163 * x3 * x8 + 0.001232 * x3 * x10 - 0.166 * x7 * x9 + 0.227 * x2**2
        )
        rib_upper = (
            28.98 + 3.818 * x3 - 4.2 * x1 * x2 + 0.0207 * x5 * x10 + 6.63 * x6 * x9 - 7.7 * x7 * x8 + 0.32 * x9 * x10
        )
        rib_middle = (
            33.86
            + 2.95 * x3
            + 0.1792 * x10
            - 5.057 * x1 * x2
            - 11 * x2 * x8
            - 0.0215 * x5 * x10
            - 9.98 * x7 * x8
            + 22 * x8 * x9
        )
        rib_lower = 46.36 - 9.9 * x2 - 12.9 * x1 * x8 + 0.1107 * x3 * x10
        pubic_force = 4.72 - 0.5 * x4 - 0.19 * x2 * x3 - 0.0122 * x4 * x10 + 0.009325 * x6 * x10 + 0.000191 * x11**2
        b_pillar = 10.58 - 0.674 * x1 * x2 - 1.95 * x2 * x8 + 0.02054 * x3 * x10 - 0.0198 * x4 * x10 + 0.028 * x6 * x10
        front_door = (
            16.45 - 0.489 * x3 * x7 - 0.843 * x5 * x6 + 0.0432 * x9 * x10 - 0.0556 * x9 * x11 - 0.000786 * x11**2
        )
        g = [
            abdomen_load - 1,
            viscous_upper - self._viscous_limit,
            viscous_middle - self._viscous_limit,
            viscous_lower - self._viscous_limit,
            rib_upper - 32,
            rib_middle - 32,
            rib_lower - 32,
            pubic_force - 4,
            b_pillar - 9.9,
            front_door - 15.7,
        ]
        return Evaluation(weight[:, None], np.stack(g, axis=1))
