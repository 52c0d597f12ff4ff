"""The ``@design_env`` decorator: a plain function of one design becomes a design environment."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from collections.abc import Sequence as Seq
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from designopt.env import Constraint, DesignEnv, InvalidDesign, Objective
from designopt.evaluation import Evaluation
from designopt.parameters import Array
from designopt.space import DesignSpace


@dataclass(frozen=True)
class Limit:
    """A bound on a named output, read from text such as ``"<= 250e6"``."""

    output: str
    sign: int
    bound: float
    unit: str = ""
    constraint: Constraint = field(init=False)

    def __post_init__(self) -> None:
        scale = abs(self.bound) or 1.0
        object.__setattr__(self, "constraint", Constraint(self.output, self.unit, scale))

    def __call__(self, values: Array) -> Array:
        """values: (n,) of the output -> (n,) feasible when <= 0."""
        return np.asarray(self.sign * (values - self.bound))

    PATTERN: ClassVar[re.Pattern[str]] = re.compile(r"\s*(<=|>=)\s*([-+]?[\d.]+(?:[eE][-+]?\d+)?)\s*")

    @classmethod
    def parse(cls, output: str, text: str, unit: str) -> Limit:
        """Raises ValueError when the text is not "<= number" or ">= number"."""
        match = cls.PATTERN.fullmatch(text) if isinstance(text, str) else None
        if match is None:
            raise ValueError(f"constraint {output!r}: {text!r} is not understood; write '<= NUMBER' or '>= NUMBER'")
        return cls(output, 1 if match[1] == "<=" else -1, float(match[2]), unit)


class FunctionEnv(DesignEnv):
    """A DesignEnv around a plain function, made by ``design_env``; ``function`` is the plain function."""

    def __init__(
        self,
        function: Callable[..., Mapping[str, Any]],
        space: DesignSpace,
        objectives: tuple[Objective, ...],
        limits: tuple[Limit, ...],
        vectorized: bool,
    ) -> None:
        super().__init__()
        self.function = function
        self.design_space = space
        self.objectives = objectives
        self.limits = limits
        self.constraints = tuple(limit.constraint for limit in limits)
        self.vectorized = vectorized
        self.__doc__ = function.__doc__

    @property
    def id(self) -> str:
        """The function's name."""
        return self.function.__name__

    def __call__(self, *args: Any, **kwargs: Any) -> Mapping[str, Any]:
        """Calling the environment calls the plain function."""
        return self.function(*args, **kwargs)

    def evaluate(self, designs: ArrayLike) -> Evaluation:
        """designs: (n, d) -> Evaluation; a design whose function call raises is ``failed``, the others are kept."""
        designs = np.asarray(designs, dtype=np.float64)
        if self.vectorized:
            outputs = self.function(**self.design_space.natural(designs))
            return self._evaluation(
                {name: np.asarray(v, dtype=np.float64) for name, v in outputs.items()}, len(designs)
            )
        rows: list[Mapping[str, Any]] = []
        status, errors = [], []
        for design in self.design_space.decode(designs):
            outputs, outcome, error = self._call(design)
            rows.append(outputs)
            status.append(outcome)
            errors.append(error)
        names = dict.fromkeys(name for row in rows for name in row)
        columns_ = {name: np.array([float(row.get(name, np.nan)) for row in rows]) for name in names}
        return self._evaluation(columns_, len(designs), status=np.array(status), errors=np.array(errors, dtype=object))

    def _call(self, design: dict[str, Any]) -> tuple[Mapping[str, Any], str, str]:
        try:
            outputs = self.function(**design)
            self._check_outputs(outputs)
            return {name: float(np.asarray(value).item()) for name, value in outputs.items()}, "ok", ""
        except InvalidDesign as reason:
            return {}, "invalid", str(reason)
        except Exception as error:  # a user's simulator may raise anything; the other designs must not be lost
            return {}, "failed", f"{type(error).__name__}: {error}"

    def _check_outputs(self, outputs: object) -> None:
        if not isinstance(outputs, Mapping):
            raise TypeError(f"{self.id} returned {type(outputs).__name__}; it must return a dict name -> value")
        for name in [o.name for o in self.objectives] + [limit.output for limit in self.limits]:
            if name not in outputs:
                raise KeyError(f"{self.id} did not return {name!r}; it returned {', '.join(map(str, outputs))}")

    def _evaluation(self, outputs: Mapping[str, Array], n: int, **extra: Any) -> Evaluation:
        if self.vectorized:
            self._check_outputs(outputs)
        nothing = np.full(n, np.nan)
        objectives = [outputs.get(o.name, nothing) for o in self.objectives]
        constraints = [limit(outputs.get(limit.output, nothing)) for limit in self.limits]
        shown = {o.name for o in self.objectives}
        metrics = {name: values for name, values in outputs.items() if name not in shown}
        return Evaluation(
            np.stack(objectives, axis=1),
            np.stack(constraints, axis=1) if constraints else np.zeros((n, 0)),
            metrics=metrics,
            **extra,
        )


def design_env(
    space: DesignSpace,
    *,
    minimize: Seq[str] = (),
    maximize: Seq[str] = (),
    constraints: Mapping[str, str] | None = None,
    units: Mapping[str, str] | None = None,
    vectorized: bool = False,
) -> Callable[[Callable[..., Mapping[str, Any]]], FunctionEnv]:
    """Decorator: a plain function of one design, returning a dict of outputs, becomes a DesignEnv.

    Args:
        space: the function's arguments.
        minimize: names of outputs to minimise.
        maximize: names of outputs to maximise; at least one objective in all.
        constraints: output name -> ``"<= number"`` or ``">= number"``.
        units: output name -> unit, for tables and pictures.
        vectorized: the function takes and returns arrays of shape (n,), all designs of a batch at once.

    The remaining outputs are recorded as metrics. Inside the function, ``raise InvalidDesign(reason)`` says that a
    design cannot be evaluated at all.

    Raises:
        ValueError: no objective, an objective named twice, or a constraint that cannot be read.
    """
    for argument, value in (("minimize", minimize), ("maximize", maximize)):
        if isinstance(value, str):
            raise ValueError(f"{argument} = {value!r} must be a list of output names, such as [{value!r}]")
    names = [*minimize, *maximize]
    if not names:
        raise ValueError("design_env needs at least one objective in minimize=[...] or maximize=[...]")
    if len(set(names)) < len(names):
        raise ValueError(f"design_env: an objective is named twice in {names}")
    units = dict(units or {})
    objectives = tuple(
        Objective(n, "min" if i < len(minimize) else "max", units.get(n, "")) for i, n in enumerate(names)
    )
    limits = tuple(Limit.parse(n, text, units.get(n, "")) for n, text in (constraints or {}).items())

    def wrap(function: Callable[..., Mapping[str, Any]]) -> FunctionEnv:
        return FunctionEnv(function, space, objectives, limits, vectorized)

    return wrap
