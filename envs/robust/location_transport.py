"""Robust location and transportation: open facilities and set capacities before demand is known.

Reference: [Zeng2013] Solving two-stage robust optimization problems using a column-and-constraint generation method,
Operations Research Letters 41 (the textbook case; its optimum 33680 recomputed over the vertices of the demand set).
"""

from __future__ import annotations

import itertools
from functools import cached_property

import numpy as np

from designopt import Constraint, DesignEnv, DesignSpace, Evaluation, Integer, Objective, Real, Reference
from designopt.envs.robust.linear_recourse import LinearRecourse
from designopt.envs.robust.uncertainty import FiniteSet
from designopt.parameters import Array
from designopt.two_stage import Block, FirstStage


class LocationTransport(LinearRecourse, DesignEnv):
    """Worst-case cost of opening facilities, building capacity and serving uncertain demand.

    Design: open_i in {0, 1}, capacity_i in units. Scenario g in [0, 1]^m with D g <= d raises demand j to base_j +
    deviation_j g_j; recourse ships from open facilities. Demand that capacity cannot serve costs what the dearest route
    costs, and makes the design infeasible. Only vertices of the demand set matter, for the cost is convex in g.

    Args:
        facilities: of a generated case; 0: the textbook case with 3 facilities and 3 customers.
        customers: of a generated case.
        budget: of a generated case, sum of g at most this.
        seed: of the generator.
        render_mode: None or "ansi".
    """

    objectives = (Objective("worst_case_cost"),)
    constraints = (Constraint("capacity_shortfall", scale=100.0), Constraint("capacity_at_closed", scale=100.0))
    cost_sign = 1

    def __init__(
        self,
        facilities: int = 0,
        customers: int = 4,
        budget: float = 2.0,
        seed: int = 0,
        render_mode: str | None = None,
    ) -> None:
        super().__init__(render_mode)
        if facilities < 0 or customers < 1 or not 0 <= budget <= customers:
            raise ValueError(
                f"facilities = {facilities}, customers = {customers}, budget = {budget}; "
                "allowed: facilities >= 0, customers >= 1, 0 <= budget <= customers"
            )
        if facilities:
            self._generate(facilities, customers, budget, seed)
        else:
            self._textbook()
        n = len(self.opening)
        self.design_space = DesignSpace(
            {f"open_{i}": Integer(0, 1) for i in range(n)}
            | {f"capacity_{i}": Real(0.0, float(self.largest[i])) for i in range(n)}
        )
        self.uncertainty = FiniteSet(tuple(map(tuple, polytope_vertices(*self.demand_set))))

    def _textbook(self) -> None:
        self.opening = np.array([400.0, 414.0, 326.0])
        self.building = np.array([18.0, 25.0, 20.0])
        self.largest = np.full(3, 800.0)
        self.route = np.array([[22.0, 33.0, 24.0], [33.0, 23.0, 30.0], [20.0, 25.0, 27.0]])
        self.base = np.array([206.0, 274.0, 220.0])
        self.deviation = np.full(3, 40.0)
        rows = np.array([[1.0, 1.0, 1.0], [1.0, 1.0, 0.0]])
        self.demand_set = (np.vstack([rows, np.eye(3), -np.eye(3)]), np.array([1.8, 1.2, 1, 1, 1, 0, 0, 0]))
        self.reference = Reference(
            source="enumeration of openings, linear programmes over the vertices",
            value=33680.0,
            design=(1.0, 0.0, 1.0, 255.2, 0.0, 516.8),
        )

    def _generate(self, facilities: int, customers: int, budget: float, seed: int) -> None:
        rng = np.random.default_rng(seed)
        places, homes = rng.random((facilities, 2)), rng.random((customers, 2))
        self.opening = rng.uniform(300, 500, facilities)
        self.building = rng.uniform(15, 25, facilities)
        self.route = 15 + 30 * np.linalg.norm(places[:, None] - homes[None], axis=2)
        self.base = rng.uniform(150, 300, customers)
        self.deviation = 0.2 * self.base
        self.largest = np.full(facilities, 1.5 * (self.base + self.deviation).sum() / min(2, facilities))
        eye = np.eye(customers)
        limits = np.concatenate([[budget], np.ones(customers), np.zeros(customers)])
        self.demand_set = (np.vstack([np.ones((1, customers)), eye, -eye]), limits)

    @property
    def scenarios(self) -> Array:
        """(v, m) vertices of the demand set."""
        return self.uncertainty.vertices()

    @cached_property
    def most_demand(self) -> float:
        """Largest total demand of any scenario."""
        return float((self.base + self.scenarios * self.deviation).sum(axis=1).max())

    def evaluate(self, designs: Array) -> Evaluation:
        """designs: (n, d) -> worst_case_cost (n, 1), capacity_shortfall and capacity_at_closed (n, 2)."""
        n = len(self.opening)
        opened, capacity = designs[:, :n], designs[:, n:]
        shortfall = self.most_demand - np.minimum(capacity, self.largest * opened).sum(axis=1)
        closed = (capacity - self.largest * opened).max(axis=1)
        worst = np.array([self.worst_case(x).interval[1] for x in designs])
        return Evaluation(worst[:, None], np.stack([shortfall, closed], axis=1))

    def first_stage(self) -> FirstStage:
        """Opening and building; capacity only where open, enough for the largest total demand."""
        n = len(self.opening)
        rows = np.vstack([np.hstack([-np.diag(self.largest), np.eye(n)]), np.concatenate([np.zeros(n), -np.ones(n)])])
        return FirstStage(
            c=np.concatenate([self.opening, self.building]),
            A=rows,
            a=np.concatenate([np.zeros(n), [-self.most_demand]]),
            lower=np.zeros(2 * n),
            upper=np.concatenate([np.ones(n), self.largest]),
            integer=np.arange(2 * n) < n,
        )

    def block(self, xi: Array) -> Block:
        """Shipments (facility by facility), then demand not served."""
        n, m = self.route.shape
        ships = np.hstack([np.kron(np.eye(n), np.ones((1, m))), np.zeros((n, m))])
        serves = np.hstack([-np.tile(np.eye(m), n), -np.eye(m)])
        return Block(
            x_cost=np.zeros(2 * n),
            z_cost=np.concatenate([self.route.ravel(), np.full(m, self.route.max())]),
            T=np.vstack(
                [
                    np.hstack([np.zeros((n, n)), -np.eye(n)]),
                    np.hstack([-np.diag(self.largest), np.zeros((n, n))]),
                    np.zeros((m, 2 * n)),
                ]
            ),
            W=np.vstack([ships, ships, serves]),
            h=np.concatenate([np.zeros(2 * n), -(self.base + self.deviation * xi)]),
            lower=np.zeros(n * m + m),
            upper=np.full(n * m + m, np.inf),
            integer=np.zeros(n * m + m, dtype=bool),
        )


def polytope_vertices(D: Array, d: Array) -> Array:
    """(v, u) vertices of D g <= d, by solving every choice of u rows; for small sets."""
    u, found = D.shape[1], []
    for rows in itertools.combinations(range(len(D)), u):
        chosen = D[list(rows)]
        if abs(np.linalg.det(chosen)) < 1e-9:
            continue
        point = np.linalg.solve(chosen, d[list(rows)])
        if (D @ point <= d + 1e-9).all():
            found.append(np.round(point, 12) + 0.0)
    return np.unique(np.array(found), axis=0)
