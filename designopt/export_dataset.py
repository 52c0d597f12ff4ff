"""Runs as a data set for learning: one flat table of several runs, and episodes in the layout of RLDS.

References: [Krishnan2023] ArchGym, ISCA, section on data sets; [Ramos2021] "RLDS: an ecosystem to generate, share and
use datasets in reinforcement learning", arXiv 2111.02767 (names of the fields of a step).
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence as Seq
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from designopt.env import DesignEnv
from designopt.parameters import Array
from designopt.registry import make
from designopt.runs import LoadedRun
from designopt.store import Store
from designopt.store_text import to_json

if TYPE_CHECKING:
    import pandas as pd

LEADING = ("env", "env_version", "cost_model", "workload", "agent", "hyper_json", "seed", "step")
TRAILING = ("reward", "feasible", "status", "wall_s")


def export_dataset(
    store: Store, run_ids: Seq[str], path: str | os.PathLike[str], *, env: DesignEnv | None = None
) -> int:
    """Write runs on one design space as one flat table, Parquet or CSV by the file's suffix. -> number of rows.

    Columns: ``LEADING``; the parameters (categories by name); objectives, constraints and metrics; ``TRAILING``.
    ``step`` is the order in which the run asked; ``reward`` is that of the environment's reward scheme; ``cost_model``
    and ``workload`` are what the environment says of itself, empty when it says nothing.

    Args:
        store: where the runs are.
        run_ids: their ids, or unique beginnings.
        path: FILE.parquet or FILE.csv, replaced as a whole.
        env: needed when the environment of the runs is not a registered one.

    Raises:
        ValueError: another suffix, no runs, runs on different design spaces, a name used twice, or an environment that
            cannot be made.
        StoreError: no such run.
    """
    import pandas as pd

    path = Path(path)
    if path.suffix not in (".parquet", ".csv"):
        raise ValueError(f"{path}: a data set is written as FILE.parquet or FILE.csv")
    runs = _load(store, run_ids)
    if any(run.info.space != runs[0].info.space for run in runs):
        raise ValueError(f"runs {', '.join(run.info.id for run in runs)} are not all on one design space")
    table = pd.concat([_frame(run, _env(run, env)) for run in runs], ignore_index=True)
    ends = [name for name in table.columns if name in TRAILING]
    table = table[[name for name in table.columns if name not in ends] + ends]
    unfinished = path.with_name(f"{path.name}.part")
    try:
        if path.suffix == ".parquet":
            table.to_parquet(unfinished, index=False)
        else:
            table.to_csv(unfinished, index=False)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    return len(table)


def export_episodes(
    store: Store, run_ids: Seq[str], path: str | os.PathLike[str], *, env: DesignEnv | None = None
) -> int:
    """Write runs as episodes in the layout of RLDS, one JSON object a line and run. -> number of steps with an action.

    An episode has ``metadata`` (the leading columns of the table but the step) and ``steps``. A step holds the
    ``observation`` before its ``action`` (objectives and constraints of the design before; zeros at first, as from
    ``reset``), the action (parameter -> value), its ``reward``, ``discount`` 1, ``is_first``, ``is_last`` and
    ``is_terminal``. The last step holds the observation after the last design, and no action. A value that is not
    finite is 0 in an observation, as in ``DesignEnv.step``.

    Arguments and errors: as ``export_dataset``; any runs go together, and the file is a FILE.jsonl.
    """
    path = Path(path)
    if path.suffix != ".jsonl":
        raise ValueError(f"{path}: episodes are written as FILE.jsonl")
    runs = _load(store, run_ids)
    unfinished = path.with_name(f"{path.name}.part")
    try:
        with unfinished.open("w", encoding="utf-8") as file:
            for run in runs:
                file.write(json.dumps(_episode(run, _env(run, env)), allow_nan=False) + "\n")
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    return sum(len(run.orders) for run in runs)


def _load(store: Store, run_ids: Seq[str]) -> list[LoadedRun]:
    if not run_ids:
        raise ValueError("no runs to export; name at least one")
    return [store.load(run_id) for run_id in run_ids]


def _env(run: LoadedRun, env: DesignEnv | None) -> DesignEnv:
    try:
        env = make(run.info.env, **run.info.env_arguments) if env is None else env
    except ValueError as error:
        raise ValueError(f"run {run.info.id}: {error}; pass the environment: env=...") from None
    if env.design_space != run.info.space or env.objectives != run.info.objectives:
        raise ValueError(
            f"run {run.info.id} was made on {run.info.env}; {env.id} has another space or other objectives"
        )
    return env


def _metadata(run: LoadedRun, env: DesignEnv) -> dict[str, Any]:
    info = run.info
    return {
        "env": info.env,
        "env_version": info.env_version,
        "cost_model": str(getattr(env.unwrapped, "cost_model", "")),
        "workload": str(getattr(env.unwrapped, "workload", info.env_arguments.get("workload", ""))),
        "agent": info.backend,
        "hyper_json": to_json(info.hyperparameters),
        "seed": info.seed,
    }


def _rewards(run: LoadedRun, env: DesignEnv) -> Array:
    return np.asarray(env.reward(env, run.evaluation), dtype=np.float64)


def _frame(run: LoadedRun, env: DesignEnv) -> pd.DataFrame:
    import pandas as pd

    evaluation = run.evaluation
    columns: dict[str, Any] = _metadata(run, env) | {"step": run.orders}
    outputs = dict(zip((o.name for o in run.info.objectives), evaluation.objectives.T, strict=True))
    limits = dict(zip((c.name for c in run.info.constraints), evaluation.constraints.T, strict=True))
    trailing = {
        "reward": _rewards(run, env),
        "feasible": evaluation.feasible,
        "status": evaluation.status.astype(object),
        "wall_s": evaluation.seconds,
    }
    for part in (run.info.space.natural(run.designs), outputs, limits, evaluation.metrics, trailing):
        for name, values in part.items():
            if name in columns:
                raise ValueError(f"run {run.info.id}: two columns are named {name!r}")
            columns[name] = values
    return pd.DataFrame(columns, index=np.arange(len(run.orders)))


def _episode(run: LoadedRun, env: DesignEnv) -> dict[str, Any]:
    evaluation, rewards = run.evaluation, _rewards(run, env)
    outcomes = np.nan_to_num(np.hstack([evaluation.objectives, evaluation.constraints]), posinf=0.0, neginf=0.0)
    observations = np.vstack([np.zeros((1, outcomes.shape[1])), outcomes]).tolist()
    actions: list[dict[str, Any] | None] = [*run.info.space.decode(run.designs), None]
    last = len(rewards)
    steps = [
        {
            "observation": observation,
            "action": action,
            "reward": float(rewards[i]) if i < last else None,
            "discount": 1.0,
            "is_first": i == 0,
            "is_last": i == last,
            "is_terminal": False,
        }
        for i, (observation, action) in enumerate(zip(observations, actions, strict=True))
    ]
    return {"metadata": _metadata(run, env), "steps": steps}
