"""Bayesian optimisation: model every objective and constraint, evaluate the design that promises most.

Reference: [Eriksson2019] Scalable global optimization via local Bayesian optimization, NeurIPS.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

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
from designopt.surrogates.device import one_thread, resolve_device
from designopt.surrogates.gp import IndependentGPs, fit_gp
from designopt.surrogates.warp import Warp, fit_warped

CENTRES = 4
"""Around so many of the best designs further ones are tried."""
REACHES = (0.25, 0.125, 0.0625, 0.03125, 0.015625)
"""How far from the best design a local proposal may go in each column, in the unit coding; one is drawn each time."""


@dataclass(frozen=True)
class Beliefs:
    """Models, and the designs that count as evaluated: those told, then others with the outcome expected of them.

    Attributes:
        model: of the warped outputs.
        evaluable: of -1 where evaluations succeeded and 1 where they did not; None when all did. Whether a design was
            invalid, failed or ran out of time: its neighbours are likely to give no values either. Lost ones say
            something of a machine, nothing of the design. That no values came is no reason to go there and see, so
            ``model`` rests on expected ones there.
        warps: of the outputs.
        X, Z: (n, d) designs in the unit coding and their (n, m + k) warped outputs.
    """

    model: IndependentGPs
    evaluable: IndependentGPs | None
    warps: list[Warp]
    X: Tensor
    Z: Tensor

    def expecting(self, X: Tensor) -> Beliefs:
        """The beliefs held if the designs (p, d) turned out as expected."""
        if len(X) == 0:
            return self
        Z = expected(self.model, X)
        return replace(self, model=self.model.condition(X, Z), X=torch.cat([self.X, X]), Z=torch.cat([self.Z, Z]))


def expected(model: IndependentGPs, X: Tensor) -> Tensor:
    """X: (p, d) -> (p, m + k) posterior means; to condition a model on them does not move its mean elsewhere."""
    mean: Tensor = model.posterior(X[:, None]).mean[:, 0]
    return mean


class BayesianSearch(Searcher):
    """Gaussian processes and constrained expected improvement, for evaluations that cost seconds to days.

    Begins with space-filling designs; then every output gets a Gaussian process and the next design maximises the
    expected improvement, over the best feasible design, times the probability that the constraints hold. While
    nothing is feasible, that probability alone; with several objectives, the expected gain in hypervolume.

    * Every second proposal stays near the best design: in many dimensions, the improvement that models expect is
      greatest in far corners, where they know least, and a search that only follows it never converges [Eriksson2019].
    * Outputs with heavy tails are warped around the value that matters (0 for constraints, the best for objectives), if
      that makes them more probable.
    * Designs that could not be evaluated teach a further model where evaluations succeed.
    * Pending designs count as evaluated with the outcome that the models expect, so a batch spreads.

    The time of an ask grows with the number of outputs and the cube of the designs told.
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

    @one_thread
    def ask(self, n: int, pending: Array) -> Array:
        """-> between 1 and n designs (., d); one that is known only when all others are."""
        asked = len(self.history) + len(pending)
        known = np.concatenate([self.history.designs, pending])
        initial = initial_size(self.config.n_initial, self.space.dim)
        if asked < initial or self.history.ok.sum() < 2:
            return initial_designs(self.space, asked, min(n, max(initial - asked, 1)), self.seed, known)
        rng = np.random.default_rng(np.random.SeedSequence((self.seed, asked)))
        beliefs = self._beliefs().expecting(self._tensor(self.space.to_unit(pending)))
        chosen: list[Array] = []
        while len(chosen) < n:
            design = self._propose(beliefs, known, rng)
            if chosen and not fresh(self.space, design, known)[0]:
                break
            chosen.append(design)
            known = np.concatenate([known, design])
            beliefs = beliefs.expecting(self._tensor(self.space.to_unit(design)))
        return np.concatenate(chosen)

    def _propose(self, beliefs: Beliefs, known: Array, rng: np.random.Generator) -> Array:
        """The next design, (1, d)."""
        m = len(self.objectives)
        worth = promise(beliefs.model, beliefs.Z, beliefs.warps, m, seed=int(rng.integers(2**31)))
        if beliefs.evaluable is not None:
            worth = together(worth, LogProbabilityOfFeasibility(beliefs.evaluable, {0: (None, 0.0)}))
        centres = beliefs.X[best_rows(beliefs.Z, m, CENTRES)].cpu().numpy()
        low, high = np.zeros(self.space.dim), np.ones(self.space.dim)
        if len(known) % 2:
            reach = np.where(self.space.categorical, 1.0, rng.choice(REACHES))
            centre = centres[rng.integers(len(centres)) if m > 1 else 0]
            low, high = np.maximum(centre - reach, 0.0), np.minimum(centre + reach, 1.0)
        return maximise(
            self.space,
            worth,
            centres,
            known,
            rng,
            low=low,
            high=high,
            screened=self.config.screened,
            polished=self.config.polished,
            like=beliefs.X,
        )

    def _beliefs(self) -> Beliefs:
        """Models of the warped losses and constraints, and of where evaluations succeed."""
        h, m = self.history, len(self.objectives)
        ok = np.flatnonzero(h.ok)
        Y = np.concatenate([h.losses[ok], h.constraints[ok]], axis=1)
        # Sums depend on the order of their terms in the last digit; sorted, the order of telling does not matter.
        order = np.lexsort(np.concatenate([Y, h.designs[ok]], axis=1).T)
        ok, Y = ok[order], Y[order]
        good = Y[h.feasible[ok]] if h.feasible.any() else Y
        pivots = np.zeros(Y.shape[1])
        pivots[:m] = good[:, 0].min() if m == 1 and h.feasible.any() else np.median(good[:, :m], axis=0)
        X = self._tensor(h.unit[ok])
        model, warps = fit_warped(X, Y, pivots, self.space.categorical)
        failed = np.flatnonzero(~h.ok & ~self._lost)
        if len(failed) == 0:
            return Beliefs(model, None, warps, X, model.Y)
        failed = failed[np.lexsort(h.designs[failed].T)]
        without = self._tensor(h.unit[failed])
        labels = self._tensor(np.repeat([-1.0, 1.0], [len(ok), len(failed)])[:, None])
        evaluable = fit_gp(torch.cat([X, without]), labels, self.space.categorical)
        return Beliefs(model.condition(without, expected(model, without)), evaluable, warps, X, model.Y)

    def _tensor(self, values: Array) -> Tensor:
        return torch.as_tensor(values, dtype=torch.double, device=self._device)
