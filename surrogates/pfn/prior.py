"""Functions that no stationary Gaussian process draws: transformed, constraint-like, additive, neural.

Engineering outputs are often products of powers, have a kink or a bound, or are sums over the parameters. A network
trained on such functions too learns where to distrust its anchors. Everything is drawn for a whole batch at once.

References: [Müller2023] PFNs4BO, ICML (the neural prior, with deeper networks). [Yu2025] Fast and accurate Bayesian
optimization with pre-trained transformers for constrained engineering problems (the problems that this is for).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Generator, Tensor

from designopt.surrogates.priors import HEBO_PLUS, WIDE, GaussianProcessPrior

Kind = Callable[[int, int, int, Generator], tuple[Tensor, Tensor]]

SHARES = {"hebo": 0.45, "wide": 0.25, "transformed": 0.1, "powers": 0.07, "additive": 0.08, "neural": 0.05}
"""How often each kind of function is drawn."""
STEPPED = 0.15
"""Share of functions, other than the first two kinds, with discrete parameters."""


def mixed(b: int, n: int, d: int, rng: Generator) -> tuple[Tensor, Tensor]:
    """Functions of d parameters, b of them at n designs each, of kinds drawn by ``SHARES``.

    Returns:
        Designs (b, n, d) in the unit cube and outputs (b, n), in random order of functions.
    """
    kinds = torch.multinomial(torch.tensor(list(SHARES.values())), b, True, generator=rng)
    counts = kinds.bincount(minlength=len(SHARES)).tolist()
    parts = [KINDS[kind](count, n, d, rng) for kind, count in zip(SHARES, counts, strict=True) if count]
    X, Y = (torch.cat(values) for values in zip(*parts, strict=True))
    return X, Y


def _of_process(prior: GaussianProcessPrior) -> Kind:
    def draw(b: int, n: int, d: int, rng: Generator) -> tuple[Tensor, Tensor]:
        tasks = prior.sample(b, n, d, rng)
        return tasks.X.float(), tasks.Y.float()

    return draw


def _of_function(function: Callable[[Tensor, Generator], Tensor]) -> Kind:
    """Draws of a family of functions, near-noiseless most of the time; every third is bent on top."""

    def draw(b: int, n: int, d: int, rng: Generator) -> tuple[Tensor, Tensor]:
        X = _designs(b, n, d, rng)
        f = standardised(function(X, rng))
        f = torch.where(torch.rand(b, 1, generator=rng) < 0.3, transformed(f, X, rng), f)
        return X, _noisy(standardised(f), rng)

    return draw


def _transformed_process(b: int, n: int, d: int, rng: Generator) -> tuple[Tensor, Tensor]:
    tasks = WIDE.sample(b, n, d, rng)
    X = tasks.X.float()
    return X, _noisy(standardised(transformed(tasks.Y.float(), X, rng)), rng)


def _noisy(f: Tensor, rng: Generator) -> Tensor:
    """Standardised outputs with a noise variance log-normal about 1e-4 for most functions, about 1e-2 for some."""
    b = len(f)
    level = torch.where(torch.rand(b, 1, generator=rng) < 0.8, -9.0, -4.6)
    return f + torch.exp(0.5 * (level + torch.randn(b, 1, generator=rng))) * torch.randn(f.shape, generator=rng)


def transformed(f: Tensor, X: Tensor, rng: Generator) -> Tensor:
    """Draws f (B, n) of any process, standardised, bent by a random function each; X: (B, n, d)."""
    f = standardised(f)
    kind = torch.randint(7, (len(f), 1), generator=rng)
    shift = torch.randn(len(f), 1, generator=rng)
    strength = torch.exp(0.7 * torch.randn(len(f), 1, generator=rng))
    g = strength * f
    bent = torch.stack(
        [
            (f + shift) ** 2,
            torch.exp(g.clamp_max(6.0)),
            torch.relu(f + shift),
            (f + shift).abs(),
            torch.tanh(2 * g + shift),
            torch.sign(f) * torch.log1p((10 * g).abs()),  # a bilog of heavy tails, as a searcher hands them over
            1 / (0.1 + (f + shift).abs()),
        ]
    ).gather(0, kind[None].expand(1, *f.shape))[0]
    slope = torch.randn(len(f), X.shape[-1], 1, generator=rng) / X.shape[-1] ** 0.5
    tilted = torch.rand(len(f), 1, generator=rng) < 0.3
    return standardised(bent) + torch.where(tilted, (X @ slope)[..., 0], 0.0)


def powers(X: Tensor, rng: Generator) -> Tensor:
    """Sums of products of powers of positive parameters, as stresses, volumes and costs are; X: (B, n, d) -> (B, n)."""
    B, _, d = X.shape
    terms = 4
    ratio = torch.exp(torch.rand(B, 1, d, generator=rng) * math.log(30.0)) * 1.1  # of a parameter's bounds
    log_x = torch.log(1 + (ratio - 1) * X) - 0.5 * ratio.log()
    choices = torch.tensor([-4.0, -3.0, -2.0, -1.0, -0.5, 0.5, 1.0, 1.0, 2.0, 3.0, 4.0])
    exponents = choices[torch.randint(len(choices), (B, terms, d), generator=rng)]
    used = _some(torch.rand(B, terms, 1, generator=rng) * min(1.0, 4 / d), (B, terms, d), rng)
    sizes = torch.randn(B, terms, 1, generator=rng).exp()
    signs = torch.where(torch.rand(B, terms, 1, generator=rng) < 0.3, -1.0, 1.0)
    active = (torch.arange(terms)[None, :, None] < torch.randint(1, terms + 1, (B, 1, 1), generator=rng)).float()
    y = (active * signs * sizes * torch.exp((exponents * used @ log_x.mT).clamp(-15, 15))).sum(-2)
    squashed = torch.sign(y) * torch.log1p(y.abs() * torch.exp(2 * torch.randn(B, 1, generator=rng)))
    return torch.where(torch.rand(B, 1, generator=rng) < 0.6, squashed, y)


def additive(X: Tensor, rng: Generator) -> Tensor:
    """Sums over parameters and over pairs of them, each term a short random series; X: (B, n, d) -> (B, n)."""
    B, _, d = X.shape
    waves = 3
    weight = torch.exp(torch.randn(B, 1, d, generator=rng)) * _some(torch.tensor(0.8), (B, 1, d), rng)
    centre = torch.rand(B, 1, d, generator=rng)
    t = X - centre
    frequency = torch.exp(torch.rand(B, waves, generator=rng) * math.log(12.0)) * 2
    own = torch.rand(B, 1, generator=rng) < 0.5  # the same frequencies in every dimension, or others in each
    spread = torch.where(own[..., None], torch.ones(1), torch.exp(0.5 * torch.randn(B, 1, d, generator=rng)))
    phase = torch.rand(B, waves, 1, 1, generator=rng) * 2 * math.pi
    height = torch.randn(B, waves, 1, 1, generator=rng) / torch.arange(1, waves + 1)[:, None, None]
    series = (height * torch.cos(frequency[..., None, None] * (t * spread)[:, None] + phase)).sum(1)
    coefficient = torch.randn(B, 4, 1, 1, generator=rng) * torch.tensor([0.5, 3.0, 3.0, 8.0])[:, None, None]
    polynomial = sum(coefficient[:, k] * t ** (k + 1) for k in range(4))
    mix = torch.rand(B, 1, 1, generator=rng)
    y = (weight * (mix * series + (1 - mix) * polynomial)).sum(-1)
    product = torch.randn(B, 1, generator=rng) * 4
    neighbours = (t * t.roll(1, dims=-1)).sum(-1) if d > 1 else torch.zeros_like(y)
    coupled = torch.rand(B, 1, generator=rng) < 0.4
    return y + torch.where(coupled, product * neighbours, 0.0)


def neural(X: Tensor, rng: Generator) -> Tensor:
    """Random tanh networks of 2 to 6 layers; X: (B, n, d) -> (B, n)."""
    B, _, d = X.shape
    width = 32
    depth = int(torch.randint(2, 7, (), generator=rng))
    gain = torch.exp(0.4 * torch.randn(B, 1, 1, generator=rng))
    h = (X - 0.5) * math.sqrt(12) * torch.exp(torch.randn(B, 1, d, generator=rng) * 0.7)
    for inputs in [d] + [width] * (depth - 1):
        weights = torch.randn(B, inputs, width, generator=rng) * (torch.rand(B, inputs, width, generator=rng) > 0.15)
        h = torch.tanh(gain * (h @ weights) / inputs**0.5 + 0.5 * torch.randn(B, 1, width, generator=rng))
    return (h @ torch.randn(B, width, 1, generator=rng))[..., 0]


def _designs(b: int, n: int, d: int, rng: Generator) -> Tensor:
    """(b, n, d) uniform designs; of every fourth function half are close to one design, as a search leaves them.

    Some functions have columns that take few values, as integers and options do.
    """

    def uniform(*shape: int) -> Tensor:
        return torch.rand(b, *shape, generator=rng)

    X = uniform(n, d)
    near = X[:, :1] + 0.5 * 10 ** (-2.5 * uniform(1, 1)) * torch.randn(b, n, d, generator=rng)
    X = torch.where((uniform(1, 1) < 0.25) & (uniform(n, 1) < 0.5), near.clamp(0, 1), X)
    levels = torch.randint(2, 9, (b, 1, d), generator=rng).float()
    snapped = (X * levels).floor().clamp_max(levels - 1) / (levels - 1)
    discrete = uniform(1, d) < uniform(1, 1) * (uniform(1, 1) < STEPPED)
    return torch.where(discrete, snapped, X)


def _some(share: Tensor, shape: tuple[int, int, int], rng: Generator) -> Tensor:
    """Which columns take part: each with probability ``share``, and one at least."""
    draws = torch.rand(shape, generator=rng)
    return (draws < share) | (draws == draws.amin(-1, keepdim=True))


def standardised(y: Tensor) -> Tensor:
    """Mean 0 and deviation 1 over the last dimension."""
    centred = y - y.mean(-1, keepdim=True)
    return centred / centred.square().mean(-1, keepdim=True).sqrt().clamp_min(1e-6)


KINDS: dict[str, Kind] = {
    "hebo": _of_process(HEBO_PLUS),
    "wide": _of_process(WIDE),
    "transformed": _transformed_process,
    "powers": _of_function(powers),
    "additive": _of_function(additive),
    "neural": _of_function(neural),
}


def labelled(b: int, n: int, d: int, rng: Generator) -> tuple[Tensor, Tensor]:
    """Divisions of the unit cube in two, b of them, as constraints make them.

    One to four functions on the same designs, of which the greatest decides, cut at a random level; in every fourth
    case a few labels are wrong, as crashes of a simulator may be.

    Returns:
        Designs (b, n, d) and labels (b, n), 0 or 1.
    """
    if torch.rand((), generator=rng) < 0.4:
        tasks = WIDE.sample(b, n, d, rng)
        X, f = tasks.X.float(), tasks.Y.float()
    else:
        X = _designs(b, n, d, rng)
        families = (powers, additive, neural, linear)
        chosen = [families[int(torch.randint(len(families), (), generator=rng))] for _ in range(4)]
        shifts = torch.randn(4, b, 1, generator=rng) - 3 * (torch.rand(4, b, 1, generator=rng) < 0.5)
        members = torch.stack([standardised(g(X, rng)) for g in chosen]) + shifts
        f = members.amax(0)
    level = torch.rand(b, 1, generator=rng)
    level = torch.where(torch.rand(b, 1, generator=rng) < 0.5, level, level**3)  # the unbalanced are common
    cut = f.sort(-1).values.gather(-1, (level * (n - 1)).long())
    labels = f <= cut
    wrong = torch.rand(b, 1, generator=rng).square() * 0.1 * (torch.rand(b, 1, generator=rng) < 0.25)
    return X, (labels ^ (torch.rand(b, n, generator=rng) < wrong)).float()


def linear(X: Tensor, rng: Generator) -> Tensor:
    """Random half-spaces; X: (B, n, d) -> (B, n)."""
    B, _, d = X.shape
    slope = torch.randn(B, d, 1, generator=rng) * _some(torch.tensor(0.6), (B, 1, d), rng).mT
    return (X @ slope)[..., 0]
