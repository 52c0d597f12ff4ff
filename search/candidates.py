"""Candidate designs of model-based searchers: space-filling starts, perturbations, neighbours, duplicates."""

from __future__ import annotations

import itertools
import math
import warnings

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.stats import qmc

from designopt.parameters import Array, Integer, Ordinal, Parameter, Real, Sequence, options
from designopt.space import DesignSpace

ENUMERABLE = 1000
"""Finite spaces of at most this many designs are searched exhaustively."""
SAME = 1e-6
"""Designs nearer than this in every column of the unit coding count as one: no model can tell them apart."""
SIGMAS = (1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3)
"""Standard deviations of perturbations in the unit coding."""


def sobol(d: int, start: int, n: int, seed: int | np.random.Generator) -> Array:
    """(n, d) points of a scrambled Sobol' sequence, from its ``start``-th on."""
    sequence = qmc.Sobol(d, rng=np.random.default_rng(seed))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The balance properties of Sobol")
        return np.asarray(sequence.fast_forward(start).random(n) if start else sequence.random(n))


def initial_size(given: int, d: int) -> int:
    """How many space-filling designs to begin with: those given or, when 0, 2 (d + 1) within [4, 20].

    So many determine a linear trend twice over. More would be spent on a space that fills no faster for it.
    """
    return given or min(max(2 * (d + 1), 4), 20)


def initial_designs(space: DesignSpace, start: int, n: int, seed: int, known: Array) -> Array:
    """Between 1 and n space-filling designs, from the ``start``-th of the sequence on; known ones are passed over."""
    designs = space.from_unit(sobol(space.dim, start, n + 64, seed))
    return first_fresh(space, designs, known, n)


def first_fresh(space: DesignSpace, designs: Array, known: Array, n: int = 1) -> Array:
    """The first n designs that are not known yet, or fewer; just the first one when all are known."""
    new = designs[fresh(space, designs, known)][:n]
    return new if len(new) else designs[:1]


def fresh(space: DesignSpace, designs: Array, known: Array) -> NDArray[np.bool_]:
    """(n,) whether each design differs from all known ones and from the designs before it."""
    unit, taken = space.to_unit(designs), space.to_unit(known)
    new = np.zeros(len(unit), dtype=bool)
    new[np.unique(np.rint(unit / SAME), axis=0, return_index=True)[1]] = True
    if len(taken):
        new &= cKDTree(taken).query(unit, p=np.inf)[0] > SAME
    return new


def perturbed(space: DesignSpace, centres: Array, n: int, rng: np.random.Generator) -> Array:
    """(n, d) unit codings near the (c, d) centres: one, some or all columns moved, by steps from tiny to large.

    At most about 20 columns move at once, for in many dimensions few steps that move all of them help [Regis2013].
    """
    d = space.dim
    origin = centres[rng.integers(len(centres), size=n)]
    share = np.minimum(rng.choice([1.0 / d, 0.5, 1.0], size=(n, 1)), 20.0 / d)
    moved = rng.random((n, d)) < share
    moved[np.arange(n), rng.integers(d, size=n)] = True
    step = rng.choice(SIGMAS, size=(n, 1)) * rng.standard_normal((n, d))
    # Categories have no distance: a moved one changes to any other.
    unit = np.where(space.categorical, rng.random((n, d)), origin + step)
    return np.asarray(np.clip(np.where(moved, unit, origin), 0.0, 1.0))


def neighbours(space: DesignSpace, design: Array) -> Array:
    """(p, d) designs that differ from one (d,) in one discrete column.

    Categories change to any other; ordered values by 1, 2, 4, ... places up and down, to cross any range.
    """
    rows = []
    for column, p in enumerate(_by_column(space)):
        count = levels(p)
        if math.isinf(count):
            continue
        if space.categorical[column]:
            places = np.arange(int(count))
        else:
            steps = 2 ** np.arange(int(count).bit_length())
            places = _place(p, design[column]) + np.concatenate([-steps, steps])
            places = places[(places >= 0) & (places < count)]
        for value in _value(p, places):
            if value != design[column]:
                rows.append(design.copy())
                rows[-1][column] = value
    return np.array(rows).reshape(-1, space.dim)


def all_designs(space: DesignSpace) -> Array | None:
    """Every design of a finite space of at most ``ENUMERABLE``; None for others."""
    columns = _by_column(space)
    if math.prod(map(levels, columns)) > ENUMERABLE:
        return None
    return np.array(list(itertools.product(*(_value(p, np.arange(int(levels(p)))) for p in columns))))


def levels(p: Parameter) -> float:
    """How many values a column of this parameter can hold; inf for real ones."""
    match p:
        case Real():
            return math.inf
        case Integer():
            return int(p.high - p.low) + 1
        case Ordinal():
            return len(p.values)
        case _:
            return options(p)


def _place(p: Parameter, value: float) -> int:
    """The place of a value in the order of an integer or ordinal parameter."""
    return int(np.searchsorted(p.values, value)) if isinstance(p, Ordinal) else int(value - p.low)  # type: ignore[union-attr]


def _value(p: Parameter, places: NDArray[np.int64]) -> Array:
    """The values at places in the order of a parameter."""
    if isinstance(p, Ordinal):
        return np.array(p.values)[places]
    return places.astype(np.float64) + (p.low if isinstance(p, Integer) else 0)


def _by_column(space: DesignSpace) -> list[Parameter]:
    return [p for p in space.parameters.values() for _ in range(p.length if isinstance(p, Sequence) else 1)]
