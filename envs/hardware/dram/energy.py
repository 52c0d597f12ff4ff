"""Energy of a run from its command counts and supply currents.

References: [Chandrasekar2012] DRAMPower; its formulas, for the background from the first cycle to the end of the last
command (not to the last response), are in docs/environments/dram.md.
"""

from __future__ import annotations

import numpy as np

from designopt.envs.hardware.dram.memory import Memory
from designopt.parameters import Array


def energy_pj(memory: Memory, counts: dict[str, Array]) -> Array:
    """(n,) energies in pJ (mA V ns) of all devices.

    Args:
        memory: currents and the lengths that they are drawn for.
        counts: ``controller.COUNTS``, each (n,).
    """
    active = counts["active"]
    total = np.zeros(len(active))
    for rail in memory.rails:
        drawn = (  # mA tCK
            rail.active * active
            + rail.precharged * (counts["window"] - active)
            + (rail.activate - rail.active) * memory.ras * counts["activates"]
            + (rail.activate - rail.precharged) * (memory.rc - memory.ras) * counts["precharges"]
            + (rail.read - rail.active) * (memory.burst // 2) * counts["reads"]
            + (rail.write - rail.active) * (memory.burst // 2) * counts["writes"]
            + (rail.refresh - rail.active) * memory.rfc * counts["refreshes"]
        )
        total += rail.volts * memory.devices * (memory.timing.clock_ps / 1000) * drawn
    return total
