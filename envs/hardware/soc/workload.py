"""Workloads by name, folder or mapping, and one of our own that is always there."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from designopt import data
from designopt.envs.hardware.soc.graph import Workload, build, from_mapping
from designopt.envs.hardware.soc.tables import IP_CLOCK_HZ, TABLES, from_folder, from_tables

PUBLISHED = {
    "audio": "audio_decoder",
    "audio_decoder": "audio_decoder",
    "cava": "hpvm_cava",
    "hpvm_cava": "hpvm_cava",
    "edge_detection": "edge_detection",
    "SOC_example_1p": "SOC_example_1p",
    "SOC_example_1p_2r": "SOC_example_1p_2r",
}
"""Names of FARSI's workloads -> how its files begin."""

LATENCY_BUDGETS = {"audio_decoder": 0.021, "edge_detection": 0.034, "hpvm_cava": 0.034, "stereo_depth": 0.033}
"""Seconds: FARSI's, and a frame of 30 a second for our own."""


def workload_of(workload: str | PathLike[str] | Mapping[str, Any] | Workload, name: str = "") -> Workload:
    """A workload by name, from a folder, or from a mapping.

    Args:
        workload: a name (``PUBLISHED``, "stereo_depth"), a folder of tables in FARSI's format (or folder/PREFIX when it
            holds several), a mapping task -> {"work": instructions, "children": {task: bytes}}, or a Workload.
        name: of a mapping: decides which task is FARSI's last.

    Raises:
        ValueError: unknown name, tables that do not parse, unknown tasks, a cycle; the place is named.
        DataMissing: a published workload that is not on this machine.
    """
    if isinstance(workload, Workload):
        return workload
    if isinstance(workload, Mapping):
        return from_mapping(workload, name)
    if isinstance(workload, str):
        if workload in PUBLISHED:
            prefix = PUBLISHED[workload]
            find = {k: data.find(f"archgym/farsi/{prefix}_database - {sheet}.csv") for k, sheet in TABLES.items()}
            return from_tables(prefix, find)
        if workload == "stereo_depth":
            return stereo_depth()
    return from_folder(Path(workload), [*PUBLISHED, "stereo_depth"])


# Our own --------------------------------------------------------------------------------------------------------------


def stereo_depth() -> Workload:
    """Depth of a 640 x 480 stereo pair, thirty frames a second: a graph of our own, for use without any data.

    Sizes are those of the images. Work is 20 to 3000 instructions a pixel; an accelerator needs as many cycles at
    100 MHz as the core needs instructions, over 6 to 20. These are estimates, not measurements of a program.
    """
    pixels = 640 * 480
    tasks = {  # instructions a pixel, their ratio to cycles of the accelerator, its area in um2, iterations
        "rectify_left": (60, 8, 38_000, 480),
        "rectify_right": (60, 8, 38_000, 480),
        "census_left": (180, 16, 21_000, pixels),
        "census_right": (180, 16, 21_000, pixels),
        "match": (3000, 20, 164_000, pixels),
        "aggregate": (900, 12, 92_000, 480),
        "median": (240, 10, 17_000, pixels),
        "to_points": (40, 6, 24_000, pixels),
    }
    edges = [
        ("souurce", "rectify_left", 1), ("souurce", "rectify_right", 1), ("rectify_left", "census_left", 1),
        ("rectify_right", "census_right", 1), ("census_left", "match", 4), ("census_right", "match", 4),
        ("match", "aggregate", 16), ("aggregate", "median", 1), ("rectify_left", "to_points", 1),
        ("median", "to_points", 1), ("to_points", "siink", 6),
    ]  # fmt: skip
    named = {"souurce": (0, 1, 0, 1), **tasks, "siink": (0, 1, 0, 1)}
    instructions, ratio, area, iterations = np.array(list(named.values()), dtype=np.float64).T
    none = np.where(instructions > 0, 1.0, np.nan)
    return build(
        "stereo_depth", "stereo_depth", dict(zip(named, (instructions * pixels).tolist(), strict=True)),
        [(parent, child, float(size * pixels)) for parent, child, size in edges],
        seconds=none * instructions * pixels / ratio / IP_CLOCK_HZ, energy=none * 1.8 * area,
        area_m2=none * area * 1e-12, iterations=iterations.astype(np.int64),
    )  # fmt: skip
