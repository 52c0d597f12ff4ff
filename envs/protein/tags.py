"""Separation and imbalance for any landscape: good sequences moved away from the bad ones by a tag.

Reference: Ghaffari, Saleh, Schwing, Wang, Burke, Sinha, "Robust Model-Based Optimization for Challenging Fitness
Landscapes", ICLR 2024.
"""

from __future__ import annotations

import numpy as np

from designopt.envs.protein.pools import check_pools, draw, good_count
from designopt.envs.protein.sequences import DENSE, Codes, SequenceLandscape, enumerable
from designopt.envs.protein.table import Missing, Table, TableLandscape

TAG_LENGTHS = {"GB1": (3, 4, 5, 8), "PhoQ": (3, 4, 6, 8)}
"""Tag length at each level of separation, of the paper."""


def separated(
    landscape: SequenceLandscape,
    length: int,
    imbalance: float = 0.1,
    *,
    n_low: int = 1000,
    split: float = 1e-3,
    low: tuple[float, float] = (1e-4, 1e-3),
    high: tuple[float, float] = (0.1, 0.2),
    missing: Missing = "zero",
    seed: int = 12345,
    render_mode: str | None = None,
) -> TableLandscape:
    """The landscape with a tag before every sequence: sequences of ``length`` more letters.

    Values are divided by the largest. Good sequences, from ``split`` on, share one random tag that ends in the marker
    letter (V; the last letter of an alphabet without V). Every bad one has a random tag of its own with another last
    letter. Only a sequence behind its own tag has its value; anything else is not in the table. The longer the tag, the
    farther the good sequences are from the bad ones, and the fewer of all sequences are worth anything.

    Args:
        landscape: a table; or any other with few enough sequences, which are then all evaluated.
        length: of the tag.
        imbalance: good sequences over bad ones in the initial data set, ``int(n_low * imbalance)`` of them.
        n_low: bad sequences in the initial data set.
        split: fraction of the largest value from which on a sequence is good.
        low: [from, to) fraction of the largest value, of the bad sequences known beforehand.
        high: [from, to], of the good ones.
        missing: see TableLandscape.
        seed: of the tags and of the initial data set.
        render_mode: None or "ansi".

    Raises:
        ValueError: arguments out of range, or fewer sequences than the initial data set needs; it says how many there
            are.
    """
    if isinstance(length, bool) or not isinstance(length, int) or length < 1:
        raise ValueError(f"length = {length!r}; a tag has at least 1 letter")
    table = _table(landscape)
    largest = table.values.max()
    if not largest > 0:
        raise ValueError(f"{landscape.id}: the largest value is {largest:g}; tags need a positive one")
    table = Table(table.alphabet, table.codes, table.values / largest, table.source)
    rng = np.random.default_rng(seed)
    tags = _tags(table.values >= split, length, table.alphabet, rng)
    bad = np.flatnonzero((table.values < split) & (table.values >= low[0]) & (table.values < low[1]))
    good = np.flatnonzero((table.values >= split) & (table.values >= high[0]) & (table.values <= high[1]))
    n_high = good_count(imbalance, n_low)
    check_pools(len(bad), len(good), n_low, n_high, f"{landscape.id} with tags of {length}, imbalance {imbalance:g}")
    full = np.concatenate([tags, table.codes], axis=1)
    return TableLandscape(
        table,
        missing=missing,
        known=lambda generator: full[draw(bad, good, n_low, n_high, generator)],
        tags=tags,
        data_seed=seed,
        render_mode=render_mode,
    )


def _table(landscape: SequenceLandscape) -> Table:
    if isinstance(landscape, TableLandscape):
        if landscape.tags is not None:
            raise ValueError(f"{landscape.id} has tags already; give separated() the landscape without them")
        return landscape.table
    letters, length = len(landscape.alphabet), landscape.length
    if not enumerable(landscape.alphabet, length):
        raise ValueError(f"{landscape.id} has {letters}^{length} sequences; at most {DENSE} can be tabulated")
    codes = np.indices((letters,) * length, dtype=np.uint8).reshape(length, -1).T
    evaluation = landscape.evaluate(codes.astype(np.float64))
    ok = evaluation.feasible
    return Table(landscape.alphabet, np.ascontiguousarray(codes[ok]), evaluation.objectives[ok, 0], landscape.id)


def _tags(
    good: np.ndarray[tuple[int], np.dtype[np.bool_]], length: int, alphabet: str, rng: np.random.Generator
) -> Codes:
    """(n,) whether good -> (n, length) codes."""
    marker = alphabet.index("V") if "V" in alphabet else len(alphabet) - 1
    others = np.delete(np.arange(len(alphabet), dtype=np.uint8), marker)
    tags = rng.integers(len(alphabet), size=(len(good), length), dtype=np.uint8)
    tags[:, -1] = rng.choice(others, size=len(good))
    shared = rng.integers(len(alphabet), size=length, dtype=np.uint8)
    shared[-1] = marker
    tags[good] = shared
    return tags
