"""Peak power: the largest mean over windows of time, from the phases of a run, compiled.

Phases are (3, n): length in seconds, energy in J, and the time at which each ends; the first one is empty.
"""

from __future__ import annotations

from typing import Any

from numba import njit

WINDOW_S = 0.01
"""Length of the windows over which power is averaged."""


@njit(cache=True, nogil=True, error_model="numpy")
def farsi_power(phases: Any) -> Any:
    """Largest mean power of a window, windows laid as FARSI lays them.

    Window limits count phases of positive length only, but are used as places in the list of all phases.
    """
    n = phases.shape[1]
    largest, low, high, left = 0.0, 0, 0, WINDOW_S
    for k in range(n + 1):
        if k < n:
            if phases[0, k] <= 0:
                continue
            high += 1
            if phases[0, k] <= left:
                left -= phases[0, k]
                continue
            left = WINDOW_S
        else:
            high = n
        energy = phases[1, low:high].sum()
        seconds = phases[0, low:high].sum()
        if seconds > 0:
            largest = max(largest, energy / seconds)
        low = high
    return largest


@njit(cache=True, nogil=True, error_model="numpy")
def peak_power(phases: Any) -> Any:
    """Largest mean power of any ``WINDOW_S`` in the run, or of the whole run when it is shorter.

    Power is constant in a phase, so the energy of a sliding window is largest with one of its ends at a phase's.
    """
    n = phases.shape[1]
    total = phases[2, n - 1]
    if total <= WINDOW_S:
        return phases[1].sum() / total if total > 0 else 0.0
    largest = 0.0
    for k in range(n):
        for side in range(2):
            start = phases[2, k] - side * WINDOW_S
            start = min(max(start, 0.0), total - WINDOW_S)
            energy = 0.0
            for j in range(n):
                dt = phases[0, j]
                if dt > 0:
                    low, high = max(phases[2, j] - dt, start), min(phases[2, j], start + WINDOW_S)
                    energy += max(high - low, 0.0) / dt * phases[1, j]
            largest = max(largest, energy / WINDOW_S)
    return largest
