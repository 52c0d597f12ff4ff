"""Figures of a result: convergence, Pareto front, constraint slacks."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from designopt.parameters import Array
from designopt.report import style
from designopt.report.content import FRONT, front_rows, shown_row, state, thinned, value_text
from designopt.report.curves import Curve, Quantity, curve, sampled
from designopt.report.style import clean, label

if TYPE_CHECKING:
    from designopt.result import Result

BARS = 40
"""How many constraints the slack figure shows at most, the tightest first."""
NO_FEASIBLE = "no feasible design yet"
POINTS = {"feasible": (style.FEASIBLE, "circle", "o"), "infeasible": (style.INFEASIBLE, "diamond-open", "D")}


def convergence(result: Result, quantity: Quantity | None = None) -> Any:
    """Best feasible objective against evaluations, as a Plotly figure.

    Single evaluations are faint points (a fixed sample of them in a long run; those beyond the view sit on its edge),
    the lower panel is the running feasible share, with a cross for each evaluation without values. The y axis turns
    logarithmic when the curve spans a factor of twenty.

    Args:
        result: of a study.
        quantity: ``"objective"`` (the default), ``"gap"`` to the known optimum, or ``"hypervolume"`` (the default for
            several objectives, and the only choice there).

    Raises:
        ValueError: a quantity that this result does not have.
    """
    import plotly.graph_objects as go

    c = curve(result, quantity)
    figure = go.Figure(layout=style.layout(result, c.subtitle))
    figure.update_xaxes(
        title="evaluation", tickformat=",d", dtick=1 if c.n <= 10 else None, range=[1 - 0.02 * c.n, max(1.02 * c.n, 2)]
    )
    figure.update_yaxes(title=escape(c.title), domain=[0.3, 1] if has_share(c) else [0, 1])
    if c.log:
        narrow = c.view[1] < 1000 * c.view[0]
        figure.update_yaxes(type="log", range=list(np.log10(c.view)), dtick="D2" if narrow else 1)
    else:
        figure.update_yaxes(range=c.view)
    for kind, (x, y) in c.points.items():
        colour, symbol, _ = POINTS[kind]
        figure.add_scatter(
            x=x,
            y=c.clipped(y),
            customdata=y,
            mode="markers",
            cliponaxis=False,
            name=f"{kind} ({c.counts[kind]:,})",
            marker={
                "color": colour,
                "symbol": symbol,
                "size": 4 if c.crowded else 6,
                "opacity": 0.5 if c.crowded else 0.65,
            },
            hovertemplate="evaluation %{x:,}<br>%{customdata:.6g}<extra>" + kind + "</extra>",
        )
    if len(c.steps[0]):
        figure.add_scatter(
            x=c.steps[0],
            y=c.steps[1],
            mode="lines+markers" if len(c.steps[0]) <= 60 else "lines",
            name="best so far",
            line={"color": style.LINE, "width": 2.5, "shape": "hv"},
            marker={"size": 5},
            hovertemplate="evaluation %{x:,}<br>%{y:.6g}<extra>best so far</extra>",
        )
    if c.reference is not None:
        figure.add_hline(
            c.reference,
            line={"color": style.REFERENCE, "dash": "dash", "width": 1.5},
            name=f"{c.reference_name} {style.number(c.reference)}",
            showlegend=True,
        )
    stretch = without_feasible(c)
    if stretch is not None:
        figure.add_vrect(*stretch, fillcolor=style.SHADE, opacity=0.16, line_width=0, name=NO_FEASIBLE, showlegend=True)
        if stretch[1] > c.n / 3:
            figure.add_annotation(text=NO_FEASIBLE, x=np.mean(stretch), yref="y domain", y=0.97, showarrow=False)
    if has_share(c):
        _add_share(figure, c)
    return figure


def _add_share(figure: Any, c: Curve) -> None:
    """The lower panel: running feasible share, and evaluations without values on its ground line."""
    figure.update_layout(
        yaxis2={"domain": [0, 0.2], "range": [-8, 108], "title": "feasible (%)", "tickvals": [0, 50, 100]}
    )
    figure.update_layout(xaxis={"anchor": "y2"})
    figure.add_scatter(
        x=c.share[0],
        y=c.share[1],
        yaxis="y2",
        mode="lines+markers" if c.n == 1 else "lines",
        showlegend=False,
        line={"color": style.FEASIBLE, "width": 2},
        hovertemplate="evaluation %{x:,}<br>%{y:.1f} % feasible so far<extra></extra>",
    )
    for status, x in c.not_ok.items():
        figure.add_scatter(
            x=x,
            y=np.zeros(len(x)),
            yaxis="y2",
            mode="markers",
            name=f"{status} ({c.counts[status]:,})",
            marker={
                "color": style.VIOLATED,
                "symbol": "x-thin",
                "size": 7,
                "line": {"color": style.VIOLATED, "width": 1},
            },
            hovertemplate="evaluation %{x:,}<extra>" + status + "</extra>",
        )


def has_share(c: Curve) -> bool:
    """Whether the feasible share says anything: not when every design is feasible."""
    return bool(len(c.share[1]) and c.share[1].min() < 100)


def without_feasible(c: Curve) -> tuple[float, float] | None:
    """From and to which evaluation nothing was feasible."""
    if c.n == 0 or c.first_feasible == 1:
        return None
    return 1.0, float(c.first_feasible or max(c.n, 2))


def pareto(result: Result) -> Any:
    """Two or three objectives against each other: the front marked, dominated feasible designs faint.

    Raises:
        ValueError: one objective, or more than three.
    """
    import plotly.graph_objects as go

    m = len(result.objectives)
    if m not in (2, 3):
        raise ValueError(f"a Pareto figure needs 2 or 3 objectives; {result.env_id} has {m}")
    values = result.evaluation.objectives
    front = front_rows(result)
    dominated = np.setdiff1d(np.flatnonzero(result.evaluation.feasible), front)
    titles = [escape(label(o.name, o.unit)) for o in result.objectives]
    figure = go.Figure(
        layout=style.layout(result, f"{len(front):,} non-dominated of {len(front) + len(dominated):,} feasible")
    )
    add = figure.add_scatter if m == 2 else figure.add_scatter3d
    size = 6 if m == 2 else 3
    if m == 3:
        # Seen from the good side, else the dominated designs stand before the front.
        good = [-1 if o.sense == "min" else 1 for o in result.objectives]
        eye = {axis: side * far for axis, side, far in zip("xyz", good, (1.4, 1.4, 0.6), strict=True)}
        figure.update_layout(
            scene_camera={"eye": eye, "center": {"x": 0, "y": 0, "z": -0.25}}, height=640, margin={"b": 32}
        )
        figure.update_layout(scene=dict(zip(("xaxis_title", "yaxis_title", "zaxis_title"), titles, strict=True)))
    else:
        figure.update_xaxes(title=titles[0])
        figure.update_yaxes(title=titles[1])
        figure.update_layout(dragmode="select")
        for axis, column in zip(("xaxis", "yaxis"), values.T, strict=True):
            figure.update_layout({axis: {"range": _around(column[front], column[dominated])}})
    # The attained region's edge runs along the worse side of each front point, so it depends on the first sense only.
    shape = {"shape": "hv" if result.objectives[0].sense == "min" else "vh", "color": style.LINE, "width": 1}
    for name, rows, colour, opacity in (
        ("dominated", _sample(dominated), style.SHADE, 0.35),
        ("non-dominated", thinned(front, FRONT), style.LINE, 1.0),
    ):
        best = name == "non-dominated"
        add(
            **dict(zip("xyz", values[rows].T, strict=False)),
            mode="lines+markers" if best and m == 2 else "markers",
            name=f"{name} ({len(front) if best else len(dominated):,})",
            marker={"color": colour, "size": size + 2 * best, "opacity": opacity},
            line=shape if best and m == 2 else None,
            customdata=rows.tolist() if best else None,
            hovertext=_hover(result, rows) if best else None,
            hoverinfo="x+y+z+text" if best else "x+y+z",
        )
    return figure


def _sample(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    return rows[sampled(len(rows))]


def _around(front: Array, dominated: Array) -> list[float] | None:
    """The front and as much again of what it dominates: one bad design would otherwise squeeze it into a corner."""
    if not len(front):
        return None
    low, high = float(front.min()), float(front.max())
    room = (high - low) or 0.1 * abs(low) or 1.0
    low = max(low - room, dominated.min(initial=low)) - 0.05 * room
    return [low, min(high + room, dominated.max(initial=high)) + 0.05 * room]


def _hover(result: Result, rows: Any) -> list[str]:
    """The first dozen parameters of each design, a line each."""
    texts = []
    for row, design in zip(rows, result.space.decode(result.designs[rows]), strict=True):
        lines = [f"{name} = {value_text(v)} {result.space[name].unit}" for name, v in list(design.items())[:12]]
        texts.append("<br>".join([f"evaluation {row + 1:,}", *(escape(clean(line)) for line in lines)]))
    return texts


def constraints(result: Result) -> Any:
    """Slack of each constraint of the best (else the least infeasible) design over the constraint's scale.

    Raises:
        ValueError: no constraints, or no single design to show.
    """
    import plotly.graph_objects as go

    row = shown_row(result)
    if not result.constraints or row is None:
        raise ValueError(f"{result.env_id}: there is no single design with constraints to show")
    scaled = result.evaluation.constraints[row] / np.array([c.scale for c in result.constraints])
    tightest = np.argsort(-scaled, kind="stable")[:BARS]
    colours = {"violated": style.VIOLATED, "active": style.INFEASIBLE, "satisfied": style.FEASIBLE}
    states = [state(scaled[i]) for i in tightest]
    shown = f", the {len(tightest)} tightest of {len(scaled)}" if len(tightest) < len(scaled) else ""
    figure = go.Figure(layout=style.layout(result, f"constraints of the design of evaluation {row + 1:,}{shown}"))
    figure.add_bar(
        x=np.clip(-scaled[tightest], -1, 1),
        y=[escape(clean(result.constraints[i].name)) for i in tightest],
        orientation="h",
        marker={"color": [colours[s] for s in states]},
        text=[f"{s}, {style.number(-scaled[i], 3)}" for s, i in zip(states, tightest, strict=True)],
        insidetextfont={"color": style.INK[False]},
        hoverinfo="y+text",
    )
    figure.update_xaxes(title="slack over the constraint's scale, cut at ±1 (below zero: violated)")
    figure.update_yaxes(autorange="reversed")
    figure.update_layout(height=180 + 26 * len(tightest), margin={"b": 64})
    return figure
