"""What the networks are trained on: batches of functions, and the loss of the predictions of points held out.

References: [Müller2022] Transformers can do Bayesian inference, ICLR (why this loss yields the posterior predictive).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor
from torch.nn import functional

from designopt.surrogates import heldout
from designopt.surrogates.pfn.anchored import AnchoredClassifier, AnchoredPFN
from designopt.surrogates.pfn.bar_distribution import BarDistribution
from designopt.surrogates.pfn.classical import FUNCTIONS
from designopt.surrogates.pfn.flat import FlatPFN
from designopt.surrogates.pfn.prior import labelled, mixed

MOST_POINTS, MOST_DIMENSIONS = 200, 18
QUERIES = 32
LIMIT = 12.0
"""Of standardised outputs: a few contexts of four points would otherwise dominate every gradient."""


@dataclass(frozen=True)
class Batch:
    """B functions: contexts X (B, n, d), y (B, n), standardised, and held-out points X_new (B, q, d), y_new (B, q)."""

    X: Tensor
    y: Tensor
    X_new: Tensor
    y_new: Tensor


def draw_batch(rng: Generator, d: int | None = None, n: int | None = None) -> Batch:
    """Functions of the mixed prior; of 1 to 18 dimensions, seen at 4 to 200 points, when not given."""
    d = _uniform(rng, 1, MOST_DIMENSIONS) if d is None else d
    n = _log_uniform(rng, 4, MOST_POINTS) if n is None else n
    X, Y = mixed(_functions(n), n + QUERIES, d, rng)
    Y, usable = _standardised(Y, n)
    X, Y = X[usable], Y[usable].clamp(-LIMIT, LIMIT)
    return Batch(X[:, :n], Y[:, :n], X[:, n:], Y[:, n:])


def draw_labels(rng: Generator, d: int | None = None, n: int | None = None) -> Batch:
    """Two classes, such as feasible and not; of 1 to 40 dimensions, contexts with both classes in them."""
    d = _log_uniform(rng, 1, 40) if d is None else d
    n = _log_uniform(rng, 8, MOST_POINTS) if n is None else n
    X, Y = labelled(_functions(n), n + QUERIES, d, rng)
    coded, usable = _standardised(Y, n)
    X, Y, coded = X[usable], Y[usable], coded[usable]
    return Batch(X[:, :n], coded[:, :n], X[:, n:], Y[:, n:])


def regression_loss(network: AnchoredPFN | FlatPFN, rng: Generator) -> Tensor:
    """Mean negative log density of held-out outputs of functions drawn for it."""
    batch = draw_batch(rng)
    return -predictions(network, batch.X, batch.y, batch.X_new).log_prob(batch.y_new).mean()


def classification_loss(network: AnchoredClassifier, rng: Generator) -> Tensor:
    """Mean negative log probability of held-out labels."""
    batch = draw_labels(rng)
    nothing = torch.zeros(batch.X.shape[-1], dtype=torch.bool)
    logits = network(network.context(batch.X, batch.y, nothing), batch.X_new)
    return functional.binary_cross_entropy_with_logits(logits, batch.y_new)


def _functions(n: int) -> int:
    """How many at once: about as much work whatever the context's length."""
    return min(max(2048 // (n + QUERIES), 4), 64)


def _standardised(Y: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """Outputs in units of their first n, and which functions vary there at all."""
    deviation, mean = torch.std_mean(Y[:, :n], dim=-1, keepdim=True, correction=0)
    usable = (deviation[:, 0] > 1e-6 * Y.abs().amax(-1)) & Y.isfinite().all(-1)
    return (Y - mean) / deviation.clamp_min(1e-30), usable


def _uniform(rng: Generator, low: int, high: int) -> int:
    return int(torch.randint(low, high + 1, (), generator=rng))


def _log_uniform(rng: Generator, low: int, high: int) -> int:
    share = float(torch.rand((), generator=rng))
    return int(low * math.exp(share * math.log((high + 1) / low)))


@torch.no_grad()
def measure(network: AnchoredPFN | FlatPFN) -> dict[str, float]:
    """Share of the available gain and coverage of 90 % intervals in every held-out cell; NLL of classical functions."""
    found = {}
    for d, n in heldout.CELLS:
        cell = heldout.cell(d, n)
        (X, y), (X_new, y_new) = cell.context, cell.queries
        bars = predictions(network, X, y, X_new)
        found[f"{d},{n}"] = cell.share(float(-bars.log_prob(y_new).mean()))
        level = bars.cdf(y_new)
        found[f"coverage {d},{n}"] = float(((level > 0.05) & (level < 0.95)).float().mean())
    for name, function in FUNCTIONS.items():
        X, y = function.tasks()
        n = function.n
        found[name] = float(-predictions(network, X[:, :n], y[:, :n], X[:, n:]).log_prob(y[:, n:]).mean())
    found["classical"] = sum(found[name] for name in FUNCTIONS) / len(FUNCTIONS)
    return found


def predictions(network: AnchoredPFN | FlatPFN, X: Tensor, y: Tensor, X_new: Tensor) -> BarDistribution:
    """Of B contexts X (B, n, d), y (B, n) at designs X_new (B, q, d), all parameters being numbers."""
    nothing = torch.zeros(X.shape[-1], dtype=torch.bool, device=X.device)
    return network(network.context(X, y, nothing), X_new.float())  # type: ignore[no-any-return]
