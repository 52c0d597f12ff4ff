"""Design of a mapping: loop orders, tiles, what is spread over units, and the array, for one layer of a network."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from designopt import Categorical, Constraint, DesignEnv, DesignSpace, Evaluation, Integer, Objective, Ordinal
from designopt.envs.hardware.mapping.analysis import (
    MODELS,
    Analysis,
    Model,
    analyse_tables,
    bandwidth,
)  # fmt: skip
from designopt.envs.hardware.mapping.directives import DIMS, Directive, Integers, Layer, LevelMapping, layer_of
from designopt.envs.hardware.simulators.tool import Tool
from designopt.parameters import Array, Parameter, suggest

RESNET18_LAYER2 = {"K": 64, "C": 64, "Y": 58, "X": 58, "R": 3, "S": 3, "stride": 1, "type": "CONV"}
"""Second convolution of ResNet-18, 56 x 56 outputs; the padding is part of the map."""

ORDERS = np.array(list(itertools.permutations(range(6))), dtype=np.int64)
"""(720, 6): loop order by Lehmer code, dimensions as in ``DIMS``, the outermost loop first."""

PARALLEL = ("K", "C", "Y", "X")
TILED = ("K", "C", "Y", "X")
WIDTH = 6  # columns of a level: order, parallel dimension, four tiles
MOST_PES = 1024
NJ_PER_MAC = 0.00023

GOALS = {
    "latency": Objective("runtime", "min", unit="cycles"),
    "energy": Objective("energy", "min", unit="MAC energies"),
    "edp": Objective("edp", "min", unit="MAC energies cycles"),
    "area": Objective("area_um2", "min", unit="um2"),
}


def mapping_space(layer: Layer) -> DesignSpace:
    """Per level the loop order, the parallel dimension and the tiles (of outputs for Y and X); cluster size and PEs."""
    extents = {"K": layer.K, "C": layer.C, "Y": layer.rows, "X": layer.columns}
    parameters: dict[str, Parameter] = {}
    for level in ("outer", "inner"):
        parameters[f"{level}_order"] = Integer(0, len(ORDERS) - 1)
        parameters[f"{level}_parallel"] = Categorical(PARALLEL)
        for d in TILED:
            most = extents[d]
            parameters[f"{level}_tile_{d}"] = Integer(1, most, log=True) if most > 1 else Ordinal([1])
    parameters["cluster_size"] = Integer(1, MOST_PES, log=True)
    parameters["num_pes"] = Integer(1, MOST_PES, log=True)
    return DesignSpace(**parameters)


class MappingEnv(DesignEnv):
    """Cycles and energy of one layer on an array of clusters of processing elements with private and shared buffers.

    Design: ``mapping_space``; filters are never cut (R and S full). Metrics: ``runtime`` (cycles), ``energy``
    (multiply-accumulates), ``edp``, ``area_um2``, ``macs`` as the model counts them, ``utilization``, ``l1_size``,
    ``l2_size`` (elements) and the access counts of ``Analysis``.

    Constraints: ``tiles`` (elements by which tiles exceed the layer, or the tile of the level above), ``clusters`` (PEs
    left over by whole clusters, or missing for one); with model "maestro" ``macs`` (share by which they are
    miscounted), with "corrected" ``l1`` and ``l2`` (elements beyond the buffers).

    Args:
        layer: dictionary with K, C, Y, X, R, S and optionally stride and type ("CONV", "DSCONV").
        model: "corrected", or "maestro" for MAESTRO's numbers to the integer.
        goal: "latency", "energy", "edp" (their product) or "area".
        compat: "archgym" for the published reward of a goal, over MAESTRO's L2-only energy; model "maestro" only.
        noc_bw, offchip_bw: elements a cycle.
        l1_capacity, l2_capacity: elements, of each processing element and shared; corrected model only.
        simulator, tool: "maestro" runs MAESTRO itself, with model "maestro"; see docs/environments/simulators.md.
        render_mode: None or "ansi".

    Raises:
        ValueError: an argument that is not allowed.
    """

    def __init__(
        self,
        layer: Layer | Mapping[str, Any] | None = None,
        model: Model = "corrected",
        goal: Literal["latency", "energy", "edp", "area"] = "latency",
        compat: Literal["archgym"] | None = None,
        noc_bw: int = 64,
        offchip_bw: int = 16,
        l1_capacity: int = 512,
        l2_capacity: int = 110592,
        simulator: Literal["maestro"] | None = None,
        tool: Tool | None = None,
        render_mode: str | None = None,
    ) -> None:
        super().__init__(render_mode)
        for name, value, allowed in (("model", model, MODELS), ("goal", goal, GOALS)):
            if value not in allowed:
                raise ValueError(f"{name} = {value!r}; {suggest(value, allowed)}")
        if compat not in (None, "archgym"):
            raise ValueError(f"compat = {compat!r}; allowed: 'archgym'")
        if compat and (model != "maestro" or goal == "edp"):
            raise ValueError(
                f"compat='archgym' with model = {model!r}, goal = {goal!r}; it rewards latency, energy or area, of "
                "model 'maestro'"
            )
        if simulator not in (None, "maestro"):
            raise ValueError(f"simulator = {simulator!r}; {suggest(simulator, ['maestro'])}")
        if simulator and (tool is None or model != "maestro"):
            raise ValueError("simulator = 'maestro' needs its tool and model = 'maestro'")
        self.tool = tool if simulator else None
        self.layer = layer_of(RESNET18_LAYER2 if layer is None else layer)
        self.model, self.goal, self.compat = model, goal, compat
        self.noc_bw, self.offchip_bw = bandwidth("noc_bw", noc_bw), bandwidth("offchip_bw", offchip_bw)
        self.l1_capacity = bandwidth("l1_capacity", l1_capacity)
        self.l2_capacity = bandwidth("l2_capacity", l2_capacity)
        self.design_space = mapping_space(self.layer)
        self.objectives = (Objective("reward", "max") if compat else GOALS[goal],)
        self.constraints = (Constraint("tiles"), Constraint("clusters", unit="PEs"))
        if model == "maestro":
            self.constraints += (Constraint("macs"),)
        else:
            self.constraints += (Constraint("l1", scale=self.l1_capacity), Constraint("l2", scale=self.l2_capacity))
        self.cost_model = "MAESTRO 4eb08d17" if model == "maestro" else "designopt mapping 1"
        if self.tool is not None:
            self.cost_model = f"MAESTRO, {self.tool.version}"

    def evaluate(self, designs: Array) -> Evaluation:
        """designs: (n, 14) -> Evaluation with the metrics of the class; a tile below 1 or unknown gene is invalid."""
        designs = np.asarray(designs, dtype=np.float64)
        finite: Any = np.isfinite(designs).all(axis=1)
        genes = np.where(finite[:, None], designs, 1).clip(-(2**40), 2**40).astype(np.int64)
        known: Any = (
            finite & (genes[:, [0, WIDTH]] < len(ORDERS)).all(axis=1) & (genes[:, [1, WIDTH + 1]] < 4).all(axis=1)
        )
        known &= (genes[:, [0, 1, WIDTH, WIDTH + 1]] >= 0).all(axis=1)
        counts = [*range(2, WIDTH), *range(WIDTH + 2, 2 * WIDTH), 2 * WIDTH, 2 * WIDTH + 1]
        known &= ((genes[:, counts] >= 1) & (genes[:, counts] <= 10**6)).all(axis=1)
        genes[~known] = 1
        found = self.analyse(genes)
        pes, cluster = genes[:, 2 * WIDTH + 1], genes[:, 2 * WIDTH]
        outer, inner = genes[:, 2:WIDTH], genes[:, WIDTH + 2 : 2 * WIDTH]
        most = np.array([self.layer.K, self.layer.C, self.layer.rows, self.layer.columns])
        excess = np.maximum(outer - most, 0).sum(axis=1) + np.maximum(inner - outer, 0).sum(axis=1)
        idle = np.where(cluster > pes, cluster - pes, pes % cluster)
        energy = np.asarray(found.energy, dtype=np.float64)
        area = area_um2(pes, found.l1_total_size, found.l2_total_size, self.noc_bw)
        metrics: dict[str, Any] = {
            "runtime": found.runtime, "energy": energy, "edp": energy * found.runtime, "area_um2": area,
            "utilization": found.macs / (pes * np.maximum(found.runtime, 1)),
            "l1_size": found.l1_total_size, "l2_size": found.l2_total_size,
        }  # fmt: skip
        metrics |= {name: getattr(found, name) for name in Analysis.__dataclass_fields__ if name != "runtime"}
        if self.compat:
            joules = found.l2_energy * NJ_PER_MAC
            value = {"latency": found.runtime, "energy": found.runtime * joules * 1e4, "area": area}[self.goal]
            objective = 1 / np.maximum(value, 1e-300)
        else:
            objective = metrics[GOALS[self.goal].name]
        if self.model == "maestro":
            limits = [np.abs(found.macs / self.layer.macs - 1)]
        else:
            limits = [found.l1_total_size - self.l1_capacity, found.l2_total_size - self.l2_capacity]
        objectives = np.where(known, objective, np.nan)[:, None]
        constraints = np.where(known[:, None], np.stack([excess, idle, *limits], axis=1), np.nan)
        errors = np.where(known, "", "a tile, cluster size or number of PEs below 1, or an unknown order or dimension")
        return Evaluation(objectives, constraints, metrics, errors=errors.astype(object))

    def analyse(self, genes: Integers) -> Analysis:
        """genes: (n, 14) integers, tiles and numbers at least 1 -> Analysis of arrays (n,)."""
        if self.tool is not None:
            return self._measured(genes)
        levels, units = self._tables(genes)
        lengths = np.full((len(genes), 2), 6, dtype=np.int64)
        return analyse_tables(self.layer, levels, lengths, units, self.noc_bw, self.offchip_bw, self.model)

    def _measured(self, genes: Integers) -> Analysis:
        """genes: (n, 14) -> what MAESTRO reports of them; off-chip accesses are zero, as in its model."""
        from designopt.envs.hardware.simulators import maestro

        assert self.tool is not None
        layer = {name: getattr(self.layer, name) for name in ("K", "C", "Y", "X", "R", "S", "stride", "type")}
        columns: dict[str, list[int]] = {name: [] for name in Analysis.__dataclass_fields__}
        for design in genes:
            outer, inner = (
                ";".join(f"{d.kind} {d.dim} {d.size} {d.offset}" for d in level.directives)
                for level in self.directives(design)
            )
            report = maestro.run(
                self.tool, layer, f"{outer}|{design[2 * WIDTH]}|{inner}", int(design[2 * WIDTH + 1]),
                noc_bw=self.noc_bw, offchip_bw=self.offchip_bw,
            )  # fmt: skip
            found = report.accesses | {"runtime": report.runtime, "macs": report.macs, "offchip_rd": 0, "offchip_wr": 0}
            for name, values in columns.items():
                values.append(found[name])
        return Analysis(**{name: np.array(values, dtype=np.int64) for name, values in columns.items()})

    def _tables(self, genes: Integers) -> tuple[Integers, Integers]:
        """-> (n, 2, 6, 4) directives in sizes of the input, (n, 2) units."""
        n, layer = len(genes), self.layer
        levels = np.empty((n, 2, 6, 4), dtype=np.int64)
        for level in range(2):
            part = genes[:, WIDTH * level : WIDTH * (level + 1)]
            sizes = np.empty((n, 6), dtype=np.int64)
            sizes[:, :2], sizes[:, 4:] = part[:, 2:4], part[:, 4:6]
            sizes[:, 2], sizes[:, 3] = layer.R, layer.S
            order = ORDERS[part[:, 0]]
            offsets = np.take_along_axis(sizes, order, axis=1)
            halo = np.array([0, 0, 0, 0, layer.R - 1, layer.S - 1])
            span = np.where(order >= 4, (offsets - 1) * layer.stride + 1, offsets)
            parallel = np.array([DIMS.index(d) for d in PARALLEL])[part[:, 1]]
            levels[:, level, :, 0] = order == parallel[:, None]
            levels[:, level, :, 1] = order
            levels[:, level, :, 2] = span + halo[order]
            levels[:, level, :, 3] = np.where(order >= 4, offsets * layer.stride, offsets)
        pes, cluster = genes[:, 2 * WIDTH + 1], genes[:, 2 * WIDTH]
        return levels, np.stack([np.maximum(pes // cluster, 1), cluster], axis=1)

    def directives(self, design: Array) -> tuple[LevelMapping, ...]:
        """(14,) design -> the mapping that is analysed, for ``analyse``, in sizes of the input."""
        genes = np.asarray(design, dtype=np.int64)[None]
        levels, _ = self._tables(genes)
        parts = [
            tuple(Directive("TS"[int(k)], DIMS[d], int(size), int(offset)) for k, d, size, offset in level)
            for level in levels[0]
        ]
        return LevelMapping(parts[0]), LevelMapping(parts[1], int(genes[0, 2 * WIDTH]))

    def step(self, action: Any) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        """As for every design environment; ``info`` also names the cost model."""
        *rest, info = super().step(action)
        return *rest, info | {"cost_model": self.cost_model}  # type: ignore[return-value]

    # For searches that know what a mapping is --------------------------------------------------------------------

    @property
    def mapping_levels(self) -> tuple[tuple[str, ...], ...]:
        """Names of order, parallel dimension and tiles of each level, the outer level first."""
        names = self.design_space.names
        return tuple(names[:WIDTH]), tuple(names[WIDTH : 2 * WIDTH])

    @property
    def mapping_orders(self) -> Integers:
        """(720, 6) loop orders by their code."""
        return ORDERS

    @property
    def mapping_array(self) -> tuple[str, str]:
        """Names of the cluster size and of the number of processing elements."""
        return "cluster_size", "num_pes"


def area_um2(pes: Any, l1: Any, l2: Any, noc_bw: int) -> Array:
    """MAESTRO's area: processing elements, buffers, bus and arbiter."""
    n = np.asarray(pes, dtype=np.float64)
    arbiter = np.maximum(395.473, 395.473 * (1.2886 * n**2 + 5.5814 * n - 23.711))
    bus = 101.7938 * (14.662 * n + 28.895) * noc_bw
    return np.asarray(n * (283 + 0.104 * np.maximum(l1, 1)) + 0.104 * np.maximum(l2, 1) + bus + arbiter)
