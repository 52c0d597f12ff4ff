"""Starting a study by names and plain arguments, and continuing a stored one."""

from __future__ import annotations

from collections.abc import Iterable
from os import PathLike
from typing import Any

from designopt.env import DesignEnv
from designopt.executors import make_executor
from designopt.registry import backend, make
from designopt.result import Result
from designopt.runs import LoadedRun
from designopt.searcher import Searcher, make_config
from designopt.store import Store
from designopt.study import Callback, Study


def optimize(
    env: DesignEnv | str,
    search: str | type[Searcher] = "gp",
    budget: int = 60,
    *,
    batch: int | None = None,
    seconds: float | None = None,
    seed: int = 0,
    workers: int = 1,
    store: Store | str | PathLike[str] | None = None,
    device: str = "auto",
    executor: str = "auto",
    timeout: float | None = None,
    memory_mb: float | None = None,
    retries: int = 2,
    address: str | None = None,
    callbacks: Iterable[Callback] = (),
    **hyperparameters: Any,
) -> Result:
    """Search an environment for its best design.

    Args:
        env: a DesignEnv, or the id of a registered one.
        search: name of a backend, or a Searcher class.
        budget: evaluations to spend.
        batch: designs asked for at once; default: the backend's own.
        seconds: wall-clock limit.
        seed: same seed, versions and worker count give the same run when evaluation is serial.
        workers: evaluations at the same time.
        store: path or URL of a store that records every evaluation.
        device: "auto", "cpu" or "cuda", for backends that use torch.
        executor: "serial", "process" or "ray"; "auto" takes the simplest that can do what is asked.
        timeout: wall seconds that one evaluation may take; then the simulator and its children are killed.
        memory_mb: resident memory that an evaluation may take, enforced likewise.
        retries: how often a design is tried again after its worker died.
        address: of a Ray cluster to join.
        callbacks: see Study.
        hyperparameters: of the backend.

    Raises:
        ValueError: an argument or hyper-parameter that is unknown or out of range, named in one line.
    """
    env = make(env) if isinstance(env, str) else env
    searcher = make_searcher(env, search, seed=seed, device=device, **hyperparameters)
    limits: dict[str, Any] = {"timeout": timeout, "memory_mb": memory_mb, "retries": retries, "address": address}
    runner = make_executor(env, workers=workers, kind=executor, **limits)
    study = Study(
        env, searcher, budget=budget, batch=batch, seconds=seconds, executor=runner, store=store, callbacks=callbacks
    )
    return study.run()


def make_searcher(
    env: DesignEnv, search: str | type[Searcher], *, seed: int = 0, device: str = "auto", **hyperparameters: Any
) -> Searcher:
    """A searcher by backend name (or class) with checked hyper-parameters."""
    kind = backend(search) if isinstance(search, str) else search
    searcher = kind(env, make_config(kind, hyperparameters), seed=seed, device=device)
    searcher.name = search if isinstance(search, str) else ""
    return searcher


def resume(store: Store | str | PathLike[str], run_id: str, **changes: Any) -> Result:
    """Continue a stored run after a crash, an interruption, or with a larger budget.

    Nothing recorded is evaluated again; what was in flight is. Arguments: see ``resumed_study``.
    """
    return resumed_study(store, run_id, **changes).run()


def resumed_study(
    store: Store | str | PathLike[str],
    run_id: str,
    *,
    env: DesignEnv | None = None,
    budget: int | None = None,
    seconds: float | None = None,
    workers: int | None = None,
    device: str = "auto",
    address: str | None = None,
    callbacks: Iterable[Callback] = (),
) -> Study:
    """The study of a stored run, brought to where its record ends; what is not given is as recorded.

    Args:
        store: where the run is recorded.
        run_id: id of the run, or a unique beginning of it.
        env: needed when the run's environment is not a registered one (a ``design_env`` function, say).
        budget: evaluations in all, those recorded included.
        seconds: wall-clock limit from now on.
        workers: evaluations at the same time.
        device: for backends that use torch.
        address: of a Ray cluster to join.
        callbacks: see Study.

    Raises:
        StoreError: no such run.
        ValueError: the environment is not the recorded one, or is needed and not given.
    """
    if isinstance(store, Store):
        run = store.load(run_id)
    else:
        with Store(store, read_only=True) as opened:  # a mistyped name must not leave an empty store behind
            run = opened.load(run_id)
    info = run.info
    env = _recorded_env(run) if env is None else env
    if env.design_space != info.space or env.objectives != info.objectives or env.constraints != info.constraints:
        raise ValueError(f"run {info.id} was made on {info.env}; {env.id} has another space, objectives or constraints")
    searcher = make_searcher(env, info.backend, seed=info.seed, device=device, **info.hyperparameters)
    workers = workers or info.workers
    kind = "ray" if address else info.executor if workers == info.workers else "auto"
    runner = make_executor(env, workers=workers, kind=kind, address=address, **info.limits)
    return Study(
        env,
        searcher,
        budget=budget or info.budget or len(run.orders),
        batch=info.batch,
        seconds=seconds,
        executor=runner,
        store=store,
        callbacks=callbacks,
        resumed=run,
    )


def _recorded_env(run: LoadedRun) -> DesignEnv:
    try:
        return make(run.info.env, **run.info.env_arguments)
    except ValueError as error:
        raise ValueError(f"run {run.info.id}: {error}; pass the environment: resume(..., env=...)") from None
