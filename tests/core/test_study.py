import threading

import numpy as np
import pandas as pd
import pytest

import designopt as do
from designopt.executors import Executor, Finished, SerialExecutor, evaluate_safely
from designopt.launch import make_searcher, resumed_study

SPACE = do.DesignSpace(
    width=do.Real(0.0, 1.0, unit="m"), bolts=do.Integer(1, 8), material=do.Categorical(["steel", "al"])
)


def bracket(calls=None, fail=lambda design: False):
    @do.design_env(SPACE, minimize=["mass"], constraints={"stress": "<= 2"}, units={"mass": "kg"})
    def bracket(width, bolts, material):
        design = (width, bolts, material)
        if calls is not None:
            calls.append(design)
        if fail(design):
            raise RuntimeError("no mesh")
        return {"mass": width * bolts, "stress": 1 / (width + 0.1)}

    return bracket


class Recorder(do.Searcher):
    """Random search that notes every call."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.asks, self.tells, self.limit = [], [], 10**9

    def ask(self, n, pending):
        self.asks.append((n, len(pending)))
        return self.space.sample(min(n, self.limit), self.rng)

    def tell(self, designs, evaluation):
        self.tells.append(len(designs))


class Backwards(Executor):
    """Returns one result at a time, the newest submission first."""

    def __init__(self, env, workers=3):
        self.env, self.workers, self.queue, self.closed = env, workers, [], False

    @property
    def capacity(self):
        return self.workers

    def submit(self, orders, designs):
        self.queue += list(zip(orders.tolist(), designs, strict=True))

    def wait(self, timeout=None):
        order, design = self.queue.pop()
        return [Finished(np.array([order]), design[None], evaluate_safely(self.env, design[None]), "w")]

    def close(self):
        self.closed = True


def test_optimize_finds_the_optimum_of_a_small_problem():
    result = do.optimize(bracket(), search="random", budget=400, seed=3)
    assert result.best["bolts"] == 1
    assert result.best["width"] == pytest.approx(0.4, abs=0.05)
    assert result.best_value == pytest.approx(result.best["width"])
    assert len(result.designs) == 400


def test_the_whole_budget_is_spent_and_nothing_else():
    calls = []
    result = do.optimize(bracket(calls), search="random", budget=17, batch=5)
    assert len(calls) == len(result.designs) == 17
    assert result.orders.tolist() == list(range(17))


def test_equal_seeds_give_equal_runs_and_other_seeds_other_runs():
    runs = [do.optimize(bracket(), search="random", budget=9, seed=seed).designs for seed in (1, 1, 2)]
    assert np.array_equal(runs[0], runs[1])
    assert not np.array_equal(runs[0], runs[2])


def test_batches_are_asked_for_as_given_and_the_last_is_cut():
    env = bracket()
    searcher = Recorder(env)
    do.Study(env, searcher, budget=8, batch=3).run()
    assert [n for n, _ in searcher.asks] == [3, 3, 2]
    assert sum(searcher.tells) == 8


def test_the_searchers_own_batch_is_the_default():
    env = bracket()
    searcher = Recorder(env)
    searcher.batch = 4
    do.Study(env, searcher, budget=8).run()
    assert searcher.asks == [(4, 0), (4, 0)]


def test_there_is_no_barrier_and_pending_designs_are_shown():
    env = bracket()
    searcher = Recorder(env)
    executor = Backwards(env, workers=3)
    result = do.Study(env, searcher, budget=6, executor=executor).run()
    assert searcher.asks == [(3, 0), (1, 2), (1, 2), (1, 2)]
    assert result.orders.tolist() == [0, 1, 2, 3, 4, 5]
    assert np.array_equal(result.evaluation.objectives, env.evaluate(result.designs).objectives)
    assert executor.closed


def test_short_evaluations_keep_chunking_workers_supplied():
    class Chunking(Backwards):
        capacity = 10

    env = bracket()
    searcher = Recorder(env)
    searcher.batch = None
    do.Study(env, searcher, budget=20, executor=Chunking(env, workers=2)).run()
    assert searcher.asks[:3] == [(10, 0), (6, 4), (4, 4)]
    searcher = Recorder(env)
    do.Study(env, searcher, budget=20, executor=Chunking(env, workers=2)).run()
    assert searcher.asks[:3] == [(2, 0), (1, 1), (1, 1)]


def test_a_search_with_nothing_more_to_ask_ends_the_study():
    env = bracket()
    searcher = Recorder(env)
    searcher.limit = 0
    assert len(do.Study(env, searcher, budget=5).run().designs) == 0


def test_failed_evaluations_are_kept_and_told_but_never_best():
    env = bracket(fail=lambda design: design[1] <= 2)
    searcher = Recorder(env)
    result = do.Study(env, searcher, budget=40, batch=10).run()
    failed = result.evaluation.status == "failed"
    assert failed.any()
    assert (failed == (result.designs[:, 1] <= 2)).all()
    assert sum(searcher.tells) == 40
    assert result.best["bolts"] >= 3


def test_nothing_feasible_gives_no_best_but_the_least_infeasible():
    env = bracket()
    env = do.design_env(SPACE, minimize=["mass"], constraints={"stress": "<= 0.5"})(env.function)
    result = do.optimize(env, search="random", budget=50)
    assert result.best is None
    assert result.best_value is None
    assert result.least_infeasible["width"] == result.designs[:, 0].max()
    assert result.summary()["least_infeasible"] == result.least_infeasible
    assert len(result.pareto) == 0


def test_all_failed_gives_neither():
    result = do.optimize(bracket(fail=lambda design: True), search="random", budget=3)
    assert result.best is None
    assert result.least_infeasible is None
    assert result.summary()["status"] == {"failed": 3}


def test_maximised_objectives_keep_their_sign():
    env = do.design_env(SPACE, maximize=["life"])(lambda width, bolts, material: {"life": 10 + width})
    result = do.optimize(env, search="random", budget=30)
    assert result.best_value == result.evaluation.objectives.max()
    assert result.best["width"] == result.designs[:, 0].max()


def test_several_objectives_give_a_front_and_its_hypervolume():
    env = do.design_env(SPACE, minimize=["a"], maximize=["b"])(
        lambda width, bolts, material: {"a": width, "b": width * bolts}
    )
    result = do.optimize(env, search="nsga2", budget=60, seed=0)
    assert result.best is None
    front = result.pareto
    assert list(front.columns) == ["width", "bolts", "material", "a", "b"]
    for _, row in front.iterrows():
        better = (result.frame["a"] <= row["a"]) & (result.frame["b"] >= row["b"])
        assert not (better & ((result.frame["a"] < row["a"]) | (result.frame["b"] > row["b"]))).any()
    assert 0 < result.hypervolume((1.0, 0.0)) <= 8
    with pytest.raises(ValueError, match="has no reference point"):
        result.hypervolume()


def test_the_table_has_everything_under_clear_names():
    space = do.DesignSpace(mass=do.Real(0, 1), x=do.Real(0, 1))
    env = do.design_env(space, minimize=["mass"], constraints={"status": "<= 1"})(
        lambda mass, x: {"mass": x, "status": mass}
    )
    frame = do.optimize(env, search="random", budget=4).frame
    assert isinstance(frame, pd.DataFrame)
    assert list(frame.columns[:4]) == ["mass", "x", "objective:mass", "status"]
    assert "run:status" in frame
    assert (frame["objective:mass"] == frame["x"]).all()
    assert frame["order"].tolist() == [0, 1, 2, 3]
    assert (frame["worker"] == "serial").all()


def test_many_single_evaluations_are_kept_in_order():
    result = do.optimize(bracket(), search="random", budget=3000, batch=1)
    assert result.orders.tolist() == list(range(3000))
    assert np.array_equal(result.evaluation.objectives[:, 0], result.designs[:, 0] * result.designs[:, 1])


def test_callbacks_see_every_result_and_can_stop():
    seen = []

    def callback(study, evaluation):
        seen.append(len(evaluation))
        if study.told >= 5:
            study.stop()

    result = do.optimize(bracket(), search="random", budget=100, batch=1, callbacks=[callback])
    assert sum(seen) == len(result.designs) == 5


def test_the_time_limit_ends_the_study_and_gives_up_what_is_in_flight():
    env = bracket()
    hold = threading.Event()

    class Slow(SerialExecutor):
        def wait(self, timeout=None):
            assert timeout is not None
            if env_calls["n"] >= 2:
                hold.wait(timeout)
                return []
            env_calls["n"] += 1
            return super().wait(timeout)

    env_calls = {"n": 0}
    result = do.Study(env, Recorder(env), budget=100, batch=1, seconds=0.5, executor=Slow(env)).run()
    assert len(result.designs) == 2


def test_a_study_can_be_stepped_by_hand():
    env = bracket()
    with do.Study(env, make_searcher(env, "random"), budget=3, batch=1) as study:
        study.step()
        assert (study.asked, study.told, study.done) == (1, 1, False)
        assert len(study.result.designs) == 1
        study.step()
        study.step()
        assert study.done
        study.step()
        assert study.told == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"budget": 0}, "budget = 0; it must be positive"),
        ({"budget": -3}, "budget = -3"),
        ({"batch": 0}, "batch = 0"),
        ({"seconds": 0}, "seconds = 0"),
        ({"workers": 0}, "workers = 0"),
        ({"search": "rndom"}, "unknown backend 'rndom'; did you mean 'random'"),
        ({"env": "designopt/Beam-v0"}, "unknown environment 'designopt/Beam-v0'"),
        ({"colour": 3}, "RandomSearch has no hyper-parameter 'colour'"),
        ({"executor": "cloud"}, "cloud"),
    ],
)
def test_bad_arguments_are_named_in_one_line(arguments, message):
    options = {"env": bracket(), "search": "random", "budget": 5} | arguments
    with pytest.raises(ValueError, match=message) as raised:
        do.optimize(**options)
    assert "\n" not in str(raised.value)


def test_a_single_objective_search_refuses_several_objectives():
    env = do.design_env(SPACE, minimize=["a", "b"])(lambda **_: {"a": 1, "b": 2})
    with pytest.raises(ValueError, match="searches one objective; <lambda> has 2: a, b"):
        do.optimize(env, search="local", budget=3)


def test_an_asked_design_outside_the_space_is_refused():
    class Outside(do.Searcher):
        def ask(self, n, pending):
            return np.full((n, self.space.dim), 99.0)

    with pytest.raises(ValueError, match="width = 99 is not allowed"):
        do.optimize(bracket(), search=Outside, budget=3)


# Store and resume ------------------------------------------------------------------------------------------------


class Killed(BaseException):
    """Stands for the death of the process: nothing after it runs but `finally`."""


def interrupted(store, search, told, budget=30, **options):
    """A run that dies after so many results; -> its id."""
    env = bracket()

    def die(study, evaluation):
        if study.told >= told:
            raise Killed

    study = do.Study(
        env,
        make_searcher(env, search, seed=5),
        budget=budget,
        store=store,
        callbacks=[die],
        **{name: option(env) if callable(option) else option for name, option in options.items()},
    )

    def run():
        while not study.done:
            study.step()

    with pytest.raises(Killed):
        run()
    return study.run_id


def uninterrupted(search, budget=30, **options):
    env = bracket()
    options = {name: option(env) if callable(option) else option for name, option in options.items()}
    return do.Study(env, make_searcher(env, search, seed=5), budget=budget, **options).run()


@pytest.mark.parametrize("search", ["random", "sobol", "local", "ga", "de", "nsga2", "tpe", "cmaes"])
@pytest.mark.parametrize(("told", "batch"), [(1, 1), (13, 1), (14, 7), (29, 1)])
def test_a_resumed_run_is_the_uninterrupted_one(tmp_path, search, told, batch):
    store = tmp_path / "runs.db"
    run_id = interrupted(store, search, told, batch=batch)
    calls = []
    result = do.resume(store, run_id, env=bracket(calls))
    whole = uninterrupted(search, batch=batch)
    assert np.array_equal(result.designs, whole.designs)
    assert np.array_equal(result.evaluation.objectives, whole.evaluation.objectives)
    assert len(calls) == 30 - told
    assert result.orders.tolist() == list(range(30))


@pytest.mark.parametrize("search", ["gp", "scbo"])
def test_a_resumed_model_based_run_is_the_uninterrupted_one(tmp_path, search):
    store = tmp_path / "runs.db"
    run_id = interrupted(store, search, 10, budget=13)
    calls = []
    result = do.resume(store, run_id, env=bracket(calls))
    assert len(calls) == 3
    assert np.array_equal(result.designs, uninterrupted(search, 13).designs)


def test_an_asynchronous_run_resumes_with_what_was_in_flight(tmp_path):
    store = tmp_path / "runs.db"
    run_id = interrupted(store, "random", 7, executor=Backwards)
    with do.Store(store) as opened:
        recorded = opened.load(run_id)
    missing = sorted(set(range(max(recorded.orders) + 1)) - set(recorded.orders.tolist()))
    assert missing, "the newest came back first, so older ones are still in flight"
    calls = []
    study = resumed_study(store, run_id, env=bracket(calls), workers=1)
    assert len(calls) == 0
    result = study.run()
    assert result.orders.tolist() == list(range(30))
    whole = uninterrupted("random")
    assert np.array_equal(result.designs, whole.designs)
    first = [dict(zip(SPACE.names, c, strict=True)) for c in calls[: len(missing)]]
    assert first == SPACE.decode(whole.designs[missing])


def test_a_memoryless_searcher_is_not_asked_again(tmp_path):
    class Memoryless(Recorder):
        memoryless = True

        def ask(self, n, pending):
            self.asks.append((n, len(pending)))
            return self.space.sample(n, np.random.default_rng([self.seed, sum(self.tells) + len(pending)]))

    env = bracket()
    store = do.Store(tmp_path / "runs.db")
    do.Study(env, Memoryless(env, seed=1), budget=4, store=store).run()
    run = store.load(store.runs()[0].id)
    searcher = Memoryless(env, seed=1)
    result = do.Study(env, searcher, budget=6, store=store, resumed=run).run()
    assert searcher.asks == [(1, 0), (1, 0)]
    whole = do.Study(env, Memoryless(env, seed=1), budget=6).run()
    assert np.array_equal(result.designs, whole.designs)


def test_a_finished_run_can_be_given_a_larger_budget(tmp_path):
    store = tmp_path / "runs.db"
    first = do.optimize(bracket(), search="random", budget=10, seed=5, store=store, batch=1)
    calls = []
    result = do.resume(store, first.run_id, env=bracket(calls), budget=15)
    assert len(calls) == 5
    assert np.array_equal(result.designs, uninterrupted("random", 15, batch=1).designs)
    again = do.resume(store, first.run_id, env=bracket(calls))
    assert len(calls) == 5
    assert len(again.designs) == 15


def test_a_search_that_has_changed_continues_from_the_recorded_history_with_a_warning(tmp_path):
    store = tmp_path / "runs.db"
    env = bracket()
    do.Study(env, Recorder(env, seed=1), budget=4, store=store, batch=1).run()
    with do.Store(store) as opened:
        run = opened.load(opened.runs()[0].id)
        with pytest.warns(UserWarning, match="proposes other designs than were recorded"):
            study = do.Study(env, Recorder(env, seed=2), budget=6, store=opened, resumed=run)
        result = study.run()
    assert np.array_equal(result.designs[:4], run.designs)
    assert len(result.designs) == 6


def test_resume_names_what_is_missing_or_different(tmp_path):
    store = tmp_path / "runs.db"
    run_id = interrupted(store, "random", 3)
    with pytest.raises(ValueError, match=r"unknown environment 'bracket'.*pass the environment"):
        do.resume(store, run_id)
    other = do.design_env(do.DesignSpace(x=do.Real(0, 1)), minimize=["mass"])(lambda x: {"mass": x})
    with pytest.raises(ValueError, match="has another space, objectives or constraints"):
        do.resume(store, run_id, env=other)
    with pytest.raises(do.StoreError, match="unknown run 'nothing'"):
        do.resume(store, "nothing")
    with pytest.raises(do.StoreError):
        do.resume(tmp_path / "mistyped.db", run_id)
    assert not (tmp_path / "mistyped.db").exists()


def test_the_store_says_how_a_run_ended(tmp_path):
    store = do.Store(tmp_path / "runs.db")
    env = bracket()
    do.optimize(env, search="random", budget=2, store=store)

    def raising(error):
        def callback(study, evaluation):
            raise error

        return callback

    with pytest.raises(RuntimeError, match="boom"):
        do.optimize(env, search="random", budget=2, store=store, callbacks=[raising(RuntimeError("boom"))])
    with pytest.raises(KeyboardInterrupt):
        do.optimize(env, search="random", budget=2, store=store, callbacks=[raising(KeyboardInterrupt())])
    runs = store.runs()
    assert sorted(run.state for run in runs) == ["failed", "finished", "interrupted"]
    assert [run.error for run in runs if run.state == "failed"] == ["RuntimeError: boom"]
    assert all(run.evaluations >= 1 for run in runs)


def test_a_stored_run_gives_the_same_result_object(tmp_path):
    from designopt.result import Result

    store = do.Store(tmp_path / "runs.db")
    result = do.optimize("designopt/WeldedBeam-v0", search="random", budget=20, store=store)
    again = Result.from_run(store.load(result.run_id))
    assert again.best == result.best
    assert again.best_value == result.best_value
    assert again.reference == result.reference
    assert again.search_seconds > 0
    pd.testing.assert_frame_equal(again.frame, result.frame)


def test_arguments_of_the_environment_are_recorded_and_used_on_resume(tmp_path):
    store = do.Store(tmp_path / "runs.db")
    result = do.optimize(do.make("designopt/Ackley-v0", dim=4), search="random", budget=3, store=store, batch=1)
    assert do.resume(store, result.run_id, budget=5).designs.shape == (5, 4)


@pytest.mark.parametrize("arguments", [{"budget": 0}, {"budget": 3, "store": "missing/runs.db"}])
def test_a_study_that_cannot_start_leaves_no_workers(arguments):
    env = bracket()
    executor = Backwards(env)
    with pytest.raises((ValueError, do.StoreError)):
        do.Study(env, Recorder(env), executor=executor, **arguments)
    assert executor.closed


def test_an_unwritable_store_is_refused_before_anything_is_evaluated(tmp_path):
    calls = []
    with pytest.raises(do.StoreError):
        do.optimize(bracket(calls), search="random", budget=3, store=tmp_path / "missing" / "runs.db")
    with pytest.raises(do.StoreError):
        do.optimize(bracket(calls), search="random", budget=3, store=tmp_path)
    assert calls == []
