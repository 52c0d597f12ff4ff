"""sharpDARTS: DARTS with Max-W weights and cosine power annealing.

Reference: [Hundt2019] sharpDARTS, arXiv 1903.09900, and its code release. On HyperCuboid this is the differentiable
grid search over widths.
"""

from __future__ import annotations

from dataclasses import dataclass

from designopt import Categorical, Integer, Real, tunable
from designopt.search.nas.annealing import cosine_power_annealing
from designopt.search.nas.darts import DARTSSearch
from designopt.search.nas.problem import Tensors
from designopt.surrogates.nas.sharp import max_w


class SharpDARTSSearch(DARTSSearch):
    """DARTS in which the leading choice of a group counts fully, and the learning rate falls by a power of a cosine.

    The architecture is still read off the softmax. On a ``BilevelProblem``, which has neither, it is DARTS.
    """

    @dataclass(frozen=True)
    class Config(DARTSSearch.Config):
        """Hyper-parameters."""

        lr_min: float = tunable(1e-4, Real(1e-8, 1e-2, log=True), "step of the weights at the end")
        max_w: bool = tunable(True, Categorical([True, False]), "1 - max w + w instead of w")
        max_w_detach: bool = tunable(False, Categorical([True, False]), "no gradient through the maximum")
        power: float = tunable(2.0, Real(1.0, 20.0), "of the annealing; 1 is a cosine")
        warmup: int = tunable(0, Integer(0, 10), "epochs in which the learning rate rises")

        def __post_init__(self) -> None:
            super().__post_init__()
            if not self.power >= 1:
                raise ValueError(f"power = {self.power}; it must be at least 1")
            if self.warmup < 0 or (self.epochs is not None and self.warmup >= self.epochs):
                raise ValueError(f"warmup = {self.warmup}; it must be at least 0 and below epochs = {self.epochs}")

    config: Config

    def mixture(self, alpha: Tensors) -> Tensors:
        """Alpha -> Max-W coefficients of its softmax, or the softmax itself."""
        weights = self.probabilities(alpha)
        if not self.config.max_w or self.losses.full_batch:
            return weights
        return {name: max_w(value, detach=self.config.max_w_detach) for name, value in weights.items()}

    def rate(self, epoch: int) -> float:
        """Learning rate of the weights in an epoch, counted from 0."""
        if self.losses.full_batch:
            return self.lr
        low, c = min(self.config.lr_min, self.lr), self.config
        return float(cosine_power_annealing(self.epochs, self.lr, low, power=c.power, warmup=c.warmup)[epoch])
