"""The counterfactual problem: the least change to a query that meets the targets and still looks like the data."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from designopt.counterfactual.gower import Gower, Neighbours
from designopt.counterfactual.targets import Hard, Interval, MostProbable, Optimise, Outputs, Soft, Target
from designopt.parameters import Array, Categorical, Integer, Ordinal, Parameter, Real, Sequence, suggest
from designopt.space import DesignSpace

MARGIN = 1e-5
"""By how much of its scale a graded target is met at least, so that rounding in another batch does not undo it."""

Condition = tuple[str, Any]
Restriction = Callable[[dict[str, NDArray[Any]]], ArrayLike]


class Problem:
    """Features, query, data and targets as arrays; all distances are minimised.

    Args:
        space: the d features; the query and the data may lie outside its bounds, designs may not.
        query: (d,) the design to change.
        data: (N, d) designs that show what is usual, N >= 1.
        targets: output name -> target, at least one of them hard.
        freeze: features that keep the query's value.
        bounds: feature -> (low, high), within the space's own.
        grow, shrink: features that may only become larger, smaller than the query's.
        max_changes: how many features may change.
        conditions: feature -> (other feature, value): it matters only where the other has that value (or one of a
            list); elsewhere it keeps the query's value and is no change. An absent bridge has no diameter.
        restrictions: name -> function of the features (name -> (n,) values) that must be <= 0.
        tolerance: feature -> difference that is no change yet; such a feature is set to the query's value.
        scales: target -> size by which its violation is divided; its own typical size where not given.
        neighbours, rows: the manifold distance is the mean to so many nearest of so many data rows (drawn once).

    Attributes:
        start: (d,) the query moved into the bounds; a feature that had to move counts as changed.
        low, high: (d,) bounds of designs; equal where a feature cannot change.
        free: (d,) mask of features that can change.
        usual: (m, d) the data rows of the manifold distance.
        hard, bonus: target name -> hard targets, further objectives.

    Raises:
        ValueError: unknown feature, bounds without room, no data row, no hard target.
    """

    def __init__(
        self,
        space: DesignSpace,
        query: ArrayLike,
        data: ArrayLike,
        targets: Mapping[str, Target],
        *,
        freeze: Collection[str] = (),
        bounds: Mapping[str, tuple[float | None, float | None]] | None = None,
        grow: Collection[str] = (),
        shrink: Collection[str] = (),
        max_changes: int | None = None,
        conditions: Mapping[str, Condition] | None = None,
        restrictions: Mapping[str, Restriction] | None = None,
        tolerance: Mapping[str, float] | None = None,
        scales: Mapping[str, float] | None = None,
        neighbours: int = 3,
        rows: int = 1000,
    ) -> None:
        self.space = space
        self.query = np.array(query, dtype=np.float64)
        self.data = np.asarray(data, dtype=np.float64)
        if not len(self.data):
            raise ValueError("the data have no row; at least one is needed")
        self.hard = {name: t for name, t in targets.items() if isinstance(t, Hard)}
        self.bonus = {name: t for name, t in targets.items() if isinstance(t, Optimise | Soft)}
        if not self.hard:
            raise ValueError("targets: at least one must be hard, such as '<= 3'; 'min', 'max' and Soft only rank")
        if max_changes is not None and max_changes < 1:
            raise ValueError(f"max_changes = {max_changes}; it must be at least 1")
        for names in (freeze, bounds or {}, grow, shrink, conditions or {}, tolerance or {}):
            for name in names:
                self._check_name(name)
        self.max_changes = max_changes
        self.restrictions = dict(restrictions or {})
        self._where = {name: self._columns_of(name) for name in space.parameters}
        self._tolerance = np.zeros(space.dim)
        for name, value in (tolerance or {}).items():
            if not value >= 0:
                raise ValueError(f"tolerance of {name!r} = {value}; it must not be negative")
            self._tolerance[self._where[name]] = value
        self.low, self.high = self._box(freeze, bounds or {}, grow, shrink)
        self.start = self.snap(np.clip(self.query, self.low, self.high)[None])[0]
        self.free = self.low < self.high
        self._conditions = [self._condition(name, *condition) for name, condition in (conditions or {}).items()]
        self.scales = np.array([(scales or {}).get(name, t.scale) for name, t in self.hard.items()])
        self.margins = np.array([MARGIN if isinstance(t, Interval | MostProbable) else 0.0 for t in self.hard.values()])
        self.gower = Gower(np.ptp(self.data, axis=0), space.categorical)
        count = len(self.data)
        chosen = np.random.default_rng(42).choice(count, rows, replace=False) if count > rows else slice(None)
        self.usual = self.data[chosen]
        self._neighbours = Neighbours(self.gower, self.usual, self.query, neighbours)

    # Features ---------------------------------------------------------------------------------------------------

    def _check_name(self, name: str) -> None:
        if name not in self.space.parameters:
            raise ValueError(f"unknown feature {name!r}; {suggest(name, self.space.parameters)}")

    def _columns_of(self, name: str) -> slice:
        p = self.space[name]
        width = p.length if isinstance(p, Sequence) else 1
        first = self.space.columns.index(f"{name}[0]" if isinstance(p, Sequence) else name)
        return slice(first, first + width)

    def _box(
        self,
        freeze: Collection[str],
        bounds: Mapping[str, tuple[float | None, float | None]],
        grow: Collection[str],
        shrink: Collection[str],
    ) -> tuple[Array, Array]:
        low, high = self.space.low.copy(), self.space.high.copy()
        for name, (least, most) in bounds.items():
            where = self._where[name]
            if self.space.categorical[where].any():
                raise ValueError(f"bounds of {name!r}: it has classes, no order; freeze it or leave it free")
            own = f"{low[where][0]:g} to {high[where][0]:g}"
            low[where] = np.maximum(low[where], -np.inf if least is None else least)
            high[where] = np.minimum(high[where], np.inf if most is None else most)
            if not (low[where] <= high[where]).all():
                raise ValueError(f"bounds of {name!r}: ({least}, {most}) leave no value; the feature goes from {own}")
        for names, end in ((grow, low), (shrink, high)):
            for name in names:
                where = self._where[name]
                if self.space.categorical[where].any():
                    raise ValueError(f"{name!r} has classes, no order; it cannot be told to grow or shrink")
                end[where] = np.clip(self.query[where], low[where], high[where])
        for name in freeze:
            where = self._where[name]
            low[where] = high[where] = self.query[where]
        for name, p in self.space.parameters.items():
            where = self._where[name]
            if isinstance(p, Integer) and name not in freeze:
                low[where], high[where] = np.ceil(low[where]), np.floor(high[where])
            if isinstance(p, Ordinal) and name not in freeze:
                inside = [v for v in p.values if low[where][0] <= v <= high[where][0]]
                if inside:
                    low[where], high[where] = inside[0], inside[-1]
            if (low[where] > high[where]).any():
                raise ValueError(f"bounds of {name!r} hold none of its values")
        return low, high

    def _condition(self, name: str, other: str, value: Any) -> tuple[slice, int, NDArray[np.float64]]:
        self._check_name(other)
        p, values = self.space[other], value if isinstance(value, list | tuple | set) else [value]
        if isinstance(p, Categorical):
            for v in values:
                if v not in p.choices:
                    raise ValueError(f"condition of {name!r}: {other} = {v!r}; {suggest(v, p.choices)}")
            values = [p.choices.index(v) for v in values]
        return self._where[name], self._where[other].start, np.array([float(v) for v in values])

    def snap(self, designs: Array) -> Array:
        """designs: (n, d) -> the same with integers rounded and ordinals at their nearest value."""
        designs = designs.copy()
        for name, p in self.space.parameters.items():
            where = self._where[name]
            if isinstance(p, Integer):
                designs[:, where] = np.rint(designs[:, where])
            elif isinstance(p, Ordinal):
                values = np.array(p.values)
                designs[:, where] = values[np.abs(designs[:, where] - values).argmin(axis=1)][:, None]
        return designs

    def canonical(self, designs: Array) -> Array:
        """designs: (n, d) -> in the box, on the grid, and exactly the query where a feature is no change."""
        designs = np.clip(designs, self.low, self.high)
        if self.space.discrete.any():
            designs = np.where(self.free, self.snap(designs), designs)
        near = (np.abs(designs - self.query) <= self._tolerance) & (self.start == self.query)
        designs = np.where(near, self.query, designs)
        for where, other, values in self._conditions:
            idle = ~np.isin(designs[:, other], values)
            designs[idle, where] = self.query[where]
        return designs

    def inside(self, designs: Array) -> NDArray[np.bool_]:
        """designs: (n, d) -> (n,) whether each respects the box, hence the frozen features."""
        return np.asarray(((designs >= self.low) & (designs <= self.high)).all(axis=1))

    def free_space(self) -> DesignSpace:
        """The features that can change, within their bounds.

        Raises:
            ValueError: none can.
        """
        parameters: dict[str, Parameter] = {}
        for name, p in self.space.parameters.items():
            where = self._where[name]
            if not self.free[where].any():
                continue
            low, high = float(self.low[where][0]), float(self.high[where][0])
            if isinstance(p, Real):
                p = replace(p, low=low, high=high)
            elif isinstance(p, Integer):
                p = replace(p, low=int(low), high=int(high))
            elif isinstance(p, Ordinal):
                p = replace(p, values=tuple(v for v in p.values if low <= v <= high))
            parameters[name] = p
        if not parameters:
            raise ValueError("no feature can change: all are frozen or have bounds without room")
        return DesignSpace(parameters)

    def full(self, free: Array) -> Array:
        """Designs of the free space, (n, f), with the features that cannot change -> (n, d)."""
        designs = np.repeat(self.start[None], len(free), axis=0)
        designs[:, self.free] = free
        return designs

    # Distances --------------------------------------------------------------------------------------------------

    def changed(self, designs: Array) -> NDArray[np.bool_]:
        """designs: (n, d) -> (n, d) which features differ from the query."""
        return np.asarray(designs != self.query)

    def proximity(self, designs: Array) -> Array:
        """designs: (n, d) -> (n,) Gower dissimilarity to the query."""
        return self.gower(designs, self.query)

    def sparsity(self, designs: Array) -> Array:
        """designs: (n, d) -> (n,) share of changed features."""
        return np.asarray(self.changed(designs).mean(axis=1))

    def manifold(self, designs: Array) -> Array:
        """designs: (n, d) -> (n,) mean Gower dissimilarity to the nearest data rows."""
        return self._neighbours(designs)

    # Outputs ----------------------------------------------------------------------------------------------------

    @property
    def constraint_names(self) -> list[str]:
        """Names of the columns of ``violations``."""
        extra = ["changes"] if self.max_changes is not None else []
        return [*self.hard, *self.restrictions, *extra]

    def violations(self, designs: Array, outputs: Outputs) -> Array:
        """(n, k) of hard targets (over their scales), restrictions and the number of changes; met where <= 0."""
        columns = [t.violation(name, outputs) / s for (name, t), s in zip(self.hard.items(), self.scales, strict=True)]
        if self.restrictions:
            features = self.space.natural(designs)
            columns += [np.asarray(function(features), dtype=np.float64) for function in self.restrictions.values()]
        if self.max_changes is not None:
            columns.append((self.changed(designs).sum(axis=1) - self.max_changes) / self.space.dim)
        return np.stack(np.broadcast_arrays(*columns), axis=1)

    def losses(self, outputs: Outputs, n: int) -> Array:
        """(n, b) further objectives, minimised."""
        return np.array([t.loss(name, outputs) for name, t in self.bonus.items()]).reshape(len(self.bonus), n).T

    def valid(self, violations: Array) -> NDArray[np.bool_]:
        """violations: (n, k) -> (n,) whether all are met, graded targets by a hair; NaN and infinities never are."""
        limit = np.zeros(violations.shape[1])
        limit[: len(self.hard)] = -self.margins
        with np.errstate(invalid="ignore"):
            return np.asarray((np.isfinite(violations) & (violations <= limit)).all(axis=1))


@runtime_checkable
class Counterfactual(Protocol):
    """What an environment offers whose designs are counterfactuals of a query."""

    problem: Problem
