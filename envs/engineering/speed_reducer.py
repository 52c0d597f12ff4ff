"""Speed reducer of least weight.

References:
    [Golinski1970] Golinski, Optimal synthesis problems solved by means of nonlinear programming and random methods,
        J. Mechanisms 5(3), 1970.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from designopt import Constraint, DesignSpace, Evaluation, Integer, Objective, Real, Reference
from designopt.envs.engineering.variants import VariantEnv
from designopt.parameters import Array

GEARS = ("tooth_bending", "tooth_contact")
SHAFTS = ("shaft_1_deflection", "shaft_2_deflection", "shaft_1_stress", "shaft_2_stress")
RATIOS = ("pinion_diameter", "least_face_width", "greatest_face_width")
BEARINGS = ("shaft_1_length", "shaft_2_length")


class SpeedReducer(VariantEnv):
    """Weight of a one-stage gearbox between an aircraft engine and its propeller.

    Design: face width and module of the teeth (cm), teeth of the pinion, length between bearings and diameter of shafts
    1 and 2 (cm).  Objective: volume of metal (cm^3), which the literature calls weight, minimise.
    Constraints, all dimensionless: bending and contact stress of the teeth; deflection and stress of both shafts;
    pinion diameter; bounds of face width over module; room for the bearings of both shafts.
    Variants: classical (eleven constraints, teeth as a real number); as_published (the torsion term of shaft 1 ten
    times too small and no room asked for the bearings: nine constraints); mixed (whole teeth).

    Version history: v0 first release.
    """

    objectives = (Objective("weight", "min", unit="cm^3"),)
    variants: ClassVar[dict[str, Reference]] = {
        "classical": Reference(
            value=2994.471068,
            design=(3.5, 0.7, 17.0, 7.3, 7.71531992, 3.350214667, 5.286654467),
            source="multi-start SLSQP",
        ),
        "as_published": Reference(
            value=2885.179267, design=(3.5, 0.7, 17.0, 7.3, 7.3, 2.9, 5.286517923), source="multi-start SLSQP"
        ),
        "mixed": Reference(
            value=2994.471068,
            design=(3.5, 0.7, 17.0, 7.3, 7.71531992, 3.350214667, 5.286654467),
            source="enumeration of all numbers of teeth, SLSQP",
        ),
    }

    def __init__(self, variant: str = "classical", render_mode: str | None = None) -> None:
        super().__init__(variant, render_mode)
        self.design_space = DesignSpace(
            face_width=Real(2.6, 3.6, unit="cm"),
            module=Real(0.7, 0.8, unit="cm"),
            teeth=Integer(17, 28) if variant == "mixed" else Real(17.0, 28.0),
            shaft_1_length=Real(7.3, 8.3, unit="cm"),
            shaft_2_length=Real(7.3, 8.3, unit="cm"),
            shaft_1_diameter=Real(2.9, 3.9, unit="cm"),
            shaft_2_diameter=Real(5.0, 5.5, unit="cm"),
        )
        bearings = () if variant == "as_published" else BEARINGS
        self.constraints = tuple(map(Constraint, GEARS + SHAFTS + RATIOS + bearings))

    def evaluate(self, designs: Array) -> Evaluation:
        """designs: (n, 7) -> Evaluation with objectives (n, 1), constraints (n, 11), or (n, 9) as published."""
        b, m, z, L1, L2, d1, d2 = designs.T
        weight = (
            0.7854 * b * m**2 * (3.3333 * z**2 + 14.9334 * z - 43.0934)
            - 1.508 * b * (d1**2 + d2**2)
            + 7.4777 * (d1**3 + d2**3)
            + 0.7854 * (L1 * d1**2 + L2 * d2**2)
        )
        torsion_1 = 1.69e6 if self.variant == "as_published" else 16.9e6
        g = [
            27 / (b * m**2 * z) - 1,
            397.5 / (b * m**2 * z**2) - 1,
            1.93 * L1**3 / (m * z * d1**4) - 1,
            1.93 * L2**3 / (m * z * d2**4) - 1,
            np.sqrt((745 * L1 / (m * z)) ** 2 + torsion_1) / (110 * d1**3) - 1,
            np.sqrt((745 * L2 / (m * z)) ** 2 + 157.5e6) / (85 * d2**3) - 1,
            m * z / 40 - 1,
            5 * m / b - 1,
            b / (12 * m) - 1,
            (1.5 * d1 + 1.9) / L1 - 1,
            (1.1 * d2 + 1.9) / L2 - 1,
        ]
        return Evaluation(weight[:, None], np.stack(g[: len(self.constraints)], axis=1))
