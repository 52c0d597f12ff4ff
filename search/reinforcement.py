"""Reinforcement learning: proximal policy optimisation proposes whole designs, or one parameter after the other.

References: [Schulman2017] "Proximal policy optimization algorithms", arXiv 1707.06347; [Krishnan2023] ArchGym, ISCA
(the two formulations, the network); stable-baselines3 has the policy, the rollout buffer and the update.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np

from designopt import Categorical, Evaluation, Integer, Real, Searcher, tunable
from designopt.env import DesignEnv
from designopt.parameters import Array
from designopt.search.seen import Seen, keys
from designopt.surrogates.device import one_thread

if TYPE_CHECKING:
    import torch
    from stable_baselines3 import PPO

NETWORK = (32, 32, 32)
"""Hidden units of the policy and of the value network [Krishnan2023]."""

REPEATS = 8
"""Known designs that the policy may propose in a row before a random one takes their place."""


@dataclass
class Episode:
    """How the policy made one design: observations (steps, w), actions (steps, a), values and log-probabilities."""

    observations: Array
    actions: Array
    values: list[torch.Tensor]
    log_probabilities: list[torch.Tensor]


class PPOSearch(Searcher):
    """Proximal policy optimisation [Schulman2017] on the problem as an environment of the Gymnasium kind.

    * ``formulation="single"``: one step an episode; the action is the whole design, a point of [-1, 1]^d in the unit
      coding (a category is an equal part of its axis).
    * ``formulation="sequential"``: d steps an episode; each sets one column, seeing which it is and what was set so
      far. The reward comes with the last.

    There is no dynamics to learn: the problem is a bandit, and the policy starts from knowing nothing. It needs
    hundreds to thousands of evaluations, and is here for comparison with work that uses it. The reward of a design is
    its rank among the ``rollout`` designs of one update, from -1 to 1, feasibility first, invalid designs last: so
    neither the scale of the objective nor that of a penalty matters. Other rows without values are ignored.

    The policy draws known designs again and again as it converges; their results are remembered and go into the
    rollout without another evaluation. Designs of others are only remembered.

    Asynchronous form: the policy is asked at any time; an update happens when ``rollout`` of its designs have results,
    with the probabilities under which each was drawn. Training is on the processor, for networks of this size are
    slower on a GPU.
    """

    @dataclass(frozen=True)
    class Config:
        """Hyper-parameters."""

        formulation: str = tunable("single", Categorical(["single", "sequential"]), "what one step sets")
        rollout: int = tunable(32, Integer(8, 128, log=True), "designs per update")
        learning_rate: float = tunable(3e-3, Real(1e-5, 1e-2, log=True), "of Adam; published: 1e-5")
        entropy: float = tunable(0.01, Real(1e-4, 0.1, log=True), "weight of the entropy bonus")
        clip: float = tunable(0.2, Real(0.1, 0.4), "how far a probability ratio may move")
        epochs: int = tunable(10, Integer(3, 30, log=True), "passes over a rollout")

        def __post_init__(self) -> None:
            if self.formulation not in ("single", "sequential"):
                raise ValueError(f"formulation = {self.formulation!r}; allowed: 'single', 'sequential'")
            for name, least in (("rollout", 2), ("epochs", 1)):
                if getattr(self, name) < least:
                    raise ValueError(f"{name} = {getattr(self, name)}; it must be at least {least}")
            for name in ("learning_rate", "clip"):
                if not getattr(self, name) > 0:
                    raise ValueError(f"{name} = {getattr(self, name)}; it must be positive")
            if not self.entropy >= 0:
                raise ValueError(f"entropy = {self.entropy}; it must not be negative")

    config: Config

    def __init__(self, env: DesignEnv, config: Config | None = None, *, seed: int = 0, device: str = "cpu") -> None:
        super().__init__(env, config, seed=seed, device=device)
        self.batch = self.config.rollout
        d = self.space.dim
        self._sequential = self.config.formulation == "sequential"
        self._steps = d if self._sequential else 1
        self._seen = Seen(self.space)
        self._asked: dict[bytes, deque[Episode]] = {}  # and not yet told
        self._known: dict[bytes, tuple[float, ...]] = {}  # design -> its rank
        self._rollout: list[tuple[Episode, tuple[float, ...]]] = []
        self._ppo = self._make_ppo(2 * d if self._sequential else 1, 1 if self._sequential else d)

    def _make_ppo(self, observed: int, set_at_once: int) -> PPO:
        try:
            from stable_baselines3 import PPO
            from stable_baselines3.common.logger import Logger
        except ImportError as error:
            raise ValueError(f"backend ppo: {error}; install it with: pip install 'designopt[rl]'") from None
        c = self.config
        size = c.rollout * self._steps
        with self._own_randomness():
            ppo = PPO(
                "MlpPolicy",
                _Spaces(observed, set_at_once),
                learning_rate=c.learning_rate,
                n_steps=size,
                batch_size=size,
                n_epochs=c.epochs,
                gamma=1.0,
                clip_range=c.clip,
                ent_coef=c.entropy,
                policy_kwargs={"net_arch": list(NETWORK), "log_std_init": -0.5},
                device="cpu",
            )
        ppo.set_logger(Logger(None, []))
        return ppo

    @contextmanager
    def _own_randomness(self) -> Iterator[None]:
        """The library draws from the global generators: they are ours for the while, and then as they were."""
        import torch

        state = np.random.get_state()  # noqa: NPY002
        with torch.random.fork_rng(devices=[]):
            seed = int(self.rng.integers(2**31))
            torch.manual_seed(seed)
            np.random.seed(seed)  # noqa: NPY002
            try:
                yield
            finally:
                np.random.set_state(state)  # noqa: NPY002

    # Proposing ------------------------------------------------------------------------------------------------------

    @one_thread
    def ask(self, n: int, pending: Array) -> Array:
        """-> (n, d) designs that have no result yet, as far as the policy finds any."""
        return np.concatenate([self._ask_one() for _ in range(n)])

    def _ask_one(self) -> Array:
        for _ in range(REPEATS):
            design, episode = self._draw()
            key = keys(design)[0]
            if key not in self._known:
                self._asked.setdefault(key, deque()).append(episode)
                break
            self._collect(episode, self._known[key])
        else:
            design = self._seen.sample(1, self.rng)
        self._seen.add(design)
        return design

    def _draw(self) -> tuple[Array, Episode]:
        """One design (1, d) of the policy, and how it came about."""
        import torch

        d = self.space.dim
        episode = Episode(np.zeros((self._steps, 2 * d if self._sequential else 1)), np.empty((self._steps, 0)), [], [])
        actions = []
        set_so_far = np.zeros(d)
        self._ppo.policy.set_training_mode(False)
        with self._own_randomness(), torch.no_grad():
            for step in range(self._steps):
                if self._sequential:
                    episode.observations[step] = np.concatenate([np.arange(d) == step, set_so_far])
                observation = torch.as_tensor(episode.observations[step : step + 1], dtype=torch.float32)
                action, value, log_probability = self._ppo.policy(observation)
                actions.append(action[0].numpy())
                episode.values.append(value)
                episode.log_probabilities.append(log_probability)
                if self._sequential:
                    set_so_far[step] = np.clip(actions[-1][0], -1, 1)
        episode.actions = np.array(actions)
        return self.space.from_unit((episode.actions.reshape(1, d).astype(np.float64) + 1) / 2), episode

    # Learning -------------------------------------------------------------------------------------------------------

    @one_thread
    def tell(self, designs: Array, evaluation: Evaluation) -> None:
        """Results in any order, batch size and status."""
        self._seen.add(designs)
        losses = evaluation.losses(self.objectives)[:, 0]
        violation = evaluation.violation(self.constraints)
        for i, key in enumerate(keys(designs)):
            episodes = self._asked.get(key)
            episode = episodes.popleft() if episodes else None
            if not episodes:
                self._asked.pop(key, None)
            if evaluation.status[i] not in ("ok", "invalid"):
                continue
            ok = evaluation.status[i] == "ok"
            self._known[key] = (0.0, float(violation[i]), float(losses[i])) if ok else (1.0, 0.0, 0.0)
            if episode is not None:
                self._collect(episode, self._known[key])

    def _collect(self, episode: Episode, rank: tuple[float, ...]) -> None:
        self._rollout.append((episode, rank))
        if len(self._rollout) == self.config.rollout:
            self._update()
            self._rollout = []

    def _update(self) -> None:
        import torch

        buffer = self._ppo.rollout_buffer
        buffer.reset()
        for (episode, _), reward in zip(self._rollout, _rewards([rank for _, rank in self._rollout]), strict=True):
            for step in range(self._steps):
                buffer.add(
                    episode.observations[step : step + 1],
                    episode.actions[step : step + 1],
                    np.array([reward if step == self._steps - 1 else 0.0]),
                    np.array([step == 0]),
                    episode.values[step],
                    episode.log_probabilities[step],
                )
        buffer.compute_returns_and_advantage(last_values=torch.zeros(1), dones=np.array([True]))
        with self._own_randomness():
            self._ppo.train()


def _rewards(ranks: list[tuple[float, ...]]) -> Array:
    """Tuples, the smaller the better -> (n,) rewards from -1 (worst) to 1 (best); equal ones share theirs."""
    from scipy.stats import rankdata

    _, places = np.unique(np.array(ranks), axis=0, return_inverse=True)
    return 1.0 - 2.0 * (rankdata(places.reshape(-1)) - 1) / (len(ranks) - 1)


class _Spaces(gymnasium.Env[Any, Any]):
    """The spaces that the policy is made for; it is asked and told, so nobody steps this environment."""

    def __init__(self, observed: int, set_at_once: int) -> None:
        self.observation_space = gymnasium.spaces.Box(-1.0, 1.0, (observed,), np.float32)
        self.action_space = gymnasium.spaces.Box(-1.0, 1.0, (set_at_once,), np.float32)
