"""Many designs in one picture: parallel coordinates, and the objectives of the front pair by pair."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from designopt.parameters import Array, Categorical, Ordinal, Sequence
from designopt.report import style
from designopt.report.curves import stretched
from designopt.report.style import clean, label, number

if TYPE_CHECKING:
    from designopt.result import Result

LINES = 500
"""How many designs parallel coordinates draw at most: the better half of them the best, the rest a fixed sample."""
AXES = 12
"""How many parameters it draws at most."""
PALETTE = [[0, style.LINE], [0.35, style.FEASIBLE], [1, "#e3e7eb"]]
"""From best to worst."""


def parallel(result: Result, first: NDArray[np.int64] | None = None) -> Any:
    """Each feasible design as a line through its parameters and objectives; drag along an axis to keep a part of it.

    Without feasible designs, those with values are drawn. Colour is the rank in the first objective.

    Args:
        result: of a study, with a design that has values.
        first: (d,) columns of the space by importance, for spaces with more than ``AXES``.
    """
    import plotly.graph_objects as go
    from scipy.stats import rankdata

    evaluation = result.evaluation
    usable = evaluation.feasible if evaluation.feasible.any() else evaluation.status == "ok"
    rows = _drawn(np.flatnonzero(usable), evaluation.losses(result.objectives)[:, 0])
    kind = "feasible designs" if evaluation.feasible.any() else "designs, none feasible"
    caption = f"{int(usable.sum()):,} {kind}"
    if len(rows) < usable.sum():
        caption = f"{len(rows):,} of {caption}, the best and a fixed sample of the rest"
    columns = np.arange(result.space.dim) if first is None else first
    if len(columns) > AXES:
        columns = np.sort(columns[:AXES])
        chosen = "first" if first is None else "most important"
        caption += f"; the {AXES} {chosen} of {result.space.dim} parameters"
    losses = evaluation.losses(result.objectives)[rows, 0]
    axes = [_parameter_axis(result, column, result.designs[rows, column]) for column in columns]
    axes += [
        _axis(label(o.name, o.unit), values, stretched(values))
        for o, values in zip(result.objectives, evaluation.objectives[rows].T, strict=True)
    ]
    figure = go.Figure(layout=style.layout(result, caption))
    figure.add_parcoords(
        dimensions=axes,
        line={"color": rankdata(losses), "colorscale": PALETTE},
        labelangle=-20,
        labelside="top",
        labelfont={"size": 12},
        tickfont={"size": 10},
    )
    figure.update_layout(height=460, margin={"l": 64, "r": 48, "t": 110, "b": 32})
    return figure


def _drawn(rows: NDArray[np.int64], losses: Array) -> NDArray[np.int64]:
    """Rows to draw, worst first, so that the best lie on top."""
    rows = rows[np.argsort(losses[rows], kind="stable")]
    if len(rows) > LINES:
        rest = np.random.default_rng(0).choice(len(rows) - LINES // 2, LINES // 2, replace=False) + LINES // 2
        rows = np.concatenate([rows[: LINES // 2], rows[np.sort(rest)]])
    return rows[::-1]


def _parameter_axis(result: Result, column: int, values: Array) -> dict[str, Any]:
    space = result.space
    name = space.columns[column]
    p = space.parameters.get(name)
    if not space.categorical[column]:
        assert p is not None
        return _axis(label(name, p.unit), values, bool(getattr(p, "log", False)), isinstance(p, Ordinal))
    choices = p.choices if isinstance(p, Categorical) else _alphabet(result, name)
    texts = [escape(clean(choice))[:14] for choice in choices]
    return {
        "label": escape(clean(name)),
        "values": values,
        "range": [-0.3, len(texts) - 0.7],
        "tickvals": list(range(len(texts))),
        "ticktext": texts,
    }


def _alphabet(result: Result, column: str) -> Any:
    """Symbols of a position of a sequence, whose columns are called ``name[0]``, ``name[1]``, ..."""
    p = result.space.parameters[column.rpartition("[")[0]]
    assert isinstance(p, Sequence)
    return p.alphabet


def _axis(title: str, values: Array, log: bool, few: bool = False) -> dict[str, Any]:
    """An axis of numbers; a logarithmic one draws logarithms and writes numbers."""
    axis: dict[str, Any] = {"label": escape(title), "values": np.log10(values) if log else values}
    if few:
        axis["tickvals"] = np.unique(values)
    low, high = float(axis["values"].min()), float(axis["values"].max())
    if low == high:
        axis["range"] = [low - 0.5, low + 0.5]
    if log:
        ticks = np.linspace(low, high, 6)
        axis |= {"tickvals": ticks, "ticktext": [number(10.0**tick, 2) for tick in ticks]}
    return axis


def trade_offs(result: Result, rows: NDArray[np.int64]) -> Any:
    """The objectives of front designs, pair by pair; a selection in one panel shows in all.

    Args:
        result: with three objectives or more.
        rows: of the designs to draw.
    """
    import plotly.graph_objects as go

    values = result.evaluation.objectives[rows]
    figure = go.Figure(layout=style.layout(result, f"{len(rows):,} non-dominated designs"))
    figure.add_splom(
        dimensions=[
            {"label": escape(label(o.name, o.unit)), "values": column}
            for o, column in zip(result.objectives, values.T, strict=True)
        ],
        showupperhalf=False,
        diagonal={"visible": False},
        marker={"color": style.LINE, "size": 5, "opacity": 0.7, "line": {"width": 0}},
        unselected={"marker": {"color": style.SHADE, "opacity": 0.2}},
        customdata=rows.tolist(),
        hovertemplate="%{xaxis.title.text} %{x:.5g}<br>%{yaxis.title.text} %{y:.5g}<extra></extra>",
    )
    figure.update_layout(dragmode="select", height=150 + 170 * (len(result.objectives) - 1), margin={"b": 64})
    return figure
