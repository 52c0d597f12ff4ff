"""A recommendation as one HTML file that needs nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from designopt.parameters import Categorical
from designopt.report import style
from designopt.report.picture import CONFIG

if TYPE_CHECKING:
    from designopt.search.counterfactual.answer import Recommendation

SHOWN = 3000
"""How many designs of the archive the trade-off plot shows at most."""
AXES = 10
"""How many features the parallel coordinates show at most, so that labels do not collide."""


def write_report(answer: Recommendation, path: str | Path) -> Path:
    """Write the page: changes, predictions, parallel coordinates, trade-offs and diversity. -> its path.

    Raises:
        OSError: the file cannot be written.
    """
    import jinja2
    from markupsafe import Markup
    from plotly.offline import get_plotlyjs

    pages = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        finalize=lambda value: value if isinstance(value, Markup) else style.clean(value),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    drawn = {"Query and recommendations": coordinates(answer), "Trade-offs": trade_offs(answer)}
    if len(answer.rows) > 1:
        drawn["Diversity"] = diversity(answer)
    figures = {}
    for name, figure in drawn.items():
        html = figure.to_html(full_html=False, include_plotlyjs=False, config=CONFIG, div_id=name.split()[0].lower())
        figures[name] = Markup(html)
    templates = {"light": style.template(False), "dark": style.template(True)}
    page = pages.get_template("page.html.jinja").render(
        answer=answer,
        facts=facts(answer),
        cards=cards(answer),
        figures=figures,
        plotly=Markup(get_plotlyjs()),
        templates=Markup(json.dumps({name: t.to_plotly_json() for name, t in templates.items()})),
    )
    path = Path(path)
    path.write_text(page, encoding="utf-8", errors="backslashreplace")
    return path


def facts(answer: Recommendation) -> dict[str, str]:
    """What the head of the page says."""
    targets = answer.problem.hard | answer.problem.bonus
    return {
        "targets": "; ".join(f"{name} {target}" for name, target in targets.items()),
        "valid designs met": f"{len(answer.archive):,}",
        "evaluations": f"{answer.calls:,}",
        "search": style.duration(answer.search_seconds),
        "drawing": style.duration(answer.sampling_seconds),
        "hypervolume": f"{answer.hypervolume():.4f}",
    }


def cards(answer: Recommendation) -> list[dict[str, Any]]:
    """Per recommended design: its changes, and what it is predicted to do, with uncertainty and a mark per target."""
    changes, performance = answer.changes, answer.performance
    found = []
    for i in range(len(answer.rows)):
        own = changes[changes["design"] == i]
        lines = [
            {"feature": style.label(name, unit), "old": written(old), "new": written(new)}
            for name, old, new, unit in own[["feature", "old", "new", "unit"]].to_numpy().tolist()
        ]
        row = performance.iloc[i]
        outputs = []
        for name in answer.predicted:
            if name.endswith("_std"):
                continue
            spread = row.get(f"{name}_std")
            value = written(row[name]) if spread is None else f"{written(row[name])} ± {written(spread)}"
            met: Any = row.get(f"{name.split('=')[0]} met")
            outputs.append({"name": name, "value": value, "met": {True: "met", False: "missed"}.get(met, "")})
        distances = {name: f"{row[name]:.3f}" for name in ("proximity", "sparsity", "manifold")}
        found.append({"number": i + 1, "changes": lines, "outputs": outputs, "distances": distances})
    return found


def written(value: Any) -> str:
    """A value for people: numbers with four digits."""
    number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    return style.number(float(value), 4) if number else style.clean(value)


def coordinates(answer: Recommendation) -> Any:
    """Parallel coordinates of the query and the recommendations: what changed most often and most, then the targets."""
    import plotly.graph_objects as go

    problem, space = answer.problem, answer.problem.space
    rows = np.concatenate([problem.query[None], answer.rows])
    dimensions = []
    changed = problem.changed(answer.rows)
    size = np.abs(answer.rows - problem.query).mean(axis=0) * problem.gower.weights
    often = np.lexsort((-size, -changed.sum(axis=0)))[: min(AXES, int(changed.any(axis=0).sum()))]
    for column in np.sort(often):
        name = space.columns[column]
        parameter = space.parameters.get(name)
        axis: dict[str, Any] = {"label": style.clean(name), "values": rows[:, column]}
        if isinstance(parameter, Categorical):
            axis |= {"tickvals": list(range(len(parameter.choices))), "ticktext": [*map(str, parameter.choices)]}
        else:
            axis |= ends(rows[:, column])
        dimensions.append(axis)
    known = answer.query_outputs
    for name, values in answer.predicted.items():
        if name in answer.problem.hard | answer.problem.bonus and values.dtype.kind == "f" and name in known:
            both = np.r_[float(known[name]), values]
            dimensions.append({"label": style.clean(name), "values": both} | ends(both))
    colour = np.r_[0.0, np.ones(len(answer.rows))]
    figure = go.Figure(
        go.Parcoords(
            line={"color": colour, "colorscale": [[0, style.INFEASIBLE], [1, style.LINE]], "cmin": 0, "cmax": 1},
            dimensions=dimensions,
            rangefont={"size": 1, "color": "rgba(0,0,0,0)"},  # the axes say it with fewer digits
            labelangle=-35,
            labelside="bottom",
        )
    )
    subtitle = "orange: the query; blue: recommendations; axes: "
    subtitle += f"{len(often)} of {changed.any(axis=0).sum()} features that change, then predicted outputs"
    return figure.update_layout(
        template=style.template(), title={"subtitle": {"text": subtitle}, "text": " "}, height=470,
        margin={"l": 60, "r": 60, "t": 70, "b": 120},
    )  # fmt: skip


def ends(values: NDArray[np.float64]) -> dict[str, Any]:
    """Ticks at the least and the greatest value only; more collide with those of the next axis."""
    finite = values[np.isfinite(values)]
    ticks = sorted({float(v) for v in (finite.min(), finite.max())}) if len(finite) else []
    return {"tickvals": ticks, "ticktext": [style.number(v, 3) for v in ticks]}


def trade_offs(answer: Recommendation) -> Any:
    """Proximity against manifold distance of the archive, coloured by the number of changes; the drawn ones ringed."""
    import plotly.graph_objects as go

    problem, archive = answer.problem, answer.archive
    if len(archive) > SHOWN:
        archive = archive.sample(SHOWN, random_state=0)
    d = problem.space.dim
    hover = "%{text} changes<br>proximity %{x:.4f}<br>manifold %{y:.4f}<extra></extra>"
    count = np.rint(archive["sparsity"].to_numpy() * d).astype(int)
    figure = go.Figure(
        go.Scattergl(
            x=archive["proximity"], y=archive["manifold"], mode="markers", name="valid designs", text=count,
            hovertemplate=hover,
            marker={"color": count, "colorscale": "Viridis", "size": 5, "opacity": 0.6,
                    "colorbar": {"title": "changes", "thickness": 12}},
        )
    )  # fmt: skip
    drawn = answer.performance
    figure.add_scatter(
        x=drawn["proximity"], y=drawn["manifold"], mode="markers+text", name="recommended",
        text=[str(i + 1) for i in range(len(drawn))], textposition="top center", hovertemplate=hover,
        marker={"color": "rgba(0,0,0,0)", "size": 12, "line": {"color": style.VIOLATED, "width": 2}},
    )  # fmt: skip
    return figure.update_layout(
        template=style.template(), height=480,
        xaxis={"title": "proximity: Gower distance to the query"}, yaxis={"title": "distance to the nearest data"},
    )  # fmt: skip


def diversity(answer: Recommendation) -> Any:
    """Gower distances between the recommended designs."""
    import plotly.graph_objects as go

    distance = answer.problem.gower.pairwise(answer.rows, answer.rows)
    labels = [str(i + 1) for i in range(len(distance))]
    figure = go.Figure(
        go.Heatmap(z=distance, x=labels, y=labels, colorscale="Blues", colorbar={"title": "distance", "thickness": 12})
    )
    measures = answer.diversity
    subtitle = ", ".join(f"{name} {value:.3g}" for name, value in measures.items())
    return figure.update_layout(
        template=style.template(), height=430, title={"text": " ", "subtitle": {"text": subtitle}},
        xaxis={"title": "design", "type": "category"}, yaxis={"title": "design", "type": "category",
        "autorange": "reversed"},
    )  # fmt: skip
