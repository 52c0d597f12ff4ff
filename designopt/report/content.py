"""What a report says, as text; the terminal table and the HTML page only lay it out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from designopt.evaluation import STATUSES
from designopt.report.style import clean, duration, label, number

if TYPE_CHECKING:
    from designopt.env import Objective
    from designopt.result import Result

FRONT = 1000
"""How many non-dominated designs the page lists, and the pictures draw, at most."""
ACTIVE = 1e-3
"""A constraint within this share of its scale of its limit counts as active."""


@dataclass(frozen=True)
class Row:
    """One line of a design table; ``known`` is the same quantity at the known optimum."""

    name: str
    value: str
    unit: str = ""
    known: str = ""
    note: str = ""


@dataclass(frozen=True)
class DesignTable:
    """One evaluated design as sections of rows; ``compared`` tells whether a known optimum stands beside it."""

    title: str
    sections: dict[str, list[Row]]
    compared: bool


@dataclass(frozen=True)
class Front:
    """Non-dominated designs as a table of text: row of the result -> cells; ``title`` says how many there are."""

    title: str
    columns: list[str]
    rows: dict[int, list[str]]


@dataclass(frozen=True)
class Failure:
    """All evaluations of one status other than ok; ``number`` is the evaluation that the example comes from."""

    status: str
    count: int
    number: int
    error: str


def shown_row(result: Result) -> int | None:
    """Row of the best design, else of the least infeasible one; None for a front, or when no evaluation gave values."""
    violation = result.evaluation.violation(result.constraints)
    if result.evaluation.feasible.any() or not np.isfinite(violation).any():
        return result.best_row
    return int(violation.argmin())


def design_table(result: Result) -> DesignTable | None:
    """The design to show as a table; None for a front, or when no evaluation gave values."""
    row = shown_row(result)
    if row is None:
        return None
    feasible = result.evaluation.feasible[row]
    title = "Best feasible design" if feasible else "Least infeasible design (nothing feasible was found)"
    reference = result.reference
    sections = {
        "Design": _parameters(result, row),
        "Objectives": _objectives(result, row),
        "Constraints": _constraints(result, row),
    }
    return DesignTable(
        f"{title}, evaluation {row + 1:,}",
        {name: rows for name, rows in sections.items() if rows},
        reference is not None and (reference.value is not None or reference.design is not None),
    )


def value_text(value: Any, digits: int = 6) -> str:
    """A parameter value: real numbers to some digits, whole numbers in full, anything else as it prints."""
    if isinstance(value, float):
        return number(value, digits)
    return clean(", ".join(map(str, value)) if isinstance(value, tuple) else value)


def _parameters(result: Result, row: int) -> list[Row]:
    design = result.space.decode(result.designs[row, None])[0]
    known: dict[str, Any] = {}
    if result.reference is not None and result.reference.design is not None:
        known = result.space.decode([result.reference.design])[0]
    return [
        Row(clean(name), value_text(value), clean(result.space[name].unit), value_text(known.get(name, "")))
        for name, value in design.items()
    ]


def _objectives(result: Result, row: int) -> list[Row]:
    values = result.evaluation.objectives[row]
    reference = result.reference
    rows = []
    for objective, value in zip(result.objectives, values, strict=True):
        note = "minimised" if objective.sense == "min" else "maximised"
        known = ""
        if reference is not None and reference.value is not None and len(values) == 1:
            known = number(reference.value)
            if result.best_row is not None:
                note += f"; {gap_text(objective, value, reference.value)}"
        rows.append(Row(clean(objective.name), number(value), clean(objective.unit), known, note))
    if result.bound is not None:
        gap = abs(values[0] - result.bound) / max(abs(result.bound), 1e-12)
        note = f"no design is better; gap {number(100 * gap, 3)} %"
        rows.append(Row("proved bound", number(result.bound), clean(result.objectives[0].unit), "", note))
    return rows


def gap_text(objective: Objective, value: float, known: float) -> str:
    """How far a value is from the known optimum, in percent of it where it is not zero."""
    gap = value - known if objective.sense == "min" else known - value
    size = abs(gap / known) if known else abs(gap)
    amount = f"{number(100 * size, 3)} %" if known else number(size, 3)
    if size < 1e-6:
        return "equal to the known optimum"
    return f"{amount} {'worse' if gap > 0 else 'better'} than the known optimum"


def _constraints(result: Result, row: int) -> list[Row]:
    rows = []
    for constraint, value in zip(result.constraints, result.evaluation.constraints[row], strict=True):
        note = state(value / constraint.scale)
        text = f"slack {number(-value, 4)}" if value <= 0 else f"excess {number(value, 4)}"
        rows.append(Row(clean(constraint.name), text, clean(constraint.unit), note=note))
    return rows


def state(scaled: float) -> str:
    """Violated, active or satisfied, from a constraint value over its scale."""
    if scaled > 0:
        return "violated"
    return "active" if scaled >= -ACTIVE else "satisfied"


def front_rows(result: Result) -> NDArray[np.int64]:
    """Rows of the non-dominated designs by their first objective."""
    rows = result.pareto_rows
    return rows[np.argsort(result.evaluation.objectives[rows, 0], kind="stable")]


def thinned(rows: NDArray[np.int64], limit: int) -> NDArray[np.int64]:
    """At most so many rows, spread evenly, both ends among them."""
    return rows if len(rows) <= limit else rows[np.linspace(0, len(rows) - 1, limit).round().astype(int)]


def front(result: Result, limit: int) -> Front | None:
    """The non-dominated designs by their first objective, thinned evenly to the limit; None for one objective."""
    if len(result.objectives) < 2:
        return None
    every = front_rows(result)
    rows = thinned(every, limit)
    title = f"Non-dominated designs: {len(every):,}"
    if len(rows) < len(every):
        title += f" ({limit:,} shown, spread evenly along {clean(result.objectives[0].name)})"
    designs = result.space.decode(result.designs[rows])
    units = [(o.name, o.unit) for o in result.objectives]
    units += [(name, result.space[name].unit) for name in result.space.names]
    return Front(
        title,
        [label(name, unit) for name, unit in units],
        {
            int(row): [
                value_text(value, 5) for value in (*result.evaluation.objectives[row].tolist(), *design.values())
            ]
            for row, design in zip(rows, designs, strict=True)
        },
    )


def failures(result: Result) -> list[Failure]:
    """Statuses other than ok that occurred, each with the error text of its first evaluation."""
    status, errors = result.evaluation.status, result.evaluation.errors
    found = [(s, np.flatnonzero(status == s)) for s in STATUSES if s != "ok"]
    return [Failure(s, len(rows), int(rows[0]) + 1, clean(errors[rows[0]])[:2000]) for s, rows in found if len(rows)]


def headline(result: Result) -> str:
    """What the run came to, in a sentence."""
    n, feasible = len(result.designs), int(result.evaluation.feasible.sum())
    if not n:
        return "Nothing was evaluated."
    if not feasible:
        what = "No feasible design was found" if shown_row(result) is not None else "No design could be evaluated"
        return f"{what} in {n:,} evaluation{'s' * (n > 1)}."
    if result.best_value is None:
        front = len(result.pareto_rows)
        return f"{front:,} of {feasible:,} feasible designs are not dominated by any other, in {n:,} evaluations."
    objective, row, reference = result.objectives[0], result.best_row, result.reference
    assert row is not None, "a best value has a row"
    text = f"Best feasible design: {objective.name} {number(result.best_value)} {objective.unit}".rstrip()
    if reference is not None and reference.value is not None:
        text += f", {gap_text(objective, result.best_value, reference.value)}"
    return clean(f"{text}. Found at evaluation {row + 1:,} of {n:,}.")


def summary(result: Result) -> dict[str, str]:
    """The run in a few facts: label -> text."""
    n = len(result.designs)
    feasible = int(result.evaluation.feasible.sum())
    facts = {}
    if result.best_value is not None:
        objective = result.objectives[0]
        facts[f"best {clean(objective.name)}"] = clean(f"{number(result.best_value)} {objective.unit}").strip()
    if len(result.objectives) > 1:
        facts["non-dominated designs"] = f"{len(result.pareto_rows):,}"
        if result.reference is not None and result.reference.reference_point is not None:
            facts["hypervolume"] = number(result.hypervolume())
            if result.reference.hypervolume:
                facts["hypervolume"] += f" (known front: {number(result.reference.hypervolume)})"
    facts["evaluations"] = f"{n:,}"
    facts["feasible"] = f"{feasible:,} ({percent(feasible, n)})"
    lost = failures(result)
    if lost:
        facts["without values"] = ", ".join(f"{f.count:,} {f.status}" for f in lost)
    facts["search time"] = duration(result.search_seconds)
    facts["evaluation time"] = duration(result.evaluation_seconds)
    return facts


def percent(part: int, whole: int) -> str:
    """A share in percent; 0 % and 100 % are only said when exact."""
    if not whole:
        return "0 %"
    share = 100 * part / whole
    if 0 < share < 0.1:
        return "< 0.1 %"
    if 99.9 < share < 100:
        return "> 99.9 %"
    return f"{number(share, 3)} %"
