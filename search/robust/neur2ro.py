"""Neur2RO: a learned second stage chooses the scenario inside column-and-constraint generation.

Reference: [Dumouchelle2024] Neur2RO: Neural two-stage robust optimization, ICLR. As published: the set network,
the arg-max main problem with real recourse under the scenario that the network calls worst, the loop, its termination.
Different: the repair term has the sign that the second stage has; every visited design is evaluated exactly and the
best of them is the answer; the adversary may be exact. As published it ends when a scenario comes again; within a time
limit it dismisses that design and goes on.
"""

from __future__ import annotations

import dataclasses
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
from designopt.search.robust.descent import Screen, descend, stop_at
from designopt.search.robust.encoder import Programme, design_embedding, prediction, scenario_embedding
from designopt.search.robust.models import one_recourse, scenario_main
from designopt.surrogates.value_network import ValueNetwork
from designopt.two_stage import AffineModel, ItemFeatures


class Neur2ROSearch(RobustSearch):
    """Learned column-and-constraint generation: one recourse in the main problem, whatever the number of scenarios.

    The network only chooses which scenario is worst; cost and recourse are the true ones there. ``residual``: the
    recourse is relaxed instead, its worst case dualised, and a network adds what the relaxation misses under the
    scenarios found. ``polish`` ends with a screened descent. The trace compares predicted and exact worst cases.
    """

    requires: ClassVar[tuple[type, ...]] = (DesignEnv, ItemFeatures)

    @dataclass(frozen=True)
    class Config:
        """Hyper-parameters; seconds are wall-clock."""

        adversary: str = tunable("exact", Categorical(ADVERSARIES), "who finds the next scenario")
        residual: bool = tunable(False, Categorical([False, True]), "learn what the relaxed recourse misses")
        polish: bool = tunable(False, Categorical([False, True]), "end with a descent on exact worst cases")
        iterations: int = tunable(100, Integer(1, 1000, log=True), "main problems at most")
        main_seconds: float = tunable(
            3.0, Real(0.5, 60.0, log=True), "limit of one main problem; doubled when it finds nothing"
        )
        polish_seconds: float = tunable(5.0, Real(0.5, 60.0, log=True), "limit of the descent")
        weights: str = ""

    config: Config

    def candidates(self) -> Iterator[Array]:
        """The main problem's designs; at last the polished one."""
        assert isinstance(self.env, ItemFeatures)
        network = self._network(self.env)
        model, features = self.env.affine_model(), self.env.item_features()
        n = len(model.first.c)
        screen = Screen(n, self.problem.uncertainty.dim)
        scenarios: list[Array] = []
        dismissed: list[Array] = []
        main_seconds = self.config.main_seconds
        for _ in range(self.config.iterations):
            if self.seconds_left(np.inf) <= 0:
                break
            main = without(self._main(self.env, model, network, features, scenarios), dismissed)
            seconds = self.seconds_left(main_seconds)
            start = np.full(len(main.cost), np.nan)
            if self.best is not None and not dismissed:
                start[:n] = self.best
            answer = solve(main, seconds=seconds, gap=1e-3, start=start, presolve=not scenarios)
            if answer.values is None:
                self.note("main problem without a solution")
                if answer.optimal:
                    break
                main_seconds *= 2
                continue
            x = np.round(answer.values[:n])
            _, high, exact = self.worst_loss(x)
            bound = self.problem.second_stage(x, exact).bound
            if bound is not None:
                screen.add(self.sign * bound, exact)
            self.offer(x, high, "main problem")
            scenario, predicted = worst_scenario(self.config.adversary, self.env, network, features, x, exact, self.rng)
            self.note("adversary", exact=self.sign * high, predicted=self._value(model, x, predicted))
            yield x
            if any(np.abs(scenario - old).sum() < 1e-3 for old in scenarios):
                if self.config.adversary != "hybrid" or any(np.abs(exact - old).sum() < 1e-3 for old in scenarios):
                    if np.isinf(self.seconds_left(np.inf)):
                        break
                    dismissed.append(x)
                    continue
                scenario = exact
            scenarios.append(scenario)
        if self.config.polish and self.best is not None:
            until = stop_at(self.seconds_left(self.config.polish_seconds))
            descend(self, self.best, self.best_loss, screen, until)
            yield self.best

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

    def _main(
        self, env: ItemFeatures, model: AffineModel, network: ValueNetwork, features: Array, scenarios: list[Array]
    ) -> MILP:
        if self.config.residual:
            return residual_main(model, network, features, scenarios, env.value_scale())
        if not scenarios:  # nothing happens
            return scenario_main(model.first, [env.block(np.zeros(self.problem.uncertainty.dim))])
        return arg_max_main(env, model, network, features, scenarios)


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
    e_x = design_embedding(programme, network.design, features, np.arange(n))
    outputs = [
        prediction(programme, network, e_x, scenario_embedding(network.scenario, features, xi)) for xi in scenarios
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
        e_x = design_embedding(programme, network.design, features, np.arange(len(model.first.c)))
        for xi in scenarios:
            output = prediction(programme, network, e_x, scenario_embedding(network.scenario, features, xi))
            columns = np.append(output.columns, extra)
            programme.row(columns, np.append(-output.coefficients[0], 1.0), float(output.constant[0]), INFINITY)
    return programme.build()


def without(main: MILP, designs: list[Array]) -> MILP:
    """The main problem, whose first columns are a binary design, with those designs (n,) cut off."""
    if not designs:
        return main
    x = np.stack(designs)
    cuts = np.zeros((len(x), len(main.cost)))
    cuts[:, : x.shape[1]] = np.where(x > 0.5, -1.0, 1.0)
    return dataclasses.replace(
        main,
        A=sparse.vstack([sparse.csr_matrix(main.A), sparse.csr_matrix(cuts)]).tocsr(),
        row_lower=np.append(main.row_lower, 1.0 - x.sum(axis=1)),
        row_upper=np.append(main.row_upper, np.full(len(x), INFINITY)),
    )


def predict(network: ValueNetwork, features: Array, x: Array, scenarios: Array) -> Array:
    """(s,) predictions for one design (n,) under scenarios (s, n)."""
    with torch.no_grad():
        described, count = torch.as_tensor(features, dtype=torch.float32), torch.tensor(float(len(x)))
        designs, worlds = (torch.as_tensor(a, dtype=torch.float32) for a in (x[None], scenarios))
        return np.asarray(network(designs, worlds, described, count)[0].double().numpy())
