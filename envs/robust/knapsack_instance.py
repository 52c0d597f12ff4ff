"""Instances of the two-stage robust knapsack: the published file format, and the published generation rule.

References: [Arslan2022] Decomposition-based approaches for a class of two-stage robust binary optimization problems,
INFORMS J. Computing 34; [Dumouchelle2024] Neur2RO, ICLR (the generation rule).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from designopt.parameters import Array

CORRELATIONS = ("UN", "WC", "ASC", "SC")
FIELDS = ("profit", "degradation", "repair_weight", "weight", "outsourcing_cost")


@dataclass(frozen=True)
class KnapsackInstance:
    """n items, a capacity and an uncertainty budget.

    Attributes:
        profit, degradation: (n,) nominal profit and largest loss of it.
        weight, repair_weight: (n,) whole numbers; repair adds its weight.
        outsourcing_cost: (n,)
        capacity: whole number.
        budget: how many profits may degrade fully; may be fractional.
    """

    profit: Array
    degradation: Array
    weight: NDArray[np.int64]
    repair_weight: NDArray[np.int64]
    outsourcing_cost: Array
    capacity: int
    budget: float

    def __len__(self) -> int:
        return len(self.profit)

    def first(self, m: int, *, capacity: int, budget: float) -> KnapsackInstance:
        """The instance of the first m items alone."""
        return KnapsackInstance(
            self.profit[:m],
            self.degradation[:m],
            self.weight[:m],
            self.repair_weight[:m],
            self.outsourcing_cost[:m],
            capacity,
            budget,
        )

    def to_text(self) -> str:
        """The published format, to be written to a file."""
        columns = (self.profit, self.degradation, self.repair_weight, self.weight, self.outsourcing_cost)
        rows = "".join(" " + " ".join(f"{value:.12g}" for value in row) + "\n" for row in zip(*columns, strict=True))
        return f"{len(self)} {self.capacity} {self.budget:.12g}\n{rows}"


def read_knapsack(path: str | PathLike[str]) -> KnapsackInstance:
    """An instance in the published format.

    Its first line is ``n capacity budget``, then come n lines ``profit degradation repair_weight weight
    outsourcing_cost``.

    Raises:
        ValueError: no such file, or a line that does not read, naming file, line and field.
    """
    file = Path(path)
    if not file.is_file():
        raise ValueError(f"instance = {str(path)!r}: no such file")
    lines = [(i, line.split()) for i, line in enumerate(file.read_text(encoding="utf-8-sig").splitlines(), 1)]
    lines = [(i, words) for i, words in lines if words]
    if not lines:
        raise ValueError(f"{file}: the file is empty; its first line must be: n capacity budget")
    number, words = lines[0]
    if len(words) != 3:
        raise ValueError(f"{file}, line {number}: {len(words)} values; expected 3: n capacity budget")
    n = int(_number(file, number, "n", words[0], whole=True, least=1))
    capacity = int(_number(file, number, "capacity", words[1], whole=True, least=0))
    budget = _number(file, number, "budget", words[2], least=0)
    if len(lines) != n + 1:
        raise ValueError(f"{file}: {len(lines) - 1} lines of items; line {number} says n = {n}")
    rows = np.empty((n, 5))
    for row, (number, words) in enumerate(lines[1:]):
        if len(words) != 5:
            raise ValueError(f"{file}, line {number}: {len(words)} values; expected 5: {' '.join(FIELDS)}")
        for j, (field, word) in enumerate(zip(FIELDS, words, strict=True)):
            whole = field in ("repair_weight", "weight")
            rows[row, j] = _number(file, number, field, word, whole=whole, least=1 if field == "weight" else 0)
        if rows[row, 1] > rows[row, 4]:
            raise ValueError(
                f"{file}, line {number}, field degradation: {rows[row, 1]:g} exceeds outsourcing_cost "
                f"{rows[row, 4]:g}; producing must never be worse than outsourcing"
            )
    p, p_hat, t, c, f = rows.T
    return KnapsackInstance(p, p_hat, c.astype(np.int64), t.astype(np.int64), f, capacity, budget)


def _number(file: Path, line: int, field: str, word: str, *, whole: bool = False, least: float) -> float:
    try:
        value = float(word)
    except ValueError:
        raise ValueError(f"{file}, line {line}, field {field}: {word!r} is not a number") from None
    if not math.isfinite(value) or value < least or (whole and value != int(value)):
        kind = "a whole number" if whole else "a number"
        raise ValueError(f"{file}, line {line}, field {field}: {word}; it must be {kind} of at least {least:g}")
    return value


def generate_knapsack(
    n: int = 20, correlation: str = "SC", h: int = 40, deviation: float = 0.2, delta: float = 0.5, seed: int = 0
) -> KnapsackInstance:
    """A random instance by the published rule, rounded to whole numbers; what the rule draws below 1 becomes 1.

    Args:
        n: items.
        correlation: "UN" none, "WC" weak, "ASC" almost strong, "SC" strong, between profit and weight.
        h: capacity as h / 101 of all weights.
        deviation: uncertainty budget as a share of n.
        delta: how far degradation varies around half the profit, in (0, 1].
        seed: of the draw.

    Raises:
        ValueError: an argument out of range.
    """
    if correlation not in CORRELATIONS:
        raise ValueError(f"correlation = {correlation!r}; allowed: {', '.join(CORRELATIONS)}")
    for name, value, low, high in (
        ("n", n, 1, 100_000),
        ("h", h, 1, 100),
        ("deviation", deviation, 0, 1),
        ("delta", delta, 0, 1),
    ):
        if not low <= value <= high:
            raise ValueError(f"{name} = {value}; it must be in [{low}, {high}]")
    rng, R = np.random.default_rng(seed), 1000
    c = np.round(rng.uniform(1, R, n))
    spread = {"UN": None, "WC": R / 20, "ASC": R / 1000, "SC": 0.0}[correlation]
    shift = 0.0 if correlation == "WC" else R / 10
    p = rng.uniform(1, R, n) if spread is None else c + shift + rng.uniform(-spread, spread, n)
    p = np.maximum(np.round(p), 1)
    p_hat = np.round(p * rng.uniform((1 - delta) / 2, (1 + delta) / 2, n))
    f = np.ceil(p * rng.uniform(1.1, 1.5, n))
    if correlation == "UN":
        t = rng.uniform(1, c)
    else:
        width = {"WC": R / 40, "ASC": R / 1000, "SC": 0.0}[correlation]
        t = 0.5 * p_hat + (0.0 if correlation == "WC" else c / 10) + rng.uniform(-width, width, n)
    t = np.maximum(np.round(t), 1)
    capacity = int(h / 101 * c.sum())
    return KnapsackInstance(p, p_hat, c.astype(np.int64), t.astype(np.int64), f, capacity, deviation * n)
