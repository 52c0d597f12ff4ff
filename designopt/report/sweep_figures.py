"""Figures of a sweep: backends side by side under equal budgets, and what their configurations do to them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from designopt import lottery
from designopt.metrics import expected_best
from designopt.parameters import Array
from designopt.report import style
from designopt.report.curves import stretched
from designopt.report.style import clean, duration, label
from designopt.report.timeline import time_unit

if TYPE_CHECKING:
    import pandas as pd

    from designopt.ranking import Ranking

CHECKPOINTS = 60
"""At how many evaluations a curve is drawn at most."""
STUDIES = 2000
"""How many studies the timeline draws at most."""
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#7A5195", "#8C6D31", "#4D4D4D")
STATES = {"finished": style.FEASIBLE, "stopped": style.INFEASIBLE, "interrupted": style.SHADE, "failed": style.VIOLATED}
STATES["running"] = style.REFERENCE


def colours(backends: Sequence[str]) -> dict[str, str]:
    """The same colour for a backend in every figure; random search, the baseline, is grey."""
    others = iter(COLOURS * (1 + len(backends) // len(COLOURS)))
    return {name: "#9AA0A6" if name == "random" else next(others) for name in sorted(backends)}


def race(part: pd.DataFrame, colour: dict[str, str]) -> Any:
    """Median best-so-far value of each backend on one environment, with 95 % bootstrap bands.

    Args:
        part: rows of ``lottery.compare`` of one environment.
        colour: of each backend.
    """
    import plotly.graph_objects as go

    first = part.iloc[0]
    budget, sense = int(first["equal_budget"]), first["sense"]
    at = np.unique(np.geomspace(1, budget, CHECKPOINTS).round().astype(int))
    at = np.unique(np.concatenate([at, np.linspace(1, budget, CHECKPOINTS // 2).round().astype(int)]))
    caption = f"median over configurations and seeds, 95 % bootstrap bands, {budget:,} evaluations"
    figure = go.Figure(layout=_layout(first["env"], caption))
    levels = [np.array([first["best_known"]])]
    for backend, studies in part.groupby("backend"):
        median, low, high = (lottery.own_sign(c, sense) for c in lottery.curves(studies, at))
        seen = np.isfinite(median)
        if not seen.any():
            continue
        levels.append(median[seen])
        upper, lower = (np.where(np.isfinite(c), c, median)[seen] for c in (high, low))
        x = np.repeat(at[seen], 2)[1:]  # with the corners of the steps
        figure.add_scatter(
            x=np.concatenate([x, x[::-1]]),
            y=np.concatenate([np.repeat(upper, 2)[:-1], np.repeat(lower, 2)[:-1][::-1]]),
            fill="toself",
            fillcolor=colour[str(backend)],
            opacity=0.11,
            line={"width": 0},
            mode="lines",
            hoverinfo="skip",
            showlegend=False,
            legendgroup=backend,
        )
        figure.add_scatter(
            x=at[seen],
            y=median[seen],
            name=escape(str(backend)),
            legendgroup=backend,
            mode="lines",
            line={"color": colour[str(backend)], "width": 2.5, "shape": "hv"},
            hovertemplate="%{x:,} evaluations<br>%{y:.6g}<extra>%{fullData.name}</extra>",
        )
    known = float(lottery.own_sign(first["best_known"], sense))
    if np.isfinite(known):
        line = {"color": style.REFERENCE, "dash": "dash", "width": 1.2}
        figure.add_hline(known, line=line, name=f"best known {style.number(known)}", showlegend=True)
    shown = np.concatenate([lottery.own_sign(levels[0], sense), *levels[1:]])
    shown = shown[np.isfinite(shown)]
    figure.update_xaxes(title="evaluation", tickformat=",d", range=[0, 1.01 * budget])
    figure.update_yaxes(title=escape(label(first["objective"], first["unit"])))
    if stretched(shown):
        figure.update_yaxes(type="log", range=[float(np.log10(shown.min()) - 0.05), float(np.log10(shown.max()) + 0.1)])
        figure.update_yaxes(dtick="D2" if shown.max() < 1000 * shown.min() else 1)
    elif len(shown):
        margin = 0.06 * float(np.ptp(shown)) or 0.1 * abs(float(shown[0])) or 1.0
        figure.update_yaxes(range=[float(shown.min()) - margin, float(shown.max()) + margin])
    figure.update_layout(height=440)
    return figure


def draws(part: pd.DataFrame, colour: dict[str, str]) -> Any:
    """Each configuration of each backend on one environment: mean and range over seeds of the gap closed."""
    import plotly.graph_objects as go

    figure = go.Figure(layout=_layout(part.iloc[0]["env"], "a dot per configuration: mean over seeds; bar: its seeds"))
    names = []
    for place, (backend, studies) in enumerate(part.groupby("backend")):
        names.append(escape(str(backend)))
        found = 100 * studies.groupby("configuration")["closed"].agg(["mean", "min", "max"]).sort_values("mean")
        width = 0.7 if len(found) > 1 else 0.0
        x = place + width * (np.linspace(0, 1, len(found)) - 0.5)
        own = [name == lottery.DEFAULT for name in found.index]
        figure.add_scatter(
            x=x,
            y=found["mean"],
            error_y={
                "array": found["max"] - found["mean"],
                "arrayminus": found["mean"] - found["min"],
                "symmetric": False,
                "width": 0,
                "thickness": 1.2,
                "color": colour[str(backend)],
            },
            mode="markers",
            name=names[-1],
            showlegend=False,
            marker={
                "color": ["white" if default else colour[str(backend)] for default in own],
                "symbol": ["diamond" if default else "circle" for default in own],
                "size": [11 if default else 7 for default in own],
                "line": {"color": colour[str(backend)], "width": 2},
            },
            text=[escape(str(name)) for name in found.index],
            hovertemplate="%{text}: %{y:.1f} %<extra>" + names[-1] + "</extra>",
        )
    marker = {"symbol": "diamond", "size": 11, "color": "white", "line": {"color": style.SHADE, "width": 2}}
    figure.add_scatter(x=[None], y=[None], mode="markers", name="default configuration", marker=marker, showlegend=True)
    figure.add_hline(100 * lottery.REACHED, line={"color": style.SHADE, "dash": "dot", "width": 1})
    figure.update_xaxes(
        tickvals=list(range(len(names))), ticktext=names, showgrid=False, range=[-0.6, len(names) - 0.4]
    )
    figure.update_yaxes(title="gap to the best known closed (%)", range=[-3, 103])
    figure.update_layout(height=380, margin={"b": 72})
    return figure


def tries(compared: pd.DataFrame, colour: dict[str, str]) -> Any:
    """Expected best of k configurations drawn at random, a panel per environment."""
    from plotly.subplots import make_subplots

    envs = list(compared["env"].unique())
    across = min(3, len(envs))
    down = -(-len(envs) // across)
    titles = [escape(clean(short(env))) for env in envs]
    figure = make_subplots(down, across, shared_yaxes=True, subplot_titles=titles, vertical_spacing=0.35 / down)
    figure.update_layout(_layout("", "best of k configurations, each judged by its mean over seeds; exact"))
    named = set()
    for place, env in enumerate(envs):
        row, column = divmod(place, across)
        for backend, studies in compared[compared["env"] == env].groupby("backend"):
            worth = studies.groupby("configuration")["closed"].mean().to_numpy()
            best = 100 * expected_best(worth)
            figure.add_scatter(
                x=np.arange(1, len(best) + 1),
                y=best,
                row=row + 1,
                col=column + 1,
                name=escape(str(backend)),
                legendgroup=backend,
                showlegend=backend not in named,
                mode="lines+markers",
                line={"color": colour[str(backend)], "width": 2},
                marker={"size": 4 if len(best) > 1 else 9},
                hovertemplate="best of %{x}: %{y:.1f} %<extra>%{fullData.name}</extra>",
            )
            named.add(backend)
    figure.update_xaxes(title="configurations tried", rangemode="tozero")
    figure.update_yaxes(range=[-3, 103])
    figure.update_yaxes(title="gap closed (%)", col=1)
    figure.update_layout(height=130 + 260 * down, margin={"t": 40})
    return figure


def rank_line(ranking: Ranking, colour: dict[str, str]) -> Any:
    """Mean ranks on a line, best at the left; bars join backends that Nemenyi's test does not tell apart."""
    import plotly.graph_objects as go

    k = len(ranking.backends)
    figure = go.Figure(layout=_layout("", ""))
    figure.add_shape(type="line", x0=1, x1=k, y0=0, y1=0, line={"color": style.SHADE, "width": 1})
    for place, (first, last) in enumerate(ranking.groups):
        x = ranking.mean_ranks[[first, last]] + [-0.03, 0.03]
        y = -0.35 - 0.3 * place
        figure.add_scatter(
            x=x,
            y=[y, y],
            mode="lines",
            line={"color": style.SHADE, "width": 5},
            showlegend=False,
            hovertext="not told apart: " + ", ".join(map(escape, ranking.backends[first : last + 1])),
            hoverinfo="text",
        )
    heights = 0.4 + 0.4 * (np.arange(k) % 3)
    for name, rank, height in zip(ranking.backends, ranking.mean_ranks, heights, strict=True):
        figure.add_annotation(
            x=rank, y=0, ax=0, ay=-60 * height, text=f"<b>{escape(name)}</b> {rank:.2f}", arrowwidth=1
        )
    figure.add_scatter(
        x=ranking.mean_ranks,
        y=np.zeros(k),
        mode="markers",
        marker={"size": 13, "color": [colour[name] for name in ranking.backends]},
        hovertext=[
            f"{escape(n)}: mean rank {r:.2f}" for n, r in zip(ranking.backends, ranking.mean_ranks, strict=True)
        ],
        hoverinfo="text",
        showlegend=False,
    )
    low = -0.7 - 0.3 * len(ranking.groups)
    if np.isfinite(ranking.critical_difference):
        cd = ranking.critical_difference
        figure.add_scatter(
            x=[1, 1 + cd],
            y=[low + 0.1] * 2,
            mode="lines+markers+text",
            marker={"symbol": "line-ns-open", "size": 9, "color": style.INK[False]},
            line={"color": style.INK[False], "width": 1.5},
            text=["", f" critical difference {cd:.2f}"],
            textposition="middle right",
            showlegend=False,
            hoverinfo="skip",
        )
    figure.update_xaxes(range=[0.8, k + 0.2], dtick=1, title="mean rank (1 is best)")
    figure.update_yaxes(visible=False, range=[low - 0.2, 1.9])
    figure.update_layout(height=275 + 16 * len(ranking.groups), margin={"l": 24, "t": 16, "b": 56})
    return figure


def study_timeline(table: pd.DataFrame) -> Any:
    """Every study as a bar from its start to its end, packed into as few lanes as were in use at the same time."""
    import plotly.graph_objects as go

    began = table[(table["state"] != "waiting") & (table["evaluations"] > 0) | (table["state"] == "failed")]
    began = began.sort_values("started", kind="stable")[:STUDIES]
    start = np.array([datetime.fromisoformat(t).timestamp() for t in began["started"]])
    ends = began["ended"].fillna(began["ended"].max())
    end = np.array([datetime.fromisoformat(t).timestamp() if isinstance(t, str) else np.nan for t in ends])
    end = np.fmax(end, start)
    lane = lanes(start, end)
    first = start.min(initial=np.inf)
    span = float(end.max(initial=0) - first) if len(start) else 0.0
    scale, unit = time_unit(span)
    busy = float((end - start).sum() / span / (lane.max() + 1)) if span else 0.0
    caption = f"{len(began):,} studies in {duration(span)}, up to {int(lane.max(initial=-1)) + 1} at a time"
    if len(began):
        caption += f", lanes filled {100 * busy:.0f} %"
    figure = go.Figure(layout=_layout("", caption))
    for state, colour in STATES.items():
        rows = np.flatnonzero((began["state"] == state).to_numpy())
        if not len(rows):
            continue
        chosen = began.iloc[rows]
        figure.add_bar(
            base=(start[rows] - first) / scale,
            x=(end - start)[rows] / scale,
            y=lane[rows] + 1,
            orientation="h",
            width=0.8,
            name=f"{state} ({len(rows):,})",
            marker={"color": colour, "line": {"color": "white", "width": 0.5}},
            hovertext=[
                escape(clean(f"{short(s['env'])}, {s['backend']} {s['configuration']}, seed {s['seed']}"))
                + f"<br>{state}, {s['evaluations']:,} evaluations, {duration(e)}"
                for s, e in zip(chosen.to_dict("records"), (end - start)[rows], strict=True)
            ],
            hoverinfo="text",
        )
    figure.update_xaxes(title=f"time since the first study began ({unit})", rangemode="tozero")
    figure.update_yaxes(title="studies at a time", dtick=1 if lane.max(initial=0) < 12 else None, autorange="reversed")
    figure.update_layout(barmode="overlay", showlegend=True, height=200 + 22 * min(int(lane.max(initial=0)) + 1, 24))
    return figure


def lanes(start: Array, end: Array) -> Any:
    """(n,) the first lane that is free when each interval, by start, begins."""
    free: list[float] = []
    taken = []
    for begin, finish in zip(start, end, strict=True):
        place = next((i for i, time in enumerate(free) if time <= begin), len(free))
        free[place : place + 1] = [finish]
        taken.append(place)
    return np.array(taken, dtype=int)


def short(env: str) -> str:
    """An environment's id without namespace and version."""
    name, _, arguments = env.partition(" (")
    return name.rpartition("/")[2].rsplit("-v", 1)[0] + (f" ({arguments}" if arguments else "")


def _layout(title: str, caption: str) -> dict[str, Any]:
    text = escape(clean(title))
    return {"template": style.template(), "title": {"text": text, "subtitle": {"text": caption}}, "height": 420}
