"""A table of designs as a design space and an array."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence as Seq
from typing import TYPE_CHECKING, Any

import numpy as np

from designopt.parameters import Array, Categorical, Integer, Parameter, Real, Sequence, suggest
from designopt.space import DesignSpace

if TYPE_CHECKING:
    import pandas as pd

Bounds = Mapping[str, tuple[float | None, float | None]]


def read_table(
    frame: pd.DataFrame, features: Seq[str] | Mapping[str, Parameter], bounds: Bounds
) -> tuple[DesignSpace, Array]:
    """Features of a table.

    Whole numbers become Integer, other numbers Real, both over the range of the data widened to ``bounds``; texts and
    booleans become Categorical over the values that occur. A mapping gives parameters instead.

    Returns:
        The space, and (N, d) its encoding of every row; NaN where a value is missing.

    Raises:
        ValueError: no row, unknown or constant-only columns, a value that its parameter does not hold.
    """
    if not len(frame):
        raise ValueError("the data have 0 rows; at least one is needed")
    for name in features:
        if name not in frame.columns:
            raise ValueError(f"the data have no column {name!r}; {suggest(name, frame.columns)}")
    given = features if isinstance(features, Mapping) else {}
    parameters: dict[str, Parameter] = {}
    for name in features:
        parameter = given.get(name) or infer(frame[name], bounds.get(name, (None, None)))
        if isinstance(parameter, Sequence):
            raise ValueError(f"feature {name!r}: sequences are not supported in tables; use one column per position")
        parameters[str(name)] = parameter
    space = DesignSpace(parameters)
    columns = [encode(name, p, frame[name]) for name, p in space.parameters.items()]
    return space, np.stack(columns, axis=1)


def infer(column: pd.Series[Any], bounds: tuple[float | None, float | None]) -> Parameter:
    """The parameter that a column's values suggest."""
    present = column.dropna()
    if not len(present):
        raise ValueError(f"column {column.name!r} has no value")
    if column.dtype.kind not in "fiu" or column.dtype == bool:
        return Categorical(sorted({_plain(v) for v in present}, key=str))
    low, high = float(present.min()), float(present.max())
    low, high = (
        (low if bounds[0] is None else min(low, bounds[0])),
        (high if bounds[1] is None else max(high, bounds[1])),
    )
    if low == high:
        return Categorical([_plain(present.iloc[0])])  # nothing to choose from
    return Integer(int(np.floor(low)), int(np.ceil(high))) if column.dtype.kind in "iu" else Real(low, high)


def encode(name: str, parameter: Parameter, values: Any) -> Array:
    """(n,) encoded values, NaN where missing; numbers may lie outside the parameter's range.

    Raises:
        ValueError: a class that is no choice, or a text that is no number.
    """
    if isinstance(parameter, Categorical):
        index = {choice: float(i) for i, choice in enumerate(parameter.choices)}
        codes = np.empty(len(values))
        for i, value in enumerate(values):
            if value is None or (isinstance(value, float) and np.isnan(value)):
                codes[i] = np.nan
            elif _plain(value) in index:
                codes[i] = index[_plain(value)]
            else:
                raise ValueError(f"{name} = {value!r} is not allowed; {suggest(value, parameter.choices)}")
        return codes
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"feature {name!r} holds a value that is no number") from None


def _plain(value: Any) -> Any:
    """A NumPy scalar as Python's own."""
    return value.item() if hasattr(value, "item") else value
