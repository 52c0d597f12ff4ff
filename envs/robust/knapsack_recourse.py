"""Exact second stage of the robust knapsack: a multiple-choice knapsack with two options an item.

Every committed item is outsourced (no weight, value 0), produced (weight c, value f - p_hat xi) or produced and
repaired (weight c + t, value f). ``solve`` searches a core around the linear-programming solution and is exact;
``solve_dp`` is the plain dynamic programme over capacity, what the other falls back to and is checked against.

References: [Pisinger1995] A minimal algorithm for the multiple-choice knapsack problem, EJOR 83; the bounds and
dominance rules are derived in docs/environments/robust_knapsack.md.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from designopt.parameters import Array

Ints = NDArray[np.int64]

# States that a search may keep before it gives way to the dynamic programme (memory, not correctness).
MAX_STATES = 4_000_000


def solve(c: Ints, t: Ints, f: Array, loss: Array, capacity: int) -> tuple[float, Ints, float]:
    """Best recourse for committed items.

    Args:
        c: (k,) weights, integers.
        t: (k,) extra weights of repair, integers.
        f: (k,) outsourcing costs, which producing saves.
        loss: (k,) profits lost by producing without repair.
        capacity: total weight allowed.

    Returns:
        Saved cost, choice (k,) with 0 outsource, 1 produce, 2 produce and repair, and the multiplier of the capacity
        in the linear-programming relaxation (>= 0), which bounds the value of every other design.
    """
    value, choice, multiplier = _core(c, t, f, loss, capacity, MAX_STATES)
    if math.isnan(value):
        value, choice = _dp_choice(c, t, f, loss, capacity)
    return value, choice, multiplier


@njit(cache=True, nogil=True)
def _increments(c: Ints, t: Ints, f: Array, loss: Array) -> tuple[Ints, Ints, Ints, Array]:
    """Upper-hull steps of all items, best value per weight first: item, level reached, weight and value of the step."""
    n = len(c)
    item = np.empty(2 * n, np.int64)
    level = np.empty(2 * n, np.int64)
    weight = np.empty(2 * n, np.int64)
    value = np.empty(2 * n)
    size = 0
    for i in range(n):
        v1, v2 = f[i] - loss[i], f[i]
        w1, w2 = c[i], c[i] + t[i]
        if w1 == w2 or (v2 - v1) * w1 >= v1 * (w2 - w1):  # a repair at least as efficient as producing: one step
            item[size], level[size], weight[size], value[size] = i, 2, w2, v2
            size += 1
            continue
        item[size], level[size], weight[size], value[size] = i, 1, w1, v1
        size += 1
        if v2 > v1:
            item[size], level[size], weight[size], value[size] = i, 2, w2 - w1, v2 - v1
            size += 1
    order = np.argsort(-(value[:size] / np.maximum(weight[:size], 1e-9)), kind="mergesort")
    return item[:size][order], level[:size][order], weight[:size][order], value[:size][order]


@njit(cache=True, nogil=True)
def _core(c: Ints, t: Ints, f: Array, loss: Array, capacity: int, max_states: int) -> tuple[float, Ints, float]:
    """Core search; NaN as value when the states overflow."""
    n = len(c)
    item, level, weight, value = _increments(c, t, f, loss)
    default = np.zeros(n, np.int64)
    used, saved = 0, 0.0
    multiplier = 0.0
    broken = len(item)
    for j in range(len(item)):
        if used + weight[j] > capacity:
            multiplier = value[j] / weight[j]
            broken = j
            break
        used += weight[j]
        saved += value[j]
        default[item[j]] = level[j]
    if broken == len(item):
        return saved, default, 0.0

    # Greedy fill beyond the break, for a first incumbent: a step whose predecessor was taken and that still fits.
    best_choice = default.copy()
    best, filled = saved, used
    for j in range(broken, len(item)):
        i = item[j]
        step_weight = _weight(c, t, i, level[j]) - _weight(c, t, i, best_choice[i])
        if filled + step_weight <= capacity:
            best += _value(f, loss, i, level[j]) - _value(f, loss, i, best_choice[i])
            filled += step_weight
            best_choice[i] = level[j]

    # Reduced profits: the loss of every option against the item's best, and what it changes in weight.
    bound = multiplier * capacity
    deviations = np.empty((n, 2))
    changes = np.empty((n, 2), np.int64)
    options = np.empty((n, 2), np.int64)
    for i in range(n):
        top = 0.0
        for o in range(1, 3):
            top = max(top, _value(f, loss, i, o) - multiplier * _weight(c, t, i, o))
        bound += top
        k = 0
        for o in range(3):
            lost = top - (_value(f, loss, i, o) - multiplier * _weight(c, t, i, o))
            if o == default[i]:  # loses nothing, but for rounding
                continue
            deviations[i, k] = lost
            changes[i, k] = _weight(c, t, i, o) - _weight(c, t, i, default[i])
            options[i, k] = o
            k += 1
    gap = bound - best
    smaller = np.minimum(deviations[:, 0], deviations[:, 1])
    order = np.argsort(smaller, kind="mergesort")
    relevant = 0
    while relevant < n and smaller[order[relevant]] < gap:
        relevant += 1
    lightest = np.zeros(relevant + 1, np.int64)  # what the items from j on can still take away, and add
    heaviest = np.zeros(relevant + 1, np.int64)
    for j in range(relevant - 1, -1, -1):
        i = order[j]
        lightest[j] = lightest[j + 1] + min(0, changes[i, 0], changes[i, 1])
        heaviest[j] = heaviest[j + 1] + max(0, changes[i, 0], changes[i, 1])

    # All layers of states one after the other, with parents, for the way back to the choice.
    room = 4096
    parent = np.empty(room, np.int64)
    taken = np.empty(room, np.int8)
    W = np.array([used])
    lost_so_far = np.array([0.0])
    parent[0], taken[0] = -1, 0
    base, size = 0, 1  # where the last layer begins and ends
    found_layer, found_state = -1, -1
    for j in range(relevant):
        i = order[j]
        if smaller[i] >= gap:
            break
        m = len(W)
        newW = np.empty(3 * m, np.int64)
        newL = np.empty(3 * m)
        if size + 3 * m > max_states:
            return np.nan, default, multiplier
        while size + 3 * m > room:
            room *= 2
            parent = np.concatenate((parent, np.empty(room - len(parent), np.int64)))
            taken = np.concatenate((taken, np.empty(room - len(taken), np.int8)))
        a = b = d = 0
        count = 0
        top_credit = -np.inf
        while a < m or b < m or d < m:
            # The next lightest of the three shifted copies of the layer.
            w, source, option, lost = np.int64(2**62), -1, 0, 0.0
            if a < m:
                w, source, option, lost = W[a], a, 0, lost_so_far[a]
            if b < m and W[b] + changes[i, 0] < w:
                w, source, option, lost = W[b] + changes[i, 0], b, 1, lost_so_far[b] + deviations[i, 0]
            if d < m and W[d] + changes[i, 1] < w:
                w, source, option, lost = W[d] + changes[i, 1], d, 2, lost_so_far[d] + deviations[i, 1]
            if option == 0:
                a += 1
            elif option == 1:
                b += 1
            else:
                d += 1
            if lost >= gap or w + lightest[j + 1] > capacity:
                continue
            if lost + multiplier * max(0, capacity - w - heaviest[j + 1]) >= gap:
                continue
            credit = multiplier * w - lost
            if credit <= top_credit:
                continue
            top_credit = credit
            newW[count], newL[count] = w, lost
            parent[size + count], taken[size + count] = base + source, option
            if w <= capacity and lost + multiplier * (capacity - w) < gap:
                gap = lost + multiplier * (capacity - w)
                found_layer, found_state = j, size + count
            count += 1
        W, lost_so_far = newW[:count], newL[:count]
        base, size = size, size + count
        if count == 0:
            break

    if found_state < 0:
        return best, best_choice, multiplier
    choice = default.copy()
    state = found_state
    for j in range(found_layer, -1, -1):
        if taken[state] > 0:
            choice[order[j]] = options[order[j], taken[state] - 1]
        state = parent[state]
    total = 0.0
    for i in range(n):
        total += _value(f, loss, i, choice[i])
    return total, choice, multiplier


@njit(cache=True, nogil=True, inline="always")
def _weight(c: Ints, t: Ints, i: int, option: int) -> int:
    return 0 if option == 0 else (c[i] if option == 1 else c[i] + t[i])


@njit(cache=True, nogil=True, inline="always")
def _value(f: Array, loss: Array, i: int, option: int) -> float:
    return 0.0 if option == 0 else (f[i] - loss[i] if option == 1 else f[i])


@njit(cache=True, nogil=True)
def _dp_row(c: Ints, t: Ints, f: Array, loss: Array, capacity: int, row: Array) -> float:
    """Saved cost by the dynamic programme, in a row of capacity + 1 numbers."""
    row[:] = 0.0
    for i in range(len(c)):
        w1, w2 = c[i], c[i] + t[i]
        v1, v2 = f[i] - loss[i], f[i]
        for w in range(capacity, w1 - 1, -1):
            best = max(row[w], row[w - w1] + v1)
            if w >= w2:
                best = max(best, row[w - w2] + v2)
            row[w] = best
    return float(row[capacity])


@njit(cache=True, nogil=True)
def _dp_choice(c: Ints, t: Ints, f: Array, loss: Array, capacity: int) -> tuple[float, Ints]:
    """The dynamic programme with its choices, (k, capacity + 1) bytes."""
    row = np.zeros(capacity + 1)
    table = np.zeros((len(c), capacity + 1), np.int8)
    for i in range(len(c)):
        w1, w2 = c[i], c[i] + t[i]
        v1, v2 = f[i] - loss[i], f[i]
        for w in range(capacity, w1 - 1, -1):
            if row[w - w1] + v1 > row[w]:
                table[i, w] = 1
            best = max(row[w], row[w - w1] + v1)
            if w >= w2 and row[w - w2] + v2 > best:
                table[i, w] = 2
                best = row[w - w2] + v2
            row[w] = best
    choice = np.zeros(len(c), np.int64)
    w = capacity
    for i in range(len(c) - 1, -1, -1):
        choice[i] = table[i, w]
        w -= 0 if choice[i] == 0 else (c[i] if choice[i] == 1 else c[i] + t[i])
    return float(row[capacity]), choice


def solve_dp(c: Ints, t: Ints, f: Array, loss: Array, capacity: int) -> tuple[float, Ints]:
    """As ``solve``, by dynamic programming over the capacity: saved cost, choice (k,)."""
    result: Any = _dp_choice(c, t, f, loss, capacity)
    return result[0], result[1]


@njit(cache=True, nogil=True)
def solve_many(
    c: Ints, t: Ints, f: Array, p_hat: Array, capacity: int, X: NDArray[np.bool_], Xi: Array
) -> tuple[Array, Array]:
    """Saved costs (s,) and multipliers (s,) of one instance for pairs of committed items X and scenarios Xi (s, n)."""
    out, multipliers = np.empty(len(X)), np.empty(len(X))
    for s in range(len(X)):
        kept = np.flatnonzero(X[s])
        loss = p_hat[kept] * Xi[s][kept]
        value, _, multiplier = _core(c[kept], t[kept], f[kept], loss, capacity, 4_000_000)
        if np.isnan(value):
            value = _dp_row(c[kept], t[kept], f[kept], loss, capacity, np.empty(capacity + 1))
        out[s], multipliers[s] = value, multiplier
    return out, multipliers
