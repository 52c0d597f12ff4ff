"""Rough Mount Fuji landscapes: a slope with noise of adjustable size (Neidhart, Szendro, Krug 2014, Genetics 198:699).

In the form of pytorch-holo: binary sequences, and a random slope for each position in place of one for every sequence.
"""

from __future__ import annotations

import numpy as np

from designopt import Evaluation, Reference
from designopt.envs.protein.sequences import Codes, SequenceLandscape


class RoughMtFuji(SequenceLandscape):
    """Binary sequences x around a random centre c, on random slopes r.

    Fitness, maximise: ``-a |x - c|^2 + sum_i r_i x_i``, r normal with standard deviation s. The optimum is known.

    Args:
        length: positions.
        a: additive strength.
        s: standard deviation of the slopes.
        seed: of centre and slopes.
        render_mode: None or "ansi".

    Raises:
        ValueError: an argument out of range.
    """

    def __init__(
        self, length: int = 32, a: float = 0.25, s: float = 1.0, seed: int = 0, render_mode: str | None = None
    ) -> None:
        for name, value, least in (("length", length, 1), ("seed", seed, 0)):
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ValueError(f"{name} = {value!r}; it must be a whole number of at least {least}")
        for name, number in (("a", a), ("s", s)):
            if not (np.isfinite(number) and number >= 0):
                raise ValueError(f"{name} = {number}; it must be finite and not negative")
        super().__init__("01", length, render_mode)
        rng = np.random.default_rng(seed)
        self.centre = rng.integers(2, size=length).astype(np.float64)
        self.slopes = s * rng.standard_normal(length)
        self.a = a
        # The distance to a binary centre is a sum over positions, so each position is chosen by itself.
        self._gains = self.slopes - a * (1 - 2 * self.centre)
        best = (self._gains > 0).astype(np.uint8)
        height = float(self._evaluate(best[None]).objectives[0, 0])
        self.reference = Reference("position by position", height, tuple(best.astype(float).tolist()))

    def _evaluate(self, codes: Codes) -> Evaluation:
        distance = ((codes - self.centre) ** 2).sum(axis=1)
        return Evaluation((codes @ self.slopes - self.a * distance)[:, None])
