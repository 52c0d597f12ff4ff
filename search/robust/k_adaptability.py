"""K-adaptability: k recourses chosen before the scenario, the best of them taken after it.

Reference: [Hanasusanto2015] K-adaptability in two-stage robust binary programming, Operations Research 63.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy import sparse

from designopt import DesignEnv, Integer, Real, tunable
from designopt.milp import INFINITY, MILP, solve
from designopt.parameters import Array
from designopt.search.robust.base import RobustSearch
from designopt.search.robust.models import one_recourse
from designopt.two_stage import AffineModel, AffineRecourse


class KAdaptabilitySearch(RobustSearch):
    """One design with k recourses prepared for it; with uncertainty in the objective this is one programme.

    Needs a binary recourse. Started from the static robust solution, which is k = 1.
    """

    requires: ClassVar[tuple[type, ...]] = (DesignEnv, AffineRecourse)

    @dataclass(frozen=True)
    class Config:
        """Hyper-parameters; seconds are wall-clock."""

        k: int = tunable(2, Integer(2, 4), "recourses")
        main_seconds: float = tunable(20.0, Real(1.0, 1000.0, log=True), "limit of the programme")
        solver: str = "highs"

    config: Config

    def candidates(self) -> Iterator[Array]:
        """The improving designs of the programme, the best first."""
        assert isinstance(self.env, AffineRecourse)
        model, k = self.env.affine_model(), self.config.k
        nx = len(model.first.c)
        seconds = self.seconds_left(self.config.main_seconds)
        static = solve(one_recourse(model, relaxed=False), seconds=0.2 * seconds, solver=self.config.solver)
        start = None if static.values is None else _start(model, static.values, k)
        answer = solve(
            k_adaptable(model, k), seconds=self.seconds_left(0.8 * seconds), start=start, solver=self.config.solver
        )
        for values in reversed(answer.incumbents):
            yield np.round(values[:nx])


def k_adaptable(model: AffineModel, k: int) -> MILP:
    """The programme: variables x, z_1 .. z_k, w_1 .. w_k, u_1 .. u_k, mu with u_j = w_j z_j.

    max over scenarios of min over j equals, both being linear, min over weights w of the simplex of the maximum of the
    weighted sum; the product of weight and binary recourse is linearised exactly, the maximum dualised. Weights are in
    decreasing order.
    """
    first, recourse = model.first, model.recourse
    nx, nz, nd, nu = len(first.c), len(recourse.z_cost), len(model.d), model.D.shape[1]
    widths = [nx, *[nz] * k, *[1] * k, *[nz] * k, nd]
    at = np.concatenate([[0], np.cumsum(widths)])
    Z, w, U, mu = range(1, k + 1), range(k + 1, 2 * k + 1), range(2 * k + 1, 3 * k + 1), 3 * k + 1
    rows: list[sparse.csr_matrix] = []
    lower: list[Array] = []
    upper: list[Array] = []

    def add(parts: dict[int, Array], low: Array, high: Array) -> None:
        row = sparse.lil_matrix((len(high), at[-1]))
        for part, matrix in parts.items():
            row[:, at[part] : at[part + 1]] = matrix
        rows.append(row.tocsr())
        lower.append(low)
        upper.append(high)

    def free(n: int) -> Array:
        return np.full(n, -INFINITY)

    eye, ones = np.eye(nz), np.ones((nz, 1))
    add({0: first.A}, free(len(first.a)), first.a)
    for j in range(k):
        add({0: recourse.T, Z[j]: recourse.W}, free(len(recourse.h)), recourse.h)
        add({U[j]: eye, w[j]: -ones}, free(nz), np.zeros(nz))
        add({U[j]: eye, Z[j]: -eye}, free(nz), np.zeros(nz))
        add({U[j]: -eye, w[j]: ones, Z[j]: eye}, free(nz), np.ones(nz))
    add({part: np.ones((1, 1)) for part in w}, np.ones(1), np.ones(1))
    for j in range(k - 1):
        add({w[j]: -np.ones((1, 1)), w[j + 1]: np.ones((1, 1))}, free(1), np.zeros(1))
    dual = {0: -model.P, mu: model.D.T} | {part: -model.Q for part in U}
    add(dual, np.zeros(nu), np.full(nu, INFINITY if model.nonnegative else 0.0))
    zeros = np.zeros(nz)
    return MILP(
        cost=np.concatenate([first.c + recourse.x_cost, *[zeros] * k, np.zeros(k), *[recourse.z_cost] * k, model.d]),
        A=sparse.vstack(rows, format="csr"),
        row_lower=np.concatenate(lower),
        row_upper=np.concatenate(upper),
        lower=np.concatenate([first.lower, *[recourse.lower] * k, np.zeros(k), *[zeros] * k, np.zeros(nd)]),
        upper=np.concatenate(
            [first.upper, *[recourse.upper] * k, np.ones(k), *[zeros + 1.0] * k, np.full(nd, INFINITY)]
        ),
        integer=np.concatenate([first.integer, *[recourse.integer] * k, np.zeros(k + k * nz + nd, dtype=bool)]),
    )


def _start(model: AffineModel, static: Array, k: int) -> Array:
    """The static solution as one of k-adaptability: all recourses the same, all weight on the first."""
    nx, nz = len(model.first.c), len(model.recourse.z_cost)
    x, z, mu = static[:nx], static[nx : nx + nz], static[nx + nz :]
    weights = np.zeros(k)
    weights[0] = 1.0
    return np.concatenate([x, np.tile(z, k), weights, z, np.zeros((k - 1) * nz), mu])
