"""Designs as columns of numbers: what they mean, what is wrong with them, and how to repair that."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from designopt import Categorical, DesignSpace, Integer, Ordinal
from designopt.envs.hardware.soc.graph import Workload
from designopt.envs.hardware.soc.physics import AREA_SCALE, ENERGY_SCALE
from designopt.envs.hardware.soc.system import Flags, Ints, System
from designopt.parameters import Array, Parameter

NONE, CORE, ACCELERATOR = 0, 1, 2
SRAM, DRAM = 1, 2

WIDTHS = (4, 8, 16, 32, 64, 128)
"""Bytes a cycle of a bus or a memory."""

CLOCKS = (100, 400, 600, 800)
"""MHz of everything but the core."""

LEVELS = 17
"""Variants of an accelerator at most: unrolled 1, 2, 4, ... times, the last one by all its iterations."""

CORE_RATE, CORE_PER_J, CORE_M2 = 2e9, 47_019_607_843.0, 6.5e-7
"""A53: instructions a second and a joule, area."""

FARSI_PER_J = {"bus": 1 / ENERGY_SCALE, "sram": 200 / ENERGY_SCALE, "dram": 1 / ENERGY_SCALE}
FARSI_PER_M2 = {"sram": 1 / 0.07, "dram": 2 / 0.07}
"""Bytes a joule and a m2: placeholders of FARSI's tables, scaled."""


def unrolled(iterations: int) -> list[int]:
    """Variants of an accelerator, how often its loop is unrolled."""
    variants = [2**k for k in range(int(iterations).bit_length())]
    if variants[-1] != iterations:
        variants.append(int(iterations))
    return variants if len(variants) <= LEVELS else [*variants[: LEVELS - 1], int(iterations)]


@dataclass
class Parts:
    """n designs taken apart; every array may be changed.

    Attributes:
        pe, level, pe_clock, pe_bus: (n, p) kind, variant, MHz and bus of each place for a processor.
        mem, mem_width, mem_clock, mem_bus: (n, m). width (0: no bus), bus_clock, up: (n, b); up: 0 or 1 + another bus.
        host: (n, r) processor of each real task. store: (n, s) memory of what each task with outputs writes.
    """

    pe: Ints
    level: Ints
    pe_clock: Ints
    pe_bus: Ints
    mem: Ints
    mem_width: Ints
    mem_clock: Ints
    mem_bus: Ints
    width: Ints
    bus_clock: Ints
    up: Ints
    host: Ints
    store: Ints


class Coding:
    """The design space of a workload on p processors, b buses and m memories, all of them optional."""

    def __init__(self, workload: Workload, pes: int, buses: int, memories: int) -> None:
        self.workload = workload
        self.real = workload.real
        self.writers = np.unique(workload.parent)
        bus, pe, mem = (list(range(count)) for count in (buses, pes, memories))
        groups: list[dict[str, Parameter]] = [
            {f"pe{i}": Categorical(["none", "core", "accelerator"]) for i in pe},
            {f"pe{i}_unroll": Integer(0, LEVELS - 1) for i in pe},
            {f"pe{i}_clock": Ordinal(CLOCKS, unit="MHz") for i in pe},
            {f"pe{i}_bus": Categorical(bus) for i in pe},
            {f"mem{i}": Categorical(["none", "sram", "dram"]) for i in mem},
            {f"mem{i}_width": Ordinal(WIDTHS, unit="B") for i in mem},
            {f"mem{i}_clock": Ordinal(CLOCKS, unit="MHz") for i in mem},
            {f"mem{i}_bus": Categorical(bus) for i in mem},
            {f"bus{i}_width": Ordinal((0, *WIDTHS), unit="B") for i in bus},
            {f"bus{i}_clock": Ordinal(CLOCKS, unit="MHz") for i in bus},
            {f"bus{i}_up": Categorical(["none", *(f"bus{j}" for j in bus)]) for i in bus},
            {f"{workload.tasks[t]}_pe": Categorical(pe) for t in self.real},
            {f"{workload.tasks[t]}_data": Categorical(mem) for t in self.writers},
        ]
        self.space = DesignSpace({name: p for group in groups for name, p in group.items()})
        self._stops = np.cumsum([len(group) for group in groups])
        self._levels = np.array([_filled(unrolled(workload.iterations[t])) for t in self.real], dtype=np.float64)

    @cached_property
    def _stands_for(self) -> Ints:
        """(T,) the real task (its place among those) on whose processor each task is; a mark is with a neighbour."""
        work = self.workload
        place = {int(t): i for i, t in enumerate(self.real)}
        found = np.zeros(len(work), dtype=np.int64)
        for t in range(len(work)):
            near = [t, *work.child[work.parent == t], *work.parent[work.child == t]]
            found[t] = next((place[int(s)] for s in near if int(s) in place), 0)
        return found

    @cached_property
    def _writer(self) -> Ints:
        """(E,) place of the parent of each edge among the writers."""
        return np.searchsorted(self.writers, self.workload.parent)

    def parts(self, designs: Array) -> Parts:
        """designs: (n, d) -> what they say."""
        whole = np.array(designs, dtype=np.int64, order="F")
        return Parts(*np.split(whole, self._stops[:-1], axis=1))

    def join(self, parts: Parts) -> Array:
        """The designs (n, d) that say this."""
        return np.concatenate(list(vars(parts).values()), axis=1).astype(np.float64)

    # What is wrong ----------------------------------------------------------------------------------------------------

    def violations(self, designs: Array) -> Ints:
        """How far designs (n, d) are from valid ones.

        Returns:
            (n, 3) how many tasks, data and used blocks are on a block that is not there; how many tasks are on an
            accelerator that is not made for them; how many reads and writes have no way to their memory.
        """
        parts = self.parts(designs)
        pe, mem, bus = parts.pe != NONE, parts.mem != NONE, parts.width > 0
        placed = _pick(pe, parts.host)
        stored = _pick(mem, parts.store)
        hosts = hosting(parts.host, pe.shape[1]).any(axis=2) & pe
        stores = hosting(parts.store, mem.shape[1]).any(axis=2) & mem
        adrift = (hosts & ~_pick(bus, parts.pe_bus)).sum(axis=1) + (stores & ~_pick(bus, parts.mem_bus)).sum(axis=1)
        unplaced = (~placed).sum(axis=1) + (~stored).sum(axis=1) + adrift
        unfit = self._unfit(parts).sum(axis=1)
        return np.stack([unplaced, unfit, self._lost(parts).sum(axis=1)], axis=1)

    def _unfit(self, parts: Parts) -> Flags:
        """(n, r) real tasks on an accelerator of another: it is for the first task on it that can have one."""
        special = _pick(parts.pe == ACCELERATOR, parts.host)
        able = np.isfinite(self.workload.ip_seconds[self.real])
        fits = hosting(parts.host, parts.pe.shape[1]) & able
        first = _pick(fits.argmax(axis=2), parts.host) == np.arange(len(self.real))
        return np.asarray(special & ~(first & able))

    def _lost(self, parts: Parts) -> Flags:
        """(n, 2 E) reads and writes of real tasks without a way, between blocks on buses that are all there."""
        work = self.workload
        bus = parts.width > 0
        reach = _closure(self.links(parts))
        memory = parts.store[:, self._writer]
        ready = _pick(parts.mem != NONE, memory) & _pick(bus, _pick(parts.mem_bus, memory))
        far = []
        for ends in (work.parent, work.child):
            pe = parts.host[:, self._stands_for[ends]]
            there = _pick(parts.pe != NONE, pe) & _pick(bus, _pick(parts.pe_bus, pe)) & ~work.dummy[ends]
            way = reach[np.arange(len(reach))[:, None], _pick(parts.pe_bus, pe), _pick(parts.mem_bus, memory)]
            far.append(there & ready & ~way)
        return np.concatenate(far, axis=1)

    def links(self, parts: Parts) -> Flags:
        """(n, b, b) which buses are connected; none with itself."""
        buses = parts.width.shape[1]
        joined = (parts.up[:, :, None] - 1 == np.arange(buses)) & ~np.eye(buses, dtype=bool)
        there = parts.width > 0
        joined &= there[:, :, None] & there[:, None, :]
        return np.asarray(joined | joined.transpose(0, 2, 1))

    # Repair -----------------------------------------------------------------------------------------------------------

    def repair(self, designs: Array) -> Array:
        """designs: (n, d) -> valid ones nearby; valid designs stay as they are.

        What is on a block that is not there moves to the next that is. Tasks that an accelerator is not made for move
        to the next core; where there is none, the accelerator becomes one. Where a way is missing, the buses that
        cannot reach the first one are linked to it. A kind of block of which there is none gets its first one.
        """
        parts = self.parts(designs)
        parts.pe[~(parts.pe != NONE).any(axis=1), 0] = CORE
        parts.mem[~(parts.mem != NONE).any(axis=1), 0] = SRAM
        parts.width[~(parts.width > 0).any(axis=1), 0] = WIDTHS[3]
        parts.host[:] = _pick(_next(parts.pe != NONE), parts.host)
        parts.store[:] = _pick(_next(parts.mem != NONE), parts.store)
        # A block that hosts nothing is left where it is: it disturbs nobody.
        next_bus = _next(parts.width > 0)
        unfit = self._unfit(parts)
        core = parts.pe == CORE
        turned = unfit.any(axis=1) & ~core.any(axis=1)
        rows, tasks = np.nonzero(unfit & turned[:, None])
        parts.pe[rows, parts.host[rows, tasks]] = CORE
        rows, tasks = np.nonzero(unfit & ~turned[:, None])
        parts.host[rows, tasks] = _next(core)[rows, parts.host[rows, tasks]]
        hosts = hosting(parts.host, parts.pe.shape[1]).any(axis=2)
        stores = hosting(parts.store, parts.mem.shape[1]).any(axis=2)
        parts.pe_bus[:] = np.where(hosts, _pick(next_bus, parts.pe_bus), parts.pe_bus)
        parts.mem_bus[:] = np.where(stores, _pick(next_bus, parts.mem_bus), parts.mem_bus)
        lost = self._lost(parts).any(axis=1)
        if lost.any():
            root = next_bus[:, 0]
            reach = _closure(self.links(parts))[np.arange(len(root)), root]
            loose = np.reshape(lost, (-1, 1)) & (parts.width > 0) & ~reach
            parts.up[:] = np.where(loose, 1 + root[:, None], parts.up)
        return self.join(parts)

    # Meaning ----------------------------------------------------------------------------------------------------------

    def system(self, designs: Array) -> System:
        """designs: (n, d), valid -> the systems that they describe."""
        work, parts = self.workload, self.parts(designs)
        n, pes = parts.pe.shape
        hosts = hosting(parts.host, pes)
        core, special = parts.pe == CORE, parts.pe == ACCELERATOR
        task = hosts.argmax(axis=2)  # the one of an accelerator
        there = core | (special & hosts.any(axis=2))  # an accelerator for nothing is not built
        index = self.real[task]
        unroll = self._levels[task, parts.level]
        with np.errstate(invalid="ignore", divide="ignore"):
            rate = unroll * parts.pe_clock / CLOCKS[0] * work.work[index] / work.ip_seconds[index]
            joule = work.ip_energy[index] * 1e-15 * ENERGY_SCALE * unroll / work.work[index]
        special &= there

        def hertz(mhz: Ints) -> Array:
            return mhz.astype(np.float64) * 1e6

        dram = parts.mem == DRAM
        order = np.arange(len(work), dtype=np.int64)
        return System(
            pe_bus=np.ascontiguousarray(parts.pe_bus), mem_bus=np.ascontiguousarray(parts.mem_bus),
            links=self.links(parts),
            pe_rate=np.where(special, rate, CORE_RATE),
            bus_rate=parts.width * hertz(parts.bus_clock), mem_rate=parts.mem_width * hertz(parts.mem_clock),
            pe_joule=np.where(special, joule, 1 / CORE_PER_J),
            bus_joule=np.full(parts.width.shape, 1 / FARSI_PER_J["bus"]),
            mem_joule=np.where(dram, 1 / FARSI_PER_J["dram"], 1 / FARSI_PER_J["sram"]),
            pe_m2=np.where(special, work.ip_area_m2[index] * unroll * AREA_SCALE, CORE_M2),
            mem_m2_per_byte=np.where(dram, 1 / FARSI_PER_M2["dram"], 1 / FARSI_PER_M2["sram"]),
            pe_hz=hertz(parts.pe_clock), bus_hz=hertz(parts.bus_clock), mem_hz=hertz(parts.mem_clock),
            bus_width=parts.width.astype(np.float64), pe_core=~special, mem_dram=dram,
            pe_there=there, bus_there=parts.width > 0, mem_there=parts.mem != NONE,
            task_pe=parts.host[:, self._stands_for], edge_mem=parts.store[:, self._writer],
            order=np.broadcast_to(order, (n, len(order))).copy(),
        )  # fmt: skip


def _pick(values: NDArray[Any], places: Ints) -> NDArray[Any]:
    """values: (n, k), places: (n, q) -> (n, q) the values there."""
    return np.take_along_axis(values, places, axis=1)


def hosting(places: Ints, blocks: int) -> Flags:
    """places: (n, q) -> (n, blocks, q) whether each is there."""
    return np.asarray(places[:, None, :] == np.arange(blocks)[:, None])


def _next(there: Flags) -> Ints:
    """there: (n, k) -> (n, k) each place itself if it is taken, else the next that is, after the last the first."""
    k = there.shape[1]
    turned = np.stack([np.roll(there, -i, axis=1) for i in range(k)], axis=2)
    return np.asarray((turned.argmax(axis=2) + np.arange(k)) % k)


def _closure(links: Flags) -> Flags:
    """links: (n, b, b) -> (n, b, b) which buses can be reached, itself included."""
    reach = links | np.eye(links.shape[1], dtype=bool)
    for via in range(links.shape[1]):
        reach |= reach[:, :, via, None] & reach[:, None, via, :]
    return np.asarray(reach)


def _filled(variants: list[int]) -> list[int]:
    """Variants by level; levels beyond the last are the last."""
    return [variants[min(level, len(variants) - 1)] for level in range(LEVELS)]
