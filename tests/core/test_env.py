import warnings

import cloudpickle
import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import designopt as do


class Beam(do.DesignEnv):
    """Mass against stress, with a hole in the design space."""

    design_space = do.DesignSpace(width=do.Real(1, 2, unit="m"), bolts=do.Integer(1, 3), plate=do.Ordinal([0.5, 1.0]))
    objectives = (do.Objective("mass", "min", unit="kg"), do.Objective("life", "max"))
    constraints = (do.Constraint("stress", scale=10.0),)

    def evaluate(self, designs):
        width, bolts, plate = designs.T
        mass = np.where(width > 1.9, np.nan, width * plate)
        return do.Evaluation(np.stack([mass, bolts], axis=1), (width - 1.5)[:, None] * 10, metrics={"bolts": bolts})


def action(width, bolts=2, plate=1):
    return {"width": np.array(width), "bolts": np.int64(bolts), "plate": np.int64(plate)}


def test_gymnasium_accepts_the_environment():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check_env(Beam(render_mode="ansi"))


def test_a_step_evaluates_one_whole_design_and_ends_the_episode():
    env = Beam()
    observation, info = env.reset(seed=1)
    assert observation.tolist() == [0, 0, 0]
    assert info == {}
    observation, reward, terminated, truncated, info = env.step(action(1.2))
    assert observation.tolist() == pytest.approx([1.2, 2, -3])
    assert reward == pytest.approx(-1.2 + 2)
    assert (terminated, truncated) == (True, False)
    assert info["feasible"] is True
    assert info["status"] == "ok"
    assert info["metrics"] == {"bolts": 2}
    assert info["objectives"].tolist() == pytest.approx([1.2, 2])


def test_rewards_weigh_objectives_and_punish_scaled_violation():
    env = Beam()
    assert env.step(action(1.7))[1] == pytest.approx(-1.7 + 2 - 0.2)
    env.reward = do.Reward(weights=(2.0, 0.5), penalty=10.0)
    assert env.step(action(1.7))[1] == pytest.approx(-3.4 + 1 - 2.0)


def test_a_design_without_values_has_a_declared_reward_and_a_finite_observation():
    env = Beam()
    env.reward = do.Reward(not_evaluated=-7.0)
    observation, reward, *_, info = env.step(action(1.95))
    assert reward == -7.0
    assert info["status"] == "invalid"
    assert info["feasible"] is False
    assert env.observation_space.contains(observation)


def test_render_shows_the_best_feasible_design_with_units():
    env = Beam(render_mode="ansi")
    assert "no feasible design yet" in env.render()
    env.step(action(1.7))
    assert "no feasible design yet" in env.render()
    env.step(action(1.2))
    env.step(action(1.4))
    text = env.render()
    assert "mass = 1.2 kg" in text
    assert "width = 1.2 m" in text
    assert Beam().render() is None
    with pytest.raises(ValueError, match=r"render_mode = 'human'; allowed: \['ansi'\]"):
        Beam(render_mode="human")


def test_an_action_outside_the_space_is_refused():
    with pytest.raises(ValueError, match="width = 3 is not allowed"):
        Beam().step(action(3.0))


def test_an_environment_without_evaluate_says_so():
    class Empty(do.DesignEnv):
        design_space = do.DesignSpace(x=do.Real(0, 1))
        objectives = (do.Objective("y"),)

    with pytest.raises(NotImplementedError, match="Empty must define evaluate"):
        Empty().evaluate(np.zeros((1, 1)))


SPACE = do.DesignSpace(
    width=do.Real(0.01, 0.1, unit="m"), bolts=do.Integer(2, 8), material=do.Categorical(["steel", "aluminium"])
)


def decorated(function=None, **changes):
    def bracket(width, bolts, material):
        """A bracket."""
        if bolts == 8:
            raise do.InvalidDesign("no room for eight bolts")
        if bolts == 7:
            raise RuntimeError("mesh failed")
        density = 7800 if material == "steel" else 2700
        return {"mass": density * width * bolts, "stress": 4e6 / width, "cost": float("nan") if bolts == 6 else bolts}

    options = {"minimize": ["mass"], "constraints": {"stress": "<= 250e6"}, "units": {"mass": "kg", "stress": "Pa"}}
    return do.design_env(SPACE, **(options | changes))(function or bracket)


def test_a_decorated_function_is_an_environment():
    env = decorated()
    assert env.id == "bracket"
    assert env.__doc__ == "A bracket."
    assert env.objectives == (do.Objective("mass", "min", unit="kg"),)
    assert env.constraints == (do.Constraint("stress", unit="Pa", scale=250e6),)
    evaluation = env.evaluate(SPACE.encode([{"width": 0.1, "bolts": 2, "material": "steel"}]))
    assert evaluation.objectives[0, 0] == pytest.approx(1560)
    assert evaluation.constraints[0, 0] == pytest.approx(4e7 - 250e6)
    assert {name: v[0] for name, v in evaluation.metrics.items()} == {"stress": pytest.approx(4e7), "cost": 2}
    assert env(width=0.1, bolts=2, material="steel")["cost"] == 2
    assert env.function(0.1, 2, "steel")["cost"] == 2


def test_one_bad_design_does_not_spoil_the_batch():
    env = decorated(minimize=["mass", "cost"], maximize=[])
    rows = [{"width": 0.05, "bolts": bolts, "material": "steel"} for bolts in (2, 6, 7, 8)]
    evaluation = env.evaluate(SPACE.encode(rows))
    assert evaluation.status.tolist() == ["ok", "invalid", "failed", "invalid"]
    assert evaluation.errors[2] == "RuntimeError: mesh failed"
    assert evaluation.errors[3] == "no room for eight bolts"


@pytest.mark.parametrize(
    ("function", "error"),
    [
        (lambda width, bolts, material: {"mass": 1.0}, "did not return 'stress'; it returned mass"),
        (lambda width, bolts, material: 1.0, "returned float; it must return a dict"),
        (lambda width, bolts, material: {"mass": [1.0, 2.0], "stress": 0.0}, "ValueError"),
        (lambda width: {}, "TypeError"),
    ],
)
def test_wrong_outputs_are_failures_with_the_reason(function, error):
    evaluation = decorated(function).evaluate(SPACE.sample(2, 0))
    assert evaluation.status.tolist() == ["failed", "failed"]
    assert all(error in text for text in evaluation.errors)


def test_a_vectorized_function_gets_whole_columns():
    def bracket(width, bolts, material):
        return {"mass": width * bolts * np.where(material == "steel", 7800, 2700), "stress": 4e6 / width}

    designs = SPACE.sample(50, 0)
    one_by_one = decorated(lambda width, bolts, material: bracket(width, bolts, np.array(material)))
    batch = decorated(bracket, vectorized=True).evaluate(designs)
    np.testing.assert_allclose(batch.objectives, one_by_one.evaluate(designs).objectives)
    with pytest.raises(KeyError, match="did not return 'stress'"):
        decorated(lambda width, bolts, material: {"mass": width}, vectorized=True).evaluate(designs)


def test_lower_bounds_become_constraints_with_the_right_sign():
    env = decorated(constraints={"cost": ">= 3"}, maximize=["stress"])
    assert [o.sense for o in env.objectives] == ["min", "max"]
    evaluation = env.evaluate(SPACE.encode([{"width": 0.05, "bolts": b, "material": "steel"} for b in (2, 3, 5)]))
    assert evaluation.constraints[:, 0].tolist() == [1.0, 0.0, -2.0]
    assert evaluation.feasible.tolist() == [False, True, True]


def test_a_bound_of_zero_has_unit_scale():
    assert decorated(constraints={"cost": "<= 0"}).constraints[0].scale == 1.0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"constraints": {"stress": "< 3"}}, "constraint 'stress': '< 3' is not understood"),
        ({"constraints": {"stress": 3}}, "write '<= NUMBER' or '>= NUMBER'"),
        ({"minimize": []}, "at least one objective"),
        ({"minimize": ["mass"], "maximize": ["mass"]}, "named twice"),
        ({"minimize": "mass"}, r"minimize = 'mass' must be a list of output names, such as \['mass'\]"),
    ],
)
def test_a_wrong_declaration_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        decorated(**changes)


def test_decorated_environments_travel_to_other_processes():
    env = cloudpickle.loads(cloudpickle.dumps(decorated()))
    designs = SPACE.sample(5, 0)
    np.testing.assert_array_equal(env.evaluate(designs).objectives, decorated().evaluate(designs).objectives)


def test_gymnasium_vectorises_a_design_environment():
    envs = gymnasium.vector.SyncVectorEnv([Beam, Beam])
    envs.reset(seed=0)
    observations, rewards, terminated, _, _ = envs.step(envs.action_space.sample())
    assert observations.shape == (2, 3)
    assert rewards.shape == (2,)
    assert terminated.all()
