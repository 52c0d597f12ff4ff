"""Initial data sets of few good designs among many bad ones."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

IMBALANCES = (0.0125, 0.025, 0.05, 0.1, 0.2, 0.4, 0.8)
"""Good designs over bad ones, the grid of the paper (Ghaffari et al., ICLR 2024)."""


def level_of(separation: int | None, levels: tuple[float, ...]) -> float:
    """The value at a level of separation; None is level 0.

    Raises:
        ValueError: no such level.
    """
    level = 0 if separation is None else separation
    if isinstance(level, bool) or not isinstance(level, int) or not 0 <= level < len(levels):
        described = ", ".join(f"{i} ({value:g})" for i, value in enumerate(levels))
        raise ValueError(f"separation = {separation!r}; allowed levels: {described}")
    return levels[level]


def good_count(imbalance: float | None, bad: int) -> int:
    """How many good designs belong to so many bad ones; None: a tenth.

    Raises:
        ValueError: an imbalance that is no positive number, or leaves no good design at all.
    """
    ratio = 0.1 if imbalance is None else imbalance
    if isinstance(ratio, bool) or not isinstance(ratio, int | float) or not 0 < ratio < math.inf:
        raise ValueError(f"imbalance = {imbalance!r}; it must be a positive number, such as {IMBALANCES[2]}")
    count = int(bad * ratio + 1e-9)
    if not count:
        raise ValueError(f"imbalance = {ratio:g}: no good design for {bad} bad ones; at least {1 / bad:g} is needed")
    return count


def check_pools(low: int, high: int, n_low: int, n_high: int, where: str) -> None:
    """Raises ValueError when there are fewer bad or good designs than wanted, saying what is available."""
    if low < n_low or high < n_high:
        raise ValueError(
            f"{where}: {n_low} bad and {n_high} good designs are wanted; available: {low} bad and {high} good, so "
            f"n_low up to {low} and imbalance up to {high / n_low:.4g} at n_low = {n_low}"
        )


def draw(
    low: NDArray[np.int64], high: NDArray[np.int64], n_low: int, n_high: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Rows drawn without replacement: bad ones first, then good ones."""
    return np.concatenate([rng.choice(low, n_low, replace=False), rng.choice(high, n_high, replace=False)])
