"""Facility location under disruption: open facilities, then up to a number of them fail.

A standard two-stage robust location problem; the generator's ranges are our own, docs/environments/robust_more.md.
"""

from __future__ import annotations

import itertools
import math

import numpy as np

from designopt import DesignEnv, DesignSpace, Evaluation, Integer, Objective
from designopt.envs.robust.linear_recourse import LinearRecourse
from designopt.envs.robust.uncertainty import FiniteSet
from designopt.parameters import Array
from designopt.two_stage import Block, FirstStage

MAX_SCENARIOS = 5000


class FacilityDisruption(LinearRecourse, DesignEnv):
    """Worst-case cost of opening facilities, serving customers from those that still work, and losing demand.

    Design: x_j in {0, 1}, open facility j. Scenario: (m,), 1 where facility j has failed, at most ``failures`` ones.
    Recourse: shares of every customer's demand go to open facilities that work, within their capacity, or are lost at a
    penalty a unit. Every design is feasible; the worst case is found by listing the scenarios.

    Args:
        facilities: candidates.
        customers: with demand.
        failures: how many facilities fail at most.
        penalty: cost of losing a unit of demand; distances are within the unit square.
        seed: of the generator.
        render_mode: None or "ansi".
    """

    objectives = (Objective("worst_case_cost"),)
    cost_sign = 1

    def __init__(
        self,
        facilities: int = 8,
        customers: int = 12,
        failures: int = 2,
        penalty: float = 5.0,
        seed: int = 0,
        render_mode: str | None = None,
    ) -> None:
        super().__init__(render_mode)
        if not (facilities >= 1 and customers >= 1 and 0 <= failures <= facilities and penalty > 0):
            raise ValueError(
                f"facilities = {facilities}, customers = {customers}, failures = {failures}, penalty = {penalty}; "
                "allowed: facilities and customers >= 1, 0 <= failures <= facilities, penalty > 0"
            )
        count = math.comb(facilities, failures)
        if count > MAX_SCENARIOS:
            raise ValueError(f"{failures} of {facilities} failures are {count} scenarios; allowed: {MAX_SCENARIOS}")
        rng = np.random.default_rng(seed)
        self.penalty = penalty
        places, homes = rng.random((facilities, 2)), rng.random((customers, 2))
        self.distance = np.linalg.norm(places[:, None] - homes[None], axis=2)
        self.demand = rng.uniform(10, 30, customers)
        self.opening = rng.uniform(5, 15, facilities)
        self.capacity = rng.uniform(20, 150, facilities)
        self.design_space = DesignSpace({f"x{j}": Integer(0, 1) for j in range(facilities)})
        # More failures are never better for the designer, so the worst scenario has as many as are allowed.
        failed = [np.isin(np.arange(facilities), rows) for rows in itertools.combinations(range(facilities), failures)]
        self.uncertainty = FiniteSet(tuple(tuple(row.astype(float)) for row in failed))

    @property
    def scenarios(self) -> Array:
        """(v, m) all failures."""
        return self.uncertainty.vertices()

    def evaluate(self, designs: Array) -> Evaluation:
        """designs: (n, d) -> worst_case_cost (n, 1)."""
        return Evaluation(np.array([[self.worst_case(np.round(x)).interval[1]] for x in designs]).reshape(-1, 1))

    def first_stage(self) -> FirstStage:
        """Opening costs; any design is allowed."""
        m = len(self.opening)
        return FirstStage(
            self.opening, np.zeros((0, m)), np.zeros(0), np.zeros(m), np.ones(m), integer=np.ones(m, dtype=bool)
        )

    def block(self, xi: Array) -> Block:
        """Units shipped (facility by facility), then units lost, one a customer."""
        m, n = self.distance.shape
        ships = np.hstack([np.kron(np.eye(m), np.ones((1, n))), np.zeros((m, n))])
        serves = np.hstack([-np.tile(np.eye(n), m), -np.eye(n)])
        return Block(
            x_cost=np.zeros(m),
            z_cost=np.concatenate([self.distance.ravel(), np.full(n, self.penalty)]),
            T=np.vstack([-np.diag(self.capacity * (1 - xi)), np.zeros((n, m))]),
            W=np.vstack([ships, serves]),
            h=np.concatenate([np.zeros(m), -self.demand]),
            lower=np.zeros(m * n + n),
            upper=np.full(m * n + n, np.inf),
            integer=np.zeros(m * n + n, dtype=bool),
        )
