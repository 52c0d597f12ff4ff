"""Nine noise-free functions of the literature: what a network trained on random functions makes of known ones.

References: [Surjanovic2013] Virtual library of simulation experiments, https://www.sfu.ca/~ssurjano (all definitions).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

DESIGNS, QUERIES = 10, 64


@dataclass(frozen=True)
class Classical:
    """A function over a box and how many points of it are seen.

    Attributes:
        function: (..., d) -> (...).
        low, high: of the box, each number or one per dimension.
        d: dimensions.
        n: seen points.
    """

    function: Callable[[Tensor], Tensor]
    low: float | tuple[float, ...]
    high: float | tuple[float, ...]
    d: int
    n: int

    def tasks(self, designs: int = DESIGNS) -> tuple[Tensor, Tensor]:
        """X (designs, n + QUERIES, d) uniform in the unit cube, outputs in units of the first n; always the same."""
        rng = Generator().manual_seed(self.d * 1000 + self.n)
        X = torch.rand(designs, self.n + QUERIES, self.d, generator=rng, dtype=torch.double)
        low, high = (torch.as_tensor(v, dtype=torch.double) for v in (self.low, self.high))
        Y = self.function(low + (high - low) * X)
        deviation, mean = torch.std_mean(Y[:, : self.n], dim=-1, keepdim=True, correction=0)
        return X, (Y - mean) / deviation


def branin(x: Tensor) -> Tensor:
    """On [-5, 10] x [0, 15]."""
    a, b = x.unbind(-1)
    valley = b - 5.1 / (4 * math.pi**2) * a**2 + 5 / math.pi * a - 6
    return valley**2 + 10 * (1 - 1 / (8 * math.pi)) * a.cos() + 10


def hartmann(x: Tensor) -> Tensor:
    """Of 3 or 6 dimensions, on the unit cube."""
    A, P = HARTMANN[x.shape[-1]]
    weights = x.new_tensor([1.0, 1.2, 3.0, 3.2])
    inner = (x.new_tensor(A) * (x[..., None, :] - 1e-4 * x.new_tensor(P)) ** 2).sum(-1)
    return -(weights * (-inner).exp()).sum(-1)


HARTMANN = {
    3: (
        [[3.0, 10, 30], [0.1, 10, 35], [3.0, 10, 30], [0.1, 10, 35]],
        [[3689.0, 1170, 2673], [4699, 4387, 7470], [1091, 8732, 5547], [381, 5743, 8828]],
    ),
    6: (
        [
            [10.0, 3, 17, 3.5, 1.7, 8],
            [0.05, 10, 17, 0.1, 8, 14],
            [3, 3.5, 1.7, 10, 17, 8],
            [17, 8, 0.05, 10, 0.1, 14],
        ],
        [
            [1312.0, 1696, 5569, 124, 8283, 5886],
            [2329, 4135, 8307, 3736, 1004, 9991],
            [2348, 1451, 3522, 2883, 3047, 6650],
            [4047, 8828, 8732, 5743, 1091, 381],
        ],
    ),
}


def levy(x: Tensor) -> Tensor:
    """On [-10, 10]^d."""
    w = 1 + (x - 1) / 4
    middle = ((w[..., :-1] - 1) ** 2 * (1 + 10 * (math.pi * w[..., :-1] + 1).sin() ** 2)).sum(-1)
    last = (w[..., -1] - 1) ** 2 * (1 + (2 * math.pi * w[..., -1]).sin() ** 2)
    return (math.pi * w[..., 0]).sin() ** 2 + middle + last


def ackley(x: Tensor) -> Tensor:
    """On [-32.768, 32.768]^d."""
    far = -20 * (-0.2 * (x**2).mean(-1).sqrt()).exp()
    return far - (2 * math.pi * x).cos().mean(-1).exp() + 20 + math.e


def rosenbrock(x: Tensor) -> Tensor:
    """On [-5, 10]^d."""
    return (100 * (x[..., 1:] - x[..., :-1] ** 2) ** 2 + (1 - x[..., :-1]) ** 2).sum(-1)


def griewank(x: Tensor) -> Tensor:
    """On [-600, 600]^d."""
    index = torch.arange(1, x.shape[-1] + 1).to(x)
    return (x**2).sum(-1) / 4000 - (x / index.sqrt()).cos().prod(-1) + 1


def styblinski_tang(x: Tensor) -> Tensor:
    """On [-5, 5]^d."""
    return 0.5 * (x**4 - 16 * x**2 + 5 * x).sum(-1)


FUNCTIONS = {
    "Branin 2, 20": Classical(branin, (-5.0, 0.0), (10.0, 15.0), 2, 20),
    "Hartmann 3, 30": Classical(hartmann, 0.0, 1.0, 3, 30),
    "Levy 4, 40": Classical(levy, -10.0, 10.0, 4, 40),
    "Ackley 5, 50": Classical(ackley, -32.768, 32.768, 5, 50),
    "Hartmann 6, 60": Classical(hartmann, 0.0, 1.0, 6, 60),
    "Rosenbrock 6, 60": Classical(rosenbrock, -5.0, 10.0, 6, 60),
    "Griewank 6, 60": Classical(griewank, -600.0, 600.0, 6, 60),
    "Styblinski-Tang 8, 80": Classical(styblinski_tang, -5.0, 5.0, 8, 80),
    "Ackley 10, 100": Classical(ackley, -32.768, 32.768, 10, 100),
}
"""By name, dimensions and seen points."""
