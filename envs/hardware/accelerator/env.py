"""Design of an accelerator for deep networks: processing elements, their scratchpads and the shared buffer.

References: docs/environments/accelerator.md; [Krishnan2023] ISCA, ArchGym (parameters and reward); [Chen2016] ISCA,
Eyeriss (row-stationary dataflow).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from os import PathLike
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from designopt import Categorical, Constraint, DesignEnv, DesignSpace, Evaluation, Objective, Ordinal
from designopt.envs.hardware.accelerator import technology
from designopt.envs.hardware.layers import layer_table
from designopt.envs.hardware.simulators.tool import Tool
from designopt.parameters import Array, Parameter, suggest

BITS = [2**k for k in range(1, 17)]
WIDTHS = [2, 4, 8, 16]

GOALS = {
    "energy": (Objective("energy_uj", unit="uJ"),),
    "latency": (Objective("latency_cycles", unit="cycles"),),
    "area": (Objective("area_mm2", unit="mm2"),),
    "edp": (Objective("edp", unit="uJ cycles"),),
    "pareto": (
        Objective("latency_cycles", unit="cycles"),
        Objective("energy_uj", unit="uJ"),
        Objective("area_mm2", unit="mm2"),
    ),
}
TARGETS = {"energy": 20444.2, "area": 1.7255, "latency": 6308563.2}
"""ArchGym's for AlexNet: 30, 15 and 20 % below its baseline of 29206 (uJ), 2.03 mm2 and 7885704 cycles."""

_METRIC = {"energy": "energy_uj", "area": "area_mm2", "latency": "latency_cycles"}


def _pad(name: str) -> dict[str, Parameter]:
    return {
        f"{name}_class": Categorical(list(technology.CLASSES)),
        f"{name}_depth": Ordinal(BITS),
        f"{name}_block": Ordinal([1, 2, 4]),
        f"{name}_read_bandwidth": Ordinal(WIDTHS),
        f"{name}_write_bandwidth": Ordinal(WIDTHS),
    }


BASELINE = {
    "num_pes": 168, "mesh_x": 14,
    "ifmap_class": "regfile", "ifmap_depth": 16, "ifmap_block": 1, "ifmap_read_bandwidth": 2,
    "ifmap_write_bandwidth": 2,
    "psum_class": "regfile", "psum_depth": 16, "psum_block": 1, "psum_read_bandwidth": 2, "psum_write_bandwidth": 2,
    "weights_class": "regfile", "weights_depth": 256, "weights_block": 1, "weights_read_bandwidth": 2,
    "weights_write_bandwidth": 2,
    "dummy_class": "regfile", "dummy_depth": 16, "dummy_block": 1,
    "buffer_class": "SRAM", "buffer_depth": 16384, "buffer_banks": 32, "buffer_block": 1, "buffer_read_bandwidth": 16,
    "buffer_write_bandwidth": 16,
}  # fmt: skip
"""Eyeriss, with the pads of 12 and 192 words rounded up to the nearest depths of the space."""


class DNNAccelerator(DesignEnv):
    """Energy, latency and area of a network on an Eyeriss-like accelerator; every layer gets its best mapping.

    Design: ArchGym's parameters in its order, 2.15e18 designs: processing elements and columns; class, depth (words of
    16 bits), block and bandwidths (words a cycle) of three pads; class, depth and block of a buffer that no data pass;
    class, depth (words of 64 bits), banks, block and bandwidths of the shared buffer.

    Metrics, sums over layers: ``energy_uj``, ``latency_cycles``, ``area_mm2``, ``edp``, ``macs``, ``dram_reads``,
    ``dram_writes``, ``buffer_reads``, ``buffer_writes`` (words of 16 bits), ``utilization`` of the elements.

    Constraints: ``memory`` (words by which the smallest tile exceeds the memories, the worst layer) and ``array``
    (elements left over by the columns). Values beyond the space are evaluated where they mean anything.

    Args:
        layers: as ``designopt.envs.hardware.layers.layer_table``.
        goal: "energy", "latency", "area", "edp", "pareto" (latency, energy and area), or with ``compat`` "joint".
        dense: keep fully connected layers (input maps of one pixel); ArchGym leaves them out.
        dram_bandwidth: words of 16 bits a cycle.
        compat: "archgym" for its cost, to be minimised: max((x - target) / target, 0), or the sum of the three plus
            0.001 for "joint"; 1e-5 in place of 0, and 500 a metric for a design that cannot hold a tile.
        simulator, tool: "zigzag" searches each layer's mapping with ZigZag itself (extra ``simulators``), see
            docs/environments/simulators.md; a minute or more a design, and words of the buffer and the DRAM are NaN.
        render_mode: None or "ansi".

    Raises:
        ValueError: an argument that is not allowed, or layers that cannot be read or are all dense.
    """

    design_space = DesignSpace(
        num_pes=Ordinal([14 * k for k in range(1, 25)]),
        mesh_x=Ordinal([2, 7, 14]),
        **_pad("ifmap"),
        **_pad("psum"),
        **_pad("weights"),
        dummy_class=Categorical(list(technology.CLASSES)),
        dummy_depth=Ordinal(BITS),
        dummy_block=Ordinal([1, 2, 4]),
        buffer_class=Categorical(list(technology.CLASSES)),
        buffer_depth=Ordinal([2**k for k in range(10, 17)]),
        buffer_banks=Ordinal([16, 32, 64, 128]),
        buffer_block=Ordinal([1, 2, 4]),
        buffer_read_bandwidth=Ordinal(WIDTHS),
        buffer_write_bandwidth=Ordinal(WIDTHS),
    )
    constraints = (Constraint("memory", unit="words"), Constraint("array"))
    cost_model = "designopt row-stationary nest analysis 1"

    def __init__(
        self,
        layers: str | PathLike[str] | Iterable[Mapping[str, Any]] = "alexnet",
        goal: str = "edp",
        dense: bool = False,
        dram_bandwidth: float = 4.0,
        compat: Literal["archgym"] | None = None,
        simulator: Literal["zigzag"] | None = None,
        tool: Tool | None = None,
        render_mode: str | None = None,
    ) -> None:
        super().__init__(render_mode)
        if compat not in (None, "archgym"):
            raise ValueError(f"compat = {compat!r}; {suggest(compat, ['archgym'])}")
        goals = [*TARGETS, "joint"] if compat else list(GOALS)
        if goal not in goals:
            raise ValueError(f"goal = {goal!r}; {suggest(goal, goals)}")
        if not (np.isfinite(dram_bandwidth) and dram_bandwidth > 0):
            raise ValueError(f"dram_bandwidth = {dram_bandwidth}; it must be positive")
        if simulator not in (None, "zigzag"):
            raise ValueError(f"simulator = {simulator!r}; {suggest(simulator, ['zigzag'])}")
        self.tool = tool if simulator else None
        if simulator:
            from designopt.envs.hardware.simulators import zigzag

            self.tool = tool or zigzag.tool()
            self.cost_model = f"ZigZag, {self.tool.version}; energies, area and feasibility: designopt 1"
        self.goal, self.compat, self.dram_bandwidth = goal, compat, float(dram_bandwidth)
        self.workload = str(layers) if isinstance(layers, str | PathLike) else "own layers"
        table = layer_table(layers)
        columns = -(-(table.ifmap_w - table.filter_w) // table.stride) + 1
        sizes = np.stack(
            [table.num_filters, table.channels, table.pixels // columns, columns, table.filter_h, table.filter_w,
             table.stride, table.ifmap_w], axis=1,
        )  # fmt: skip
        kept = np.ones(len(table), dtype=bool) if dense else (table.ifmap_h > 1) | (table.ifmap_w > 1)
        if not kept.any():
            raise ValueError(f"layers = {self.workload!r} are all dense; they need dense = True")
        self.names = tuple(name for name, keep in zip(table.names, kept, strict=True) if keep)
        self.sizes, self.repeat = np.ascontiguousarray(sizes[kept]), table.repeat[kept]
        self.objectives = (Objective("cost"),) if compat else GOALS[goal]

    def evaluate(self, designs: Array) -> Evaluation:
        """designs: (n, 26) -> objectives (n, 1 or 3), constraints (n, 2) and the metrics of the class."""
        given = np.asarray(designs, dtype=np.float64)
        known = self._known(given)
        designs = np.where(known[:, None], given, self.design_space.encode([BASELINE]))
        layers = self.counts(designs)
        if self.tool is not None:
            layers |= self._measured(designs)
        total = {name: value @ self.repeat for name, value in layers.items()}
        area = self.area_mm2(designs)
        cycles = np.ceil(total["cycles"])
        energy = (total["energy_pj"] + technology.LEAKAGE_PJ_PER_CYCLE_MM2 * area * cycles) / 1e6
        metrics: dict[str, Any] = {
            "energy_uj": energy,
            "latency_cycles": cycles,
            "area_mm2": area,
            "edp": energy * cycles,
            **{n: total[n] for n in ("macs", "dram_reads", "dram_writes", "buffer_reads", "buffer_writes")},
            "utilization": total["macs"] / (designs[:, 0] * cycles),
        }
        short = layers["words_short"].max(axis=1, initial=0)
        columns = [self._cost(metrics, short > 0)] if self.compat else [metrics.pop(o.name) for o in self.objectives]
        left = np.where(designs[:, 0] < designs[:, 1], designs[:, 1] - designs[:, 0], designs[:, 0] % designs[:, 1])
        values = np.where(known[:, None], np.stack([*columns, short, left], axis=1), np.nan)
        errors = np.where(known, "", "a size below 1, or an unknown class").astype(object)
        return Evaluation(values[:, : len(columns)], values[:, len(columns) :], metrics, errors=errors)

    def _known(self, designs: Array) -> NDArray[np.bool_]:
        """(n, d) -> (n,) whether every number is at least 1 and every class one of ``technology.CLASSES``."""
        kinds = np.array([isinstance(p, Categorical) for p in self.design_space.parameters.values()])
        least, most = np.where(kinds, 0, 1), np.where(kinds, len(technology.CLASSES) - 1, 2**30)
        return np.asarray(((designs >= least) & (designs <= most)).all(axis=1))

    def _measured(self, designs: Array) -> dict[str, Array]:
        """designs: (n, 26) -> cycles and energy (n, L) of each layer by ZigZag; words are not taken from it."""
        from designopt.envs.hardware.accelerator import zigzag_files
        from designopt.envs.hardware.simulators import zigzag

        assert self.tool is not None
        found = np.empty((2, len(designs), len(self.sizes)))
        for i, design in enumerate(designs):
            knobs = {name: int(value) for name, value in zip(self.design_space.parameters, design, strict=True)}
            text = zigzag_files.accelerator(knobs, self.dram_bandwidth)
            for j, sizes in enumerate(self.sizes):
                layer = dict(zip(("K", "C", "OY", "OX", "FY", "FX", "stride"), sizes.tolist(), strict=False))
                spatial = zigzag_files.spatial(layer, knobs["num_pes"] // knobs["mesh_x"], knobs["mesh_x"])
                report = zigzag.run(self.tool, layer, text, spatial, bits=(16, 16, 16), opt="latency", lpf_limit=4)
                found[:, i, j] = report.latency_cycles, report.energy_pj
        unknown = np.full(found.shape[1:], np.nan)
        words = dict.fromkeys(("dram_reads", "dram_writes", "buffer_reads", "buffer_writes"), unknown)
        return {"cycles": found[0], "energy_pj": found[1], **words}

    def counts(self, designs: Array) -> dict[str, Array]:
        """designs: (n, 26) -> name -> (n, L), one run of each layer; the names are ``nest.FIELDS``."""
        from designopt.envs.hardware.accelerator import nest

        x = self._columns(designs)
        bandwidths = [f"{m}_{w}_bandwidth" for m in ("ifmap", "psum", "weights", "buffer") for w in ("read", "write")]
        depths = [x["ifmap_depth"], x["psum_depth"], x["weights_depth"], 4 * x["buffer_depth"]]
        hardware = [np.maximum(x["num_pes"] // x["mesh_x"], 1), x["mesh_x"], *depths, *(x[name] for name in bandwidths)]
        pads = [
            technology.access_pj(x[f"{p}_class"], x[f"{p}_depth"].astype(float), x[f"{p}_block"].astype(float))
            for p in ("ifmap", "psum", "weights")
        ]
        buffer = technology.access_pj(
            x["buffer_class"], 4.0 * x["buffer_depth"], x["buffer_block"].astype(float), x["buffer_banks"].astype(float)
        )
        ones = np.ones(len(designs))
        energies = np.stack([*pads, buffer, technology.DRAM_PJ * ones, technology.MAC_PJ * ones], axis=1)
        found = nest.analyse_all(np.stack(hardware, axis=1), energies, self.sizes, self.dram_bandwidth)
        return {name: found[:, :, i] for i, name in enumerate(nest.FIELDS)}

    def area_mm2(self, designs: Array) -> Array:
        """designs: (n, 26) -> (n,) area of elements with their pads, of the buffer, and of the one without use."""
        x = self._columns(designs)
        element = technology.MAC_UM2 + sum(
            technology.area_um2(x[f"{p}_class"], x[f"{p}_depth"].astype(float)) for p in ("ifmap", "psum", "weights")
        )
        dummy = technology.area_um2(x["dummy_class"], x["dummy_depth"].astype(float))
        buffer = technology.area_um2(x["buffer_class"], 4.0 * x["buffer_depth"], x["buffer_banks"].astype(float))
        return np.asarray((x["num_pes"] * element + x["mesh_x"] * dummy + buffer) / 1e6)

    def step(self, action: Any) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        """As for every design environment; ``info`` also names the cost model."""
        observation, reward, terminated, truncated, info = super().step(action)
        return observation, reward, terminated, truncated, info | {"cost_model": self.cost_model}

    def _columns(self, designs: Array) -> dict[str, Any]:
        values = np.asarray(designs).astype(np.int64).T
        return dict(zip(self.design_space.parameters, values, strict=True))

    def _cost(self, metrics: dict[str, Any], impossible: Any) -> Array:
        goals = list(TARGETS) if self.goal == "joint" else [self.goal]
        excess = [np.maximum(metrics[_METRIC[goal]] / TARGETS[goal] - 1, 0) for goal in goals]
        cost = sum(excess) + (1e-3 if self.goal == "joint" else 0.0)
        return np.where(impossible, 500.0 * len(goals), np.where(cost == 0, 1e-5, cost))
