"""One face for both kinds of bilevel problem: losses of named tensors of weights and alpha on a batch."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from designopt import DesignEnv
from designopt.nas import BilevelProblem, Supernet
from designopt.parameters import Array

Tensors = dict[str, Tensor]
ALPHA_SPREAD = 1e-3
"""Standard deviation of alpha at the start [Liu2019]."""
FULL_BATCH_STEPS = 100
"""Steps that count as an epoch where a batch is all there is."""


@dataclass(frozen=True)
class Batch:
    """Inputs (n, ...) and labels (n,); empty where the losses are written down."""

    inputs: Tensor
    labels: Tensor


class _Offers(type):
    def __instancecheck__(cls, env: object) -> bool:
        return isinstance(env, Supernet | BilevelProblem)


class SupernetOrBilevelProblem(metaclass=_Offers):
    """Either of the two protocols of ``designopt.nas``."""


class SupernetLosses:
    """Cross-entropy of a supernet, plus the expected cost of its operations on the validation side.

    Args:
        env: offers the supernet.
        seed: of the supernet's weights, alpha at the start and the split of the data.
        device: where everything lives.

    Attributes:
        network: the supernet; its own parameters are only the starting point.
        kinked: whether it contains activations or pools whose derivative jumps.

    Raises:
        ValueError: the supernet and the data or shapes that the environment declares do not fit together.
    """

    full_batch = False

    def __init__(self, env: Supernet, seed: int, device: torch.device) -> None:
        self.env, self.device, self.seed = env, device, seed
        data = env.search_data(seed)
        self.train = Batch(data.train_inputs.to(device), data.train_labels.to(device))
        self.validation = Batch(data.validation_inputs.to(device), data.validation_labels.to(device))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.network = env.build_supernet(seed).to(device, self.train.inputs.dtype)
        self.costs = {n: torch.as_tensor(c, device=device).to(self.dtype) for n, c in env.operation_costs().items()}
        kinks = (nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.Hardswish, nn.Hardtanh, nn.MaxPool1d, nn.MaxPool2d)
        self.kinked = any(isinstance(module, kinks) for module in self.network.modules())
        self._check()

    @property
    def dtype(self) -> torch.dtype:
        """Of weights, alpha and data."""
        return self.train.inputs.dtype

    def _check(self) -> None:
        name = self.env.id if isinstance(self.env, DesignEnv) else type(self.env).__name__
        for split, batch in (("training", self.train), ("validation", self.validation)):
            if len(batch.inputs) != len(batch.labels):
                raise ValueError(f"{name}: {len(batch.inputs)} {split} inputs but {len(batch.labels)} labels")
            try:
                with torch.no_grad():
                    logits = self.network(batch.inputs[:2], {n: a.softmax(1) for n, a in self.start()[0].items()})
            except (RuntimeError, ValueError, KeyError) as error:
                shape = tuple(batch.inputs.shape[1:])
                raise ValueError(
                    f"{name}: the supernet does not take {split} inputs of shape {shape}: {error}"
                ) from error
            highest = int(batch.labels.max())
            if logits.ndim != 2 or highest >= logits.shape[1] or int(batch.labels.min()) < 0:
                raise ValueError(
                    f"{name}: the supernet gives outputs of shape {tuple(logits.shape)} for 2 inputs; {split} labels "
                    f"reach {highest}, so at least (2, {highest + 1}) is needed"
                )

    def start(self) -> tuple[Tensors, Tensors]:
        """Alpha and weights to start from."""
        rng = torch.Generator().manual_seed(self.seed)
        shapes = self.env.mixture_shapes()
        alpha = {n: ALPHA_SPREAD * torch.randn(s, generator=rng).to(self.device, self.dtype) for n, s in shapes.items()}
        return alpha, {name: value.detach().clone() for name, value in self.network.named_parameters()}

    def batches(self, epoch: int, size: int) -> Iterator[tuple[Batch, Batch]]:
        """Pairs of a training and a validation batch, no sample twice; the order depends on the epoch only."""
        rng = np.random.default_rng([self.seed, epoch])
        count = min(len(self.train.labels), len(self.validation.labels))
        orders = [torch.as_tensor(rng.permutation(len(b.labels))) for b in (self.train, self.validation)]
        for first in range(0, max(count - size, 0) + 1, size):
            rows = [order[first : first + size].to(self.device) for order in orders]
            train, validation = zip((self.train, self.validation), rows, strict=True)
            yield _rows(*train), _rows(*validation)

    def steps(self, size: int) -> int:
        """Steps of an epoch."""
        return max(min(len(self.train.labels), len(self.validation.labels)) // size, 1)

    def logits(self, weights: Tensors, mixture: Tensors, inputs: Tensor) -> Tensor:
        """(n, classes) outputs of the supernet with those weights."""
        return functional_call(self.network, weights, (inputs, mixture))  # type: ignore[no-any-return]

    def train_loss(self, weights: Tensors, mixture: Tensors, batch: Batch) -> Tensor:
        """Cross-entropy on a batch."""
        return nn.functional.cross_entropy(self.logits(weights, mixture, batch.inputs), batch.labels)

    def validation_loss(self, weights: Tensors, mixture: Tensors, batch: Batch) -> Tensor:
        """Cross-entropy on a batch, plus the mean cost of the mixture."""
        return self.train_loss(weights, mixture, batch) + self._cost(mixture)

    def _cost(self, mixture: Tensors) -> Tensor:
        costs = [(mixture[name] * cost).sum() for name, cost in self.costs.items()]
        return torch.stack([*costs, torch.zeros((), dtype=self.dtype, device=self.device)]).sum()

    def judge(self, weights: Tensors, mixture: Tensors, batch: Batch) -> tuple[float, float]:
        """Validation loss and accuracy on a batch, in one pass."""
        with torch.no_grad():
            logits = self.logits(weights, mixture, batch.inputs)
            loss = nn.functional.cross_entropy(logits, batch.labels) + self._cost(mixture)
            return float(loss), float((logits.argmax(1) == batch.labels).float().mean())

    def accuracy(self, weights: Tensors, mixture: Tensors, batch: Batch) -> float:
        """Share of a batch that is classified rightly, with statistics of that batch."""
        return self.judge(weights, mixture, batch)[1]

    def design(self, weights: Tensors, mixture: Tensors) -> Array:
        """(d,) the architecture that a mixture stands for."""
        return self.env.discretise({name: value.detach().cpu().double().numpy() for name, value in mixture.items()})

    def facts(self, mixture: Tensors) -> dict[str, object]:
        """What a trace says of a mixture: mean entropy of a group (nats), mean weights of ``skip`` and ``none``."""
        names = self.env.choice_names()
        entropies = torch.cat([torch.special.entr(p.clamp_min(0)).sum(1) for p in mixture.values()])
        row: dict[str, object] = {"entropy": float(entropies.mean())}
        for share in ("skip", "none"):
            columns = [
                p[:, [i for i, choice in enumerate(names[n]) if choice.startswith(share)]].sum(1)
                for n, p in mixture.items()
            ]
            row[f"{share}_share"] = float(torch.cat(columns).mean())
        return row


class ProblemLosses:
    """The losses of a ``BilevelProblem``, in float64; there is one batch, of nothing, and alpha is its own mixture."""

    full_batch = True
    kinked = False
    dtype = torch.float64

    def __init__(self, env: BilevelProblem, device: torch.device) -> None:
        self.env, self.device = env, device
        self.validation = Batch(torch.empty(0), torch.empty(0))

    def start(self) -> tuple[Tensors, Tensors]:
        """Alpha and weights to start from."""
        alpha, weights = (torch.tensor(part, dtype=self.dtype, device=self.device) for part in self.env.start())
        return {"alpha": alpha}, {"w": weights}

    def batches(self, epoch: int, size: int) -> Iterator[tuple[Batch, Batch]]:
        """An epoch of steps."""
        for _ in range(FULL_BATCH_STEPS):
            yield self.validation, self.validation

    def steps(self, size: int) -> int:
        """Steps of an epoch."""
        return FULL_BATCH_STEPS

    def train_loss(self, weights: Tensors, mixture: Tensors, batch: Batch) -> Tensor:
        """As the problem says."""
        return self.env.train_loss(weights["w"], mixture["alpha"])

    def validation_loss(self, weights: Tensors, mixture: Tensors, batch: Batch) -> Tensor:
        """As the problem says."""
        return self.env.validation_loss(weights["w"], mixture["alpha"])

    def design(self, weights: Tensors, mixture: Tensors) -> Array:
        """(d,) the design of weights and alpha."""
        w, alpha = (t.detach().cpu().numpy() for t in (weights["w"], mixture["alpha"]))
        return self.env.to_design(w, alpha)

    def facts(self, mixture: Tensors) -> dict[str, object]:
        """Nothing more."""
        return {}


Losses = SupernetLosses | ProblemLosses


def losses_of(env: DesignEnv, seed: int, device: torch.device) -> Losses:
    """The bilevel problem that an environment offers."""
    if isinstance(env, BilevelProblem):
        return ProblemLosses(env, device)
    assert isinstance(env, Supernet)
    return SupernetLosses(env, seed, device)


def _rows(batch: Batch, rows: Tensor) -> Batch:
    return Batch(batch.inputs[rows], batch.labels[rows])


def warn_of_kinks(name: str) -> None:
    """Say why a finite difference cannot be trusted here."""
    warnings.warn(
        f"order = 2 takes a finite difference of gradients, but the supernet of {name} has ReLU-like kinks: the "
        "difference quotient does not converge there (docs/nas.md); order = 'exact' or a smooth activation avoids it",
        stacklevel=3,
    )
