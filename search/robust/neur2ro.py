"""Neur2RO: a learned second stage chooses the scenario inside column-and-constraint generation.

Reference: [Dumouchelle2024] Neur2RO: Neural two-stage robust optimization, ICLR. As published: the set network,
the arg-max main problem with real recourse under the scenario that the network calls worst, the loop, its termination.
Different: the repair term has the sign that the second stage has; every visited design is evaluated exactly, cut off,
and the best of them is the answer; the adversary may be exact; the main problem is solved within a radius of the
incumbent, by programmes and by descents in turn. As published it ends when a scenario comes again, except within a time
limit: then it goes on.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from scipy import sparse

from designopt import Categorical, DesignEnv, Integer, Real, tunable
from designopt.milp import INFINITY, MILP, solve
from designopt.parameters import Array
from designopt.search.robust.adversary import ADVERSARIES, worst_scenario
from designopt.search.robust.base import RobustSearch
from designopt.search.robust.descent import Screen, descents, learn, perturbed, stop_at
from designopt.search.robust.encoder import Programme, design_embedding, head_inputs, prediction, scenario_embedding
from designopt.search.robust.main_descent import MainObjective, main_descent
from designopt.search.robust.models import one_recourse, scenario_main
from designopt.surrogates.value_network import ValueNetwork
from designopt.two_stage import AffineModel, ItemFeatures

PROGRAMMES_SHARE = 0.5  # of the descents' time
POLISH_RESTARTS = 20
MOST_IN_PROGRAMME = 20  # scenarios, the newest: as published


class Neur2ROSearch(RobustSearch):
    """Learned column-and-constraint generation: one recourse in the main problem, whatever the number of scenarios.

    The network only chooses which scenario is worst; cost and recourse are the true ones there. ``residual``: the
    recourse is relaxed instead, its worst case dualised, and a network adds what the relaxation misses under the
    scenarios found. ``polish`` ends with screened descents. The trace compares predicted and exact worst cases.
    """

    requires: ClassVar[tuple[type, ...]] = (DesignEnv, ItemFeatures)

    @dataclass(frozen=True)
    class Config:
        """Hyper-parameters; seconds are wall-clock."""

        adversary: str = tunable("exact", Categorical(ADVERSARIES), "who finds the next scenario")
        residual: bool = tunable(False, Categorical([False, True]), "learn what the relaxed recourse misses")
        polish: bool = tunable(False, Categorical([False, True]), "end with descents on exact worst cases")
        iterations: int = tunable(1000, Integer(1, 10_000, log=True), "main problems at most")
        main_seconds: float = tunable(
            3.0, Real(0.5, 60.0, log=True), "limit of one main problem; doubled when nothing else is found"
        )
        polish_seconds: float = tunable(5.0, Real(0.5, 60.0, log=True), "limit of those descents")
        weights: str = ""
        solver: str = "highs"

    config: Config

    def candidates(self) -> Iterator[Array]:
        """The main problem's designs as they get better; at last polished ones."""
        assert isinstance(self.env, ItemFeatures)
        network = self._network(self.env)
        model, features = self.env.affine_model(), self.env.item_features()
        n = len(model.first.c)
        screen = Screen(n, self.problem.uncertainty.dim)
        scenarios: list[Array] = []
        visited: set[bytes] = set()
        for x in self._main_designs(self.env, model, network, features, scenarios, visited):
            _, high, exact = self.worst_loss(x)
            visited.add(x.tobytes())
            learn(self, screen, x, exact)
            better = self.offer(x, high, "main problem")
            scenario, predicted = worst_scenario(self.config.adversary, self.env, network, features, x, exact, self.rng)
            self.note("adversary", exact=self.sign * high, predicted=self._value(model, x, predicted))
            if better:
                yield x
            if self.config.adversary == "hybrid" and repeated(scenario, scenarios):
                scenario = exact
            if not repeated(scenario, scenarios):
                scenarios.append(scenario)
            elif np.isinf(self.seconds_left(np.inf)):
                break
        if self.config.polish and self.best is not None:
            until = stop_at(self.seconds_left(self.config.polish_seconds))
            yield from descents(self, screen, POLISH_RESTARTS, until)

    def _main_designs(
        self,
        env: ItemFeatures,
        model: AffineModel,
        network: ValueNetwork,
        features: Array,
        scenarios: list[Array],
        visited: set[bytes],
    ) -> Iterator[Array]:
        """The main problem's designs (n,), none twice.

        Descents on the same objective have most of the time, programmes a share of theirs. Both look within a radius of
        the incumbent that is halved when a design is worse than promised, doubled when it is better or none is left.
        """
        n, main_seconds, spent = len(model.first.c), self.config.main_seconds, [0.0, 0.0]
        radius = n
        reserve = self.seconds_left(2.0 * self.config.polish_seconds) / 2 if self.config.polish else 0.0
        for _ in range(self.config.iterations):
            if self.best is not None and self.seconds_left(np.inf) <= reserve:
                return
            began, value = time.monotonic(), self.best_loss
            descends = bool(scenarios) and PROGRAMMES_SHARE * spent[1] <= spent[0] and not self.config.residual
            if descends:
                x = self._descent(env, network, features, scenarios, visited, radius)
                exhausted = x is None
            else:
                main = self._main(env, model, network, features, scenarios[-MOST_IN_PROGRAMME:])
                main = without(main, [np.frombuffer(key) for key in visited], self.best, radius)
                answer = solve(
                    main,
                    seconds=self.seconds_left(main_seconds),
                    gap=1e-3,
                    presolve=not scenarios,
                    solver=self.config.solver,
                )
                x = None if answer.values is None else np.round(answer.values[:n]) + 0.0
                exhausted = x is None and answer.optimal
                if exhausted and radius >= n:
                    self.note("main problem without a solution")
                    return
            if x is not None:
                yield x
                radius = min(n, 2 * radius) if self.best_loss < value else max(2, radius // 2)
            else:
                self.note("main problem without a new design")
                if exhausted:
                    radius = min(n, 2 * radius)
                elif not descends and (self.config.residual or not scenarios):  # nothing else finds designs
                    main_seconds *= 2
            spent[descends] += time.monotonic() - began

    def _descent(
        self,
        env: ItemFeatures,
        network: ValueNetwork,
        features: Array,
        scenarios: list[Array],
        visited: set[bytes],
        radius: int,
    ) -> Array | None:
        """The main problem by descent: from the incumbent, or aside of it when its neighbours promise nothing."""
        assert self.best is not None, "a start was evaluated"
        objective = MainObjective(env, network, features, scenarios)
        until = stop_at(self.seconds_left(self.config.main_seconds))
        x, _ = main_descent(objective, self.best, self.best_loss, visited, radius, self.rng, until)
        if x.tobytes() in visited:
            aside = perturbed(self.best, self.rng)
            x, _ = main_descent(objective, aside, float(objective(aside[None])[0]), visited, radius, self.rng, until)
        return None if x.tobytes() in visited else x

    def _main(
        self, env: ItemFeatures, model: AffineModel, network: ValueNetwork, features: Array, scenarios: list[Array]
    ) -> MILP:
        if self.config.residual:  # without scenarios: the relaxed recourse alone
            return residual_main(model, network, features, scenarios, env.value_scale())
        if not scenarios:  # nothing happens
            return scenario_main(model.first, [env.block(np.zeros(self.problem.uncertainty.dim))])
        return arg_max_main(env, model, network, features, scenarios)

    def _network(self, env: ItemFeatures) -> ValueNetwork:
        kind = "residual" if self.config.residual else "value"
        network = ValueNetwork.load(self.config.weights or None, kind=kind)
        found = env.item_features().shape[1]
        if found != network.features:
            raise ValueError(
                f"the network's weights describe an item by {network.features} features; {self.env.id} has {found}"
            )
        return network

    def _value(self, model: AffineModel, x: Array, predicted: float) -> float:
        """A predicted second stage as the environment's objective."""
        assert isinstance(self.env, ItemFeatures)
        return float(self.env.cost_sign * (model.first.c @ x + predicted * self.env.value_scale()))


def arg_max_main(
    env: ItemFeatures, model: AffineModel, network: ValueNetwork, features: Array, scenarios: list[Array]
) -> MILP:
    """Minimise c'x + theta, theta >= cost of one recourse under the scenario whose prediction is largest.

    Selection: A >= prediction_s, A <= prediction_s + M_s (1 - chosen_s), one chosen. Cost: theta >= cost_s - N_s (1 -
    chosen_s). Every M comes from the bounds of the predictions, every N from those of the costs.
    """
    programme = Programme.of(scenario_main(model.first, [env.block(np.zeros(env.uncertainty.dim))]))
    n, r = len(model.first.c), len(model.recourse.z_cost)
    theta, z = n, np.arange(n + 1, n + 1 + r)
    inputs = head_inputs(programme, network, design_embedding(programme, network.design, features, np.arange(n)))
    outputs = [
        prediction(programme, network, inputs, scenario_embedding(network.scenario, features, xi)) for xi in scenarios
    ]
    highest = max(float(output.high[0]) for output in outputs)
    (worst,) = programme.add(1, -INFINITY, INFINITY)
    chosen = programme.add(len(scenarios), 0.0, 1.0, integer=True)
    programme.row(chosen, np.ones(len(scenarios)), 1.0, 1.0)
    costs = [xi @ model.Q for xi in scenarios]
    least = np.minimum.reduce([*costs, np.zeros(r)])
    for xi_cost, output, s in zip(costs, outputs, chosen, strict=True):
        columns, slope = np.append(output.columns, worst), np.append(-output.coefficients[0], 1.0)
        constant, slack = float(output.constant[0]), highest - float(output.low[0])
        programme.row(columns, slope, constant, INFINITY)
        programme.row(np.append(columns, s), np.append(slope, slack), -INFINITY, constant + slack)
        # theta >= z_cost'z - N (1 - chosen): N is the most that this scenario can cost more than what else is required
        cost = model.recourse.z_cost + xi_cost
        excess = float(np.maximum(xi_cost - least, 0.0) @ model.recourse.upper)
        programme.row(np.concatenate([[theta], z, [s]]), np.concatenate([[1.0], -cost, [-excess]]), -excess, INFINITY)
    return programme.build()


def residual_main(
    model: AffineModel, network: ValueNetwork, features: Array, scenarios: list[Array], scale: float
) -> MILP:
    """Relaxed recourse with the inner maximum dualised, plus the largest predicted residual of the scenarios found."""
    programme = Programme.of(one_recourse(model, relaxed=True))
    if scenarios:
        (extra,) = programme.add(1, 0.0, INFINITY, cost=scale)
        columns = np.arange(len(model.first.c))
        inputs = head_inputs(programme, network, design_embedding(programme, network.design, features, columns))
        for xi in scenarios:
            output = prediction(programme, network, inputs, scenario_embedding(network.scenario, features, xi))
            columns = np.append(output.columns, extra)
            programme.row(columns, np.append(-output.coefficients[0], 1.0), float(output.constant[0]), INFINITY)
    return programme.build()


def without(main: MILP, designs: list[Array], centre: Array | None = None, radius: int = 0) -> MILP:
    """The main problem, whose first columns are a binary design, with those designs (n,) cut off.

    With a ``centre``, designs more than ``radius`` entries away from it are cut off too.
    """
    # |x - design| as an affine function: entries of the design count when they leave, the others when they enter.
    if centre is not None:
        designs = [design for design in designs if np.abs(design - centre).sum() <= radius]
    far = [(design, 1.0, INFINITY) for design in designs] + ([] if centre is None else [(centre, 0.0, float(radius))])
    if not far:
        return main
    points = np.stack([point for point, *_ in far])
    rows = np.zeros((len(far), len(main.cost)))
    rows[:, : points.shape[1]] = np.where(points > 0.5, -1.0, 1.0)
    kept = points.sum(axis=1)
    return dataclasses.replace(
        main,
        A=sparse.vstack([sparse.csr_matrix(main.A), sparse.csr_matrix(rows)]).tocsr(),
        row_lower=np.append(main.row_lower, [low - k for (_, low, _), k in zip(far, kept, strict=True)]),
        row_upper=np.append(main.row_upper, [high - k for (*_, high), k in zip(far, kept, strict=True)]),
    )


def repeated(scenario: Array, scenarios: list[Array]) -> bool:
    """Whether the scenario is among those, as published: to 0.001 in the sum of differences."""
    return any(float(np.abs(scenario - old).sum()) < 1e-3 for old in scenarios)


def predict(network: ValueNetwork, features: Array, x: Array, scenarios: Array) -> Array:
    """(s,) predictions for one design (n,) under scenarios (s, n)."""
    with torch.no_grad():
        described, count = torch.as_tensor(features, dtype=torch.float32), torch.tensor(float(len(x)))
        designs, worlds = (torch.as_tensor(a, dtype=torch.float32) for a in (x[None], scenarios))
        return np.asarray(network(designs, worlds, described, count)[0].double().numpy())
