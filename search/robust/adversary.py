"""Who finds the scenario that Neur2RO adds next: the network by gradient, by sampling or exactly, or the true problem.

Reference: [Dumouchelle2024] Neur2RO, ICLR.
"""

from __future__ import annotations

import numpy as np
import torch

from designopt.parameters import Array
from designopt.surrogates.value_network import ValueNetwork
from designopt.two_stage import ItemFeatures

ADVERSARIES = ("exact", "network", "gradient", "sampling", "hybrid")
SAMPLES = 10_000
STARTS, STEPS, STRIDE = 8, 60, 0.05
SWEEPS = 6


def worst_scenario(
    kind: str,
    env: ItemFeatures,
    network: ValueNetwork,
    features: Array,
    x: Array,
    exact: Array,
    rng: np.random.Generator,
) -> tuple[Array, float]:
    """A scenario (n,) for design x (n,), and the network's prediction there.

    Args:
        kind: "exact" takes the certified worst case; "sampling" the network's worst of 10,000 samples; "gradient"
            projected ascent on the network from eight of them; "network" and "hybrid" ascent, then exchange of entries
            until no pair improves.
        env: whose scenarios.
        network: that predicts.
        features: (n, F) of the items.
        x: the design; entries of absent items are set to zero.
        exact: (n,) certified worst case of x.
        rng: for samples.
    """
    score = _scorer(network, features, x)
    if kind == "exact":
        with torch.no_grad():
            return exact, float(score(torch.as_tensor(exact[None], dtype=torch.float32))[0])
    scenarios = env.uncertainty.sample(SAMPLES, rng) * (x > 0.5)
    with torch.no_grad():
        values = score(torch.as_tensor(scenarios, dtype=torch.float32)).numpy()
    order = np.argsort(-values)
    best, value = scenarios[order[0]], float(values[order[0]])
    if kind == "sampling":
        return best, value
    best, value = _ascend(env, score, scenarios[order[:STARTS]], x)
    if kind == "gradient":
        return best, value
    return _exchange(score, best, value, x)


def _scorer(network: ValueNetwork, features: Array, x: Array):  # type: ignore[no-untyped-def]  # a closure
    described, count = torch.as_tensor(features, dtype=torch.float32), torch.tensor(float(len(x)))
    with torch.no_grad():
        e_x = network.design(torch.as_tensor(x[None], dtype=torch.float32), described, count)

    def score(scenarios: torch.Tensor) -> torch.Tensor:
        return network.pairs(e_x, network.scenario(scenarios, described, count))[0]

    return score


def _ascend(env: ItemFeatures, score, starts: Array, x: Array) -> tuple[Array, float]:  # type: ignore[no-untyped-def]
    """Projected gradient ascent in a batch; strides are in entries, long enough to reach vertices."""
    scenarios, best, value = starts, starts[0], -np.inf
    for _ in range(STEPS):
        points = torch.as_tensor(scenarios, dtype=torch.float32).requires_grad_()
        values = score(points)
        (gradient,) = torch.autograd.grad(values.sum(), points)
        i = int(values.argmax())
        if float(values[i].detach()) > value:
            best, value = scenarios[i], float(values[i].detach())
        step = gradient.double().numpy()
        step /= np.abs(step).max(axis=1, keepdims=True) + 1e-12
        scenarios = env.uncertainty.project(scenarios + STRIDE * step) * (x > 0.5)
    return best, value


def _exchange(score, best: Array, value: float, x: Array) -> tuple[Array, float]:  # type: ignore[no-untyped-def]
    """Move uncertainty between pairs of entries of items present, the best pair first, until no pair improves."""
    present = np.flatnonzero(x > 0.5)
    for _ in range(SWEEPS * max(1, len(present))):
        givers = present[best[present] > 0]
        pairs = np.array([(i, j) for i in givers for j in present if i != j and best[j] < 1])
        if not len(pairs):
            break
        moved = np.tile(best, (len(pairs), 1))
        rows = np.arange(len(pairs))
        amount = np.minimum(best[pairs[:, 0]], 1 - best[pairs[:, 1]])
        moved[rows, pairs[:, 0]] -= amount
        moved[rows, pairs[:, 1]] += amount
        with torch.no_grad():
            values = score(torch.as_tensor(moved, dtype=torch.float32)).numpy()
        if values.max() <= value + 1e-9:
            break
        best, value = moved[values.argmax()], float(values.max())
    return best, value
