"""Task graphs: what has to be computed, in which order, and what is passed on."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from designopt.parameters import Array, suggest

LAST_TASKS = {
    "audio_decoder": "dummy_last",
    "edge_detection": "rejectZeroCrossings",
    "hpvm_cava": "descale_fxp_cloned",
    **{f"edge_detection_{k}": f"rejectZeroCrossings_{k}" for k in range(1, 5)},
}
"""The task whose end FARSI reports as latency; of other workloads the one after which nothing comes."""

DUMMIES = ("souurce", "siink", "dummy_last")
"""A task whose name contains one of these takes no time and no energy."""

SPELLINGS = {"source": "souurce", "sink": "siink"}
"""FARSI's tables mix both spellings."""


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


def from_mapping(tasks: Mapping[str, Any], name: str) -> Workload:
    """A workload without accelerators from task -> {"work": instructions, "children": {task: bytes}}."""
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
        work[task] = number(f"{where}: work of {task!r}", entry["work"])
        children = entry.get("children", {})
        edges += [(task, SPELLINGS.get(c, c), number(f"{where}: {task!r} -> {c!r}", s)) for c, s in children.items()]
    return build(where, name or "own", work, edges)


def build(where: str, name: str, work: Mapping[str, float], edges: list[tuple[str, str, float]], **ip: Any) -> Workload:
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


def number(place: str, value: Any) -> float:
    """The value as a number; its place is named when it is negative or none."""
    try:
        amount = float(value)
    except (TypeError, ValueError):
        amount = math.nan
    if not (math.isfinite(amount) and amount >= 0):
        raise ValueError(f"{place} = {value!r}; it must be a number that is not negative")
    return amount
