"""The writer of a sweep, without Ray: what is entered together, once, and in which order."""

import asyncio
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from ray.exceptions import RayTaskError

from designopt import DesignSpace, Evaluation, Objective, Real
from designopt.executors import Finished
from designopt.runs import Ask, Batch
from designopt.store import RunInfo, Store, StoreConflict, StoreError
from designopt.sweep.writer import RemoteStore, Writer

INFO = RunInfo(
    env="Bowl",
    env_arguments={},
    space=DesignSpace(x=Real(0, 1)),
    objectives=(Objective("f"),),
    constraints=(),
    backend="random",
    hyperparameters={},
    seed=0,
    sweep="night",
)


def batch(run_id, first, n=1, value=0.5):
    designs = np.full((n, 1), value)
    part = Finished(np.arange(first, first + n), designs, Evaluation(designs), "node-0/serial (1)")
    return Batch(run_id, [Ask(first, n, first, n)], [part], first)


@pytest.fixture
def url(tmp_path):
    with Store(tmp_path / "runs.db") as store:
        store.plan_runs([(INFO, "one"), (replace(INFO, seed=1), "two")])
    return str(tmp_path / "runs.db")


@pytest.fixture
def writer(url):
    writer = Writer(url)
    yield writer
    writer.close()


def record(writer, *batches):
    """What became of batches that arrive at the same time: None, or the error."""

    async def together():
        return await asyncio.gather(*map(writer.record, batches), return_exceptions=True)

    return asyncio.run(together())


def test_batches_that_arrive_together_are_entered_in_one_transaction(writer, monkeypatch):
    calls = []
    record_all = writer._store.record_all
    monkeypatch.setattr(writer._store, "record_all", lambda batches: (calls.append(len(batches)), record_all(batches)))
    assert record(writer, batch("one", 0, 3), batch("two", 0)) == [None, None]
    assert record(writer, batch("one", 3)) == [None]
    assert calls == [2, 1]
    assert writer.recorded() == 5
    assert [writer.count(name) for name in ("one", "two")] == [4, 1]
    assert writer.load("one").sequence.tolist() == [0, 1, 2, 3]


def test_a_batch_that_is_sent_again_is_entered_once(url, writer):
    assert record(writer, batch("one", 0), batch("one", 0)) == [None, None]
    again = Writer(url)  # the first one died before it could answer
    assert record(again, batch("one", 0)) == [None]
    assert record(again, batch("one", 1)) == [None]
    assert again.load("one").orders.tolist() == [0, 1]
    again.close()


@pytest.mark.parametrize("late", [batch("one", 0, value=0.25), batch("one", 2), batch("one", 0, 2)])
def test_a_batch_of_a_study_that_another_process_has_continued_is_refused(writer, late):
    assert record(writer, batch("one", 0)) == [None]
    refused, accepted = record(writer, late, batch("two", 0))
    assert isinstance(refused, StoreConflict)
    assert "run one is being continued by another process" in str(refused)
    assert accepted is None
    assert (writer.count("one"), writer.count("two")) == (1, 1)


def test_an_error_of_one_batch_does_not_reach_those_that_came_with_it(writer):
    broken = batch("gone", 0)
    error, accepted = record(writer, broken, batch("two", 0))
    assert isinstance(error, StoreError)
    assert "unknown run 'gone'" in str(error)
    assert accepted is None
    assert writer.count("two") == 1


def test_runs_begin_and_end_through_the_writer(url, writer):
    writer.restart_run("one", {"budget": 7})
    with Store(url, read_only=True) as store:
        assert (store.run("one").state, store.run("one").budget) == ("running", 7)
        writer.finish_run("one", {"state": "failed", "error": "no power", "search_seconds": 2.0})
        run = store.run("one")
        assert (run.state, run.error, run.search_seconds) == ("failed", "no power", 2.0)


class Actor:
    """Stands in for the writer's actor: answers when the test says so."""

    def __init__(self):
        self.answers = []
        self.record = self.count = self

    def remote(self, *_):
        self.answers.append(Future())
        return SimpleNamespace(future=lambda future=self.answers[-1]: future)


def test_one_batch_is_on_its_way_while_the_next_is_evaluated():
    actor = Actor()
    store = RemoteStore(actor, "runs.db")
    store.record("one", [], [], 0)  # returns though nothing has answered
    with ThreadPoolExecutor(1) as second:
        waiting = second.submit(store.record, "one", [], [], 1)
        with pytest.raises(TimeoutError):
            waiting.result(timeout=0.1)
        assert len(actor.answers) == 1  # the second is not even sent: batches of a run stay in order
        actor.answers[0].set_result(None)
        waiting.result(timeout=10)
    assert len(actor.answers) == 2


@pytest.mark.parametrize("then", ["record", "count", "close"])
def test_an_error_of_the_writer_is_raised_at_the_next_call_whichever_it_is(then):
    actor = Actor()
    store = RemoteStore(actor, "runs.db")
    store.record("one", [], [], 0)
    error = RayTaskError("record", "traceback", StoreConflict("run one is being continued by another process"))
    actor.answers[0].set_exception(error)
    calls = {
        "record": lambda: store.record("one", [], [], 1),
        "count": lambda: store.count("one"),
        "close": store.close,
    }
    with pytest.raises(StoreConflict, match="run one"):
        calls[then]()
    assert len(actor.answers) == 1
    store.close()  # said once
