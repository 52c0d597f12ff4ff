"""Reports as one HTML file that needs nothing else: no network, no fonts, no other files."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from designopt.report import content, designs, figures, nas_figures, sequence_figures, style
from designopt.report.curves import curve
from designopt.report.importance import importance_figure, importances
from designopt.report.picture import CONFIG
from designopt.report.style import clean
from designopt.report.timeline import timeline, timeline_figure

if TYPE_CHECKING:
    from designopt.result import Result


@dataclass(frozen=True)
class Plot:
    """A figure on a page: its element's id, its HTML, what stands above it, and the least width it is legible at."""

    id: str
    html: str
    caption: str
    hint: str
    width: int


def write_report(result: Result, path: str | Path) -> Path:
    """Write the report of a result as one self-contained HTML file and return its path.

    The page has the run's facts, the best design (or the front) beside the known optimum, figures, failures, and the
    command and versions that reproduce it. It loads nothing; a content security policy in the page forbids it to.

    Raises:
        OSError: the file cannot be written.
    """
    drawn = _figures(result)
    return render(
        "page.html.jinja",
        path,
        result=result,
        headline=content.headline(result),
        facts=content.summary(result),
        design=content.design_table(result),
        front=content.front(result, content.FRONT),
        before_front=next((p.id for p in reversed(drawn.values()) if p.id in ("trade-offs", "pareto-front")), ""),
        failures=content.failures(result),
        figures=drawn,
    )


def render(template: str, path: str | Path, **context: Any) -> Path:
    """Write a page from a template of this folder."""
    import jinja2
    from markupsafe import Markup
    from plotly.offline import get_plotlyjs

    pages = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        finalize=lambda value: value if isinstance(value, Markup) else clean(value),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates = {"light": style.template(False), "dark": style.template(True)}
    page = pages.get_template(template).render(
        plotly=Markup(get_plotlyjs()),
        templates=Markup(json.dumps({name: template.to_plotly_json() for name, template in templates.items()})),
        **context,
    )
    path = Path(path)
    path.write_text(page, encoding="utf-8", errors="backslashreplace")
    return path


def plot(figure: Any, id: str, hint: str = "", width: int = 0) -> Plot:
    """A figure for a page: the page says what it is about, so its title goes and its subtitle becomes the caption."""
    from markupsafe import Markup

    caption = figure.layout.title.subtitle.text or ""
    figure.update_layout(title=None)
    if figure.layout.margin.t is None:
        figure.update_layout(margin={"t": 24})
    html = figure.to_html(full_html=False, include_plotlyjs=False, config=CONFIG, div_id=id)
    return Plot(id, Markup(html), caption, hint, width)


def _figures(result: Result) -> dict[str, Plot]:
    """Heading -> figure, for what this result has to show."""
    m, valued = len(result.objectives), bool((result.evaluation.status == "ok").any())
    drawn = {}
    if result.constraints and content.shown_row(result) is not None:
        drawn["Constraint slacks"] = plot(figures.constraints(result), "constraint-slacks")
    drawn["Convergence"] = plot(figures.convergence(result), "convergence")
    known = result.reference is not None and result.reference.value is not None
    if m == 1 and known and curve(result, "gap").log:
        drawn["Gap to the known optimum"] = plot(figures.convergence(result, "gap"), "gap-to-the-known-optimum")
    if m in (2, 3):
        hint = "Drag over the front to list only those designs; double-click to list all. " if m == 2 else ""
        hint += "A click marks a design in the table."
        drawn["Pareto front"] = plot(figures.pareto(result), "pareto-front", hint)
    if m > 2 and len(result.pareto_rows):
        rows = content.thinned(content.front_rows(result), content.FRONT)
        hint = "Drag over designs in any panel: the other panels and the table follow; double-click to list all."
        drawn["Trade-offs"] = plot(designs.trade_offs(result, rows), "trade-offs", hint, 160 * m)
    grown = importances(result)
    if grown:
        figure = importance_figure(result, grown)
        drawn["What mattered"] = plot(figure, "what-mattered", IMPORTANCE)
    if valued:
        first = np.argsort(-np.max([g.drop for g in grown], axis=0), kind="stable") if grown else None
        figure = designs.parallel(result, first)
        axes = len(figure.data[0].dimensions)
        drawn["Designs"] = plot(figure, "designs", PARALLEL, 72 * axes + 110)
    for heading, (id, figure) in (nas_figures.drawings(result) | sequence_figures.drawings(result)).items():
        drawn[heading] = plot(figure, id)
    times = timeline(result)
    if times is not None:
        drawn["Timeline"] = plot(timeline_figure(result, times), "timeline")
    return drawn


IMPORTANCE = (
    "How much worse a random forest predicts designs it has not seen when one parameter is shuffled: the objective's "
    "rank among designs with values, and whether a design is feasible. It is about the designs that this search tried; "
    "the lower the R² of a forest, the less its bars mean."
)
PARALLEL = "Every line is a design, darker is better. Drag along an axis to keep only the designs that pass there."
