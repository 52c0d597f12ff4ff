"""How a store writes arrays and plain data as text.

Every JSON text is valid JSON: NaN is ``null`` and infinity the number ``1e999``, which JSON readers (Python, SQLite,
JavaScript) turn back into infinity. Finite floats are written with the digits that read back to the same bits.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from collections.abc import Sequence as Seq
from typing import Any

import numpy as np
from numpy.typing import NDArray

from designopt.parameters import Array

# Plain data -----------------------------------------------------------------------------------------------------

_STRING_OR_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|NaN|Infinity')
_TOKENS = {"NaN": "null", "Infinity": "1e999"}


def to_json(value: Any, other: Callable[[Any], Any] | None = None) -> str:
    """Plain data (numpy numbers and arrays included) as JSON text; ``other`` says what to make of anything else.

    Raises:
        TypeError: a value that is not plain data, when ``other`` is not given.
    """

    def plain(item: Any) -> Any:
        if isinstance(item, np.generic | np.ndarray):
            return item.tolist()
        if other is not None:
            return other(item)
        raise TypeError(f"{item!r} is neither a number, text, list nor dictionary")

    text = json.dumps(value, default=plain)
    if "NaN" in text or "Infinity" in text:
        text = _STRING_OR_TOKEN.sub(lambda found: _TOKENS.get(found[0], found[0]), text)
    return text


def from_json(text: str) -> Any:
    """Inverse of ``to_json`` with lists as tuples, which frozen Configs and hashable choices need."""
    return _tuples(json.loads(text))


def _tuples(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(map(_tuples, value))
    if isinstance(value, dict):
        return {key: _tuples(item) for key, item in value.items()}
    return value


def printable(text: str) -> str:
    """Text that every database takes: lone surrogates and NUL written as escapes."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")


# Arrays ---------------------------------------------------------------------------------------------------------


_COMPACT = json.JSONEncoder(separators=(",", ":"))


def _rows(array: NDArray[Any]) -> list[str]:
    """(n, w) numbers -> n comma-separated texts, by one call of the encoder."""
    text = _COMPACT.encode(array.tolist())
    text = text.replace("NaN", "null").replace("Infinity", "1e999")
    return text[2:-2].split("],[") if len(array) else []


def rows_to_json(array: NDArray[Any]) -> list[str]:
    """(n, w) numbers -> n JSON lists."""
    return [f"[{row}]" for row in _rows(array)]


def rows_from_json(texts: Seq[str], width: int) -> Array:
    """Inverse of ``rows_to_json`` -> (n, width)."""
    return np.array(json.loads(f"[{','.join(texts)}]"), dtype=np.float64).reshape(len(texts), width)


def metrics_to_json(metrics: dict[str, NDArray[Any]], n: int) -> list[str]:
    """Columns name -> (n,) as n JSON dictionaries; what JSON has no form for becomes its text."""
    if not metrics:
        return ["{}"] * n
    columns = [
        _rows(column[:, None]) if column.dtype.kind in "biuf" else [to_json(item, str) for item in column.tolist()]
        for column in metrics.values()
    ]
    row = "{" + ",".join(json.dumps(name).replace("%", "%%") + ":%s" for name in metrics) + "}"
    return [row % values for values in zip(*columns, strict=True)]


def metrics_from_json(texts: Seq[str]) -> dict[str, NDArray[Any]]:
    """Inverse of ``metrics_to_json``; a number that is missing or null is NaN."""
    if set(texts) == {"{}"}:
        return {}
    rows = json.loads(f"[{','.join(texts)}]")
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: _column([row.get(name) for row in rows]) for name in names}


def _column(values: list[Any]) -> NDArray[Any]:
    kinds = set(map(type, values))
    if kinds <= {int, float, bool, type(None)}:
        return np.array(values, dtype=np.float64 if type(None) in kinds else None)
    if kinds == {str}:
        return np.array(values)
    return np.fromiter(values, dtype=object, count=len(values))
