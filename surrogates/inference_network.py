"""A network that finds the hyper-parameters of a Gaussian process in a few learned steps.

Each step looks at the gradients of the log marginal likelihood, as a gradient ascent would, and answers with a change
of every hyper-parameter; what a good change is, it has learned from the predictions that followed. It is equivariant to
the order of designs and of parameters, and there may be any number of either.

References: [Andrychowicz2016] Learning to learn by gradient descent by gradient descent, NeurIPS. [Liu2020]
Task-agnostic amortized inference of Gaussian process hyperparameters, NeurIPS. [Zaheer2017] Deep sets, NeurIPS.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from designopt.surrogates.hyperparameters import Conditioned, Gradients, Hyperparameters
from designopt.surrogates.kernels import FAMILY

LIMITS = {
    "log_weights": (-10.0, 8.0),
    "bends": (-5.0, 5.0),
    "log_scale": (-5.0, 8.0),
    "log_noise": (-16.0, 2.0),
    "mean": (-4.0, 4.0),
    "mixture": (-6.0, 6.0),
}
"""Of the hyper-parameters, for outputs of deviation 1."""


@dataclass(frozen=True)
class Architecture:
    """Sizes of the network.

    Attributes:
        width: of the hidden layers.
        memory: numbers per parameter that a step leaves for the next.
    """

    width: int = 96
    memory: int = 24


@dataclass(frozen=True)
class State:
    """What the next step needs to know of those before.

    Attributes:
        theta: hyper-parameters of B processes.
        memory: (B, d, memory) of the network.
        steps: how many were made.
    """

    theta: Hyperparameters
    memory: Tensor
    steps: int

    def rows(self, index: list[int]) -> State:
        """Of some of the B processes."""
        return State(self.theta.rows(index), self.memory[index], self.steps)


class InferenceNetwork(nn.Module):
    """Designs and outputs -> hyper-parameters.

    Args:
        architecture: sizes.
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
        width, memory = architecture.width, architecture.memory
        self.local = nn.Sequential(
            nn.Linear(7 + memory + 2 * (4 + len(FAMILY)) + 5, width), nn.GELU(), nn.Linear(width, width), nn.GELU()
        )
        self.by_parameter = nn.Sequential(nn.Linear(3 * width, width), nn.GELU(), nn.Linear(width, 2 + memory))
        self.shared = nn.Sequential(nn.Linear(2 * width, width), nn.GELU(), nn.Linear(width, 3 + len(FAMILY)))
        for head in (self.by_parameter, self.shared):
            last = head[-1]
            assert isinstance(last, nn.Linear)
            nn.init.normal_(last.weight, std=0.01)
            nn.init.zeros_(last.bias)

    def forward(self, X: Tensor, y: Tensor, categorical: Tensor, steps: int) -> list[Conditioned]:
        """Infer the hyper-parameters of B contexts.

        Args:
            X: (B, n, d) or (1, n, d) designs in the unit cube, double precision.
            y: (B, n) outputs, standardised.
            categorical: (d,) which parameters are categories.
            steps: how many, at least 1.

        Returns:
            The Gaussian processes after every step.
        """
        return [fit for fit, _ in self.follow(X, y, self.start(y, categorical), steps)]

    def start(self, y: Tensor, categorical: Tensor) -> State:
        """Where the inference of the contexts with outputs y (B, n) begins."""
        theta = Hyperparameters.start(len(y), categorical)
        memory = torch.zeros(len(y), len(categorical), self.architecture.memory, device=y.device)
        return State(theta, memory, 0)

    def follow(self, X: Tensor, y: Tensor, state: State, steps: int) -> list[tuple[Conditioned, State]]:
        """``forward`` from any state on, that of other data included: every process and the state with it."""
        fits = [(Conditioned.on(state.theta, X, y), state)]
        for _ in range(steps):
            fit, state = fits[-1]
            theta, memory = self._step(fit, state.memory, state.steps)
            fits.append((Conditioned.on(theta, X, y), State(theta, memory, state.steps + 1)))
        return fits[1:]

    def _step(self, fit: Conditioned, memory: Tensor, step: int) -> tuple[Hyperparameters, Tensor]:
        theta, gradients = fit.theta, fit.gradients()
        d = theta.log_weights.shape[-1]
        shared = _shared_features(theta, gradients, fit.y.shape[-1], step)
        local = torch.cat([_local_features(theta, gradients, fit.y.shape[-1]), memory], dim=-1)
        hidden = self.local(torch.cat([local, shared[:, None].expand(-1, d, -1)], dim=-1))
        pooled = torch.cat([hidden.mean(-2), hidden.amax(-2)], dim=-1)
        changes = self.by_parameter(torch.cat([hidden, pooled[:, None].expand(-1, d, -1)], dim=-1))
        log_weights, bends, memory_change = changes.split([1, 1, memory.shape[-1]], dim=-1)
        log_scale, log_noise, mean, mixture = self.shared(pooled).double().split([1, 1, 1, len(FAMILY)], dim=-1)

        def moved(name: str, change: Tensor) -> Tensor:
            value: Tensor = getattr(theta, name)
            return (value + change.double().reshape(value.shape)).clamp(*LIMITS[name])

        moved_theta = Hyperparameters(
            log_weights=moved("log_weights", log_weights),
            bends=moved("bends", bends),
            log_scale=moved("log_scale", log_scale),
            log_noise=moved("log_noise", log_noise),
            mean=moved("mean", mean),
            mixture=moved("mixture", mixture),
            categorical=theta.categorical,
        )
        return moved_theta, memory + memory_change


def _local_features(theta: Hyperparameters, gradients: Gradients, n: int) -> Tensor:
    """(B, d, 7) numbers of order one for each parameter."""
    columns = [
        torch.asinh(gradients.log_weights),
        (gradients.log_weights / n**0.5).clamp(-10, 10),
        theta.log_weights / 2,
        torch.asinh(gradients.bends),
        theta.bends,
        torch.asinh(gradients.contribution),
        theta.categorical.to(theta.bends).expand_as(theta.bends),
    ]
    return torch.stack(columns, dim=-1).float()


def _shared_features(theta: Hyperparameters, gradients: Gradients, n: int, step: int) -> Tensor:
    """(B, 2 (4 + 4) + 5) numbers of order one for each context."""
    d = theta.log_weights.shape[-1]
    deviation = (0.5 * theta.log_scale).exp()
    slopes = torch.stack([gradients.log_scale, gradients.log_noise, gradients.mean * deviation], dim=-1)
    fit = torch.stack([gradients.evidence, gradients.left_out], dim=-1)
    state = torch.stack([theta.log_scale, theta.log_noise / 4 + 1, theta.mean], dim=-1)
    columns = [
        torch.asinh(slopes),
        slopes[:, :2] / n**0.5,
        torch.asinh(gradients.mixture),
        torch.asinh(fit),
        state,
        theta.mixture,
        theta.mean.new_tensor([math.log(n) / 3 - 1, math.log(d) - 1, step / 4]).expand(len(state), -1),
    ]
    return torch.cat(columns, dim=-1).clamp(-10, 10).float()
