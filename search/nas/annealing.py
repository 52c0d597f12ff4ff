"""Cosine power annealing, sharpDARTS' learning-rate schedule [Hundt2019]."""

from __future__ import annotations

import numpy as np

from designopt.parameters import Array


def cosine_power_annealing(epochs: int, high: float, low: float, *, power: float = 2.0, warmup: int = 0) -> Array:
    """Learning rate of every epoch, (epochs,): from ``high`` down to ``low``.

    With c_e = (1 + cos(pi e / E)) / 2 for e = 1..E, the shape is p^(c_e + 1), rescaled so that the first epoch has
    ``high`` and the last ``low`` exactly. ``power=1`` is a cosine, 10 nearly an exponential decay.

    Args:
        epochs: E; a single epoch has the rate ``high``.
        high: first learning rate.
        low: last learning rate.
        power: p.
        warmup: so many first epochs rise linearly instead, ``high`` e / (warmup + 1).

    Raises:
        ValueError: no epochs, a power below one, or a warm-up that is negative or as long as the schedule.
    """
    if epochs < 1:
        raise ValueError(f"epochs = {epochs}; it must be at least 1")
    if not power >= 1:
        raise ValueError(f"power = {power}; it must be at least 1")
    if not 0 <= warmup < epochs:
        raise ValueError(f"warmup = {warmup}; it must be at least 0 and below epochs = {epochs}")
    e = np.arange(1, epochs + 1)
    cosine = (1 + np.cos(np.pi * e / epochs)) / 2
    # p^(c - c_E) - 1, which rescales to the same rates as p^(c + 1) and keeps its digits however near p is to one.
    shape = cosine if power == 1 else np.expm1(np.log(power) * (cosine - cosine[-1]))
    spread = shape[0] - shape[-1]
    rates = high + (shape - shape[0]) / (spread if spread else 1.0) * (high - low)
    rates[:warmup] = high * e[:warmup] / (warmup + 1)
    return np.asarray(rates)
