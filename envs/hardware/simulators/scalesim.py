"""SCALE-Sim: one layer on one array, cycles and SRAM accesses from its two reports."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass

from designopt.envs.hardware.layers import COLUMNS
from designopt.envs.hardware.simulators.tool import SimulatorError, Tool

COUNTS = {
    "cycles": ("COMPUTE", "Total Cycles"),
    "ifmap_sram_reads": ("DETAILED_ACCESS", "SRAM IFMAP Reads"),
    "filter_sram_reads": ("DETAILED_ACCESS", "SRAM Filter Reads"),
    "ofmap_sram_writes": ("DETAILED_ACCESS", "SRAM OFMAP Writes"),
}


@dataclass(frozen=True)
class Report:
    """Counts of one layer, as ``designopt.envs.hardware.systolic_counts.Counts`` names them."""

    cycles: int
    ifmap_sram_reads: int
    filter_sram_reads: int
    ofmap_sram_writes: int


def run(
    tool: Tool, layer: Mapping[str, int], rows: int, columns: int, dataflow: str, sram_kb: tuple[int, int, int]
) -> Report:
    """One layer without stalls.

    Args:
        tool: called as ``scalesim -c CONFIG -t TOPOLOGY -p FOLDER``, e.g. ``[python, "-m", "scalesim.scale"]``.
        layer: sizes by the names ``designopt.envs.hardware.layers.COLUMNS``.
        rows: of the array.
        columns: of the array.
        dataflow: "ws", "os" or "is".
        sram_kb: sizes for input maps, filters and output maps.

    Raises:
        SimulatorError, TimeoutError: see ``Tool.run``.
    """
    config = (
        "[general]\nrun_name = run\n\n[architecture_presets]\n"
        f"ArrayHeight: {rows}\nArrayWidth: {columns}\n"
        f"IfmapSramSzkB: {sram_kb[0]}\nFilterSramSzkB: {sram_kb[1]}\nOfmapSramSzkB: {sram_kb[2]}\n"
        "IfmapOffset: 0\nFilterOffset: 10000000\nOfmapOffset: 20000000\n"
        f"Dataflow: {dataflow}\nBandwidth: 10\nMemoryBanks: 1\n\n[run_presets]\nInterfaceBandwidth: CALC\n"
    )
    sizes = (layer[name] for name in COLUMNS)
    topology = (
        "Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels, Num Filter, Strides,\n"
        f"layer, {', '.join(map(str, sizes))},\n"
    )
    patterns = {report: f"out/**/{report}_REPORT.csv" for report in ("COMPUTE", "DETAILED_ACCESS")}
    output = tool.run(
        {"run.cfg": config, "run.csv": topology, "out/.keep": ""},
        ["-c", "run.cfg", "-t", "run.csv", "-p", "out"],
        list(patterns.values()),
    )
    rows_of = {report: _row(output.files[pattern], report) for report, pattern in patterns.items()}
    return Report(**{name: _whole(rows_of[report], report, column) for name, (report, column) in COUNTS.items()})


def _row(text: str, report: str) -> dict[str, str]:
    rows = list(csv.DictReader(io.StringIO(text), skipinitialspace=True))
    if len(rows) != 1:
        raise SimulatorError(f"SCALE-Sim's {report}_REPORT.csv has {len(rows)} layers; one was expected")
    return {str(name).strip(): value for name, value in rows[0].items()}


def _whole(row: Mapping[str, str], report: str, column: str) -> int:
    try:
        return int(float(row[column]))
    except (KeyError, ValueError, TypeError):
        raise SimulatorError(f"SCALE-Sim's {report}_REPORT.csv has no number {column!r}: {row}") from None
