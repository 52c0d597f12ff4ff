"""Descent on the objective of Neur2RO's main problem: exact recourse under the scenario called worst."""

from __future__ import annotations

from collections.abc import Callable, Collection

import numpy as np
import torch

from designopt.parameters import Array
from designopt.surrogates.value_network import ValueNetwork
from designopt.two_stage import ItemFeatures

CHUNK = 256  # neighbours valued at a time


class MainObjective:
    """Cost of designs under the scenario, among those found, whose predicted second stage is dearest."""

    def __init__(self, env: ItemFeatures, network: ValueNetwork, features: Array, scenarios: list[Array]) -> None:
        self.env, self.network, self.scenarios = env, network, np.stack(scenarios)
        self.features = torch.as_tensor(features, dtype=torch.float32)
        self.count = torch.tensor(float(len(features)))
        with torch.no_grad():
            self.e_xi = network.scenario(self._tensor(self.scenarios), self.features, self.count)

    def worst(self, X: Array) -> Array:
        """Designs (k, n) -> (k, n) scenarios."""
        with torch.no_grad():
            e_x = self.network.design(self._tensor(X), self.features, self.count)
            chosen = self.network.pairs(e_x, self.e_xi).argmax(dim=1).numpy()
        return np.asarray(self.scenarios[chosen])

    def __call__(self, X: Array) -> Array:
        """Designs (k, n) -> (k,) costs."""
        return np.asarray(self.env.cost_sign * self.env.second_stage_values(X, self.worst(X)))

    def _tensor(self, values: Array) -> torch.Tensor:
        return torch.as_tensor(values, dtype=torch.float32)


def main_descent(
    objective: Callable[[Array], Array],
    x: Array,
    value: float,
    visited: Collection[bytes],
    radius: int,
    rng: np.random.Generator,
    until: Callable[[], bool],
) -> tuple[Array, float]:
    """Flips and swaps of a binary design (n,) with that value, as long as one of a chunk of them is better.

    Never to designs in ``visited`` (by their bytes), nor to those more than ``radius`` entries away from the first.
    -> design, its value.
    """
    n, centre = len(x), x
    while not until():
        inside, outside = np.flatnonzero(x > 0.5), np.flatnonzero(x < 0.5)
        swaps = np.stack([a.ravel() for a in np.meshgrid(inside, outside)], axis=1)
        moves = np.concatenate([np.repeat(np.arange(n)[:, None], 2, axis=1), swaps])
        moves = moves[rng.permutation(len(moves))]
        for first in range(0, len(moves), CHUNK):
            part = moves[first : first + CHUNK]
            around = np.tile(x, (len(part), 1))
            rows = np.arange(len(part))
            around[rows, part[:, 0]] = 1.0 - x[part[:, 0]]
            around[rows, part[:, 1]] = 1.0 - x[part[:, 1]]
            near = np.abs(around - centre).sum(axis=1) <= radius
            around = around[near & [y.tobytes() not in visited for y in around]]
            if not len(around):
                continue
            values = objective(around)
            best = int(values.argmin())
            if values[best] < value - 1e-9 * abs(value):
                x, value = around[best], float(values[best])
                break
        else:
            break
    return x, value
