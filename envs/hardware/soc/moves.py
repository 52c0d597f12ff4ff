"""Steps from one system to the next, as an architect would take them: swap a block, split it, or migrate what is on it.

Reference: [Boroujerdian2022] "FARSI", ACM Trans. Embedded Computing Systems.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields

import numpy as np

from designopt.envs.hardware.soc.designs import (
    ACCELERATOR,
    CLOCKS,
    CORE,
    DRAM,
    LEVELS,
    NONE,
    SRAM,
    WIDTHS,
    Coding,
    Parts,
    hosting,
    unrolled,
)  # fmt: skip
from designopt.parameters import Array

DIRECTIONS = {"latency": (True,), "energy": (True, False), "power": (False,), "area": (False,)}
"""By concern, whether blocks are made faster or smaller; for energy both, since whatever runs shorter leaks less."""


def moves(coding: Coding, design: Array, concern: str, task: int, block: int) -> dict[str, Array]:
    """Valid designs near a valid one that change how a task uses a block.

    Args:
        coding: of the designs.
        design: (d,).
        concern: "latency", or "energy", "power", "area".
        task: place in the workload.
        block: counted processors, buses, memories.

    Returns:
        "swap", "split" and "migrate" -> (k, d) designs, none where the block is not there.
    """
    now = coding.parts(design[None])
    pes, buses = now.pe.shape[1], now.width.shape[1]
    real = int(np.searchsorted(coding.real, task))
    known = real < len(coding.real) and coding.real[real] == task
    steps: list[Step] = []
    there = np.concatenate([now.pe[0] != NONE, now.width[0] > 0, now.mem[0] != NONE])
    for faster in DIRECTIONS[concern] if there[block] else ():
        if block < pes:
            steps += _processor(coding, now, real if known else -1, block, faster)
        elif block < pes + buses:
            steps += _bus(coding, now, real if known else -1, task, block - pes, faster)
        else:
            steps += _memory(coding, now, task, block - pes - buses, faster)
    after = coding.parts(np.repeat(design[None], len(steps), axis=0))
    for row, (_, values) in enumerate(steps):
        for name, (place, value) in values.items():
            getattr(after, name)[row, place] = value
    _tidy(coding, after)
    designs = coding.repair(coding.join(after))
    kinds = np.array([kind for kind, _ in steps], dtype="<U7")
    return {kind: designs[kinds == kind] for kind in ("swap", "split", "migrate")}


Step = tuple[str, dict[str, tuple[int, int]]]
"""Kind of move, and what it sets: field -> (place, value)."""


def _neighbours(values: tuple[int, ...], value: int, faster: bool) -> list[int]:
    """The next two values in the direction wanted."""
    at = values.index(value)
    return list(values[at + 1 : at + 3] if faster else values[max(at - 2, 0) : at][::-1])


def _processor(coding: Coding, now: Parts, real: int, pe: int, faster: bool) -> Iterator[Step]:
    tasks = np.flatnonzero(now.host[0] == pe)
    if real < 0 or real not in tasks:
        return
    able = bool(np.isfinite(coding.workload.ip_seconds[coding.real[real]]))
    variants = len(unrolled(coding.workload.iterations[coding.real[real]]))
    top = min(variants, LEVELS) - 1
    if now.pe[0, pe] == ACCELERATOR:
        level = min(int(now.level[0, pe]), top)
        for step in (1, 2, 4):
            other = level + step if faster else level - step
            if 0 <= other <= top:
                yield "swap", dict(level=(pe, other))
        for clock in _neighbours(CLOCKS, int(now.pe_clock[0, pe]), faster):
            yield "swap", dict(pe_clock=(pe, clock))
        if not faster:
            yield "swap", dict(pe=(pe, CORE))
    elif len(tasks) == 1 and able:
        yield "swap", dict(pe=(pe, ACCELERATOR))
    empty = np.flatnonzero(now.pe[0] == NONE)
    if len(empty) and len(tasks) > 1:
        new = int(empty[0])
        here = {"pe_bus": (new, int(now.pe_bus[0, pe])), "host": (real, new)}
        yield "split", dict(pe=(new, CORE), **here)
        if able:
            for variant in (0, top // 2):
                yield "split", dict(pe=(new, ACCELERATOR), level=(new, variant), pe_clock=(new, CLOCKS[-1]), **here)
    for core in np.flatnonzero((now.pe[0] == CORE) & (np.arange(now.pe.shape[1]) != pe)):
        yield "migrate", dict(host=(real, int(core)))


def _memory(coding: Coding, now: Parts, task: int, memory: int, faster: bool) -> Iterator[Step]:
    for width in _neighbours(WIDTHS, int(now.mem_width[0, memory]), faster):
        yield "swap", dict(mem_width=(memory, width))
    for clock in _neighbours(CLOCKS, int(now.mem_clock[0, memory]), faster):
        yield "swap", dict(mem_clock=(memory, clock))
    yield "swap", dict(mem=(memory, DRAM if now.mem[0, memory] == SRAM else SRAM))
    work = coding.workload
    touched = [task, *work.parent[work.child == task]]
    data = [i for i, writer in enumerate(coding.writers) if writer in touched and now.store[0, i] == memory]
    empty = np.flatnonzero(now.mem[0] == NONE)
    for i in data:
        if len(empty) and (now.store[0] == memory).sum() > 1:
            new = int(empty[0])
            copy = {
                f"mem{suffix}": (new, int(getattr(now, f"mem{suffix}")[0, memory]))
                for suffix in ("", "_width", "_clock", "_bus")
            }
            yield "split", dict(store=(i, new), **copy)
        for other in np.flatnonzero((now.mem[0] != NONE) & (np.arange(now.mem.shape[1]) != memory)):
            yield "migrate", dict(store=(i, int(other)))


def _bus(coding: Coding, now: Parts, real: int, task: int, bus: int, faster: bool) -> Iterator[Step]:
    for width in _neighbours(WIDTHS, int(now.width[0, bus]), faster):
        yield "swap", dict(width=(bus, width))
    for clock in _neighbours(CLOCKS, int(now.bus_clock[0, bus]), faster):
        yield "swap", dict(bus_clock=(bus, clock))
    work = coding.workload
    ends = np.flatnonzero((work.parent == task) | (work.child == task))
    memories = {int(m) for m in now.store[0, np.searchsorted(coding.writers, work.parent[ends])]}
    on_bus: list[tuple[str, int]] = [("mem_bus", m) for m in sorted(memories) if now.mem_bus[0, m] == bus]
    if real >= 0 and now.pe_bus[0, now.host[0, real]] == bus:
        on_bus.append(("pe_bus", int(now.host[0, real])))
    empty = np.flatnonzero(now.width[0] == 0)
    for name, place in on_bus:
        if len(empty):
            new = int(empty[0])
            copy = {"width": (new, int(now.width[0, bus])), "bus_clock": (new, int(now.bus_clock[0, bus]))}
            yield "split", dict(up=(new, 1 + bus), **copy, **{name: (place, new)})
        for other in np.flatnonzero((now.width[0] > 0) & (np.arange(now.width.shape[1]) != bus)):
            yield "migrate", dict(**{name: (place, int(other))})


def _tidy(coding: Coding, parts: Parts) -> None:
    """Take away what hosts nothing, and buses at the rim that nothing is on."""
    parts.pe[~hosting(parts.host, parts.pe.shape[1]).any(axis=2)] = NONE
    parts.mem[~hosting(parts.store, parts.mem.shape[1]).any(axis=2)] = NONE
    buses = parts.width.shape[1]
    used = (hosting(parts.pe_bus, buses) & (parts.pe != NONE)[:, None]).any(axis=2)
    used |= (hosting(parts.mem_bus, buses) & (parts.mem != NONE)[:, None]).any(axis=2)
    for _ in range(buses):
        parts.width[~used & (coding.links(parts).sum(axis=2) <= 1)] = 0


def smallest(coding: Coding) -> Array:
    """(d,) one core with one SRAM on one bus, as narrow and slow as there are: where FARSI starts."""
    parts = coding.parts(coding.space.low[None])
    for field in fields(parts):
        getattr(parts, field.name)[:] = CLOCKS[0] if field.name.endswith("clock") else 0
    parts.mem_width[:] = WIDTHS[0]
    parts.pe[0, 0], parts.mem[0, 0], parts.width[0, 0] = CORE, SRAM, WIDTHS[0]
    return np.asarray(coding.join(parts)[0])
