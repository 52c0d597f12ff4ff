"""Maximising an acquisition function over a design space, mixed spaces included."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from designopt.parameters import Array
from designopt.search.candidates import all_designs, first_fresh, fresh, neighbours, perturbed, sobol
from designopt.space import DesignSpace
from designopt.surrogates.minimise import minimise

Acquisition = Callable[[Tensor], Tensor]
"""(b, 1, d) designs in the unit coding -> (b,) values, differentiable."""
CHUNK = 1024
ROUNDS = 10


def maximise(
    space: DesignSpace,
    acquisition: Acquisition,
    centres: Array,
    known: Array,
    rng: np.random.Generator,
    *,
    low: Array,
    high: Array,
    screened: int,
    polished: int,
    steps: int,
    like: Tensor,
) -> Array:
    """The design of greatest acquisition value that is not known yet, (1, d).

    Half of the screened designs fill the space, half lie around the centres. The best of them move uphill: by L-BFGS in
    the real columns, from neighbour to neighbour in the discrete ones. Every design is valid before it is scored, so
    what wins is what will be evaluated. Small finite spaces are searched exhaustively.

    Args:
        space: whose designs.
        acquisition: greater is better.
        centres: (c, d) good designs in the unit coding, c >= 1.
        known: (p, d) designs not to propose again while others exist.
        rng: of the candidates.
        low: (d,) lower corner, in the unit coding, of the box to stay in; moves between neighbours may leave it.
        high: its upper corner.
        screened: how many candidates are scored.
        polished: how many of them move uphill; with 0 the acquisition is called once only.
        steps: of L-BFGS at most.
        like: a tensor of the type and on the device that the acquisition takes.
    """

    def score(designs: Array) -> Array:
        """-inf where there is no value, and for designs that are known or repeated: climbing passes over them."""
        unit = torch.as_tensor(space.to_unit(designs)).to(like)
        with torch.no_grad():
            values = torch.cat([acquisition(part[:, None]) for part in unit.split(CHUNK)]).cpu().numpy()
        return np.where(np.isnan(values) | ~fresh(space, designs, known), -np.inf, values)

    pool = all_designs(space)
    finite = pool is not None
    if pool is None:
        half = screened // 2
        filling = low + (high - low) * sobol(space.dim, 0, half, rng)
        near = np.clip(perturbed(space, centres, screened - half, rng), low, high)
        pool = space.from_unit(np.concatenate([filling, near]))
    values = score(pool)
    order = np.argsort(-values, kind="stable")
    if polished and not finite:
        best = polish(space, acquisition, climb(space, score, pool[order[:polished]]), like, low, high, steps)
        pool, values = np.concatenate([best, pool]), np.concatenate([score(best), values])
        order = np.argsort(-values, kind="stable")
    return first_fresh(space, pool[order], known)


def polish(
    space: DesignSpace, acquisition: Acquisition, designs: Array, like: Tensor, low: Array, high: Array, steps: int
) -> Array:
    """(k, d) designs moved uphill in their real columns within the box, each by its own run of L-BFGS."""
    real = np.flatnonzero(~space.discrete)
    if len(real) == 0:
        return designs
    unit = torch.as_tensor(space.to_unit(designs)).to(like)

    def loss(moving: Tensor, rows: list[int]) -> Tensor:
        X = unit[rows].index_copy(1, torch.as_tensor(real, device=unit.device), moving)
        return -acquisition(X[:, None])

    bounds = list(zip(low[real].tolist(), high[real].tolist(), strict=True))
    unit[:, real] = minimise(loss, unit[:, real], bounds, iterations=steps, tolerance=1e-6)
    return space.from_unit(unit.cpu().numpy())


def climb(space: DesignSpace, score: Callable[[Array], Array], designs: Array) -> Array:
    """(k, d) designs, each moved to its best neighbour in the discrete columns while that is better."""
    if not space.discrete.any():
        return designs
    designs, values = designs.copy(), score(designs)
    for _ in range(ROUNDS):
        around = [neighbours(space, design) for design in designs]
        scores = np.split(score(np.concatenate(around)), np.cumsum([len(rows) for rows in around])[:-1])
        better = [i for i, s in enumerate(scores) if s.max(initial=-np.inf) > values[i]]
        if not better:
            break
        for i in better:
            designs[i], values[i] = around[i][scores[i].argmax()], scores[i].max()
    return designs
