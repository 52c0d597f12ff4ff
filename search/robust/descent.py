"""Bound-screened descent over exact worst cases: flips and swaps of a binary design.

Every second stage gives an affine function of the design that no design's worst case can beat. A few hundred of them
screen a whole neighbourhood in one array operation; only moves that survive are solved, best bound first. When none
survives, local optimality is proved. Derivation: docs/robust.md.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np

from designopt.parameters import Array
from designopt.search.robust.base import RobustSearch

MOST_CUTS = 400


class Screen:
    """Affine lower bounds of the worst-case loss of every design: loss(x) >= constant + slopes'x, with the scenario.

    The newest ``MOST_CUTS`` are kept.
    """

    def __init__(self, dim: int, scenario_dim: int) -> None:
        self.cuts = np.empty((0, 1 + dim))
        self.scenarios = np.empty((0, scenario_dim))

    def add(self, cut: Array, scenario: Array) -> None:
        """One more bound (1 + d,), and the scenario (u,) that it came from."""
        self.cuts = np.concatenate([self.cuts, cut[None]])[-MOST_CUTS:]
        self.scenarios = np.concatenate([self.scenarios, scenario[None]])[-MOST_CUTS:]

    def bounds(self, x: Array) -> Array:
        """(cuts,) lower bounds of one design."""
        return np.asarray(self.cuts[:, 0] + self.cuts[:, 1:] @ x)


class Neighbourhood:
    """All single flips and all in/out swaps of a binary design, with the best lower bound of each.

    Attributes:
        score: (moves,) lower bound of the loss after each move.
    """

    def __init__(self, x: Array, screen: Screen) -> None:
        self.x = x
        self.inside, self.outside = np.flatnonzero(x > 0.5), np.flatnonzero(x < 0.5)
        moves = len(x) + len(self.inside) * len(self.outside)
        self.score = np.full(moves, -np.inf)
        for cut in screen.cuts:
            self.sharpen(cut)

    def sharpen(self, cut: Array) -> None:
        """Raise the bounds by one more affine function."""
        slopes = cut[1:]
        here = cut[0] + slopes @ self.x
        flips = here + slopes * (1 - 2 * self.x)
        swaps = here - slopes[self.inside][:, None] + slopes[self.outside][None, :]
        np.maximum(self.score, np.concatenate([flips, swaps.ravel()]), out=self.score)

    def design(self, move: int) -> Array:
        """(d,) the design after a move."""
        y = self.x.copy()
        n = len(y)
        if move < n:
            y[move] = 1 - y[move]
        else:
            leaves, enters = divmod(move - n, len(self.outside))
            y[self.inside[leaves]], y[self.outside[enters]] = 0.0, 1.0
        return y


def descend(
    search: RobustSearch, x: Array, loss: float, screen: Screen, until: Callable[[], bool]
) -> tuple[Array, float]:
    """First-improvement descent from x with certified loss, over allowed designs. -> design (d,), its certified loss.

    Ends at a proved local optimum of flips and swaps, or when ``until`` says so.
    """
    around = Neighbourhood(x, screen)
    while not until():
        move = int(around.score.argmin())
        if around.score[move] >= loss - 1e-9 * max(1.0, abs(loss)):
            return x, loss
        y = around.design(move)
        around.score[move] = np.inf
        if not search.allowed(y) or _rejected_by_known_scenarios(search, y, loss, screen, around):
            continue
        _, high, scenario = search.worst_loss(y, cutoff=loss)
        _learn(search, y, scenario, screen, around)
        if high < loss:
            x, loss = y, high
            search.offer(x, loss, "descent")
            around = Neighbourhood(x, screen)
    return x, loss


def descents(search: RobustSearch, screen: Screen, restarts: int, until: Callable[[], bool]) -> Iterator[Array]:
    """Descent from the incumbent, then from perturbed designs, until time is over or the optimum proved."""
    if search.best is None:
        return
    x, loss = descend(search, search.best, search.best_loss, screen, until)
    yield search.best
    for _ in range(restarts):
        if until() or search.proved:
            return
        start = perturbed(x if search.rng.random() < 0.5 else search.best, search.rng)
        if not search.allowed(start):
            continue
        _, high, scenario = search.worst_loss(start)
        learn(search, screen, start, scenario)
        search.offer(start, high, "perturbed")
        y, reached = descend(search, start, high, screen, until)
        if reached <= loss + 0.002 * abs(loss):  # a step aside is allowed, a leap down is not
            x, loss = y, reached
        yield search.best


def learn(search: RobustSearch, screen: Screen, x: Array, scenario: Array) -> None:
    """Take the bound of an exact second stage into the screen."""
    bound = search.problem.second_stage(x, scenario).bound
    if bound is not None:
        screen.add(search.sign * bound, scenario)


def perturbed(x: Array, rng: np.random.Generator) -> Array:
    """The design with two to five random entries flipped."""
    y = x.copy()
    flips = rng.choice(len(x), size=min(len(x), int(rng.integers(2, 6))), replace=False)
    y[flips] = 1 - y[flips]
    return y


def _rejected_by_known_scenarios(
    search: RobustSearch, y: Array, loss: float, screen: Screen, around: Neighbourhood
) -> bool:
    """Whether an exact second stage at one of the two scenarios with the tightest cuts shows that y is no better."""
    bounds = screen.bounds(y)
    for k in np.argsort(-bounds)[:2]:
        scenario = screen.scenarios[k]
        if _learn(search, y, scenario, screen, around) >= loss:
            return True
    return False


def _learn(search: RobustSearch, y: Array, scenario: Array, screen: Screen, around: Neighbourhood) -> float:
    """Exact second stage at a scenario: its loss, after taking its bound into the screen."""
    value, _, bound = search.problem.second_stage(y, scenario)
    if bound is not None:
        cut = search.sign * bound
        screen.add(cut, scenario)
        around.sharpen(cut)
    return search.sign * value


def stop_at(seconds: float) -> Callable[[], bool]:
    """A clock that says when so many seconds from now have passed."""
    end = time.monotonic() + seconds
    return lambda: time.monotonic() >= end
