import sys

import numpy as np
import pytest

import designopt as do
from designopt.search.reinforcement import PPOSearch, _rewards
from designopt.testing import MixedProblem, check_searcher

NOTHING = np.empty((0, 3))


def bowl(d=3):
    space = do.DesignSpace({f"x{i}": do.Real(-1, 1) for i in range(d)})

    @do.design_env(space, minimize=["y"], vectorized=True)
    def distance(**x):
        return {"y": sum((v - 0.4) ** 2 for v in x.values())}

    return distance


def searcher(env=None, seed=0, **config):
    return PPOSearch(env or bowl(), PPOSearch.Config(**config), seed=seed)


def weights(ppo):
    return np.concatenate([p.detach().numpy().ravel() for p in ppo._ppo.policy.parameters()])


def test_rewards_are_ranks_and_equal_results_share_theirs():
    ranks = [(0.0, 0.0, 5.0), (0.0, 0.0, -3.0), (1.0, 0.0, 0.0), (0.0, 2.0, -99.0), (0.0, 0.0, 5.0)]
    assert _rewards(ranks).tolist() == [0.25, 1.0, -1.0, -0.5, 0.25]


def test_rewards_of_the_rollout_are_feasibility_first_with_invalid_designs_last(monkeypatch):
    @do.design_env(do.DesignSpace(x=do.Real(0, 1)), minimize=["y"], constraints={"g": "<= 0"}, vectorized=True)
    def constrained(x):
        return {"y": x, "g": x}

    seen = []
    ppo = searcher(constrained, rollout=4)
    monkeypatch.setattr(ppo._ppo, "train", lambda: seen.append(ppo._ppo.rollout_buffer.rewards.ravel().copy()))
    designs = ppo.ask(5, np.empty((0, 1)))
    told = do.Evaluation(
        [[1.0], [2.0], [-9.0], [np.nan], [-9.0]],
        [[0.0], [0.0], [0.1], [0.0], [0.0]],
        status=np.array(["ok", "ok", "ok", "invalid", "failed"]),
    )
    ppo.tell(designs[[4, 0, 1, 2, 3]], told[[4, 0, 1, 2, 3]])
    (rewards,) = seen
    assert rewards == pytest.approx([1, 1 / 3, -1 / 3, -1])


@pytest.mark.parametrize("formulation", ["single", "sequential"])
def test_the_policy_finds_the_bowl(formulation):
    env = bowl()
    ppo, start = searcher(env, formulation=formulation, rollout=16), None
    for _ in range(25):
        designs = ppo.ask(16, NOTHING)
        losses = env.evaluate(designs).objectives
        start = losses.mean() if start is None else start
        ppo.tell(designs, env.evaluate(designs))
    assert losses.mean() < 0.4 * start


def test_the_sequential_policy_sees_its_step_and_what_it_set():
    ppo = searcher(formulation="sequential")
    design = ppo.ask(1, NOTHING)
    (episodes,) = ppo._asked.values()
    observations, actions = episodes[0].observations, episodes[0].actions
    assert observations.shape == (3, 6)
    assert observations[:, :3].tolist() == np.eye(3).tolist()
    set_so_far = np.clip(actions.ravel(), -1, 1)
    assert observations[:, 3:] == pytest.approx(np.tril(np.ones((3, 3)), -1) * set_so_far)
    assert design[0] == pytest.approx(set_so_far, abs=1e-6)


def test_the_reward_of_a_sequential_episode_comes_with_its_last_step(monkeypatch):
    env = bowl()
    ppo = searcher(env, formulation="sequential", rollout=2)
    seen = []
    monkeypatch.setattr(ppo._ppo, "train", lambda: seen.append(ppo._ppo.rollout_buffer))
    designs = ppo.ask(2, NOTHING)
    ppo.tell(designs, do.Evaluation([[1.0], [0.0]]))
    buffer = seen[0]
    assert buffer.rewards.ravel().tolist() == [0, 0, -1, 0, 0, 1]
    assert buffer.episode_starts.ravel().tolist() == [1, 0, 0, 1, 0, 0]


def test_an_update_waits_for_a_rollout_of_results():
    env = bowl()
    ppo = searcher(env, rollout=4)
    before = weights(ppo)
    designs = ppo.ask(6, NOTHING)
    ppo.tell(designs[:3], env.evaluate(designs[:3]))
    foreign = env.design_space.sample(20, seed=1)
    ppo.tell(foreign, env.evaluate(foreign))
    assert np.array_equal(weights(ppo), before)
    ppo.tell(designs[5:], env.evaluate(designs[5:]))
    assert not np.array_equal(weights(ppo), before)


def test_a_known_design_is_not_evaluated_again_but_counts_in_the_rollout():
    space = do.DesignSpace(x=do.Categorical("ab"), y=do.Categorical("ab"))

    @do.design_env(space, minimize=["z"], vectorized=True)
    def tiny(x, y):
        return {"z": np.array([a == "b" for a in x]) + 2.0 * np.array([b == "b" for b in y])}

    ppo = searcher(tiny, rollout=2)
    before = weights(ppo)
    everything = space.encode([{"x": a, "y": b} for a in "ab" for b in "ab"])
    ppo.tell(everything[:3], tiny.evaluate(everything[:3]))
    assert ppo.ask(1, np.empty((0, 2))).tolist() == [[1.0, 1.0]]
    assert not np.array_equal(weights(ppo), before), "known designs that were drawn made a rollout"


def test_global_random_generators_are_left_alone():
    import torch

    env = bowl()
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002
    expected = torch.rand(1).item(), np.random.rand()  # noqa: NPY002
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002
    ppo = searcher(env, rollout=4)
    designs = ppo.ask(4, NOTHING)
    ppo.tell(designs, env.evaluate(designs))
    assert (torch.rand(1).item(), np.random.rand()) == expected  # noqa: NPY002


def test_the_sequential_formulation_conforms():
    check_searcher(
        lambda env, seed: searcher(env, seed, formulation="sequential", rollout=8),
        MixedProblem(),
        rounds=2,
        history=16,
    )


def test_a_missing_library_is_said_in_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "stable_baselines3", None)
    with pytest.raises(ValueError, match=r"backend ppo: .*; install it with: pip install 'designopt\[rl\]'"):
        searcher()


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"formulation": "swarm"}, "formulation = 'swarm'; allowed: 'single', 'sequential'"),
        ({"rollout": 1}, "rollout = 1; it must be at least 2"),
        ({"epochs": 0}, "epochs = 0; it must be at least 1"),
        ({"learning_rate": 0.0}, "learning_rate = 0.0; it must be positive"),
        ({"clip": -1.0}, "clip = -1.0; it must be positive"),
        ({"entropy": -1.0}, "entropy = -1.0; it must not be negative"),
    ],
)
def test_bad_hyperparameters_are_refused(config, message):
    with pytest.raises(ValueError, match=message):
        PPOSearch.Config(**config)
