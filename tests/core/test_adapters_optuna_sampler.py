"""Search backends as Optuna samplers, under Optuna's own test cases."""

import pickle
import threading
import time
from dataclasses import dataclass

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.testing.pytest_samplers import (
    BasicSamplerTestCase,
    MultiObjectiveSamplerTestCase,
    RelativeSamplerTestCase,
    SingleOnlySamplerTestCase,
)
from optuna.trial import TrialState, create_trial

from designopt import Searcher
from designopt.adapters import OptunaSampler


@pytest.fixture(autouse=True)
def quiet():
    optuna.logging.set_verbosity(optuna.logging.ERROR)


class TestRandom(BasicSamplerTestCase, RelativeSamplerTestCase, MultiObjectiveSamplerTestCase):
    @pytest.fixture
    def sampler(self):
        return lambda: OptunaSampler("random", seed=0)


class TestGA(BasicSamplerTestCase, RelativeSamplerTestCase, SingleOnlySamplerTestCase):
    @pytest.fixture
    def sampler(self):
        return lambda: OptunaSampler("ga", seed=0, population=4)


class TestTPE(BasicSamplerTestCase, RelativeSamplerTestCase, MultiObjectiveSamplerTestCase):
    @pytest.fixture
    def sampler(self):
        return lambda: OptunaSampler("tpe", seed=0)


class TestGP(BasicSamplerTestCase, RelativeSamplerTestCase, MultiObjectiveSamplerTestCase):
    @pytest.fixture
    def sampler(self):  # the model is at work from the third trial on
        return lambda: OptunaSampler("gp", seed=0, n_initial=1, screened=128, polished=1)


class Witness(Searcher):
    """Random search that keeps what it was told and what was pending."""

    multi_objective = True
    made: list["Witness"]

    @dataclass(frozen=True)
    class Config:
        level: float = 0.5

    def __init__(self, env, config=None, *, seed=0, device="cpu"):
        super().__init__(env, config, seed=seed, device=device)
        self.told, self.pending, self.asked, self.asking = [], [], [], threading.Lock()
        Witness.made.append(self)

    def ask(self, n, pending):
        assert self.asking.acquire(blocking=False), "asked by two threads at once"
        time.sleep(0.002)  # lets other threads come
        self.pending.append(pending.copy())
        self.asked.append(self.space.sample(n, self.rng))
        self.asking.release()
        return self.asked[-1]

    def tell(self, designs, evaluation):
        for i, design in enumerate(designs):
            self.told.append((design.tolist(), evaluation.status[i], evaluation[i : i + 1]))


@pytest.fixture
def made():
    Witness.made = []
    return Witness.made


X = {"x": FloatDistribution(0.0, 1.0)}


def test_complete_trials_are_told_once_each_in_the_sign_of_the_study(made):
    study = optuna.create_study(directions=["minimize", "maximize"], sampler=OptunaSampler(Witness, search_space=X))
    study.optimize(lambda t: (t.suggest_float("x", 0, 1), 5.0), n_trials=4)
    (witness,) = made
    assert [o.sense for o in witness.objectives] == ["min", "max"]
    assert [design for design, *_ in witness.told] == [[t.params["x"]] for t in study.trials[:3]]
    for (design, status, evaluation), trial in zip(witness.told, study.trials, strict=False):
        assert status == "ok"
        assert design[0] == trial.params["x"]
        assert evaluation.objectives.tolist() == [trial.values]


def test_told_designs_are_those_asked_bit_for_bit(made):
    space = {
        "log": FloatDistribution(1e-7, 10, log=True),
        "grid": FloatDistribution(-10.2, 10.2, step=0.1),
        "count": IntDistribution(1, 100, log=True),
        "even": IntDistribution(0, 10, step=2),
        "kind": CategoricalDistribution(["a", "b", None]),
    }
    study = optuna.create_study(sampler=OptunaSampler(Witness, search_space=space, seed=3))
    for _ in range(60):
        trial = study.ask(space)
        assert trial.params.keys() == space.keys()
        study.tell(trial, 0.0)
    study.ask(space)
    study.sampler = OptunaSampler(Witness, search_space=space)
    study.ask(space)
    first, second = made
    assert [name for name in space if getattr(first.space[name], "log", False)] == ["log", "count"]
    assert [told for told, *_ in first.told] == [a[0].tolist() for a in first.asked[:60]]
    assert [told for told, *_ in second.told] == [told for told, *_ in first.told]
    grid = {t.params["grid"] for t in study.trials}
    assert len(grid) > 20
    assert all(-10.2 <= g <= 10.2 for g in grid)


def test_running_trials_are_pending_before_and_after_their_parameters_are_on_record(made):
    study = optuna.create_study(sampler=OptunaSampler(Witness, search_space=X))
    trials = [study.ask() for _ in range(3)]
    values = [t.suggest_float("x", 0, 1) for t in trials]
    (witness,) = made
    assert [p.ravel().tolist() for p in witness.pending] == [[], values[:1], values[:2]]
    study.tell(trials[0], 1.0)
    last = study.ask()
    study.sampler.sample_relative(study, study.trials[-1], X)  # asked, and no parameter suggested yet
    unrecorded = witness.asked[-1].item()
    study.ask().suggest_float("x", 0, 1)
    assert witness.pending[-1].ravel().tolist() == [*values[1:], unrecorded]
    assert last.number == 3


def test_trials_of_other_samplers_are_told_and_those_outside_the_space_are_not(made):
    study = optuna.create_study(sampler=OptunaSampler(Witness, search_space=X))
    for x in (0.25, 3.0):
        study.add_trial(create_trial(params={"x": x}, distributions={"x": FloatDistribution(0, 5)}, value=x))
    study.add_trial(create_trial(params={"y": 1}, distributions={"y": IntDistribution(0, 5)}, value=0))
    study.add_trial(create_trial(params={"x": "off"}, distributions={"x": CategoricalDistribution(["off"])}, value=0))
    study.ask().suggest_float("x", 0, 1)
    assert [design for design, *_ in made[0].told] == [[0.25]]


def test_failures_are_told_as_what_they_are(made):
    study = optuna.create_study(sampler=OptunaSampler(Witness, search_space=X))

    def objective(trial):
        trial.suggest_float("x", 0, 1)
        if trial.number == 0:
            raise optuna.TrialPruned
        if trial.number == 1:
            trial.report(3.0, step=0)
            raise optuna.TrialPruned
        return [float("nan"), float("inf"), 1.0][trial.number % 3]

    study.optimize(objective, n_trials=7)
    assert [t.state.name for t in study.trials[:6]] == ["PRUNED", "PRUNED", "COMPLETE", "FAIL", "COMPLETE", "COMPLETE"]
    assert study.trials[4].value == float("inf")
    assert [status for _, status, _ in made[0].told] == ["invalid", "failed", "ok", "failed", "invalid", "ok"]


def test_constraints_that_trials_set_are_the_searcher_s(made):
    study = optuna.create_study(sampler=OptunaSampler(Witness, seed=1, search_space=X))

    def objective(trial):
        x = trial.suggest_float("x", 0, 1)
        if trial.number != 2:
            trial.set_constraint("stress", x - 0.5)
        return x

    study.optimize(objective, n_trials=5)
    before, after = made
    assert before.constraints == ()
    assert [c.name for c in after.constraints] == ["stress"]
    assert after.seed != before.seed
    assert [status for _, status, _ in after.told] == ["ok", "ok", "failed", "ok"]  # the third lacks its constraint
    assert after.told[0][2].constraints.item() == study.trials[0].params["x"] - 0.5


def test_backend_starts_after_the_startup_trials_and_then_chooses_all_common_parameters(made):
    study = optuna.create_study(sampler=OptunaSampler(Witness, n_startup_trials=3))

    def objective(trial):
        trial.suggest_float("fixed", 2, 2)
        if trial.suggest_categorical("kind", ["a", "b"]) == "a":
            trial.suggest_float("only_a", 0, 1)
        return trial.suggest_int("n", 1, 4)

    study.optimize(objective, n_trials=8)
    assert sum(len(w.asked) for w in made) == 5
    assert made[-1].space.names == ["kind", "n"]


def test_a_new_sampler_on_an_old_study_is_told_everything(made):
    storage = optuna.storages.InMemoryStorage()
    first = optuna.create_study(storage=storage, study_name="s", sampler=OptunaSampler(Witness, search_space=X))
    first.optimize(lambda t: t.suggest_float("x", 0, 1), n_trials=3)
    sampler = OptunaSampler(Witness, search_space=X)
    second = optuna.load_study(storage=storage, study_name="s", sampler=sampler)
    second.optimize(lambda t: t.suggest_float("x", 0, 1), n_trials=1)
    assert [design for design, *_ in made[-1].told] == [[t.params["x"]] for t in first.trials[:3]]


def test_one_sampler_serves_several_studies(made):
    sampler = OptunaSampler(Witness, search_space=X)
    studies = [optuna.create_study(sampler=sampler) for _ in range(2)]
    for _ in range(2):
        for study in studies:
            study.optimize(lambda t: t.suggest_float("x", 0, 1), n_trials=1)
    assert [len(w.told) for w in made] == [1, 1]


def test_same_seed_gives_the_same_study_and_reseeding_another():
    def values(seed=7, reseed=False):
        sampler = OptunaSampler("sobol", seed=seed, search_space=X)
        if reseed:
            sampler.reseed_rng()
        study = optuna.create_study(sampler=sampler)
        study.optimize(lambda t: t.suggest_float("x", 0, 1) + t.suggest_float("y", 0, 1), n_trials=4)
        return [(t.params["x"], t.params["y"]) for t in study.trials]

    assert values() == values()
    assert not np.isin(values(reseed=True), values()).any()
    assert not np.isin(values(seed=None), values(seed=None)).any()


def test_a_pickled_sampler_goes_on_with_the_study():
    study = optuna.create_study(sampler=OptunaSampler("ga", seed=0, population=4))
    study.optimize(lambda t: t.suggest_float("x", 0, 1), n_trials=6)
    study.sampler = pickle.loads(pickle.dumps(study.sampler))
    study.optimize(lambda t: t.suggest_float("x", 0, 1), n_trials=6)
    assert all(t.state == TrialState.COMPLETE for t in study.trials)
    assert len({t.params["x"] for t in study.trials}) == 12


def test_threads_of_one_study_get_different_designs(made):
    study = optuna.create_study(sampler=OptunaSampler(Witness, search_space=X, seed=0))
    study.optimize(lambda t: t.suggest_float("x", 0, 1), n_trials=20, n_jobs=4)
    (witness,) = made
    assert len({t.params["x"] for t in study.trials}) == 20
    assert len({design[0] for design, *_ in witness.told}) == len(witness.told)


@pytest.mark.parametrize("backend", ["ga", "tpe", "cmaes"])
def test_backends_find_the_minimum_of_an_optuna_study(backend):
    def objective(trial):
        return (trial.suggest_float("x", -5, 5) - 1) ** 2 + (trial.suggest_int("n", 0, 20, step=2) - 6) ** 2

    study = optuna.create_study(sampler=OptunaSampler(backend, seed=0))
    study.optimize(objective, n_trials=150)
    assert study.best_params["n"] == 6
    assert study.best_value < 0.1


def test_the_default_backend_learns_the_constraints_of_a_study():
    def objective(trial):
        x, y = trial.suggest_float("x", 0, 1), trial.suggest_float("y", 0, 1)
        trial.set_constraint("reach", 1 - x - y)
        return x + 2 * y

    study = optuna.create_study(sampler=OptunaSampler(seed=0))
    study.optimize(objective, n_trials=20)
    assert study.best_trial.constraints["reach"] <= 0
    assert study.best_value == pytest.approx(1, abs=0.02)


def test_hyperparameters_reach_the_backend_and_unknown_ones_are_refused(made):
    study = optuna.create_study(sampler=OptunaSampler(Witness, search_space=X, device="cuda", level=2))
    study.optimize(lambda t: t.suggest_float("x", 0, 1), n_trials=1)
    assert made[0].config == Witness.Config(level=2.0)
    assert made[0].device == "cuda"
    with pytest.raises(ValueError, match="no hyper-parameter 'lvl'"):
        OptunaSampler(Witness, lvl=2)
    with pytest.raises(ValueError, match="unknown backend 'sobl'; did you mean 'sobol'"):
        OptunaSampler("sobl")


def test_a_single_objective_backend_names_the_study_it_cannot_search():
    study = optuna.create_study(directions=["minimize"] * 2, study_name="two", sampler=OptunaSampler("ga"))
    with pytest.raises(ValueError, match="GASearch searches one objective; study 'two' has 2"):
        study.optimize(lambda t: (t.suggest_float("x", 0, 1), 0.0), n_trials=1)
