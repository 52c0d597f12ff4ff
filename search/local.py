"""Local search: walk from the best design to a better neighbour, one parameter at a time."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from designopt import Categorical, Evaluation, Integer, Ordinal, Real, Searcher, Sequence, tunable
from designopt.env import DesignEnv
from designopt.parameters import Array, Parameter, options
from designopt.search.seen import Seen, keys


class LocalSearch(Searcher):
    """Stochastic hill climbing over one-column changes, with restarts from random designs.

    A neighbour of the incumbent differs in one column: an integer or ordinal one or more steps up or down (one, and in
    columns of 16 values and more also 2, 4, ... up to an eighth of the range), another category or letter, or a
    Gaussian step of a real column in the unit coding, whose width follows the one-fifth success rule [Rechenberg1973].
    Designs are compared feasibility first: by scaled violation, then by objective. The walk restarts when every
    neighbour was tried, or after ``patience`` results in a row that brought no improvement.

    Asynchronous form: neighbours of the current incumbent are handed out as long as there are any; a result counts
    when it arrives, whatever the incumbent is by then. Results of designs asked before a restart no longer count.
    """

    @dataclass(frozen=True)
    class Config:
        """Hyper-parameters."""

        step: float = tunable(0.1, Real(0.01, 0.5, log=True), "standard deviation of real steps, part of the range")
        adaptive: bool = tunable(True, Categorical([False, True]), "adapt the step by the one-fifth success rule")
        patience: int = tunable(100, Integer(10, 1000, log=True), "results without improvement before a restart")

        def __post_init__(self) -> None:
            if not 0 < self.step <= 1:
                raise ValueError(f"step = {self.step}; it must be in (0, 1]")
            if self.patience < 1:
                raise ValueError(f"patience = {self.patience}; it must be at least 1")

    config: Config

    def __init__(self, env: DesignEnv, config: Config | None = None, *, seed: int = 0, device: str = "cpu") -> None:
        super().__init__(env, config, seed=seed, device=device)
        self._parameters: list[Parameter] = []  # one per column
        for p in self.space.parameters.values():
            self._parameters += [p] * (p.length if isinstance(p, Sequence) else 1)
        self._seen = Seen(self.space)
        self._walk_of: dict[bytes, int] = {}  # asked and not yet told -> number of the walk it was asked in
        self._walk = 0
        self._restart()

    def _restart(self) -> None:
        self._walk += 1
        self._incumbent: Array | None = None
        self._rank = (np.inf, np.inf)  # (violation, loss) of the incumbent
        self._stale = 0
        self._step = self.config.step
        self._moves: dict[int, deque[float]] = {}

    def _move_to(self, design: Array) -> None:
        self._incumbent = design.copy()
        self._moves = {c: self._shuffled(c) for c in range(self.space.dim)}

    def ask(self, n: int, pending: Array) -> Array:
        """-> (n, d) untried neighbours of the incumbent, or random designs where a walk starts."""
        designs: list[Array] = []
        walking = any(self._walk_of.get(key) == self._walk for key in keys(pending))
        for _ in range(n):
            neighbour = self._neighbour()
            if neighbour is None and self._incumbent is not None and not walking:
                self._restart()
            design = self._seen.sample(1, self.rng)[0] if neighbour is None else neighbour
            walking = True
            self._seen.add(design[None])
            self._walk_of[keys(design[None])[0]] = self._walk
            designs.append(design)
        return np.array(designs)

    def tell(self, designs: Array, evaluation: Evaluation) -> None:
        """A result at least as good as the incumbent becomes it, also that of a design asked by somebody else."""
        self._seen.add(designs)
        losses = evaluation.losses(self.objectives)[:, 0]
        violation = evaluation.violation(self.constraints)
        for i, key in enumerate(keys(designs)):
            if self._walk_of.pop(key, self._walk) == self._walk:
                self._learn(designs[i], (violation[i], losses[i]), evaluation.status[i] == "ok")

    def _learn(self, design: Array, rank: tuple[float, float], ok: bool) -> None:
        improved = ok and rank < self._rank
        if self._incumbent is not None:
            self._stale = 0 if improved else self._stale + 1
            if self.config.adaptive and not self._differs_in_discrete(design):
                self._step = min(self._step * (1.5 if improved else 1.5**-0.25), 1.0)
        if ok and rank <= self._rank:  # equal ones too, to cross plateaus
            self._rank = rank
            self._move_to(design)
        if self._stale >= self.config.patience:
            self._restart()

    def _differs_in_discrete(self, design: Array) -> bool:
        return bool(np.any((design != self._incumbent) & self.space.discrete))

    # Neighbours -------------------------------------------------------------------------------------------------

    def _neighbour(self) -> Array | None:
        """One untried neighbour, its column drawn uniformly among those that have one; None when there is none."""
        if self._incumbent is None:
            return None
        while self._moves:
            column = int(self.rng.choice(list(self._moves)))
            for _ in range(max(len(self._moves[column]), 10)):
                neighbour = self._incumbent.copy()
                if self.space.discrete[column]:
                    if not self._moves[column]:
                        break
                    neighbour[column] = self._moves[column].popleft()
                else:
                    neighbour[column] = self._real_step(column)
                if self._seen.fresh(neighbour[None])[0]:
                    return neighbour
            del self._moves[column]
        return None

    def _real_step(self, column: int) -> float:
        unit = self.space.to_unit(self._incumbent[None])  # type: ignore[index]
        unit[0, column] += self._step * self.rng.standard_normal()
        return float(self.space.from_unit(unit)[0, column])

    def _shuffled(self, column: int) -> deque[float]:
        """Values that a discrete column may step to, in random order; empty for a real column."""
        value = self._incumbent[column]  # type: ignore[index]
        match p := self._parameters[column]:
            case Real():
                return deque()
            case Integer():
                values = [value + s for s in _strides(int(p.high - p.low) + 1) if p.low <= value + s <= p.high]
            case Ordinal():
                at = int(np.searchsorted(p.values, value))
                values = [p.values[at + s] for s in _strides(len(p.values)) if 0 <= at + s < len(p.values)]
            case Categorical() | Sequence():
                values = [float(i) for i in range(options(p)) if i != value]
        return deque(self.rng.permutation(values).tolist())


def _strides(levels: int) -> list[int]:
    """Steps up and down a column of so many values: 1, 2, 4, ... up to an eighth of them, at least 1."""
    up = [2**k for k in range(max(levels // 8, 1).bit_length())]
    return up + [-s for s in up]
