"""The report of a run as one HTML file that needs nothing else: no network, no fonts, no other files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from designopt.report import content, figures, style
from designopt.report.curves import curve
from designopt.report.picture import CONFIG
from designopt.report.style import clean

if TYPE_CHECKING:
    from designopt.result import Result

FRONT = 50
"""How many non-dominated designs the page lists at most."""


def write_report(result: Result, path: str | Path) -> Path:
    """Write the report of a result as one self-contained HTML file and return its path.

    The page has the run's facts, the best design (or the front) beside the known optimum, figures, failures, and the
    command and versions that reproduce it. It loads nothing; a content security policy in the page forbids it to.

    Raises:
        OSError: the file cannot be written.
    """
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
    page = pages.get_template("page.html.jinja").render(
        result=result,
        facts=content.summary(result),
        design=content.design_table(result),
        front=content.front(result, FRONT),
        failures=content.failures(result),
        figures={name: Markup(_div(figure, name)) for name, figure in _figures(result).items()},
        plotly=Markup(get_plotlyjs()),
        templates=Markup(json.dumps({name: template.to_plotly_json() for name, template in templates.items()})),
    )
    path = Path(path)
    path.write_text(page, encoding="utf-8", errors="backslashreplace")
    return path


def _figures(result: Result) -> dict[str, Any]:
    """Heading -> figure, for what this result has to show."""
    drawn = {"Convergence": figures.convergence(result)}
    known = result.reference is not None and result.reference.value is not None
    if len(result.objectives) == 1 and known and curve(result, "gap").log:
        drawn["Gap to the known optimum"] = figures.convergence(result, "gap")
    if len(result.objectives) in (2, 3):
        drawn["Pareto front"] = figures.pareto(result)
    if result.constraints and content.shown_row(result) is not None:
        drawn["Constraint slacks"] = figures.constraints(result)
    return drawn


def _div(figure: Any, name: str) -> str:
    html: str = figure.to_html(
        full_html=False, include_plotlyjs=False, config=CONFIG, div_id=name.lower().replace(" ", "-")
    )
    return html
