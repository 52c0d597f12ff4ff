"""Running a plan on Ray: one task per study, and what to do when a task dies."""

from __future__ import annotations

import dataclasses
import os
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from designopt.executors.process import pack
from designopt.executors.ray_executor import first_line, join
from designopt.result import Result
from designopt.store import Store, StoreConflict
from designopt.sweep.halving import start_halving
from designopt.sweep.plan import Plan, Planned, read_plan
from designopt.sweep.result import SweepResult
from designopt.sweep.worker import Common, Outcome, run_study
from designopt.sweep.writer import RemoteStore, start_writer

POLL_SECONDS = 0.5
IN_FLIGHT = 1000  # tasks that Ray is given at a time; the rest of a large sweep waits here as a list
DEATHS = 3  # of a study's worker in a row without a new result: then something in the study is to blame

Progress = Callable[[list[Outcome], int], None]
"""Called every half second with the studies that have ended since, and the evaluations recorded in this run so far."""


def sweep(
    plan: Plan | str | os.PathLike[str] | Mapping[str, Any],
    *,
    store: str | None = None,
    address: str | None = None,
    cpus: int | None = None,
    progress: Progress | None = None,
) -> SweepResult:
    """Run every study of a sweep that is not finished, as many at once as the cluster has room for.

    A study that was begun goes on from its record; one that is finished is left alone. An exception in one study ends
    that study only. When a worker or node dies, its studies go on elsewhere.

    Args:
        plan: a file FILE.toml or FILE.yaml, or the same as a mapping (docs/sweep.md lists its keys), or a Plan.
        store: path or URL, in place of the one in the plan.
        address: of a running Ray cluster, "auto" or HOST:PORT; default is the environment variable RAY_ADDRESS, and
            without it a Ray on this machine. A Ray that is already initialised is used as it is.
        cpus: of the Ray on this machine; default: all.
        progress: called while the sweep runs.

    Raises:
        ValueError: something in the plan is wrong, or the cluster can never run it; said in one line.
        StoreError: the store cannot be used.
    """
    import ray

    read = plan if isinstance(plan, Plan) else read_plan(plan, store)
    waiting, ended = enter(read)
    if progress is not None:
        progress(list(ended.values()), 0)
    address = address or os.environ.get("RAY_ADDRESS")
    owns_ray = bool(waiting) and not ray.is_initialized()
    try:
        if owns_ray:
            join(address, cpus=cpus or os.cpu_count() or 1)
        if waiting:
            _check_room(read, may_grow=not owns_ray or address is not None)
            with _Runner(read) as runner:
                for outcomes, evaluations in runner.run(waiting):
                    ended |= {outcome.run_id: outcome for outcome in outcomes}
                    if progress is not None:
                        progress(outcomes, evaluations)
    finally:
        if owns_ray:
            ray.shutdown()
    return SweepResult(read, ended)


def enter(plan: Plan) -> tuple[list[Planned], dict[str, Outcome]]:
    """Enter the new studies of a plan into its store -> those to be run, and what became of the others."""
    with Store(plan.store) as store:
        known = {run.id: run for run in store.runs(plan.name)}
        store.plan_runs((s.info, s.run_id) for s in plan.studies if s.run_id not in known)
        waiting, ended = [], {}
        for study in plan.studies:
            run = known.get(study.run_id)
            if run is not None and run.configuration != study.info.configuration:
                store.label_run(run.id, study.info.configuration)
            if run is None or run.state not in ("finished", "stopped") or run.budget != study.info.budget:
                waiting.append(study)
            else:
                best = Result.from_run(store.load(run.id)).best_value
                ended[run.id] = Outcome(run.id, run.state, run.evaluations, best)
    return waiting, ended


def _check_room(plan: Plan, may_grow: bool) -> None:
    """Complain when no node has what one study reserves; a cluster that may grow gets it perhaps.

    Raises:
        ValueError: it never will.
    """
    import ray

    wanted = {"CPU": plan.resources["num_cpus"], "GPU": plan.resources["num_gpus"]}
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if any(all(node.get(name, 0) >= n for name, n in wanted.items()) for node in nodes):
        return
    have = ", ".join(f"{max(node.get(name, 0) for node in nodes):g} {name}" for name in wanted)
    problem = (
        f"sweep {plan.name}: [resources] reserves {wanted['CPU']:g} CPU and {wanted['GPU']:g} GPU for a study, but no "
        f"node has them; there are at most {have} on one"
    )
    if not may_grow:
        raise ValueError(problem)
    warnings.warn(f"{problem}; waiting for a node that does", stacklevel=3)


@dataclass
class _Attempt:
    """A study in the hands of Ray.

    Attributes:
        evaluations: recorded when this attempt began.
        deaths: of its worker in a row without a new result.
        guarded: its evaluator runs in a process of its own.
    """

    study: Planned
    evaluations: int
    deaths: int
    guarded: bool


class _Runner:
    """Gives studies to Ray and takes in what becomes of them; closing it ends whatever still runs."""

    def __init__(self, plan: Plan) -> None:
        import ray

        self._plan = plan
        self._payloads = [ray.put(pack(env)) for env in plan.envs]
        url, self._writer = _shared_store(plan.store)
        self._store: Store | RemoteStore = Store(url) if self._writer is None else RemoteStore(self._writer, url)
        judge = None if plan.asha is None else start_halving(plan.asha)
        self._common = ray.put(Common(url, self._writer, plan.limits, plan.asha, judge))
        self._task = ray.remote(run_study).options(max_retries=0, **plan.resources)
        self._running: dict[Any, _Attempt] = {}
        self._evaluations = 0

    def __enter__(self) -> _Runner:
        return self

    def __exit__(self, *_: object) -> None:
        import ray

        for reference in self._running:
            ray.cancel(reference, force=True)
        if self._writer is not None:
            ray.get(self._writer.close.remote())
            ray.kill(self._writer)
        self._store.close()

    def run(self, studies: Iterable[Planned]) -> Iterable[tuple[list[Outcome], int]]:
        """Run studies to their end -> again and again: those that have ended, and the evaluations recorded so far."""
        import ray

        queue = deque(studies)
        while queue or self._running:
            while queue and len(self._running) < IN_FLIGHT:
                study = queue.popleft()
                self._submit(_Attempt(study, -1, 0, self._plan.limits.guarded))
            ready, _ = ray.wait(list(self._running), num_returns=1, timeout=POLL_SECONDS)
            if ready:  # all that is ready, not only the first
                ready, _ = ray.wait(list(self._running), num_returns=len(self._running), timeout=0)
            outcomes = [self._settle(reference) for reference in ready]
            yield [outcome for outcome in outcomes if outcome is not None], self._progress(outcomes)

    def _submit(self, attempt: _Attempt) -> None:
        study = attempt.study
        reference = self._task.remote(study, self._payloads[study.env], self._common, attempt.guarded)
        self._running[reference] = attempt

    def _settle(self, reference: Any) -> Outcome | None:
        """What became of an attempt; None when its study was submitted again."""
        import ray

        attempt = self._running.pop(reference)
        run_id = attempt.study.run_id
        try:
            outcome: Outcome = ray.get(reference)
            return outcome
        except ray.exceptions.RayTaskError as error:
            if not isinstance(error.cause, StoreConflict):  # such as a module that the node does not have
                return self._fail(run_id, f"{type(error.cause).__name__}: {error.cause}")
            reason = str(error.cause)
        except ray.exceptions.RayError as error:  # the worker or its node is gone
            reason = first_line(error)
        evaluations = self._store.count(run_id)
        deaths = attempt.deaths + 1 if evaluations == attempt.evaluations else 1
        if deaths < DEATHS:
            self._submit(dataclasses.replace(attempt, evaluations=evaluations, deaths=deaths))
        elif not attempt.guarded:
            self._submit(_Attempt(attempt.study, evaluations, 0, guarded=True))
        else:
            return self._fail(run_id, f"its worker died {deaths} times in a row without a new result: {reason}")
        return None

    def _fail(self, run_id: str, error: str) -> Outcome:
        self._store.finish_run(run_id, "failed", error=error)
        return Outcome(run_id, "failed", self._store.count(run_id), None, error)

    def _progress(self, outcomes: list[Outcome | None]) -> int:
        if isinstance(self._store, RemoteStore):
            self._evaluations = max(self._evaluations, self._store.recorded())
        else:
            self._evaluations += sum(outcome.evaluations for outcome in outcomes if outcome is not None)
        return self._evaluations


def _shared_store(url: str) -> tuple[str, Any]:
    """The store's URL as workers elsewhere can use it, and the actor that writes it (None for a database server)."""
    with Store(url) as store:
        if store.engine.dialect.name != "sqlite":
            return url, None
        path = str(Path(store.engine.url.database or "").resolve())
    return path, start_writer(path)
