"""Design of a systolic array accelerator for the layers of a network.

References: docs/environments/systolic.md; [Samajdar2020] ISPASS (SCALE-Sim); [Horowitz2014] ISSCC, "Computing's energy
problem" (energies, 45 nm); [Kao2020] ICCAD, GAMMA (areas).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from os import PathLike
from typing import Any, Literal

import numpy as np

from designopt import Categorical, Constraint, DesignEnv, DesignSpace, Evaluation, Objective, Ordinal, Reference
from designopt.envs.hardware.layers import COLUMNS, Integers, LayerTable, layer_table
from designopt.envs.hardware.simulators.tool import Tool
from designopt.envs.hardware.systolic_counts import Counts, count
from designopt.envs.hardware.systolic_optima import OPTIMA
from designopt.parameters import Array, suggest

PJ_PER_MAC = 0.3
"""8-bit multiplication 0.2 pJ, 32-bit addition 0.1 pJ [Horowitz2014]."""

PJ_PER_DRAM_BYTE = 162.5
"""1.3 nJ for 64 bits, the low end of [Horowitz2014]."""

PE_MM2, SRAM_MM2_PER_KB = 282e-6, 8 * 1024 * 0.086e-6
"""Processing element 282 um2, SRAM 0.086 um2 a bit [Kao2020]."""

CELLS = 2**14
"""Designs times layers worked on at once, so that the intermediate arrays stay in the cache."""

GOALS = {
    "latency": (Objective("latency_cycles", "min", unit="cycles"),),
    "energy": (Objective("energy_uj", "min", unit="uJ"),),
    "edp": (Objective("edp", "min", unit="uJ cycles"),),
    "pareto": (Objective("latency_cycles", "min", unit="cycles"), Objective("energy_uj", "min", unit="uJ")),
}


def sram_pj_per_byte(kb: Array) -> Array:
    """(n,) sizes in KB -> energy of an access: 10 pJ for 64 bits of 8 KB [Horowitz2014], growing as the square root."""
    return np.asarray(1.25 * np.sqrt(kb / 8))


class SystolicArray(DesignEnv):
    """Latency and energy of a network on a systolic array with three double-buffered SRAMs, within an area.

    Design: rows and columns of the array, dataflow (weights, outputs or inputs stay in the array), sizes of the SRAMs
    of input maps, filters and output maps (KB), off-chip bandwidth (bytes a cycle). 551 124 designs.

    Metrics, sums over layers: ``cycles``, ``ifmap_sram_reads``, ``filter_sram_reads``, ``ofmap_sram_writes`` as
    SCALE-Sim 2.0.2 counts them; ``dram_reads``, ``dram_writes`` (bytes), ``latency_cycles`` (a layer takes the longer
    of its cycles and its off-chip transfers), ``energy_uj``, ``edp``, ``area_mm2``, ``utilization`` of the array.

    Constraints: ``area`` (mm2 above the budget), ``stationary_tile`` (the operand that stays, one fold of it, must fit
    in half of its SRAM, to be loaded while the other half is in use; KB too many).

    Args:
        layers: name of a network, path of a CSV file, or a list of dictionaries, see
            ``designopt.envs.hardware.layers.layer_table``.
        goal: "latency", "energy", "edp" (energy times latency), or "pareto" for latency and energy at once.
        area_budget_mm2: of the array and its SRAMs.
        simulator, tool: "scalesim" runs SCALE-Sim itself for cycles and SRAM accesses, see
            docs/environments/simulators.md.
        render_mode: None or "ansi".

    Raises:
        ValueError: layers that cannot be read, an unknown goal, or a budget that is not positive.
    """

    design_space = DesignSpace(
        array_rows=Ordinal([2**k for k in range(2, 8)]),
        array_cols=Ordinal([2**k for k in range(2, 8)]),
        dataflow=Categorical(["ws", "os", "is"]),
        ifmap_sram_kb=Ordinal([2**k for k in range(3, 12)], unit="KB"),
        filter_sram_kb=Ordinal([2**k for k in range(3, 12)], unit="KB"),
        ofmap_sram_kb=Ordinal([2**k for k in range(3, 12)], unit="KB"),
        bandwidth=Ordinal([2**k for k in range(7)], unit="B/cycle"),
    )
    constraints = (Constraint("area", unit="mm2"), Constraint("stationary_tile", unit="KB"))
    cost_model = "SCALE-Sim 2.0.2 in closed form; off-chip traffic, energy and area: designopt 1"

    def __init__(
        self,
        layers: str | PathLike[str] | Iterable[Mapping[str, Any]] = "resnet18",
        goal: str = "latency",
        area_budget_mm2: float = 2.0,
        simulator: Literal["scalesim"] | None = None,
        tool: Tool | None = None,
        render_mode: str | None = None,
    ) -> None:
        super().__init__(render_mode)
        if goal not in GOALS:
            raise ValueError(f"goal = {goal!r}; {suggest(goal, GOALS)}")
        if not (np.isfinite(area_budget_mm2) and area_budget_mm2 > 0):
            raise ValueError(f"area_budget_mm2 = {area_budget_mm2}; it must be positive")
        if simulator not in (None, "scalesim"):
            raise ValueError(f"simulator = {simulator!r}; {suggest(simulator, ['scalesim'])}")
        if simulator and tool is None:
            raise ValueError("simulator = 'scalesim' needs its tool")
        self.tool = tool if simulator else None
        if self.tool is not None:
            self.cost_model = f"SCALE-Sim, {self.tool.version}; off-chip traffic, energy and area: designopt 1"
        self.layers = layer_table(layers)
        self.workload = str(layers) if isinstance(layers, str | PathLike) else "own layers"
        self._outputs = int((self.layers.pixels * self.layers.num_filters * self.layers.repeat).sum())
        self.goal = goal
        self.area_budget_mm2 = area_budget_mm2
        self.objectives = GOALS[goal]
        published = isinstance(layers, str) and area_budget_mm2 == 2.0 and not simulator
        known = OPTIMA.get((str(layers), goal)) if published else None
        self.reference = None if known is None else Reference("enumeration of all designs", *known)

    def evaluate(self, designs: Array) -> Evaluation:
        """designs: (n, 7) -> objectives (n, 1 or 2), constraints (n, 2) and the metrics of the class."""
        designs = np.asarray(designs, dtype=np.float64)
        rows, columns, dataflow, ifmap_kb, filter_kb, ofmap_kb, _ = designs.T
        totals = self._totals(designs.astype(np.int64))
        energy = self._energy_uj(totals, ifmap_kb, filter_kb, ofmap_kb)
        area = rows * columns * PE_MM2 + (ifmap_kb + filter_kb + ofmap_kb) * SRAM_MM2_PER_KB
        stationary_kb = np.choose(dataflow.astype(np.int64), [filter_kb, ofmap_kb, ifmap_kb])
        metrics: dict[str, Any] = {
            "cycles": totals["cycles"],
            "ifmap_sram_reads": totals["ifmap_sram_reads"],
            "filter_sram_reads": totals["filter_sram_reads"],
            "ofmap_sram_writes": totals["ofmap_sram_writes"],
            "dram_reads": totals["dram_ifmap_reads"] + totals["dram_filter_reads"] + totals["dram_sum_reads"],
            "dram_writes": totals["dram_writes"],
            "latency_cycles": totals["latency_cycles"].astype(np.float64),
            "energy_uj": energy,
            "edp": energy * totals["latency_cycles"],
            "area_mm2": area,
            "utilization": self.layers.macs / (rows * columns * totals["cycles"]),
        }
        objectives = np.stack([metrics.pop(objective.name) for objective in self.objectives], axis=1)
        constraints = np.stack([area - self.area_budget_mm2, rows * columns / 1024 - stationary_kb / 2], axis=1)
        return Evaluation(objectives, constraints, metrics)

    def step(self, action: Any) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        """As for every design environment; ``info`` also names the cost model."""
        observation, reward, terminated, truncated, info = super().step(action)
        return observation, reward, terminated, truncated, info | {"cost_model": self.cost_model}

    def counts(self, designs: Array) -> Counts:
        """designs: (n, 7) -> counts of one run of each layer of ``self.layers``, (n, L)."""
        *knobs, _ = np.asarray(designs, dtype=np.int64).T
        return self._count(self.layers, *knobs)

    def _count(self, layers: LayerTable, *knobs: Integers) -> Counts:
        counts = count(layers, *knobs)
        if self.tool is None:
            return counts
        from designopt.envs.hardware.simulators import scalesim

        reports = [
            [
                scalesim.run(
                    self.tool, {column: int(getattr(layers, column)[i]) for column in COLUMNS}, int(rows), int(columns),
                    ("ws", "os", "is")[flow], (int(ifmap_kb), int(filter_kb), int(ofmap_kb)),
                )
                for i in range(len(layers))
            ]
            for rows, columns, flow, ifmap_kb, filter_kb, ofmap_kb in zip(*knobs, strict=True)
        ]  # fmt: skip
        measured = {
            field.name: np.array([[getattr(report, field.name) for report in row] for row in reports], dtype=np.int64)
            for field in fields(scalesim.Report)
        }
        return replace(counts, **measured)

    def _totals(self, designs: Integers) -> dict[str, Integers]:
        """(n, 7) -> name -> (n,), sums over layers. Integers, so that the order of summation does not matter."""
        layers = self.layers.distinct
        names = tuple(field.name for field in fields(Counts))
        totals = {name: np.empty(len(designs), dtype=np.int64) for name in (*names, "latency_cycles")}
        step = max(CELLS // len(layers), 1)
        for start in range(0, len(designs), step):
            rows = slice(start, start + step)
            *knobs, bandwidth = designs[rows].T
            counts = self._count(layers, *knobs)
            for name in names:
                totals[name][rows] = getattr(counts, name) @ layers.repeat
            moved = counts.dram_ifmap_reads + counts.dram_filter_reads + counts.dram_sum_reads + counts.dram_writes
            totals["latency_cycles"][rows] = np.maximum(counts.cycles, -(-moved // bandwidth[:, None])) @ layers.repeat
        return totals

    def _energy_uj(self, totals: dict[str, Integers], ifmap_kb: Array, filter_kb: Array, ofmap_kb: Array) -> Array:
        """Of the arithmetic, the DRAM, and each access of an SRAM; words to or from the DRAM pass through one."""
        maps = totals["ifmap_sram_reads"] + totals["dram_ifmap_reads"]
        filters = totals["filter_sram_reads"] + totals["dram_filter_reads"]
        # A partial sum is read to be added to: every write but the first of each output comes with a read.
        sums = 2 * totals["outputs"] - self._outputs + totals["dram_sum_reads"] + totals["dram_writes"]
        sram = maps * sram_pj_per_byte(ifmap_kb) + filters * sram_pj_per_byte(filter_kb)
        moved = totals["dram_ifmap_reads"] + totals["dram_filter_reads"] + totals["dram_sum_reads"]
        dram = (moved + totals["dram_writes"]) * PJ_PER_DRAM_BYTE
        return np.asarray((self.layers.macs * PJ_PER_MAC + sram + sums * sram_pj_per_byte(ofmap_kb) + dram) / 1e6)
