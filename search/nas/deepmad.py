"""DeepMAD's solver: evolution of whole structures, started from the continuous relaxation of the program.

Reference: [Shen2023] DeepMAD, CVPR, and the authors' released solver.
"""

from __future__ import annotations

from bisect import insort
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import minimize

from designopt import Evaluation, Integer, Ordinal, Real, Searcher, tunable
from designopt.env import DesignEnv
from designopt.parameters import Array
from designopt.search.seen import Seen

FACTORS = (1.5, 1.25, 0.8, 0.6, 0.5)
STEPS = (-2, -1, 1, 2)
"""How channels and depths mutate, as released."""

ROUNDINGS = 16
REDRAWS = 20


@runtime_checkable
class RelaxedProgram(Protocol):
    """An environment in closed form whose functions also hold between the levels of its design space."""

    def relaxed(self, designs: ArrayLike) -> Evaluation:
        """(n, d) real numbers within the bounds -> objectives and constraints there."""
        ...


class DeepMADSearch(Searcher):
    """The best structures found so far mutate; the first ones are roundings of optima of the relaxed program.

    White-box: it takes gradients of ``relaxed``, without evaluations of the budget. From each of ``starts`` random
    points SLSQP leads to an optimum over real numbers (channels on a logarithmic scale), which is rounded to the
    nearest design and to fifteen random neighbours. Then parents are drawn uniformly from the ``population`` best,
    feasibility first.
    A child differs in one column or a few: an ordinal is multiplied by one of the released factors or moves by up
    to two levels (ours, for the end), an integer moves by up to two, one of two levels changes. ``starts = 0`` is the
    released evolution alone, from random structures. No design is proposed twice.

    Asynchronous form: children are made at any time from the best at hand.
    """

    requires = (DesignEnv, RelaxedProgram)

    @dataclass(frozen=True)
    class Config:
        """Hyper-parameters."""

        population: int = tunable(256, Integer(16, 512, log=True), "structures that may become parents")
        starts: int = tunable(8, Integer(0, 32), "relaxed programs solved")

        def __post_init__(self) -> None:
            for name, least in (("population", 1), ("starts", 0)):
                if getattr(self, name) < least:
                    raise ValueError(f"{name} = {getattr(self, name)}; it must be at least {least}")

    config: Config

    def __init__(self, env: DesignEnv, config: Config | None = None, *, seed: int = 0, device: str = "cpu") -> None:
        super().__init__(env, config, seed=seed, device=device)
        self.batch = 64
        self._seen = Seen(self.space)
        self._best: list[tuple[float, float, int, tuple[float, ...]]] = []
        self._told = 0
        self._parameters = list(self.space.parameters.values())
        logarithmic = [isinstance(p, Ordinal) and p.values[0] > 0 for p in self._parameters]
        self._log = np.array(logarithmic)
        self._low, self._high = (self._scaled(bound[None])[0] for bound in (self.space.low, self.space.high))
        self._scales = np.array([c.scale for c in self.constraints])
        self._roundings: Array | None = None

    def ask(self, n: int, pending: Array) -> Array:
        """-> (<= n, d) designs."""
        if self._roundings is None:
            self._roundings = self._relaxed_optima()
        if len(self._roundings):
            designs, self._roundings = self._roundings[:n], self._roundings[n:]
        elif len(self._best) < min(2, self.config.population):
            designs = self._seen.sample(n, self.rng)
        else:
            designs = self._children(n)
        self._seen.add(designs)
        return designs

    def tell(self, designs: Array, evaluation: Evaluation) -> None:
        """Results in any order; those with values compete for the population."""
        fresh = self._seen.fresh(designs)
        self._seen.add(designs)
        losses = evaluation.losses(self.objectives)[:, 0].tolist()
        violations = evaluation.violation(self.constraints).tolist()
        known = {entry[3] for entry in self._best} if not fresh.all() else set()
        for design, loss, violation in zip(designs.tolist(), losses, violations, strict=True):
            self._told += 1
            if violation < np.inf and tuple(design) not in known:
                known.add(tuple(design))
                insort(self._best, (violation, loss, self._told, tuple(design)))
        del self._best[self.config.population :]

    # Relaxation -------------------------------------------------------------------------------------------------

    def _scaled(self, designs: Array) -> Array:
        return np.where(self._log, np.log(np.where(self._log, designs, 1.0)), designs)

    def _natural(self, scaled: Array) -> Array:
        return np.where(self._log, np.exp(np.where(self._log, scaled, 0.0)), scaled)

    def _values(self, unit: Array) -> Array:
        """(n, d) points of the unit cube -> (n, 1 + k) loss and scaled constraints of the relaxed program."""
        assert isinstance(self.env, RelaxedProgram)
        points = self._low + np.clip(unit, 0.0, 1.0) * (self._high - self._low)
        evaluation = self.env.relaxed(np.clip(self._natural(points), self.space.low, self.space.high))
        return np.column_stack([evaluation.losses(self.objectives)[:, 0], evaluation.constraints / self._scales])

    def _slopes(self, unit: Array, h: float = 1e-6) -> Array:
        """(d,) -> (1 + k, d) derivatives; one call of the environment, steps away from the nearer bound."""
        steps = np.where(unit < 0.5, h, -h)
        values = self._values(np.concatenate([unit[None], unit + np.diag(steps)]))
        return np.asarray((values[1:] - values[0]).T / steps)

    def _relaxed_optima(self) -> Array:
        """-> designs around the optima, nearest roundings first; none without starts."""
        d = self.space.dim
        nearest, around = [], []
        for _ in range(self.config.starts):
            start = self.rng.random(d)
            scale = max(abs(float(self._values(start[None])[0, 0])), 1e-9)
            found = minimize(  # type: ignore[call-overload]  # the stubs know no default arguments of a callable
                lambda u, scale=scale: self._values(u[None])[0, 0] / scale,
                start,
                jac=lambda u, scale=scale: self._slopes(u)[0] / scale,
                constraints=[
                    {
                        "type": "ineq",
                        "fun": lambda u: -self._values(u[None])[0, 1:],
                        "jac": lambda u: -self._slopes(u)[1:],
                    }
                ]
                if self.constraints
                else (),
                bounds=[(0.0, 1.0)] * d,
                method="SLSQP",
                options={"maxiter": 300, "ftol": 1e-9},
            ).x
            optimum = self._natural(self._low + np.clip(np.nan_to_num(found), 0, 1) * (self._high - self._low))
            nearest.append(self.space.snap(optimum[None]))
            around.append(self._rounded_at_random(np.clip(optimum, self.space.low, self.space.high)))
        if not nearest:
            return np.empty((0, d))
        designs = np.concatenate(nearest + around)
        return designs[self._seen.fresh(designs)]

    def _rounded_at_random(self, point: Array) -> Array:
        """(d,) -> designs whose columns are a level below or above the point."""
        rows = np.repeat(point[None], ROUNDINGS - 1, axis=0)
        for column, p in enumerate(self._parameters):
            if isinstance(p, Ordinal):
                above = np.searchsorted(p.values, point[column]).clip(1, len(p.values) - 1) if len(p.values) > 1 else 0
                rows[:, column] = np.array(p.values)[above - self.rng.integers(min(above, 1) + 1, size=len(rows))]
            elif isinstance(p, Integer):
                rows[:, column] = np.floor(point[column]) + self.rng.integers(2, size=len(rows))
        return self.space.snap(rows)

    # Evolution --------------------------------------------------------------------------------------------------

    def _children(self, n: int) -> Array:
        children: list[Array] = []
        for _ in range(REDRAWS):
            made = np.array([self._child() for _ in range(n)])
            children += list(made[self._seen.fresh(made)])
            if children:
                return np.array(children[:n])
        return self._seen.sample(n, self.rng)

    def _child(self) -> Array:
        child = np.array(self._best[self.rng.integers(len(self._best))][3])
        # One column, two with probability 1/2, and so on: near a budget one must give what another takes.
        for column in self.rng.choice(self.space.dim, min(self.rng.geometric(0.5), self.space.dim), replace=False):
            child[column] = self._mutated(self._parameters[column], child[column])
        return np.asarray(self.space.snap(child[None])[0])

    def _mutated(self, p: object, value: float) -> float:
        if isinstance(p, Ordinal):
            if self.rng.random() < 0.5 and len(p.values) > 2:
                return float(value * FACTORS[self.rng.integers(len(FACTORS))])
            level = int(np.searchsorted(p.values, value)) + STEPS[self.rng.integers(len(STEPS))]
            return p.values[min(max(level, 0), len(p.values) - 1)]
        if isinstance(p, Integer):
            return float(value + STEPS[self.rng.integers(len(STEPS))])
        return float(self.rng.uniform(p.low, p.high)) if isinstance(p, Real) else value
