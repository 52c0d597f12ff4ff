"""Two-stage robust capital budgeting: invest now at full revenue, or after the risk factors are known at a share of it.

References: [Subramanyam2020] K-adaptability in two-stage mixed-integer robust optimization, Math. Prog. Comp. 12;
[Dumouchelle2024] Neur2RO, ICLR (instances and protocol); docs/environments/robust_more.md.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Literal

import numpy as np
from numba import njit
from numpy.typing import NDArray

from designopt import Constraint, DesignEnv, DesignSpace, Evaluation, Integer, Objective
from designopt.envs.robust.uncertainty import BoxSet
from designopt.parameters import Array
from designopt.two_stage import Block, FirstStage, SecondStage, WorstCase

LATE_SHARE = 0.8
MAX_NODES = 5_000_000
BATCH = 64  # boxes split at a time


@dataclass(frozen=True)
class BudgetingInstance:
    """n projects with cost (n,), revenue (n,), loadings on M risk factors of cost and revenue (n, M), and a budget."""

    cost: Array
    revenue: Array
    cost_loading: Array
    revenue_loading: Array
    budget: float


def read_budgeting(path: str | PathLike[str]) -> BudgetingInstance:
    """An instance in the published format: ``seed n M budget max_loan``, costs, revenues, n + n rows of loadings.

    Raises:
        ValueError: no such file, or a line that does not read, naming file and line.
    """
    file = Path(path)
    if not file.is_file():
        raise ValueError(f"instance = {str(path)!r}: no such file")
    rows: list[tuple[int, list[float]]] = []
    for number, line in enumerate(file.read_text(encoding="utf-8-sig").splitlines(), 1):
        try:
            values = [float(word) for word in line.split()]
        except ValueError as error:
            raise ValueError(f"{file}, line {number}: {error}") from None
        if not np.isfinite(values).all():
            raise ValueError(f"{file}, line {number}: a value is not finite")
        if values:
            rows.append((number, values))
    if not rows or len(rows[0][1]) != 5:
        raise ValueError(f"{file}, line 1: expected 5 values: seed n M budget max_loan")
    n, factors = int(rows[0][1][1]), int(rows[0][1][2])
    if len(rows) != 2 * n + 3:
        raise ValueError(f"{file}: {len(rows)} lines; line 1 says n = {n}, so expected {2 * n + 3}")
    for i, (number, values) in enumerate(rows[1:]):
        expected, what = (n, "costs" if i == 0 else "revenues") if i < 2 else (factors, "loadings")
        if len(values) != expected:
            raise ValueError(f"{file}, line {number}: {len(values)} {what}; expected {expected}")
        if min(values) < 0:
            raise ValueError(f"{file}, line {number}, field {what}: {min(values):g}; negative values are not allowed")
    table = [values for _, values in rows]
    return BudgetingInstance(
        np.array(table[1]), np.array(table[2]), np.array(table[3 : 3 + n]), np.array(table[3 + n :]), table[0][3]
    )


def generate_budgeting(n: int = 10, factors: int = 4, seed: int = 0) -> BudgetingInstance:
    """A random instance by the published rule: costs in [1, 10], revenue a fifth, loadings uniform on the simplex."""
    if n < 1 or factors < 1:
        raise ValueError(f"n = {n}, factors = {factors}; both must be at least 1")
    rng = np.random.default_rng(seed)
    cost = rng.uniform(1, 10, n)

    def simplex() -> Array:
        cuts = np.sort(rng.random((n, factors - 1)), axis=1)
        return np.diff(np.hstack([np.zeros((n, 1)), cuts, np.ones((n, 1))]), axis=1)

    return BudgetingInstance(cost, cost / 5, simplex(), simplex(), float(cost.sum() / 2))


class CapitalBudgeting(DesignEnv):
    """Certified worst-case profit of early investments; uncertainty in costs and revenues.

    Design: x0, x1, ... in {0, 1}, invest in project i now. Scenario xi in [-1, 1]^M: cost_i (1 + loading_i'xi / 2), and
    revenue likewise. Recourse: invest later, at 80 % of the revenue, what the budget still affords. A design is
    feasible when the budget affords it under every scenario, which is when 1.5 times its cost does.

    A dearer scenario forbids recourses, so the profit jumps and no sample finds the worst case for sure: it is
    bracketed by branch and bound over boxes of scenarios. The objective is the bracket's lower end.

    Args:
        instance: path of a file in the published format, a BudgetingInstance, or None: generated.
        budget: "real", or "published": truncated to a whole number, as the published experiments did.
        n: projects of a generated instance.
        factors: risk factors of a generated instance.
        seed: of the generator.
        boxes: of scenarios examined at most for one worst case; more narrow the bracket.
        render_mode: None or "ansi".
    """

    objectives = (Objective("worst_case_profit", "max"),)
    constraints = (Constraint("budget_exceeded"),)
    cost_sign = -1

    def __init__(
        self,
        instance: str | PathLike[str] | BudgetingInstance | None = None,
        budget: Literal["real", "published"] = "real",
        n: int = 10,
        factors: int = 4,
        seed: int = 0,
        boxes: int = 16_000,
        render_mode: str | None = None,
    ) -> None:
        super().__init__(render_mode)
        if boxes < 1:
            raise ValueError(f"boxes = {boxes}; allowed: at least 1")
        if budget not in ("real", "published"):
            raise ValueError(f"budget = {budget!r}; allowed: 'real', 'published'")
        if instance is None:
            instance = generate_budgeting(n, factors, seed)
        self.instance = instance if isinstance(instance, BudgetingInstance) else read_budgeting(instance)
        self.budget = float(int(self.instance.budget)) if budget == "published" else self.instance.budget
        self.boxes = boxes
        count, risks = self.instance.cost_loading.shape
        self.design_space = DesignSpace({f"x{i}": Integer(0, 1) for i in range(count)})
        self.uncertainty = BoxSet(risks)

    def evaluate(self, designs: Array) -> Evaluation:
        """designs: (n, d) -> worst_case_profit, budget_exceeded (n, 1) each; metrics profit_lower, profit_upper."""
        intervals = np.array([self.worst_case(x).interval for x in designs]).reshape(-1, 2)
        exceeded = 1.5 * designs @ self.instance.cost - self.budget
        metrics = {"profit_lower": intervals[:, 0], "profit_upper": intervals[:, 1]}
        return Evaluation(intervals[:, :1], exceeded[:, None], metrics=metrics)

    # Two-stage robust -------------------------------------------------------------------------------------------

    def costs(self, Xi: Array) -> Array:
        """(s, M) scenarios -> (s, n) costs."""
        return np.asarray((1 + Xi @ self.instance.cost_loading.T / 2) * self.instance.cost)

    def revenues(self, Xi: Array) -> Array:
        """(s, M) scenarios -> (s, n) revenues."""
        return np.asarray((1 + Xi @ self.instance.revenue_loading.T / 2) * self.instance.revenue)

    def second_stage(self, x: Array, xi: Array) -> SecondStage:
        """Profit of design x (d,) under scenario xi (M,), and the later investments (d,) of the best recourse."""
        x, xi = np.asarray(x, dtype=float), np.asarray(xi, dtype=float)
        cost, revenue = self.costs(xi[None])[0], self.revenues(xi[None])[0]
        free = np.flatnonzero(x < 0.5)
        y = np.zeros(len(x))
        y[free[_knapsack(cost[free], revenue[free], self.budget - float(cost @ x))]] = 1.0
        return SecondStage(float(revenue @ (x + LATE_SHARE * y)), y)

    def second_stage_values(self, X: Array, Xi: Array) -> Array:
        """Profits (s,) of designs X (s, d) under scenarios Xi (s, M), on all threads that numba has."""
        X = np.asarray(X, dtype=float)
        cost, revenue = self.costs(np.asarray(Xi)), self.revenues(np.asarray(Xi))
        return np.asarray(_profits(X, cost, revenue, self.budget))

    def sampled_worst_case(self, x: Array, scenarios: Array) -> float:
        """Least profit of design x (d,) over scenarios (s, M): optimistic, never certified."""
        return float(self.second_stage_values(np.tile(x, (len(scenarios), 1)), scenarios).min())

    def worst_case(
        self, x: Array, *, tolerance: float = 1e-6, cutoff: float | None = None, seconds: float | None = None
    ) -> WorstCase:
        """Bracket of the worst-case profit of design x (d,), by best-first branch and bound over boxes of scenarios.

        Ends when it is as narrow as ``tolerance`` says, after ``boxes`` boxes, when its upper end reaches ``cutoff``,
        or out of time. A recourse that is affordable at the upper corner of a box is affordable in all of it, and earns
        least at the lower corner: the best of them there bounds the profit from below. The upper end is attained by the
        scenario; the lower end bounds the infimum, which need not be attained.
        """
        x = np.asarray(x, dtype=float)
        deadline = np.inf if seconds is None else time.monotonic() + seconds
        k = self.instance
        # Edges are compared by what they change: share of the revenues plus share of the costs.
        effect = k.revenue @ k.revenue_loading / k.revenue.sum() + k.cost @ k.cost_loading / k.cost.sum()
        low, high = -np.ones((1, len(effect))), np.ones((1, len(effect)))
        bounds, examined = np.full(1, -np.inf), 0
        scenario, upper = high[0], np.inf
        while True:
            open_ = np.argsort(bounds, kind="stable")[:BATCH]
            rest = np.delete(np.arange(len(bounds)), open_)
            middle = (low[open_] + high[open_]) / 2
            edge = np.eye(len(effect), dtype=bool)[((high[open_] - low[open_]) * effect).argmax(axis=1)]
            new_low = np.vstack([low[open_], np.where(edge, middle, low[open_])])
            new_high = np.vstack([np.where(edge, middle, high[open_]), high[open_]])
            designs, dearest = np.tile(x, (len(new_low), 1)), self.costs(new_high)
            values = _profits(designs, dearest, self.revenues(new_high), self.budget)
            new_bounds = _profits(designs, dearest, self.revenues(new_low), self.budget)
            examined += len(new_low)
            if values.min() < upper:
                scenario, upper = new_high[values.argmin()], float(values.min())
            low, high = np.vstack([low[rest], new_low]), np.vstack([high[rest], new_high])
            bounds = np.concatenate([bounds[rest], new_bounds])
            left = bounds < upper
            low, high, bounds = low[left], high[left], bounds[left]
            lower = min(float(bounds.min(initial=upper)), upper)
            closed = upper - lower <= tolerance * max(1.0, abs(upper))
            cut = cutoff is not None and upper <= cutoff
            if closed or cut or examined >= self.boxes or time.monotonic() > deadline:
                return WorstCase((lower, upper), scenario, self.second_stage(x, scenario).recourse)

    def first_stage(self) -> FirstStage:
        """No cost without a scenario; what is invested now must be affordable under the dearest."""
        n = len(self.instance.cost)
        return FirstStage(
            np.zeros(n),
            1.5 * self.instance.cost[None],
            np.array([self.budget]),
            np.zeros(n),
            np.ones(n),
            integer=np.ones(n, dtype=bool),
        )

    def block(self, xi: Array) -> Block:
        """Later investments under one scenario: at most one of now and later, within the budget."""
        n = len(self.instance.cost)
        cost, revenue = self.costs(xi[None])[0], self.revenues(xi[None])[0]
        return Block(
            x_cost=-revenue,
            z_cost=-LATE_SHARE * revenue,
            T=np.vstack([np.eye(n), cost[None]]),
            W=np.vstack([np.eye(n), cost[None]]),
            h=np.concatenate([np.ones(n), [self.budget]]),
            lower=np.zeros(n),
            upper=np.ones(n),
            integer=np.ones(n, dtype=bool),
        )


@njit(cache=True, nogil=True)
def _knapsack(cost: Array, value: Array, budget: float) -> NDArray[np.int64]:
    """Indices of the most valuable affordable set, by depth-first branch and bound on the fractional bound.

    After five million nodes the best set so far is taken.
    """
    n = len(cost)
    order = np.argsort(-(value / cost), kind="mergesort")
    c, v = cost[order], value[order]
    taken, best_taken = np.zeros(n, np.bool_), np.zeros(n, np.bool_)
    best, held, left, i, nodes = 0.0, 0.0, budget, 0, 0
    while True:
        nodes += 1
        # Fractional bound of what follows.
        room, bound, j = left, held, i
        while j < n and c[j] <= room:
            room -= c[j]
            bound += v[j]
            j += 1
        if j < n and room > 0:
            bound += v[j] * room / c[j]
        if bound > best + 1e-12 and i < n and nodes < MAX_NODES:
            if c[i] <= left:
                taken[i] = True
                held += v[i]
                left -= c[i]
            i += 1
            if held > best:
                best = held
                best_taken[:] = taken
                for later in range(i, n):
                    best_taken[later] = False
            continue
        # Back to the last item taken, and leave it out.
        i -= 1
        while i >= 0 and not taken[i]:
            i -= 1
        if i < 0 or nodes >= MAX_NODES:
            break
        taken[i] = False
        held -= v[i]
        left += c[i]
        i += 1
    return order[best_taken]


@njit(cache=True, nogil=True)
def _profits(X: Array, cost: Array, revenue: Array, budget: float) -> Array:
    out = np.empty(len(X))
    for s in range(len(X)):
        free = np.flatnonzero(X[s] < 0.5)
        spent = 0.0
        gained = 0.0
        for i in range(X.shape[1]):
            spent += cost[s, i] * X[s, i]
            gained += revenue[s, i] * X[s, i]
        for j in _knapsack(cost[s][free], revenue[s][free], budget - spent):
            gained += LATE_SHARE * revenue[s, free[j]]
        out[s] = gained
    return out
