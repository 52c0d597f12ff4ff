"""Which parameters mattered: permutation importance of a random forest, on mixed spaces and with invalid rows."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from designopt.parameters import Array
from designopt.report import style
from designopt.report.style import clean

if TYPE_CHECKING:
    from designopt.result import Result

LEAST = 40
"""From how many rows on a forest is worth growing."""
ROWS = 2000
"""How many rows it grows on at most."""
BARS = 20
"""How many parameters the figure shows at most."""


@dataclass(frozen=True)
class Importance:
    """What one forest says.

    Attributes:
        target: an objective's name, or "feasibility".
        drop: (d,) by how much R² on held-out designs falls when a column of the space is shuffled; zero at least.
        score: R² on held-out designs, the scale of ``drop``.
        n: designs it was grown on and tested with.
    """

    target: str
    drop: Array
    score: float
    n: int


def importances(result: Result) -> list[Importance]:
    """One forest per objective over designs with values, and one for feasibility over all designs.

    Objectives are predicted by rank, so that neither units nor outliers matter; feasible is 1, all else 0, whatever the
    reason. A third of the designs is held out. What has no variance, or fewer than ``LEAST`` rows, has no forest.
    Importance is over the designs that the search tried, which are not spread evenly.
    """
    from scipy.stats import rankdata

    evaluation = result.evaluation
    ok = evaluation.status == "ok"
    found = []
    for objective, values in zip(result.objectives, evaluation.objectives.T, strict=True):
        found.append(_grown(result, ok, lambda rows, v=values: rankdata(v[rows]) / len(rows), objective.name))
    feasible = evaluation.feasible.astype(np.float64)
    found.append(_grown(result, np.ones(len(ok), dtype=bool), lambda rows: feasible[rows], "feasibility"))
    return [one for one in found if one is not None]


def _grown(result: Result, usable: NDArray[np.bool_], target: Any, name: str) -> Importance | None:
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.inspection import permutation_importance
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer

    rng = np.random.default_rng(0)
    rows = rng.permutation(np.flatnonzero(usable))[:ROWS]
    if len(rows) < LEAST:
        return None
    y = target(rows)
    held = len(rows) // 3
    if np.ptp(y[:held]) == 0 or np.ptp(y[held:]) == 0:
        return None
    designs = result.designs[rows]
    forest = RandomForestRegressor(60, min_samples_leaf=2, max_features=0.5, random_state=0)
    model = make_pipeline(FunctionTransformer(result.space.one_hot), forest).fit(designs[held:], y[held:])
    shuffled = permutation_importance(model, designs[:held], y[:held], n_repeats=5, random_state=0)
    drop = np.maximum(shuffled.importances_mean, 0.0)
    return Importance(name, drop, float(model.score(designs[:held], y[:held])), len(rows))


def importance_figure(result: Result, found: list[Importance]) -> Any:
    """Bars of all forests, the parameter that matters most to any of them first."""
    import plotly.graph_objects as go

    total = np.max([one.drop for one in found], axis=0)
    shown = np.argsort(-total, kind="stable")[:BARS]
    names = [escape(clean(result.space.columns[i])) for i in shown]
    scores = ", ".join(f"{clean(one.target)} {style.number(one.score, 2)}" for one in found)
    figure = go.Figure(layout=style.layout(result, f"R² on held-out designs: {scores}"))
    for one, colour in zip(found, [style.LINE, style.REFERENCE, style.VIOLATED, style.FEASIBLE] * 9, strict=False):
        colour = style.INFEASIBLE if one.target == "feasibility" else colour
        figure.add_bar(
            x=one.drop[shown],
            y=names,
            orientation="h",
            name=escape(clean(one.target)),
            marker={"color": colour},
            hovertemplate="%{y}: %{x:.3f}<extra>%{fullData.name}</extra>",
        )
    figure.update_xaxes(title="loss of R² when the parameter is shuffled", rangemode="tozero")
    figure.update_yaxes(autorange="reversed")
    figure.update_layout(barmode="group", bargap=0.35, showlegend=True)
    figure.update_layout(height=170 + len(shown) * (16 + 12 * len(found)))
    return figure
