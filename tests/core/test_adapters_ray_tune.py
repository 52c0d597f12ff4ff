"""Search backends as search algorithms of Ray Tune."""

import json
import math
import threading

import numpy as np
import pytest
from ray import cloudpickle
from ray.tune.search import ConcurrencyLimiter
from ray.tune.utils import flatten_dict

from designopt import (
    Categorical,
    DesignSpace,
    Evaluation,
    Integer,
    InvalidDesign,
    Ordinal,
    Real,
    Searcher,
    Sequence,
    design_env,
)
from designopt.adapters import TuneSearcher, to_tune

SPACE = DesignSpace(
    rate=Real(1e-5, 1.0, log=True),
    layers=Integer(1, 4),
    width=Ordinal([16, 32, 128]),
    kind=Categorical(["relu", "tanh"]),
    motif=Sequence("AB", 2),
)


@design_env(
    DesignSpace(x=Real(0, 1), kind=Categorical(["a", "b"])),
    minimize=["mass"],
    maximize=["life"],
    constraints={"stress": "<= 2", "mass": ">= 0.125"},
)
def part(x, kind):
    if x > 0.75:
        raise InvalidDesign("overlap")
    return {"mass": x, "life": 1 - x + (kind == "b"), "stress": 3 * x, "cost": 4 * x}


class Witness(Searcher):
    """Random search that keeps what it was told and what was pending."""

    multi_objective = True
    made: list["Witness"]

    def __init__(self, env, config=None, *, seed=0, device="cpu"):
        super().__init__(env, config, seed=seed, device=device)
        self.told, self.pending, self.unpicklable = [], [], threading.Lock()
        Witness.made.append(self)

    def ask(self, n, pending):
        self.pending.append(pending.tolist())
        return self.space.sample(n, self.rng)

    def tell(self, designs, evaluation):
        self.told.append((designs, evaluation))


@pytest.fixture
def made():
    Witness.made = []
    return Witness.made


def loss_of(config):
    return math.log(config["rate"]) ** 2 + config["layers"] + (config["kind"] == "relu")


def test_configs_hold_values_a_training_function_reads():
    config = TuneSearcher("random", SPACE, metric="loss", mode="min").suggest("t0")
    assert SPACE.contains(SPACE.encode([config])).all()
    assert {type(v) for v in config.values()} == {float, int, str}
    assert config["kind"] in ("relu", "tanh")
    assert len(config["motif"]) == 2


def test_what_an_environment_knows_beforehand_is_told_first(made):
    class Known(type(part)):
        def offline_data(self, seed=None):
            designs = self.design_space.sample(5, 0)
            return designs, self.evaluate(designs)

    env = Known.__new__(Known)
    env.__dict__.update(part.__dict__)
    TuneSearcher(Witness, env)
    assert len(made[0].told) == 1
    assert len(made[0].told[0][0]) == 5


@pytest.mark.parametrize(("mode", "loss"), [("min", 1), ("max", -1)])
def test_results_are_told_with_the_sense_of_the_mode(made, mode, loss):
    searcher = TuneSearcher(Witness, SPACE, metric="score", mode=mode)
    config = searcher.suggest("t0")
    searcher.on_trial_complete("t0", {"score": 2.5, "training_iteration": 3})
    designs, evaluation = made[0].told[0]
    assert SPACE.decode(designs) == [config]
    assert evaluation.losses(made[0].objectives).tolist() == [[2.5 * loss]]


def test_an_environment_is_reported_by_name_in_its_own_sign(made):
    searcher = TuneSearcher(Witness, part, device="cuda")
    assert made[0].device == "cuda"
    assert (searcher.metric, searcher.mode) == (["mass", "life"], ["min", "max"])
    config = searcher.suggest("t0")
    searcher.on_trial_complete("t0", {"mass": 1.0, "life": 2.0, "constraints/stress": 0.25, "constraints/mass": -1})
    designs, evaluation = made[0].told[0]
    assert part.design_space.decode(designs) == [config]
    assert evaluation.objectives.tolist() == [[1, 2]]
    assert evaluation.constraints.tolist() == [[0.25, -1]]
    assert evaluation.losses(part.objectives).tolist() == [[1, -2]]


def test_trials_without_a_result_are_told_as_failed_and_nan_as_invalid(made):
    searcher = TuneSearcher(Witness, SPACE, metric="loss", mode="min")
    for trial in "abcd":
        searcher.suggest(trial)
    searcher.on_trial_complete("a", error=True)
    searcher.on_trial_complete("b", {"done": True})
    searcher.on_trial_complete("c", {"loss": math.nan})
    searcher.on_trial_complete("d", {"loss": 1.0}, error=True)
    assert [e.status[0] for _, e in made[0].told] == ["failed", "failed", "invalid", "failed"]
    assert made[0].told[0][1].errors[0] == "trial a ended without a result"


def test_a_result_that_lacks_a_number_names_it():
    searcher = TuneSearcher(Witness, part)
    searcher.suggest("t0")
    with pytest.raises(ValueError, match="did not report 'constraints/mass'; wanted: 'mass', 'life', 'constraints/str"):
        searcher.on_trial_complete("t0", {"mass": 1.0, "life": 2.0, "constraints/stress": 1.0})


def test_running_trials_are_pending_until_they_end(made):
    searcher = TuneSearcher(Witness, SPACE, metric="loss", mode="min")
    designs = [SPACE.encode([searcher.suggest(trial)])[0].tolist() for trial in "abc"]
    searcher.on_trial_complete("b", {"loss": 0.0})
    searcher.on_trial_complete("b", {"loss": 9.0})
    searcher.on_trial_complete("stranger", {"loss": 9.0})
    searcher.suggest("d")
    assert made[0].pending == [[], designs[:1], designs[:2], [designs[0], designs[2]]]
    assert len(made[0].told) == 1


@pytest.mark.parametrize("backend", ["ga", "sobol", "tpe"])
def test_a_restored_search_goes_on_as_if_it_had_not_stopped(backend, tmp_path):
    def run(searcher, trials):
        configs = []
        for trial in trials:
            configs.append(searcher.suggest(f"t{trial}"))
            if trial >= 2:  # three run at a time
                loss = {"loss": loss_of(configs[-1])} if trial % 5 else None
                searcher.on_trial_complete(f"t{trial - 2}", loss)
        return configs

    straight, first, second = (TuneSearcher(backend, SPACE, metric="loss", mode="min", seed=s) for s in (3, 3, 8))
    expected = run(straight, range(40))
    run(first, range(25))
    first.save_to_dir(str(tmp_path))
    (checkpoint,) = tmp_path.iterdir()
    assert checkpoint.suffix == ".json"
    assert len(json.loads(checkpoint.read_text())["events"]) == 25 + 23
    second.restore_from_dir(str(tmp_path))
    assert run(second, range(25, 40)) == expected[25:]


def test_a_memoryless_backend_is_restored_by_telling_alone(made, tmp_path):
    class Memoryless(Witness):
        memoryless = True

    searcher = TuneSearcher(Memoryless, part)
    config = searcher.suggest("a")
    waiting = searcher.suggest("b")
    searcher.on_trial_complete("a", {"mass": math.inf, "life": 2.0, "constraints/stress": 0.25, "constraints/mass": -1})
    searcher.save(str(tmp_path / "state.json"))
    searcher.suggest("after the save")
    searcher.restore(str(tmp_path / "state.json"))
    assert made[-1].pending == []
    ((designs, evaluation),) = made[-1].told
    assert part.design_space.decode(designs) == [config]
    assert evaluation.status.tolist() == ["invalid"]
    assert evaluation.constraints.tolist() == [[0.25, -1]]
    searcher.suggest("c")
    assert made[-1].pending == [part.design_space.encode([waiting]).tolist()]


def test_a_checkpoint_of_another_space_is_refused(tmp_path):
    TuneSearcher("random", part.design_space, metric="loss", mode="min").save(str(tmp_path / "state.json"))
    with pytest.raises(ValueError, match=r"is of a search over \['x', 'kind'\]"):
        TuneSearcher("random", SPACE, metric="loss", mode="min").restore(str(tmp_path / "state.json"))


@pytest.mark.parametrize("backend", ["ga", Witness])
def test_a_pickled_search_goes_on_as_if_it_had_not_been(made, backend):
    searcher, copy = (TuneSearcher(backend, SPACE, metric="loss", mode="min") for _ in range(2))
    for s in (searcher, copy):
        s.on_trial_complete("t0", {"loss": loss_of(s.suggest("t0"))})
    copy = cloudpickle.loads(cloudpickle.dumps(copy))
    assert copy.suggest("t1") == searcher.suggest("t1")


def test_concurrency_limiter_holds_suggestions_back(made):
    limited = ConcurrencyLimiter(TuneSearcher(Witness, SPACE, metric="loss", mode="min"), max_concurrent=2)
    assert limited.suggest("a")
    assert limited.suggest("b")
    assert limited.suggest("c") is None
    limited.on_trial_complete("a", {"loss": 1.0})
    assert limited.suggest("c")
    assert [len(p) for p in made[0].pending] == [0, 1, 1]


@pytest.mark.parametrize(
    ("problem", "kwargs", "message"),
    [
        (SPACE, {}, "needs metric= and mode="),
        (SPACE, {"metric": ["a", "b"], "mode": ["min"]}, "must go together"),
        (SPACE, {"metric": "a", "mode": "least"}, "sense = 'least'"),
        (part, {"metric": "mass", "mode": "min"}, "follow from the objectives of part"),
        (SPACE, {"metric": "a", "mode": "min", "populaton": 9}, "did you mean 'population'"),
    ],
)
def test_what_cannot_be_searched_is_refused_at_once(problem, kwargs, message):
    with pytest.raises(ValueError, match=message):
        TuneSearcher("ga", problem, **kwargs)


def test_a_single_objective_backend_refuses_several():
    with pytest.raises(ValueError, match="GASearch searches one objective; part has 2"):
        TuneSearcher("ga", part)
    assert TuneSearcher("nsga2", SPACE, metric=["a", "b"], mode=["min", "max"]).metric == ["a", "b"]


@pytest.fixture
def reports(monkeypatch):
    """What a trainable reports, without a cluster."""
    from ray import tune

    reports = []
    monkeypatch.setattr(tune, "report", reports.append)
    return reports


def test_a_trainable_reports_what_the_searcher_reads(made, reports):
    train, searcher = to_tune(part), TuneSearcher(Witness, part)
    config = searcher.suggest("t0") | {"x": 0.5, "kind": "b", "trial_setting": 1}
    train(config)
    assert reports == [
        {"mass": 0.5, "life": 1.5, "stress": 1.5, "cost": 2.0, "constraints": {"stress": -0.5, "mass": -0.375}}
    ]
    assert train.__name__ == "part"
    searcher.on_trial_complete("t0", flatten_dict(reports[0]))
    assert made[0].told[0][1].feasible.tolist() == [True]


def test_a_trainable_reports_nan_for_an_invalid_design(made, reports):
    to_tune(part)({"x": 0.8, "kind": "a"})
    searcher = TuneSearcher(Witness, part)
    searcher.suggest("t0")
    searcher.on_trial_complete("t0", flatten_dict(reports[0]))
    assert made[0].told[0][1].status.tolist() == ["invalid"]


def test_a_trainable_reports_no_value_that_came_with_an_invalid_design(reports):
    class Half(type(part)):
        def evaluate(self, designs):
            return Evaluation([[1.0, 2.0]], [[-1.0, -1.0]], status=["invalid"])

    to_tune(Half(part.function, part.design_space, part.objectives, part.limits, False))({"x": 0.5, "kind": "a"})
    assert np.isnan([*flatten_dict(reports[0]).values()]).all()


def test_a_trainable_raises_what_failed():
    class Dead(type(part)):
        def evaluate(self, designs):
            return Evaluation.failure(1, 2, 2, "timeout", "no answer in 9 s")

    dead = Dead(part.function, part.design_space, part.objectives, part.limits, False)
    with pytest.raises(RuntimeError, match="part: timeout: no answer in 9 s"):
        to_tune(dead)({"x": 0.5, "kind": "a"})


@pytest.mark.ray
def test_tune_runs_a_search_and_keeps_its_state(tmp_path, monkeypatch):
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
    import ray
    from ray import tune

    def train(config):
        if config["kind"] == "tanh":
            raise RuntimeError("out of memory")
        tune.report({"loss": (math.log10(config["rate"]) + 2) ** 2 + config["offset"]})

    searcher = TuneSearcher("ga", SPACE, metric="loss", mode="min", seed=1, population=4)
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        results = tune.Tuner(
            train,
            param_space={"offset": 1.0},
            tune_config=tune.TuneConfig(search_alg=searcher, num_samples=4, max_concurrent_trials=2),
            run_config=tune.RunConfig(storage_path=str(tmp_path), name="search", verbose=0),
        ).fit()
    finally:
        ray.shutdown()
    assert len(results) == 4
    assert 0 < results.num_errors < 4
    (checkpoint,) = (tmp_path / "search").glob("searcher-state-*.json")
    told = [event["values"] for event in json.loads(checkpoint.read_text())["events"] if "status" in event]
    assert sum(values is None for values in told) == results.num_errors
    losses = sorted(r.metrics["loss"] for r in results if not r.error)
    assert sorted(values[0] for values in told if values) == losses
    assert losses[0] >= 1
    fresh = TuneSearcher("ga", SPACE, metric="loss", mode="min", population=4)
    fresh.restore_from_dir(str(tmp_path / "search"))
    assert fresh.suggest("next") not in [r.config for r in results]
