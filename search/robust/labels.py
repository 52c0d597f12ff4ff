"""Labels for value networks: exact second stages of random instances, with the scenarios that matter.

Reference: [Dumouchelle2024] for the amounts. Different: half of the designs are near-efficient selections with noise,
and scenarios are vertices, spread ones, greedy worst cases and exact worst cases: scenarios that never come
near the extremes would leave the network blind where the adversary looks (docs/robust.md).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from designopt.parameters import Array
from designopt.registry import make
from designopt.two_stage import ItemFeatures

SIZES = (20, 80)
EXACT = 3  # designs of an instance whose certified worst case is among the scenarios


@dataclass(frozen=True)
class Labels:
    """b instances with a designs and s scenarios each, padded with zeros to n items.

    Attributes:
        features: (b, n, F); count: (b,) items.
        X: (b, a, n) designs; Xi: (b, s, n) scenarios.
        value, residual: (b, a, s) second-stage cost, and what its relaxation misses of it, over the instance's scale.
    """

    features: Array
    count: Array
    X: Array
    Xi: Array
    value: Array
    residual: Array


def make_labels(
    instances: int,
    *,
    designs: int = 10,
    scenarios: int = 50,
    sizes: tuple[int, int] = SIZES,
    correlations: tuple[str, ...] = ("UN", "WC", "ASC", "SC"),
    seed: int = 0,
    first: int = 0,
) -> Labels:
    """Labels of random robust knapsacks with the published parameters drawn uniformly.

    Args:
        instances: how many.
        designs: first-stage decisions an instance.
        scenarios: an instance, shared by its designs.
        sizes: smallest and largest number of items.
        correlations: of profit and weight.
        seed: of everything.
        first: number of the first instance, for making labels in parts.
    """
    n = sizes[1]
    numbers = range(first, first + instances)
    parts = [_instance(designs, scenarios, sizes, correlations, (seed, i)) for i in numbers]

    def padded(arrays: list[Array], axis: int) -> Array:
        widths = [[(0, 0)] * a.ndim for a in arrays]
        for width, a in zip(widths, arrays, strict=True):
            width[axis] = (0, n - a.shape[axis])
        return np.stack([np.pad(a, w) for a, w in zip(arrays, widths, strict=True)]).astype(np.float32)

    features, X, Xi, value, residual = (list(column) for column in zip(*parts, strict=True))
    return Labels(
        features=padded(features, 0),
        count=np.array([len(f) for f in features], dtype=np.float32),
        X=padded(X, 1),
        Xi=padded(Xi, 1),
        value=np.stack(value).astype(np.float32),
        residual=np.stack(residual).astype(np.float32),
    )


def _instance(
    designs: int, scenarios: int, sizes: tuple[int, int], correlations: tuple[str, ...], seed: tuple[int, int]
) -> tuple[Array, Array, Array, Array, Array]:
    rng = np.random.default_rng(seed)
    env = make(
        "designopt/RobustKnapsack-v0",
        n=int(rng.integers(sizes[0], sizes[1] + 1)),
        correlation=str(rng.choice(correlations)),
        h=int(rng.choice([40, 80])),
        deviation=float(rng.choice([0.1, 0.15, 0.2])),
        delta=float(rng.choice([0.1, 0.5, 1.0])),
        seed=int(rng.integers(2**31)),
    )
    assert isinstance(env, ItemFeatures)
    n, features, model = env.design_space.dim, env.item_features(), env.affine_model()
    X = (rng.random((designs, n)) < rng.random((designs, 1))).astype(float)
    half = designs // 2
    X[:half] = np.stack([_near_efficient(features, rng) for _ in range(half)])
    Xi = env.uncertainty.sample(scenarios, rng)
    worst_profits = model.Q[:, :n].diagonal()
    for i in range(half):  # the greedy worst case of a design: the largest losses among its items
        Xi[i] = env.uncertainty.maximise(worst_profits * X[i] * rng.uniform(0.5, 1.5, n))
    for i in range(min(EXACT, half)):
        Xi[half + i] = env.worst_case(X[i], tolerance=1e-4).scenario
    # The scenario's entry of an item that no design holds is nothing to the truth: half of the time it is absent.
    blank = rng.random(scenarios) < 0.5
    Xi[blank] *= (X.max(axis=0) > 0.5)[None]
    pairs = np.repeat(X, scenarios, axis=0), np.tile(Xi, (designs, 1))
    sign, scale = env.cost_sign, env.value_scale()
    exact, relaxed = (sign * values(*pairs) for values in (env.second_stage_values, env.relaxed_values))
    first = np.repeat(X @ model.first.c, scenarios)
    shape = designs, scenarios
    return features, X, Xi, ((exact - first) / scale).reshape(shape), ((exact - relaxed) / scale).reshape(shape)


def _near_efficient(features: Array, rng: np.random.Generator) -> Array:
    """(n,) a random share of capacity filled with the best degraded profits a weight, a few entries flipped."""
    weight, profit, degradation = features[:, 0], features[:, 3], features[:, 4]
    n = len(weight)
    order = np.argsort(-(profit - rng.uniform(0, 1) * degradation) / weight)
    filled = np.cumsum(weight[order]) <= rng.uniform(0.6, 1.4) * n
    x = np.zeros(n)
    x[order[filled]] = 1.0
    flips = rng.random(n) < rng.uniform(0, 0.1)
    x[flips] = 1 - x[flips]
    return x
