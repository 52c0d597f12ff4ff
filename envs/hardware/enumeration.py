"""Every design of a discrete space, and the best of them: the truth that searches are measured against."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from designopt import DesignEnv, DesignSpace, Real, Reference, Sequence
from designopt.parameters import Array, levels


def enumerate_designs(space: DesignSpace, chunk: int = 2**16) -> Iterator[Array]:
    """All designs of a discrete space in chunks of (<= chunk, d), the last column changing fastest.

    Raises:
        ValueError: a real parameter, which has no last value.
    """
    columns: list[Array] = []
    for name, p in space.parameters.items():
        if isinstance(p, Real):
            raise ValueError(f"parameter {name!r} is real; only discrete spaces can be enumerated")
        columns += [levels(p)] * (p.length if isinstance(p, Sequence) else 1)
    sizes = [len(values) for values in columns]
    total = math.prod(sizes)
    for start in range(0, total, chunk):
        places = np.unravel_index(np.arange(start, min(start + chunk, total)), sizes)
        yield np.stack([values[place] for values, place in zip(columns, places, strict=True)], axis=1)


def optimum(env: DesignEnv, chunk: int = 2**16) -> Reference | None:
    """The best feasible design by enumeration, the first of equals; None when no design is feasible.

    Raises:
        ValueError: a real parameter, or several objectives.
    """
    if len(env.objectives) > 1:
        raise ValueError(f"{env.id} has {len(env.objectives)} objectives; an optimum needs one")
    best, found = math.inf, None
    for designs in enumerate_designs(env.design_space, chunk):
        evaluation = env.evaluate(designs)
        losses = np.where(evaluation.feasible, evaluation.losses(env.objectives)[:, 0], math.inf)
        i = int(losses.argmin())
        if losses[i] < best:
            best = float(losses[i])
            value = float(evaluation.objectives[i, 0])
            found = Reference("enumeration of all designs", value, tuple(designs[i].tolist()))
    return found
