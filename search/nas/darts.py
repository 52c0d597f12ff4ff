"""DARTS: descend the validation loss in the mixture, and the training loss in the weights, in turns.

References: [Liu2019] DARTS: Differentiable Architecture Search, ICLR.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from designopt import Categorical, DesignEnv, tunable
from designopt.search.nas.differentiable import DifferentiableSearch
from designopt.search.nas.hypergradient import exact, finite_difference
from designopt.search.nas.problem import Batch, Tensors, warn_of_kinks


class DARTSSearch(DifferentiableSearch):
    """Alpha first, on a validation batch, then the weights on a training batch.

    ``order`` says what alpha takes the weights for: constants (1), or the outcome of one step of length ``xi`` whose
    dependence on alpha counts, by a finite difference as published (2) or by differentiating through it ("exact"). With
    ReLU the finite difference does not converge; a warning says so.
    """

    @dataclass(frozen=True)
    class Config(DifferentiableSearch.Config):
        """Hyper-parameters."""

        order: int | str = tunable(1, Categorical([1, 2, "exact"]), "1, 2 (finite difference) or 'exact'")
        xi: float | None = tunable(None, Categorical([None]), "virtual step; None: the weights' learning rate")

        def __post_init__(self) -> None:
            super().__post_init__()
            if isinstance(self.order, str) and self.order in ("1", "2"):
                object.__setattr__(self, "order", int(self.order))
            if self.order not in (1, 2, "exact"):
                raise ValueError(f"order = {self.order!r}; allowed: 1, 2, 'exact'")
            if self.xi is not None and (self.xi < 0 or (self.order == 1 and self.xi > 0)):
                raise ValueError(
                    f"xi = {self.xi} with order = {self.order!r}; it must be at least 0, and 0 with order = 1"
                )

    config: Config

    def __init__(self, env: DesignEnv, config: Any = None, *, seed: int = 0, device: str = "cpu") -> None:
        super().__init__(env, config, seed=seed, device=device)
        if self.config.order == 2 and self.losses.kinked:
            warn_of_kinks(env.id)

    def step(self, train: Batch, validation: Batch) -> float:
        """Alpha, then weights with the new alpha."""
        self.descend("alpha", self.hypergradient(train, validation))
        loss = self.train_loss(self.w, self.alpha, train)
        self.descend("w", self.gradient(loss, self.w))
        return float(loss.detach())

    def hypergradient(self, train: Batch, validation: Batch) -> Tensors:
        """Gradient in alpha of the validation loss after the virtual step."""
        if self.config.order == 1:
            return self.gradient(self.validation_loss(self.w, self.alpha, validation), self.alpha)
        xi = self.rate(self.epoch) if self.config.xi is None else self.config.xi
        method = exact if self.config.order == "exact" else finite_difference
        self.gradient_evaluations += 4  # virtual step, validation, and two more or a Hessian-vector product
        return method(
            lambda w, alpha: self.train_loss(w, alpha, train),
            lambda w, alpha: self.validation_loss(w, alpha, validation),
            {name: value.detach() for name, value in self.w.items()},
            {name: value.detach() for name, value in self.alpha.items()},
            xi,
            self.drift(),
        )
