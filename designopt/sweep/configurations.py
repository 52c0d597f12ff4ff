"""The hyper-parameter configurations of a backend in a sweep: its default, a grid, or random draws."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np

from designopt.searcher import Searcher, make_config
from designopt.space import DesignSpace

DEFAULT = "default"
DRAWS_IN_VAIN = 100  # random draws in a row that were there before, after which a range counts as used up


def configurations(
    searcher: type[Searcher],
    *,
    fixed: Mapping[str, Any] | None = None,
    grid: Mapping[str, Any] | None = None,
    draws: int | None = None,
) -> dict[str, Any]:
    """Label -> Config. The default values are "default", all others "c01", "c02", ...

    Args:
        searcher: the backend.
        fixed: hyper-parameters that all configurations share; they are part of the default then.
        grid: name -> values; every combination.
        draws: how many configurations: the default, and others drawn from the ranges that the backend declares. More
            draws later keep those drawn before. There are fewer when the ranges do not hold as many.

    Raises:
        ValueError: a hyper-parameter or value that the backend does not take, or both a grid and draws.
    """
    fixed = dict(fixed or {})
    if grid and draws is not None:
        raise ValueError("takes a grid or draws, not both")
    default = make_config(searcher, fixed)
    if draws is not None:
        found = [default, *_drawn(searcher, fixed, draws - 1)]
    elif grid:
        clash = sorted(set(grid) & set(fixed))
        if clash:
            raise ValueError(f"{clash[0]!r} is both in fixed and in grid")
        values = itertools.product(*grid.values())
        found = [make_config(searcher, fixed | dict(zip(grid, value, strict=True))) for value in values]
    else:
        found = [default]
    distinct = list(dict.fromkeys(found))
    others = iter(range(1, len(distinct) + 1))
    return {DEFAULT if config == default else f"c{next(others):02d}": config for config in distinct}


def _drawn(searcher: type[Searcher], fixed: dict[str, Any], n: int) -> list[Any]:
    """At most n different Configs that are not the default."""
    ranges = {
        f.name: f.metadata["range"]
        for f in dataclasses.fields(searcher.Config)
        if "range" in f.metadata and f.name not in fixed
    }
    if not ranges:
        return []
    space, rng = DesignSpace(ranges), np.random.default_rng(0)
    seen, vain = {make_config(searcher, fixed)}, 0
    found: list[Any] = []
    while len(found) < n and vain < DRAWS_IN_VAIN:
        config = make_config(searcher, fixed | space.decode(space.sample(1, rng))[0])
        vain = vain + 1 if config in seen else 0
        if config not in seen:
            seen.add(config)
            found.append(config)
    return found
