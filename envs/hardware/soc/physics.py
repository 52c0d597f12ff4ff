"""Energy, power and area of systems: FARSI's bookkeeping, and physical estimates of our own.

References: docs/environments/soc.md, which gives every constant of the corrected model with its origin.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from designopt.parameters import Array

if TYPE_CHECKING:
    from designopt.envs.hardware.soc.graph import Workload
    from designopt.envs.hardware.soc.simulation import Outcome
    from designopt.envs.hardware.soc.system import System

FARSI_GRANULE = 1_048_576
"""Bytes: FARSI rounds the area of a memory up to these."""

IP_W_PER_M2 = 1.8e3
"""Power of an accelerator at 100 MHz by its area, both before scaling: FARSI's tables, read as power (see the page)."""

ENERGY_SCALE, AREA_SCALE = 0.064, 0.0374
"""From the technology of the tables to that of the chip, energy and area of an accelerator (ArchGym)."""

BASE_HZ, BASE_V, V_PER_HZ = 1e8, 0.5, 4e-10
"""Supply 0.5 V at 100 MHz and 40 mV more for every 100 MHz: what is not the core or the DRAM scales with its square."""

SRAM_J_PER_BYTE, DRAM_J_PER_BYTE = 8 * 0.3e-12, 8 * 8e-12
"""0.3 pJ a bit of an SRAM macro of 64 KB, 8 pJ a bit of LPDDR4 with its interface."""

BUS_M, BUS_J_PER_BYTE_M, WIRE_PITCH_M = 2e-3, 8 * 0.08e-12 / 1e-3, 80e-9
"""Length of a bus, 0.08 pJ a bit and mm, pitch of its wires, of which there are two a bit: to read and to write."""

LOGIC_W_PER_M2 = 5e-3 / 6.5e-7
"""Leakage of logic: 5 mW of an A53."""

SRAM_W_PER_BYTE, DRAM_W = 10e-6 / 1024, 50e-3
"""Leakage 10 uW a KB of SRAM; an idle DRAM with its interface draws 50 mW."""

SRAM_M2_PER_BYTE, DRAM_M2 = 8 * 0.035e-12, 1e-6
"""0.035 um2 a bit of SRAM with its periphery; controller and interface of a DRAM on the chip, 1 mm2."""

GRANULE = 65_536
"""Bytes: a memory is built of macros of 64 KB, of at least one."""


@dataclass(frozen=True)
class Cost:
    """Of n systems: latency (n,) s, power (n,) W, and energy (J) and area (m2) of processors, buses and memories."""

    latency: Array
    power: Array
    energy: tuple[Array, Array, Array]
    area: tuple[Array, Array, Array]


def farsi_costs(workload: Workload, system: System, outcome: Outcome) -> Cost:
    """FARSI's: nothing leaks, buses have no area, memories cost what the placeholders of its tables say."""
    energy = (
        outcome.pe_work * system.pe_joule,
        outcome.bus_work * system.bus_joule,
        outcome.mem_work * system.mem_joule,
    )
    # A processor that only stands in for the world outside, hosting source and sink, has no area.
    marks = np.array([any(mark in task for mark in ("souurce", "siink")) for task in workload.tasks])
    busy = (system.task_pe[:, None, :] == np.arange(system.pe_m2.shape[1])[:, None])[:, :, ~marks].any(axis=2)
    memory = np.ceil(outcome.peak_bytes / FARSI_GRANULE) * FARSI_GRANULE * system.mem_m2_per_byte
    area = np.where(busy, system.pe_m2, 0.0), np.zeros_like(outcome.bus_work), memory
    return Cost(outcome.ends[:, workload.last], outcome.dynamic_power, energy, area)


def pe_joule(system: System) -> Array:
    """(n, p) J an instruction: FARSI's for a core; for an accelerator power by area, over its rate."""
    scaled = system.pe_m2 / AREA_SCALE * IP_W_PER_M2 * system.pe_hz / BASE_HZ * ENERGY_SCALE * _square(system.pe_hz)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(system.pe_core, system.pe_joule, scaled / system.pe_rate)


def bus_joule(system: System) -> Array:
    """(n, b) J a byte that crosses a bus."""
    return np.asarray(BUS_J_PER_BYTE_M * BUS_M * _square(system.bus_hz))


def mem_joule(system: System) -> Array:
    """(n, m) J a byte read or written."""
    return np.where(system.mem_dram, DRAM_J_PER_BYTE, SRAM_J_PER_BYTE * _square(system.mem_hz))


def costs(workload: Workload, system: System, outcome: Outcome) -> Cost:
    """The corrected model's: every block that is there leaks as long as the run takes, and has an area."""
    latency = outcome.ends.max(axis=1)
    capacity = np.maximum(np.ceil(outcome.peak_bytes / GRANULE), 1.0) * GRANULE
    bus_m2 = BUS_M * 2 * 8 * system.bus_width * WIRE_PITCH_M
    area = (
        np.where(system.pe_there, system.pe_m2, 0.0),
        np.where(system.bus_there, bus_m2, 0.0),
        np.where(system.mem_there, np.where(system.mem_dram, DRAM_M2, capacity * SRAM_M2_PER_BYTE), 0.0),
    )
    sram_w = capacity * SRAM_W_PER_BYTE * _volts(system.mem_hz) / BASE_V
    leakage = (
        area[0] * LOGIC_W_PER_M2 * np.where(system.pe_core, 1.0, _volts(system.pe_hz) / BASE_V),
        area[1] * LOGIC_W_PER_M2 * _volts(system.bus_hz) / BASE_V,
        np.where(system.mem_there, np.where(system.mem_dram, DRAM_W, sram_w), 0.0),
    )
    dynamic = (
        outcome.pe_work * pe_joule(system),
        outcome.bus_work * bus_joule(system),
        outcome.mem_work * mem_joule(system),
    )
    energy = [used + leaks * latency[:, None] for used, leaks in zip(dynamic, leakage, strict=True)]
    power = outcome.dynamic_power + np.concatenate(leakage, axis=1).sum(axis=1)
    return Cost(latency, power, (energy[0], energy[1], energy[2]), area)


def _volts(hz: Array) -> Array:
    return np.asarray(BASE_V + V_PER_HZ * (hz - BASE_HZ))


def _square(hz: Array) -> Array:
    """Dynamic energy by the clock, 1 at 100 MHz."""
    return np.asarray((_volts(hz) / BASE_V) ** 2)
