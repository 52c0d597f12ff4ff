"""The default model of a table: cross-validated networks, so that quality and uncertainty come with the prediction.

Each of five networks is trained on four fifths of the rows. Predictions on the fifth that a network has not seen say
how good it is; the five together are the surrogate, and where they disagree they are unsure.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from designopt.parameters import Array
from designopt.space import DesignSpace

FOLDS, HIDDEN, DROPOUT, BATCH = 5, (128, 128), 0.1, 128
EPOCHS, STEPS = 200, (300, 1500)
"""Each network sees its rows so often, within so many steps at least and at most."""


class TableModel(nn.Module):
    """Five networks over encoded designs.

    ``model(x)``, x (n, d), gives for a numeric output its mean and ``<name>_std``, and for a class output the
    probabilities ``<name>=<class>``. Positive outputs that span a factor of twenty are learned as logarithms.

    Attributes:
        quality: output -> what cross-validation says: "R2" and "rmse" (numbers), or "accuracy" and "base rate".
    """

    def __init__(self, space: DesignSpace, designs: Array, outputs: Mapping[str, NDArray[Any]], seed: int = 0) -> None:
        super().__init__()
        self.quality: dict[str, dict[str, float]] = {}
        self._numeric = [i for i, c in enumerate(space.categorical) if not c]
        self._choices = [(i, int(space.choices[i])) for i, c in enumerate(space.categorical) if c]
        numeric = designs[:, self._numeric]
        deviations = np.where(np.ptp(numeric, axis=0) > 0, numeric.std(axis=0), 1.0)
        self.centre, self.spread = nn.Buffer(torch.tensor(numeric.mean(axis=0))), nn.Buffer(torch.tensor(deviations))
        self._heads: dict[str, Any] = {}
        targets, width = [], 0
        for name, values in outputs.items():
            head, columns = _head(values)
            self._heads[name] = (slice(width, width + columns.shape[1]), head)
            width += columns.shape[1]
            targets.append(columns)
        self.net = _Networks(len(self._numeric) + sum(n for _, n in self._choices), width, seed)
        self._fit(torch.tensor(designs), torch.tensor(np.concatenate(targets, axis=1)), outputs, seed)
        self.eval()

    def _encode(self, x: Tensor) -> Tensor:
        """One-hot classes and standardised numbers, held at six deviations."""
        parts = [((x[:, self._numeric] - self.centre) / self.spread).clamp(-6, 6)]
        parts += [nn.functional.one_hot(x[:, i].long().clamp(0, n - 1), n).to(x) for i, n in self._choices]
        return torch.cat(parts, dim=1)

    def _fit(self, designs: Tensor, target: Tensor, outputs: Mapping[str, NDArray[Any]], seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        n = len(designs)
        fold = torch.arange(n)[torch.randperm(n, generator=generator)] % FOLDS
        x = self._encode(designs).float()
        target = target.float()
        seen = [torch.nonzero(fold != k)[:, 0] if n >= 2 * FOLDS else torch.arange(n) for k in range(FOLDS)]
        steps = int(np.clip(EPOCHS * n // BATCH, *STEPS))
        optimiser = torch.optim.AdamW(self.net.parameters(), lr=3e-3, weight_decay=1e-2)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=steps)
        self.net.train()
        batch = min(BATCH, n)
        for _ in range(steps):
            rows = torch.stack([s[torch.randint(len(s), (batch,), generator=generator)] for s in seen])
            optimiser.zero_grad()
            self._loss(self.net(x[rows], generator), target[rows]).backward()
            optimiser.step()
            schedule.step()
        self.net.eval()
        with torch.no_grad():
            everything = self.net(x.expand(FOLDS, -1, -1), None)
        unseen = everything[fold, torch.arange(n)].double().numpy()
        self.double()
        for name, (where, head) in self._heads.items():
            self.quality[name] = head.judge(unseen[:, where], outputs[name])

    def _loss(self, answer: Tensor, target: Tensor) -> Tensor:
        loss = answer.new_zeros(())
        for where, head in self._heads.values():
            loss = loss + head.loss(answer[..., where], target[..., where])
        return loss

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """x: (n, d) -> output -> (n,)."""
        answer = self.net(self._encode(x).expand(FOLDS, -1, -1), None)
        outputs: dict[str, Tensor] = {}
        for name, (where, head) in self._heads.items():
            outputs |= head.outputs(name, answer[..., where])
        return outputs


class _Networks(nn.Module):
    """FOLDS networks side by side, as batched matrices."""

    def __init__(self, inputs: int, outputs: int, seed: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        sizes = (inputs, *HIDDEN, outputs)
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        for a, b in itertools.pairwise(sizes):
            bound = 1 / math.sqrt(a)
            self.weights.append((2 * torch.rand(FOLDS, a, b, generator=generator) - 1) * bound)
            self.biases.append((2 * torch.rand(FOLDS, 1, b, generator=generator) - 1) * bound)

    def forward(self, x: Tensor, generator: torch.Generator | None) -> Tensor:
        """x: (FOLDS, n, inputs) -> (FOLDS, n, outputs); a generator drops units, as in training."""
        last = len(self.weights) - 1
        for i, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            x = torch.baddbmm(bias, x, weight)
            if i < last:
                x = nn.functional.silu(x)
                if generator is not None:
                    x = x * (torch.rand(x.shape, generator=generator) >= DROPOUT) / (1 - DROPOUT)
        return x


class _Number:
    """A numeric output, standardised, as its logarithm where ``log``."""

    def __init__(self, values: Array) -> None:
        self.log = bool((values > 0).all() and values.max() > 20 * values.min())
        inner = np.log(values) if self.log else values
        self.centre, self.spread = float(inner.mean()), float(inner.std()) or 1.0
        self.error = 0.0

    def columns(self, values: Array) -> Array:
        return (((np.log(values) if self.log else values) - self.centre) / self.spread)[:, None]

    def loss(self, answer: Tensor, target: Tensor) -> Tensor:
        return nn.functional.mse_loss(answer, target)

    def judge(self, unseen: Array, values: NDArray[Any]) -> dict[str, float]:
        """Keeps the standardised error as well: it is the part of the uncertainty that the networks share."""
        self.error = float(np.sqrt(np.mean((unseen - self.columns(values)) ** 2)))
        inner = unseen[:, 0] * self.spread + self.centre
        error = (np.exp(inner) if self.log else inner) - values
        total = float(np.var(values))
        return {"R2": 1 - float(np.mean(error**2)) / total if total else 1.0, "rmse": float(np.sqrt(np.mean(error**2)))}

    def outputs(self, name: str, answer: Tensor) -> dict[str, Tensor]:
        inner = answer[..., 0]
        mean = inner.mean(dim=0) * self.spread + self.centre
        deviation = (inner.var(dim=0) + self.error**2).sqrt() * self.spread
        if self.log:
            mean = mean.exp()
            deviation = deviation * mean
        return {name: mean, f"{name}_std": deviation}


class _Class:
    """A class output: probabilities, the mean over the networks."""

    def __init__(self, values: NDArray[Any]) -> None:
        self.classes = sorted({str(v) for v in values})

    def columns(self, values: NDArray[Any]) -> Array:
        return np.stack([values.astype(str) == c for c in self.classes], axis=1).astype(np.float64)

    def loss(self, answer: Tensor, target: Tensor) -> Tensor:
        return -(target * answer.log_softmax(dim=-1)).sum(dim=-1).mean()

    def judge(self, unseen: Array, values: NDArray[Any]) -> dict[str, float]:
        hit = np.array(self.classes)[unseen.argmax(axis=1)] == values.astype(str)
        return {"accuracy": float(hit.mean()), "base rate": float(self.columns(values).mean(axis=0).max())}

    def outputs(self, name: str, answer: Tensor) -> dict[str, Tensor]:
        probabilities = answer.softmax(dim=-1).mean(dim=0)
        return {f"{name}={c}": probabilities[:, i] for i, c in enumerate(self.classes)}


def _head(values: NDArray[Any]) -> tuple[_Number | _Class, Array]:
    head = _Number(values.astype(np.float64)) if values.dtype.kind in "fiu" else _Class(values)
    return head, head.columns(values)
