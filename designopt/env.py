"""Design environments: what a design is and what it is worth.

An author writes a space, objectives, constraints and one batched ``evaluate``; everything else is provided.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal

import gymnasium
import numpy as np

from designopt.evaluation import Evaluation
from designopt.parameters import Array
from designopt.space import DesignSpace


class InvalidDesign(Exception):  # noqa: N818 - reads as the fact that it states
    """Raised by an evaluator: this design cannot be evaluated, now or ever; its status becomes ``invalid``."""


@dataclass(frozen=True)
class Objective:
    """A quantity to minimise or maximise; ``target`` is the value at which a user would be content."""

    name: str
    sense: Literal["min", "max"] = "min"
    unit: str = ""
    target: float | None = None

    def __post_init__(self) -> None:
        if self.sense not in ("min", "max"):
            raise ValueError(f"objective {self.name!r}: sense = {self.sense!r}; allowed: 'min', 'max'")


@dataclass(frozen=True)
class Constraint:
    """A quantity that must be <= 0; violations of different constraints are compared after division by ``scale``."""

    name: str
    unit: str = ""
    scale: float = 1.0

    def __post_init__(self) -> None:
        if not (np.isfinite(self.scale) and self.scale > 0):
            raise ValueError(f"constraint {self.name!r}: scale = {self.scale}; it must be positive and finite")


@dataclass(frozen=True)
class Reference:
    """What is known of the answer, with its source.

    Attributes:
        value, design: best known objective value (in the objective's own sign) and a design (d values) that attains it.
        hypervolume, reference_point: for several objectives, the hypervolume of the (sampled) true front, measured in
            minimised objectives against that point.
    """

    source: str
    value: float | None = None
    design: tuple[float, ...] | None = None
    hypervolume: float | None = None
    reference_point: tuple[float, ...] | None = None


@dataclass(frozen=True)
class Reward:
    """How an evaluation becomes the scalar that Gymnasium agents maximise.

    reward = -(weighted sum of minimised objectives) - penalty * (sum of scaled constraint violations);
    ``not_evaluated`` is the reward of a design without values, for agents cannot learn from NaN.
    """

    weights: tuple[float, ...] | None = None
    penalty: float = 1.0
    not_evaluated: float = -1e6

    def __call__(self, env: DesignEnv, evaluation: Evaluation) -> Array:
        """-> (n,) rewards."""
        weights = np.ones(len(env.objectives)) if self.weights is None else np.asarray(self.weights)
        reward = -evaluation.losses(env.objectives) @ weights - self.penalty * evaluation.violation(env.constraints)
        return np.where(evaluation.status == "ok", reward, self.not_evaluated)


class DesignEnv(gymnasium.Env[Array, Any]):
    """A Gymnasium environment whose action is a whole design and whose episode is one step.

    Subclasses set ``design_space``, ``objectives``, ``constraints`` (may be empty), optionally ``reference``, and
    define ``evaluate``. The reward scheme is declared by ``reward``.

    Observation: (m + k,) objectives and constraints of the last design (zeros before the first, and where there is no
    finite value). ``info`` of ``step`` has ``objectives``, ``constraints``, ``feasible``, ``status`` and ``metrics``.
    """

    metadata: dict[str, Any] = {"render_modes": ["ansi"]}  # noqa: RUF012 - Gymnasium's own declaration

    design_space: DesignSpace
    objectives: tuple[Objective, ...]
    constraints: tuple[Constraint, ...] = ()
    reference: Reference | None = None
    reward: Reward = Reward()

    def __init__(self, render_mode: str | None = None) -> None:
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise ValueError(f"render_mode = {render_mode!r}; allowed: {self.metadata['render_modes']}")
        self.render_mode = render_mode

    def evaluate(self, designs: Array) -> Evaluation:
        """designs: (n, d) natural units -> their Evaluation. Pure: same designs, same result."""
        raise NotImplementedError(f"{type(self).__name__} must define evaluate(designs)")

    @property
    def id(self) -> str:
        """The registered id, or the class name of an environment that was not made from the registry."""
        return self.spec.id if self.spec is not None else type(self).__name__

    # Gymnasium --------------------------------------------------------------------------------------------------

    @property
    def action_space(self) -> gymnasium.spaces.Dict:  # type: ignore[override]
        """The design space as a Gymnasium Dict, made once."""
        if "_action_space" not in self.__dict__:
            self._action_space = self.design_space.gymnasium()
        return self._action_space

    @property
    def observation_space(self) -> gymnasium.spaces.Box:  # type: ignore[override]
        """Box of objectives and constraints, made once."""
        if "_observation_space" not in self.__dict__:
            width = len(self.objectives) + len(self.constraints)
            limit = np.finfo(np.float64).max
            self._observation_space = gymnasium.spaces.Box(-limit, limit, (width,), np.float64)
        return self._observation_space

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Array, dict[str, Any]]:
        """Start a new episode; the best design so far is kept for ``render``."""
        super().reset(seed=seed)
        return np.zeros(self.observation_space.shape), {}

    def step(self, action: Any) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        """Evaluate one design, given as an element of ``action_space``; the episode ends."""
        designs = self.design_space.from_gymnasium(action)
        evaluation = self.evaluate(designs)
        reward = float(self.reward(self, evaluation)[0])
        observation = np.nan_to_num(np.concatenate([evaluation.objectives[0], evaluation.constraints[0]]))
        feasible = bool(evaluation.feasible[0])
        best = getattr(self, "_best", None)
        if feasible and (best is None or reward > best[0]):
            self._best = (reward, designs, evaluation)
        info = {
            "objectives": evaluation.objectives[0],
            "constraints": evaluation.constraints[0],
            "feasible": feasible,
            "status": str(evaluation.status[0]),
            "metrics": {name: values[0] for name, values in evaluation.metrics.items()},
        }
        return observation, reward, True, False, info

    def render(self) -> str | None:
        """The best feasible design so far as text (``render_mode="ansi"``)."""
        if self.render_mode is None:
            return None
        best = getattr(self, "_best", None)
        if best is None:
            return f"{self.id}: no feasible design yet"
        _, designs, evaluation = best
        design = self.design_space.decode(designs)[0]
        lines = [f"{self.id}: best feasible design"]
        lines += [
            f"  {o.name} = {v:.6g} {o.unit}" for o, v in zip(self.objectives, evaluation.objectives[0], strict=True)
        ]
        lines += [f"  {name} = {value} {self.design_space[name].unit}" for name, value in design.items()]
        return "\n".join(line.rstrip() for line in lines)


def describe(objectives: Iterable[Objective], constraints: Iterable[Constraint]) -> dict[str, Any]:
    """Objectives and constraints as plain data, for a store or a report."""
    return {"objectives": [asdict(o) for o in objectives], "constraints": [asdict(c) for c in constraints]}
