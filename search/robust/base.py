"""What white-box robust searchers share: candidates one by one, the best exact value, the proved bound, and a trace."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from designopt import DesignEnv, Evaluation, Searcher
from designopt.parameters import Array
from designopt.two_stage import ScenarioBlocks, TwoStageRobust


class RobustSearch(Searcher):
    """A searcher whose method is a generator of designs, each best so far by an exact worst case or worth having one.

    Subclasses define ``candidates``. Everything is a loss here: the environment's objective, minimised.

    Attributes:
        best_loss, best: lowest certified worst-case loss seen, and its design (d,).
        bound_loss: proved lower bound of every design's loss.
        trace: one row an event: seconds since the start, what happened, incumbent and bound in the objective's sign.
    """

    requires: ClassVar[tuple[type, ...]] = (DesignEnv, TwoStageRobust)
    memoryless: ClassVar[bool] = True

    env: DesignEnv
    problem: TwoStageRobust

    def __init__(self, env: DesignEnv, config: object = None, *, seed: int = 0, device: str = "cpu") -> None:
        super().__init__(env, config, seed=seed, device=device)
        assert isinstance(env, TwoStageRobust)
        self.problem = env
        self.sign = -1.0 if env.objectives[0].sense == "max" else 1.0
        self.best_loss, self.bound_loss = np.inf, -np.inf
        self.best: Array | None = None
        self.known: set[bytes] = set()
        self._first = env.first_stage() if isinstance(env, ScenarioBlocks) else None
        self._stream: Iterator[Array] | None = None
        self._started = time.monotonic()

    def candidates(self) -> Iterator[Array]:
        """Designs (d,), the one most worth evaluating next."""
        raise NotImplementedError(f"{type(self).__name__} must define candidates()")

    def ask(self, n: int, pending: Array) -> Array:
        """-> the next candidate that is not known, (1, d), or none when the method is through."""
        if self._stream is None:
            self._stream = self.candidates()
        for design in self._stream:
            design = np.asarray(design, dtype=float) + 0.0  # no negative zeros, whose bytes differ
            if design.tobytes() not in self.known:
                self.known.add(design.tobytes())
                return design[None]
        return np.empty((0, self.space.dim))

    def tell(self, designs: Array, evaluation: Evaluation) -> None:
        """Keep the best certified design."""
        losses = evaluation.losses(self.objectives)[:, 0]
        for design, loss, feasible in zip(designs, losses, evaluation.feasible, strict=True):
            self.known.add(design.tobytes())
            if feasible:
                self.offer(design, loss, "evaluated")

    def offer(self, design: Array, loss: float, event: str) -> bool:
        """Take a design with its certified loss as the incumbent if it is better."""
        if loss >= self.best_loss:
            return False
        self.best, self.best_loss = np.array(design, dtype=float), float(loss)
        self.note(event)
        return True

    def prove(self, loss: float, event: str) -> None:
        """Take a proved lower bound of every design's loss."""
        if loss > self.bound_loss:
            self.bound_loss = float(loss)
            self.note(event)

    def note(self, event: str, **more: float) -> None:
        """One row of the trace."""
        row = {"seconds": time.monotonic() - self._started, "event": event}
        values = {"incumbent": self.sign * self.best_loss, "bound": self.sign * self.bound_loss}
        self.trace.append(row | values | more)

    @property
    def bound(self) -> float | None:
        """Proved bound on the objective, in its own sign; None while nothing is proved."""
        return self.sign * self.bound_loss if np.isfinite(self.bound_loss) else None

    @property
    def proved(self) -> bool:
        """Whether incumbent and bound meet, to 1e-6 relative."""
        return bool(self.best_loss - self.bound_loss <= 1e-6 * max(1.0, abs(self.best_loss)))

    def seconds_left(self, most: float) -> float:
        """What is left of the study's time, at most so many seconds."""
        return float(min(most, self.deadline - time.monotonic()))

    def allowed(self, design: Array) -> bool:
        """Whether the design keeps to the limits of the first stage, where the environment tells them."""
        if self._first is None:
            return True
        return bool((self._first.A @ design <= self._first.a + 1e-9).all())

    def worst_loss(self, design: Array, *, cutoff: float | None = None) -> tuple[float, float, Array]:
        """Certified worst-case loss of a design, low and high end, and the scenario; stops once it reaches cutoff."""
        limit = None if cutoff is None or not np.isfinite(cutoff) else self.sign * cutoff
        interval, scenario, _ = self.problem.worst_case(design, cutoff=limit)
        low, high = sorted(self.sign * value for value in interval)
        return low, high, scenario
