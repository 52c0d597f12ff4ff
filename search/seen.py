"""Which designs were proposed or told already: evaluating one twice teaches nothing."""

import numpy as np
from numpy.typing import NDArray

from designopt import DesignSpace
from designopt.parameters import Array


def keys(designs: Array) -> list[bytes]:
    """designs: (n, d) -> n keys, equal when the designs are (and -0.0 is 0.0)."""
    return [row.tobytes() for row in designs + 0.0]


class Seen:
    """A set of designs."""

    def __init__(self, space: DesignSpace) -> None:
        self._space = space
        self._keys: set[bytes] = set()

    def add(self, designs: Array) -> None:
        """Remember (n, d) designs."""
        self._keys.update(keys(designs))

    def fresh(self, designs: Array) -> NDArray[np.bool_]:
        """designs: (n, d) -> (n,) whether each is new, and the first of its kind among these."""
        here: set[bytes] = set()
        fresh = np.empty(len(designs), dtype=bool)
        for i, key in enumerate(keys(designs)):
            fresh[i] = key not in self._keys and key not in here
            here.add(key)
        return fresh

    def sample(self, n: int, rng: np.random.Generator) -> Array:
        """Between 1 and n random designs, new unless the space seems to be exhausted."""
        for _ in range(10):
            designs = self._space.sample(max(n, 32), rng)
            designs = designs[self.fresh(designs)][:n]
            if len(designs):
                return designs
        return self._space.sample(n, rng)
