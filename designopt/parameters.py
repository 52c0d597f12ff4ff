"""Typed parameters of a design."""

from __future__ import annotations

import difflib
import itertools
import math
from collections.abc import Hashable, Iterable
from collections.abc import Sequence as Seq
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def suggest(name: object, known: Iterable[object]) -> str:
    """The end of an error sentence: which names are allowed, the nearest first when one is near."""
    names = sorted(map(str, known))
    near = difflib.get_close_matches(str(name), names, n=3, cutoff=0.5)
    return f"did you mean {' or '.join(map(repr, near))}?" if near else f"allowed: {', '.join(names) or 'none'}"


@dataclass(frozen=True)
class Real:
    """A real number in [low, high]; ``log=True`` searches it on a logarithmic scale."""

    low: float
    high: float
    unit: str = field(default="", kw_only=True)
    log: bool = field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        _check_range(self)


@dataclass(frozen=True)
class Integer:
    """A whole number in [low, high], both included; ``log=True`` searches it on a logarithmic scale."""

    low: int
    high: int
    unit: str = field(default="", kw_only=True)
    log: bool = field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        _check_range(self)
        for bound in (self.low, self.high):
            if int(bound) != bound:
                raise ValueError(f"Integer({self.low}, {self.high}): {bound} is not a whole number")


@dataclass(frozen=True)
class Ordinal:
    """One of finitely many increasing numbers, such as stock thicknesses; neighbours are alike."""

    values: Seq[float]
    unit: str = field(default="", kw_only=True)

    def __post_init__(self) -> None:
        values = tuple(float(v) for v in self.values)
        if not values or not np.all(np.isfinite(values)) or any(a >= b for a, b in itertools.pairwise(values)):
            raise ValueError(
                f"Ordinal({list(self.values)!r}): values must be finite, strictly increasing and at least one"
            )
        object.__setattr__(self, "values", values)


@dataclass(frozen=True)
class Categorical:
    """One of a few choices without order."""

    choices: Seq[Hashable]
    unit: str = field(default="", kw_only=True)

    def __post_init__(self) -> None:
        object.__setattr__(self, "choices", _distinct("Categorical", self.choices))


@dataclass(frozen=True)
class Sequence:
    """``length`` positions, each a letter of ``alphabet`` (a string, or a list of symbols)."""

    alphabet: Seq[Hashable]
    length: int
    unit: str = field(default="", kw_only=True)

    def __post_init__(self) -> None:
        object.__setattr__(self, "alphabet", _distinct("Sequence", self.alphabet))
        if self.length < 1:
            raise ValueError(f"Sequence length must be at least 1, got {self.length}")

    def join(self, letters: Seq[Hashable]) -> str | tuple[Hashable, ...]:
        """Letters as a string when every symbol is one character, else as a tuple."""
        if all(isinstance(a, str) and len(a) == 1 for a in self.alphabet):
            return "".join(map(str, letters))
        return tuple(letters)


Parameter = Real | Integer | Ordinal | Categorical | Sequence


def _check_range(parameter: Real | Integer) -> None:
    low, high, kind = parameter.low, parameter.high, type(parameter).__name__
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ValueError(f"{kind}({low}, {high}): bounds must be finite")
    if low >= high:
        raise ValueError(f"{kind}({low}, {high}): low must be below high")
    if parameter.log and low <= 0:
        raise ValueError(f"{kind}({low}, {high}, log=True): a logarithmic scale needs low > 0")


def _distinct(kind: str, choices: Seq[Hashable]) -> tuple[Hashable, ...]:
    choices = tuple(choices)
    if not choices:
        raise ValueError(f"{kind} needs at least one choice")
    if len(set(choices)) < len(choices):
        raise ValueError(f"{kind}({list(choices)!r}): choices must be distinct")
    return choices


def options(p: Categorical | Sequence) -> int:
    """How many symbols a categorical column chooses from."""
    return len(p.choices if isinstance(p, Categorical) else p.alphabet)


def levels(p: Integer | Ordinal | Categorical | Sequence) -> Array:
    """(c,) values that a column of a discrete parameter takes, increasing; indices for categories and letters."""
    if isinstance(p, Integer):
        return np.arange(p.low, p.high + 1, dtype=np.float64)
    return np.array(p.values) if isinstance(p, Ordinal) else np.arange(options(p), dtype=np.float64)
