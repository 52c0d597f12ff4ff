"""What the networks are trained on: batches of functions, and the loss of the predictions of points held out.

References: [Müller2022] Transformers can do Bayesian inference, ICLR (why this loss yields the posterior predictive).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from torch import Generator, Tensor
from torch.nn import functional

from designopt.surrogates import heldout
from designopt.surrogates.pfn.anchored import AnchoredClassifier, AnchoredNetwork, AnchoredPFN
from designopt.surrogates.pfn.bar_distribution import BarDistribution
from designopt.surrogates.pfn.classical import FUNCTIONS
from designopt.surrogates.pfn.flat import FlatPFN
from designopt.surrogates.pfn.prior import labelled, mixed
from designopt.surrogates.training import Recipe, TrainingConfig, load_state, read_weights

MOST_POINTS, MOST_DIMENSIONS, MOST_LABEL_DIMENSIONS = 200, 18, 40
QUERIES = 32
AGP_WEIGHTS = Path(__file__).parents[1] / "weights" / "agp.safetensors"
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
    d = _log_uniform(rng, 1, MOST_LABEL_DIMENSIONS) if d is None else d
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
    return _label_losses(network, draw_labels(rng)).mean()


def _label_losses(network: AnchoredClassifier, batch: Batch) -> Tensor:
    nothing = torch.zeros(batch.X.shape[-1], dtype=torch.bool)
    logits = network(network.context(batch.X, batch.y, nothing), batch.X_new)
    return functional.binary_cross_entropy_with_logits(logits, batch.y_new, reduction="none")


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


@torch.no_grad()
def measure_labels(network: AnchoredClassifier) -> dict[str, float]:
    """Mean negative log probability of held-out labels, always the same, by dimensions and context length.

    Beside each, under the same name with "base", that of the frequencies in the context, by the rule of succession.
    """
    rng, found = Generator().manual_seed(99), {}
    for d, n in ((2, 20), (4, 50), (8, 100), (16, 200)):
        losses, base = [], []
        for _ in range(8):
            batch = draw_labels(rng, d, n)
            losses.append(_label_losses(network, batch).mean(-1))
            p = ((batch.y > 0).sum(-1, keepdim=True) + 1) / (n + 2)
            base.append(
                functional.binary_cross_entropy(p.expand_as(batch.y_new), batch.y_new, reduction="none").mean(-1)
            )
        found[f"labels {d},{n}"] = float(torch.cat(losses).mean())
        found[f"base {d},{n}"] = float(torch.cat(base).mean())
    return found


Anchored = TypeVar("Anchored", bound=AnchoredNetwork)


def _on_shipped_inference(network: Anchored) -> Anchored:
    """A network that has learned nothing but the inference of hyper-parameters, from the amortised Gaussian process."""
    weights, _ = read_weights(AGP_WEIGHTS)
    load_state(network.inference, weights, AGP_WEIGHTS)
    return network


def _untrained() -> AnchoredPFN:
    network = _on_shipped_inference(AnchoredPFN())
    # Trained along at once, inference was lost within 200 steps: outliers under narrow bars rule its gradient.
    network.inference.requires_grad_(False)
    return network


RECIPE = Recipe(
    build=_untrained,
    loss=regression_loss,
    measure=measure,
    facts={"model": "pfn", "most_points": MOST_POINTS, "most_dimensions": MOST_DIMENSIONS},
    config=TrainingConfig(steps=4000, learning_rate=1e-3),
)
CLASSIFIER_RECIPE = Recipe(
    build=lambda: _on_shipped_inference(AnchoredClassifier()),
    loss=classification_loss,
    measure=measure_labels,
    facts={"model": "classifier", "most_points": MOST_POINTS, "most_dimensions": MOST_LABEL_DIMENSIONS},
    config=TrainingConfig(steps=2000, learning_rate=1e-3),
)
