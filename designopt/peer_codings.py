"""Designs as other libraries write them: Gymnasium, Optuna and pymoo."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from designopt.parameters import Array, Categorical, Integer, Ordinal, Parameter, Real, Sequence, options

if TYPE_CHECKING:
    import gymnasium
    import optuna


class PeerCodings:
    """The part of DesignSpace that translates designs to and from other libraries."""

    parameters: dict[str, Parameter]
    columns: list[str]
    dim: int
    low: Array
    high: Array
    discrete: NDArray[np.bool_]
    categorical: NDArray[np.bool_]
    choices: NDArray[np.int64]
    _slices: dict[str, slice]
    _ordinals: list[tuple[int, Array]]
    _ordinal_columns: set[int]
    _start: Array
    _span: Array
    _log: NDArray[np.int64]

    if TYPE_CHECKING:

        def _check_names(self, names: Iterable[str]) -> None: ...
        def _shaped(self, designs: ArrayLike) -> Array: ...
        def _rounded(self, t: Array) -> Array: ...
        def validate(self, designs: ArrayLike) -> Array: ...  # noqa: D102

    def gymnasium(self) -> gymnasium.spaces.Dict:
        """A Dict space in natural units: Box for reals, Discrete for the rest, MultiDiscrete for sequences."""
        from gymnasium import spaces

        def space_of(p: Parameter) -> gymnasium.Space[Any]:
            match p:
                case Real():
                    return spaces.Box(p.low, p.high, shape=(), dtype=np.float64)
                case Integer():
                    return spaces.Discrete(int(p.high) - int(p.low) + 1, start=int(p.low))
                case Ordinal():
                    return spaces.Discrete(len(p.values))
                case Categorical():
                    return spaces.Discrete(len(p.choices))
                case Sequence():
                    return spaces.MultiDiscrete([len(p.alphabet)] * p.length)

        return spaces.Dict({name: space_of(p) for name, p in self.parameters.items()})

    def from_gymnasium(self, action: Mapping[str, Any]) -> Array:
        """One element of ``gymnasium()`` -> (1, d) design."""
        self._check_names(action)
        design = np.concatenate([np.asarray(action[name], dtype=np.float64).reshape(-1) for name in self.parameters])[
            None
        ]
        for column, values in self._ordinals:
            design[:, column] = values[int(design[0, column])]
        return self.validate(design)

    def to_gymnasium(self, design: ArrayLike) -> dict[str, Any]:
        """One design (d,) -> an element of ``gymnasium()``."""
        design = np.array(design, dtype=np.float64)
        for column, values in self._ordinals:
            design[column] = np.searchsorted(values, design[column])
        action: dict[str, Any] = {}
        for name, p in self.parameters.items():
            block = design[self._slices[name]]
            if isinstance(p, Real):
                action[name] = np.array(block[0])
            else:
                action[name] = block.astype(np.int64) if isinstance(p, Sequence) else np.int64(block[0])
        return action

    def optuna(self) -> dict[str, optuna.distributions.BaseDistribution]:
        """One Optuna distribution per column; ordinals are integers that index their values."""
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

        distributions: dict[str, optuna.distributions.BaseDistribution] = {}
        for name, p in self.parameters.items():
            match p:
                case Real():
                    distributions[name] = FloatDistribution(p.low, p.high, log=p.log)
                case Integer():
                    distributions[name] = IntDistribution(int(p.low), int(p.high), log=p.log)
                case Ordinal():
                    distributions[name] = IntDistribution(0, len(p.values) - 1)
                case Categorical() | Sequence():
                    indices = list(range(options(p)))
                    for column in self.columns[self._slices[name]]:
                        distributions[column] = CategoricalDistribution(indices)
        return distributions

    def to_optuna(self, designs: ArrayLike) -> list[dict[str, Any]]:
        """designs: (n, d) -> n dictionaries of values of ``optuna()`` (categoricals and ordinals as index)."""
        t = self._shaped(designs).copy()
        for column, values in self._ordinals:
            t[:, column] = np.searchsorted(values, t[:, column])
        columns = [t[:, i].astype(int).tolist() if self.discrete[i] else t[:, i].tolist() for i in range(self.dim)]
        return [dict(zip(self.columns, row, strict=True)) for row in zip(*columns, strict=True)]

    def from_optuna(self, parameters: Iterable[Mapping[str, Any]]) -> Array:
        """Inverse of ``to_optuna``."""
        t = np.array([[row[column] for column in self.columns] for row in parameters], dtype=np.float64)
        return self._rounded(t.reshape(-1, self.dim))

    def pymoo(self) -> dict[str, Any]:
        """One pymoo variable per column: log-scaled reals as natural logarithms, ordinals as index."""
        from pymoo.core import variable

        variables: dict[str, Any] = {}
        for i, column in enumerate(self.columns):
            if self.categorical[i]:
                variables[column] = variable.Choice(options=list(range(self.choices[i])))
            elif self.discrete[i]:
                top = self.high[i] - self.low[i] if i not in self._ordinal_columns else self._span[i] - 1
                low = 0 if i in self._ordinal_columns else self.low[i]
                variables[column] = variable.Integer(bounds=(int(low), int(low + top)))
            else:
                ends = (self._start[i], self._start[i] + self._span[i])
                variables[column] = variable.Real(bounds=(float(ends[0]), float(ends[1])))
        return variables

    def to_pymoo(self, designs: ArrayLike) -> list[dict[str, Any]]:
        """designs: (n, d) -> n dictionaries of values of ``pymoo()``."""
        t = self._shaped(designs).copy()
        real_log = [i for i in self._log if not self.discrete[i]]
        t[:, real_log] = np.log(t[:, real_log])
        for column, values in self._ordinals:
            t[:, column] = np.searchsorted(values, t[:, column])
        columns = [t[:, i].astype(int).tolist() if self.discrete[i] else t[:, i].tolist() for i in range(self.dim)]
        return [dict(zip(self.columns, row, strict=True)) for row in zip(*columns, strict=True)]

    def from_pymoo(self, variables: Iterable[Mapping[str, Any]]) -> Array:
        """Inverse of ``to_pymoo``."""
        t = np.array([[row[column] for column in self.columns] for row in variables], dtype=np.float64)
        t = t.reshape(-1, self.dim)
        real_log = [i for i in self._log if not self.discrete[i]]
        t[:, real_log] = np.exp(t[:, real_log])
        return self._rounded(t)
