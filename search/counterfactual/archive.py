"""Every valid design that a search met, with its distances; the near misses too."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from designopt.counterfactual.problem import Problem
from designopt.counterfactual.targets import Outputs
from designopt.parameters import Array
from designopt.search.counterfactual.evolution import Population

NEAR = 50
"""How many of the least violating designs are kept while nothing is valid."""


class Archive:
    """Arrays that grow with every evaluated batch; a design met again is kept once.

    Attributes:
        calls: designs evaluated (gradients count as further calls).
        valid: how many distinct valid designs there are.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.calls = 0
        self._seen: set[bytes] = set()
        self._designs: list[Array] = []
        self._objectives: list[Array] = []
        self._outputs: list[dict[str, NDArray[Any]]] = []
        self._near: tuple[Array, Array, dict[str, NDArray[Any]]] | None = None

    def __len__(self) -> int:
        return len(self._seen)

    def add(self, designs: Array, outputs: Outputs, calls: int | None = None) -> tuple[Population, Array]:
        """Judge evaluated designs and keep what is valid.

        Args:
            designs: (n, d) canonical.
            outputs: of the model.
            calls: what they cost; n when not given.

        Returns:
            The n designs as a Population, and their violations (n, k).
        """
        problem, n = self.problem, len(designs)
        self.calls += n if calls is None else calls
        violations, losses = problem.violations(designs, outputs), problem.losses(outputs, n)
        broken = ~np.isfinite(violations).all(axis=1) | ~np.isfinite(losses).all(axis=1)
        valid = problem.valid(violations) & ~broken
        limit = np.zeros(violations.shape[1])
        limit[: len(problem.hard)] = -problem.margins
        total = np.where(broken, np.inf, np.maximum(violations - limit, 0.0).sum(axis=1))
        total[valid] = 0.0
        objectives = np.full((n, 3 + losses.shape[1]), np.nan)
        objectives[:, 0], objectives[:, 1] = problem.proximity(designs), problem.sparsity(designs)
        objectives[valid, 2] = problem.manifold(designs[valid])
        objectives[:, 3:] = losses
        self._keep(np.flatnonzero(valid), designs, objectives, outputs)
        if not self._seen:
            self._keep_near(designs, total, outputs)
        return Population(designs, objectives, total), violations

    def _keep(self, rows: NDArray[np.int64], designs: Array, objectives: Array, outputs: Outputs) -> None:
        new = []
        for row in rows:
            key = designs[row].tobytes()
            if key not in self._seen:
                self._seen.add(key)
                new.append(row)
        if new:
            self._designs.append(designs[new])
            self._objectives.append(objectives[new])
            self._outputs.append({name: np.asarray(values)[new] for name, values in outputs.items()})

    def _keep_near(self, designs: Array, total: Array, outputs: Outputs) -> None:
        parts = {name: np.asarray(values) for name, values in outputs.items()}
        if self._near is not None:
            designs, total = np.concatenate([self._near[0], designs]), np.concatenate([self._near[1], total])
            parts = {name: np.concatenate([self._near[2][name], values]) for name, values in parts.items()}
        _, first = np.unique(designs, axis=0, return_index=True)
        rows = first[np.argsort(total[first], kind="stable")][:NEAR]
        self._near = designs[rows], total[rows], {name: values[rows] for name, values in parts.items()}

    @property
    def designs(self) -> Array:
        """(n, d) valid designs in the order met."""
        return np.concatenate([np.empty((0, self.problem.space.dim)), *self._designs])

    @property
    def objectives(self) -> Array:
        """(n, 3 + b) proximity, sparsity, manifold distance and further objectives of the valid designs."""
        return np.concatenate([np.empty((0, 3 + len(self.problem.bonus))), *self._objectives])

    @property
    def outputs(self) -> dict[str, NDArray[Any]]:
        """Output -> (n,) of the valid designs."""
        if not self._outputs:
            return {}
        return {name: np.concatenate([part[name] for part in self._outputs]) for name in self._outputs[0]}

    @property
    def nearest(self) -> tuple[Array, Array, dict[str, NDArray[Any]]]:
        """The least violating designs (n, d), their total violations (n,) and outputs, while nothing is valid."""
        assert self._near is not None, "nothing was evaluated yet"
        return self._near
