"""Layers and mappings as the cost models see them, and the text form of a mapping."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence as Seq
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from designopt.parameters import suggest

DIMS = ("K", "C", "R", "S", "Y", "X")
NAMES = (*DIMS, "Y'", "X'")
TYPES = ("CONV", "DSCONV")
LIMIT = 10**6

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Layer:
    """A convolution: K filters of C x R x S over C maps of Y x X elements, padding included.

    ``type`` is "CONV", or "DSCONV" for a depthwise one (K = 1, a filter of R x S for each of C maps). A fully connected
    layer has R = S = Y = X = 1.
    """

    K: int
    C: int
    Y: int
    X: int
    R: int
    S: int
    stride: int = 1
    type: str = "CONV"

    def __post_init__(self) -> None:
        for name in (*DIMS, "stride"):
            object.__setattr__(self, name, whole(f"layer: {name}", getattr(self, name)))
        if self.type not in TYPES:
            raise ValueError(f"layer: type = {self.type!r}; {suggest(self.type, TYPES)}")
        if self.type == "DSCONV" and self.K != 1:
            raise ValueError(f"layer: K = {self.K}; a DSCONV layer has K = 1, its filters are counted by C")
        for window, side in (("R", "Y"), ("S", "X")):
            if getattr(self, window) > getattr(self, side):
                raise ValueError(
                    f"layer: {window} = {getattr(self, window)} is larger than {side} = {getattr(self, side)}; "
                    "give the size of the map with its padding"
                )

    @property
    def depthwise(self) -> bool:
        """Whether each map has a filter of its own."""
        return self.type == "DSCONV"

    @property
    def rows(self) -> int:
        """Rows of the output."""
        return (self.Y - self.R) // self.stride + 1

    @property
    def columns(self) -> int:
        """Columns of the output."""
        return (self.X - self.S) // self.stride + 1

    @property
    def macs(self) -> int:
        """Multiply-accumulates."""
        return self.K * self.C * self.R * self.S * self.rows * self.columns

    @property
    def numbers(self) -> Integers:
        """(8,) K, C, R, S, Y, X, stride, whether it is depthwise."""
        return np.array([*(getattr(self, d) for d in DIMS), self.stride, self.depthwise], dtype=np.int64)


def layer_of(layer: Layer | Mapping[str, Any]) -> Layer:
    """A layer from a dictionary with K, C, Y, X, R, S and optionally stride and type.

    Raises:
        ValueError: a missing or unknown name, or a value that is not allowed.
    """
    if isinstance(layer, Layer):
        return layer
    known = ("K", "C", "Y", "X", "R", "S", "stride", "type")
    for name in layer:
        if name not in known:
            raise ValueError(f"layer: unknown name {name!r}; {suggest(name, known)}")
    missing = [name for name in known[:6] if name not in layer]
    if missing:
        raise ValueError(f"layer: missing {', '.join(missing)}; needed: {', '.join(known[:6])}")
    return Layer(**layer)


@dataclass(frozen=True)
class Directive:
    """A loop over a dimension: ``size`` elements at a time, ``offset`` apart, over time (T) or over units (S).

    Dimensions Y' and X' count outputs instead of inputs.
    """

    kind: str
    dim: str
    size: int
    offset: int


@dataclass(frozen=True)
class LevelMapping:
    """Directives from the outermost to the innermost; ``cluster``: units below one unit of the level above."""

    directives: tuple[Directive, ...]
    cluster: int | None = None


def parse(mapping: str | Seq[LevelMapping]) -> tuple[LevelMapping, ...]:
    """The levels of a mapping such as ``S K 1 1;T C 32 32|32|S C 1 1``, the top level first.

    Raises:
        ValueError: text that does not read as directives and cluster sizes, a dimension given twice in a level, Y'
            without R or X' without S in the same level, or more than two levels; the place is named.
    """
    levels = tuple(mapping) if not isinstance(mapping, str) else _read(mapping)
    if len(levels) not in (1, 2):
        raise ValueError(f"mapping: {len(levels)} levels; it must have one or two")
    for number, level in enumerate(levels):
        place = f"mapping, level {number}"
        if (level.cluster is None) != (number == 0):
            raise ValueError(f"{place}: cluster = {level.cluster!r}; every level but the top one has a cluster size")
        if level.cluster is not None:
            whole(f"{place}: cluster size", level.cluster)
        seen: set[str] = set()
        for directive in level.directives:
            dim = directive.dim.rstrip("'") if directive.dim in ("Y'", "X'") else directive.dim
            if directive.kind not in ("S", "T"):
                raise ValueError(f"{place}: {directive.kind!r} in {directive}; allowed: 'S', 'T'")
            if dim not in DIMS:
                raise ValueError(f"{place}: dimension {directive.dim!r}; {suggest(dim, NAMES)}")
            if dim in seen:
                raise ValueError(f"{place}: dimension {dim} is given twice")
            seen.add(dim)
            whole(f"{place}: size of {directive.dim}", directive.size)
            whole(f"{place}: offset of {directive.dim}", directive.offset)
        for outputs, window in (("Y'", "R"), ("X'", "S")):
            if any(d.dim == outputs for d in level.directives) and window not in seen:
                raise ValueError(f"{place}: {outputs} needs {window} in the same level")
    return levels


def _read(text: str) -> tuple[LevelMapping, ...]:
    parts = text.split("|")
    levels = []
    for number, part in enumerate(parts[::2]):
        directives = []
        for piece in part.split(";"):
            words = piece.split()
            if len(words) != 4:
                raise ValueError(f"mapping, level {number}: {piece!r}; a directive is 'S|T dimension size offset'")
            size, offset = (whole(f"mapping, level {number}: {piece!r}", word) for word in words[2:])
            directives.append(Directive(words[0], words[1], size, offset))
        cluster = whole(f"mapping, level {number}: cluster size", parts[2 * number - 1]) if number else None
        levels.append(LevelMapping(tuple(directives), cluster))
    return tuple(levels)


def tables(levels: Seq[LevelMapping]) -> tuple[Integers, Integers]:
    """-> (1, l, 6, 4) directives in sizes of the input, (1, l) how many each level has."""
    table = np.zeros((1, len(levels), 6, 4), dtype=np.int64)
    lengths = np.zeros((1, len(levels)), dtype=np.int64)
    for number, level in enumerate(levels):
        sizes = {d.dim: d.size for d in level.directives}
        for i, d in enumerate(level.directives):
            halo = sizes["R" if d.dim == "Y'" else "S"] - 1 if d.dim in ("Y'", "X'") else 0
            table[0, number, i] = (d.kind == "S", DIMS.index(d.dim[0]), d.size + halo, d.offset)
        lengths[0, number] = len(level.directives)
    return table, lengths


def whole(place: str, value: Any) -> int:
    """A whole number from 1 to ``LIMIT``. Raises ValueError, naming the place."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = 0.0
    if not 1 <= number <= LIMIT or number != int(number):
        raise ValueError(f"{place} = {value!r}; it must be a whole number from 1 to {LIMIT}")
    return int(number)
