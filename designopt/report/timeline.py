"""Who was busy when: the evaluations of a run, or the studies of a sweep, along wall-clock time."""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from designopt.parameters import Array
from designopt.report import style
from designopt.report.content import percent
from designopt.report.style import clean, duration

if TYPE_CHECKING:
    from designopt.result import Result

BARS = 1000
"""Up to how many evaluations each is drawn as a bar; beyond, the share of time that each worker was busy."""
BINS = 150
LANES = 40
"""How many workers are drawn at most."""
MARKS = 500
"""How many evaluations without values are marked at most."""
COLOURS = {"ok": style.FEASIBLE, "invalid": style.INFEASIBLE, "failed": style.VIOLATED, "timeout": "#CC79A7"}
COLOURS["lost"] = style.SHADE


@dataclass(frozen=True)
class Timeline:
    """Evaluations by worker.

    Attributes:
        workers: their names, in order of their first evaluation; a process that replaced another keeps its name.
        worker: (n,) index into them.
        start, end: (n,) seconds since the first start.
    """

    workers: list[str]
    worker: NDArray[np.int64]
    start: Array
    end: Array

    @property
    def span(self) -> float:
        """Seconds from first start to last end."""
        return float(self.end.max())

    @property
    def busy(self) -> Array:
        """(workers,) share of the span that each was evaluating."""
        seconds = np.bincount(self.worker, self.end - self.start, len(self.workers))
        return np.asarray(seconds / (self.span or 1.0))

    def shares(self, worker: int, edges: Array) -> Array:
        """(bins,) share of each time between two edges that a worker was evaluating."""
        own = self.worker == worker
        order = np.argsort(self.start[own])
        start, end = self.start[own][order], self.end[own][order]
        done = np.cumsum(end - start)
        times = np.stack([start, end], axis=1).ravel()
        total = np.stack([done - (end - start), done], axis=1).ravel()
        return np.asarray(np.diff(np.interp(edges, times, total)) / np.diff(edges))


def timeline(result: Result) -> Timeline | None:
    """When each evaluation ran; None when times were not recorded.

    An evaluation ends when its result was recorded, or when its worker began the next one if that is earlier, and
    began its own seconds before: evaluations that a worker returned together ran one after another.
    """
    finished = result.finished
    if not len(finished) or np.isnan(finished).any():
        return None
    seconds = np.nan_to_num(result.evaluation.seconds)
    end = finished.astype(np.float64)
    names = [re.sub(r" \(\d+\)$", "", worker) for worker in result.workers]
    later: dict[str, float] = {}
    for row in np.lexsort((result.orders, finished))[::-1]:
        name = names[row]
        end[row] = min(end[row], later.get(name, np.inf))
        later[name] = end[row] - seconds[row]
    start = end - seconds
    first = start.min()
    workers = sorted(later, key=later.__getitem__)
    number = {name: i for i, name in enumerate(workers)}
    return Timeline(workers, np.array([number[name] for name in names]), start - first, end - first)


def timeline_figure(result: Result, t: Timeline) -> Any:
    """A lane per worker: a bar per evaluation, or how busy it was when they are many; what gave no values is marked."""
    import plotly.graph_objects as go

    scale, unit = time_unit(t.span)
    lanes = min(len(t.workers), LANES)
    names = [escape(clean(name)) for name in t.workers[:lanes]]
    share = float(t.busy.mean())
    caption = f"{len(t.workers):,} worker{'s' * (len(t.workers) > 1)}, busy {percent(round(1e6 * share), 10**6)} of "
    caption += duration(t.span)
    if len(t.workers) > lanes:
        caption += f", the first {lanes} of them drawn"
    status, n = result.evaluation.status, len(t.worker)
    drawn = t.worker < lanes
    single = n <= BARS
    if not single:
        caption += f"; aggregated: colour is the share of {duration(t.span / BINS)} that a worker was evaluating"
    figure = go.Figure(layout=style.layout(result, caption))
    if single:
        for kind in [s for s in COLOURS if (status[drawn] == s).any()]:
            _bars(figure, t, names, scale, np.flatnonzero(drawn & (status == kind)), kind)
    else:
        edges = np.linspace(0.0, t.span, BINS + 1)
        figure.add_heatmap(
            x=(edges[:-1] + edges[1:]) / 2 / scale,
            y=names,
            z=[100 * t.shares(worker, edges) for worker in range(lanes)],
            zmin=0,
            zmax=100,
            colorscale=[[0, "rgba(86,180,233,0.08)"], [1, style.LINE]],
            colorbar={"title": "busy (%)", "thickness": 12},
            ygap=2,
            hovertemplate=f"%{{y}}<br>%{{x:.3g}} {unit}: busy %{{z:.0f}} %<extra></extra>",
        )
        for kind in [s for s in COLOURS if s != "ok" and (status[drawn] == s).any()]:
            rows = np.flatnonzero(drawn & (status == kind))
            rows = rows[np.linspace(0, len(rows) - 1, min(len(rows), MARKS)).astype(int)]
            figure.add_scatter(
                x=t.end[rows] / scale,
                y=[names[i] for i in t.worker[rows]],
                mode="markers",
                name=f"{kind} ({int((status == kind).sum()):,})",
                marker={"color": COLOURS[kind], "symbol": "x", "size": 6},
                hovertext=[f"evaluation {row + 1:,}: {kind}" for row in rows],
                hoverinfo="text",
            )
    figure.update_xaxes(title=f"time since the first evaluation began ({unit})", range=[0, 1.01 * t.span / scale or 1])
    figure.update_yaxes(autorange="reversed", type="category", categoryarray=names, categoryorder="array")
    figure.update_layout(barmode="overlay", showlegend=True, height=190 + 26 * lanes)
    return figure


def _bars(figure: Any, t: Timeline, names: list[str], scale: float, rows: NDArray[np.int64], kind: str) -> None:
    figure.add_bar(
        base=t.start[rows] / scale,
        x=(t.end - t.start)[rows] / scale,
        y=[names[i] for i in t.worker[rows]],
        orientation="h",
        name=f"{kind} ({len(rows):,})",
        width=0.7,
        # an edge keeps evaluations visible that are shorter than a pixel, and neighbours apart
        marker={"color": COLOURS[kind], "line": {"color": "white" if kind == "ok" else COLOURS[kind], "width": 0.5}},
        hovertext=[f"evaluation {row + 1:,}: {kind}, {duration(t.end[row] - t.start[row])}" for row in rows],
        hoverinfo="y+text",
    )


def time_unit(span: float) -> tuple[float, str]:
    """Seconds of a unit in which a span reads well, and its name."""
    return next(((s, name) for s, name in ((3600.0, "h"), (60.0, "min")) if span > 3 * s), (1.0, "s"))
