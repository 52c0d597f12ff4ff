"""The compiled loop of the neighbour distances."""

import numpy as np
from numba import njit


@njit(cache=True, nogil=True, fastmath={"contract", "nsz", "arcp"})
def mean_of_nearest(designs, anchor, columns, terms, base, weights, categorical, k):  # type: ignore[no-untyped-def]
    """Designs (n, d), anchor (d,), columns and terms (d, m), base (m,), weights and categorical (d,) -> (n,)."""
    n, d = designs.shape
    m = base.shape[0]
    result = np.empty(n)
    distance = np.empty(m)
    nearest = np.empty(k)
    for i in range(n):
        distance[:] = base
        for c in range(d):
            x = designs[i, c]
            if x == anchor[c] or weights[c] == 0.0:
                continue
            column, term, weight = columns[c], terms[c], weights[c]
            if categorical[c]:
                for j in range(m):
                    distance[j] += (0.0 if column[j] == x else weight) - term[j]
            else:
                for j in range(m):
                    distance[j] += abs(column[j] - x) * weight - term[j]
        nearest[:] = np.inf
        for j in range(m):
            value = distance[j]
            if value < nearest[k - 1]:
                place = k - 1
                while place > 0 and nearest[place - 1] > value:
                    nearest[place] = nearest[place - 1]
                    place -= 1
                nearest[place] = value
        total = 0.0
        for j in range(k):
            total += max(nearest[j], 0.0)
        result[i] = total / k
    return result
