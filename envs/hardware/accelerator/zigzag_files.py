"""An accelerator of the design space in ZigZag's language."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import yaml

from designopt.envs.hardware.accelerator import technology

DATA = {"ifmap": "I1", "weights": "I2", "psum": "O"}


def accelerator(knobs: Mapping[str, int], dram_bandwidth: float) -> str:
    """Text of an accelerator file: three pads an element, the shared buffer and the DRAM, in pJ and mm2.

    Args:
        knobs: the design by name, classes by index.
        dram_bandwidth: words a cycle.
    """
    memories: dict[str, Any] = {}
    for name, operand in DATA.items():
        pj, um2 = _cost(knobs, name, knobs[f"{name}_depth"], 1)
        read, write = knobs[f"{name}_read_bandwidth"], knobs[f"{name}_write_bandwidth"]
        memories[name] = _memory(knobs[f"{name}_depth"], pj, um2, [operand], read, write, [])
    words, banks = 4 * knobs["buffer_depth"], knobs["buffer_banks"]
    pj, um2 = _cost(knobs, "buffer", words, banks)
    read, write = knobs["buffer_read_bandwidth"], knobs["buffer_write_bandwidth"]
    everything = list(DATA.values())
    memories["buffer"] = _memory(words, pj, um2, everything, read, write, ["D1", "D2"])
    width = max(int(dram_bandwidth), 1)
    memories["dram"] = _memory(2**31, technology.DRAM_PJ, 0.0, everything, width, width, ["D1", "D2"])
    array = {
        "unit_energy": technology.MAC_PJ,
        "unit_area": technology.MAC_UM2 / 1e6,
        "dimensions": ["D1", "D2"],
        "sizes": [max(knobs["num_pes"] // knobs["mesh_x"], 1), knobs["mesh_x"]],
    }
    text: str = yaml.safe_dump({"name": "design", "memories": memories, "operational_array": array}, sort_keys=False)
    return text


def spatial(layer: Mapping[str, int], rows: int, columns: int) -> dict[str, list[tuple[str, int]]]:
    """Row-stationary: filter rows along D1, output rows along D2, as many as divide the layer."""
    return {"D1": [("FY", _divisor(layer["FY"], rows))], "D2": [("OY", _divisor(layer["OY"], columns))]}


def _divisor(size: int, most: int) -> int:
    return max(d for d in range(1, max(min(size, most), 1) + 1) if size % d == 0)


def _cost(knobs: Mapping[str, int], name: str, words: int, banks: int) -> tuple[float, float]:
    kind, size, parts = np.array([knobs[f"{name}_class"]]), np.array([float(words)]), np.array([float(banks)])
    pj = technology.access_pj(kind, size, np.array([float(knobs[f"{name}_block"])]), parts)
    return float(pj[0]), float(technology.area_um2(kind, size, parts)[0])


def _memory(
    words: int, pj: float, um2: float, operands: list[str], read: int, write: int, served: list[str]
) -> dict[str, Any]:
    """Ports of their own for reading and writing; a port may move one word of 16 bits or all of its bandwidth."""
    down = [f"{o}, tl" for o in operands] + (["O, th"] if "O" in operands else [])
    up = [f"{o}, fh" for o in operands] + (["O, fl"] if "O" in operands else [])
    ports = [
        {"name": "r_port_1", "type": "read", "bandwidth_min": 16, "bandwidth_max": 16 * read, "allocation": down},
        {"name": "w_port_1", "type": "write", "bandwidth_min": 16, "bandwidth_max": 16 * write, "allocation": up},
    ]
    return {
        "size": 16 * words, "r_cost": pj * read, "w_cost": pj * write, "area": um2 / 1e6, "latency": 1,
        "operands": operands, "ports": ports, "served_dimensions": served,
    }  # fmt: skip
