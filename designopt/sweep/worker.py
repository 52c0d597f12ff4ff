"""One study of a sweep, inside a Ray task: from where its record ends to its budget."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import cloudpickle

from designopt.executors import Executor, ProcessExecutor, SerialExecutor
from designopt.executors.ray_executor import node_name
from designopt.launch import make_searcher
from designopt.store import Store, StoreConflict
from designopt.study import Study
from designopt.sweep.halving import rungs
from designopt.sweep.plan import Asha, Limits, Planned
from designopt.sweep.writer import RemoteStore


@dataclass(frozen=True)
class Outcome:
    """What became of a study.

    Attributes:
        run_id: its run in the store.
        state: ``finished``, ``stopped`` (early, as hopeless) or ``failed``.
        evaluations: how many are recorded.
        best_value: objective of the best feasible design; None without one, or with several objectives.
        error: why it failed.
    """

    run_id: str
    state: str
    evaluations: int
    best_value: float | None
    error: str = ""


@dataclass(frozen=True)
class Common:
    """What all studies of a sweep are given.

    Attributes:
        url: of a store that every worker opens itself; empty when ``writer`` does the writing.
        writer: the writing actor, or None.
        judge: the judging actor, or None.
    """

    url: str
    writer: Any
    limits: Limits
    asha: Asha | None
    judge: Any

    def store(self) -> Store | RemoteStore:
        """The store as it is reached from here."""
        return Store(self.url) if self.writer is None else RemoteStore(self.writer, self.url)


def run_study(planned: Planned, payload: bytes, common: Common, guarded: bool) -> Outcome:
    """Run a planned study to its end.

    Args:
        planned: the study.
        payload: its environment, cloudpickled.
        common: what all studies share.
        guarded: evaluate in a process of its own, so that a crash costs one design and not this worker.

    Raises:
        StoreConflict: another process has continued the run meanwhile.
    """
    store = common.store()
    try:
        study = _study(planned, payload, common, guarded, store)
    except Exception as error:  # of this study alone: the others go on
        text = f"{type(error).__name__}: {error}"
        store.finish_run(planned.run_id, "failed", error=text)
        return Outcome(planned.run_id, "failed", store.count(planned.run_id), None, text)
    try:
        result = study.run()
        return Outcome(study.run_id, study.end, study.told, result.best_value)
    except StoreConflict:
        raise
    except Exception as error:  # the study has written it to the store
        return Outcome(study.run_id, "failed", study.told, study.result.best_value, f"{type(error).__name__}: {error}")
    finally:
        store.close()


def _study(planned: Planned, payload: bytes, common: Common, guarded: bool, store: Store | RemoteStore) -> Study:
    """The study, brought to where its record ends."""
    info = planned.info
    env = cloudpickle.loads(payload)
    searcher = make_searcher(env, info.backend, seed=info.seed, **info.hyperparameters)
    study = Study(
        env,
        searcher,
        budget=info.budget or 0,
        batch=info.batch,
        seconds=info.seconds,
        executor=_executor(env, common.limits, guarded),
        store=store,
        resumed=store.load(planned.run_id),
    )
    if common.asha is not None:
        callback = rungs(common.asha, planned.env, common.judge)
        callback(study, study.result.evaluation)
        study.callbacks = (callback,)
    return study


def _executor(env: Any, limits: Limits, guarded: bool) -> Executor:
    if not guarded:
        return SerialExecutor(env, f"{node_name()}/serial ({os.getpid()})")
    return ProcessExecutor(
        env,
        timeout=limits.timeout,
        memory_mb=limits.memory_mb,
        retries=limits.retries,
        name=f"{node_name()}/process",
        shielded=True,
    )
