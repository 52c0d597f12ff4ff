"""DRAMSys 4.0: its configuration of a controller, and its report with units.

The tool prints times in the largest unit of which they are a whole number, ns or ps: a parser that drops the unit is
wrong by a factor of 1000 for some designs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from designopt.envs.hardware.simulators.tool import SimulatorError, Tool

NANOSECONDS = {"fs": 1e-6, "ps": 1e-3, "ns": 1.0, "us": 1e3, "ms": 1e6, "s": 1e9}
PICOJOULES = {"fJ": 1e-3, "pJ": 1.0, "nJ": 1e3, "uJ": 1e6, "mJ": 1e9, "J": 1e12}
MILLIWATTS = {"uW": 1e-3, "mW": 1.0, "W": 1e3}


@dataclass(frozen=True)
class Report:
    """Total time, and energy and average power of all channels; None where the tool prints none (DDR4, LPDDR4)."""

    time_ns: float
    energy_pj: float | None
    power_mw: float | None


def parse(text: str) -> Report:
    """The report at the end of DRAMSys' output.

    Raises:
        SimulatorError: no total time, or a unit that is not known.
    """
    times = _quantities("Total Time", text, NANOSECONDS)
    energies = _quantities("Total Energy", text, PICOJOULES)
    powers = _quantities("Average Power", text, MILLIWATTS)
    if not times:
        raise SimulatorError("DRAMSys printed no 'Total Time'")
    return Report(max(times), sum(energies) if energies else None, sum(powers) if powers else None)


def _quantities(name: str, text: str, units: Mapping[str, float]) -> list[float]:
    values = []
    for number, unit in re.findall(rf"{name}\s*:\s*([-+.\deE]+)\s*(\S*)", text):
        if unit not in units:
            raise SimulatorError(f"DRAMSys printed {name} {number} {unit}; its unit is one of {', '.join(units)}")
        values.append(float(number) * units[unit])
    return values


def run(
    tool: Tool, controller: Mapping[str, str | int], trace: str, clock_mhz: float, resources: Mapping[str, str]
) -> Report:
    """One simulation.

    Args:
        tool: DRAMSys, called as ``DRAMSys simulation.json FOLDER``.
        controller: parameters by their ArchGym names, ``dram_space().decode(designs)[i]``.
        trace: text of a trace file, ``cycle: read|write 0xADDRESS`` per line.
        clock_mhz: of the trace.
        resources: text of the files "memspec", "addressmapping" and "simconfig".
    """
    simulation = {
        "addressmapping": "addressmapping.json", "mcconfig": "mcconfig.json", "memspec": "memspec.json",
        "simconfig": "simconfig.json", "simulationid": "designopt", "thermalconfig": "thermal.json",
        "tracesetup": [{"clkMhz": clock_mhz, "name": "trace.stl"}],
    }  # fmt: skip
    mcconfig = {**controller, "CmdMux": "Oldest", "PowerDownPolicy": "NoPowerDown"}
    thermal = {"TemperatureScale": "Celsius", "StaticTemperatureDefaultValue": 89, "SimPeriodAdjustFactor": 10}
    files = {
        "simulation.json": json.dumps({"simulation": simulation}),
        "configs/mcconfigs/mcconfig.json": json.dumps({"mcconfig": mcconfig}),
        "configs/amconfigs/addressmapping.json": resources["addressmapping"],
        "configs/memspecs/memspec.json": resources["memspec"],
        "configs/simulator/simconfig.json": resources["simconfig"],
        "configs/thermalsimulators/thermal.json": json.dumps({"thermalsimconfig": thermal}),
        "traces/trace.stl": trace,
    }
    return parse(tool.run(files, ["simulation.json", "."]).text)
