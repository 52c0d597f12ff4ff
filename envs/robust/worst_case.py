"""Certified worst case of a fixed design by cutting planes.

With a fixed design and uncertainty in the objective alone, the cost after the best recourse is the minimum of finitely
many affine functions of the scenario. It is concave, so its maximum over a polytope is a convex problem: linear
programmes over the affine functions found so far bound it from above, every exact second stage bounds it from below.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

import highspy
import numpy as np
from numpy.typing import NDArray

from designopt.milp import INFINITY, QuietHighs
from designopt.parameters import Array


class Piece(NamedTuple):
    """An exact second stage at one scenario: cost = constant + slope'xi for its recourse, which is best there."""

    constant: float
    slope: Array
    recourse: NDArray[np.int64]


class Bracket(NamedTuple):
    """Bounds of the worst cost, the scenario that attains the lower one, its recourse, and the second stages solved."""

    low: float
    high: float
    scenario: Array
    recourse: NDArray[np.int64]
    solves: int


def maximise_concave(
    second_stage: Callable[[Array], Piece],
    D: Array,
    d: Array,
    *,
    nonnegative: bool,
    start: Array,
    tolerance: float,
    cutoff: float | None = None,
    seconds: float | None = None,
) -> Bracket:
    """Largest cost over the scenarios D xi <= d (and xi >= 0 where ``nonnegative``).

    Every second scenario is the midpoint between the linear programme's and the worst one so far, a common
    stabilisation. Stops at the relative ``tolerance``, once the worst cost is known to reach ``cutoff``, when a
    recourse comes back that is known already (numerically at the end), or when time is over.
    """
    deadline = np.inf if seconds is None else time.monotonic() + seconds
    first = second_stage(start)
    low, scenario, recourse = first.constant + float(first.slope @ start), start, first.recourse
    master = Master(D, d, nonnegative)
    master.add(first)
    known = {first.recourse.tobytes()}
    high, solves = np.inf, 1
    while cutoff is None or low < cutoff:
        high, point = master.solve(high)
        if high - low <= tolerance * max(1.0, abs(low)) or time.monotonic() > deadline:
            break
        middle = solves % 2 == 0
        xi = (point + scenario) / 2 if middle else point
        piece = second_stage(xi)
        solves += 1
        cost = piece.constant + float(piece.slope @ xi)
        if cost > low:
            low, scenario, recourse = cost, xi, piece.recourse
        if piece.recourse.tobytes() in known:
            if not middle:
                break
            continue
        known.add(piece.recourse.tobytes())
        master.add(piece)
    return Bracket(low, max(high, low), scenario, recourse, solves)


class Master:
    """max z with z <= constant + slope'xi for every piece, over the scenarios; re-solved from its last basis."""

    def __init__(self, D: Array, d: Array, nonnegative: bool) -> None:
        u = D.shape[1]
        self.dim = u
        self.lp = QuietHighs()
        floor = np.zeros(u) if nonnegative else np.full(u, -INFINITY)
        # A row of D with one entry is a bound of that variable.
        ceiling = np.full(u, INFINITY)
        single = (D != 0).sum(axis=1) == 1
        for row, limit in zip(D[single], d[single], strict=True):
            i = int(np.flatnonzero(row)[0])
            if row[i] > 0:
                ceiling[i] = min(ceiling[i], limit / row[i])
            else:
                floor[i] = max(floor[i], limit / row[i])
        self.lp.addVars(u, floor, ceiling)
        self.lp.addVar(-INFINITY, INFINITY)
        self.lp.changeColCost(u, 1.0)
        self.lp.changeObjectiveSense(highspy.ObjSense.kMaximize)
        for row, limit in zip(D[~single], d[~single], strict=True):
            used = np.flatnonzero(row)
            self.lp.addRow(-INFINITY, limit, len(used), used, row[used])

    def add(self, piece: Piece) -> None:
        """One more affine function."""
        used = np.flatnonzero(piece.slope)
        columns = np.append(used, self.dim)
        self.lp.addRow(-INFINITY, piece.constant, len(columns), columns, np.append(-piece.slope[used], 1.0))

    def solve(self, last: float) -> tuple[float, Array]:
        """-> upper bound (never above ``last``), scenario (u,)."""
        self.lp.run()
        values = np.array(self.lp.getSolution().col_value)
        return min(last, float(values[self.dim])), values[: self.dim]
