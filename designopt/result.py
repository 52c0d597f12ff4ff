"""What a study found."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from designopt.env import Constraint, Objective, Reference
from designopt.evaluation import STATUSES, Evaluation
from designopt.parameters import Array
from designopt.registry import make
from designopt.space import DesignSpace

if TYPE_CHECKING:
    import pandas as pd

    from designopt.runs import LoadedRun


@dataclass
class Result:
    """Every evaluation of a study, in the order in which the designs were asked, and what they amount to.

    Attributes:
        designs, evaluation: (n, d) designs and their Evaluation (n rows).
        orders: (n,) position at which each design was asked.
        workers: (n,) who evaluated it.
        finished: (n,) when its result was recorded, in seconds since 1970 (UTC); empty when that is not known.
        search, config, seed, command, versions: how to reproduce it.
        bound: what the search proved that no design can beat, in the objective's own sign; None: nothing.
        trace: what the search said about its course, rows of plain data; neither is kept in a store.
        choices: of a supernet, name -> what each group of its decisions is chosen among; not kept in a store.
        search_seconds: wall seconds in ask and tell; ``evaluation_seconds`` sums over evaluations, whoever ran them.
    """

    env_id: str
    space: DesignSpace
    objectives: tuple[Objective, ...]
    constraints: tuple[Constraint, ...]
    reference: Reference | None
    designs: Array
    evaluation: Evaluation
    orders: NDArray[np.int64]
    workers: NDArray[np.object_]
    search: str
    config: dict[str, Any]
    seed: int
    run_id: str
    search_seconds: float
    bound: float | None = None
    trace: list[dict[str, Any]] = field(default_factory=list)
    choices: dict[str, tuple[str, ...]] = field(default_factory=dict)
    command: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    finished: Array = field(default_factory=lambda: np.empty(0))

    @classmethod
    def from_run(cls, run: LoadedRun) -> Result:
        """The result of a stored run; its known optimum comes along when the environment is registered."""
        info = run.info
        return cls(
            env_id=info.env,
            space=info.space,
            objectives=info.objectives,
            constraints=info.constraints,
            reference=_registered_reference(info.env, info.env_arguments),
            designs=run.designs,
            evaluation=run.evaluation,
            orders=run.orders,
            workers=run.workers,
            search=info.backend,
            config=info.hyperparameters,
            seed=info.seed,
            run_id=info.id,
            search_seconds=info.search_seconds,
            command=info.command,
            versions=info.versions,
            finished=seconds_since_1970(run.finished),
        )

    @property
    def evaluation_seconds(self) -> float:
        """Sum of the wall seconds of all evaluations."""
        return float(self.evaluation.seconds.sum())

    @cached_property
    def best_row(self) -> int | None:
        """Row of the best feasible design of a single-objective study; None when there is none."""
        if len(self.objectives) > 1 or not self.evaluation.feasible.any():
            return None
        losses = self.evaluation.losses(self.objectives)[:, 0]
        return int(np.where(self.evaluation.feasible, losses, np.inf).argmin())

    @property
    def best(self) -> dict[str, Any] | None:
        """Parameter -> value of the best feasible design; None without one, or with several objectives (see pareto)."""
        return None if self.best_row is None else self.space.decode(self.designs[self.best_row, None])[0]

    @property
    def best_value(self) -> float | None:
        """Objective of ``best``, in the objective's own sign."""
        return None if self.best_row is None else float(self.evaluation.objectives[self.best_row, 0])

    @property
    def least_infeasible(self) -> dict[str, Any] | None:
        """The design with the smallest scaled sum of violations; None when no evaluation gave values."""
        violation = self.evaluation.violation(self.constraints)
        if not np.isfinite(violation).any():
            return None
        return self.space.decode(self.designs[violation.argmin(), None])[0]

    @cached_property
    def pareto_rows(self) -> NDArray[np.int64]:
        """Rows of the non-dominated feasible designs."""
        from designopt.metrics import non_dominated

        feasible = np.flatnonzero(self.evaluation.feasible)
        losses = self.evaluation.losses(self.objectives)[feasible]
        return feasible[non_dominated(losses)] if len(feasible) else feasible

    @property
    def pareto(self) -> pd.DataFrame:
        """Table of the non-dominated feasible designs: parameters, then objectives."""
        rows = self.pareto_rows
        frame = self.space.frame(self.designs[rows])
        for i, objective in enumerate(self.objectives):
            frame[_free_name(objective.name, "objective", frame)] = self.evaluation.objectives[rows, i]
        return frame

    def hypervolume(self, reference_point: Array | tuple[float, ...] | None = None) -> float:
        """Hypervolume of the front in minimised objectives; the environment's reference point by default.

        Raises:
            ValueError: no reference point given or known.
        """
        from designopt.metrics import hypervolume

        point = reference_point
        if point is None and self.reference is not None:
            point = self.reference.reference_point
        if point is None:
            raise ValueError(f"{self.env_id} has no reference point; give one: hypervolume(reference_point=...)")
        return hypervolume(self.evaluation.losses(self.objectives)[self.pareto_rows], point)

    @property
    def frame(self) -> pd.DataFrame:
        """One row per evaluation: parameters, outputs, feasible, status, error, attempts, seconds, order, worker."""
        e = self.evaluation
        frame = self.space.frame(self.designs)
        groups: list[tuple[str, dict[str, NDArray[Any]]]] = [
            ("objective", {o.name: e.objectives[:, i] for i, o in enumerate(self.objectives)}),
            ("constraint", {c.name: e.constraints[:, i] for i, c in enumerate(self.constraints)}),
            ("metric", e.metrics),
        ]
        for group, columns in groups:
            for name, values in columns.items():
                frame[_free_name(name, group, frame)] = values
        record = {
            "feasible": e.feasible,
            "status": e.status,
            "error": e.errors,
            "attempts": e.attempts,
            "seconds": e.seconds,
            "order": self.orders,
            "worker": self.workers,
        }
        for name, values in record.items():
            frame[_free_name(name, "run", frame)] = values
        return frame

    def report(self, path: str | Path) -> Path:
        """Write one self-contained HTML page with the best design, its convergence and how to reproduce it."""
        from designopt.report import write_report

        return write_report(self, path)

    def summary(self) -> dict[str, Any]:
        """The facts of the run as plain data, as printed by ``designopt run --json``."""
        facts: dict[str, Any] = {
            "run_id": self.run_id,
            "env": self.env_id,
            "search": self.search,
            "seed": self.seed,
            "evaluations": len(self.designs),
            "feasible": int(self.evaluation.feasible.sum()),
            "best": self.best,
            "best_value": self.best_value,
            "search_seconds": self.search_seconds,
            "evaluation_seconds": self.evaluation_seconds,
            "status": {s: int((self.evaluation.status == s).sum()) for s in STATUSES if s in self.evaluation.status},
        }
        if self.bound is not None:
            facts["bound"] = self.bound
        if self.best_row is None and len(self.objectives) == 1:
            facts["least_infeasible"] = self.least_infeasible
        if len(self.objectives) > 1:
            facts["pareto"] = self.pareto.to_dict("records")
            if self.reference is not None and self.reference.reference_point is not None:
                facts["hypervolume"] = self.hypervolume()
        return facts


def _registered_reference(env: str, arguments: dict[str, Any]) -> Reference | None:
    try:
        return make(env, **arguments).reference
    except ValueError:
        return None


def _free_name(name: str, group: str, frame: pd.DataFrame) -> str:
    """The output's own name, or ``group:name`` where a parameter or an earlier output has taken it."""
    return f"{group}:{name}" if name in frame.columns else name


class Log:
    """Evaluations of a running study in compact blocks; one row costs its arrays, not a Python object."""

    BLOCK = 1024

    def __init__(self) -> None:
        self._parts: list[tuple[NDArray[np.int64], Array, Evaluation, str, float | Array]] = []
        self._blocks: list[tuple[NDArray[np.int64], Array, Evaluation, NDArray[np.object_], Array]] = []

    def append(
        self,
        orders: NDArray[np.int64],
        designs: Array,
        evaluation: Evaluation,
        worker: str,
        finished: Array | None = None,
    ) -> None:
        """Add n rows evaluated by one worker; ``finished``: (n,) seconds since 1970, by default now."""
        self._parts.append((orders, designs, evaluation, worker, time.time() if finished is None else finished))
        if len(self._parts) >= self.BLOCK:
            self._merge()

    def _merge(self) -> None:
        orders, designs, evaluations, workers, finished = zip(*self._parts, strict=True)
        names = np.repeat(np.array(workers, dtype=object), [len(o) for o in orders])
        times = np.concatenate([np.broadcast_to(t, len(o)) for t, o in zip(finished, orders, strict=True)])
        self._blocks.append(
            (np.concatenate(orders), np.concatenate(designs), Evaluation.concatenate(evaluations), names, times)
        )
        self._parts.clear()

    def columns(
        self, dim: int, m: int, k: int
    ) -> tuple[NDArray[np.int64], Array, Evaluation, NDArray[np.object_], Array]:
        """(n,) orders, (n, d) designs, Evaluation, (n,) workers and times of everything so far, sorted by order."""
        if self._parts:
            self._merge()
        if not self._blocks:
            nothing = Evaluation(np.empty((0, m)), np.empty((0, k)))
            return np.empty(0, dtype=np.int64), np.empty((0, dim)), nothing, np.empty(0, dtype=object), np.empty(0)
        orders, designs, evaluations, workers, finished = zip(*self._blocks, strict=True)
        all_orders = np.concatenate(orders)
        evaluation = Evaluation.concatenate(evaluations)
        block = (all_orders, np.concatenate(designs), evaluation, np.concatenate(workers), np.concatenate(finished))
        self._blocks = [block]
        rank = np.argsort(all_orders)
        if np.array_equal(rank, np.arange(len(rank))):
            return block
        return all_orders[rank], block[1][rank], evaluation[rank], block[3][rank], block[4][rank]


def seconds_since_1970(times: NDArray[np.object_]) -> Array:
    """(n,) ISO 8601 texts with a time zone -> (n,) seconds; "" -> NaN."""
    return np.array([datetime.fromisoformat(t).timestamp() if t else np.nan for t in times], dtype=np.float64)
