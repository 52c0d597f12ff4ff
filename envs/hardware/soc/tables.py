"""FARSI's tables of a workload: comma-separated files, quirks included."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from designopt.envs.hardware.soc.graph import SPELLINGS, Workload, build, is_dummy, number
from designopt.parameters import Array, suggest

IPC = 2.0
"""Instructions a cycle of the A53."""

IP_CLOCK_HZ = 1e8
"""The clock at which FARSI's tables count the cycles of accelerators."""

TABLES = {
    "movement": "Task Data Movement",
    "performance": "Task PE Performance",
    "energy": "Task PE Energy",
    "area": "Task PE Area",
    "iterations": "Task Itr Count",
}


def from_folder(path: Path, known: Iterable[str]) -> Workload:
    """The workload of a folder of tables, or folder/NAME; ``known``: names that might have been meant instead."""
    folder, wanted = (path, None) if path.is_dir() else (path.parent, path.name)
    suffix = f"{TABLES['movement']}.csv"
    found = sorted(file.name.removesuffix(suffix) for file in folder.glob(f"*{suffix}")) if folder.is_dir() else []
    prefixes = {start.removesuffix(" - ").removesuffix("_database"): start for start in found}
    if wanted is not None:
        if wanted not in prefixes:
            raise ValueError(f"workload = {str(path)!r} is neither a folder nor a known name; " + suggest(path, known))
        prefixes = {wanted: prefixes[wanted]}
    if not prefixes:
        raise ValueError(f"{path}: no file that ends in {suffix!r}")
    if len(prefixes) > 1:
        raise ValueError(f"{path}: it holds {len(prefixes)} workloads; give {path}/NAME with {suggest('', prefixes)}")
    ((name, start),) = prefixes.items()
    name = name or folder.name
    work = from_tables(name, {key: folder / f"{start}{sheet}.csv" for key, sheet in TABLES.items()})
    for file in sorted(folder.glob("*Last Tasks.csv")):
        for row, cells in _table(file)[1]:
            task = cells.get("last_task", "")
            if row == name and task not in work.tasks:
                raise ValueError(f"{file}: {name!r} names the unknown last_task {task!r}; {suggest(task, work.tasks)}")
            if row == name:
                work = replace(work, last=work.tasks.index(task))
    return work


def from_tables(name: str, files: Mapping[str, Path]) -> Workload:
    """A workload from its five tables; that of iterations may be missing."""
    columns, rows = _table(files["movement"])
    edges, where = [], str(files["movement"])
    tasks = [task for task, _ in rows]
    for column in columns:
        if column not in tasks:
            raise ValueError(f"{where}: column {column!r} names an unknown task; {suggest(column, tasks)}")
    for parent, cells in rows:
        for child in columns:
            cell = cells.get(child, "")
            # A task that feeds itself keeps a state between runs; within one run, FARSI drops it.
            if cell and child != parent:
                edges.append((parent, child, number(f"{where}: {parent!r} -> {child!r}", cell)))
    cycles = {
        "A53": _column(files["performance"], tasks, "A53"),
        "IP0": _column(files["performance"], tasks, "IP0", needed=False),
    }
    work = {}
    for task in tasks:
        if not is_dummy(task) and task not in cycles["A53"]:
            raise ValueError(f"{files['performance']}: task {task!r} has no cycles in column 'A53'")
        work[task] = cycles["A53"].get(task, 0.0) * IPC
    energy, area = (_column(files[key], tasks, "IP0", needed=bool(cycles["IP0"])) for key in ("energy", "area"))
    given = files["iterations"].exists()
    iterations = _column(files["iterations"], tasks, "number of iterations") if given else {}
    for task in cycles["IP0"]:
        for key, values in (("energy", energy), ("area", area)):
            if task not in values:
                raise ValueError(
                    f"{files[key]}: task {task!r} has cycles on an accelerator but no entry in column 'IP0'"
                )

    def laid(values: Mapping[str, float], scale: float = 1.0) -> Array:
        return np.array([values.get(task, math.nan) * scale if not is_dummy(task) else math.nan for task in tasks])

    return build(
        where, name, work, edges,
        seconds=laid(cycles["IP0"], 1 / IP_CLOCK_HZ), energy=laid(energy), area_m2=laid(area, 1e-12),
        iterations=np.array([max(int(iterations.get(task, 1)), 1) for task in tasks]),
    )  # fmt: skip


def _table(file: Path) -> tuple[list[str], list[tuple[str, dict[str, str]]]]:
    """-> names of columns after the first, and (name, {column: cell}) by row; empty rows and columns are dropped."""
    try:
        with file.open(newline="", encoding="utf-8-sig") as lines:
            rows = [[cell.strip() for cell in row] for row in csv.reader(lines)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{file}: {getattr(error, 'strerror', None) or error}") from None
    rows = [row for row in rows if any(row)]
    if len(rows) < 2:
        raise ValueError(f"{file}: it has no rows")
    columns = [SPELLINGS.get(column, column) for column in rows[0][1:]]
    named: list[tuple[str, dict[str, str]]] = []
    for row in rows[1:]:
        task = SPELLINGS.get(row[0], row[0])
        if task in dict(named):
            raise ValueError(f"{file}: task {task!r} has two rows")
        named.append((task, {column: cell for column, cell in zip(columns, row[1:], strict=False) if column}))
    return [column for column in columns if column], named


def _column(file: Path, tasks: list[str], column: str, needed: bool = True) -> dict[str, float]:
    """Task -> number of one column, without empty cells; nothing when the column is missing and not needed.

    Raises:
        ValueError: no such column, or a row of an unknown task.
    """
    columns, rows = _table(file)
    if column not in columns:
        if not needed:
            return {}
        raise ValueError(f"{file}: missing column {column!r}; it has {', '.join(columns)}")
    for task, _ in rows:
        if task not in tasks:
            raise ValueError(f"{file}: row {task!r} names an unknown task; {suggest(task, tasks)}")
    return {task: number(f"{file}: {task!r}", cells[column]) for task, cells in rows if cells.get(column)}
