"""What holds for every design environment."""

from __future__ import annotations

import warnings
from typing import Any, SupportsFloat

import cloudpickle
import gymnasium
import numpy as np
from gymnasium.utils.env_checker import check_env as check_gymnasium_env

from designopt.env import Constraint, DesignEnv, Objective
from designopt.evaluation import Evaluation
from designopt.parameters import Array
from designopt.space import DesignSpace


def require(condition: object, sentence: str) -> None:
    """Raises AssertionError with that sentence; unlike ``assert`` also under ``python -O``."""
    if not condition:
        raise AssertionError(sentence)


def check_env(env: DesignEnv, *, samples: int = 8, seed: int = 0, rtol: float = 1e-9) -> None:
    """Check a design environment against the contract of ``DesignEnv``.

    Args:
        env: the environment.
        samples: random designs evaluated, besides the corners of the space; 0 for an expensive environment.
        seed: of those designs.
        rtol: relative difference allowed between a batch and its designs one by one (vectorised arithmetic may round
            differently); the same batch twice must agree to the last bit.

    Raises:
        AssertionError: what is wrong, in a sentence.
    """
    _check_declaration(env)
    space = env.design_space
    designs = np.concatenate(
        [[space.low, space.high], space.from_unit([[0.5] * space.dim]), space.sample(samples, seed)]
    )
    evaluation = _evaluate(env, designs)
    _check_same(env, _evaluate(env, designs), evaluation, 0.0, "evaluating the same designs again")
    one_by_one = Evaluation.concatenate(_evaluate(env, designs[i : i + 1]) for i in range(len(designs)))
    _check_same(env, one_by_one, evaluation, rtol, "evaluating designs one by one instead of in a batch")
    backwards = _evaluate(env, designs[::-1].copy())[::-1]
    _check_same(env, backwards, evaluation, rtol, "evaluating a batch in reverse order")
    copy = cloudpickle.loads(cloudpickle.dumps(env))
    _check_same(env, _evaluate(copy, designs), evaluation, 0.0, "evaluating a pickled copy of the environment")
    _check_reference(env, evaluation)
    _check_gymnasium(env)


def _check_declaration(env: DesignEnv) -> None:
    require(isinstance(env, DesignEnv), f"{type(env).__name__} must be a DesignEnv")
    require(
        isinstance(getattr(env, "design_space", None), DesignSpace), f"{env.id}: design_space must be a DesignSpace"
    )
    for field, kind in (("objectives", Objective), ("constraints", Constraint)):
        declared = getattr(env, field, None)
        require(
            isinstance(declared, tuple) and all(isinstance(item, kind) for item in declared),
            f"{env.id}: {field} = {declared!r} must be a tuple of {kind.__name__}",
        )
    require(env.objectives, f"{env.id}: objectives is empty; at least one is needed")
    names = [o.name for o in env.objectives] + [c.name for c in env.constraints]
    for name in names:
        require(name, f"{env.id}: an objective or constraint has an empty name")
        require(names.count(name) == 1, f"{env.id}: two objectives or constraints are named {name!r}")


def _evaluate(env: DesignEnv, designs: Array) -> Evaluation:
    """The evaluation, after checks of its shape and that the argument is as before."""
    given = designs.copy()
    evaluation = env.evaluate(given)
    require(np.array_equal(given, designs), f"{env.id}: evaluate changed the array of designs that it was given")
    require(
        isinstance(evaluation, Evaluation),
        f"{env.id}: evaluate returned {type(evaluation).__name__}, not an Evaluation",
    )
    for field, columns in (("objectives", len(env.objectives)), ("constraints", len(env.constraints))):
        shape, expected = getattr(evaluation, field).shape, (len(designs), columns)
        require(shape == expected, f"{env.id}: evaluate returned {field} of shape {shape} for {expected} declared")
    values = np.concatenate([evaluation.objectives, evaluation.constraints], axis=1)
    flawed = (evaluation.status == "ok") & ~np.isfinite(values).all(axis=1)
    require(not flawed.any(), f"{env.id}: design {designs[flawed][:1].tolist()} has NaN or inf but status 'ok'")
    return evaluation


def _check_same(env: DesignEnv, new: Evaluation, old: Evaluation, rtol: float, act: str) -> None:
    outputs = {o.name: (old.objectives[:, i], new.objectives[:, i]) for i, o in enumerate(env.objectives)}
    outputs |= {c.name: (old.constraints[:, i], new.constraints[:, i]) for i, c in enumerate(env.constraints)}
    require(
        old.metrics.keys() == new.metrics.keys(),
        f"{env.id}: {act} changed the metrics from {sorted(old.metrics)} to {sorted(new.metrics)}",
    )
    outputs |= {name: (values, new.metrics[name]) for name, values in old.metrics.items()}
    require(
        np.array_equal(old.status, new.status), f"{env.id}: {act} changed the status from {old.status} to {new.status}"
    )
    for name, (before, after) in outputs.items():
        if before.dtype.kind not in "fiub":
            same = before == after
        else:
            same = np.isclose(before, after, rtol=rtol, atol=0.0, equal_nan=True)
        if not same.all():
            row = np.flatnonzero(~same)[0]
            raise AssertionError(f"{env.id}: {act} changed {name!r} from {before[row]!r} to {after[row]!r}")


def _check_reference(env: DesignEnv, sampled: Evaluation) -> None:
    reference = env.reference
    if reference is None:
        return
    require(reference.source, f"{env.id}: the reference has no source")
    if reference.hypervolume is not None:
        point = reference.reference_point
        require(
            point is not None and len(point) == len(env.objectives),
            f"{env.id}: the reference hypervolume needs a reference_point of {len(env.objectives)} values, got {point}",
        )
    if reference.value is None:
        return
    require(len(env.objectives) == 1, f"{env.id}: a reference value needs one objective, not {len(env.objectives)}")
    tolerance = 1e-4 * max(abs(reference.value), 1e-4)
    sign = 1.0 if env.objectives[0].sense == "min" else -1.0
    best = sign * sampled.losses(env.objectives)[sampled.feasible, 0].min(initial=np.inf)
    require(
        sign * (best - reference.value) >= -tolerance,
        f"{env.id}: a random design attains {best}, better than the reference value {reference.value}",
    )
    if reference.design is None:
        return
    design = np.array([reference.design])
    require(
        design.shape[1] == env.design_space.dim and env.design_space.contains(design).all(),
        f"{env.id}: the reference design {reference.design} is not in the design space",
    )
    evaluation = _evaluate(env, design)
    value, violation = evaluation.objectives[0, 0], evaluation.violation(env.constraints)[0]
    require(
        abs(value - reference.value) <= tolerance,
        f"{env.id}: the reference design has value {value}, not the reference value {reference.value}",
    )
    require(violation <= 1e-3, f"{env.id}: the reference design violates the constraints by {violation} (scaled)")


def _check_gymnasium(env: DesignEnv) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # advice for control tasks, such as to normalise actions
        try:
            check_gymnasium_env(_WithoutNaN(env), skip_render_check=True)
        except Exception as error:  # the checker asserts, and what it calls may raise anything
            raise AssertionError(f"{env.id}: Gymnasium's own checker says: {error}") from error


class _WithoutNaN(gymnasium.Wrapper[Any, Any, Any, Any], gymnasium.utils.RecordConstructorArgs):
    """Zeros for NaN in ``info``: Gymnasium's checker compares with ==, and a design without values is no flaw."""

    def __init__(self, env: DesignEnv) -> None:
        gymnasium.utils.RecordConstructorArgs.__init__(self)  # for the spec that the checker asks for
        super().__init__(env)

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        observation, reward, terminated, truncated, info = self.env.step(action)
        for values in (info, info.get("metrics", {})):
            values |= {k: np.nan_to_num(v) for k, v in values.items() if np.asarray(v).dtype.kind == "f"}
        return observation, reward, terminated, truncated, info
