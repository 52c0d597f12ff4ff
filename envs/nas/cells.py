"""Cells of NAS-Bench-201: four nodes, one operation on each of six edges; a node adds what its edges bring.

A cell is written as a code of six digits (``"333132"``), or as the benchmark's text,
``|op~0|+|op~0|op~1|+|op~0|op~1|op~2|``, where ``~k`` names the node that an edge comes from.

References: [Dong2020] NAS-Bench-201, ICLR; docs/environments/nas_tabular.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from designopt.parameters import Array, suggest

OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
EDGE_NAMES = tuple(f"{source}->{target}" for source, target in EDGES)

NONE, SKIP, CONV1, CONV3, POOL = range(5)


def designs_of(codes: str | Iterable[str]) -> Array:
    """Codes or texts of cells (one, or n) -> (n, 6) designs.

    Raises:
        ValueError: not six edges, or an operation that there is not; the edge is named.
    """
    codes = [codes] if isinstance(codes, str) else list(codes)
    rows = [_digits_of_text(c) if "|" in c else digits(c, EDGE_NAMES, OPERATIONS) for c in codes]
    return np.array(rows, dtype=np.float64).reshape(-1, len(EDGES))


def codes_of(designs: ArrayLike) -> list[str]:
    """(n, 6) designs -> n codes of six digits."""
    return ["".join(map(str, row)) for row in np.asarray(designs, dtype=np.int64).tolist()]


def text_of(code: str) -> str:
    """A code -> the benchmark's text of the cell."""
    operations = [OPERATIONS[int(value)] for value in designs_of(code)[0]]
    nodes: list[list[str]] = [[], [], []]
    for (source, target), operation in zip(EDGES, operations, strict=True):
        nodes[target - 1].append(f"{operation}~{source}")
    return "+".join(f"|{'|'.join(node)}|" for node in nodes)


def digits(code: str, places: Sequence[str], operations: Sequence[str]) -> list[int]:
    """The digits of a code, one a place.

    Raises:
        ValueError: another number of digits, or a digit that is no operation.
    """
    if len(code) != len(places):
        raise ValueError(
            f"architecture {code!r} has {len(code)} digits; needed: {len(places)}, one for each of {', '.join(places)}"
        )
    for place, digit in zip(places, code, strict=True):
        if digit not in "0123456789"[: len(operations)]:
            raise ValueError(f"architecture {code!r}: {place} has operation {digit!r}; {_allowed(operations)}")
    return [int(digit) for digit in code]


def check_digits(designs: ArrayLike, places: Sequence[str], operations: Sequence[str]) -> NDArray[np.int64]:
    """(n, d) designs -> the same as whole numbers.

    Raises:
        ValueError: another number of columns, or a value that is no operation; the first offender is named.
    """
    designs = np.asarray(designs, dtype=np.float64)
    if designs.ndim != 2 or designs.shape[1] != len(places):
        raise ValueError(f"designs must have shape (n, {len(places)}), got {designs.shape}")
    # A NaN is not >= 0; what is whole and in range survives the conversion.
    allowed = (designs >= 0) & (designs < len(operations))
    whole = np.where(allowed, designs, 0).astype(np.int64)
    allowed &= whole == designs
    if not allowed.all():
        row, column = np.argwhere(~allowed)[0]
        value = f"{designs[row, column]:.10g}"
        raise ValueError(f"design {row}: {places[column]} has operation {value}; {_allowed(operations)}")
    return whole


def _allowed(operations: Sequence[str]) -> str:
    return f"allowed: {', '.join(f'{i} {name}' for i, name in enumerate(operations))}"


def _digits_of_text(text: str) -> list[int]:
    shape = "|op~0|+|op~0|op~1|+|op~0|op~1|op~2|"
    words = [word for node in text.split("+") for word in node.strip("|").split("|")]
    if [node.count("~") for node in text.split("+")] != [1, 2, 3] or len(words) != len(EDGES):
        raise ValueError(f"architecture {text!r} has not the form {shape}")
    found = []
    for word, (source, _), edge in zip(words, EDGES, EDGE_NAMES, strict=True):
        name, _, node = word.partition("~")
        if node != str(source):
            raise ValueError(f"architecture {text!r}: where {edge} stands, {word!r} comes from node {node}")
        if name not in OPERATIONS:
            raise ValueError(f"architecture {text!r}: {edge} has operation {name!r}; {suggest(name, OPERATIONS)}")
        found.append(OPERATIONS.index(name))
    return found


def simplified(code: str) -> str:
    """What a cell computes, as the benchmark writes it: equal for cells that differ in dead or renamed parts only.

    An edge of a dead node, or with ``none``, is ``#``; a skip is the node that it copies; sums are sorted. Sums inside
    sums are not merged, as in [Dong2020]: that is how the 15,625 cells have 6,466 classes.
    """
    operations = dict(zip(EDGES, (OPERATIONS[int(value)] for value in designs_of(code)[0]), strict=True))
    nodes = ["0"]
    for target in (1, 2, 3):
        terms = []
        for source in range(target):
            operation = operations[source, target]
            if operation == "none" or nodes[source] == "#":
                terms.append("#")
            elif operation == "skip_connect":
                terms.append(nodes[source])
            else:
                terms.append(f"({nodes[source]})@{operation}")
        nodes.append("+".join(sorted(terms)))
    return nodes[3]


@cache
def representatives() -> NDArray[np.int64]:
    """(15625,) number of each cell, read to base five -> number of the first cell of its class."""
    first: dict[str, int] = {}
    every = np.indices((len(OPERATIONS),) * len(EDGES)).reshape(len(EDGES), -1).T
    return np.array([first.setdefault(simplified(code), i) for i, code in enumerate(codes_of(every))])


def connected(designs: ArrayLike) -> NDArray[np.bool_]:
    """(n, 6) designs -> (n,) whether anything of the input reaches the output."""
    alive = np.asarray(designs) != NONE
    e01, e02, e12, e03, e13, e23 = alive.T
    return np.asarray(e03 | (e01 & e13) | ((e02 | (e01 & e12)) & e23))


def counts(designs: ArrayLike) -> NDArray[np.int64]:
    """(n, 6) designs -> (n, 5) how many edges have each operation."""
    return np.asarray((np.asarray(designs)[:, :, None] == np.arange(len(OPERATIONS))).sum(axis=1))


def parameters(designs: ArrayLike) -> NDArray[np.int64]:
    """(n,) weights of the CIFAR-10 network. Stem, residual blocks and head hold 73,306; fifteen cells the rest."""
    n = counts(designs)
    return np.asarray(73_306 + 243_040 * n[:, CONV3] + 28_000 * n[:, CONV1])


def macs(designs: ArrayLike) -> NDArray[np.int64]:
    """(n,) multiply-accumulates of the CIFAR-10 network for one image."""
    n = counts(designs)
    return np.asarray(7_783_050 + 35_389_440 * n[:, CONV3] + 3_932_160 * n[:, CONV1])


def seconds_per_epoch(designs: ArrayLike) -> Array:
    """(n,) seconds that the benchmark's GPU trains one epoch; least squares over 1,000 cells, R2 = 0.995."""
    n = counts(designs)
    return np.asarray(7.18 + 4.53 * n[:, CONV3] + 3.45 * n[:, CONV1] + 1.64 * n[:, POOL] - 0.38 * n[:, SKIP])
