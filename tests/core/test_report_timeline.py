"""Timeline: who was busy when, from the time each result was recorded and its seconds."""

import numpy as np
import pytest

import designopt as do
from designopt.report.timeline import time_unit, timeline, timeline_figure
from designopt.result import Result


def run(run_result, finished, seconds, workers=None, status=None):
    n = len(finished)
    values = np.where(np.array(status or ["ok"] * n) == "ok", 1.0, np.nan)
    result = run_result(
        values, status=status, seconds=np.array(seconds, dtype=float), finished=np.array(finished) + 1e9
    )
    if workers is not None:
        result.workers = np.array(workers, dtype=object)
    return result


def test_evaluation_began_its_seconds_before_it_was_recorded(run_result):
    t = timeline(run(run_result, [5.0, 7.0, 7.5], [5.0, 1.0, 2.5], ["a", "b", "a"]))
    assert t.workers == ["a", "b"]
    assert t.worker.tolist() == [0, 1, 0]
    assert t.start.tolist() == [0, 6, 5]
    assert t.end.tolist() == [5, 7, 7.5]
    assert t.span == 7.5
    assert t.busy.tolist() == [1, pytest.approx(1 / 7.5)]


def test_evaluations_returned_together_ran_one_after_another(run_result):
    t = timeline(run(run_result, [3.0, 3.0, 3.0], [1.0, 0.5, 1.5]))
    assert t.start.tolist() == [0, 1, 1.5]
    assert t.end.tolist() == [1, 1.5, 3]


def test_result_recorded_late_does_not_overlap_the_next_of_its_worker(run_result):
    t = timeline(run(run_result, [4.0, 5.0], [1.0, 3.0]))
    assert t.start.tolist() == [0, 1]
    assert t.end.tolist() == [1, 4]


def test_process_that_replaced_another_goes_on_in_its_lane(run_result):
    t = timeline(run(run_result, [1.0, 2.0], [1.0, 1.0], ["process-0 (17)", "process-0 (99)"]))
    assert t.workers == ["process-0"]


def test_no_timeline_without_times(run_result):
    assert timeline(run_result([1.0])) is None
    assert timeline(run(run_result, [np.nan], [1.0])) is None
    assert timeline(run_result([])) is None


def test_shares_of_a_worker_add_up_to_its_seconds(run_result):
    t = timeline(run(run_result, [1.0, 4.0, 9.0], [1.0, 2.0, 2.0]))
    edges = np.linspace(0, 9, 7)
    shares = t.shares(0, edges)
    assert shares @ np.diff(edges) == pytest.approx(5)
    assert shares[0] == pytest.approx(1 / 1.5)
    assert shares.max() <= 1


def test_bars_are_evaluations_by_status(run_result):
    result = run(run_result, [1.0, 2.0, 3.0], [1.0, 0.5, 1.0], ["a", "b", "a"], ["ok", "timeout", "ok"])
    figure = timeline_figure(result, timeline(result))
    ok, timeout = figure.data
    assert (ok.name, timeout.name) == ("ok (2)", "timeout (1)")
    assert (ok.base.tolist(), ok.x.tolist(), ok.y) == ([0, 2], [1, 1], ("a", "a"))
    assert (timeout.base.tolist(), timeout.x.tolist(), timeout.y) == ([1.5], [0.5], ("b",))
    assert ok.marker.color != timeout.marker.color
    assert timeout.hovertext == ("evaluation 2: timeout, 500 ms",)
    assert figure.layout.title.subtitle.text == "2 workers, busy 41.7 % of 3.0 s"


def test_long_run_is_aggregated_and_says_so(run_result):
    n = 5000
    status = ["failed" if i % 3 == 0 else "ok" for i in range(n)]
    result = run(run_result, np.arange(1.0, n + 1), np.full(n, 0.25), status=status)
    figure = timeline_figure(result, timeline(result))
    heat, failed = figure.data
    assert np.mean(heat.z) == pytest.approx(25, rel=0.01)
    assert failed.name == "failed (1,667)"
    assert len(failed.x) == 500
    assert "aggregated" in figure.layout.title.subtitle.text
    assert len(figure.to_json()) < 100_000


def test_many_workers_are_drawn_in_part(run_result):
    n = 100
    result = run(run_result, np.arange(1.0, n + 1), np.ones(n), [f"w{i}" for i in range(n)])
    figure = timeline_figure(result, timeline(result))
    assert len(set(figure.data[0].y)) == 40
    assert figure.layout.title.subtitle.text.startswith("100 workers, busy 1 % of 1 min 40 s, the first 40 of them")


@pytest.mark.parametrize(("span", "unit"), [(0.1, "s"), (180, "s"), (181, "min"), (10801, "h")])
def test_time_is_told_in_a_unit_that_reads_well(span, unit):
    assert time_unit(span)[1] == unit


def test_run_and_its_record_have_the_same_timeline(tmp_path):
    env = do.make("designopt/WeldedBeam-v0")
    result = do.optimize(env, search="random", budget=30, seed=0, store=tmp_path / "s.db")
    with do.Store(tmp_path / "s.db", read_only=True) as store:
        stored = Result.from_run(store.load(result.run_id))
    own, recorded = timeline(result), timeline(stored)
    assert own.workers == recorded.workers == ["serial"]
    assert np.diff(own.start).min() >= 0
    assert own.span == pytest.approx(recorded.span, abs=0.1)
    assert (own.end - own.start).sum() == pytest.approx(result.evaluation_seconds, abs=1e-4)


def test_resumed_run_keeps_the_times_of_before(tmp_path):
    do.optimize("designopt/WeldedBeam-v0", search="random", budget=5, seed=0, store=tmp_path / "s.db")
    with do.Store(tmp_path / "s.db", read_only=True) as store:
        (run,) = store.runs()
        before = Result.from_run(store.load(run.id)).finished
    result = do.resume(tmp_path / "s.db", run.id, budget=8)
    assert result.finished[:5].tolist() == before.tolist()
    assert (result.finished[5:] > before.max()).all()
