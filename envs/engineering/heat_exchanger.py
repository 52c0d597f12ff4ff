"""Heat exchanger network of least area.

References:
    [Avriel1971] Avriel & Williams, An extension of geometric programming with applications in engineering optimization,
        J. Engineering Mathematics 5, 1971.
    [Michalewicz1996] Michalewicz & Schoenauer, Evolutionary algorithms for constrained parameter optimization problems,
        Evolutionary Computation 4(1), 1996: problem G10, these constants and bounds.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from designopt import Constraint, DesignSpace, Evaluation, Objective, Real, Reference
from designopt.envs.engineering.variants import VariantEnv
from designopt.parameters import Array


class HeatExchanger(VariantEnv):
    """Area of three counter-flow exchangers in series that heat a stream from 100 to 500 degF.

    The hot streams enter at 300, 400 and 600 degF; all streams carry 1e5 Btu/(h degF).
    Design: the three areas (ft^2), the temperatures of the cold stream after exchangers 1 and 2 and of the hot streams
    on leaving 1, 2 and 3 (degF).  Objective: total area (ft^2), minimise.
    Constraints: heat balance of each exchanger, dimensionless; heat transfer of each, in ft^2 degF (duty over
    coefficient), scaled by the duty of a rise of 100 degF. All six are active at the optimum.
    Variants: classical; as_published (a typing error, 125 for 1250, in the heat transfer of exchanger 2, and areas 2
    and 3 up to 10 900 ft^2).

    Version history: v0 first release.
    """

    objectives = (Objective("total_area", "min", unit="ft^2"),)
    constraints = (
        Constraint("heat_balance_1"),
        Constraint("heat_balance_2"),
        Constraint("heat_balance_3"),
        Constraint("heat_transfer_1", unit="ft^2 degF", scale=83_333.0),
        Constraint("heat_transfer_2", unit="ft^2 degF", scale=125_000.0),
        Constraint("heat_transfer_3", unit="ft^2 degF", scale=250_000.0),
    )
    variants: ClassVar[dict[str, Reference]] = {
        "classical": Reference(
            value=7049.248037,
            design=(
                579.306682,
                1359.970644,
                5109.970711,
                182.0176992,
                295.6011719,
                217.9823004,
                286.4165269,
                395.6011718,
            ),
            source="multi-start SLSQP",
        ),
        "as_published": Reference(
            value=8312.911874,
            design=(100.0, 2231.455931, 5981.455943, 121.4286768, 260.7417626, 278.5713228, 260.6869137, 360.7417625),
            source="multi-start SLSQP",
        ),
    }

    def __init__(self, variant: str = "classical", render_mode: str | None = None) -> None:
        super().__init__(variant, render_mode)
        area = Real(1000.0, 10_900.0 if variant == "as_published" else 10_000.0, unit="ft^2")
        temperature = Real(10.0, 1000.0, unit="degF")
        self.design_space = DesignSpace(
            area_1=Real(100.0, 10_000.0, unit="ft^2"),
            area_2=area,
            area_3=area,
            cold_after_1=temperature,
            cold_after_2=temperature,
            hot_after_1=temperature,
            hot_after_2=temperature,
            hot_after_3=temperature,
        )

    def evaluate(self, designs: Array) -> Evaluation:
        """designs: (n, 8) -> Evaluation with objectives (n, 1), constraints (n, 6)."""
        A1, A2, A3, c1, c2, h1, h2, h3 = designs.T
        inlet_2 = 125 if self.variant == "as_published" else 1250
        g = [
            0.0025 * (c1 + h1) - 1,
            0.0025 * (c2 + h2 - c1) - 1,
            0.01 * (h3 - c2) - 1,
            833.33252 * c1 + 100 * A1 - A1 * h1 - 83_333.333,
            1250 * c2 + A2 * c1 - A2 * h2 - inlet_2 * c1,
            A3 * c2 - 2500 * c2 - A3 * h3 + 1_250_000,
        ]
        return Evaluation((A1 + A2 + A3)[:, None], np.stack(g, axis=1))
