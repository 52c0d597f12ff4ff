"""Keane's bump.

References:
    [Keane1994] Keane, Experiences with optimizers in structural design, Adaptive Computing in Engineering Design and
        Control, Plymouth 1994.
"""

from __future__ import annotations

import numpy as np

from designopt import Constraint, DesignEnv, DesignSpace, Evaluation, Objective, Real, Reference
from designopt.parameters import Array


class KeaneBump(DesignEnv):
    """Many bumps of like height in 18 dimensions, the highest on the boundary of the product constraint.

    Design: x1 .. x18 in [0, 10].  Objective: minus the bump -|sum cos^4 x - 2 prod cos^2 x| / sqrt(sum i x_i^2),
    minimise.  Constraints: product of x at least 0.75; sum of x at most 7.5 * 18. The product spans many decades: model
    its logarithm rather than itself. The function has no value at the origin, which is infeasible: status ``invalid``.

    Version history: v0 first release.
    """

    design_space = DesignSpace({f"x{i}": Real(0.0, 10.0) for i in range(1, 19)})
    objectives = (Objective("minus_bump"),)
    constraints = (Constraint("product", scale=0.75), Constraint("sum", scale=135.0))
    reference = Reference(
        value=-0.7971138758,
        design=(
            3.160325576,
            3.122177028,
            3.084676372,
            3.047277094,
            3.009436758,
            2.970543951,
            2.92981552,
            0.513743894,
            0.505396702,
            0.497764558,
            0.490722046,
            0.484175805,
            0.478054181,
            0.472300807,
            0.466870426,
            0.461726071,
            0.456837103,
            0.452177806,
        ),
        source="best of 1000 SLSQP runs; not proven",
    )

    def evaluate(self, designs: Array) -> Evaluation:
        """designs: (n, 18) -> Evaluation with objectives (n, 1), constraints (n, 2)."""
        squares = np.cos(designs) ** 2
        height = np.abs((squares**2).sum(axis=1) - 2 * squares.prod(axis=1))
        radius = np.sqrt((np.arange(1, 19) * designs**2).sum(axis=1))
        with np.errstate(divide="ignore"):  # at the origin -inf, hence status invalid
            bump = -height / radius
        product = 0.75 - designs.prod(axis=1)
        return Evaluation(bump[:, None], np.stack([product, designs.sum(axis=1) - 135], axis=1))
