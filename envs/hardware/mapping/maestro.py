"""MAESTRO's cost model of a mapping, integer for integer, including what it gets wrong.

[Kwon2019] MICRO; the rules and their numbers are in docs/environments/mapping.md. A level is a list of directives, a
directive is (class, dimension, size, offset); the cases of a level are the combinations of initial, steady and edge
states of its directives, whose number does not depend on how often they occur.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

K, C, R, S, Y, X = range(6)
TEMPORAL, SPATIAL = 0, 1
INIT, STEADY, EDGE = 0, 1, 2
FIRST, OTHER, PARTIAL = 0, 1, 2
INPUT, FILTER, OUTPUT = 0, 1, 2

# Columns of the directive table, of the constants of a directive, and of its states.
CLASS, DIM, SIZE, OFFSET = range(4)
M, U, ME, UE, OUT_M, OUT_U, OUT_ME, OUT_UE = range(8)
KIND, TIMES, AT_EDGE, LAST_PARTIAL, UNROLLED = range(5)

RESULTS = 11
"""Runtime, counted MACs; L2 reads of input and filter, L2 writes of output; L2 sizes, L1 sizes."""


@njit(cache=True, nogil=True)
def quotient(a: int, b: int) -> int:
    """A / b, b positive, truncated toward zero."""
    return a // b if a >= 0 else -((-a) // b)


@njit(cache=True, nogil=True)
def related(tensor: int, dim: int, depthwise: bool) -> bool:
    """Whether a tensor has a dimension."""
    if tensor == INPUT:
        return dim in (C, Y, X)
    if tensor == FILTER:
        return dim in (C, R, S) or (dim == K and not depthwise)
    return dim in (Y, X, C if depthwise else K)


@njit(cache=True, nogil=True)
def complete(levels: Any, lengths: Any, layer: Any, extents: Any) -> None:
    """Complete the directives of all levels in place: inherited, missing, and moved to the stride of the layer.

    Args:
        levels: (l, 6, 4) directives, in sizes of the input.
        lengths: (l,) how many of them each level has; becomes the completed number.
        layer: (8,) K, C, R, S, Y, X, stride, whether it is depthwise.
        extents: (l, 6) filled with what each level covers of each dimension.
    """
    stride = layer[6]
    for level in range(len(levels)):
        table = levels[level]
        for d in range(6):
            extents[level, d] = layer[d]
        if level > 0:
            for i in range(lengths[level - 1]):
                upper = levels[level - 1, i]
                d = upper[DIM]
                extents[level, d] = min(upper[SIZE], extents[level - 1, d])
            for i in range(lengths[level - 1]):
                upper = levels[level - 1, i]
                if place(table, lengths[level], upper[DIM]) < 0:
                    for j in range(lengths[level], 0, -1):
                        table[j] = table[j - 1]
                    table[0] = upper
                    table[0, CLASS] = TEMPORAL
                    lengths[level] += 1
        for d in (C, K, R, S, X, Y):
            if (d != K or layer[7] == 0) and place(table, lengths[level], d) < 0:
                last = table[lengths[level]]
                last[CLASS], last[DIM], last[SIZE], last[OFFSET] = TEMPORAL, d, extents[level, d], extents[level, d]
                lengths[level] += 1
        if stride == 1:
            continue
        for i in range(lengths[level]):
            d = table[i, DIM]
            window = layer[R] if d == Y else layer[S]
            if d in (Y, X) and table[i, SIZE] >= window:
                outputs = (table[i, SIZE] + stride - window) // stride
                table[i, SIZE] = outputs * min(stride, window) + max(window - stride, 0)
                table[i, OFFSET] = outputs * (window if level > 0 and window < stride else stride)


@njit(cache=True, nogil=True)
def place(table: Any, length: int, dim: int) -> int:
    """Index of the directive of a dimension, -1 when there is none."""
    for i in range(length):
        if table[i, DIM] == dim:
            return i
    return -1


@njit(cache=True, nogil=True)
def constants(table: Any, length: int, extent: Any, units: int, con: Any) -> int:
    """Fill con, (6, 8), by directive; -> how many units work at the spatial edge."""
    for i in range(length):
        size, offset, full = table[i, SIZE], table[i, OFFSET], extent[table[i, DIM]]
        times = max(0, quotient(full - size, offset))
        rest = full - (times + 1) * offset
        con[i, M] = size
        con[i, U] = 0 if table[i, CLASS] == TEMPORAL and full <= size else min(size, offset)
        con[i, ME] = size
        if times * offset + size < full or size > full:
            con[i, ME] = full if rest < 0 else rest
        con[i, UE] = max(offset - (size - (full if rest < 0 else rest)), 0)
        con[i, OUT_M:] = con[i, :OUT_M]
    for i in range(length):
        d = table[i, DIM]
        if d in (Y, X):
            window = place(table, length, R if d == Y else S)
            con[i, OUT_M] = con[i, M] - con[window, M] + 1
            con[i, OUT_U] = min(table[i, OFFSET], table[i, SIZE])
            con[i, OUT_ME] = con[i, ME] - con[window, ME] + 1
            con[i, OUT_UE] = min(table[i, OFFSET], con[i, OUT_ME])
    for i in range(length):
        if table[i, CLASS] == SPATIAL:
            size, offset, full = table[i, SIZE], table[i, OFFSET], extent[table[i, DIM]]
            if full > offset * (units - 1) + size:
                rounds = quotient(quotient(full - size, offset) + 1, units) - 1
                rest = full - (rounds + 1) * offset * units
                return 1 if rest < size else (rest - size) // offset + 1
            if full <= size:
                return 1
            active: int = (full - size) // offset + 1
            return active + 1 if (active - 1) * offset + size < full else active
    return 1


@njit(cache=True, nogil=True)
def set_state(state: Any, kind: int, times: int, last_partial: bool) -> None:
    """Fill state, (5,)."""
    state[KIND], state[TIMES], state[AT_EDGE], state[UNROLLED] = kind, times, 1 if kind == EDGE else 0, 0
    state[LAST_PARTIAL] = 1 if last_partial else 0


@njit(cache=True, nogil=True)
def states_of(table: Any, length: int, extent: Any, units: int, states: Any, counts: Any) -> None:
    """Fill states, (6, 3, 5), and counts, (6,): the states that each directive goes through over its extent."""
    for i in range(length):
        size, offset, full = table[i, SIZE], table[i, OFFSET], extent[table[i, DIM]]
        spatial = table[i, CLASS] == SPATIAL
        covered = size + offset * (units - 1) if spatial else size
        set_state(states[i, 0], INIT, 1, spatial and full < covered)
        states[i, 0, AT_EDGE] = 1 if full < covered else 0
        states[i, 0, UNROLLED] = 1 if full <= covered else 0
        n = 1
        steps = quotient(full - size, offset)
        rounds = quotient(steps + 1, units) - 1 if spatial else steps
        if covered < full and rounds > 0:
            set_state(states[i, n], STEADY, rounds, False)
            n += 1
        if spatial:
            rest = full - (rounds + 1) * offset * units
            if full > covered and rounds * offset * units + covered != full and rest + covered > 0:
                active = 1 if rest < size else (rest - size) // offset + 1
                set_state(states[i, n], EDGE, 1, (active - 1) * offset + size < rest)
                n += 1
        elif full > size and max(steps, 0) * offset + size < full:
            set_state(states[i, n], EDGE, 1, False)
            n += 1
        counts[i] = n


@njit(cache=True, nogil=True)
def new_data(
    tensor: int, unit: int, table: Any, length: int, con: Any, case: Any, changed: int, active: int, depthwise: bool
) -> int:
    """Elements of an operand that one unit needs anew in a case."""
    if changed >= 0 and not related(tensor, table[changed, DIM], depthwise):
        return 0
    reset = False
    for i in range(changed + 1, length):
        if related(tensor, table[i, DIM], depthwise) and case[i, KIND] == INIT and case[i, UNROLLED] == 0:
            reset = True
    volume = 1
    for i in range(length):
        if not related(tensor, table[i, DIM], depthwise):
            continue
        edge, kind = case[i, AT_EDGE] == 1, case[i, KIND]
        if table[i, CLASS] == TEMPORAL:
            if changed < 0 or kind == INIT:
                volume *= con[i, ME] if edge else con[i, M]
            else:
                volume *= max(con[i, U], 1) if i == changed and not reset else con[i, M]
            continue
        alone = unit == FIRST and active == 1 and (case[i, LAST_PARTIAL] == 1 or changed < 0)
        partial = edge and (unit == PARTIAL or alone)
        whole, fresh = (con[i, ME], con[i, UE]) if partial else (con[i, M], con[i, U])
        if changed < 0 or unit == FIRST:
            volume *= whole
        elif kind == INIT:
            volume *= whole if i <= changed else fresh
        else:
            volume *= fresh if i == changed and not reset else whole
    return volume


@njit(cache=True, nogil=True)
def sums(
    unit: int,
    outputs_only: bool,
    macs: bool,
    table: Any,
    length: int,
    con: Any,
    case: Any,
    active: int,
    depthwise: bool,
) -> int:
    """Outputs, or partial sums, that one unit makes in a case; ``macs``: as they are counted for arithmetic."""
    volume = 1
    for i in range(length):
        of_output = related(OUTPUT, table[i, DIM], depthwise)
        if outputs_only and not of_output:
            continue
        edge, first = case[i, AT_EDGE] == 1, OUT_M if of_output else M
        if table[i, CLASS] == TEMPORAL:
            volume *= con[i, first + ME] if edge else con[i, first]
        elif edge and case[i, KIND] == EDGE and active == 1:
            volume *= con[i, ME]  # the size of the input, even for outputs
        elif edge and unit == PARTIAL:
            whole = case[i, KIND] == INIT and (active == 1 or macs or not of_output)
            volume *= con[i, first + ME] if whole else con[i, first + UE]
        elif edge and unit == FIRST and active == 1:
            volume *= con[i, first + ME]
        elif unit == FIRST:
            volume *= con[i, first]
        else:
            volume *= max(con[i, first + U], 1) if of_output else con[i, first + U]
    return volume


@njit(cache=True, nogil=True)
def walk(
    level: int, levels: Any, lengths: Any, extent: Any, units: Any, active: Any, con: Any, depthwise: bool, noc_bw: int,
    offchip_bw: int, states: Any, counts: Any, memo: Any, result: Any,
) -> int:  # fmt: skip
    """Runtime of one pass over a level; the top level also fills ``result``, (RESULTS,)."""
    table, length, n, ne = levels[level], lengths[level], units[level], active[level]
    c, innermost = con[level], level == len(levels) - 1
    states_of(table, length, extent, n, states[level], counts[level])
    case = np.empty((6, 5), np.int64)
    digits = np.zeros(6, np.int64)
    on_tensor = np.zeros(3, np.bool_)
    spatial = -1
    for i in range(length - 1, -1, -1):
        if table[i, CLASS] == SPATIAL:
            spatial = i
            for t in range(3):
                on_tensor[t] = on_tensor[t] or related(t, table[i, DIM], depthwise)
    moved = np.zeros(3, np.int64)
    runtime, start = 0, True
    while True:
        times, changed, at_edge, last_partial = 1, -1, False, False
        for i in range(length):
            case[i] = states[level, i, digits[i]]
            times *= case[i, TIMES]
            if case[i, KIND] != INIT:
                changed = i
            if table[i, CLASS] == SPATIAL and case[i, AT_EDGE] == 1:
                at_edge = True
                last_partial = last_partial or case[i, LAST_PARTIAL] == 1
        for t in range(3):
            edge, partial = 0, 0
            for i in range(length):
                if table[i, CLASS] == SPATIAL and related(t, table[i, DIM], depthwise):
                    edge, partial = edge | case[i, AT_EDGE], partial | case[i, LAST_PARTIAL]
            amount = per_unit(t, FIRST, table, length, c, case, changed, ne, depthwise)
            if on_tensor[t] and edge == 0:
                if n > 1:
                    amount += (n - 1) * per_unit(t, OTHER, table, length, c, case, changed, ne, depthwise)
            elif on_tensor[t] and ne > 1:
                if ne - partial - 1 > 0:
                    others = per_unit(t, OTHER, table, length, c, case, changed, ne, depthwise)
                    amount += (ne - partial - 1) * others
                if partial == 1:
                    amount += per_unit(t, PARTIAL, table, length, c, case, changed, ne, depthwise)
            moved[t] = amount
        if level == 0:
            if start:
                result[5:8] = 2 * moved
            result[4] += times * moved[OUTPUT]
        start = False
        work = sums(FIRST, False, False, table, length, c, case, ne, depthwise)
        if work > 0:
            if innermost:
                compute = work
            else:
                compute = 0
                edge_below = spatial >= 0 and case[spatial, AT_EDGE] == 1
                for part in range(2 if edge_below and case[spatial, LAST_PARTIAL] == 1 else 1):
                    key = 0
                    for i in range(length):
                        small = case[i, AT_EDGE] == 1
                        if table[i, CLASS] == SPATIAL:
                            small = small and (ne == 1 or part == 1)
                        key = 2 * key + (1 if small else 0)
                    compute = max(compute, memo[key])
            ingress = 1 + -(-(moved[INPUT] + moved[FILTER]) // noc_bw) - 1
            egress = 1 + -(-moved[OUTPUT] // noc_bw) - 1
            delay = compute + ingress if changed < 0 else max(compute, ingress, egress)
            if level == 0:
                delay = max(delay, result[7] // offchip_bw // 2, (result[5] + result[6]) // offchip_bw // 2)
                result[2] += times * moved[INPUT]
                result[3] += times * moved[FILTER]
                macs = n * work
                if at_edge:
                    macs = work
                    if ne > 1:
                        last = sums(PARTIAL, False, True, table, length, c, case, ne, depthwise) if last_partial else 0
                        macs = work * max(ne - (1 if last_partial else 0), 0) + last
                result[1] += times * macs
            runtime += times * delay
        i = length - 1
        while i >= 0 and digits[i] == counts[level, i] - 1:
            digits[i] = 0
            i -= 1
        if i < 0:
            return runtime
        digits[i] += 1


@njit(cache=True, nogil=True)
def below_all(
    levels: Any, lengths: Any, extents: Any, units: Any, active: Any, con: Any, depthwise: bool, noc_bw: int,
    states: Any, counts: Any, memo: Any, below: Any,
) -> None:  # fmt: skip
    """Fill memo, (64,): runtime of the inner level by which tiles of the outer one are those of an edge.

    All are worked out beforehand, because a cached numba function must not call itself.
    """
    length, nothing = lengths[0], np.zeros(RESULTS, np.int64)
    states_of(levels[0], length, extents[0], units[0], states[0], counts[0])
    for key in range(1 << length):
        possible = True
        for i in range(length):
            small = (key >> (length - 1 - i)) & 1 == 1
            below[levels[0, i, DIM]] = con[0, i, ME] if small else con[0, i, M]
            last = states[0, i, counts[0, i] - 1, AT_EDGE]
            possible = possible and (not small or states[0, i, 0, AT_EDGE] == 1 or last == 1)
        if possible:
            memo[key] = walk(
                1, levels, lengths, below, units, active, con, depthwise, noc_bw, 1, states, counts, memo, nothing
            )


@njit(cache=True, nogil=True)
def per_unit(
    tensor: int, unit: int, table: Any, length: int, con: Any, case: Any, changed: int, active: int, depthwise: bool
) -> int:
    """Elements of a tensor that one unit receives, or of the output that it sends."""
    if tensor == OUTPUT:
        return sums(unit, True, False, table, length, con, case, active, depthwise)
    return new_data(tensor, unit, table, length, con, case, changed, active, depthwise)


@njit(cache=True, nogil=True)
def cost(levels: Any, lengths: Any, units: Any, layer: Any, noc_bw: int, offchip_bw: int) -> Any:
    """N mappings of one layer -> (n, RESULTS).

    Args:
        levels: (n, l, 6, 4) directives, in sizes of the input; l is 1 or 2.
        lengths: (n, l) directives of each level.
        units: (n, l) units of each level, at least 1.
        layer: (8,) K, C, R, S, Y, X, stride, whether it is depthwise.
        noc_bw: elements a cycle on each network on chip.
        offchip_bw: elements a cycle from and to the memory.
    """
    depth, depthwise = levels.shape[1], layer[7] == 1
    results = np.zeros((len(levels), RESULTS), np.int64)
    extents = np.empty((depth, 6), np.int64)
    con = np.empty((depth, 6, 8), np.int64)
    states = np.empty((depth, 6, 3, 5), np.int64)
    counts = np.empty((depth, 6), np.int64)
    active = np.empty(depth, np.int64)
    memo = np.empty(64, np.int64)
    below = np.empty(6, np.int64)
    for j in range(len(levels)):
        table, length = levels[j].copy(), lengths[j].copy()
        complete(table, length, layer, extents)
        for level in range(depth):
            active[level] = constants(table[level], length[level], extents[level], units[j, level], con[level])
        if depth == 2:
            below_all(table, length, extents, units[j], active, con, depthwise, noc_bw, states, counts, memo, below)
        results[j, 0] = walk(
            0, table, length, extents[0], units[j], active, con, depthwise, noc_bw, offchip_bw, states, counts, memo,
            results[j],
        )  # fmt: skip
        for t in range(3):
            size = 2
            for i in range(length[depth - 1]):
                if related(t, table[depth - 1, i, DIM], depthwise):
                    size *= con[depth - 1, i, M]
            results[j, 8 + t] = size
    return results
