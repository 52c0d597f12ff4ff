"""Executors with workers: who gets which designs, and what becomes of those that a worker did not survive."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike

from designopt.env import DesignEnv
from designopt.evaluation import Evaluation
from designopt.executors.base import Executor, Finished, Pace
from designopt.parameters import Array

START_ATTEMPTS = 3
CLOSE_SECONDS = 20.0


@dataclass
class Trouble:
    """Designs sent to a worker came to nothing: ``status`` is ``timeout``, ``failed`` (memory limit) or ``lost``."""

    status: str
    error: str
    seconds: float


class WorkerDiedError(Exception):
    """A worker died while starting; another one may do better."""


class Worker(Protocol):
    """One evaluator somewhere else; blocking calls, made from one thread of the driver except for ``close``."""

    name: str

    @property
    def alive(self) -> bool:
        """Whether it can be given designs."""

    def start(self) -> None:
        """Raises WorkerDiedError, or RuntimeError when trying again is of no use."""

    def evaluate(self, designs: Array) -> Evaluation | Trouble:
        """designs: (n, d) -> n rows, or why there are none; after Trouble the worker may be dead."""

    def stop(self) -> None:
        """End the worker and everything that it started."""

    def close(self) -> None:
        """From any thread: make a call in progress return soon, and later ``start`` fail."""


def ensure_started(worker: Worker) -> None:
    """Start a worker that is not alive.

    Raises:
        RuntimeError: it died again and again, or cannot load the environment.
    """
    problems: list[str] = []
    while not worker.alive:
        if len(problems) == START_ATTEMPTS:
            raise RuntimeError(f"a worker died {len(problems)} times in a row while starting: {problems[-1]}")
        worker.stop()
        try:
            worker.start()
        except WorkerDiedError as error:
            problems.append(str(error))


@dataclass(slots=True)
class Row:
    """One submitted design."""

    order: int
    design: Array
    attempts: int = 1
    alone: bool = False  # was in a chunk that came to nothing: from now on it answers for itself only


class Schedule:
    """Submitted rows, their chunks and their retries. Every row added is settled exactly once."""

    def __init__(self, env: DesignEnv, workers: int, retries: int, pace: Pace) -> None:
        self._shape = len(env.objectives), len(env.constraints)
        self._workers = workers
        self._retries = retries
        self._queue: deque[Row] = deque()
        self.pace = pace
        self.unfinished = 0

    def add(self, orders: ArrayLike, designs: ArrayLike) -> None:
        """Rows to be evaluated: orders (n,), designs (n, d)."""
        rows = [Row(int(i), x) for i, x in zip(np.array(orders), np.array(designs, dtype=np.float64), strict=True)]
        self._queue.extend(rows)
        self.unfinished += len(rows)

    def take(self) -> list[Row]:
        """The next chunk, empty when there is none: not more than the worker's share of what is waiting."""
        rows: list[Row] = []
        size = min(self.pace.chunk, -(-len(self._queue) // self._workers))
        while self._queue and len(rows) < size and not (rows and (rows[0].alone or self._queue[0].alone)):
            rows.append(self._queue.popleft())
        return rows

    def settle(self, rows: list[Row], outcome: Evaluation | Trouble, worker: str) -> Finished | None:
        """The result of a chunk; None when its rows were put back to be tried again."""
        if isinstance(outcome, Trouble):
            if outcome.status == "timeout":
                self.pace.measured(outcome.seconds)
            if len(rows) > 1 or (outcome.status == "lost" and rows[0].attempts <= self._retries):
                for row in reversed(rows):
                    # Only a row that was alone is to blame; its neighbours in a chunk are not charged an attempt.
                    row.attempts += len(rows) == 1
                    row.alone = True
                    self._queue.appendleft(row)
                return None
            outcome = Evaluation.failure(1, *self._shape, outcome.status, outcome.error, seconds=outcome.seconds)
        else:
            self.pace.measured(float(outcome.seconds.mean()))
        outcome.attempts = np.array([row.attempts for row in rows])
        self.unfinished -= len(rows)
        designs = np.array([row.design for row in rows])
        return Finished(np.array([row.order for row in rows]), designs, outcome, worker)


class PoolExecutor(Executor):
    """One thread per worker feeds it, watches it and replaces it, also while the driver is busy searching."""

    def __init__(self, env: DesignEnv, workers: Sequence[Worker], *, timeout: float | None, retries: int) -> None:
        self.workers = len(workers)
        self._members = workers
        self._schedule = Schedule(env, self.workers, retries, Pace(timeout))
        self._changed = threading.Condition()
        self._finished: list[Finished] = []
        self._error: BaseException | None = None
        self._closed = False
        self._threads = [threading.Thread(target=self._serve, args=(worker,), daemon=True) for worker in workers]
        for thread in self._threads:
            thread.start()

    @property
    def capacity(self) -> int:
        """As many designs as workers, or two chunks for each worker when evaluations are short."""
        chunk = self._schedule.pace.chunk
        return self.workers * (1 if chunk == 1 else 2 * chunk)

    def submit(self, orders: ArrayLike, designs: ArrayLike) -> None:
        """Hand over designs (n, d) under the caller's own numbers, orders (n,)."""
        with self._changed:
            if self._closed:
                raise RuntimeError("submit after close: the executor has no workers any more")
            self._schedule.add(orders, designs)
            self._changed.notify_all()

    def wait(self, timeout: float | None = None) -> list[Finished]:
        """What has finished; blocks until there is something, or for ``timeout`` seconds. Empty when nothing is due."""
        with self._changed:
            self._changed.wait_for(lambda: self._finished or self._error or not self._schedule.unfinished, timeout)
            if self._error and not self._finished:
                raise RuntimeError(str(self._error)) from self._error
            finished, self._finished = self._finished, []
            return finished

    def close(self) -> None:
        """Stop every worker and all that it started; unfinished designs are dropped."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for worker in self._members:
            worker.close()
        deadline = time.monotonic() + CLOSE_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _serve(self, worker: Worker) -> None:
        try:
            ensure_started(worker)
            while rows := self._take():
                ensure_started(worker)
                outcome = worker.evaluate(np.array([row.design for row in rows]))
                with self._changed:
                    finished = self._schedule.settle(rows, outcome, worker.name)
                    if finished is not None:
                        self._finished.append(finished)
                    self._changed.notify_all()
        except Exception as error:  # reported by wait, in the caller's thread
            with self._changed:
                self._error = self._error or error
                self._changed.notify_all()
        finally:
            worker.stop()

    def _take(self) -> list[Row]:
        """The next chunk, waited for; empty when the executor is closed."""
        with self._changed:
            while not self._closed:
                if rows := self._schedule.take():
                    return rows
                self._changed.wait()
            return []
