"""MAESTRO: one layer under one data-centric mapping, the numbers of its CSV report by name."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass

from designopt.envs.hardware.simulators.tool import SimulatorError, Tool

COUNTS = {
    "macs": "Num MACs",
    "runtime": "Runtime (Cycles)",
    **{
        f"{tensor}_{level}_{kind}": f"{tensor} {level} {'size' if kind == 'size' else word}"
        for tensor in ("input", "filter", "output")
        for level in ("l1", "l2")
        for kind, word in (("size", "size"), ("rd", "read"), ("wr", "write"))
    },
}
"""Our name -> heading of the report, compared without regard to case and spaces around."""


@dataclass(frozen=True)
class Report:
    """Cycles, counted multiply-accumulates, and sizes and accesses ``input_l2_rd`` ... in elements; nJ, um2, mW."""

    runtime: int
    macs: int
    accesses: dict[str, int]
    energy_nj: float
    area_um2: float
    power_mw: float


def run(
    tool: Tool, layer: Mapping[str, int | str], mapping: str, num_pes: int, *, noc_bw: int, offchip_bw: int
) -> Report:
    """One run of the tool, with the options of the reference runs (one hop of latency 1, one lane, multicast).

    Args:
        tool: the ``maestro`` executable.
        layer: ``K C Y X R S``, optionally ``stride`` and ``type`` ("CONV" or "DSCONV").
        mapping: ``"T K 2 2;S C 1 1|4|S K 1 1;..."``: spatial or temporal, dimension, size, offset; between bars the
            size of a cluster.
        num_pes: processing elements.
        noc_bw: elements a cycle, of the network on chip.
        offchip_bw: elements a cycle, of the memory.

    Raises:
        SimulatorError, TimeoutError: see ``Tool.run``.
    """
    arguments = [
        "--HW_file=hardware.m", "--Mapping_file=mapping.m", "--print_res=false", "--print_res_csv_file=true",
        "--print_log_file=false", f"--num_pes={num_pes}", "--num_simd_lanes=1", f"--noc_bw_cstr={noc_bw}",
        "--noc_hops=1", "--noc_hop_latency=1", "--noc_mc_support=true", f"--offchip_bw_cstr={offchip_bw}",
        "--l1_size_cstr=1073741824", "--l2_size_cstr=1073741824",
    ]  # fmt: skip
    hardware = (
        f"num_pes: {num_pes}\nl1_size_cstr: 1073741824\nl2_size_cstr: 1073741824\n"
        f"noc_bw_cstr: {noc_bw}\noffchip_bw_cstr: {offchip_bw}\n"
    )
    files = {"hardware.m": hardware, "mapping.m": mapping_file(layer, mapping)}
    return parse(tool.run(files, arguments, ["mapping.csv"]).files["mapping.csv"])


def mapping_file(layer: Mapping[str, int | str], mapping: str) -> str:
    """A network of one layer in MAESTRO's language."""
    stride = layer.get("stride", 1)
    sizes = ", ".join(f"{name}: {layer[name]}" for name in "KCRSYX")
    lines = []
    for part in mapping.split("|"):
        if part.strip().isdigit():
            lines.append(f"Cluster({part.strip()}, P);")
            continue
        for directive in part.split(";"):
            kind, dimension, size, offset = directive.split()
            lines.append(f"{ {'S': 'SpatialMap', 'T': 'TemporalMap'}[kind] }({size},{offset}) {dimension};")
    body = "\n".join(lines)
    return (
        f"Network network {{\nLayer layer {{\nType: {layer.get('type', 'CONV')}\n"
        f"Stride {{ X: {stride}, Y: {stride} }}\n"
        f"Dimensions {{ {sizes} }}\nDataflow {{\n{body}\n}}\n}}\n}}\n"
    )


def parse(text: str) -> Report:
    """The CSV report of one layer.

    Raises:
        SimulatorError: not one layer, or a column that is missing or not a number.
    """
    rows = list(csv.DictReader(io.StringIO(text), skipinitialspace=True))
    if len(rows) != 1:
        raise SimulatorError(f"MAESTRO's report has {len(rows)} layers; one was expected")
    row = {str(name).strip().lower(): value for name, value in rows[0].items()}
    numbers = {name: _number(row, heading) for name, heading in COUNTS.items()}
    runtime, macs = int(numbers.pop("runtime")), int(numbers.pop("macs"))
    return Report(
        runtime=runtime,
        macs=macs,
        accesses={name: int(value) for name, value in numbers.items()},
        energy_nj=_number(row, "Activity count-based Energy (nJ)"),
        area_um2=_number(row, "Area (um^2)"),
        power_mw=_number(row, "Power (mW)"),
    )


def _number(row: Mapping[str, str], heading: str) -> float:
    wanted = heading.lower()
    # Spaces in the headings differ between versions.
    plain = {name.replace(" ", ""): value for name, value in row.items()}
    try:
        return float(plain[wanted.replace(" ", "")])
    except (KeyError, ValueError, TypeError):
        raise SimulatorError(f"MAESTRO's report has no number {heading!r}") from None
