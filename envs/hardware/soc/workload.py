"""Task graphs: FARSI's tables, the form of its recorded runs, and one of our own that is always there."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from designopt import data
from designopt.parameters import Array, suggest

PUBLISHED = {
    "audio": "audio_decoder",
    "audio_decoder": "audio_decoder",
    "cava": "hpvm_cava",
    "hpvm_cava": "hpvm_cava",
    "edge_detection": "edge_detection",
    "SOC_example_1p": "SOC_example_1p",
    "SOC_example_1p_2r": "SOC_example_1p_2r",
}
"""Names of FARSI's workloads -> how its files begin."""

LAST_TASKS = {
    "audio_decoder": "dummy_last",
    "edge_detection": "rejectZeroCrossings",
    "hpvm_cava": "descale_fxp_cloned",
    **{f"edge_detection_{k}": f"rejectZeroCrossings_{k}" for k in range(1, 5)},
}
"""The task whose end FARSI reports as latency; of other workloads the one after which nothing comes."""

LATENCY_BUDGETS = {"audio_decoder": 0.021, "edge_detection": 0.034, "hpvm_cava": 0.034, "stereo_depth": 0.033}
"""Seconds: FARSI's, and a frame of 30 a second for our own."""

DUMMIES = ("souurce", "siink", "dummy_last")
"""A task whose name contains one of these takes no time and no energy."""

SPELLINGS = {"source": "souurce", "sink": "siink"}
"""FARSI's tables mix both spellings."""

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


@dataclass(frozen=True)
class Workload:
    """A task graph of T tasks and E edges.

    Attributes:
        name: for messages.
        tasks: T names.
        work: (T,) instructions, 0 of a dummy.
        parent, child: (E,) places in ``tasks``.
        size: (E,) bytes that the parent writes and the child reads.
        last: place of the task whose end FARSI calls the latency.
        ip_seconds: (T,) of one run on its own accelerator at 100 MHz, not unrolled; NaN where there is none.
        ip_energy: (T,) entry of FARSI's energy table.
        ip_area_m2: (T,) area before scaling.
        iterations: (T,) iterations of its loop, how far an accelerator can be unrolled.
    """

    name: str
    tasks: tuple[str, ...]
    work: Array
    parent: NDArray[np.int64]
    child: NDArray[np.int64]
    size: Array
    last: int
    ip_seconds: Array
    ip_energy: Array
    ip_area_m2: Array
    iterations: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.tasks)

    @cached_property
    def dummy(self) -> NDArray[np.bool_]:
        """(T,) whether a task only marks the start or end of the graph."""
        return np.array([is_dummy(task) for task in self.tasks])

    @cached_property
    def real(self) -> NDArray[np.int64]:
        """Places of the tasks that are no dummies."""
        return np.flatnonzero(~self.dummy)

    @cached_property
    def arrays(self) -> tuple[Any, ...]:
        """What the compiled simulation reads.

        Work, dummy, parent, child, size, burst units written and read by edge, number of parents and of children, and
        the edges out of and into each task (starts, edges).
        """
        writes, reads = self._units()
        count = {
            name: np.bincount(ends, minlength=len(self)) for name, ends in (("out", self.parent), ("in", self.child))
        }
        starts = {name: np.concatenate([[0], np.cumsum(counts)]) for name, counts in count.items()}
        return (
            self.work, self.dummy, self.parent, self.child, self.size, writes, reads, count["in"], count["out"],
            starts["out"], np.argsort(self.parent, kind="stable"), starts["in"], np.argsort(self.child, kind="stable"),
        )  # fmt: skip

    def _units(self) -> tuple[Array, Array]:
        """(E,) bursts that the parent writes and that the child reads, FARSI's weights of arbitration.

        A task is cut into as many pieces as its smallest input has bursts of 256 bytes, or one, if its smallest output
        or its work would vanish; a unit is what a piece moves.
        """
        pieces = np.ones(len(self))
        for t in self.real:
            reads, writes = self.size[self.child == t], self.size[self.parent == t]
            if len(reads):
                pieces[t] = max(1, reads.min() // 256)
            if self.work[t] // pieces[t] == 0 or (len(writes) and writes.min() // pieces[t] == 0):
                pieces[t] = 1
        return tuple(np.maximum(self.size // pieces[ends], 1.0) for ends in (self.parent, self.child))  # type: ignore[return-value]


def is_dummy(task: str) -> bool:
    """Whether FARSI takes a task of this name for a mark without time and energy."""
    return any(mark in task for mark in DUMMIES)


def workload_of(workload: str | PathLike[str] | Mapping[str, Any] | Workload, name: str = "") -> Workload:
    """A workload by name, from a folder, or from a mapping.

    Args:
        workload: a name (``PUBLISHED``, "stereo_depth"), a folder of tables in FARSI's format (or folder/PREFIX when it
            holds several), a mapping task -> {"work": instructions, "children": {task: bytes}}, or a Workload.
        name: of a mapping: decides which task is FARSI's last.

    Raises:
        ValueError: unknown name, tables that do not parse, unknown tasks, a cycle; the place is named.
        DataMissing: a published workload that is not on this machine.
    """
    if isinstance(workload, Workload):
        return workload
    if isinstance(workload, Mapping):
        return _from_mapping(workload, name)
    if isinstance(workload, str):
        if workload in PUBLISHED:
            prefix = PUBLISHED[workload]
            find = {k: data.find(f"archgym/farsi/{prefix}_database - {sheet}.csv") for k, sheet in TABLES.items()}
            return _from_tables(prefix, find)
        if workload == "stereo_depth":
            return stereo_depth()
    return _from_folder(Path(workload))


def _from_mapping(tasks: Mapping[str, Any], name: str) -> Workload:
    where = f"workload {name!r}" if name else "workload"
    if not tasks:
        raise ValueError(f"{where}: it has no tasks")
    work, edges = {}, []
    for task, entry in tasks.items():
        if not isinstance(task, str) or not task:
            raise ValueError(f"{where}: {task!r} is no name of a task")
        if not isinstance(entry, Mapping) or "work" not in entry:
            raise ValueError(f"{where}: task {task!r} is {entry!r}; it must be {{'work': ..., 'children': {{...}}}}")
        task = SPELLINGS.get(task, task)
        work[task] = _number(f"{where}: work of {task!r}", entry["work"])
        children = entry.get("children", {})
        edges += [(task, SPELLINGS.get(c, c), _number(f"{where}: {task!r} -> {c!r}", s)) for c, s in children.items()]
    return _build(where, name or "own", work, edges)


def _build(
    where: str, name: str, work: Mapping[str, float], edges: list[tuple[str, str, float]], **ip: Any
) -> Workload:
    """Check the graph and lay it out as arrays. ``ip``: columns of accelerators, none when left out."""
    tasks = tuple(work)
    for parent, child, _ in edges:
        for task in (parent, child):
            if task not in work:
                raise ValueError(
                    f"{where}: {parent!r} -> {child!r} names the unknown task {task!r}; {suggest(task, tasks)}"
                )
    for task, amount in work.items():
        if amount <= 0 and not is_dummy(task):
            raise ValueError(f"{where}: work of {task!r} is {amount:g}; it must be positive")
    if all(map(is_dummy, tasks)):
        raise ValueError(f"{where}: it has no task that does any work")
    _check_acyclic(where, tasks, edges)
    place = {task: i for i, task in enumerate(tasks)}
    parents = {parent for parent, *_ in edges}
    last = LAST_TASKS.get(name, "")
    if last not in place:
        last = max((task for task in tasks if task not in parents), key=lambda task: ("siink" in task, place[task]))
    n = len(tasks)
    return Workload(
        name,
        tasks,
        np.array([0.0 if is_dummy(task) else work[task] for task in tasks]),
        np.array([place[parent] for parent, *_ in edges], dtype=np.int64),
        np.array([place[child] for _, child, _ in edges], dtype=np.int64),
        np.array([size for *_, size in edges], dtype=np.float64),
        place[last],
        ip.get("seconds", np.full(n, np.nan)),
        ip.get("energy", np.full(n, np.nan)),
        ip.get("area_m2", np.full(n, np.nan)),
        ip.get("iterations", np.ones(n, dtype=np.int64)),
    )


def _check_acyclic(where: str, tasks: Iterable[str], edges: list[tuple[str, str, float]]) -> None:
    children: dict[str, list[str]] = {task: [] for task in tasks}
    for parent, child, _ in edges:
        children[parent].append(child)
    finished: set[str] = set()
    for start in children:
        path, stack = [start], [iter(children[start])]
        while stack:
            child = next(stack[-1], "")
            if not child:
                stack.pop()
                finished.add(path.pop())
            elif child in path:
                cycle = [*path[path.index(child) :], child]
                raise ValueError(f"{where}: the task graph has a cycle: {' -> '.join(cycle)}")
            elif child not in finished:
                path.append(child)
                stack.append(iter(children[child]))


def _number(place: str, value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not (math.isfinite(number) and number >= 0):
        raise ValueError(f"{place} = {value!r}; it must be a number that is not negative")
    return number


# FARSI's tables -------------------------------------------------------------------------------------------------------


def _from_folder(path: Path) -> Workload:
    folder, wanted = (path, None) if path.is_dir() else (path.parent, path.name)
    suffix = f"{TABLES['movement']}.csv"
    found = sorted(file.name.removesuffix(suffix) for file in folder.glob(f"*{suffix}")) if folder.is_dir() else []
    prefixes = {start.removesuffix(" - ").removesuffix("_database"): start for start in found}
    if wanted is not None:
        if wanted not in prefixes:
            raise ValueError(
                f"workload = {str(path)!r} is neither a folder nor a known name; "
                + suggest(path, [*PUBLISHED, "stereo_depth"])
            )
        prefixes = {wanted: prefixes[wanted]}
    if not prefixes:
        raise ValueError(f"{path}: no file that ends in {suffix!r}")
    if len(prefixes) > 1:
        raise ValueError(f"{path}: it holds {len(prefixes)} workloads; give {path}/NAME with {suggest('', prefixes)}")
    ((name, start),) = prefixes.items()
    name = name or folder.name
    work = _from_tables(name, {key: folder / f"{start}{sheet}.csv" for key, sheet in TABLES.items()})
    for file in sorted(folder.glob("*Last Tasks.csv")):
        for row, cells in _table(file)[1]:
            task = cells.get("last_task", "")
            if row == name and task not in work.tasks:
                raise ValueError(f"{file}: {name!r} names the unknown last_task {task!r}; {suggest(task, work.tasks)}")
            if row == name:
                work = replace(work, last=work.tasks.index(task))
    return work


def _from_tables(name: str, files: Mapping[str, Path]) -> Workload:
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
                edges.append((parent, child, _number(f"{where}: {parent!r} -> {child!r}", cell)))
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

    return _build(
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
    return {task: _number(f"{file}: {task!r}", cells[column]) for task, cells in rows if cells.get(column)}


# Our own --------------------------------------------------------------------------------------------------------------


def stereo_depth() -> Workload:
    """Depth of a 640 x 480 stereo pair, thirty frames a second: a graph of our own, for use without any data.

    Sizes are those of the images. Work is 20 to 3000 instructions a pixel; an accelerator needs as many cycles at
    100 MHz as the core needs instructions, over 6 to 20. These are estimates, not measurements of a program.
    """
    pixels = 640 * 480
    tasks = {  # instructions a pixel, their ratio to cycles of the accelerator, its area in um2, iterations
        "rectify_left": (60, 8, 38_000, 480),
        "rectify_right": (60, 8, 38_000, 480),
        "census_left": (180, 16, 21_000, pixels),
        "census_right": (180, 16, 21_000, pixels),
        "match": (3000, 20, 164_000, pixels),
        "aggregate": (900, 12, 92_000, 480),
        "median": (240, 10, 17_000, pixels),
        "to_points": (40, 6, 24_000, pixels),
    }
    edges = [
        ("souurce", "rectify_left", 1), ("souurce", "rectify_right", 1), ("rectify_left", "census_left", 1),
        ("rectify_right", "census_right", 1), ("census_left", "match", 4), ("census_right", "match", 4),
        ("match", "aggregate", 16), ("aggregate", "median", 1), ("rectify_left", "to_points", 1),
        ("median", "to_points", 1), ("to_points", "siink", 6),
    ]  # fmt: skip
    named = {"souurce": (0, 1, 0, 1), **tasks, "siink": (0, 1, 0, 1)}
    instructions, ratio, area, iterations = np.array(list(named.values()), dtype=np.float64).T
    none = np.where(instructions > 0, 1.0, np.nan)
    return _build(
        "stereo_depth", "stereo_depth", dict(zip(named, (instructions * pixels).tolist(), strict=True)),
        [(parent, child, float(size * pixels)) for parent, child, size in edges],
        seconds=none * instructions * pixels / ratio / IP_CLOCK_HZ, energy=none * 1.8 * area,
        area_m2=none * area * 1e-12, iterations=iterations.astype(np.int64),
    )  # fmt: skip
