"""What a mapping costs: cycles, accesses, sizes and energy, for one mapping or for many."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence as Seq
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from designopt.envs.hardware.mapping.directives import Integers, Layer, LevelMapping, layer_of, parse, tables, whole
from designopt.parameters import suggest

Model = Literal["maestro", "corrected"]
MODELS = ("maestro", "corrected")

L2_ENERGY, L1_ENERGY = 18.61, 1.68
"""Of an access, in energies of a multiply-accumulate (MAESTRO's constants)."""

OFFCHIP_ENERGY = 200.0
"""Of a DRAM access, relative to a multiply-accumulate [Chen2016], Eyeriss, ISCA; corrected model only."""


@dataclass(frozen=True)
class Analysis:
    """n mappings as arrays (n,), or one mapping as numbers: cycles, elements, and accesses of elements.

    ``macs`` is what the model counts; ``offchip_rd`` and ``offchip_wr`` are zero for MAESTRO, which has no such counts.
    """

    runtime: Any
    macs: Any
    input_l2_rd: Any
    input_l2_wr: Any
    input_l1_rd: Any
    input_l1_wr: Any
    filter_l2_rd: Any
    filter_l2_wr: Any
    filter_l1_rd: Any
    filter_l1_wr: Any
    output_l2_rd: Any
    output_l2_wr: Any
    output_l1_rd: Any
    output_l1_wr: Any
    input_l2_size: Any
    input_l1_size: Any
    filter_l2_size: Any
    filter_l1_size: Any
    output_l2_size: Any
    output_l1_size: Any
    offchip_rd: Any
    offchip_wr: Any

    @property
    def l2_total_size(self) -> Any:
        """Elements that the shared buffer needs, doubled for loading while computing."""
        return self.input_l2_size + self.filter_l2_size + self.output_l2_size

    @property
    def l1_total_size(self) -> Any:
        """Elements that the buffer of one processing element needs, doubled likewise."""
        return self.input_l1_size + self.filter_l1_size + self.output_l1_size

    @property
    def energy(self) -> Any:
        """In energies of a multiply-accumulate: all accesses and the arithmetic."""
        l2 = sum(getattr(self, f"{t}_l2_{way}") for t in ("input", "filter", "output") for way in ("rd", "wr"))
        l1 = sum(getattr(self, f"{t}_l1_{way}") for t in ("input", "filter", "output") for way in ("rd", "wr"))
        return L2_ENERGY * l2 + L1_ENERGY * l1 + self.macs + OFFCHIP_ENERGY * (self.offchip_rd + self.offchip_wr)

    @property
    def l2_energy(self) -> Any:
        """MAESTRO's column "Activity count-based Energy" for two levels: L2 only, without the reads of outputs."""
        l2 = self.input_l2_rd + self.input_l2_wr + self.filter_l2_rd + self.filter_l2_wr + self.output_l2_wr
        return L2_ENERGY * l2


def analyse(
    layer: Layer | Mapping[str, Any],
    mapping: str | Seq[LevelMapping],
    num_pes: int,
    *,
    noc_bw: int,
    offchip_bw: int,
    model: Model = "maestro",
) -> Analysis:
    """Cost of one mapping of a layer.

    Args:
        layer: K, C, Y, X (of the input, padding included), R, S, and optionally stride and type, see ``Layer``.
        mapping: text such as ``S K 1 1;T C 32 32;T R 7 7;T S 7 7;T Y' 1 1;T X' 1 1|32|S C 1 1``, or its parsed form.
        num_pes: processing elements; those that do not fill a cluster stay idle.
        noc_bw: elements a cycle on the network on chip (of each level, for MAESTRO).
        offchip_bw: elements a cycle from and to the memory.
        model: "maestro", or "corrected".

    Raises:
        ValueError: a layer, mapping or number that is not allowed, or a cluster of more units than there are.
    """
    if model not in MODELS:
        raise ValueError(f"model = {model!r}; {suggest(model, MODELS)}")
    layer, levels = layer_of(layer), parse(mapping)
    if layer.depthwise and any(d.dim == "K" and d.size > 1 for level in levels for d in level.directives):
        raise ValueError("mapping: a DSCONV layer has K = 1; its tiles of K must be 1")
    pes, noc_bw, offchip_bw = (
        whole("num_pes", num_pes),
        bandwidth("noc_bw", noc_bw),
        bandwidth("offchip_bw", offchip_bw),
    )
    units = [pes]
    if len(levels) == 2:
        cluster = levels[1].cluster or 1
        if cluster > pes:
            raise ValueError(f"mapping: a cluster of {cluster} is more than num_pes = {pes}")
        units = [pes // cluster, cluster]
    many = analyse_tables(layer, *tables(levels), np.array([units], dtype=np.int64), noc_bw, offchip_bw, model)
    return Analysis(*(int(getattr(many, name)[0]) for name in Analysis.__dataclass_fields__))


def bandwidth(name: str, value: Any) -> int:
    """A whole number of at least 1. Raises ValueError."""
    if (
        isinstance(value, bool)
        or not np.isfinite(float(value))
        or int(value) != float(value)
        or not 1 <= value <= 2**40
    ):
        raise ValueError(f"{name} = {value!r}; it must be a whole number of elements a cycle, from 1 to 2^40")
    return int(value)


def analyse_tables(
    layer: Layer, levels: Integers, lengths: Integers, units: Integers, noc_bw: int, offchip_bw: int, model: Model
) -> Analysis:
    """levels: (n, l, 6, 4), lengths, units: (n, l), see ``maestro.cost`` -> Analysis of arrays (n,)."""
    if model == "maestro":
        from designopt.envs.hardware.mapping import maestro

        runtime, macs, *rest = maestro.cost(levels, lengths, units, layer.numbers, noc_bw, offchip_bw).T
        inputs, filters, outputs, *sizes = rest
        none = np.zeros_like(macs)
        depth = layer.C if layer.depthwise else layer.K
        map_size, filter_size = layer.C * layer.Y * layer.X, layer.K * layer.C * layer.R * layer.S
        final = (layer.Y - layer.R + 1) * (layer.X - layer.S + 1) * depth  # the stride is ignored
        reads, writes = (inputs, filters, none + final), (none + map_size, none + filter_size, outputs)
        l1_writes, offchip = (inputs, filters, macs), (none, none)
    else:
        from designopt.envs.hardware.mapping import corrected

        runtime, macs, *rest = corrected.cost(levels, lengths, units, layer.numbers, noc_bw, offchip_bw).T
        reads, writes, sizes = tuple(rest[:3]), tuple(rest[3:6]), rest[9:15]
        l1_writes, offchip = (rest[6], rest[7], rest[8] + macs), (rest[15], rest[16])
    values: list[Any] = [runtime, macs]
    for t in range(3):
        values += [reads[t], writes[t], macs, l1_writes[t]]
    for t in range(3):
        values += [sizes[t], sizes[3 + t]]
    values += offchip
    return Analysis(*values)
