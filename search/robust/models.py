"""Two-stage robust problems as mixed-integer programmes.

Derivations: docs/robust.md. Variables come in the order x, then recourses, then what else a model needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import sparse

from designopt.milp import INFINITY, MILP
from designopt.two_stage import AffineModel, Block, FirstStage


def one_recourse(model: AffineModel, *, relaxed: bool) -> MILP:
    """One recourse for all scenarios, the inner maximum dualised: variables x, z, mu.

    min c'x + q'z + d'mu  with  D'mu >= P x + Q z (= where scenarios are free), mu >= 0.

    ``relaxed``: z is continuous. Minimum and maximum may then change places, so that the optimum is that of a recourse
    which may be relaxed but sees the scenario: a lower bound of the true cost. Otherwise z is fixed before the scenario
    (static robust), an upper bound.
    """
    first, recourse = model.first, model.recourse
    nd, nu = len(model.d), model.D.shape[1]
    A = stacked(
        [
            [first.A, np.zeros((len(first.a), len(recourse.z_cost))), None],
            [recourse.T, recourse.W, None],
            [-model.P, -model.Q, model.D.T],
        ]
    )
    return MILP(
        cost=np.concatenate([first.c + recourse.x_cost, recourse.z_cost, model.d]),
        A=A,
        row_lower=np.concatenate([np.full(len(first.a) + len(recourse.h), -INFINITY), np.zeros(nu)]),
        row_upper=np.concatenate([first.a, recourse.h, np.full(nu, INFINITY if model.nonnegative else 0.0)]),
        lower=np.concatenate([first.lower, recourse.lower, np.zeros(nd)]),
        upper=np.concatenate([first.upper, recourse.upper, np.full(nd, INFINITY)]),
        integer=np.concatenate([first.integer, recourse.integer & (not relaxed), np.zeros(nd, dtype=bool)]),
    )


def scenario_main(first: FirstStage, blocks: Sequence[Block]) -> MILP:
    """Column-and-constraint generation's main problem: variables x, theta, then one recourse a scenario.

    min c'x + theta  with  theta >= cost of every scenario's own recourse [Zeng2013].
    """
    nx = len(first.c)
    sizes = [len(block.z_cost) for block in blocks]
    total = nx + 1 + sum(sizes)
    rows = [sparse.hstack([sparse.csr_matrix(first.A), sparse.csr_matrix((len(first.a), total - nx))])]
    upper = [first.a]
    at = nx + 1
    for block, size in zip(blocks, sizes, strict=True):
        before, after = at - nx - 1, total - at - size
        cost = np.concatenate([block.x_cost, [-1.0], np.zeros(before), block.z_cost, np.zeros(after)])
        limits = sparse.hstack(
            [
                sparse.csr_matrix(block.T),
                sparse.csr_matrix((len(block.h), 1 + before)),
                sparse.csr_matrix(block.W),
                sparse.csr_matrix((len(block.h), after)),
            ]
        )
        rows += [sparse.csr_matrix(cost[None]), limits]
        upper += [np.zeros(1), block.h]
        at += size
    A = sparse.vstack(rows, format="csr")
    return MILP(
        cost=np.concatenate([first.c, [1.0], np.zeros(sum(sizes))]),
        A=A,
        row_lower=np.full(A.shape[0], -INFINITY),
        row_upper=np.concatenate(upper),
        lower=np.concatenate([first.lower, [-INFINITY], *(block.lower for block in blocks)]),
        upper=np.concatenate([first.upper, [INFINITY], *(block.upper for block in blocks)]),
        integer=np.concatenate([first.integer, [False], *(block.integer for block in blocks)]),
    )


def stacked(rows: Sequence[Sequence[Any]]) -> sparse.csr_matrix:
    """Matrices side by side and one above the other; None is a block of zeros."""
    blocks: Any = [[None if block is None else sparse.csr_matrix(block) for block in row] for row in rows]
    return sparse.csr_matrix(sparse.bmat(blocks))
