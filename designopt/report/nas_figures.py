"""Figures of architecture searches: alpha, skip connections and curvature against epochs, regret, cells, rank fidelity.

Searches by gradients say in ``Result.trace`` what happened, a row an epoch: ``epoch``, ``alpha`` (name -> (groups,
choices)), ``skip_share``, ``none_share``, ``cpu_seconds`` and, where it was measured, ``eigenvalue``. Where a search
was judged (``designopt.search.nas.judging``), epochs have ``regret``, and a further row has ``one_shot``, ``truth`` and
``names`` of architectures.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from collections.abc import Sequence as Seq
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from designopt.parameters import Array, Categorical
from designopt.report import style
from designopt.report.style import clean

if TYPE_CHECKING:
    from designopt.result import Result

COLOURS = (
    style.LINE,
    style.INFEASIBLE,
    style.REFERENCE,
    style.VIOLATED,
    style.FEASIBLE,
    "#CC79A7",
    "#F0E442",
    "#999999",
)
PANELS, LINES = 12, 8
"""Groups and choices that the trajectories show at most; those choices that weigh most at the end."""


def epochs(result: Result) -> list[dict[str, Any]]:
    """The rows of the trace that are epochs of a search over mixtures; none for any other search."""
    return [
        row for row in result.trace if "epoch" in row and np.ndim(next(iter(row.get("alpha", {}).values()), 0)) == 2
    ]


def shares(rows: Seq[Mapping[str, Any]]) -> dict[str, Array]:
    """Rows of epochs -> name -> (epochs, groups, choices) softmax of alpha."""
    found = {}
    for name in rows[0]["alpha"]:
        alpha = np.array([row["alpha"][name] for row in rows], dtype=np.float64)
        weight = np.exp(alpha - alpha.max(axis=2, keepdims=True))
        found[name] = weight / weight.sum(axis=2, keepdims=True)
    return found


def labels(result: Result, name: str, groups: int, choices: int) -> tuple[list[str], list[str]]:
    """What the groups and choices of a mixture are called; groups are numbered where they are no parameters."""
    parameters = list(result.space.parameters.values())
    first = parameters[0]
    same = isinstance(first, Categorical) and all(p == first for p in parameters) and len(parameters) == groups
    rows = result.space.names if same else [f"group {i + 1}" for i in range(groups)]
    columns = result.choices.get(name, ())
    if len(columns) != choices:
        columns = tuple(f"choice {i + 1}" for i in range(choices))
    return [clean(row) for row in rows], [clean(column) for column in columns]


def cell_of(result: Result) -> list[tuple[int, int, str]]:
    """(source, target, operation) of the best design, where every parameter is an edge between two numbered nodes.

    Such as "edge01" or "edge_0_1". Empty for any other space, and where nothing feasible was found.
    """
    ends = [re.fullmatch(r"edge_?(\d)_?(\d)", name) for name in result.space.names]
    if result.best is None or not all(ends):
        return []
    pairs = [(int(m[1]), int(m[2])) for m in ends if m]
    return [(*pair, str(operation)) for pair, operation in zip(pairs, result.best.values(), strict=True)]


def drawings(result: Result) -> dict[str, tuple[str, Any]]:
    """Heading -> (id, figure): all that this result has to show of an architecture search; empty for any other."""
    rows, drawn = epochs(result), {}
    if rows:
        drawn["Weights of operations"] = "alpha", alpha_trajectories(result)
        drawn["Operations at the end"] = "operations", operation_heatmap(result)
        drawn["Signs of collapse"] = "collapse", collapse(result)
    judged = [row for row in rows if "regret" in row]
    if judged:
        course = [row["cpu_seconds"] for row in judged], [row["regret"] for row in judged]
        figure = regret_against_seconds({result.search: course}, result.objectives[0].unit or "of the truth")
        drawn["Regret against CPU seconds"] = "regret", figure
    for row in result.trace:
        if "one_shot" in row:
            figure = one_shot_scatter(row["one_shot"], row["truth"], row["names"])
            drawn["Supernet against truth"] = "one-shot", figure
    edges = cell_of(result)
    if edges:
        last = max(target for _, target, _ in edges)
        drawn["Cell"] = "cell", cell_drawing(edges, {0: "in", last: "out"})
    return drawn


def _rows(result: Result) -> list[dict[str, Any]]:
    rows = epochs(result)
    if not rows:
        raise ValueError(f"{result.env_id}: the trace of {result.search} has no epochs of a search over operations")
    return rows


def alpha_trajectories(result: Result) -> Any:
    """Weight of every operation against epochs, a panel a group.

    Raises:
        ValueError: the result is of another kind of search.
    """
    from plotly.subplots import make_subplots

    rows = _rows(result)
    epoch = [row["epoch"] for row in rows]
    panels = [(n, g, s[:, g]) for n, s in shares(rows).items() for g in range(s.shape[1])]
    shown = panels[:PANELS]
    width = min(len(shown), 3)
    height = -(-len(shown) // width)
    names = {n: labels(result, n, s.shape[1], s.shape[2]) for n, s in shares(rows).items()}
    titles = [escape(names[n][0][g]) for n, g, _ in shown]
    figure = make_subplots(height, width, shared_xaxes=True, shared_yaxes=True, subplot_titles=titles)
    told = set()
    for i, (name, _, share) in enumerate(shown):
        for rank, choice in enumerate(sorted(np.argsort(-share[-1], kind="stable")[:LINES])):
            text = names[name][1][choice]
            colour = COLOURS[(choice if share.shape[1] <= LINES else rank) % len(COLOURS)]
            figure.add_scatter(
                x=epoch, y=share[:, choice], name=escape(text), legendgroup=text, mode="lines+markers",
                showlegend=text not in told and share.shape[1] <= LINES, line={"color": colour, "width": 2},
                marker={"size": 4}, row=i // width + 1, col=i % width + 1,
                hovertemplate="epoch %{x}<br>weight %{y:.4f}<extra>" + escape(text) + "</extra>",
            )  # fmt: skip
            told.add(text)
    cut = f", {len(shown)} of {len(panels)} groups" if len(panels) > len(shown) else ""
    look = style.layout(result, f"softmax of alpha against epochs{cut}")
    figure.update_layout(**look | {"height": 200 + 200 * height, "margin": {"t": 96}})
    figure.update_annotations(font={"size": 12})
    figure.update_xaxes(title="epoch", row=height)
    figure.update_yaxes(rangemode="tozero")
    return figure.update_yaxes(title="weight", col=1)


def operation_heatmap(result: Result) -> Any:
    """Weight of every operation at the end, a row a group.

    Raises:
        ValueError: the result is of another kind of search.
    """
    import plotly.graph_objects as go

    last = {name: share[-1] for name, share in shares(_rows(result)[-1:]).items()}
    name, share = max(last.items(), key=lambda item: item[1].size)
    groups, choices = labels(result, name, *share.shape)
    few = share.size <= 120
    figure = go.Figure(layout=style.layout(result, f"softmax of alpha ({escape(clean(name))}) after the last epoch"))
    figure.add_heatmap(
        z=share, x=[escape(c) for c in choices], y=[escape(g) for g in groups], colorscale="Blues", zmin=0,
        text=np.round(share, 3), texttemplate="%{text:.2f}" if few else None, colorbar={"title": "weight"},
        hovertemplate="%{y}, %{x}<br>weight %{z:.4f}<extra></extra>",
    )  # fmt: skip
    figure.update_yaxes(autorange="reversed")
    return figure.update_layout(height=220 + 32 * len(groups))


def collapse(result: Result) -> Any:
    """Share of skip connections and of none, and the dominant eigenvalue where measured, against epochs.

    Raises:
        ValueError: the result is of another kind of search.
    """
    import plotly.graph_objects as go

    rows = _rows(result)
    epoch = [row["epoch"] for row in rows]
    figure = go.Figure(layout=style.layout(result, "what warns of a collapse"))
    for key, name, colour in (("skip_share", "skip", style.LINE), ("none_share", "none", style.SHADE)):
        values = [row.get(key) for row in rows]
        figure.add_scatter(x=epoch, y=values, name=name, mode="lines+markers", line={"color": colour, "width": 2})
    figure.update_xaxes(title="epoch")
    figure.update_yaxes(title="mean weight", rangemode="tozero")
    measured = [(row["epoch"], row["eigenvalue"]) for row in rows if "eigenvalue" in row]
    if measured:
        x, y = zip(*measured, strict=True)
        figure.add_scatter(
            x=x, y=y, name="largest eigenvalue of the Hessian in alpha", yaxis="y2", mode="lines+markers",
            line={"color": style.VIOLATED, "width": 2, "dash": "dot"},
        )  # fmt: skip
        figure.update_layout(yaxis2={"overlaying": "y", "side": "right", "title": "eigenvalue", "showgrid": False})
        figure.update_layout(margin={"r": 80})
    return figure


def regret_against_seconds(courses: Mapping[str, tuple[Seq[float], Seq[float]]], unit: str = "points") -> Any:
    """Regret of several searches against the CPU seconds that they had spent.

    Args:
        courses: name -> increasing CPU seconds, and the regret of what was held to be best at each of them.
        unit: of the regret.
    """
    import plotly.graph_objects as go

    figure = go.Figure(layout={"template": style.template(), "height": 480})
    for (name, (seconds, regret)), colour in zip(courses.items(), COLOURS * len(courses), strict=False):
        figure.add_scatter(
            x=list(seconds), y=list(regret), name=escape(clean(name)), mode="lines+markers",
            line={"color": colour, "width": 2, "shape": "hv"}, marker={"size": 4},
        )  # fmt: skip
    figure.update_xaxes(title="CPU seconds")
    return figure.update_yaxes(title=f"regret ({unit})", rangemode="tozero")


def cell_drawing(edges: Iterable[tuple[int, int, str]], names: Mapping[int, str] | None = None) -> Any:
    """A cell as nodes from left to right and arcs that are labelled with their operations; dead arcs are dotted.

    Args:
        edges: (source, target, operation); nodes are numbered so that sources come before targets.
        names: of nodes, where the number does not do.
    """
    import plotly.graph_objects as go

    edges = list(edges)
    names = names or {}
    nodes = sorted({node for source, target, _ in edges for node in (source, target)})
    operations = list(dict.fromkeys(operation for *_, operation in edges))
    t = np.linspace(0, 1, 40)
    figure = go.Figure(layout={"template": style.template()})
    side: dict[tuple[int, int], int] = {}
    top = 1.0
    for i, (source, target, operation) in enumerate(edges):
        parallel = side[(source, target)] = side.get((source, target), 0) + 1
        span = target - source
        bend = (0.0 if span == 1 and parallel == 1 else 0.55 * (span - 0.5 + parallel - 1)) * (-1) ** (
            source + parallel
        )
        top = max(top, abs(bend) + 0.4)
        dead = operation == "none"
        figure.add_scatter(
            x=source + span * t, y=4 * bend * t * (1 - t), mode="lines", name=escape(clean(operation)),
            legendgroup=operation, showlegend=operation not in [o for *_, o in edges[:i]], hoverinfo="name",
            line={
                "color": style.SHADE if dead else COLOURS[operations.index(operation) % len(COLOURS)],
                "width": 1 if dead else 3, "dash": "dot" if dead else "solid",
            },
        )  # fmt: skip
        figure.add_annotation(
            x=source + span * 0.5, y=bend, text=escape(clean(operation)), showarrow=False, yshift=10, font={"size": 11}
        )
    figure.add_scatter(
        x=nodes, y=[0.0] * len(nodes), mode="markers+text", text=[escape(clean(names.get(n, n))) for n in nodes],
        marker={"size": 34, "color": "white", "line": {"color": style.LINE, "width": 2}}, showlegend=False,
        textfont={"color": style.INK[False]}, hoverinfo="text",
    )  # fmt: skip
    figure.update_xaxes(visible=False, range=[nodes[0] - 0.3, nodes[-1] + 0.3])
    figure.update_yaxes(visible=False, range=[-top, top])
    return figure.update_layout(height=int(180 + 120 * top))


def one_shot_scatter(one_shot: ArrayLike, truth: ArrayLike, names: Seq[str] | None = None) -> Any:
    """Score of each architecture inside the supernet against its true one, with Kendall's tau.

    Args:
        one_shot: (n,) scores with inherited weights.
        truth: (n,) scores of networks trained alone.
        names: (n,) of the architectures.

    Raises:
        ValueError: arrays of different lengths, or fewer than two architectures.
    """
    import plotly.graph_objects as go
    from scipy.stats import kendalltau

    one_shot, truth = np.asarray(one_shot, dtype=float), np.asarray(truth, dtype=float)
    if one_shot.shape != truth.shape or one_shot.ndim != 1 or len(truth) < 2:
        raise ValueError(f"{one_shot.shape} one-shot scores for {truth.shape} true ones; two equal lists are needed")
    tau = kendalltau(one_shot, truth).statistic
    title = {"text": " ", "subtitle": {"text": f"Kendall tau {tau:.2f} over {len(truth):,} architectures"}}
    figure = go.Figure(layout={"template": style.template(), "height": 480, "title": title})
    figure.add_scatter(
        x=one_shot, y=truth, mode="markers", text=None if names is None else [escape(clean(n)) for n in names],
        marker={"color": style.LINE, "size": 6, "opacity": 0.6}, showlegend=False,
        hovertemplate="%{text}<br>one-shot %{x:.4g}<br>alone %{y:.4g}<extra></extra>",
    )  # fmt: skip
    figure.update_xaxes(title="score inside the supernet")
    return figure.update_yaxes(title="score when trained alone")
