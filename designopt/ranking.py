"""Do backends differ? Mean ranks over blocks, Friedman's test and Nemenyi's critical difference.

[Demsar2006] Statistical comparisons of classifiers over multiple data sets, JMLR 7.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from designopt.lottery import DEFAULT
from designopt.parameters import Array

Choice = Literal["typical", "default", "tuned"]
CHOICES: tuple[Choice, ...] = ("typical", "default", "tuned")


@dataclass(frozen=True)
class Ranking:
    """Backends by mean rank, 1 is best.

    Attributes:
        backends, mean_ranks: the best first.
        blocks: how many blocks (such as environment and seed) had a value of every backend.
        statistic, p: Friedman's test that all are alike; NaN with fewer than three backends or two blocks.
        critical_difference: Nemenyi's, at level 0.05: mean ranks further apart differ; NaN likewise.
        pairs: (backends, backends) Nemenyi p-values; NaN likewise.
    """

    backends: tuple[str, ...]
    mean_ranks: Array
    blocks: int
    statistic: float
    p: float
    critical_difference: float
    pairs: Array

    @property
    def groups(self) -> list[tuple[int, int]]:
        """Longest stretches (first, last) of neighbours in rank order that do not differ."""
        found: list[tuple[int, int]] = []
        for first, rank in enumerate(self.mean_ranks):
            last = int(np.flatnonzero(self.mean_ranks - rank <= self.critical_difference).max(initial=first))
            if last > first and (not found or last > found[-1][1]):
                found.append((first, last))
        return found


def rank_backends(losses: pd.DataFrame, level: float = 0.05) -> Ranking:
    """Rank the columns of a table over its rows.

    Args:
        losses: a row per block and a column per backend, less is better; equal values, inf too, share their ranks. Rows
            with NaN are left out.
        level: of the critical difference.
    """
    from scipy.stats import friedmanchisquare, rankdata, studentized_range

    complete = losses.dropna()
    n, k = complete.shape
    ranks = rankdata(complete.to_numpy(dtype=np.float64), axis=1) if n else np.full((1, k), np.nan)
    order = np.argsort(ranks.mean(axis=0), kind="stable")
    ranks = ranks[:, order]
    statistic = p = difference = np.nan
    pairs = np.full((k, k), np.nan)
    if n > 1 and k > 2:
        from scikit_posthocs import posthoc_nemenyi_friedman

        if np.ptp(ranks, axis=1).any():  # else every block is one tie, and there is nothing to test
            statistic, p = map(float, friedmanchisquare(*ranks.T))
        difference = float(studentized_range.ppf(1 - level, k, np.inf) / np.sqrt(2) * np.sqrt(k * (k + 1) / (6 * n)))
        pairs = posthoc_nemenyi_friedman(ranks).to_numpy()
    names = tuple(map(str, complete.columns[order]))
    return Ranking(names, ranks.mean(axis=0), n, statistic, p, difference, pairs)


def ran_everywhere(compared: pd.DataFrame) -> pd.DataFrame:
    """The rows of backends with studies on every environment: others, made for some of them, cannot be ranked on all.

    Args:
        compared: of ``lottery.compare``.
    """
    environments = compared.groupby("backend")["env"].transform("nunique")
    return compared[environments == compared["env"].nunique()]


def block_losses(
    compared: pd.DataFrame, choice: Choice = "typical", blocks: Sequence[str] = ("env", "seed")
) -> pd.DataFrame:
    """One loss per block and backend, from the configurations of the backend.

    Args:
        compared: of ``lottery.compare``.
        choice: ``typical``: the median over configurations; ``default``: of the default configuration; ``tuned``: of
            the configuration that did best on the other seeds, which no seed helps to choose for itself.
        blocks: columns that make a block; over several seeds in one block, the median.

    Returns:
        A row per block, a column per backend; NaN where a backend has no such study.
    """
    if choice == "default":
        chosen = compared[(compared["configuration"] == DEFAULT) | (_configurations(compared) == 1)]
    elif choice == "tuned":
        parts = [_tuned(part) for _, part in compared.groupby(["env", "backend"], sort=False)]
        chosen = pd.concat(parts)
    else:
        chosen = compared
    return chosen.pivot_table("loss", list(blocks), "backend", aggfunc="median", sort=False)


def _configurations(compared: pd.DataFrame) -> pd.Series:
    return compared.groupby(["env", "backend"])["configuration"].transform("nunique")


def _tuned(part: pd.DataFrame) -> pd.DataFrame:
    """For each seed the row of the configuration with the best mean over the other seeds; none with one seed."""
    closed = part.pivot_table("closed", "configuration", "seed", aggfunc="first")
    rows = []
    for seed in closed.columns:
        there = closed.index[closed[seed].notna()]
        worth = closed.drop(columns=seed).loc[there].mean(axis=1)
        if worth.notna().any():
            rows.append(part[(part["seed"] == seed) & (part["configuration"] == worth.idxmax())])
    return pd.concat(rows) if rows else part[:0]
