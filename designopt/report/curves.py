"""The numbers behind the convergence picture, thinned so that a hundred thousand evaluations stay a small picture."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from designopt.evaluation import STATUSES
from designopt.metrics import best_so_far, hypervolume, non_dominated
from designopt.parameters import Array
from designopt.report.style import label

if TYPE_CHECKING:
    from designopt.result import Result

DRAWN = 3000
"""How many evaluations, and how many improvements, a picture draws at most."""
MEASURED = 100
"""At how many evaluations the hypervolume of the front so far is measured at most."""
EXACT = 4
"""Up to how many objectives the curve measures the hypervolume exactly."""
STRETCH = 20
"""From this ratio of largest to smallest value on, the axis is logarithmic."""

NOTHING = (0.0, 1.0)
"""The view when there are no values."""

Quantity = Literal["objective", "gap", "hypervolume"]
Points = tuple[Array, Array]


@dataclass
class Curve:
    """Everything that the convergence picture shows; x counts evaluations from 1.

    Attributes:
        title: of the y axis, with the unit.
        steps: (x, y) of the improvements and the last evaluation; y holds until the next x.
        first_feasible: its evaluation; None when nothing was feasible.
        points: kind -> (x, y) of single evaluations; ``counts`` says how many there are of each kind in all.
        not_ok: status -> x of evaluations without values.
        share: (x, y) of the running feasible share in percent; empty for a gap, whose picture is about the end.
        reference: the known optimum in y, with ``reference_name``.
        log, view: whether y is logarithmic, and the (low, high) that shows what matters.
        rising: whether more is better.
        note: what else the picture should say.
        drawn: how many of the n evaluations ``points`` and ``not_ok`` were chosen from.
    """

    title: str
    n: int
    steps: Points
    first_feasible: int | None
    share: Points
    points: dict[str, Points] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    not_ok: dict[str, Array] = field(default_factory=dict)
    reference: float | None = None
    reference_name: str = "known optimum"
    log: bool = False
    view: tuple[float, float] = NOTHING
    rising: bool = False
    note: str = ""
    drawn: int = 0

    @property
    def subtitle(self) -> str:
        """Facts of the picture in one line."""
        if not self.n:
            return "no evaluations"
        first = "no feasible design" if self.first_feasible is None else f"first feasible: {self.first_feasible:,}"
        thinned = f" · {self.drawn:,} of them drawn" if self.drawn < self.n else ""
        return f"{self.n:,} evaluations{thinned} · {first}{self.note and f' · {self.note}'}"

    @property
    def crowded(self) -> bool:
        """Whether single evaluations must be drawn small to stay apart."""
        return self.drawn > 500

    def clipped(self, y: Array) -> Array:
        """Values beyond the view moved to its edge, so that an outlier shows without flattening the rest."""
        return np.clip(y, *self.view)


def curve(result: Result, quantity: Quantity | None = None) -> Curve:
    """The convergence of a result: its objective, its gap to the known optimum, or the hypervolume of its front.

    Raises:
        ValueError: a gap without a known optimum, or a quantity that does not fit the number of objectives.
    """
    many = len(result.objectives) > 1
    quantity = quantity or ("hypervolume" if many else "objective")
    if many != (quantity == "hypervolume"):
        raise ValueError(f"quantity = {quantity!r} does not fit {len(result.objectives)} objective(s)")
    if quantity == "hypervolume":
        return _hypervolume(result)
    return _gap(result) if quantity == "gap" else _objective(result)


def _base(result: Result, title: str, steps: Points) -> Curve:
    feasible = result.evaluation.feasible
    n = len(feasible)
    checkpoints = np.unique(np.linspace(1, n, min(n, 400)).astype(int))
    share = 100 * np.cumsum(feasible)[checkpoints - 1] / checkpoints
    first = int(feasible.argmax()) + 1 if feasible.any() else None
    status = result.evaluation.status
    rows = sampled(n)
    not_ok = {s: rows[status[rows] == s] + 1.0 for s in STATUSES if s != "ok" and (status == s).any()}
    counts = {s: int((status == s).sum()) for s in not_ok}
    return Curve(
        title, n, steps, first, (checkpoints.astype(float), share), not_ok=not_ok, counts=counts, drawn=len(rows)
    )


def _objective(result: Result) -> Curve:
    objective, evaluation = result.objectives[0], result.evaluation
    values, feasible = evaluation.objectives[:, 0], evaluation.feasible
    sign = 1.0 if objective.sense == "min" else -1.0
    best = best_so_far(sign * values, feasible)
    drawn = _base(result, label(objective.name, objective.unit), _steps(best))
    drawn.steps, drawn.rising = (drawn.steps[0], sign * drawn.steps[1]), sign < 0
    rows = sampled(drawn.n)
    for kind, mask in {"infeasible": (evaluation.status == "ok") & ~feasible, "feasible": feasible}.items():
        if mask.any():
            chosen = rows[mask[rows]]
            drawn.points[kind] = (chosen + 1.0, values[chosen])
            drawn.counts[kind] = int(mask.sum())
    if result.reference is not None:
        drawn.reference = result.reference.value
    levels = np.append(drawn.steps[1], [] if drawn.reference is None else drawn.reference)
    drawn.log = stretched(levels)
    drawn.view = _view(levels, values[feasible if feasible.any() else evaluation.status == "ok"], sign, drawn.log)
    return drawn


def _gap(result: Result) -> Curve:
    """Gap of the best feasible value to the known optimum; it ends where the optimum is reached."""
    if result.reference is None or result.reference.value is None:
        raise ValueError(f"{result.env_id} has no known optimum, so there is no gap to draw")
    objective = result.objectives[0]
    sign = 1.0 if objective.sense == "min" else -1.0
    best = best_so_far(sign * result.evaluation.objectives[:, 0], result.evaluation.feasible)
    x, y = _steps(best - sign * result.reference.value)
    open_ = y > 1e-9 * abs(result.reference.value)  # below it, rounding
    drawn = _base(result, label("gap to the known optimum", objective.unit), (x[open_], y[open_]))
    drawn.share = (np.empty(0), np.empty(0))
    if not open_.all():  # the curve runs on, level, to the evaluation that closed the gap
        reached = x[~open_][0]
        drawn.note = f"known optimum reached: {reached:,.0f}"
        level = y[open_][-1] if open_.any() else 0.0
        drawn.steps = (np.append(x[open_], reached), np.append(y[open_], level))
    drawn.log = stretched(drawn.steps[1])
    drawn.view = _view(drawn.steps[1], np.empty(0), 1.0, drawn.log)
    return drawn


def _hypervolume(result: Result) -> Curve:
    """Hypervolume of the front so far against the environment's reference point, else against the worst found."""
    evaluation, known = result.evaluation, result.reference
    rows = np.flatnonzero(evaluation.feasible)
    losses = evaluation.losses(result.objectives)[rows]
    point = None if known is None else known.reference_point
    note = "" if point is not None else "reference point: the worst feasible values"
    if len(result.objectives) > EXACT:
        note = f"{note}, estimated".lstrip(", ")
    if point is None:
        point = tuple(losses.max(axis=0, initial=-np.inf))
    ends = np.arange(1, len(rows) + 1)
    if len(rows) > MEASURED:  # half of them early, where the front moves most
        even, early = np.linspace(1, len(rows), MEASURED // 2), np.geomspace(1, len(rows), MEASURED // 2)
        ends = np.unique(np.concatenate([even, early]).round().astype(int))
    front, start = losses[:0], 0
    x: list[float] = []
    y: list[float] = []
    for end in ends.tolist():
        front = np.concatenate([front, losses[start:end]])
        front = np.unique(front[non_dominated(front)], axis=0)
        x.append(rows[end - 1] + 1.0)
        y.append(_volume(front, point))
        start = end
    if x and x[-1] < len(evaluation):
        x, y = [*x, float(len(evaluation))], [*y, y[-1]]
    drawn = _base(result, "hypervolume", (np.array(x), np.array(y)))
    drawn.rising, drawn.note = True, note
    if known is not None and known.reference_point is not None:
        drawn.reference, drawn.reference_name = known.hypervolume, "known front"
    levels = np.append(drawn.steps[1], [] if drawn.reference is None else drawn.reference)
    drawn.view = _view(levels, np.empty(0), -1.0, False)
    return drawn


def _volume(front: Array, point: tuple[float, ...]) -> float:
    """Hypervolume; its cost explodes with the objectives, so beyond ``EXACT`` of them a deterministic estimate."""
    if len(point) <= EXACT:
        return hypervolume(front, point)
    from moocore import hv_approx

    inside = front[(front < point).all(axis=1)]
    return float(hv_approx(inside, ref=point, nsamples=4096, method="DZ2019-HW")) if len(inside) else 0.0


def _steps(best: Array) -> Points:
    """(n,) running best, inf before the first -> the evaluations that improved it and the last one, with its values."""
    previous = np.append(np.inf, best[:-1])
    rows = np.flatnonzero(best < previous)
    if not len(rows):
        return np.empty(0), np.empty(0)
    if len(rows) > DRAWN:
        rows = rows[np.linspace(0, len(rows) - 1, DRAWN).astype(int)]
    if rows[-1] != len(best) - 1:
        rows = np.append(rows, len(best) - 1)
    return rows.astype(np.float64) + 1, best[rows]


def sampled(n: int) -> NDArray[np.intp]:
    """Rows to draw: all, or a fixed random choice of as many as a picture can take."""
    if n <= DRAWN:
        return np.arange(n)
    return np.sort(np.random.default_rng(0).choice(n, DRAWN, replace=False))


def stretched(levels: Array) -> bool:
    """Whether values are better seen on a logarithmic axis."""
    return bool(len(levels) > 1 and levels.min() > 0 and levels.max() >= STRETCH * levels.min())


def _view(levels: Array, values: Array, sign: float, log: bool) -> tuple[float, float]:
    """(low, high) around the levels (improvements, known optimum), with room for most values on their worse side."""
    if log:
        levels, values = np.log10(levels), np.log10(values[values > 0])
    level, value = sign * levels, sign * values
    if len(level):
        best, worst = float(level.min()), float(level.max())
        if len(value):
            room = 2 * (worst - best) or np.inf
            worst = max(worst, min(float(np.quantile(value, 0.9)), worst + room))
    elif len(value):
        best, worst = np.quantile(value, [0.05, 0.95]).tolist()
    else:
        return NOTHING
    margin = 0.06 * (worst - best) or 0.1 * abs(best) or 1.0
    ends = sorted((sign * (best - margin), sign * (worst + margin)))
    low, high = 10.0 ** np.array(ends) if log else ends
    return float(low), float(high)
