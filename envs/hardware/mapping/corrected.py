"""Counts of a mapping that a machine could not undercut: the corrected model.

The same loops as MAESTRO's, but tiles partition the layer: every multiply-accumulate is done once; an operand is
fetched again whenever a loop that does not move it wraps around loops inside that do; a partial sum that leaves a unit
before it is complete is written and read back. docs/environments/mapping.md has the equations.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from designopt.envs.hardware.mapping.maestro import (
    CLASS,
    DIM,
    FILTER,
    INPUT,
    OFFSET,
    OUTPUT,
    SIZE,
    SPATIAL,
    C,
    K,
    R,
    S,
    X,
    Y,
    complete,
    related,
)  # fmt: skip

RESULTS = 19
"""Runtime, MACs; L2 reads and L2 writes, L1 writes of input, filter and output; L2 and L1 sizes; off-chip elements."""


@njit(cache=True, nogil=True)
def moves(tensor: int, dim: int, depthwise: bool) -> bool:
    """Whether a step along a dimension changes which elements of a tensor are in use; windows move over the input."""
    return related(tensor, dim, depthwise) or (tensor == INPUT and dim in (R, S))


@njit(cache=True, nogil=True)
def window(outputs: int, size: int, stride: int) -> int:
    """Inputs under ``outputs`` neighbouring positions of a filter of ``size``."""
    return outputs * min(stride, size) + max(size - stride, 0)


@njit(cache=True, nogil=True)
def pieces(full: int, outer: int, inner: int, sizes: Any, times: Any) -> None:
    """Fill sizes and times, (4,): the inner tiles of all outer tiles of an extent."""
    for k in range(2):
        part = outer if k == 0 else full % outer
        often = full // outer if k == 0 else 1
        tile = min(inner, part) if part > 0 else 1
        sizes[2 * k], times[2 * k] = tile, often * (part // tile)
        sizes[2 * k + 1], times[2 * k + 1] = part % tile, often if part % tile > 0 else 0


@njit(cache=True, nogil=True)
def rounds(full: int, tile: int, units: int) -> int:
    """Steps in time over an extent, ``units`` tiles at once."""
    return -(-full // (tile * units))


@njit(cache=True, nogil=True)
def busy(full: int, tile: int, units: int) -> int:
    """Largest tile of each step, summed over the steps in time."""
    chunk = tile * units
    return (full // chunk) * tile + min(tile, full % chunk)


@njit(cache=True, nogil=True)
def covered(tensor: int, full: Any, outer: Any, inner: Any, stride: int, depthwise: bool) -> int:
    """Elements of a tensor over all tiles, each tile once; windows that overlap are loaded for each tile."""
    sizes, times = np.empty(4, np.int64), np.empty(4, np.int64)
    windows, often = np.empty(4, np.int64), np.empty(4, np.int64)
    volume = 1
    for d in range(6):
        if not related(tensor, d, depthwise):
            continue
        if tensor == INPUT and d != C:
            f = R if d == Y else S
            pieces(full[d], outer[d], inner[d], sizes, times)
            pieces(full[f], outer[f], inner[f], windows, often)
            total = 0
            for i in range(4):
                for j in range(4):
                    if times[i] * often[j] > 0:
                        total += times[i] * often[j] * window(sizes[i], windows[j], stride)
            volume *= total
        else:
            volume *= full[d]
    return volume


@njit(cache=True, nogil=True)
def cost(levels: Any, lengths: Any, units: Any, layer: Any, noc_bw: int, offchip_bw: int) -> Any:
    """N mappings of one layer -> (n, RESULTS); arguments as of ``maestro.cost``."""
    depth, stride, depthwise = levels.shape[1], layer[6], layer[7] == 1
    results = np.zeros((len(levels), RESULTS), np.int64)
    extents = np.empty((depth, 6), np.int64)
    full = layer[:6].copy()
    full[Y] = (layer[Y] - layer[R]) // stride + 1
    full[X] = (layer[X] - layer[S]) // stride + 1
    tile = np.ones((2, 6), np.int64)
    wide = np.ones((2, 6), np.int64)  # units along each dimension
    chunk = np.ones(6, np.int64)
    loops = np.zeros((12, 3), np.int64)  # dimension, steps, level; outermost first
    macs = 1
    for d in range(6):
        macs *= full[d]
    for j in range(len(levels)):
        table, length = levels[j].copy(), lengths[j].copy()
        plain = layer.copy()
        plain[6] = 1  # sizes are turned into outputs here, not by the tool's rule
        complete(table, length, plain, extents)
        wide[:] = 1
        tile[0] = full
        for level in range(depth):
            for i in range(length[level]):
                d, size = table[level, i, DIM], table[level, i, SIZE]
                step = min(size, table[level, i, OFFSET])
                if d in (Y, X):  # outputs that the inputs of a tile complete
                    outputs = max(size - layer[R if d == Y else S], 0) // stride + 1
                    step = min(outputs, max(table[level, i, OFFSET] // stride, 1))
                tile[level, d] = min(max(step, 1), full[d] if level == 0 else tile[0, d])
        if depth == 1:
            tile[1] = tile[0]
        count = 0
        for level in range(depth):
            free = True
            for i in range(length[level]):
                d = table[level, i, DIM]
                if table[level, i, CLASS] == SPATIAL and free:
                    wide[level, d], free = units[j, level], False
                outer = full[d] if level == 0 else tile[0, d]
                loops[count] = (d, rounds(outer, tile[level, d], wide[level, d]), level)
                count += 1
        compute = 1
        for d in range(6):
            chunk[d] = min(full[d], tile[0, d] * wide[0, d])
            work = busy(tile[0, d], tile[1, d], wide[1, d])
            whole = full[d] // chunk[d]
            rest = full[d] % chunk[d]
            compute *= whole * work + (busy(min(rest, tile[0, d]), tile[1, d], wide[1, d]) if rest > 0 else 0)
        r = results[j]
        ingress = 0
        for t in range(3):
            # Between L2 and the units: all loops. Off the chip: those of the top level, a round of all units at a time.
            near, far = -1, -1
            for i in range(count):
                if moves(t, loops[i, 0], depthwise) and loops[i, 1] > 1:
                    near = i
                    if loops[i, 2] == 0:
                        far = i
            refetch, copies, offchip = 1, 1, 1
            for d in range(6):
                if moves(t, d, depthwise):
                    continue
                top, sub = False, False
                for i in range(count):
                    if loops[i, 0] == d:
                        if i < near and loops[i, 2] == 0:
                            top = True
                        if i < near and loops[i, 2] == 1:
                            sub = True
                        if i < far and loops[i, 2] == 0:
                            offchip *= loops[i, 1]
                steps = rounds(full[d], tile[0, d], wide[0, d]) if top else 1
                side = min(wide[0, d], -(-full[d] // tile[0, d]))
                inside = rounds(tile[0, d], tile[1, d], wide[1, d]) if sub else 1
                refetch *= steps * inside
                copies *= side * min(wide[1, d], -(-tile[0, d] // tile[1, d]))
            moved = covered(t, full, tile[0], tile[1], stride, depthwise) * refetch
            outside = covered(t, full, chunk, chunk, stride, depthwise) * offchip
            first, held = 1, 1
            for d in range(6):
                if related(t, d, depthwise):
                    if t == INPUT and d != C:
                        f = R if d == Y else S
                        first *= window(chunk[d], chunk[f], stride)
                        held *= window(tile[1, d], tile[1, f], stride)
                    else:
                        first, held = first * chunk[d], held * tile[1, d]
            r[11 + t], r[14 + t] = 2 * first, 2 * held
            if t == OUTPUT:
                final = full[Y] * full[X] * (full[C] if depthwise else full[K])
                r[2 + t] = (moved - final) + outside
                r[5 + t] = moved + (outside - final)
                r[8 + t] = moved - final
                r[17] += outside - final
                r[18] += outside
            else:
                r[2 + t], r[5 + t], r[8 + t] = moved, outside, moved * copies
                r[17] += outside
                ingress += moved
        r[1] = macs
        back = r[8 + OUTPUT]  # partial sums read again
        fill = (r[14 + INPUT] + r[14 + FILTER]) // 2
        r[0] = max(
            compute, -(-(ingress + back) // noc_bw), -(-r[5 + OUTPUT] // noc_bw), -(-(r[17] + r[18]) // offchip_bw)
        ) + -(-fill // min(noc_bw, offchip_bw))
    return results
