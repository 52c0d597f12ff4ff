from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import designopt as do
from designopt.searcher import make_config


class Two(do.DesignEnv):
    design_space = do.DesignSpace(x=do.Real(0, 10), c=do.Categorical("ab"))
    objectives = (do.Objective("cost"), do.Objective("life", "max"))
    constraints = (do.Constraint("stress", scale=2.0),)

    def evaluate(self, designs):
        x = designs[:, 0]
        cost = np.where(x > 9, np.nan, x)
        return do.Evaluation(np.stack([cost, x**2], axis=1), (x - 4)[:, None])


class Tuned(do.Searcher):
    @dataclass(frozen=True)
    class Config:
        population: int = do.tunable(20, do.Integer(4, 100), "how many")
        rate: float = do.tunable(0.5, do.Real(0, 1))
        kind: str = do.tunable("uniform", do.Categorical(["uniform", "point"]))
        restart: bool = do.tunable(True, do.Categorical([True, False]))
        start: int | None = do.tunable(None, do.Integer(1, 9))


@given(sizes=st.lists(st.integers(0, 90), max_size=8), seed=st.integers(0, 99))
def test_history_is_what_was_told_whatever_the_batches(sizes, seed):
    env = Two()
    designs = env.design_space.sample(sum(sizes), seed)
    history = do.History(env)
    for part in np.split(designs, np.cumsum(sizes))[:-1]:
        history.append(part, env.evaluate(part))
    whole = env.evaluate(designs)
    assert len(history) == len(designs)
    assert np.array_equal(history.designs, designs)
    assert np.array_equal(history.unit, env.design_space.to_unit(designs))
    assert np.array_equal(history.losses, whole.objectives * [1, -1], equal_nan=True)
    assert np.array_equal(history.constraints, whole.constraints)
    assert np.array_equal(history.ok, designs[:, 0] <= 9)
    assert np.array_equal(history.feasible, designs[:, 0] <= 4)
    assert np.array_equal(history.violation, whole.violation(env.constraints))


def test_an_unknown_history_column_is_an_attribute_error():
    with pytest.raises(AttributeError, match="colour"):
        do.History(Two()).colour  # noqa: B018


def test_hyperparameters_are_read_from_values_and_from_text():
    values = {"population": "30", "rate": 1, "kind": "point", "restart": "false", "start": "3"}
    assert make_config(Tuned, values) == Tuned.Config(30, 1.0, "point", False, 3)
    assert isinstance(make_config(Tuned, {"rate": 1}).rate, float)
    assert make_config(Tuned, {"start": "none"}).start is None
    assert make_config(Tuned, {}) == Tuned.Config()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"populaton": 3}, "Tuned has no hyper-parameter 'populaton'; did you mean 'population'"),
        ({"population": 2.5}, "population = 2.5 must be int, such as 20"),
        ({"population": True}, "population = True must be int"),
        ({"population": "many"}, "population = 'many' must be int"),
        ({"rate": "high"}, "rate = 'high' must be float, such as 0.5"),
        ({"kind": 3}, "kind = 3 must be str"),
        ({"restart": 1}, "restart = 1 must be bool"),
    ],
)
def test_hyperparameters_that_do_not_fit_are_named(values, message):
    with pytest.raises(ValueError, match=message):
        make_config(Tuned, values)


def test_a_range_for_sweeps_is_declared_with_each_hyperparameter():
    fields = Tuned.Config.__dataclass_fields__
    assert fields["population"].metadata["range"] == do.Integer(4, 100)
    assert fields["population"].metadata["doc"] == "how many"


@runtime_checkable
class Leaky(Protocol):
    def leak(self): ...


def test_a_searcher_refuses_an_environment_that_it_cannot_search():
    class Needs(do.Searcher):
        requires = (do.DesignEnv, Leaky)
        multi_objective = True

    with pytest.raises(ValueError, match="Needs needs an environment that offers Leaky; Two does not"):
        Needs(Two())
    with pytest.raises(ValueError, match="Tuned searches one objective; Two has 2: cost, life"):
        Tuned(Two())


def test_the_base_class_says_what_is_missing():
    class Idle(do.Searcher):
        multi_objective = True

    with pytest.raises(NotImplementedError, match="Idle must define ask"):
        Idle(Two()).ask(1, np.empty((0, 2)))
