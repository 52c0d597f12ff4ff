"""Inequalities for the convex hull of whole-numbered recourses, from exact second stages.

With them the relaxed-recourse programme is exact at every design that they were made for. Derivation: docs/robust.md.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import sparse

from designopt.milp import INFINITY, MILP
from designopt.parameters import Array
from designopt.two_stage import AffineModel, PricedRecourse

ROUNDING = 1e-9  # relative; what sums of costs may be off by


class HullCut(NamedTuple):
    """slopes'z >= least for every whole-numbered recourse z (r,), whatever the design."""

    slopes: Array
    least: float


def hull_cut(env: PricedRecourse, model: AffineModel, x: Array, xi: Array) -> HullCut:
    """The cut that says what design x (d,) costs at least under scenario xi (u,).

    The recourse's costs under xi, with a prohibitive price on what the design forbids, are at least the exact second
    stage. Then every coefficient in turn is lowered as far as the cut holds (lifting), first those of what the design
    forbids: with that entry at one, the rest costs at least what a further pricing says.
    """
    recourse = model.recourse
    cost = recourse.z_cost + model.Q.T @ xi
    linked = (recourse.T != 0).any(axis=1)
    room = (recourse.h - recourse.T @ x)[linked]
    forbidden = (recourse.W[linked] > room[:, None] + 1e-9).any(axis=0)
    large = 1.0 + 2.0 * np.abs(cost).sum()
    slopes = np.where(forbidden, large, cost)
    least = float(slopes @ env.price(slopes))
    for j in [*np.flatnonzero(forbidden)[np.argsort(cost[forbidden])], *np.flatnonzero(~forbidden)]:
        forced = slopes.copy()
        forced[j] = -4.0 * large
        z = env.price(forced)
        if z[j] > 0.5:
            slopes[j] = min(slopes[j], least - float(forced @ z) + forced[j])
    return HullCut(slopes, least - ROUNDING * large)


def with_cuts(programme: MILP, cuts: Sequence[HullCut], first: int) -> MILP:
    """The programme, whose recourse begins at column ``first``, with those cuts as rows."""
    if not cuts:
        return programme
    rows = np.zeros((len(cuts), len(programme.cost)))
    rows[:, first : first + len(cuts[0].slopes)] = [cut.slopes for cut in cuts]
    return dataclasses.replace(
        programme,
        A=sparse.vstack([sparse.csr_matrix(programme.A), sparse.csr_matrix(rows)]).tocsr(),
        row_lower=np.append(programme.row_lower, [cut.least for cut in cuts]),
        row_upper=np.append(programme.row_upper, np.full(len(cuts), INFINITY)),
    )
