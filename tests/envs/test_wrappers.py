import os
import pickle
import subprocess
import sys
import time

import cloudpickle
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env as check_gymnasium_env

import designopt as do
from designopt.envs.wrappers import CachedEnv, DesignWrapper, FailingEnv, NoisyEnv

SPACE = do.DesignSpace(x=do.Real(-1, 1), n=do.Integer(0, 5), kind=do.Categorical(["a", "b"]))


class Counted(do.DesignEnv):
    """Two objectives, one constraint, a metric; says which designs it evaluated. Designs of n = 5 fail at first."""

    design_space = SPACE
    objectives = (do.Objective("sum", "min"), do.Objective("difference", "max"))
    constraints = (do.Constraint("product"),)
    reference = do.Reference(source="made up", hypervolume=1.0, reference_point=(9.0, 9.0))
    reward = do.Reward(penalty=7.0)

    def __init__(self):
        super().__init__("ansi")
        self.seen = []
        self.repaired = False
        self.closed = False

    def evaluate(self, designs):
        self.seen += designs.tolist()
        x, n, kind = designs.T
        status = np.where(n == 4, "invalid", "ok")
        if not self.repaired:
            status = np.where(n == 5, "failed", status)
        values = np.where(status == "ok", x, np.nan)
        objectives = np.stack([values + n, values - n], axis=1)
        return do.Evaluation(objectives, (values * kind)[:, None], {"twice": 2 * x}, status=status)

    def close(self):
        self.closed = True


class TwoSums(Counted):
    """The same without designs that fail, whose NaN Gymnasium's checker takes for a difference."""

    def evaluate(self, designs):
        x, n, kind = designs.T
        return do.Evaluation(np.stack([x + n, x - n], axis=1), (x * kind)[:, None], {"twice": 2 * x})


def columns(evaluation):
    return [
        evaluation.objectives,
        evaluation.constraints,
        evaluation.status,
        evaluation.attempts,
        evaluation.seconds,
        evaluation.errors,
        *evaluation.metrics.values(),
    ]


def assert_same(left, right):
    assert list(left.metrics) == list(right.metrics)
    for a, b in zip(columns(left), columns(right), strict=True):
        np.testing.assert_array_equal(a, b)


WRAPPERS = {
    "plain": DesignWrapper,
    "noisy": lambda env: NoisyEnv(env, [0.1, 0.2], 0.3, seed=1),
    "cached": CachedEnv,
    "failing": lambda env: FailingEnv(env, nan=0.3, seed=1),
}
each_wrapper = pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS.keys())
DESIGNS = SPACE.sample(40, seed=0)


@each_wrapper
def test_a_wrapper_is_an_environment_of_the_same_problem(wrap):
    inner = Counted()
    env = wrap(wrap(inner))
    assert isinstance(env, do.DesignEnv)
    assert env.unwrapped is inner
    for name in ("design_space", "objectives", "constraints", "reference", "reward", "render_mode"):
        assert getattr(env, name) is getattr(inner, name)
    name = type(env).__name__
    assert env.id == f"{name}({name}(Counted))"
    env.close()
    assert inner.closed


@each_wrapper
@pytest.mark.filterwarnings("ignore:.*different from the unwrapped version")
def test_a_wrapper_is_a_gymnasium_environment(wrap):
    check_gymnasium_env(wrap(TwoSums()), skip_render_check=True)
    env = wrap(Counted())
    env.reset(seed=0)
    action = env.design_space.to_gymnasium([0.5, 1, 0])
    _, reward, *_, info = env.step(action)
    expected = env.evaluate(np.array([[0.5, 1, 0]]))
    np.testing.assert_array_equal(info["objectives"], expected.objectives[0])
    assert reward == env.reward(env, expected)[0]
    if info["feasible"]:
        assert env.render().startswith(f"{env.id}: best feasible design")


@each_wrapper
def test_batch_equals_one_by_one_and_repeats(wrap):
    env = wrap(Counted())
    together = env.evaluate(DESIGNS)
    single = do.Evaluation.concatenate(env.evaluate(row[None]) for row in DESIGNS)
    assert_same(together, single)
    assert_same(together[::-1], env.evaluate(DESIGNS[::-1]))


@each_wrapper
def test_no_designs_give_no_rows(wrap):
    evaluation = wrap(Counted()).evaluate(np.empty((0, 3)))
    assert evaluation.objectives.shape == (0, 2)
    assert evaluation.constraints.shape == (0, 1)


@each_wrapper
@pytest.mark.parametrize("library", [pickle, cloudpickle])
def test_wrappers_travel_to_other_processes(wrap, library):
    env = wrap(Counted())
    env.evaluate(DESIGNS[:20])
    assert env.action_space == env.design_space.gymnasium()
    copy = pickle.loads(library.dumps(env))
    assert copy.id == env.id
    assert_same(copy.evaluate(DESIGNS), env.evaluate(DESIGNS))


def test_plain_wrapper_changes_nothing():
    assert_same(DesignWrapper(Counted()).evaluate(DESIGNS), Counted().evaluate(DESIGNS))


# Noise ----------------------------------------------------------------------------------------------------------


def noise(env, designs):
    noisy, exact = env.evaluate(designs), env.unwrapped.evaluate(designs)
    return np.concatenate([noisy.objectives - exact.objectives, noisy.constraints - exact.constraints], axis=1)


def test_noise_is_gaussian_of_the_wanted_deviations():
    from scipy.stats import kstest

    designs = SPACE.sample(4000, seed=3)
    designs = designs[designs[:, 1] < 4]
    scaled = noise(NoisyEnv(Counted(), [0.1, 20.0], 3.0), designs) / [0.1, 20.0, 3.0]
    for column in scaled.T:
        assert kstest(column, "norm").pvalue > 0.01
    correlation = np.corrcoef(scaled, rowvar=False)
    assert np.abs(correlation - np.eye(3)).max() < 0.06
    assert abs(np.corrcoef(scaled[:-1, 0], scaled[1:, 0])[0, 1]) < 0.06


def test_noise_is_that_of_seed_and_design():
    first = noise(NoisyEnv(Counted(), 1.0, seed=0), DESIGNS)
    np.testing.assert_array_equal(first, noise(NoisyEnv(Counted(), 1.0, seed=0), DESIGNS))
    other = noise(NoisyEnv(Counted(), 1.0, seed=1), DESIGNS)
    valued = ~np.isnan(first[:, 0])
    assert (first[valued, :2] != other[valued, :2]).all()


def test_noise_is_the_same_in_a_process_with_another_hash_seed():
    code = (
        "import numpy as np, designopt as do;from designopt.envs.wrappers import NoisyEnv;"
        "env = NoisyEnv(do.make('designopt/FourBarTruss-v0'), 1.0, seed=5);"
        "print(env.evaluate(np.full((1, 4), 2.0)).objectives[0].tolist())"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code], env=os.environ | {"PYTHONHASHSEED": h}, capture_output=True, check=True
        ).stdout
        for h in ("1", "2")
    }
    assert len(outputs) == 1


def test_negative_zero_is_the_same_design():
    zero = np.array([[0.0, 1.0, 0.0]])
    np.testing.assert_array_equal(
        NoisyEnv(Counted(), 1.0).evaluate(zero).objectives,
        NoisyEnv(Counted(), 1.0).evaluate(-zero * [1, -1, 1]).objectives,
    )
    env = CachedEnv(Counted())
    env.evaluate(np.concatenate([zero, zero * [-1, 1, 1]]))
    assert (env.hits, env.misses) == (1, 1)


def test_without_deviation_there_is_no_noise_and_designs_without_values_stay_so():
    env = NoisyEnv(Counted(), 0.0)
    assert_same(env.evaluate(DESIGNS), Counted().evaluate(DESIGNS))
    status = NoisyEnv(Counted(), 5.0, 5.0).evaluate(DESIGNS).status
    assert status.tolist() == Counted().evaluate(DESIGNS).status.tolist()


@pytest.mark.parametrize("std", [-0.1, np.nan, np.inf, [0.1], [0.1, 0.1, 0.1], [[0.1, 0.1]]])
def test_an_unfit_deviation_is_refused(std):
    with pytest.raises(ValueError, match=r"^std = .* one number or 2, finite and not negative"):
        NoisyEnv(Counted(), std)
    with pytest.raises(ValueError, match=r"^constraint_std = "):
        NoisyEnv(Counted(), 0.1, [0.1, 0.1])


# Cache ----------------------------------------------------------------------------------------------------------


def test_each_design_is_evaluated_once():
    inner = Counted()
    inner.repaired = True
    env = CachedEnv(inner)
    batch = np.concatenate([DESIGNS[:10], DESIGNS[5:15], DESIGNS[:3]])
    assert_same(env.evaluate(batch), inner.evaluate(batch))
    inner.seen.clear()
    assert (env.hits, env.misses) == (8, 15)

    mixed = np.concatenate([DESIGNS[14:18], DESIGNS[:2], DESIGNS[16:20], DESIGNS[3:4]])
    answer = env.evaluate(mixed)
    assert inner.seen == DESIGNS[15:20].tolist()  # only the new ones, in the order asked
    assert (env.hits, env.misses) == (8 + 6, 15 + 5)
    assert_same(answer, inner.evaluate(mixed))


def test_failed_designs_are_tried_again_and_invalid_ones_are_not():
    inner = Counted()
    env = CachedEnv(inner)
    designs = np.array([[0.5, 5, 0], [0.5, 4, 0], [0.5, 5, 0], [0.5, 1, 0]])
    assert env.evaluate(designs).status.tolist() == ["failed", "invalid", "failed", "ok"]
    assert len(inner.seen) == 3
    inner.repaired = True
    assert env.evaluate(designs).status.tolist() == ["ok", "invalid", "ok", "ok"]
    assert inner.seen[3:] == [[0.5, 5, 0]]
    env.evaluate(designs)
    assert len(inner.seen) == 4


def test_what_is_remembered_cannot_be_spoiled_from_outside():
    env = CachedEnv(Counted())
    designs = np.array([[0.5, 1.0, 0.0]])
    answer = env.evaluate(designs)
    answer.objectives[:] = 99
    designs[:] = 0
    assert env.evaluate(np.array([[0.5, 1.0, 0.0]])).objectives.tolist() == [[1.5, -0.5]]


def test_nothing_is_remembered_of_a_batch_that_raised():
    def low(designs):
        return designs[:, 0] < 0

    env = CachedEnv(FailingEnv(Counted(), exception=low))
    with pytest.raises(RuntimeError, match="on purpose"):
        env.evaluate(np.array([[0.5, 1, 0], [-0.5, 1, 0]]))
    assert (env.hits, env.misses) == (0, 0)
    assert env.evaluate(np.array([[0.5, 1, 0]])).status.tolist() == ["ok"]
    assert (env.hits, env.misses) == (0, 1)


# Faults ---------------------------------------------------------------------------------------------------------


def test_faults_come_as_often_as_wanted_and_depend_on_the_seed():
    designs = SPACE.sample(4000, seed=0)
    wanted = {"exit": 0.05, "hang": 0.1, "exception": 0.15, "wrong_shape": 0.2, "nan": 0.25}
    struck = FailingEnv(Counted(), **wanted, seed=2).faults(designs)
    for name, share in (wanted | {"": 0.25}).items():
        assert (struck == name).mean() == pytest.approx(share, abs=0.03)
    np.testing.assert_array_equal(struck, FailingEnv(Counted(), **wanted, seed=2).faults(designs))
    assert (struck != FailingEnv(Counted(), **wanted, seed=3).faults(designs)).mean() > 0.5
    assert (FailingEnv(Counted(), nan=1.0).faults(designs) == "nan").all()
    assert (FailingEnv(Counted()).faults(designs) == "").all()


def where(low, high):
    return lambda designs: (low <= designs[:, 0]) & (designs[:, 0] < high)


def at(*x):
    return np.array([[value, 1.0, 0.0] for value in x])


def test_nan_makes_its_rows_invalid_and_leaves_the_others():
    evaluation = FailingEnv(Counted(), nan=where(-1, 0)).evaluate(at(-0.5, 0.5))
    assert evaluation.status.tolist() == ["invalid", "ok"]
    assert_same(evaluation[1], Counted().evaluate(at(0.5)))


def test_nan_leaves_the_inner_evaluation_as_it_was():
    class Table(Counted):
        evaluation = do.Evaluation(np.ones((1, 2)), np.zeros((1, 1)))

        def evaluate(self, designs):
            return self.evaluation

    assert FailingEnv(Table(), nan=1.0).evaluate(at(0.5)).status.tolist() == ["invalid"]
    assert Table.evaluation.objectives.tolist() == [[1.0, 1.0]]


def test_exception_strikes_the_batch():
    env = FailingEnv(Counted(), exception=where(-1, 0))
    with pytest.raises(RuntimeError, match=r"FailingEnv\(Counted\): exception on purpose"):
        env.evaluate(at(0.5, -0.5))
    assert env.evaluate(at(0.5)).status.tolist() == ["ok"]


def test_wrong_shape_is_one_row_too_few():
    env = FailingEnv(Counted(), wrong_shape=where(-1, 0))
    assert len(env.evaluate(at(-0.5))) == 0
    assert len(env.evaluate(at(0.5, -0.5, 0.6))) == 2
    assert len(env.evaluate(at(0.5, 0.6))) == 2


def test_hang_sleeps_and_then_answers(monkeypatch):
    slept = []
    monkeypatch.setattr(time, "sleep", slept.append)
    env = FailingEnv(Counted(), hang=where(-1, 0), hang_seconds=12.0)
    assert_same(env.evaluate(at(-0.5)), Counted().evaluate(at(-0.5)))
    assert slept == [12.0]
    env.evaluate(at(0.5))
    assert slept == [12.0]


def test_exit_ends_the_process_without_cleaning_up():
    code = (
        "import numpy as np, designopt as do;from designopt.envs.wrappers import FailingEnv\n"
        "env = FailingEnv(do.make('designopt/FourBarTruss-v0'), exit=1.0)\n"
        "try:\n    env.evaluate(np.full((1, 4), 2.0))\nfinally:\n    print('cleaned up', flush=True)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert (ended.returncode, ended.stdout) == (66, b"")


def test_the_most_drastic_fault_shows_first(monkeypatch):
    slept = []
    monkeypatch.setattr(time, "sleep", slept.append)
    everywhere = where(-1, 2)
    env = FailingEnv(Counted(), nan=everywhere, wrong_shape=everywhere, exception=everywhere, hang=where(0, 1))
    assert env.faults(at(-0.5, 0.5)).tolist() == ["exception", "hang"]
    with pytest.raises(RuntimeError):
        env.evaluate(at(0.5, -0.5))
    assert slept  # the hang came before the exception


@pytest.mark.parametrize("name", ["exception", "nan", "wrong_shape", "hang", "exit"])
@pytest.mark.parametrize("value", [-0.1, 1.1, np.nan])
def test_an_unfit_probability_is_refused(name, value):
    with pytest.raises(ValueError, match=rf"{name} = .* must be from 0 to 1"):
        FailingEnv(Counted(), **{name: value})


def test_probabilities_must_leave_room_for_one_another():
    with pytest.raises(ValueError, match="sum to more than 1"):
        FailingEnv(Counted(), nan=0.6, hang=0.5)
    FailingEnv(Counted(), nan=0.1, hang=0.2, exit=0.7)  # 1.0000000000000002 - or not - is allowed
