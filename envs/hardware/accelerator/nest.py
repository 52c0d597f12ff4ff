"""Row-stationary mappings of a layer: every one of a family is analysed, the fastest is kept, of equals the frugal one.

References: [Chen2016] ISCA, Eyeriss (row-stationary dataflow); [Parashar2019] ISPASS, Timeloop (nest analysis).
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

FIELDS = (
    "cycles", "energy_pj", "compute_cycles", "units", "dram_reads", "dram_writes", "buffer_reads", "buffer_writes",
    "weight_reads", "ifmap_reads", "weight_fills", "ifmap_fills", "macs", "words_short",
)  # fmt: skip
"""Of one run of a layer: words of 16 bits; ``words_short`` is by how much the smallest tile exceeds the memories."""

WEIGHTS, IFMAP, OUTPUT = 0, 1, 2
K, C, P = 0, 1, 2
IRRELEVANT = np.array([P, K, C])
"""The loop over whose iterations an operand stays the same."""


@njit(cache=True)
def _passes(operand: int, first: int, trips: NDArray[np.int64], outer_first: int, outer: NDArray[np.int64]) -> int:
    """How often a tile of the operand is brought in: all loops, but not the innermost ones that do not touch it."""
    count = 1
    moving = False
    for level in range(2):
        bounds = trips if level == 0 else outer
        lead = first if level == 0 else outer_first
        for i in range(3):
            dimension = (lead + i) % 3
            bound = bounds[dimension]
            if bound > 1 and dimension != IRRELEVANT[operand]:
                moving = True
            if moving:
                count *= bound
    return count


@njit(cache=True)
def analyse_all(
    designs: NDArray[np.int64], energies: NDArray[np.float64], layers: NDArray[np.int64], dram_bandwidth: float
) -> NDArray[np.float64]:
    """Best mapping of each layer on each design.

    Args:
        designs: (n, 14): rows, columns; words of the ifmap, psum and weights pads and of the global buffer; read and
            write bandwidth (words a cycle) of the ifmap, psum and weights pads and of the global buffer.
        energies: (n, 6) pJ of a word of the ifmap, psum and weights pads, the global buffer, the DRAM, and of a MAC.
        layers: (L, 8): K, C, P, Q, R, S, stride, columns of the input map.
        dram_bandwidth: words a cycle.

    Returns:
        (n, L, len(FIELDS)).
    """
    found = np.full((len(designs), len(layers), 14), np.inf)
    inner, outer = np.empty(3, np.int64), np.empty(3, np.int64)
    none = np.ones(3, np.int64)
    for d in range(len(designs)):
        rows, columns, ifmap_words, psum_words, weight_words, buffer_words = designs[d, :6]
        for m in range(len(layers)):
            k, c, p, q, r, s, stride, width = layers[m]
            step = min(stride, r)
            macs = float(k * c * p * q * r * s)
            best = found[d, m]
            r_s = min(r, rows)
            p_s = min(p, columns)
            filters = 1
            while filters <= min(k, psum_words) and (filters == 1 or filters * s <= weight_words):
                channels = min(c, max(min(ifmap_words // s, weight_words // (s * filters)), 1))
                channels = -(-c // -(-c // channels))
                pad_short = float(max(s - ifmap_words, 0) + max(s - weight_words, 0))
                for split in range(2):
                    # Rows of the array that the filter leaves free take more filters or more channels.
                    spare = rows // r_s
                    k_rows = min(spare, -(-k // filters)) if split == 0 else 1
                    c_rows = min(spare, -(-c // channels)) if split == 1 else 1
                    k_columns = min(columns // p_s, -(-k // (filters * k_rows)))
                    k1, c1 = filters * k_rows * k_columns, channels * c_rows
                    units = r_s * p_s * k_rows * c_rows * k_columns
                    nk, nc, n_p, nr = -(-k // k1), -(-c // c1), -(-p // p_s), -(-r // r_s)
                    for a in range(4):
                        ok = -(-nk // min(nk, (1, 4, 16, nk)[a]))
                        tk = -(-nk // ok)
                        kt = min(k, tk * k1)
                        for b in range(4):
                            op = -(-n_p // min(n_p, (1, 4, 16, n_p)[b]))
                            tp = -(-n_p // op)
                            pt = min(p, tp * p_s)
                            rows_in = (pt - 1) * step + r
                            per_channel = kt * r * s + rows_in * width
                            room = (buffer_words - kt * pt * q) // per_channel
                            oc = -(-nc // max(min(nc, room // c1), 1))
                            tc = -(-nc // oc)
                            ct = min(c, tc * c1)
                            short = pad_short + max(ct * per_channel + kt * pt * q - buffer_words, 0)
                            if short > best[13]:
                                continue
                            # The filter rows that the array cannot hold at once are a part of the loop over channels.
                            inner[0], inner[1], inner[2] = tk, tc * nr, tp
                            outer[0], outer[1], outer[2] = ok, oc, op
                            total = float(tk * tc * nr * tp * ok * oc * op)
                            compute = total * q * s * channels * filters
                            tile_w = float(min(k1, k) * min(c1, c) * r_s * s)
                            tile_i = float(min(c1, c) * ((p_s - 1) * min(step, r_s) + r_s) * width)
                            tile_o = float(min(k1, k) * p_s * q)
                            for x in range(3):
                                if x > 0 and inner[x] == 1:
                                    continue
                                for y in range(3):
                                    if y > 0 and outer[y] == 1:
                                        continue
                                    pass_w = float(_passes(WEIGHTS, x, inner, y, outer))
                                    pass_i = float(_passes(IFMAP, x, inner, y, outer))
                                    pass_o = float(_passes(OUTPUT, x, inner, y, outer))
                                    dram_w = float(kt * ct * r * s) * _passes(WEIGHTS, y, outer, 0, none)
                                    dram_i = float(ct * rows_in * width) * _passes(IFMAP, y, outer, 0, none)
                                    dram_o = float(kt * pt * q) * _passes(OUTPUT, y, outer, 0, none)
                                    # Sums that come back: all but the first visit of each output.
                                    back = max(dram_o - float(kt * pt * q) * ok * op, 0.0)
                                    sums_out = tile_o * pass_o
                                    sums_in = max(sums_out - tile_o * tk * ok * tp * op, 0.0)
                                    fill_w = tile_w * pass_w
                                    fill_i = tile_i * pass_i
                                    dram_reads = dram_w + dram_i + back
                                    buffer_reads = fill_w + fill_i + sums_in + dram_o
                                    buffer_writes = dram_reads + sums_out
                                    # A word goes to every element that works on it; halos go to each neighbour.
                                    pad_w = fill_w * p_s
                                    pad_i = float(channels * width * units) * pass_i
                                    cycles = max(
                                        compute,
                                        buffer_reads / designs[d, 12],
                                        buffer_writes / designs[d, 13],
                                        (dram_reads + dram_o) / dram_bandwidth,
                                        compute / designs[d, 6],
                                        pad_i / units / designs[d, 7],
                                        compute / designs[d, 8],
                                        compute / designs[d, 9],
                                        compute / designs[d, 10],
                                        pad_w / units / designs[d, 11],
                                    )
                                    if short == best[13] and cycles > best[0]:
                                        continue
                                    energy = (
                                        energies[d, 0] * (macs + pad_i)
                                        + energies[d, 1] * 2 * macs
                                        + energies[d, 2] * (macs + pad_w)
                                        + energies[d, 3] * (buffer_reads + buffer_writes)
                                        + energies[d, 4] * (dram_reads + dram_o)
                                        + energies[d, 5] * macs
                                    )
                                    if short == best[13] and cycles == best[0] and energy >= best[1]:
                                        continue
                                    best[0], best[1], best[2], best[3] = cycles, energy, compute, units
                                    best[4], best[5], best[6], best[7] = dram_reads, dram_o, buffer_reads, buffer_writes
                                    best[8], best[9], best[10], best[11] = fill_w, fill_i, pad_w, pad_i
                                    best[12], best[13] = macs, short
                filters *= 2
    return found
