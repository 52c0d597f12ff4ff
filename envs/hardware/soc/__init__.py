"""System on a chip: task graphs on heterogeneous processors, buses and memories."""

from designopt.envs.hardware.soc.simulation import SoCResult, simulate

__all__ = ["SoCResult", "simulate"]
