"""Energy and area of an accelerator's parts at 45 nm; a word has 16 bits.

References: [Horowitz2014] ISSCC (10, 20 and 100 pJ for 64 bits of 8 KB, 32 KB and 1 MB); [Kao2020] ICCAD, GAMMA (0.086
um2 an SRAM bit); Accelergy's table of one design (MAC 2.2 pJ and 1239.5 um2, register file of 16 words 0.075 pJ and
95.7 um2, DRAM 512 pJ for 64 bits). Where none is named, the constant is ours.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from designopt.parameters import Array

CLASSES = ("regfile", "smartbuffer_SRAM", "smartbuffer_RF", "SRAM")

MAC_PJ, MAC_UM2 = 2.2, 1239.5
DRAM_PJ = 128.0
"""512 pJ for 64 bits, a quarter of it a word."""

GENERATOR_PJ, GENERATOR_UM2 = 0.05, 150.0
"""Address generator of a smart buffer (ours)."""

PERIPHERY_PJ, PERIPHERY_UM2 = 0.2, 500.0
"""Decoder and sense amplifiers of an SRAM (ours)."""

ROUTE_PJ = 0.02
"""From a bank to the port, times the square root of the number of banks (ours)."""

LEAKAGE_PJ_PER_CYCLE_MM2 = 100.0
"""20 mW/mm2 at 200 MHz (ours)."""


def access_pj(kind: NDArray[np.int64], words: Array, block: Array, banks: Array | float = 1.0) -> Array:
    """(n,) memories -> energy of a word read or written.

    Args:
        kind: index into ``CLASSES``.
        words: capacity of the whole memory.
        block: words decoded at once, which halves, at best, what an access costs.
        banks: parts of equal size, one of which is accessed.
    """
    sram = 2.5 * np.sqrt(words * 2 / 1024 / 8 / banks) + PERIPHERY_PJ
    register = 0.03 + 0.0028 * words / banks
    energy = np.where(_is_sram(kind), sram, register) * (0.5 + 0.5 / block) + np.where(_is_smart(kind), GENERATOR_PJ, 0)
    return np.asarray(energy + ROUTE_PJ * (np.sqrt(banks) - 1))


def area_um2(kind: NDArray[np.int64], words: Array, banks: Array | float = 1.0) -> Array:
    """(n,) memories -> area: registers 6 um2 a word, SRAM 0.086 um2 a bit and its periphery, once a bank."""
    sram = 16 * 0.086 * words + PERIPHERY_UM2 * banks
    return np.asarray(np.where(_is_sram(kind), sram, 95.7 / 16 * words) + np.where(_is_smart(kind), GENERATOR_UM2, 0))


def _is_sram(kind: NDArray[np.int64]) -> NDArray[np.bool_]:
    return np.isin(kind, (1, 3))


def _is_smart(kind: NDArray[np.int64]) -> NDArray[np.bool_]:
    return np.isin(kind, (1, 2))
