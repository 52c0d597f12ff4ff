"""What designs are worth to a method that knows one number a design, larger is better."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from designopt import History
from designopt.parameters import Array

SCALINGS = ("auto", "none", "range", "rank")
WIDE = 10.0
"""With ``auto``, values that spread more widely than this are replaced by their ranks: a log prior of temperature times
that cannot be represented."""


def unique_rows(history: History) -> NDArray[np.int64]:
    """Rows with values, the first of each design, in the order told."""
    ok = np.flatnonzero(history.ok)
    first = np.unique(history.designs[ok], axis=0, return_index=True)[1]
    return np.asarray(ok[np.sort(first)], dtype=np.int64)


def fitness(history: History, rows: NDArray[np.int64]) -> Array:
    """(n,) larger is better, in the objective's unit: infeasible designs come below all feasible, by violation."""
    y = -history.losses[rows, 0]
    feasible, violation = history.feasible[rows], history.violation[rows]
    if feasible.all():
        return np.asarray(y)
    if not feasible.any():
        return np.asarray(-violation)
    good = y[feasible]
    spread = float(np.ptp(good)) or 1.0
    below = good.min() - spread * violation / violation.max()
    return np.asarray(np.where(feasible, y, below))


def scaled(y: Array, scaling: str) -> Array:
    """(n,) values -> as they are, on [0, 1] by range or by rank; ``auto``: as they are unless they spread widely."""
    spread = float(np.ptp(y))
    if scaling == "none" or spread == 0 or (scaling == "auto" and spread <= WIDE):
        return y
    if scaling == "range":
        return np.asarray((y - y.min()) / spread)
    return np.asarray((rankdata(y) - 1) / (len(y) - 1))
