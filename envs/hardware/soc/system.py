"""Systems on a chip as arrays: processors, buses, memories, and where tasks and data are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from designopt.envs.hardware.soc import physics
from designopt.envs.hardware.soc.graph import SPELLINGS, Workload
from designopt.parameters import Array, suggest

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

KINDS = {"pe": ("gpp", "ip"), "mem": ("sram", "dram"), "ic": ("ic",)}


@dataclass(frozen=True)
class System:
    """n systems with places for p processors, b buses and m memories, and mappings of T tasks and E edges.

    Attributes:
        pe_bus (n, p), mem_bus (n, m): the bus of each block. links (n, b, b): which buses are connected.
        pe_rate (n, p) instructions a second; bus_rate (n, b), mem_rate (n, m) bytes a second, of each direction.
        pe_joule, bus_joule, mem_joule: J an instruction or byte, FARSI's. pe_m2: area. mem_m2_per_byte: FARSI's.
        pe_hz, bus_hz, mem_hz: clocks. bus_width: bytes.
        pe_core: whether a processor runs everything; mem_dram; pe_there, bus_there, mem_there: if a place is taken.
        task_pe (n, T), edge_mem (n, E): the mapping. order (n, T): tasks in order of launch.
        pe_names, bus_names, mem_names: of one described system.
    """

    pe_bus: Ints
    mem_bus: Ints
    links: Flags
    pe_rate: Array
    bus_rate: Array
    mem_rate: Array
    pe_joule: Array
    bus_joule: Array
    mem_joule: Array
    pe_m2: Array
    mem_m2_per_byte: Array
    pe_hz: Array
    bus_hz: Array
    mem_hz: Array
    bus_width: Array
    pe_core: Flags
    mem_dram: Flags
    pe_there: Flags
    bus_there: Flags
    mem_there: Flags
    task_pe: Ints
    edge_mem: Ints
    order: Ints
    pe_names: tuple[str, ...] = ()
    bus_names: tuple[str, ...] = ()
    mem_names: tuple[str, ...] = ()

    def arrays(self, model: str) -> tuple[Any, ...]:
        """What the compiled simulation reads, with the energies of the model."""
        joules = (self.pe_joule, self.bus_joule, self.mem_joule)
        if model == "corrected":
            joules = physics.pe_joule(self), physics.bus_joule(self), physics.mem_joule(self)
        return (
            self.pe_bus, self.mem_bus, self.links, self.pe_rate, self.bus_rate, self.mem_rate, *joules, self.task_pe,
            self.edge_mem, self.order,
        )  # fmt: skip

    @classmethod
    def of(cls, description: Mapping[str, Any], workload: Workload) -> System:
        """One system from its description, see ``simulate``.

        Raises:
            ValueError: anything missing, unknown or unreachable; it is named.
        """
        for key in ("blocks", "links", "task_to_pe", "edge_to_mem"):
            if key not in description:
                raise ValueError(f"description: missing {key!r}; it has {', '.join(map(str, description))}")
        blocks = description["blocks"]
        names: dict[str, list[str]] = {kind: [] for kind in KINDS}
        for name, block in blocks.items():
            _check_block(name, block)
            names[block["type"]].append(name)
        for kind, found in names.items():
            if not found:
                raise ValueError(f"description: no block of type {kind!r}")
        pes, buses, memories = names["pe"], names["ic"], names["mem"]
        links, bus_of = _connect(description["links"], blocks, buses)
        for name in [*pes, *memories]:
            if name not in bus_of:
                raise ValueError(f"description: {name!r} is linked to no bus")
        task_pe = _tasks_to_pes(description["task_to_pe"], workload, blocks, pes)
        edge_mem = _edges_to_memories(description["edge_to_mem"], workload, blocks, memories)
        pe_bus, mem_bus = (np.array([bus_of[name] for name in kind]) for kind in (pes, memories))
        _check_reach(workload, links, pe_bus[task_pe], mem_bus[edge_mem], edge_mem, memories)

        def column(kind: list[str], field: str, default: float | None = None) -> Array:
            return np.array([[float(blocks[name].get(field, default)) for name in kind]])

        work = np.bincount(task_pe, weights=workload.work, minlength=len(pes))
        for i, name in enumerate(pes):
            made_for = _made_for(blocks[name], workload)
            if work[i] == 0 and made_for is not None:
                work[i] = workload.work[workload.tasks.index(made_for)]
        core = np.array([[blocks[name]["subtype"] == "gpp" for name in pes]])
        with np.errstate(divide="ignore"):
            pe_m2 = np.where(core, 1.0, work) / column(pes, "work_per_m2")
        return cls(
            pe_bus=pe_bus[None], mem_bus=mem_bus[None], links=links[None],
            pe_rate=column(pes, "peak_rate"), bus_rate=column(buses, "peak_rate"),
            mem_rate=column(memories, "peak_rate"),
            pe_joule=1 / column(pes, "work_per_J"), bus_joule=1 / column(buses, "work_per_J"),
            mem_joule=1 / column(memories, "work_per_J"),
            pe_m2=pe_m2, mem_m2_per_byte=1 / column(memories, "work_per_m2"),
            pe_hz=column(pes, "clock_hz", 1e8), bus_hz=column(buses, "clock_hz", 1e8),
            mem_hz=column(memories, "clock_hz", 1e8), bus_width=column(buses, "width_bytes", 4.0),
            pe_core=core, mem_dram=np.array([[blocks[name]["subtype"] == "dram" for name in memories]]),
            pe_there=np.ones((1, len(pes)), bool), bus_there=np.ones((1, len(buses)), bool),
            mem_there=np.ones((1, len(memories)), bool),
            task_pe=task_pe[None], edge_mem=edge_mem[None],
            order=_order(description.get("launch_order"), workload)[None],
            pe_names=tuple(pes), bus_names=tuple(buses), mem_names=tuple(memories),
        )  # fmt: skip


def _check_block(name: str, block: Mapping[str, Any]) -> None:
    place = f"description: block {name!r}"
    kind = block.get("type")
    if kind not in KINDS:
        raise ValueError(f"{place}: type = {kind!r}; {suggest(kind, KINDS)}")
    if block.get("subtype") not in KINDS[kind]:
        raise ValueError(f"{place}: subtype = {block.get('subtype')!r}; {suggest(block.get('subtype'), KINDS[kind])}")
    needed = ["peak_rate", "work_per_J", *(["work_per_m2"] if kind != "ic" else [])]
    for field in [*needed, *(f for f in ("clock_hz", "width_bytes") if f in block)]:
        value = block.get(field)
        if not isinstance(value, Real) or not 0 < float(value) < np.inf:
            raise ValueError(f"{place}: {field} = {value!r}; it must be a positive number")


def _connect(links: Any, blocks: Mapping[str, Any], buses: list[str]) -> tuple[Flags, dict[str, int]]:
    """-> which buses are connected, and the bus of each processor and memory."""
    connected = np.zeros((len(buses), len(buses)), dtype=bool)
    bus_of: dict[str, int] = {}
    for link in links:
        for name in link:
            if name not in blocks:
                raise ValueError(
                    f"description: link {list(link)} names the unknown block {name!r}; {suggest(name, blocks)}"
                )
        ends = [name for name in link if name in buses]
        leaves = [name for name in link if name not in buses]
        if len(link) != 2 or not ends:
            raise ValueError(f"description: link {list(link)} must join two buses, or a bus and another block")
        if leaves:
            bus = buses.index(ends[0])
            if bus_of.setdefault(leaves[0], bus) != bus:
                raise ValueError(f"description: {leaves[0]!r} is linked to two buses; it may have one")
        else:
            i, j = map(buses.index, ends)
            connected[i, j] = connected[j, i] = True
    return connected, bus_of


def _made_for(block: Mapping[str, Any], workload: Workload) -> str | None:
    """The task in the name of an accelerator, TASK_IP0_UNROLL_CLOCK; None when it names none of this workload."""
    task = str(block.get("lib", "")).rpartition("_IP")[0]
    return task if block["subtype"] == "ip" and task in workload.tasks else None


def _tasks_to_pes(mapping: Mapping[str, str], workload: Workload, blocks: Mapping[str, Any], pes: list[str]) -> Ints:
    placed = {SPELLINGS.get(task, task): block for task, block in mapping.items()}
    for task in placed:
        if task not in workload.tasks:
            raise ValueError(
                f"description: task_to_pe names the unknown task {task!r}; {suggest(task, workload.tasks)}"
            )
    hosted: dict[str, str] = {}
    for task, dummy in zip(workload.tasks, workload.dummy, strict=True):
        if task not in placed:
            raise ValueError(f"description: task {task!r} is on no processor")
        block = placed[task]
        if block not in pes:
            raise ValueError(
                f"description: task {task!r} is on {block!r}, which is no processor; {suggest(block, pes)}"
            )
        if blocks[block]["subtype"] == "gpp" or dummy:
            continue
        if hosted.setdefault(block, task) != task:
            raise ValueError(f"description: accelerator {block!r} runs both {hosted[block]!r} and {task!r}")
        if _made_for(blocks[block], workload) not in (None, task):
            raise ValueError(f"description: accelerator {block!r} ({blocks[block]['lib']}) cannot run {task!r}")
    return np.array([pes.index(placed[task]) for task in workload.tasks], dtype=np.int64)


def _edges_to_memories(
    mapping: Mapping[str, str], workload: Workload, blocks: Mapping[str, Any], memories: list[str]
) -> Ints:
    placed: dict[tuple[str, ...], str] = {}
    for edge, block in mapping.items():
        placed[tuple(SPELLINGS.get(end.strip(), end.strip()) for end in edge.split("->"))] = block
    edges = [(workload.tasks[p], workload.tasks[c]) for p, c in zip(workload.parent, workload.child, strict=True)]
    for named in placed:
        if named not in edges:
            raise ValueError(f"description: edge_to_mem names the unknown edge {'->'.join(named)!r}")
    found = []
    for ends in edges:
        if ends not in placed:
            raise ValueError(f"description: edge {'->'.join(ends)!r} is in no memory")
        block = placed[ends]
        if block not in memories:
            raise ValueError(
                f"description: edge {'->'.join(ends)!r} is in {block!r}, which is no memory; {suggest(block, memories)}"
            )
        found.append(memories.index(block))
    return np.array(found, dtype=np.int64)


def _check_reach(
    workload: Workload, links: Flags, bus_of_task: Ints, bus_of_edge: Ints, edge_mem: Ints, memories: list[str]
) -> None:
    from designopt.envs.hardware.soc import kernel

    before = np.empty(links.shape, dtype=np.int64)
    kernel.routes(links, before)
    for ends in (workload.parent, workload.child):
        for edge in np.flatnonzero(before[bus_of_task[ends], bus_of_edge] < 0):
            if not workload.dummy[ends[edge]]:
                task, memory = workload.tasks[ends[edge]], memories[edge_mem[edge]]
                raise ValueError(f"description: task {task!r} has no way over buses to memory {memory!r}")


def _order(order: Any, workload: Workload) -> Ints:
    if order is None:
        return np.arange(len(workload), dtype=np.int64)
    order = [SPELLINGS.get(task, task) for task in order]
    if sorted(order) != sorted(workload.tasks):
        odd = sorted(set(order) ^ set(workload.tasks)) or sorted({task for task in order if order.count(task) > 1})
        raise ValueError(f"description: launch_order must name every task once; look at {', '.join(map(repr, odd))}")
    return np.array([workload.tasks.index(task) for task in order], dtype=np.int64)
