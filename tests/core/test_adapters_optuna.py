"""Environments as Optuna objectives."""

import numpy as np
import optuna
import pytest

from designopt import (
    Categorical,
    DesignSpace,
    Evaluation,
    Integer,
    InvalidDesign,
    Ordinal,
    Real,
    Sequence,
    design_env,
)
from designopt.adapters import to_optuna

SPACE = DesignSpace(
    width=Real(0.01, 100, log=True),
    bolts=Integer(2, 8, log=True),
    gauge=Ordinal([0.5, 0.8, 1.3]),
    material=Categorical(["steel", "aluminium"]),
    plies=Sequence("AB", 2),
)
PARAMS = {"width": 2.0, "bolts": 3, "gauge": 0.8, "material": "aluminium", "plies[0]": "A", "plies[1]": "B"}


@design_env(SPACE, maximize=["strength"], minimize=["mass"], constraints={"bolts": "<= 6", "mass": ">= 1"})
def joint(width, bolts, gauge, material, plies):
    mass = width * gauge * (2.7 if material == "aluminium" else 7.8)
    return {"strength": bolts + plies.count("B"), "mass": mass, "bolts": bolts, "waste": 0.5}


@pytest.fixture(autouse=True)
def quiet():
    optuna.logging.set_verbosity(optuna.logging.ERROR)


def test_trial_parameters_read_as_a_person_writes_them():
    trial = optuna.trial.FixedTrial(PARAMS)
    mass, strength = to_optuna(joint)(trial)
    assert trial.params == PARAMS
    assert (mass, strength) == (pytest.approx(2 * 0.8 * 2.7), 4)


def test_distributions_are_those_that_trials_suggest():
    objective = to_optuna(joint)
    study = optuna.create_study(directions=objective.directions)
    study.optimize(objective, n_trials=1)
    assert study.trials[0].distributions == objective.distributions
    assert objective.distributions["width"].log
    assert objective.distributions["bolts"].log
    asked = study.ask(objective.distributions)
    assert study.tell(asked, objective(asked)).state == optuna.trial.TrialState.COMPLETE


def test_values_keep_the_sign_of_the_environment():
    objective = to_optuna(joint)
    assert objective.directions == ["minimize", "maximize"]
    study = optuna.create_study(directions=objective.directions, sampler=optuna.samplers.RandomSampler(seed=0))
    study.optimize(objective, n_trials=5)
    for trial in study.trials:
        np.testing.assert_allclose(trial.values, joint.evaluate(objective.designs(trial.params)).objectives[0])


def test_constraints_and_metrics_are_on_record():
    objective = to_optuna(joint)
    study = optuna.create_study(directions=objective.directions)
    study.enqueue_trial(PARAMS | {"bolts": 8})
    study.optimize(objective, n_trials=1)
    (trial,) = study.trials
    assert trial.constraints == {"bolts": 2, "mass": pytest.approx(1 - 2 * 0.8 * 2.7)}
    assert trial.user_attrs == {"bolts": 8, "waste": 0.5}
    assert study.best_trials == []  # not feasible in Optuna's eyes either


def test_best_parameters_become_a_design_again():
    assert to_optuna(joint).designs(PARAMS).tolist() == [[2, 3, 0.8, 1, 0, 1]]
    with pytest.raises(ValueError, match="bolts = 9"):
        to_optuna(joint).designs(PARAMS | {"bolts": 9})


def test_optuna_finds_the_constrained_optimum():
    @design_env(DesignSpace(x=Real(0, 1), y=Real(0, 1)), minimize=["sum"], constraints={"reach": ">= 1"})
    def strip(x, y):
        return {"sum": x + 2 * y, "reach": x + y}

    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=0, n_startup_trials=20))
    study.optimize(to_optuna(strip), n_trials=100)
    assert study.best_trial.constraints["reach"] <= 0
    assert study.best_value == pytest.approx(1, abs=0.15)


def test_an_invalid_design_prunes_its_trial_and_a_failed_one_fails_it():
    @design_env(DesignSpace(x=Integer(0, 2)), minimize=["loss"])
    def shaky(x):
        if x == 0:
            raise InvalidDesign("overlapping parts")
        if x == 1:
            raise OSError("licence server is down")
        return {"loss": x}

    study = optuna.create_study()
    for x in range(3):
        study.enqueue_trial({"x": x})
    study.optimize(to_optuna(shaky), n_trials=3)
    assert [t.state.name for t in study.trials] == ["PRUNED", "FAIL", "COMPLETE"]
    assert study.trials[0].user_attrs == {"status": "invalid", "error": "overlapping parts"}
    assert study.trials[1].user_attrs == {"status": "failed", "error": "OSError: licence server is down"}
    assert study.best_value == 2


def test_a_failure_of_several_objectives_fails_the_trial():
    class Dead(type(joint)):
        def evaluate(self, designs):
            return Evaluation.failure(1, 2, 2, "lost", "node died")

    dead = Dead(joint.function, SPACE, joint.objectives, joint.limits, False)
    objective = to_optuna(dead)
    study = optuna.create_study(directions=objective.directions)
    study.optimize(objective, n_trials=1)
    assert study.trials[0].state.name == "FAIL"
    assert study.trials[0].constraints == {}


def test_choices_that_a_storage_cannot_hold_are_shown_as_text():
    @design_env(DesignSpace(layers=Categorical([(64, 32), (128,), None])), minimize=["size"])
    def network(layers):
        return {"size": sum(layers or ())}

    objective = to_optuna(network)
    assert objective.distributions["layers"].choices == ("(64, 32)", "(128,)", None)
    assert objective(optuna.trial.FixedTrial({"layers": "(64, 32)"})) == 96


def test_choices_that_look_alike_as_text_are_refused():
    @design_env(DesignSpace(layers=Categorical([(1,), "(1,)"])), minimize=["size"])
    def network(layers):
        return {"size": len(layers)}

    with pytest.raises(ValueError, match=r"layers: choices .* do not differ as text"):
        to_optuna(network)
