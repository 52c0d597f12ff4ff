"""Environments as Optuna objectives."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from collections.abc import Sequence as Seq
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from designopt.env import DesignEnv
from designopt.parameters import Array, Categorical, Integer, Ordinal, Real, Sequence


class OptunaObjective:
    """A callable ``trial -> value`` (or a tuple of values) in the environment's own sign.

    Parameters read as a person writes them: categoricals by label, ordinals by value, a sequence as one letter per
    position (``s[0]``, ``s[1]``, ...). Optuna has no ordered list of values, so there an ordinal is a categorical.

    Constraints are set with ``trial.set_constraint`` (feasible when <= 0), metrics as user attributes. An ``invalid``
    design prunes its trial, from which samplers such as TPE learn; ``failed``, ``timeout`` and ``lost`` end it as FAIL,
    which samplers ignore, and the study goes on. Both leave the user attributes ``status`` and ``error``.

    Attributes:
        directions: for ``optuna.create_study(directions=...)``.
        distributions: name -> distribution, for ``study.ask(...)`` and for samplers that want the space beforehand.
    """

    def __init__(self, env: DesignEnv) -> None:
        self.env = env
        self.directions = ["minimize" if o.sense == "min" else "maximize" for o in env.objectives]
        self.distributions: dict[str, BaseDistribution] = {}
        self._symbols: dict[str, dict[Any, float]] = {}
        for name, p in env.design_space.parameters.items():
            match p:
                case Real():
                    self.distributions[name] = FloatDistribution(p.low, p.high, log=p.log)
                case Integer():
                    self.distributions[name] = IntDistribution(int(p.low), int(p.high), log=p.log)
                case Ordinal():
                    self._choose(name, p.values, p.values)
                case Categorical():
                    self._choose(name, p.choices, range(len(p.choices)))
                case Sequence():
                    for i in range(p.length):
                        self._choose(f"{name}[{i}]", p.alphabet, range(len(p.alphabet)))

    def _choose(self, column: str, symbols: Seq[Hashable], values: Seq[float]) -> None:
        """What Optuna shows, and what the column of a design holds for it."""
        labels = [_label(symbol) for symbol in symbols]
        if len(set(labels)) < len(labels):
            raise ValueError(f"{column}: choices {symbols!r} do not differ as text, by which Optuna would keep them")
        self._symbols[column] = dict(zip(labels, values, strict=True))
        self.distributions[column] = CategoricalDistribution(labels)

    def designs(self, params: Mapping[str, Any]) -> Array:
        """Parameters of one trial, such as ``study.best_params`` -> (1, d) design."""
        row = [self._symbols[c][params[c]] if c in self._symbols else params[c] for c in self.env.design_space.columns]
        return self.env.design_space.validate([row])

    def __call__(self, trial: optuna.trial.BaseTrial) -> float | tuple[float, ...]:
        """Evaluate the design that the trial suggests.

        Raises:
            optuna.TrialPruned: the design is invalid.
        """
        params = {name: _suggest(trial, name, distribution) for name, distribution in self.distributions.items()}
        evaluation = self.env.evaluate(self.designs(params))
        for name, metric in evaluation.metrics.items():
            trial.set_user_attr(name, metric.tolist()[0])
        status, error = str(evaluation.status[0]), str(evaluation.errors[0])
        if status != "ok":
            trial.set_user_attr("status", status)
            trial.set_user_attr("error", error)
        if status == "invalid":
            raise optuna.TrialPruned(error)
        if status != "ok":
            return math.nan  # recorded as FAIL; an exception would stop the whole study
        for constraint, value in zip(self.env.constraints, evaluation.constraints[0], strict=True):
            trial.set_constraint(constraint.name, float(value))
        values = tuple(evaluation.objectives[0].tolist())
        return values if len(values) > 1 else values[0]


def _label(symbol: Hashable) -> Any:
    """The symbol itself where Optuna's storages can keep it, else its text."""
    return symbol if isinstance(symbol, bool | int | float | str | None) else str(symbol)


def _suggest(trial: optuna.trial.BaseTrial, name: str, distribution: BaseDistribution) -> Any:
    if isinstance(distribution, FloatDistribution):
        return trial.suggest_float(name, distribution.low, distribution.high, log=distribution.log)
    if isinstance(distribution, IntDistribution):
        return trial.suggest_int(name, distribution.low, distribution.high, log=distribution.log)
    assert isinstance(distribution, CategoricalDistribution)
    return trial.suggest_categorical(name, distribution.choices)


def to_optuna(env: DesignEnv) -> OptunaObjective:
    """The environment as an Optuna objective.

    For example::

        objective = to_optuna(env)
        study = optuna.create_study(directions=objective.directions)
        study.optimize(objective, n_trials=100)
    """
    return OptunaObjective(env)
