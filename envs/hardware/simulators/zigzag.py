"""ZigZag (extra ``simulators``): best or given mapping of a layer on an accelerator, run as a program of its own."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

from designopt.envs.hardware.simulators.tool import SimulatorError, Tool

LOOPS = ("K", "C", "OY", "OX", "FY", "FX")

PROGRAM = """
import contextlib, json, sys
request = json.load(open("request.json"))
with contextlib.redirect_stdout(sys.stderr):
    from zigzag.api import get_hardware_performance_zigzag
    energy, latency, found = get_hardware_performance_zigzag(
        request["workload"], request["accelerator"], "mapping.yaml", opt=request["opt"], dump_folder="out",
        lpf_limit=request["lpf_limit"], loma_show_progress_bar=False,
    )
def layers(entry):
    for each in entry if isinstance(entry, (list, tuple)) else [entry]:
        if isinstance(each, (list, tuple)):
            yield from layers(each)
        elif hasattr(each, "layer"):
            yield each
words, allocation = {}, {}
for cost in list(layers(found))[-1:]:
    for operand, levels in cost.memory_word_access.items():
        words[str(operand)] = [
            {str(d): int(n) for d, n in getattr(level, "data", level).items()} for level in levels
        ]
    for operand, levels in cost.temporal_mapping.mapping_dic_stationary.items():
        allocation[str(operand)] = [[(str(name), int(size)) for name, size in level] for level in levels]
print(json.dumps({"energy": float(energy), "latency": float(latency), "words": words, "allocation": allocation}))
"""


@dataclass(frozen=True)
class Report:
    """Energy (the accelerator file's unit, pJ), cycles with loading and off-loading, and of one layer its words.

    ``words``: operand -> memories, inner to outer, each direction -> words; ``allocation``: operand -> loops kept
    at each.
    """

    energy_pj: float
    latency_cycles: float
    words: dict[str, list[dict[str, int]]]
    allocation: dict[str, list[list[tuple[str, int]]]]


def tool(timeout_seconds: float = 600.0) -> Tool:
    """ZigZag as installed beside designopt.

    Raises:
        ValueError: it is not installed.
    """
    try:
        installed = version("zigzag-dse")
    except PackageNotFoundError:
        raise ValueError("simulator = 'zigzag' needs the extra: pip install designopt[simulators]") from None
    return Tool([sys.executable, "-c", PROGRAM], timeout_seconds, f"zigzag-dse {installed}")


def bundled(accelerator: str) -> str:
    """Text of an accelerator that comes with ZigZag, e.g. "eyeriss_like"."""
    package = find_spec("zigzag")
    if package is None or package.origin is None:
        raise ValueError("accelerators of ZigZag need the extra: pip install designopt[simulators]")
    return Path(package.origin).with_name("inputs").joinpath("hardware", f"{accelerator}.yaml").read_text()


def run(
    tool: Tool,
    layer: Mapping[str, int],
    accelerator: str,
    spatial: Mapping[str, Sequence[tuple[str, int]]],
    *,
    order: Sequence[tuple[str, int]] = (),
    bits: tuple[int, int, int] = (8, 16, 8),
    opt: str = "EDP",
    lpf_limit: int = 5,
) -> Report:
    """One convolution.

    Args:
        tool: see ``tool()``.
        layer: ``K C OY OX FY FX`` and ``stride``.
        accelerator: text of an accelerator file.
        spatial: array dimension ("D1", "D2") -> unrolled loops and their sizes.
        order: temporal loops, inner to outer; none: the tool searches for them.
        bits: of data, partial and final outputs.
        opt: "energy", "latency" or "EDP", what the search minimises.
        lpf_limit: prime factors that the search permutes: its effort.

    Raises:
        SimulatorError, TimeoutError: see ``Tool.run``.
    """
    stride = layer.get("stride", 1)
    workload = [
        {
            "id": 0, "name": "layer", "operator_type": "Conv",
            "equation": "O[b][k][oy][ox]+=W[k][c][fy][fx]*I[b][c][iy][ix]",
            "dimension_relations": [f"ix={stride}*ox+1*fx", f"iy={stride}*oy+1*fy"],
            "loop_dims": ["B", *LOOPS], "loop_sizes": [1, *(layer[name] for name in LOOPS)],
            "operand_precision": {"W": bits[0], "I": bits[0], "O": bits[1], "O_final": bits[2]},
            "operand_source": {"I": 0, "W": 0},
        }
    ]  # fmt: skip
    mapping: dict[str, Any] = {
        "name": "default",
        "spatial_mapping": {
            axis: [f"{name}, {size}" for name, size in loops] for axis, loops in spatial.items() if loops
        },
        "memory_operand_links": {"O": "O", "W": "I2", "I": "I1"},
    }
    if order:
        mapping["temporal_ordering"] = [[name, size] for name, size in order]
    request = {"workload": workload, "accelerator": "accelerator.yaml", "opt": opt, "lpf_limit": lpf_limit}
    files = {
        "request.json": json.dumps(request),
        "accelerator.yaml": accelerator,
        "mapping.yaml": yaml.safe_dump([mapping]),
    }
    text = tool.run(files, []).text
    try:
        found = json.loads(text.strip().splitlines()[-1])
        return Report(found["energy"], found["latency"], found["words"], found["allocation"])
    except (ValueError, IndexError, KeyError):
        raise SimulatorError(f"ZigZag printed {text[-200:]!r} in place of its result") from None
