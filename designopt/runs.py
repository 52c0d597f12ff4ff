"""Runs and their evaluations as a store takes and returns them, and how they become rows of its tables."""

from __future__ import annotations

import re
from collections.abc import Iterable
from collections.abc import Sequence as Seq
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from designopt import provenance
from designopt.env import Constraint, Objective, describe
from designopt.evaluation import Evaluation
from designopt.parameters import Array
from designopt.space import DesignSpace
from designopt.store_text import (
    from_json,
    metrics_from_json,
    metrics_to_json,
    printable,
    rows_from_json,
    rows_to_json,
    to_json,
)

if TYPE_CHECKING:
    from designopt.executors import Finished

STATES = ("waiting", "running", "finished", "stopped", "failed", "interrupted")
"""waiting: planned by a sweep, not begun; stopped: ended early, its sweep gave it up as hopeless."""


@dataclass(frozen=True, slots=True)
class Ask:
    """One request to the searcher.

    Attributes:
        first: order of the first design it returned; they are numbered first, first + 1, ...
        n: how many designs it returned.
        told_before: how many results it had been told by then.
        wanted: how many it was asked for.
    """

    first: int
    n: int
    told_before: int
    wanted: int


@dataclass(frozen=True, slots=True)
class Batch:
    """What a study has to record before it goes on.

    Attributes:
        run_id: its run.
        asks: requests to the searcher not yet recorded.
        finished: results, in the order in which the searcher is told.
        sequence: how many results were told before these.
    """

    run_id: str
    asks: list[Ask]
    finished: list[Finished]
    sequence: int


@dataclass(frozen=True, kw_only=True)
class RunInfo:
    """What a run sets out to do.

    Attributes:
        env, env_arguments: the environment's id and the keyword arguments it was made with.
        backend, hyperparameters, seed: the searcher's.
        budget, batch, seconds: evaluations in all, designs asked for at once, wall seconds; None = not set.
        workers, executor, limits: how designs are evaluated: on how many workers of which kind, and the limits (such as
            a time-out) of one evaluation.
        sweep, configuration: name of the sweep that the run belongs to, and label of its hyper-parameters among those
            of the same backend there ("default", "c01", ...); empty for a run on its own.
    """

    env: str
    env_arguments: dict[str, Any]
    space: DesignSpace
    objectives: tuple[Objective, ...]
    constraints: tuple[Constraint, ...]
    backend: str
    hyperparameters: dict[str, Any]
    seed: int
    budget: int | None = None
    batch: int | None = None
    seconds: float | None = None
    workers: int = 1
    executor: str = "serial"
    limits: dict[str, Any] = field(default_factory=dict)
    sweep: str = ""
    configuration: str = ""


@dataclass(frozen=True, kw_only=True)
class RunRecord(RunInfo):
    """A run as the store knows it.

    Attributes:
        env_version: the N of an id that ends in ``-vN``.
        versions, git, command, host: where it came from, see ``designopt.provenance``.
        started, ended: ISO 8601, UTC.
        state: one of ``STATES``; a run whose process was killed stays "running".
        evaluations: how many are recorded.
    """

    id: str
    env_version: int | None
    versions: dict[str, str]
    git: dict[str, Any] | None
    command: str
    host: str
    started: str
    ended: str | None
    state: str
    error: str
    search_seconds: float
    evaluations: int


@dataclass(frozen=True)
class Rows:
    """N recorded evaluations.

    Attributes:
        orders: (N,) the number under which each design was asked for, increasing.
        sequence: (N,) position at which its result was told; ``np.argsort(sequence)`` is the order of replay.
        designs: (N, d) in natural units.
        evaluation: their Evaluation.
        workers, finished: (N,) who evaluated it, and when it was recorded (ISO 8601, UTC).
    """

    orders: NDArray[np.int64]
    sequence: NDArray[np.int64]
    designs: Array
    evaluation: Evaluation
    workers: NDArray[np.object_]
    finished: NDArray[np.object_]


@dataclass(frozen=True)
class LoadedRun(Rows):
    """A run with all its evaluations, and its asks in order."""

    info: RunRecord
    asks: list[Ask]


# Rows -----------------------------------------------------------------------------------------------------------

_JSON_COLUMNS = (
    "env_arguments",
    "space",
    "objectives",
    "constraints",
    "hyperparameters",
    "limits",
    "versions",
    "git",
)


def origin() -> dict[str, Any]:
    """Columns that say where a run comes from: this process."""
    git = provenance.git_state()
    command = printable(provenance.command_line())
    return {"versions": provenance.versions(), "git": git, "command": command, "host": provenance.host()}


def new_run(info: RunInfo, run_id: str, state: str, now: str, origin: dict[str, Any]) -> dict[str, Any]:
    """The row of a run that is entered now.

    Raises:
        ValueError: a value that is not plain data, so that it could not be read back.
    """
    version = re.search(r"-v(\d+)$", info.env)
    row: dict[str, Any] = {f.name: getattr(info, f.name) for f in fields(RunInfo)}
    row |= describe(info.objectives, info.constraints) | {"space": info.space.to_json()}
    row |= {"id": run_id, "env_version": int(version[1]) if version else None, "started": now, "state": state} | origin
    for column in _JSON_COLUMNS:
        try:
            row[column] = to_json(row[column])
        except (TypeError, ValueError) as error:
            raise ValueError(f"{column} of {info.env} cannot be stored: {error}") from error
    return row


def run_of_row(row: dict[str, Any]) -> RunRecord:
    """Inverse of ``new_run``, with the number of evaluations."""
    row |= {column: from_json(row[column]) for column in _JSON_COLUMNS}
    row["space"] = DesignSpace.from_json(row["space"])
    row["objectives"] = tuple(Objective(**entry) for entry in row["objectives"])
    row["constraints"] = tuple(Constraint(**entry) for entry in row["constraints"])
    return RunRecord(**row)


def evaluation_rows(run_id: str, part: Finished, sequence: int, now: str) -> list[tuple[Any, ...]]:
    """What an executor returned as rows of the table of evaluations."""
    evaluation, n = part.evaluation, len(part.evaluation)
    columns: list[Iterable[Any]] = [
        [run_id] * n,
        part.orders.tolist(),
        range(sequence, sequence + n),
        rows_to_json(part.designs),
        rows_to_json(evaluation.objectives),
        rows_to_json(evaluation.constraints),
        metrics_to_json(evaluation.metrics, n),
        evaluation.status.tolist(),
        [printable(error) if error else "" for error in evaluation.errors.tolist()],
        evaluation.attempts.tolist(),
        evaluation.seconds.tolist(),
        [part.worker] * n,
        [now] * n,
    ]
    return list(zip(*columns, strict=True))


EVALUATION_COLUMNS = (
    "order",
    "sequence",
    "design",
    "objectives",
    "constraints",
    "metrics",
    "status",
    "error",
    "attempts",
    "seconds",
    "worker",
    "finished",
)


def rows_of_run(info: RunInfo, rows: Seq[Seq[Any]]) -> Rows:
    """Inverse of ``evaluation_rows``; rows without the run's id."""
    transposed = zip(*rows, strict=True) if rows else [()] * len(EVALUATION_COLUMNS)
    columns = dict(zip(EVALUATION_COLUMNS, transposed, strict=True))
    evaluation = Evaluation(
        objectives=rows_from_json(columns["objectives"], len(info.objectives)),
        constraints=rows_from_json(columns["constraints"], len(info.constraints)),
        metrics=metrics_from_json(columns["metrics"]),
        status=np.array(columns["status"], dtype="<U7"),
        attempts=np.array(columns["attempts"], dtype=np.int64),
        seconds=np.array(columns["seconds"], dtype=np.float64),
        errors=np.array(columns["error"], dtype=object),
    )
    return Rows(
        orders=np.array(columns["order"], dtype=np.int64),
        sequence=np.array(columns["sequence"], dtype=np.int64),
        designs=rows_from_json(columns["design"], info.space.dim),
        evaluation=evaluation,
        workers=_shared(columns["worker"]),
        finished=_shared(columns["finished"]),
    )


def _shared(texts: Seq[str]) -> NDArray[np.object_]:
    """(n,) texts, equal ones as one object: a million rows name few workers."""
    seen: dict[str, str] = {}
    return np.array([seen.setdefault(text, text) for text in texts], dtype=object)
