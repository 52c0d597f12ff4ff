"""Design spaces: typed parameters and every encoding of them.

A design travels as one row of a float64 array in natural units. Real, integer and ordinal columns hold the value,
categorical columns the index of the choice, and a sequence is one categorical column per position.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from designopt.parameters import Array, Categorical, Integer, Ordinal, Parameter, Real, Sequence, options, suggest
from designopt.peer_codings import PeerCodings

if TYPE_CHECKING:
    import pandas as pd


class DesignSpace(PeerCodings):
    """Named parameters in order, and every encoding of designs over them.

    Parameters are given by keyword, as a mapping, or as (name, parameter) pairs::

        space = DesignSpace(width=Real(0.01, 0.1, unit="m"), bolts=Integer(2, 8), material=Categorical(["steel", "al"]))

    Attributes:
        parameters: name -> parameter, in column order.
        columns: the d column names; a sequence ``s`` has columns ``s[0]``, ``s[1]``, ...
        dim: number of columns d; ``unit_dim`` is the width of the unit-cube coding, also d.
        low, high: (d,) bounds in natural units (of the index, for categorical columns).
        discrete, categorical: (d,) boolean masks; integer, ordinal and categorical columns are discrete.

    Raises:
        ValueError: no parameter, or a name given twice.
        TypeError: a value that is no parameter.
    """

    def __init__(
        self,
        parameters: Mapping[str, Parameter] | Iterable[tuple[str, Parameter]] = (),
        /,
        **named: Parameter,
    ) -> None:
        pairs = list(parameters.items() if isinstance(parameters, Mapping) else parameters) + list(named.items())
        self.parameters: dict[str, Parameter] = {}
        for name, parameter in pairs:
            if name in self.parameters:
                raise ValueError(f"parameter {name!r} is defined twice")
            if not isinstance(parameter, Parameter):
                kinds = "Real, Integer, Ordinal, Categorical or Sequence"
                raise TypeError(f"parameter {name!r} is {parameter!r}; it must be a {kinds}")
            self.parameters[name] = parameter
        if not self.parameters:
            raise ValueError("a design space needs at least one parameter")
        self._lay_out_columns()

    def _lay_out_columns(self) -> None:
        """Column arrays: every kind becomes an affine map of value, log value or index onto the unit interval."""
        self.columns: list[str] = []
        self._slices: dict[str, slice] = {}
        self._ordinals: list[tuple[int, Array]] = []
        low, high, start, stop, log, discrete, choices = [], [], [], [], [], [], []
        for name, p in self.parameters.items():
            first = len(self.columns)
            width = p.length if isinstance(p, Sequence) else 1
            self._slices[name] = slice(first, first + width)
            self.columns += [f"{name}[{i}]" for i in range(width)] if isinstance(p, Sequence) else [name]
            if isinstance(p, Real | Integer):
                margin = 0.5 if isinstance(p, Integer) else 0.0
                ends = (p.low - margin, p.high + margin)
                bounds = (float(p.low), float(p.high))
                ends = (math.log(ends[0]), math.log(ends[1])) if p.log else ends
            elif isinstance(p, Ordinal):
                ends = (-0.5, len(p.values) - 0.5)
                bounds = (p.values[0], p.values[-1])
                self._ordinals.append((first, np.array(p.values)))
            else:
                ends = (-0.5, options(p) - 0.5)
                bounds = (0.0, options(p) - 1.0)
            low += [bounds[0]] * width
            high += [bounds[1]] * width
            start += [ends[0]] * width
            stop += [ends[1]] * width
            log += [isinstance(p, Real | Integer) and p.log] * width
            discrete += [not isinstance(p, Real)] * width
            choices += [options(p) if isinstance(p, Categorical | Sequence) else 0] * width
        self.dim = self.unit_dim = len(self.columns)
        self.low: Array = np.array(low)
        self.high: Array = np.array(high)
        self.discrete = np.array(discrete)
        self.choices = np.array(choices)
        self.categorical = self.choices > 0
        self._start, self._span = np.array(start), np.array(stop) - np.array(start)
        self._log = np.flatnonzero(log)
        self._ordinal_columns = {column for column, _ in self._ordinals}
        # Values that round as they stand: integers and categorical indices. Ordinals round on their index.
        self._whole = np.flatnonzero([d and i not in self._ordinal_columns for i, d in enumerate(discrete)])

    def __len__(self) -> int:
        return len(self.parameters)

    def __getitem__(self, name: str) -> Parameter:
        return self.parameters[name]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DesignSpace) and list(self.parameters.items()) == list(other.parameters.items())

    def __hash__(self) -> int:
        return hash(tuple(self.parameters.items()))

    def __repr__(self) -> str:
        return f"DesignSpace({', '.join(f'{name}={p!r}' for name, p in self.parameters.items())})"

    @property
    def names(self) -> list[str]:
        """Parameter names in order."""
        return list(self.parameters)

    # Checking ---------------------------------------------------------------------------------------------------

    def contains(self, designs: ArrayLike) -> NDArray[np.bool_]:
        """designs: (n, d) -> (n,) whether each row is a design of this space."""
        return np.asarray(self._valid(self._shaped(designs)).all(axis=1), dtype=bool)

    def validate(self, designs: ArrayLike) -> Array:
        """The same designs as an (n, d) float64 array.

        Raises:
            ValueError: wrong shape, or a value outside its parameter; the first offender is named.
        """
        designs = self._shaped(designs)
        valid = self._valid(designs)
        if not valid.all():
            row, column = np.argwhere(~valid)[0]
            value = f"{self.columns[column]} = {designs[row, column]:.10g}"
            raise ValueError(f"design {row}: {value} is not allowed; {self._allowed(column)}")
        return designs

    def _shaped(self, designs: ArrayLike) -> Array:
        designs = np.asarray(designs, dtype=np.float64)
        if designs.ndim != 2 or designs.shape[1] != self.dim:
            raise ValueError(f"designs must have shape (n, {self.dim}), got {designs.shape}")
        return designs

    def _valid(self, designs: Array) -> NDArray[np.bool_]:
        valid = (designs >= self.low) & (designs <= self.high)
        if len(self._whole):
            valid[:, self._whole] &= designs[:, self._whole] == np.rint(designs[:, self._whole])
        for column, values in self._ordinals:
            valid[:, column] &= np.isin(designs[:, column], values)
        return valid

    def _allowed(self, column: int) -> str:
        for name, where in self._slices.items():
            if where.start <= column < where.stop:
                p = self.parameters[name]
                if isinstance(p, Ordinal):
                    return f"allowed: {', '.join(f'{v:g}' for v in p.values)}"
                if isinstance(p, Categorical | Sequence):
                    return f"allowed: index 0 to {options(p) - 1}"
        kind = "whole numbers" if self.discrete[column] else "values"
        return f"allowed: {kind} from {self.low[column]:g} to {self.high[column]:g}"

    # Arrays -----------------------------------------------------------------------------------------------------

    def sample(self, n: int, seed: int | np.random.Generator | None = None) -> Array:
        """-> (n, d) designs, uniform in the unit-cube coding (so log-uniform where ``log=True``)."""
        return self.from_unit(np.random.default_rng(seed).random((n, self.dim)))

    def to_unit(self, designs: ArrayLike) -> Array:
        """designs: (n, d) -> (n, d) in the unit cube; discrete values sit at the centre of equal bins."""
        return np.asarray((self._scaled(self._shaped(designs)) - self._start) / self._span)

    def from_unit(self, unit: ArrayLike) -> Array:
        """unit: (n, d) in the unit cube (clipped to it) -> (n, d) designs: scale undone, rounded, within bounds."""
        t = self._start + np.clip(self._shaped(unit), 0.0, 1.0) * self._span
        t[:, self._log] = np.exp(t[:, self._log])
        return self._rounded(t)

    def snap(self, designs: ArrayLike) -> Array:
        """designs: (n, d) -> the nearest valid designs: clipped to the bounds, discrete columns rounded."""
        t = np.clip(self._shaped(designs), self.low, self.high)
        for column, values in self._ordinals:
            t[:, column] = np.abs(t[:, column, None] - values).argmin(axis=1)
        return self._rounded(t)

    def _scaled(self, designs: Array) -> Array:
        t = designs.copy()
        t[:, self._log] = np.log(t[:, self._log])
        for column, values in self._ordinals:
            t[:, column] = np.searchsorted(values, t[:, column])
        return t

    def _rounded(self, t: Array) -> Array:
        """Values with ordinal columns still as index -> designs."""
        t[:, self._whole] = np.floor(t[:, self._whole] + 0.5)
        for column, values in self._ordinals:
            index = np.floor(t[:, column] + 0.5).astype(int)
            t[:, column] = values[np.clip(index, 0, len(values) - 1)]
        return np.clip(t, self.low, self.high)

    def one_hot(self, designs: ArrayLike) -> Array:
        """designs: (n, d) -> (n, D): unit coding with each categorical column spread over one column per choice."""
        designs = self._shaped(designs)
        unit = self.to_unit(designs)
        parts = []
        for i, n in enumerate(self.choices):
            parts.append(designs[:, i, None] == np.arange(n) if n else unit[:, i, None])
        return np.concatenate(parts, axis=1, dtype=np.float64)

    def from_one_hot(self, codes: ArrayLike) -> Array:
        """codes: (n, D), scores allowed in place of ones -> (n, d) designs, the highest score of each group chosen."""
        codes = np.asarray(codes, dtype=np.float64)
        widths = np.where(self.categorical, self.choices, 1)
        ends = np.cumsum(widths)
        if codes.ndim != 2 or codes.shape[1] != ends[-1]:
            raise ValueError(f"one-hot codes must have shape (n, {ends[-1]}), got {codes.shape}")
        unit = np.empty((len(codes), self.dim))
        for i, (width, end) in enumerate(zip(widths, ends, strict=True)):
            group = codes[:, end - width : end]
            unit[:, i] = (group.argmax(axis=1) + 0.5) / width if self.categorical[i] else group[:, 0]
        return self.from_unit(unit)

    # Dictionaries and tables ------------------------------------------------------------------------------------

    def encode(self, designs: Iterable[Mapping[str, Any]] | Mapping[str, ArrayLike] | pd.DataFrame) -> Array:
        """Dictionaries name -> value (or a table: name -> column of values) -> (n, d) designs.

        Raises:
            ValueError: a name missing or unknown, or a value that is not allowed.
        """
        table: Any = designs
        if not isinstance(designs, Mapping) and not hasattr(designs, "columns"):
            rows: list[Any] = list(designs)
            for row in rows:
                self._check_names(row)
            table = {name: [row[name] for row in rows] for name in self.parameters}
        self._check_names(table)
        columns = [self._encode_column(name, p, table[name]) for name, p in self.parameters.items()]
        return self.validate(np.concatenate(columns, axis=1))

    def _check_names(self, names: Iterable[str]) -> None:
        for name in names:
            if name not in self.parameters:
                raise ValueError(f"unknown parameter {name!r}; {suggest(name, self.parameters)}")
        for name in self.parameters:
            if name not in names:
                raise ValueError(f"parameter {name!r} is missing; needed: {', '.join(self.parameters)}")

    def _encode_column(self, name: str, p: Parameter, values: Any) -> Array:
        if isinstance(p, Categorical | Sequence):
            symbols, width = (p.alphabet, p.length) if isinstance(p, Sequence) else (p.choices, 1)
            if isinstance(p, Sequence):
                rows = [tuple(v) for v in values]
                if any(len(row) != width for row in rows):
                    raise ValueError(f"{name}: every sequence must have {width} letters")
                values = itertools.chain.from_iterable(rows)
            elif hasattr(values, "to_numpy"):
                values = values.to_numpy(dtype=object)  # iterating over a pandas column is seven times slower
            index = {symbol: i for i, symbol in enumerate(symbols)}
            try:
                codes = np.fromiter(map(index.__getitem__, values), dtype=np.float64)
            except KeyError as missing:
                value = missing.args[0]
                raise ValueError(f"{name} = {value!r} is not allowed; {suggest(value, symbols)}") from None
            return codes.reshape(-1, width)
        try:
            return np.asarray(values, dtype=np.float64).reshape(-1, 1)
        except (TypeError, ValueError):
            raise ValueError(f"{name} = {values!r} holds a value that is not a number") from None

    def decode(self, designs: ArrayLike) -> list[dict[str, Any]]:
        """designs: (n, d) -> n dictionaries name -> value (int for integers, the choice itself for categoricals)."""
        columns = [column.tolist() for column in self.natural(designs).values()]
        return [dict(zip(self.parameters, row, strict=True)) for row in zip(*columns, strict=True)]

    def frame(self, designs: ArrayLike) -> pd.DataFrame:
        """designs: (n, d) -> a table with one column per parameter, values as in ``decode``."""
        import pandas as pd

        return pd.DataFrame(self.natural(designs))

    def natural(self, designs: ArrayLike) -> dict[str, NDArray[Any]]:
        """designs: (n, d) -> name -> (n,) values as in ``decode``."""
        designs = self._shaped(designs)
        columns: dict[str, NDArray[Any]] = {}
        for name, p in self.parameters.items():
            block = designs[:, self._slices[name]]
            if isinstance(p, Sequence):
                letters = _objects(p.alphabet)[block.astype(int)]
                columns[name] = _objects([p.join(row) for row in letters.tolist()])
            elif isinstance(p, Categorical):
                columns[name] = _objects(p.choices)[block[:, 0].astype(int)]
            else:
                columns[name] = block[:, 0].astype(int) if isinstance(p, Integer) else block[:, 0]
        return columns

    def to_json(self) -> list[dict[str, Any]]:
        """The space as plain data, for a store or a report."""
        return [{"name": n, "kind": type(p).__name__, **asdict(p)} for n, p in self.parameters.items()]

    @classmethod
    def from_json(cls, description: Iterable[Mapping[str, Any]]) -> DesignSpace:
        """Inverse of ``to_json``."""
        kinds = {kind.__name__: kind for kind in (Real, Integer, Ordinal, Categorical, Sequence)}
        entries = [dict(entry) for entry in description]
        return cls([(e.pop("name"), kinds[e.pop("kind")](**e)) for e in entries])


def _objects(values: Iterable[Any]) -> NDArray[Any]:
    """A 1-D object array, also when the values are tuples that numpy would make a second axis of."""
    values = list(values)
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array
