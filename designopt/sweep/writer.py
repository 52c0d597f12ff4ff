"""The one process that writes an SQLite store, and the store as studies elsewhere on the cluster see it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from designopt.runs import Ask, Batch, LoadedRun
from designopt.store import Store, StoreConflict, StoreError

if TYPE_CHECKING:
    from designopt.executors import Finished


class Writer:
    """What runs inside the writing actor. All calls that arrived during one transaction share the next.

    Ray repeats a call whose answer was lost with a writer that died; then a batch may be in the store already.
    """

    def __init__(self, url: str) -> None:
        self._store = Store(url)
        self._told: dict[str, int] = {}
        self._queue: list[tuple[Batch, asyncio.Future[None]]] = []
        self._recorded = 0

    async def record(self, batch: Batch) -> None:
        """Enter a batch; when this returns it is on disk."""
        entered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append((batch, entered))
        await asyncio.sleep(0)  # others that have arrived get into the queue as well
        queue, self._queue = self._queue, []
        self._enter(queue)
        await entered

    def _enter(self, queue: list[tuple[Batch, asyncio.Future[None]]]) -> None:
        fresh = []
        for batch, entered in queue:
            try:
                if self._is_next(batch):
                    fresh.append((batch, entered))
                else:
                    entered.set_result(None)
            except StoreError as error:
                entered.set_exception(error)
        try:
            if fresh:
                self._store.record_all([batch for batch, _ in fresh])
        except StoreError as error:
            if len(fresh) == 1:
                fresh[0][1].set_exception(error)
                return
            for one in fresh:  # only who is to blame shall hear of it
                self._enter([one])
            return
        for batch, entered in fresh:
            n = sum(len(part.orders) for part in batch.finished)
            self._told[batch.run_id] += n
            self._recorded += n
            entered.set_result(None)

    def _is_next(self, batch: Batch) -> bool:
        """Whether a batch follows on what the run holds; False when the run holds it already.

        Raises:
            StoreConflict: it does neither: another process has continued the run.
        """
        if batch.run_id not in self._told:
            self._told[batch.run_id] = self._store.count(batch.run_id)
        if batch.sequence == self._told[batch.run_id]:
            return True
        orders = np.concatenate([part.orders for part in batch.finished])
        designs = np.concatenate([part.designs for part in batch.finished])
        run = self._store.load(batch.run_id)
        rows = np.argsort(run.sequence)[batch.sequence :]
        if not np.array_equal(run.orders[rows], orders) or not np.array_equal(run.designs[rows], designs):
            raise StoreConflict(f"{self._store.url}: run {batch.run_id} is being continued by another process")
        return False

    def load(self, run_id: str) -> LoadedRun:
        """A run with all its evaluations."""
        return self._store.load(run_id)

    def count(self, run_id: str) -> int:
        """How many evaluations of a run are recorded."""
        return self._store.count(run_id)

    def restart_run(self, run_id: str, changes: dict[str, Any]) -> None:
        """As of Store."""
        self._store.restart_run(run_id, **changes)

    def finish_run(self, run_id: str, end: dict[str, Any]) -> None:
        """As of Store."""
        self._store.finish_run(run_id, **end)
        self._told.pop(run_id, None)

    def recorded(self) -> int:
        """How many evaluations this writer has entered."""
        return self._recorded

    def close(self) -> None:
        """Close the store."""
        self._store.close()


def start_writer(url: str) -> Any:
    """The writing actor, on this node, for here is the file; it is started again whenever it dies."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    options = {"num_cpus": 0, "max_restarts": -1, "max_task_retries": -1, "scheduling_strategy": here}
    return ray.remote(Writer).options(**options).remote(url)


class RemoteStore:
    """A store that passes on to the writer; every call but ``record`` returns when the writer has done it."""

    def __init__(self, writer: Any, url: str) -> None:
        self._writer = writer
        self.url = url
        self._recording: Any = None

    def record(self, run_id: str, asks: Iterable[Ask], finished: Iterable[Finished], sequence: int) -> None:
        """As of Store, but one batch is on its way while the next is evaluated: all earlier ones are safe.

        What became of it, an error included, is known at the next call of any method.
        """
        self._settle()
        self._recording = self._writer.record.remote(Batch(run_id, list(asks), list(finished), sequence))

    def load(self, run_id: str) -> LoadedRun:
        """As of Store."""
        loaded: LoadedRun = self._call("load", run_id)
        return loaded

    def count(self, run_id: str) -> int:
        """As of Store."""
        return int(self._call("count", run_id))

    def restart_run(self, run_id: str, **changes: Any) -> None:
        """As of Store."""
        self._call("restart_run", run_id, changes)

    def finish_run(self, run_id: str, state: str, *, error: str = "", search_seconds: float = 0.0) -> None:
        """As of Store."""
        self._call("finish_run", run_id, {"state": state, "error": error, "search_seconds": search_seconds})

    def recorded(self) -> int:
        """How many evaluations the writer has entered."""
        return int(self._call("recorded"))

    def close(self) -> None:
        """Wait for what is on its way; the writer stays open for other studies."""
        self._settle()

    def _call(self, method: str, *arguments: Any) -> Any:
        self._settle()
        return _answer_or_error(getattr(self._writer, method).remote(*arguments))

    def _settle(self) -> None:
        recording, self._recording = self._recording, None
        if recording is not None:
            _answer_or_error(recording)


def _answer_or_error(reference: Any) -> Any:
    """Raises StoreError as the writer met it."""
    import ray

    try:
        return answer(reference)
    except ray.exceptions.RayTaskError as error:
        raise error.cause from None


def answer(reference: Any) -> Any:
    """As ``ray.get``, without giving away the caller's CPU meanwhile.

    A task that waits in ``ray.get`` lends its CPU to the next task in the queue, and a study waits after every result:
    soon there would be many more studies at once than CPUs, each in a process of its own.
    """
    return reference.future().result()
