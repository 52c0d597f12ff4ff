"""What a described system on a chip does with a workload: FARSI's numbers, or corrected ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from typing import Any, Literal

import numpy as np

from designopt.envs.hardware.soc.graph import Workload
from designopt.envs.hardware.soc.physics import costs, farsi_costs
from designopt.envs.hardware.soc.system import System
from designopt.envs.hardware.soc.workload import workload_of
from designopt.parameters import Array, suggest

Model = Literal["farsi", "corrected"]
MODELS = ("farsi", "corrected")


@dataclass(frozen=True)
class Outcome:
    """What n systems do with one workload of T tasks; p, b, m: places for processors, buses and memories.

    Attributes:
        ends: (n, T) seconds at which each task ends.
        pe_work: (n, p) instructions; bus_work: (n, b), mem_work: (n, m) bytes that moved.
        peak_bytes: (n, m) most that each memory holds.
        dynamic_power: (n,) W, largest mean power of a window of 10 ms, without leakage.
        slowed: (n, T, p + b + m) seconds for which each block was what limited each task; (0, ...) unless asked for.
        spent: (n, T, p + b + m) J of each task on each block, without leakage; likewise.
    """

    ends: Array
    pe_work: Array
    bus_work: Array
    mem_work: Array
    peak_bytes: Array
    dynamic_power: Array
    slowed: Array
    spent: Array

    @property
    def arrays(self) -> tuple[Array, ...]:
        """What the compiled simulation fills."""
        return (
            self.ends, self.pe_work, self.bus_work, self.mem_work, self.peak_bytes, self.dynamic_power, self.slowed,
            self.spent,
        )  # fmt: skip


def run(workload: Workload, system: System, model: Model, fifo: bool | None = None, *, detail: bool = False) -> Outcome:
    """Simulate n systems, all of which must be valid: every task and every edge placed, every route there.

    ``fifo``: whether waiting tasks run in the order in which they became ready; None: as the model does. ``detail``:
    also say what limited each task and where it spent energy.
    """
    from designopt.envs.hardware.soc import kernel

    n, pes = system.pe_bus.shape
    buses, memories = system.bus_rate.shape[1], system.mem_bus.shape[1]
    by_block = (n if detail else 0, len(workload), pes + buses + memories)
    shapes = (n, len(workload)), (n, pes), (n, buses), (n, memories), (n, memories), (n,), by_block, by_block
    outcome = Outcome(*map(np.zeros, shapes))
    corrected = model == "corrected"
    kernel.simulate_all(
        workload.arrays, system.arrays(model), corrected, corrected if fifo is None else fifo, outcome.arrays
    )
    return outcome


@dataclass(frozen=True)
class SoCResult:
    """What one system does with one workload.

    Attributes:
        latency: seconds; FARSI: end of the workload's last task; corrected: end of all tasks.
        task_end_times: task -> seconds.
        energy: J, of everything; energy_pe: of the processors and accelerators.
        power: W; FARSI: largest mean of its windows; corrected: of any 10 ms, leakage included.
        area: m2.
        energy_by_block, area_by_block: block -> J, m2; corrected energies include leakage.
        work_by_block: block -> instructions of a processor, bytes of a bus or memory.
        mem_peak_bytes: memory -> most bytes that it holds.
        model: "farsi" or "corrected".
    """

    latency: float
    task_end_times: dict[str, float]
    energy: float
    energy_pe: float
    power: float
    area: float
    energy_by_block: dict[str, float]
    area_by_block: dict[str, float]
    work_by_block: dict[str, float]
    mem_peak_bytes: dict[str, float]
    model: Model


def simulate(
    description: Mapping[str, Any],
    workload: str | PathLike[str] | Mapping[str, Any] | Workload | None = None,
    *,
    model: Model = "farsi",
    fifo: bool | None = None,
) -> SoCResult:
    """Simulate one exactly described design.

    Args:
        description: ``blocks``: name -> {type: "pe", "mem" or "ic", subtype: "gpp", "ip", "sram", "dram" or "ic",
            peak_rate (instructions or bytes a second), work_per_J, work_per_m2, for the corrected model also clock_hz
            and, of a bus, width_bytes}; ``links``: pairs of block names; ``task_to_pe``: task -> block;
            ``edge_to_mem``: "parent->child" -> block; optionally ``launch_order``: in which tasks that become ready at
            the same time are launched (default: that of the workload), and ``workload``: its name.
        workload: see ``workload_of``; None: the one that the description names.
        model: "farsi" or "corrected", see docs/environments/soc.md.
        fifo: whether waiting tasks run in the order in which they became ready; None: as the model does (FARSI lets new
            ones overtake, the corrected model does not).

    Raises:
        ValueError: a description that is not complete or not consistent; the block, task or edge is named.
    """
    if model not in MODELS:
        raise ValueError(f"model = {model!r}; {suggest(model, MODELS)}")
    name = str(description.get("workload", ""))
    if workload is None and not name:
        raise ValueError("description: it names no workload; give one")
    graph = workload_of(name if workload is None else workload, name)
    system = System.of(description, graph)
    outcome = run(graph, system, model, fifo)
    cost = (costs if model == "corrected" else farsi_costs)(graph, system, outcome)
    blocks = [*system.pe_names, *system.bus_names, *system.mem_names]

    def by_block(parts: tuple[Array, Array, Array]) -> dict[str, float]:
        return dict(zip(blocks, np.concatenate(parts, axis=1)[0].tolist(), strict=True))

    return SoCResult(
        latency=float(cost.latency[0]),
        task_end_times=dict(zip(graph.tasks, outcome.ends[0].tolist(), strict=True)),
        energy=float(sum(part[0].sum() for part in cost.energy)),
        energy_pe=float(cost.energy[0][0].sum()),
        power=float(cost.power[0]),
        area=float(sum(part[0].sum() for part in cost.area)),
        energy_by_block=by_block(cost.energy),
        area_by_block=by_block(cost.area),
        work_by_block=by_block((outcome.pe_work, outcome.bus_work, outcome.mem_work)),
        mem_peak_bytes=dict(zip(system.mem_names, outcome.peak_bytes[0].tolist(), strict=True)),
        model=model,
    )
