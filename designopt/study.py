"""The loop: ask -> evaluate -> record -> tell, with budget, executor, store and callbacks."""

from __future__ import annotations

import dataclasses
import secrets
import time
import warnings
from collections.abc import Callable, Iterable
from os import PathLike
from types import TracebackType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from designopt.env import DesignEnv
from designopt.evaluation import Evaluation
from designopt.executors import Executor, Finished, make_executor
from designopt.nas import Supernet
from designopt.offline import tell_offline_data
from designopt.parameters import Array
from designopt.result import Log, Result, seconds_since_1970
from designopt.runs import Ask, LoadedRun, RunInfo
from designopt.searcher import Searcher
from designopt.store import Store

Callback = Callable[["Study", Evaluation], None]


class Recorder(Protocol):
    """What a study that goes on needs of a store: ``Store`` itself, or one who passes everything on to it."""

    url: str

    def restart_run(self, run_id: str, **changes: Any) -> None:
        """As of Store."""

    def record(self, run_id: str, asks: Iterable[Ask], finished: Iterable[Finished], sequence: int) -> None:
        """As of Store: when it returns, the results are safe, or on their way to where they are."""

    def finish_run(self, run_id: str, state: str, *, error: str = "", search_seconds: float = 0.0) -> None:
        """As of Store."""

    def close(self) -> None:
        """As of Store."""


class Study:
    """One environment, one searcher, one budget.

    An environment that offers ``OfflineData`` has the searcher told of it first; that costs no budget.

    ``run`` goes to the end; ``step`` asks as long as workers are free and takes in what has arrived, for loops of
    one's own. As a context manager the study closes its executor and marks the run in the store.

    Args:
        env: the design environment.
        searcher: the search backend, bound to the same environment.
        budget: evaluations to spend.
        batch: designs asked for at once; default: the searcher's own.
        seconds: wall-clock limit; evaluations still in flight when it passes are given up.
        executor: evaluates designs; default: in this process. The study closes it.
        store: records every evaluation before the searcher is told; a Store (or another Recorder), a path or a URL.
        callbacks: called as ``callback(study, evaluation)`` for every batch of results; may call ``study.stop()``.

    Raises:
        ValueError: a budget, batch or time limit that is not positive.
        StoreError: the store cannot be written; raised before anything is evaluated.
    """

    def __init__(
        self,
        env: DesignEnv,
        searcher: Searcher,
        *,
        budget: int,
        batch: int | None = None,
        seconds: float | None = None,
        executor: Executor | None = None,
        store: Recorder | str | PathLike[str] | None = None,
        callbacks: Iterable[Callback] = (),
        resumed: LoadedRun | None = None,
    ) -> None:
        self.env = env
        self.searcher = searcher
        self.budget = budget
        self.batch = batch
        self.seconds = seconds
        self.executor = make_executor(env) if executor is None else executor
        self._owns_store = isinstance(store, str | PathLike)
        self.store: Recorder | None = None
        self.callbacks = tuple(callbacks)
        self.search_seconds = 0.0
        self.asked = 0
        self.told = 0
        self._log = Log()
        self._pending: dict[int, Array] = {}
        self._unwritten: list[Ask] = []
        self._exhausted = self._stopped = False
        self.end = "finished"
        self._deadline = float("inf") if seconds is None else time.monotonic() + seconds
        searcher.deadline = self._deadline
        try:
            self._check_limits()
            tell_offline_data(env, searcher)
            self.store = Store(store) if isinstance(store, str | PathLike) else store
            self.run_id = self._open_run(resumed)
        except BaseException:
            self.executor.close()  # its workers are running already
            raise

    def _check_limits(self) -> None:
        for name, value in (("budget", self.budget), ("batch", self.batch), ("seconds", self.seconds)):
            if value is not None and not value > 0:
                raise ValueError(f"{name} = {value}; it must be positive")

    def _open_run(self, resumed: LoadedRun | None) -> str:
        if resumed is not None:
            assert self.store is not None, "only a stored run can be resumed"
            self.store.restart_run(resumed.info.id, budget=self.budget, batch=self.batch, seconds=self.seconds)
            self.search_seconds = resumed.info.search_seconds
            self._replay(resumed)
            return resumed.info.id
        if self.store is None:
            return f"{self.env.id.split('/')[-1].lower()}-{secrets.token_hex(3)}"
        assert isinstance(self.store, Store), "a run begins in a store itself"
        return self.store.create_run(
            RunInfo(
                env=self.env.id,
                env_arguments=self._env_arguments(),
                space=self.env.design_space,
                objectives=self.env.objectives,
                constraints=self.env.constraints,
                backend=self.search,
                hyperparameters=dataclasses.asdict(self.searcher.config),
                seed=self.searcher.seed,
                budget=self.budget,
                batch=self.batch,
                seconds=self.seconds,
                workers=self.executor.workers,
                executor=self.executor.kind,
                limits=dict(self.executor.limits),
            )
        )

    def _env_arguments(self) -> dict[str, Any]:
        return dict(self.env.spec.kwargs) if self.env.spec is not None else {}

    @property
    def search(self) -> str:
        """Name of the backend: the registered one, or the class name of a searcher from elsewhere."""
        return self.searcher.name or type(self.searcher).__name__

    # Resume -----------------------------------------------------------------------------------------------------

    def _replay(self, run: LoadedRun) -> None:
        """Bring a fresh searcher to where the recorded run stopped: its asks and tells again, in recorded order.

        A memoryless searcher is only told. What was asked but never recorded stays pending and is submitted first.
        """
        row_of = {int(order): row for row, order in enumerate(run.orders)}
        replay_order = np.argsort(run.sequence)
        differs = False
        for ask in run.asks:
            self._tell_rows(run, replay_order[self.told : ask.told_before])
            orders = range(ask.first, ask.first + ask.n)
            missing = [order for order in orders if order not in row_of]
            if missing or not self.searcher.memoryless:
                designs = self.searcher.ask(ask.wanted, self._pending_designs())[: ask.n]
            else:
                designs = run.designs[[row_of[order] for order in orders]]
            for order, design in zip(orders, designs, strict=False):
                recorded = run.designs[row_of[order]] if order in row_of else design
                differs |= not np.array_equal(recorded, design)
                self._pending[order] = recorded
            self.asked = ask.first + ask.n
        self._tell_rows(run, replay_order[self.told :])
        if differs:
            warnings.warn(
                f"run {run.info.id}: the search now proposes other designs than were recorded (another version or "
                "machine?); it continues from the recorded history",
                stacklevel=2,
            )
        if self._pending:
            self.executor.submit(np.array(list(self._pending)), self._pending_designs())

    def _tell_rows(self, run: LoadedRun, rows: NDArray[np.int64]) -> None:
        if not len(rows):
            return
        evaluation = run.evaluation[rows]
        finished = seconds_since_1970(run.finished[rows])
        for worker in dict.fromkeys(run.workers[rows]):
            own = run.workers[rows] == worker
            self._log.append(run.orders[rows][own], run.designs[rows][own], evaluation[own], worker, finished[own])
        for order in run.orders[rows]:
            self._pending.pop(int(order), None)
        self.told += len(rows)
        self.searcher.tell(run.designs[rows], evaluation)

    # The loop ---------------------------------------------------------------------------------------------------

    @property
    def done(self) -> bool:
        """Whether the budget is told, the time is over, the search has nothing more to ask, or ``stop`` was called."""
        return (
            self._stopped
            or self.told >= self.budget
            or time.monotonic() >= self._deadline
            or (self._exhausted and not self._pending)
        )

    def stop(self, state: str = "finished") -> None:
        """End the run after the results at hand, in that state; what is in flight is given up."""
        self._stopped, self.end = True, state

    def run(self) -> Result:
        """Run to the end and close.

        Raises:
            Exception: whatever the searcher, the store or a callback raises; evaluations so far are in the store.
        """
        with self:
            while not self.done:
                self.step()
        return self.result

    def step(self) -> None:
        """Ask while workers are free, then take in what has arrived (waiting for at least one result)."""
        while self._wants_more():
            self._ask()
        if not self._pending:
            return
        left = self._deadline - time.monotonic()
        finished = self.executor.wait(None if left == float("inf") else max(left, 0.0))
        if finished:
            self._receive(finished)

    def _wants_more(self) -> bool:
        if self._exhausted or self.asked >= self.budget:
            return False
        # A search without a batch of its own keeps workers supplied that evaluate in chunks; others are asked as late
        # as no worker is idle, so that they know as much as can be known.
        as_many_as_can_be = self.batch is None and self.searcher.batch is None
        enough = max(self.executor.workers, self.executor.capacity // 2 if as_many_as_can_be else 0)
        return not self._pending or len(self._pending) < enough

    def _ask(self) -> None:
        free = max(1, self.executor.workers - len(self._pending))
        own = self.searcher.batch or self.executor.capacity - len(self._pending)
        wanted = min(self.batch or max(own, free), self.budget - self.asked)
        started = time.perf_counter()
        designs = self.env.design_space.validate(self.searcher.ask(wanted, self._pending_designs()))[:wanted]
        self.search_seconds += time.perf_counter() - started
        if not len(designs):
            self._exhausted = True
            return
        orders = np.arange(self.asked, self.asked + len(designs))
        self._unwritten.append(Ask(first=self.asked, n=len(designs), told_before=self.told, wanted=wanted))
        self._pending.update(zip(orders.tolist(), designs, strict=True))
        self.asked += len(designs)
        self.executor.submit(orders, designs)

    def _pending_designs(self) -> Array:
        if not self._pending:
            return np.empty((0, self.env.design_space.dim))
        return np.stack(list(self._pending.values()))

    def _receive(self, finished: list[Finished]) -> None:
        """Record first, then tell: what a searcher has seen is never missing from the store for longer than a step."""
        if self.store is not None:
            self.store.record(self.run_id, self._unwritten, finished, self.told)
            self._unwritten = []
        for part in finished:
            self._log.append(part.orders, part.designs, part.evaluation, part.worker)
            for order in part.orders.tolist():
                del self._pending[order]
            self.told += len(part.orders)
            started = time.perf_counter()
            self.searcher.tell(part.designs, part.evaluation)
            self.search_seconds += time.perf_counter() - started
        for callback in self.callbacks:
            for part in finished:
                callback(self, part.evaluation)

    # End --------------------------------------------------------------------------------------------------------

    @property
    def result(self) -> Result:
        """Everything evaluated so far."""
        from designopt.provenance import command_line, versions

        m, k = len(self.env.objectives), len(self.env.constraints)
        orders, designs, evaluation, workers, finished = self._log.columns(self.env.design_space.dim, m, k)
        return Result(
            env_id=self.env.id,
            space=self.env.design_space,
            objectives=self.env.objectives,
            constraints=self.env.constraints,
            reference=self.env.reference,
            designs=designs,
            evaluation=evaluation,
            orders=orders,
            workers=workers,
            search=self.search,
            config=dataclasses.asdict(self.searcher.config),
            seed=self.searcher.seed,
            run_id=self.run_id,
            search_seconds=self.search_seconds,
            bound=self.searcher.bound,
            trace=self.searcher.trace,
            choices=self.env.choice_names() if isinstance(self.env, Supernet) else {},
            command=command_line(),
            versions=versions(),
            finished=finished,
        )

    def close(self, state: str = "finished", error: str = "") -> None:
        """Stop the workers and mark the run in the store."""
        self.executor.close()
        if self.store is not None:
            self.store.finish_run(self.run_id, state, error=error, search_seconds=self.search_seconds)
            if self._owns_store:
                self.store.close()

    def __enter__(self) -> Study:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close(self.end)
            return
        state = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
        try:
            self.close(state, error=f"{type(error).__name__}: {error}")
        except Exception as second:  # the first error is the one to show
            error.add_note(f"while closing the run: {second}")
