"""``designopt recommend``: the least changes that make a design of a table meet targets."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from designopt.search.counterfactual.answer import Recommendation

_SIGN = re.compile(r"\s*(<=|>=|==|=|<|>|:)\s*")


def recommend(
    file: Annotated[Path, typer.Argument(metavar="DATA.csv", help="Table of designs and their results, one per row.")],
    query: Annotated[str, typer.Option(help="Label of the row to change: its number, or its value in --index.")],
    target: Annotated[
        list[str], typer.Option(help="mass<=3, sf>=1.5, class==valid, mass:1..2, cost:min; may be repeated.")
    ],
    index: Annotated[str | None, typer.Option(help="Column that names the rows.")] = None,
    feature: Annotated[list[str] | None, typer.Option(help="Design column; default: all that are no target.")] = None,
    drop: Annotated[list[str] | None, typer.Option(help="Column that is neither feature nor target.")] = None,
    freeze: Annotated[list[str] | None, typer.Option(help="Feature that must not change.")] = None,
    grow: Annotated[list[str] | None, typer.Option(help="Feature that may only become larger.")] = None,
    shrink: Annotated[list[str] | None, typer.Option(help="Feature that may only become smaller.")] = None,
    bounds: Annotated[list[str] | None, typer.Option(metavar="NAME:LOW..HIGH", help="Limits of a feature.")] = None,
    max_changes: Annotated[int | None, typer.Option(help="How many features may change.")] = None,
    n: Annotated[int, typer.Option("-n", help="Number of recommendations.")] = 5,
    confidence: Annotated[float, typer.Option(help="Probability with which numeric targets are met at least.")] = 0.5,
    budget: Annotated[int | None, typer.Option(help="Evaluations of the model.")] = None,
    seconds: Annotated[float | None, typer.Option(help="Wall-clock limit of the search.")] = None,
    seed: Annotated[int, typer.Option(help="Of everything.")] = 0,
    report: Annotated[Path | None, typer.Option(metavar="FILE.html", help="Write a report there.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """Recommend the least changes to a design that make it meet targets, by a model fitted to a table."""
    import pandas as pd

    from designopt.search.counterfactual.recommend import recommend as search

    if not file.is_file():
        raise ValueError(f"no file {file}")
    frame = pd.read_csv(file)
    for name in (*([index] if index else []), *(drop or [])):
        _known(name, frame)
    frame = frame.drop(columns=drop or [])
    if index is not None:
        frame = frame.set_index(index)
    limits = {}
    for text in bounds or []:
        name, low, high = _limits(text)
        limits[name] = (low, high)
    answer = search(
        frame, _label(query, frame), dict(map(read_target, target)), features=feature or None, freeze=freeze or [],
        grow=grow or [], shrink=shrink or [], bounds=limits, max_changes=max_changes, n=n, confidence=confidence,
        budget=budget, seconds=seconds, seed=seed,
    )  # fmt: skip
    if report is not None:
        answer.report(report)
    print(json.dumps(summary(answer), allow_nan=False)) if as_json else show(answer, report)


def read_target(text: str) -> tuple[str, str]:
    """``mass<=3`` -> ("mass", "<= 3"); after a colon anything that ``designopt.counterfactual.parse`` reads.

    Raises:
        ValueError: no sign.
    """
    match = _SIGN.search(text)
    if match is None or not text[: match.start()]:
        raise ValueError(f"target {text!r}: write NAME<=NUMBER, NAME>=NUMBER, NAME==CLASS, NAME:LOW..HIGH or NAME:min")
    sign = "" if match[1] == ":" else f"{match[1]} "
    return text[: match.start()].strip(), f"{sign}{text[match.end() :].strip()}"


def _limits(text: str) -> tuple[str, float | None, float | None]:
    match = re.fullmatch(r"(.+):\s*([^.:\s]\S*?)?\s*\.\.\s*(\S+)?", text)
    try:
        assert match is not None
        return match[1], *(None if part is None else float(part) for part in (match[2], match[3]))  # type: ignore[return-value]
    except (AssertionError, ValueError):
        raise ValueError(f"bounds {text!r}: write NAME:LOW..HIGH; either number may be left out") from None


def _label(query: str, frame: Any) -> Any:
    """The label as the type of the table's row labels."""
    if frame.index.dtype.kind in "iu":
        try:
            return int(query)
        except ValueError:
            raise ValueError(f"query = {query!r}; rows are named by numbers such as {frame.index[0]}") from None
    return query


def _known(name: str, frame: Any) -> None:
    from designopt.parameters import suggest

    if name not in frame.columns:
        raise ValueError(f"the data have no column {name!r}; {suggest(name, frame.columns)}")


def summary(answer: Recommendation) -> dict[str, Any]:
    """The answer as plain data; NaN becomes null."""
    tables = {"designs": answer.designs, "changes": answer.changes, "performance": answer.performance}
    plain = {name: json.loads(table.to_json(orient="records")) for name, table in tables.items()}
    return {
        "found": answer.found,
        "valid": len(answer.archive),
        "evaluations": answer.calls,
        "hypervolume": answer.hypervolume(),
        "search_seconds": answer.search_seconds,
        "sampling_seconds": answer.sampling_seconds,
        "quality": answer.quality,
        "binding": answer.binding,
        "notes": answer.notes,
        **plain,
    }


def show(answer: Recommendation, report: Path | None) -> None:
    """Print the model's quality, then per design its changes and predictions."""
    from rich.console import Console
    from rich.table import Table

    from designopt.search.counterfactual.report import cards

    console = Console()
    for output, measures in answer.quality.items():
        text = ", ".join(f"{name} {value:.3g}" for name, value in measures.items())
        console.print(f"model of {output} (cross-validated): {text}", markup=False, highlight=False)
    for note in answer.notes:
        console.print(note, markup=False, highlight=False)
    for card in cards(answer):
        marks = [f"{o['name']} {o['value']} {o['met']}".rstrip() for o in card["outputs"]]
        title = f"design {card['number']}: {', '.join(marks)}".replace("[", r"\[")
        table = Table(title=title, title_justify="left", box=None)
        for heading in ("feature", "old", "", "new"):
            table.add_column(heading)
        for line in card["changes"]:
            table.add_row(line["feature"].replace("[", r"\["), line["old"], "->", line["new"])
        console.print(table)
    valid = f"{len(answer.archive)} valid designs among {answer.calls} evaluated in {answer.search_seconds:.1f} s"
    console.print(valid + (f"; report: {report}" if report else ""), markup=False, highlight=False)
