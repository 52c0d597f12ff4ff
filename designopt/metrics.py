"""How well a search did: regret, feasibility, dominance, hypervolume, ranks, and spread over configurations and seeds.

Objectives are always losses, that is turned to minimisation (``Evaluation.losses``); NaN means no value.
"""

from __future__ import annotations

from collections.abc import Callable
from math import comb
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from designopt.parameters import Array


def best_so_far(losses: ArrayLike, feasible: ArrayLike) -> Array:
    """Smallest feasible loss after each evaluation.

    Args:
        losses: (n,) in the order of evaluation; NaN never counts.
        feasible: (n,) booleans.

    Returns:
        (n,) never increasing, inf before the first feasible loss.
    """
    losses = np.asarray(losses, dtype=np.float64)
    usable = np.asarray(feasible, dtype=bool) & ~np.isnan(losses)
    return np.minimum.accumulate(np.where(usable, losses, np.inf))


def simple_regret(best_loss: ArrayLike, reference_loss: float) -> Array:
    """What is missing to the reference, of the shape of ``best_loss``; negative where the reference was beaten."""
    return np.asarray(best_loss, dtype=np.float64) - reference_loss


def feasible_share(feasible: ArrayLike) -> float:
    """Share of the (n,) evaluations that are feasible; NaN when there are none."""
    feasible = np.asarray(feasible, dtype=bool)
    return float(feasible.mean()) if feasible.size else float("nan")


def non_dominated(losses: ArrayLike) -> NDArray[np.bool_]:
    """Which rows no other row dominates, that is betters in one objective without being worse in any.

    Args:
        losses: (n, m). Equal rows do not dominate each other; a row with NaN is never non-dominated and dominates none.

    Returns:
        (n,) mask.

    Raises:
        ValueError: losses without two axes.
    """
    losses = _table("losses", losses)
    valued = np.flatnonzero(~np.isnan(losses).any(axis=1))
    mask = np.zeros(len(losses), dtype=bool)
    if len(valued):
        from moocore import is_nondominated

        # Ranks in place of values: dominance is the same, and moocore is wrong or crashes on infinities.
        ranks = [np.unique(column, return_inverse=True)[1] for column in losses[valued].T]
        mask[valued] = is_nondominated(np.stack(ranks, axis=1).astype(np.float64), keep_weakly=True)
    return mask


def hypervolume(losses: ArrayLike, reference_point: ArrayLike) -> float:
    """Volume dominated by the rows of losses (n, m) and bounded by the reference point (m,).

    Rows with NaN or inf, and rows not better than the reference point in every objective, add nothing.

    Raises:
        ValueError: a reference point that is not finite or has another number of objectives than the losses.
    """
    losses = _table("losses", losses)
    reference_point = np.asarray(reference_point, dtype=np.float64)
    m = losses.shape[1]
    if reference_point.shape != (m,) or not np.isfinite(reference_point).all():
        raise ValueError(f"reference_point = {reference_point.tolist()}; it must be {m} finite numbers")
    losses = losses[np.isfinite(losses).all(axis=1) & (losses < reference_point).all(axis=1)]
    if not len(losses):
        return 0.0
    from moocore import hypervolume as volume

    return float(volume(losses, ref=reference_point))


def mean_ranks(values: ArrayLike) -> Array:
    """Average rank of each method over problems, 1 for the least value.

    Args:
        values: (problems, methods), less is better. Equal values share the mean of their ranks; NaN is worst.

    Returns:
        (methods,) ranks from 1 to the number of methods.

    Raises:
        ValueError: values without two axes.
    """
    from scipy.stats import rankdata

    values = _table("values", values)
    # Ranking twice lets even inf come before NaN, which has no place in an order.
    order = rankdata(values, axis=1, nan_policy="omit")
    return np.asarray(rankdata(np.where(np.isnan(order), np.inf, order), axis=1).mean(axis=0))


def variance_split(closed: ArrayLike) -> dict[str, float]:
    """Shares of the variance due to the configuration, to the seed, and to the rest (their interaction).

    Components of a two-way random-effects analysis of variance without replication, by equating mean squares to their
    expectations; a negative estimate counts as zero. Unlike shares of sums of squares they do not grow with the number
    of configurations when the configuration has no effect.

    Args:
        closed: (configurations, seeds); configurations with a seed missing (NaN) are left out.

    Returns:
        ``configuration``, ``seed`` and ``residual``, sum 1; all NaN with fewer than two complete configurations or
        seeds, or no variance.
    """
    y = np.asarray(closed, dtype=np.float64)
    y = y[~np.isnan(y).any(axis=1)]
    c, s = y.shape
    names = ("configuration", "seed", "residual")
    if c < 2 or s < 2:
        return dict.fromkeys(names, np.nan)
    row, column = y.mean(axis=1, keepdims=True), y.mean(axis=0, keepdims=True)
    between_rows = s * ((row - y.mean()) ** 2).sum() / (c - 1)
    between_columns = c * ((column - y.mean()) ** 2).sum() / (s - 1)
    residual = ((y - row - column + y.mean()) ** 2).sum() / ((c - 1) * (s - 1))
    parts = [max(between_rows - residual, 0.0) / s, max(between_columns - residual, 0.0) / c, residual]
    total = sum(parts)
    return dict.fromkeys(names, np.nan) if total < 1e-12 else dict(zip(names, np.divide(parts, total), strict=True))


def bootstrap(values: Array, statistic: Callable[..., Any], resamples: int = 500) -> Array:
    """The statistic of resampled studies: configurations and seeds are drawn with replacement, each on its own.

    [Owen2007] "The pigeonhole bootstrap", Annals of Applied Statistics 1: for crossed factors, mildly conservative.

    Args:
        values: (configurations, seeds, ...).
        statistic: function of the (configurations * seeds, ...) studies of one draw, such as ``np.nanmean``, called
            with ``axis=0``.
        resamples: how many draws; always the same ones.

    Returns:
        (resamples, ...).
    """
    rng = np.random.default_rng(0)
    c, s = values.shape[:2]
    drawn: list[Array] = []
    while len(drawn) < resamples:
        chosen = values[rng.integers(c, size=c)][:, rng.integers(s, size=s)]
        if not np.isnan(chosen).all():  # a draw of cells that were not run is none
            drawn.append(statistic(chosen.reshape(c * s, *values.shape[2:]), axis=0))
    return np.array(drawn)


def expected_best(values: ArrayLike) -> Array:
    """Expected best of k configurations drawn without replacement, for k = 1 .. n; exact.

    E[max of k] = sum over i of v_(i) C(i - 1, k - 1) / C(n, k), with v_(1) <= ... <= v_(n).

    Args:
        values: (n,) worth of each configuration, more is better.

    Returns:
        (n,): the mean first, the maximum last.
    """
    v = np.sort(np.asarray(values, dtype=np.float64))
    n = len(v)
    return np.array([sum(v[i] * (comb(i, k - 1) / comb(n, k)) for i in range(n)) for k in range(1, n + 1)])


def _table(name: str, values: ArrayLike) -> Array:
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 2:
        raise ValueError(f"{name} must have two axes, got shape {values.shape}")
    return values
