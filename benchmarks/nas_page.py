"""The record of ``benchmarks/nas.py``, and the page made of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import kendalltau

from designopt.envs.nas.mini_nas import MiniNAS, canonical

HERE = Path(__file__).parents[1] / "docs" / "benchmarks"
RECORD, PAGE = HERE / "nas.jsonl", HERE / "nas.md"
Run = dict[str, Any]
CELLS = np.indices((5, 5, 5)).reshape(3, -1).T.astype(float)
COLUMNS = {"tau": 2, "cpu_seconds": 1, "gradients": 0, "skip": 2}
"""Means shown, and their decimals."""
INSIDE = {"entropy": 2, "moved": 2, "eigenvalue": 2, "sharpness": 3, "gap": 1}
COST, WORSE = 0.5, 0.0
ENOUGH = 10
"""RARTS' targets against second-order DARTS: share of CPU time, difference of regret; seeds needed to judge."""


def read() -> list[Run]:
    """All runs so far."""
    return [json.loads(line) for line in RECORD.read_text().splitlines()] if RECORD.exists() else []


def append(run: Run) -> None:
    """Keep a run."""
    with RECORD.open("a") as out:
        out.write(json.dumps(run) + "\n")


@cache
def truth(**arguments: Any) -> np.ndarray:
    """(125,) truth of all cells."""
    return MiniNAS(**arguments).truth(CELLS)


def judged(run: Run, arguments: dict[str, Any]) -> Run:
    """A run with what its cell, and its ranking of all cells, are worth by the truth."""
    truths = truth(**arguments)
    own = float(truths[(np.array(run["design"]) == CELLS).all(axis=1)][0])
    # Cells that compute the same may still cost different amounts, for dead operations.
    distinct = {(canonical(tuple(c.astype(int))), round(t, 9)) for c, t in zip(CELLS, truths, strict=True)}
    better = sum(value > own + 1e-9 for _, value in distinct)
    tau = {"tau": float(kendalltau(run["scores"], truths).statistic)} if "scores" in run else {}
    return run | tau | {"regret": float(truths.max()) - own, "rank": 1 + int(better), "of": len(distinct)}


def interval(values: np.ndarray) -> tuple[float, float]:
    """95 % bootstrap interval of the mean."""
    draws = np.random.default_rng(0).choice(values, (4000, len(values))).mean(axis=1)
    return float(np.quantile(draws, 0.025)), float(np.quantile(draws, 0.975))


def shown(values: np.ndarray, sign: str = "") -> str:
    """Mean and interval; of one seed there is none."""
    low, high = interval(values)
    return f"{values.mean():{sign}.2f}" + (f" [{low:{sign}.2f}, {high:{sign}.2f}]" if len(values) > 1 else "")


def table(rows: list[Run], methods: Sequence[str]) -> list[str]:
    """Regret and cost of every method on one task."""
    lines = ["| method | seeds | regret | rank | tau | CPU s | gradients | skip |", "|---|---|---|---|---|---|---|---|"]
    for method in methods:
        mine = [r for r in rows if r["method"] == method]
        if not mine:
            continue
        regret = np.array([r["regret"] for r in mine])
        rank = f"{np.median([r['rank'] for r in mine]):.0f} of {mine[0]['of']}"
        means = [f"{np.mean([r[key] for r in mine]):.{n}f}" if key in mine[0] else "-" for key, n in COLUMNS.items()]
        cells = [method, str(len(mine)), shown(regret), rank, *means]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def paired(rows: list[Run], method: str, reference: str) -> tuple[np.ndarray, np.ndarray]:
    """Share of the reference's CPU time and difference of regret, by seed."""
    by = {m: {r["seed"]: r for r in rows if r["method"] == m} for m in (method, reference)}
    seeds = sorted(by[method].keys() & by[reference].keys())
    cost = [by[method][s]["cpu_seconds"] / by[reference][s]["cpu_seconds"] for s in seeds]
    return np.array(cost), np.array([by[method][s]["regret"] - by[reference][s]["regret"] for s in seeds])


def against(rows: dict[str, list[Run]], methods: Sequence[str], reference: str) -> list[str]:
    """Paired differences of regret with a reference, all tasks, and of how many seeds."""
    lines = [f"| method | {' | '.join(rows)} |", "|---|" + "---|" * len(rows)]
    for method in methods:
        if method == reference:
            continue
        cells = []
        for mine in rows.values():
            _, worse = paired(mine, method, reference)
            cells.append(f"{shown(worse, '+')} of {len(worse)}" if len(worse) else "-")
        if set(cells) != {"-"}:
            lines.append(f"| {method} | {' | '.join(cells)} |")
    return lines


def target(rows: dict[str, list[Run]], method: str, reference: str) -> list[str]:
    """What became of RARTS' target, task by task."""
    lines = ["| task | seeds | CPU time | target | regret | target |", "|---|---|---|---|---|---|"]
    for task, mine in rows.items():
        cost, worse = paired(mine, method, reference)
        if not len(cost):
            continue
        so_far = "" if len(cost) >= ENOUGH else " so far"
        cells = [task, str(len(cost)), f"{100 * cost.mean():.0f} %"]
        cells += [f"{100 * COST:.0f} %, {'met' if cost.mean() <= COST else 'missed'}{so_far}"]
        cells += [shown(worse, "+")]
        cells += ["no worse, " + ("met" if worse.mean() <= WORSE else "missed") + so_far]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def inside(rows: list[Run], methods: Sequence[str]) -> list[str]:
    """What searches by gradients look like at their end."""
    lines = [f"| method | runs | {' | '.join(INSIDE)} |", "|---|---|" + "---|" * len(INSIDE)]
    for method in methods:
        mine = [r for r in rows if r["method"] == method and "sharpness" in r]
        if mine:
            means = [f"{np.mean([r[key] for r in mine]):.{n}f}" for key, n in INSIDE.items()]
            lines.append(f"| {method} | {len(mine)} | {' | '.join(means)} |")
    return lines


def write(record: list[Run], tasks: dict[str, dict[str, Any]], methods: Sequence[str], reference: str) -> None:
    """The measured part of the page; the words above its first heading of a task are kept."""
    order = {m: i for i, m in enumerate(methods)}
    record = sorted(record, key=lambda r: (r["seed"], order[r["method"]]))
    rows = {task: [judged(r, tasks[task]) for r in record if r["task"] == task] for task in tasks}
    rows = {task: mine for task, mine in rows.items() if mine}
    mark = "<!-- measured -->"
    words = PAGE.read_text().split(mark)[0] if PAGE.exists() else ""
    lines = [mark, "", "## The target of RARTS", "", *target(rows, "RARTS", reference)]
    for task, mine in rows.items():
        lines += ["", f"## {task}", "", *table(mine, methods)]
    lines += ["", f"## Regret less that of {reference}", "", *against(rows, methods, reference)]
    lines += ["", "## At the end of a search", "", *inside([r for m in rows.values() for r in m], methods)]
    PAGE.write_text(words + "\n".join(lines) + "\n")
