"""Bayesian optimisation: model every objective and constraint, evaluate the design that promises most."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from botorch.acquisition.analytic import LogProbabilityOfFeasibility
from torch import Tensor

from designopt import Evaluation, History, Integer, Searcher, tunable
from designopt.env import DesignEnv
from designopt.parameters import Array
from designopt.search.acquisition import best_rows, promise, together
from designopt.search.candidates import fresh, initial_designs, initial_size
from designopt.search.maximise import maximise
from designopt.surrogates.device import resolve_device
from designopt.surrogates.gp import IndependentGPs, fit_gp
from designopt.surrogates.warp import choose_warps

CENTRES = 4
"""Around so many of the best designs further ones are tried."""


class BayesianSearch(Searcher):
    """Gaussian processes and constrained expected improvement, for evaluations that cost seconds to days.

    Begins with space-filling designs; then every output gets a Gaussian process and the next design maximises the
    expected improvement, over the best feasible design, times the probability that the constraints hold. While
    nothing is feasible, that probability alone; with several objectives, the expected gain in hypervolume.

    * Outputs with heavy tails are warped around the value that matters (0 for constraints, the best for objectives).
    * Designs that could not be evaluated teach a further model where evaluations succeed.
    * Pending designs count as evaluated with the outcome that the models expect, so a batch spreads.

    The time of an ask grows as the cube of the designs told: below a second at a hundred, too long at a thousand.
    """

    multi_objective = True
    memoryless = True

    @dataclass(frozen=True)
    class Config:
        """Hyper-parameters."""

        n_initial: int = tunable(0, Integer(0, 50), "space-filling designs at first; 0: 2 (d + 1) within [4, 20]")
        screened: int = tunable(1024, Integer(128, 8192, log=True), "candidates scored per proposal")
        polished: int = tunable(6, Integer(1, 32, log=True), "of which so many are moved uphill")

    config: Config

    def __init__(self, env: DesignEnv, config: Config | None = None, *, seed: int = 0, device: str = "cpu") -> None:
        super().__init__(env, config, seed=seed, device=device)
        self.history = History(env)
        self._lost = np.zeros(0, dtype=bool)
        self._device = resolve_device(device)

    def tell(self, designs: Array, evaluation: Evaluation) -> None:
        """Remember n designs."""
        self.history.append(designs, evaluation)
        self._lost = np.concatenate([self._lost, evaluation.status == "lost"])

    def ask(self, n: int, pending: Array) -> Array:
        """-> between 1 and n designs (., d); one that is known only when all others are."""
        asked = len(self.history) + len(pending)
        known = np.concatenate([self.history.designs, pending])
        initial = initial_size(self.config.n_initial, self.space.dim)
        if asked < initial or self.history.ok.sum() < 2:
            return initial_designs(self.space, asked, min(n, max(initial - asked, 1)), self.seed, known)
        rng = np.random.default_rng(np.random.SeedSequence((self.seed, asked)))
        model, evaluable = self._fit(), self._fit_evaluable()
        for design in pending:
            model = self._believe(model, design[None])
        chosen = np.empty((0, self.space.dim))
        while len(chosen) < n:
            design = self._propose(model, evaluable, np.concatenate([known, chosen]), rng)
            if len(chosen) and not fresh(self.space, design, np.concatenate([known, chosen]))[0]:
                break
            chosen = np.concatenate([chosen, design])
            if len(chosen) < n:
                model = self._believe(model, design)
        return chosen

    def _propose(
        self, model: IndependentGPs, evaluable: IndependentGPs | None, known: Array, rng: np.random.Generator
    ) -> Array:
        """The next design, (1, d)."""
        m, Z = len(self.objectives), model.Y
        worth = promise(model, Z, self._warps, m, seed=int(rng.integers(2**31)))
        centres = model.X[best_rows(Z, m, CENTRES)].cpu().numpy()
        if evaluable is not None:
            worth = together(worth, LogProbabilityOfFeasibility(evaluable, {0: (None, 0.0)}))
        screened, polished = self.config.screened, self.config.polished
        return maximise(self.space, worth, centres, known, rng, screened=screened, polished=polished, like=model.X)

    def _fit(self) -> IndependentGPs:
        """Models of the warped losses and constraints of all designs that could be evaluated."""
        h, m = self.history, len(self.objectives)
        ok = np.flatnonzero(h.ok)
        # Sums depend on the order of their terms in the last digit; sorted, the order of telling does not matter.
        ok = ok[np.lexsort(np.concatenate([h.losses[ok], h.constraints[ok], h.designs[ok]], axis=1).T)]
        Y = np.concatenate([h.losses[ok], h.constraints[ok]], axis=1)
        pivots = np.zeros(Y.shape[1])
        good = Y[h.feasible[ok]] if h.feasible.any() else Y
        pivots[:m] = good[:, :m].min(axis=0) if m == 1 and h.feasible.any() else np.median(good[:, :m], axis=0)
        self._warps = choose_warps(self.space.one_hot(h.designs[ok]), Y, pivots)
        Z = np.stack([warp(y) for warp, y in zip(self._warps, Y.T, strict=True)], axis=1)
        return fit_gp(self._tensor(h.unit[ok]), self._tensor(Z), self.space.categorical)

    def _fit_evaluable(self) -> IndependentGPs | None:
        """A model of -1 where evaluations succeeded and 1 where they did not; None when all did.

        Whether invalid, failed or out of time: a design that gives no values is likely to have neighbours that give
        none either. Lost ones say something of a machine, nothing of the design.
        """
        told = np.flatnonzero(~self._lost)
        labels = np.where(self.history.ok[told], -1.0, 1.0)
        if (labels < 0).all():
            return None
        designs = self.history.designs[told]
        order = np.lexsort(np.column_stack([labels, designs]).T)
        return fit_gp(
            self._tensor(self.history.unit[told][order]), self._tensor(labels[order, None]), self.space.categorical
        )

    def _believe(self, model: IndependentGPs, design: Array) -> IndependentGPs:
        """The model as if the design (1, d) had been evaluated as expected."""
        X = self._tensor(self.space.to_unit(design))
        return model.condition(X, model.posterior(X[:, None]).mean[:, 0])

    def _tensor(self, values: Array) -> Tensor:
        return torch.as_tensor(values, dtype=torch.double, device=self._device)
