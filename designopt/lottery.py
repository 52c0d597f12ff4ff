"""The hyper-parameter lottery: what a search backend is worth when its configuration is a draw.

``studies`` reads a sweep into a table with one row a study; everything after it is a pure function of such tables.
Losses are minimised. Studies without a feasible design have loss inf: they rank last and close none of the gap.
docs/lottery.md defines every number. Protocol after [Krishnan2023] ArchGym, ISCA.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from designopt.metrics import best_so_far, bootstrap, hypervolume, variance_split
from designopt.parameters import Array, suggest
from designopt.result import Result

if TYPE_CHECKING:
    from designopt.runs import RunRecord
    from designopt.store import Store

DEFAULT = "default"
"""Name of the configuration that is the backend's own default."""
REACHED = 0.95
"""Share of the gap to the best known value from which on a study counts as having reached it."""


# A sweep as a table ---------------------------------------------------------------------------------------------


def studies(store: Store, sweep: str) -> pd.DataFrame:
    """One row a study of a sweep.

    Columns: ``env`` (id, with its arguments), ``backend``, ``configuration``, ``seed``, ``run``, ``state``, ``error``,
    ``started``, ``ended``, ``hyperparameters``, ``budget``, ``evaluations``, ``feasible`` (share), ``repeats``
    (evaluations of a design evaluated before), ``objective``, ``unit``, ``sense``, ``reference`` (best known loss from
    the environment, NaN without one) and ``curve``: (evaluations,) best feasible loss so far, inf before the first.
    With several objectives the loss is the negative hypervolume of the front so far, against the environment's
    reference point, else against the worst feasible values of all studies on it.

    Raises:
        StoreError: no sweep of that name.
    """
    from designopt.store import StoreError

    rows = []
    by_env: dict[str, list[RunRecord]] = {}
    runs_of_sweep = store.runs(sweep=sweep)
    if not runs_of_sweep:
        known = {run.sweep for run in store.runs()} - {""}
        raise StoreError(f"{store.url}: unknown sweep {sweep!r}; {suggest(sweep, known)}")
    for run in runs_of_sweep:
        by_env.setdefault(problem_name(run), []).append(run)
    for env, runs in by_env.items():
        results = [Result.from_run(store.load(run.id)) for run in runs]
        point = _reference_point(results)
        rows += [_study(env, run, result, point) for run, result in zip(runs, results, strict=True)]
    return pd.DataFrame(rows)


def problem_name(run: RunRecord) -> str:
    """The environment's id, with the arguments that it was made with."""
    arguments = ", ".join(f"{name}={value}" for name, value in run.env_arguments.items())
    return f"{run.env} ({arguments})" if arguments else run.env


def _reference_point(results: list[Result]) -> Array:
    """(m,) the corner that hypervolumes are measured against."""
    known = results[0].reference
    if known is not None and known.reference_point is not None:
        return np.asarray(known.reference_point)
    losses = [r.evaluation.losses(r.objectives)[r.evaluation.feasible] for r in results]
    return np.asarray(np.concatenate(losses).max(axis=0, initial=-np.inf))


def _study(env: str, run: RunRecord, result: Result, point: Array) -> dict[str, object]:
    losses, feasible = result.evaluation.losses(result.objectives), result.evaluation.feasible
    known, n = result.reference, len(feasible)
    reference = np.nan
    if len(run.objectives) > 1:
        objective, unit, sense = "hypervolume", "", "max"
        curve = _hypervolume_curve(losses, feasible, point)
        if known is not None and known.hypervolume is not None:
            reference = -known.hypervolume
    else:
        objective, unit, sense = run.objectives[0].name, run.objectives[0].unit, run.objectives[0].sense
        curve = best_so_far(losses[:, 0], feasible)
        if known is not None and known.value is not None:
            reference = known.value if sense == "min" else -known.value
    return {
        **{name: getattr(run, name) for name in ("backend", "configuration", "seed", "state", "error")},
        **{name: getattr(run, name) for name in ("started", "ended", "hyperparameters")},
        "env": env,
        "run": run.id,
        "budget": run.budget or n,
        "evaluations": n,
        "feasible": float(feasible.mean()) if n else 0.0,
        "repeats": n - len(np.unique(result.designs, axis=0)),
        "objective": objective,
        "unit": unit,
        "sense": sense,
        "reference": reference,
        "curve": curve,
    }


def _hypervolume_curve(losses: Array, feasible: ArrayLike, point: Array) -> Array:
    """(n,) negative hypervolume of the front so far; measured again only when the front changes."""
    curve = np.full(len(losses), np.inf)
    front = losses[:0]
    for row in np.flatnonzero(feasible):
        if (front <= losses[row]).all(axis=1).any():
            continue
        front = np.concatenate([front[~(losses[row] <= front).all(axis=1)], losses[row, None]])
        curve[row] = -hypervolume(front, point)
    return np.minimum.accumulate(curve)


# Equal budgets --------------------------------------------------------------------------------------------------


def compare(table: pd.DataFrame) -> pd.DataFrame:
    """Studies at an equal budget: the smallest that any study on the same environment has.

    Left out are studies that wait, still run or were interrupted before that budget. One that ended, was stopped or
    failed before it keeps what it had found.

    Adds to the columns of ``studies``:
        equal_budget: evaluations counted.
        loss: best feasible loss within them, inf without one.
        best_known: the least of all losses and the environment's reference.
        baseline, baseline_is: the loss that counts as nothing gained, and which it is: the median of random search, or,
            where half of its studies or all have no feasible design or there is none, the worst loss that is finite.
        closed: share of the gap from baseline to best known that the study closed, cut to [0, 1].
    """
    parts = []
    for _, part in table.groupby("env", sort=False):
        budget = int(part["budget"].min())
        open_ = part["state"].isin(["waiting", "running", "interrupted"]) & (part["evaluations"] < budget)
        parts.append(_scaled(part[~open_].copy(), budget))
    return pd.concat(parts, ignore_index=True)


def _scaled(part: pd.DataFrame, budget: int) -> pd.DataFrame:
    losses = np.array([curve[:budget][-1] if len(curve) else np.inf for curve in part["curve"]])
    finite = losses[np.isfinite(losses)]
    best = min([*finite, *part["reference"].dropna()], default=np.inf)
    random = losses[(part["backend"] == "random").to_numpy()]
    baseline, which = float(np.median(random)) if len(random) else np.inf, "median of random search"
    if not np.isfinite(baseline):
        baseline, which = float(finite.max(initial=-np.inf)), "worst study with a feasible design"
    part["equal_budget"] = budget
    part["loss"] = losses
    part["best_known"] = best
    part["baseline"], part["baseline_is"] = baseline, which
    if baseline > best:
        part["closed"] = np.clip((baseline - losses) / (baseline - best), 0.0, 1.0)
    else:  # nothing to gain: the baseline is the best known
        part["closed"] = np.where(np.isfinite(losses) & (losses <= best), 1.0, 0.0)
    return part


def own_sign(loss: ArrayLike, sense: str) -> Array:
    """Losses as values of the objective: turned back where it is maximised."""
    return np.asarray(loss, dtype=np.float64) * (1.0 if sense == "min" else -1.0)


# Spread ---------------------------------------------------------------------------------------------------------


def spread(compared: pd.DataFrame) -> pd.DataFrame:
    """The lottery, one row per environment and backend, best median first within an environment.

    Columns: ``env``, ``backend``, ``configurations``, ``seeds``, ``studies``, ``infeasible`` (studies without a
    feasible design), ``loss`` (median), ``closed`` (median); ``iqr_configurations`` of the configurations' means over
    seeds, ``iqr_seeds``: median over configurations of the range over seeds; ``configuration``, ``seed``, ``residual``:
    see ``variance_split``; ``reach``, ``reach_low``, ``reach_high``: share of studies that closed 95 % of the gap, and
    its 95 % bootstrap interval; ``default_rank``: of the default configuration by mean over seeds, ties shared. NaN
    where there is one configuration or one seed only.
    """
    rows = []
    for (env, backend), part in compared.groupby(["env", "backend"], sort=False):
        closed = grid(part, "closed")
        worth = np.nanmean(closed, axis=1)
        reached = np.where(np.isnan(closed), np.nan, closed >= REACHED)
        low, high = np.percentile(bootstrap(reached, np.nanmean), [2.5, 97.5])
        several, repeated = len(worth) > 1, (~np.isnan(closed)).sum(axis=1) > 1
        names = sorted(part["configuration"].unique())
        rows.append(
            {
                "env": env,
                "backend": backend,
                "configurations": len(worth),
                "seeds": part["seed"].nunique(),
                "studies": len(part),
                "infeasible": int(np.isinf(part["loss"]).sum()),
                "loss": part["loss"].median(),
                "closed": part["closed"].median(),
                "iqr_configurations": _iqr(worth) if several else np.nan,
                "iqr_seeds": np.median([_iqr(row) for row in closed[repeated]]) if repeated.any() else np.nan,
                **variance_split(closed),
                "reach": np.nanmean(reached),
                "reach_low": low,
                "reach_high": high,
                "default_rank": _rank(worth, names.index(DEFAULT)) if several and DEFAULT in names else np.nan,
            }
        )
    order = ["env", "loss"]
    return pd.DataFrame(rows).sort_values(order, kind="stable", ignore_index=True)


def grid(part: pd.DataFrame, column: str) -> Array:
    """(configurations, seeds) values of one backend on one environment, both in sorted order; NaN where not run."""
    return part.pivot_table(column, "configuration", "seed", aggfunc="first").to_numpy(dtype=np.float64)


def _iqr(values: Array) -> float:
    low, high = np.nanpercentile(values, [25, 75])
    return float(high - low)


def _rank(worth: Array, row: int) -> float:
    """Rank of a row from 1 for the largest; equal values share the mean of their ranks."""
    return float((worth > worth[row]).sum() + ((worth == worth[row]).sum() + 1) / 2)


def curves(part: pd.DataFrame, checkpoints: ArrayLike) -> tuple[Array, Array, Array]:
    """Median best-so-far loss of one backend on one environment, with its 95 % bootstrap band.

    Args:
        part: rows of ``compare``.
        checkpoints: (t,) numbers of evaluations, from 1.

    Returns:
        Three arrays (t,): median, low, high; inf where fewer than half of the studies have a feasible design.
    """
    at = np.asarray(checkpoints, dtype=int) - 1
    index = {name: part[name].factorize(sort=True) for name in ("configuration", "seed")}
    values = np.full((*(len(index[name][1]) for name in index), len(at)), np.nan)
    for c, s, curve in zip(index["configuration"][0], index["seed"][0], part["curve"], strict=True):
        values[c, s] = curve[np.minimum(at, len(curve) - 1)] if len(curve) else np.inf
    median = np.nanmedian if np.isnan(values).any() else np.median
    low, high = np.percentile(bootstrap(values, median, 200), [2.5, 97.5], axis=0, method="nearest")
    return median(values.reshape(-1, len(at)), axis=0), low, high


def best_configurations(compared: pd.DataFrame) -> pd.DataFrame:
    """The winning ticket of each environment and backend: its configuration with the best mean over seeds.

    Columns ``env``, ``backend``, ``configuration``, ``worth`` (mean share of the gap closed) and ``hyperparameters``.
    """
    rows = []
    for (env, backend), part in compared.groupby(["env", "backend"], sort=False):
        worth = part.groupby("configuration")["closed"].mean()
        best = part[part["configuration"] == worth.idxmax()].iloc[0]
        rows.append({"env": env, "backend": backend, "configuration": best["configuration"], "worth": worth.max()})
        rows[-1]["hyperparameters"] = best["hyperparameters"]
    return pd.DataFrame(rows)
