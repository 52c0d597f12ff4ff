"""How good a surrogate predicts, measured on fixed held-out functions of the HEBO+ prior.

A level of log density says little: most of what can be known of ten parameters from sixty designs is nothing. So the
measure is the share of the available gain, (NLL of N(0, 1) - NLL) / (NLL of N(0, 1) - NLL of the oracle), where the
oracle is the exact Gaussian process with the hyper-parameters that the function was drawn with. No method reaches 1:
the hyper-parameters have to be inferred.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from designopt.surrogates.priors import HEBO_PLUS, Tasks

CELLS = ((1, 10), (1, 30), (3, 30), (6, 30), (10, 60))
"""Numbers of parameters and of context designs."""
BOTORCH_SHARES = {"1,10": -0.080, "1,30": 0.858, "3,30": 0.504, "6,30": 0.126, "10,60": -1.067}
"""Of the available gain, what BoTorch's default fit reaches on 50 functions of a cell (benchmarks/amortized_gp.py)."""
FUNCTIONS, QUERIES = 256, 32
SEED = 20260


@dataclass(frozen=True)
class Cell:
    """Held-out functions: n context designs, then ``QUERIES`` queries, uniform in the unit cube.

    Attributes:
        tasks: the functions.
        n: number of context designs of each.
        y: (b, n + QUERIES) outputs in units of the context's mean and deviation.
        normal: mean NLL of N(0, 1) in those units.
        oracle: mean NLL of the exact Gaussian process with the true hyper-parameters.
    """

    tasks: Tasks
    n: int
    y: Tensor
    normal: float
    oracle: float

    @property
    def context(self) -> tuple[Tensor, Tensor]:
        """Designs (b, n, d) and outputs (b, n)."""
        return self.tasks.X[:, : self.n], self.y[:, : self.n]

    @property
    def queries(self) -> tuple[Tensor, Tensor]:
        """Designs (b, QUERIES, d) and outputs (b, QUERIES)."""
        return self.tasks.X[:, self.n :], self.y[:, self.n :]

    def share(self, nll: float) -> float:
        """Of the available gain, at a mean NLL."""
        return (self.normal - nll) / (self.normal - self.oracle)


@functools.cache
def cell(d: int, n: int, functions: int = FUNCTIONS) -> Cell:
    """The held-out functions of d parameters with n context designs; always the same."""
    rng = Generator().manual_seed(SEED + 1000 * d + n)
    tasks = HEBO_PLUS.sample(functions, n + QUERIES, d, rng)
    y = tasks.standardised(n)
    normal = 0.5 * (y[:, n:].square() + math.log(2 * math.pi)).mean()
    return Cell(tasks, n, y, float(normal), float(oracle_nll(tasks, n).mean()))


def oracle_nll(tasks: Tasks, n: int) -> Tensor:
    """(b, QUERIES) of the exact Gaussian process with the true hyper-parameters, outputs as in ``Cell.y``."""
    scale = tasks.Y[:, :n].std(dim=-1, correction=0)
    covariance = tasks.covariance()
    cholesky = torch.linalg.cholesky(covariance[:, :n, :n])
    white = torch.linalg.solve_triangular(
        cholesky, torch.cat([covariance[:, :n, n:], tasks.Y[:, :n, None]], dim=-1), upper=False
    )
    explained, residual = white[..., :-1], white[..., -1:]
    mean = (explained.mT @ residual)[..., 0]
    variance = covariance[:, n:, n:].diagonal(dim1=-2, dim2=-1) - explained.square().sum(-2)
    error = tasks.Y[:, n:] - mean
    nll: Tensor = 0.5 * (error**2 / variance + variance.log() + math.log(2 * math.pi)) - scale.log()[:, None]
    return nll
