"""The executor contract, the guarded call of an evaluator, and evaluation in this process."""

from __future__ import annotations

import copy
import pickle
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType, TracebackType
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from designopt.env import DesignEnv, InvalidDesign
from designopt.evaluation import Evaluation
from designopt.parameters import Array

CHUNK_SECONDS = 0.1  # short evaluations travel together for about this long: a message costs well under 1 % of it
CHUNK_ROWS = 1000


@dataclass
class Finished:
    """Designs that came back together.

    Attributes:
        orders: (n,) the numbers under which they were submitted.
        designs: (n, d).
        evaluation: n rows.
        worker: who evaluated them: ``serial``, ``process-0 (pid)`` or ``node address/actor``.
    """

    orders: NDArray[np.int64]
    designs: Array
    evaluation: Evaluation
    worker: str


class Executor(ABC):
    """Evaluates designs somewhere; results come back as they arrive, each submitted order exactly once.

    Attributes:
        workers: how many designs, or chunks of short ones, are evaluated at the same time.
        kind, limits: how ``make_executor`` is asked for the same again, as recorded with a run.
    """

    kind: str = "auto"
    workers: int = 1
    limits: Mapping[str, float | None] = MappingProxyType({})

    @property
    @abstractmethod
    def capacity(self) -> int:
        """How many designs it can usefully hold in flight; grows while evaluations prove to be short."""

    @abstractmethod
    def submit(self, orders: ArrayLike, designs: ArrayLike) -> None:
        """Hand over designs (n, d) under the caller's own numbers, orders (n,)."""

    @abstractmethod
    def wait(self, timeout: float | None = None) -> list[Finished]:
        """What has finished; blocks until there is something, or for ``timeout`` seconds. Empty when nothing is due.

        Raises:
            RuntimeError: workers cannot be started, or cannot load the environment.
        """

    def close(self) -> None:
        """Stop every worker and all that it started; unfinished designs are dropped."""
        return

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


class Pace:
    """Chunk size from measured seconds: halves its estimate at most, so chunks at most double, but shrink at once."""

    def __init__(self, timeout: float | None = None) -> None:
        self._target = CHUNK_SECONDS if timeout is None else min(CHUNK_SECONDS, timeout / 2)
        self._seconds = self._target

    def measured(self, seconds: float) -> None:
        """Seconds that one evaluation of a chunk took on average."""
        self._seconds = max(seconds, self._seconds / 2, self._target / CHUNK_ROWS)

    @property
    def chunk(self) -> int:
        """How many designs to evaluate together."""
        return max(1, int(self._target / self._seconds + 1e-9))


class SerialExecutor(Executor):
    """Evaluates in this process while ``wait`` is called, in the order of submission.

    It cannot limit time or memory. Its capacity is always 1, so that what a searcher is asked for never depends on a
    clock; larger batches are welcome all the same and are evaluated in chunks.
    """

    kind = "serial"

    def __init__(self, env: DesignEnv, name: str = "serial") -> None:
        self._env = env
        self._name = name
        self._queue: deque[tuple[NDArray[np.int64], Array]] = deque()
        self._pace = Pace()

    @property
    def capacity(self) -> int:
        """Always 1."""
        return 1

    def submit(self, orders: ArrayLike, designs: ArrayLike) -> None:
        """Hand over designs (n, d) under the caller's own numbers, orders (n,)."""
        orders = np.array(orders, dtype=np.int64)
        if len(orders):
            self._queue.append((orders, np.array(designs, dtype=np.float64)))

    def wait(self, timeout: float | None = None) -> list[Finished]:
        """Evaluate the next chunk; ``timeout`` cannot cut an evaluation short."""
        if not self._queue:
            return []
        orders, designs = self._queue.popleft()
        n = self._pace.chunk
        if len(orders) > n:
            self._queue.appendleft((orders[n:], designs[n:]))
            orders, designs = orders[:n], designs[:n]
        evaluation = evaluate_safely(self._env, designs)
        self._pace.measured(float(evaluation.seconds[0]))
        return [Finished(orders, designs, evaluation, self._name)]


def evaluate_safely(env: DesignEnv, designs: Array) -> Evaluation:
    """designs: (n, d) -> n rows, whatever the evaluator does short of killing the process.

    An exception or a result of the wrong type or shape makes a row ``failed``, InvalidDesign makes it ``invalid``. If
    it came from several designs they are evaluated again one by one, so that the blame falls on the right row.
    """
    n = len(designs)
    start = time.perf_counter()
    try:
        # Copies, for an evaluator may work in place, or keep what it returned.
        evaluation = copy.copy(_checked(env, env.evaluate(designs.copy()), n))
        evaluation.seconds = np.full(n, (time.perf_counter() - start) / n)
        return evaluation
    except InvalidDesign as reason:
        status, error = "invalid", str(reason)
    except (Exception, SystemExit) as problem:  # a simulator may raise anything, and some call sys.exit
        status, error = "failed", f"{type(problem).__name__}: {problem}"
    if n > 1:
        return Evaluation.concatenate(evaluate_safely(env, designs[i : i + 1]) for i in range(n))
    seconds = time.perf_counter() - start
    return Evaluation.failure(1, len(env.objectives), len(env.constraints), status, error, seconds=seconds)


def evaluate_packed(env: DesignEnv, designs: Array) -> bytes:
    """As ``evaluate_safely``, pickled for the way home; rows that cannot be are ``failed``."""
    try:
        return pickle.dumps(evaluate_safely(env, designs))
    except Exception as problem:
        error = f"the result cannot be sent back: {type(problem).__name__}: {problem}"
        shape = len(env.objectives), len(env.constraints)
        return pickle.dumps(Evaluation.failure(len(designs), *shape, "failed", error))


def _checked(env: DesignEnv, result: object, n: int) -> Evaluation:
    if not isinstance(result, Evaluation):
        raise TypeError(f"{env.id}.evaluate returned {type(result).__name__}; it must return an Evaluation")
    for name, got, columns in (
        ("objectives", result.objectives.shape, len(env.objectives)),
        ("constraints", result.constraints.shape, len(env.constraints)),
    ):
        if got != (n, columns):
            raise ValueError(f"{env.id}.evaluate returned {name} of shape {got}; wanted {(n, columns)}")
    return result
