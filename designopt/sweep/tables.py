"""Reading the tables of a sweep file: every key checked where it is, every error one line that names the place."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from designopt.parameters import suggest

REQUIRED: Any = object()

Kind = tuple[str, Callable[[Any], bool]]
"""What a value must be, in words and as a test."""


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _names(value: Any) -> bool:
    return isinstance(value, Mapping) and all(isinstance(key, str) for key in value)


TEXT: Kind = ("a text that is not empty", lambda value: isinstance(value, str) and bool(value.strip()))
POSITIVE: Kind = ("a number above 0", lambda value: _number(value) and value > 0)
GPUS: Kind = (
    "a fraction of one, or a whole number from 0",
    lambda value: _number(value) and value >= 0 and (value <= 1 or value == int(value)),
)
COUNT: Kind = ("a whole number, 1 or more", lambda value: _whole(value) and value >= 1)
COUNT_FROM_2: Kind = ("a whole number, 2 or more", lambda value: _whole(value) and value >= 2)
COUNT_FROM_0: Kind = ("a whole number, 0 or more", lambda value: _whole(value) and value >= 0)
MAPPING: Kind = ("a table of names and values", _names)
LISTS: Kind = (
    "a table of names and lists of values",
    lambda value: _names(value) and all(isinstance(entry, list | tuple) and len(entry) for entry in value.values()),
)
SEEDS: Kind = (
    "a number of seeds, or a list of different whole numbers from 0",
    lambda value: (
        COUNT[1](value)
        or (isinstance(value, list | tuple) and len(set(value)) == len(value) > 0 and all(map(COUNT_FROM_0[1], value)))
    ),
)


class Table:
    """One table of the file; ``take`` what is known, then ``close`` complains of the rest.

    Args:
        where: file and table, the beginning of every error.
        values: what the file holds there.

    Raises:
        ValueError: it is no table.
    """

    def __init__(self, where: str, values: Any) -> None:
        if not _names(values):
            raise ValueError(f"{where} is {values!r}; it must be {MAPPING[0]}")
        self.where = where
        self._values = dict(values)
        self._known: list[str] = []

    def take(self, key: str, kind: Kind, default: Any = REQUIRED) -> Any:
        """The value of a key, or its default.

        Raises:
            ValueError: it is missing and has no default, or is not of the kind.
        """
        self._known.append(key)
        value = self._values.pop(key, default)
        if value is REQUIRED:
            raise ValueError(f"{self.where} needs {key!r}: {kind[0]}")
        if value is not default and not kind[1](value):
            raise ValueError(f"{self.where} {key} = {value!r}; it must be {kind[0]}")
        return value

    def close(self) -> None:
        """Raises ValueError for a key that nobody took."""
        for key in self._values:
            raise ValueError(f"{self.where} has no key {key!r}; {suggest(key, self._known)}")
