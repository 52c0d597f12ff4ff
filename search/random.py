"""Uniform random search: the baseline that every other backend must beat."""

from designopt import Searcher
from designopt.env import DesignEnv
from designopt.parameters import Array


class RandomSearch(Searcher):
    """Independent designs, uniform in the unit-cube coding (so log-uniform on log scales); learns nothing.

    Draws are independent by definition, so a small discrete space sees repeats. Costs microseconds per design.
    """

    multi_objective = True

    def __init__(self, env: DesignEnv, config: object = None, *, seed: int = 0, device: str = "cpu") -> None:
        super().__init__(env, config, seed=seed, device=device)
        self.batch = None

    def ask(self, n: int, pending: Array) -> Array:
        """-> (n, d) designs."""
        return self.space.from_unit(self.rng.random((n, self.space.unit_dim)))
