"""Self-distilled DARTS: earlier supernets teach the present one, which keeps it in flatter minima.

Reference: [Zhu2023] "Improving Differentiable Architecture Search via Self-Distillation", arXiv 2302.05629. We know the
idea from its abstract; every constant here is ours and is exposed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from designopt import Categorical, DesignEnv, Integer, Real, tunable
from designopt.search.nas.darts import DARTSSearch
from designopt.search.nas.problem import Batch, SupernetLosses, Tensors
from designopt.search.nas.teachers import VOTES, distillation_loss, vote


class SDDARTSSearch(DARTSSearch):
    """DARTS whose weights also descend the divergence from a vote of supernets of earlier epochs.

    Teachers see every batch anew (K forward passes more a step, none backward). On a ``BilevelProblem``, where
    there are no outputs to distil, it is DARTS.
    """

    @dataclass(frozen=True)
    class Config(DARTSSearch.Config):
        """Hyper-parameters."""

        n_teachers: int = tunable(3, Integer(1, 8), "supernets that vote")
        teacher_stride: int = tunable(1, Integer(1, 10), "epochs between two teachers")
        temperature: float = tunable(2.0, Real(1.0, 5.0), "of the probabilities compared")
        lambda_sd: float = tunable(0.5, Real(0.0, 2.0), "weight of the divergence")
        start_epoch: int = tunable(5, Integer(1, 50, log=True), "epochs before teaching begins")
        apply_to_alpha: bool = tunable(False, Categorical([False, True]), "alpha descends the divergence too")
        vote: str = tunable("mean_prob", Categorical(VOTES), "how teachers settle")

        def __post_init__(self) -> None:
            super().__post_init__()
            for name in ("n_teachers", "teacher_stride"):
                if getattr(self, name) < 1:
                    raise ValueError(f"{name} = {getattr(self, name)}; it must be at least 1")
            for name in ("lambda_sd", "start_epoch"):
                if not getattr(self, name) >= 0:
                    raise ValueError(f"{name} = {getattr(self, name)}; it must not be negative")
            if not self.temperature > 0:
                raise ValueError(f"temperature = {self.temperature}; it must be positive")
            if self.vote not in VOTES:
                raise ValueError(f"vote = {self.vote!r}; allowed: {', '.join(VOTES)}")

    config: Config

    def __init__(self, env: DesignEnv, config: Any = None, *, seed: int = 0, device: str = "cpu") -> None:
        super().__init__(env, config, seed=seed, device=device)
        self._opinion: tuple[Batch, Tensor] | None = None  # of the batch at hand

    def train_loss(self, weights: Tensors, alpha: Tensors, batch: Batch) -> Tensor:
        """Cross-entropy, and the divergence from the teachers."""
        if not self.teaching:
            return super().train_loss(weights, alpha, batch)
        assert isinstance(self.losses, SupernetLosses)
        logits = self.losses.logits(weights, self.mixture(alpha), batch.inputs)
        return functional.cross_entropy(logits, batch.labels) + self._divergence(logits, batch)

    def validation_loss(self, weights: Tensors, alpha: Tensors, batch: Batch) -> Tensor:
        """As in DARTS, with the divergence where ``apply_to_alpha``."""
        loss = super().validation_loss(weights, alpha, batch)
        if self.config.apply_to_alpha and self.teaching:
            assert isinstance(self.losses, SupernetLosses)
            loss = loss + self._divergence(self.losses.logits(weights, self.mixture(alpha), batch.inputs), batch)
        return loss

    @property
    def teachers(self) -> list[str]:
        """Names of the copies that teach, the oldest first."""
        return [name for name in self.copies if name.startswith("teacher")]

    @property
    def teaching(self) -> bool:
        """Whether teachers have a say in this epoch."""
        return bool(self.teachers) and self.epoch >= self.config.start_epoch

    def epoch_ended(self) -> dict[str, Any]:
        """The supernet of every ``teacher_stride``-th epoch becomes a teacher, the oldest one retires."""
        self._opinion = None
        if isinstance(self.losses, SupernetLosses) and self.epoch % self.config.teacher_stride == 0:
            kept = {f"weight:{name}": value for name, value in self.w.items()}
            self.add_copy(f"teacher{self.epoch}", kept | {f"alpha:{n}": value for n, value in self.alpha.items()})
            for name in self.teachers[: -self.config.n_teachers]:
                del self.copies[name], self.optimisers[name]
        return {"teachers": len(self.teachers)}

    def _divergence(self, logits: Tensor, batch: Batch) -> Tensor:
        return self.config.lambda_sd * distillation_loss(logits, self.opinion(batch), self.config.temperature)

    @torch.no_grad()
    def opinion(self, batch: Batch) -> Tensor:
        """(n, classes) probabilities of the teachers' vote on a batch."""
        assert isinstance(self.losses, SupernetLosses)
        if self._opinion is None or self._opinion[0] is not batch:
            logits = []
            for teacher in self.teachers:
                held = self.copies[teacher]
                parts = [{n[len(p) :]: v for n, v in held.items() if n.startswith(p)} for p in ("weight:", "alpha:")]
                logits.append(self.losses.logits(parts[0], self.mixture(parts[1]), batch.inputs))
            self._opinion = batch, vote(torch.stack(logits), self.config.temperature, self.config.vote)
        return self._opinion[1]
