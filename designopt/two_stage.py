"""What a two-stage robust environment offers beyond ``evaluate``: its uncertainty, its recourse, its worst case.

min over x of max over xi of min over y: the design x is chosen first, then the worst scenario xi of an uncertainty set
happens, then the recourse y repairs what it can. Values are in the environment's own objective, sign and unit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from designopt.parameters import Array


class SecondStage(NamedTuple):
    """The best recourse to one design under one scenario.

    Attributes:
        value: objective of design, scenario and recourse together.
        recourse: the environment's own coding of what is done.
        bound: (1 + d,) constant and slopes of an affine function of the design that is never worse than its worst-case
            value, for every design; None where the environment has none.
    """

    value: float
    recourse: NDArray[Any]
    bound: Array | None = None

    def __float__(self) -> float:
        return self.value


class WorstCase(NamedTuple):
    """A certified worst case.

    Attributes:
        interval: lower and upper end of the worst-case objective; equal up to the tolerance unless time ran out.
        scenario: (u,) the worst scenario found; it attains the optimistic end.
        recourse: the best recourse to it.
    """

    interval: tuple[float, float]
    scenario: Array
    recourse: NDArray[Any]


class Uncertainty(Protocol):
    """A set of scenarios of u numbers."""

    dim: int

    def sample(self, n: int, rng: np.random.Generator) -> Array:
        """-> (n, u) scenarios that cover the set, its extremes included."""
        ...

    def project(self, scenarios: Array) -> Array:
        """(n, u) -> the nearest scenarios of the set."""
        ...

    def maximise(self, direction: Array) -> Array:
        """(u,) -> a scenario of the set with the largest inner product."""
        ...

    def vertices(self) -> Array:
        """-> (v, u) extreme points. Raises ValueError when there are too many to list."""
        ...


@runtime_checkable
class TwoStageRobust(Protocol):
    """An environment whose objective is a worst case over an uncertainty set, after recourse."""

    @property
    def uncertainty(self) -> Uncertainty:
        """The set of scenarios."""
        ...

    def second_stage(self, x: Array, xi: Array) -> SecondStage:
        """Best recourse to design x (d,) under scenario xi (u,)."""
        ...

    def second_stage_values(self, X: Array, Xi: Array) -> Array:
        """(s, d), (s, u) -> (s,) objectives under the best recourse, NaN where there is none."""
        ...

    def worst_case(
        self, x: Array, *, tolerance: float = 1e-6, cutoff: float | None = None, seconds: float | None = None
    ) -> WorstCase:
        """Certified worst case of design x (d,).

        Args:
            x: the design.
            tolerance: relative width of the interval at which to stop.
            cutoff: stop as soon as the worst case is known to be no better than this objective.
            seconds: wall-clock limit; then the interval as far as it got is the answer.
        """
        ...


@dataclass(frozen=True)
class FirstStage:
    """min c'x with A x <= a, lower <= x <= upper, whole where ``integer``; the costs that no scenario changes."""

    c: Array
    A: Array
    a: Array
    lower: Array
    upper: Array
    integer: NDArray[np.bool_]


@dataclass(frozen=True)
class Block:
    """What one scenario adds: cost x_cost'x + z_cost'z of a recourse z with T x + W z <= h.

    Attributes:
        lower, upper, integer: (r,) bounds of z and which entries are whole numbers.
    """

    x_cost: Array
    z_cost: Array
    T: Array
    W: Array
    h: Array
    lower: Array
    upper: Array
    integer: NDArray[np.bool_]


@runtime_checkable
class ScenarioBlocks(TwoStageRobust, Protocol):
    """A two-stage robust environment that can be written out for any list of scenarios, as costs to be minimised.

    The environment's objective is ``cost_sign`` times that cost.
    """

    cost_sign: int

    def first_stage(self) -> FirstStage:
        """Costs and limits of the design."""
        ...

    def block(self, xi: Array) -> Block:
        """Costs and limits of the recourse under scenario xi (u,)."""
        ...


@dataclass(frozen=True)
class AffineModel:
    """Two-stage problem with uncertainty in the objective alone.

    min over x, z of  c'x + q'z + max over xi of xi'(P x + Q z),  x and z limited as in ``first`` and ``recourse``
    (whose costs are those of xi = 0), scenarios D xi <= d with xi >= 0 where ``nonnegative``, else free.
    """

    first: FirstStage
    recourse: Block
    P: Array
    Q: Array
    D: Array
    d: Array
    nonnegative: bool


@runtime_checkable
class AffineRecourse(ScenarioBlocks, Protocol):
    """A two-stage robust environment whose uncertainty is in the objective alone, and affine there."""

    def affine_model(self) -> AffineModel:
        """The problem as matrices, for white-box methods."""
        ...


@runtime_checkable
class PricedRecourse(AffineRecourse, Protocol):
    """One whose best recourse for any linear cost is quick, apart from the rows that link it to the design."""

    def price(self, cost: Array) -> Array:
        """(r,) costs -> the whole-numbered recourse (r,) with the least, within the rows that no design enters."""
        ...


@runtime_checkable
class ItemFeatures(AffineRecourse, Protocol):
    """One whose design and scenario have an entry an item, and whose items can be described to a network."""

    def item_features(self) -> Array:
        """(d, F) numbers of order one that describe the items, relative to the instance."""
        ...

    def value_scale(self) -> float:
        """What second-stage costs are divided by to be of order one."""
        ...

    def relaxed_values(self, X: Array, Xi: Array) -> Array:
        """As ``second_stage_values`` with the recourse relaxed: never worse."""
        ...
