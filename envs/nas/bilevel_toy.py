"""The bilevel problem that can be solved on paper.

References: [Liu2019] DARTS: Differentiable Architecture Search, ICLR, figure 2 (the two losses). Limits of the searches
on it are derived in docs/nas.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from designopt import DesignEnv, DesignSpace, Evaluation, Objective, Real, Reference
from designopt.parameters import Array

if TYPE_CHECKING:
    from torch import Tensor


class BilevelToy(DesignEnv):
    """min over a of L_val(w*(a), a) with L_val = a w - 2 a + 1, where w*(a) = a minimises L_train = (w - a)^2.

    Design: architecture a and weight w, both dimensionless. Objective: the upper level's value (a - 1)^2, whatever w
    is; it is zero at a = 1. Metrics: both losses at the design's own w.

    For a differentiable search both losses are given (``BilevelProblem``); it starts from ``a`` and ``w``.

    Args:
        a, w: where searches start.

    Raises:
        ValueError: a start outside of the design space.
    """

    design_space = DesignSpace(a=Real(-10.0, 10.0), w=Real(-10.0, 10.0))
    objectives = (Objective("value", "min"),)
    reference = Reference("closed form", value=0.0, design=(1.0, 1.0))
    curvature = 2.0

    def __init__(self, a: float = 2.0, w: float = -2.0, render_mode: str | None = None) -> None:
        super().__init__(render_mode)
        for name, value in (("a", a), ("w", w)):
            if not -10.0 <= value <= 10.0:
                raise ValueError(f"{name} = {value}; a search must start from -10 to 10")
        self.a, self.w = float(a), float(w)

    def evaluate(self, designs: Array) -> Evaluation:
        """designs: (n, 2) -> Evaluation with objectives (n, 1)."""
        a, w = designs.T
        losses = {"train_loss": (w - a) ** 2, "validation_loss": a * w - 2 * a + 1}
        return Evaluation(((a - 1) ** 2)[:, None], metrics=losses)

    def start(self) -> tuple[Array, Array]:
        """(1,) a and (1,) w."""
        return np.array([self.a]), np.array([self.w])

    def train_loss(self, weights: Tensor, alpha: Tensor) -> Tensor:
        """(w - a)^2."""
        return ((weights - alpha) ** 2).sum()

    def validation_loss(self, weights: Tensor, alpha: Tensor) -> Tensor:
        """A w - 2 a + 1."""
        return (alpha * weights - 2 * alpha + 1).sum()

    def to_design(self, weights: Array, alpha: Array) -> Array:
        """(1,), (1,) -> (2,) a and w."""
        return np.concatenate([alpha, weights])
