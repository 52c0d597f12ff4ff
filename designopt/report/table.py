"""The result of a run in a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from designopt.report import content
from designopt.report.style import clean

if TYPE_CHECKING:
    from rich.console import Console

    from designopt.result import Result

FRONT = 10
"""How many non-dominated designs the terminal lists at most."""
STYLES = {"violated": "bold red", "active": "cyan"}


def best_table(result: Result) -> Table:
    """The best design beside the known optimum, or the front of several objectives, as a rich table.

    When nothing is feasible, the least infeasible design stands there and is called so.
    """
    design = content.design_table(result)
    if design is not None:
        return _design(design)
    front = content.front(result, FRONT)
    if front is None or not front.rows:
        return Table("No design to show: no evaluation gave values")
    table = _table(front.title)
    for column in front.columns:
        table.add_column(Text(column), overflow="fold")
    for row in front.rows.values():
        table.add_row(*map(Text, row))
    return table


def _table(title: str) -> Table:
    return Table(title=Text(title), title_justify="left", min_width=len(title))


def _design(design: content.DesignTable) -> Table:
    # Text, not str: rich would read a name such as "s[0]" as markup.
    table = _table(design.title)
    for heading in ("", "value", "unit", *(["known optimum"] if design.compared else []), ""):
        table.add_column(heading, overflow="fold")
    for rows in design.sections.values():
        for row in rows:
            known = [row.known] if design.compared else []
            note = Text(row.note, STYLES.get(row.note, ""))
            table.add_row(*map(Text, (row.name, row.value, row.unit, *known)), note)
        table.add_section()
    return table


def print_result(result: Result, console: Console) -> None:
    """Print the facts of the run, its best design and what went wrong."""
    console.print(Text(f"{clean(result.env_id)} searched by {clean(result.search)}, run {result.run_id}", "bold"))
    console.print(Text("  ".join(f"{name}: {text}" for name, text in content.summary(result).items())))
    console.print(best_table(result))
    for failure in content.failures(result):
        text = f"{failure.count:,} {failure.status}, first at evaluation {failure.number:,}: {failure.error}"
        console.print(Text(text), style="yellow")
