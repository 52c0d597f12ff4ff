"""Bayesian optimisation: model every objective and constraint, evaluate the design that promises most.

References: [Eriksson2019] Scalable global optimization via local Bayesian optimization, NeurIPS. [Yu2025] Fast and
accurate Bayesian optimization with pre-trained transformers for constrained engineering problems, Structural and
Multidisciplinary Optimization.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from designopt import Categorical, Evaluation, History, Integer, Searcher, tunable
from designopt.env import DesignEnv
from designopt.parameters import Array
from designopt.search.acquisition import ACQUISITIONS, best_rows, promise, together
from designopt.search.beliefs import SURROGATES, Beliefs, Fitted, Pretrained, Surrogate, memorable, shipped
from designopt.search.candidates import first_fresh, fresh, initial_designs, initial_size
from designopt.search.maximise import Acquisition, maximise
from designopt.search.targets import penalised, penalty, scalarised
from designopt.surrogates.device import one_thread, resolve_device
from designopt.surrogates.warp import Warp, yeo_johnson

CENTRES = 4
"""Around so many of the best designs further ones are tried."""
REACHES = (0.25, 0.125, 0.0625, 0.03125, 0.015625)
"""How far from the best design a local proposal may go in each column, in the unit coding; one is drawn each time."""
PUBLISHED_INITIAL, PUBLISHED_CANDIDATES = 20, 1000
"""Random designs at first, and per proposal, of the published loop [Yu2025]."""
DRAWN = 512
"""Candidates among which a drawn function chooses: a joint draw costs the cube of their number."""


class BayesianSearch(Searcher):
    """Models of all outputs and constrained expected improvement, for evaluations that cost seconds to days.

    Begins with space-filling designs; then every output gets a model and the next design maximises the expected
    improvement, over the best feasible design, times the probability that the constraints hold. While nothing is
    feasible, that probability alone; with several objectives, the expected gain in hypervolume. Other acquisition
    functions are options; ``designopt.search.acquisition.promise`` describes them.

    * Every second proposal stays near the best design: in many dimensions, the improvement that models expect is
      greatest in far corners, where they know least, and a search that only follows it never converges [Eriksson2019].
    * Outputs with heavy tails are warped around the value that matters (0 for constraints, the best for objectives), if
      that makes them more probable.
    * Designs that could not be evaluated teach a further model, with networks a pre-trained classifier, where
      evaluations succeed: whether they were invalid, failed or ran out of time. Lost ones say something of a machine,
      nothing of the design.
    * Pending designs count as evaluated with the outcome that the models expect, so a batch spreads.
    * ``penalty`` models one output only, the loss plus a growing multiple of the squared violations. It, ``ucb`` and
      ``thompson`` turn several objectives into one by random weights, new ones for every ask.
    * A network is shown no more designs than it was trained on: the best, those nearest to the boundary of what is
      feasible and the latest, a third each.
    * ``published``: 1000 random candidates and nothing else, outputs under a power transform, improvement over the best
      of all designs, feasible or not [Yu2025].

    The time of an ask grows with the number of outputs and, with fitted processes, the cube of the designs told.

    Args:
        env, config, seed, device: see ``Searcher``.
        network: a loaded ``PFN`` or ``AmortizedGP`` in place of the shipped one.
    """

    multi_objective = True
    memoryless = True

    @dataclass(frozen=True)
    class Config:
        """Hyper-parameters."""

        surrogate: str = tunable("gp", Categorical(SURROGATES), "fitted processes, or a pre-trained network")
        acquisition: str = tunable("cei", Categorical(ACQUISITIONS), "what a proposal maximises")
        published: bool = tunable(
            False, Categorical([False, True]), "the published loop: random candidates, Yeo-Johnson"
        )
        n_initial: int = tunable(0, Integer(0, 50), "space-filling designs at first; 0: 2 (d + 1) within [4, 20]")
        screened: int = tunable(1024, Integer(128, 8192, log=True), "candidates scored per proposal")
        polished: int = tunable(6, Integer(1, 32, log=True), "of which so many are moved uphill")
        steps: int = tunable(60, Integer(1, 200, log=True), "of L-BFGS, when they are")

        def __post_init__(self) -> None:
            for name, value, allowed in (
                ("surrogate", self.surrogate, SURROGATES),
                ("acquisition", self.acquisition, ACQUISITIONS),
            ):
                if value not in allowed:
                    raise ValueError(f"{name} = {value!r}; allowed: {', '.join(map(repr, allowed))}")

    config: Config

    def __init__(
        self,
        env: DesignEnv,
        config: Config | None = None,
        *,
        seed: int = 0,
        device: str = "cpu",
        network: Any = None,
    ) -> None:
        super().__init__(env, config, seed=seed, device=device)
        self.history = History(env)
        self._lost = np.zeros(0, dtype=bool)
        self._device = resolve_device(device)
        self._surrogate = self._make_surrogate(network)
        self._thinned = False
        given = self.config.n_initial
        if self.config.published:
            self._initial = given or PUBLISHED_INITIAL
        else:
            self._initial = initial_size(given, self.space.dim)

    def _make_surrogate(self, network: Any) -> Surrogate:
        name, categorical = self.config.surrogate, self.space.categorical
        if name == "gp":
            return Fitted(categorical)
        judge = shipped("agp", self._device.type)
        if network is None:
            network = judge if name == "agp" else shipped(name, self._device.type)
        return Pretrained(network, categorical, judge)

    def tell(self, designs: Array, evaluation: Evaluation) -> None:
        """Remember n designs."""
        self.history.append(designs, evaluation)
        self._lost = np.concatenate([self._lost, evaluation.status == "lost"])

    @one_thread
    def ask(self, n: int, pending: Array) -> Array:
        """-> between 1 and n designs (., d); one that is known only when all others are."""
        asked = len(self.history) + len(pending)
        known = np.concatenate([self.history.designs, pending])
        rng = np.random.default_rng(np.random.SeedSequence((self.seed, asked)))
        if asked < self._initial or self.history.ok.sum() < 2:
            missing = min(n, max(self._initial - asked, 1))
            if self.config.published:
                return first_fresh(self.space, self.space.sample(missing + 64, rng), known, missing)
            return initial_designs(self.space, asked, missing, self.seed, known)
        beliefs = self._beliefs(rng).expecting(self._tensor(self.space.to_unit(pending)))
        chosen: list[Array] = []
        while len(chosen) < n:
            design = self._propose(beliefs, known, rng)
            if chosen and not fresh(self.space, design, known)[0]:
                break
            chosen.append(design)
            known = np.concatenate([known, design])
            if len(chosen) < n:
                beliefs = beliefs.expecting(self._tensor(self.space.to_unit(design)))
        return np.concatenate(chosen)

    # Proposing --------------------------------------------------------------------------------------------------

    def _propose(self, beliefs: Beliefs, known: Array, rng: np.random.Generator) -> Array:
        """The next design, (1, d)."""
        worth = self._worth(beliefs, rng)
        if self.config.published:
            return self._best_random(worth, known, rng, beliefs.X)
        m = beliefs.Z.shape[1] - len(beliefs.limits)
        centres = beliefs.X[best_rows(beliefs.Z, beliefs.limits, CENTRES)].cpu().numpy()
        low, high = np.zeros(self.space.dim), np.ones(self.space.dim)
        if len(known) % 2:
            reach = np.where(self.space.categorical, 1.0, rng.choice(REACHES))
            centre = centres[rng.integers(len(centres)) if m > 1 else 0]
            low, high = np.maximum(centre - reach, 0.0), np.minimum(centre + reach, 1.0)
        drawn = self.config.acquisition == "thompson"
        return maximise(
            self.space,
            worth,
            centres,
            known,
            rng,
            low=low,
            high=high,
            screened=min(self.config.screened, DRAWN) if drawn else self.config.screened,
            polished=0 if drawn else self.config.polished,
            steps=self.config.steps,
            like=beliefs.X,
        )

    def _worth(self, beliefs: Beliefs, rng: np.random.Generator) -> Acquisition:
        """The acquisition function; where evaluations may fail, times the probability that they do not."""
        b, seed = beliefs, int(rng.integers(2**31))
        name, best_of_all = self.config.acquisition, self.config.published
        worth = promise(b.model, b.Z, b.limits, b.warps, seed, name, best_of_all=best_of_all)
        return worth if beliefs.evaluable is None else together(worth, beliefs.evaluable)

    def _best_random(self, worth: Acquisition, known: Array, rng: np.random.Generator, like: Tensor) -> Array:
        designs = self.space.sample(PUBLISHED_CANDIDATES, rng)
        with torch.no_grad():
            values = worth(torch.as_tensor(self.space.to_unit(designs)).to(like)[:, None]).cpu().numpy()
        return first_fresh(self.space, designs[np.argsort(-np.nan_to_num(values, nan=-np.inf), kind="stable")], known)

    # Believing --------------------------------------------------------------------------------------------------

    def _beliefs(self, rng: np.random.Generator) -> Beliefs:
        """Models of the warped losses and constraints, and of where evaluations succeed."""
        h = self.history
        ok = self._shown(np.flatnonzero(h.ok))
        losses, constraints, feasible = self._targets(ok, rng)
        Y, m = np.concatenate([losses, constraints], axis=1), losses.shape[1]
        # Sums depend on the order of their terms in the last digit; sorted, the order of telling does not matter.
        order = np.lexsort(np.concatenate([Y, h.designs[ok]], axis=1).T)
        X, Y, feasible = self._tensor(h.unit[ok[order]]), Y[order], feasible[order]
        if self.config.published:
            values, zeros = yeo_johnson(Y)
            warps: list[Warp] = []
            Z, limits = self._tensor(values), self._tensor(zeros[m:])
            model = self._surrogate.plain(X, Z)
        else:
            good = Y[feasible] if feasible.any() else Y
            pivots = np.zeros(Y.shape[1])
            pivots[:m] = good[:, 0].min() if m == 1 and feasible.any() else np.median(good[:, :m], axis=0)
            model, Z, warps = self._surrogate.warped(X, Y, pivots)
            limits = Z.new_zeros(Y.shape[1] - m)
        failed = np.flatnonzero(~h.ok & ~self._lost)
        failed = failed[np.lexsort(h.designs[failed].T)]
        return Beliefs(model, None, X, Z, limits, warps[:m]).failing(self._tensor(h.unit[failed]), self._surrogate)

    def _targets(self, ok: Any, rng: np.random.Generator) -> tuple[Array, Array, Any]:
        """(n, m) losses and (n, k) constraints to be modelled, and (n,) which designs can be improved on."""
        h = self.history
        losses, constraints, feasible = h.losses[ok], h.constraints[ok], h.feasible[ok]
        name = self.config.acquisition
        if losses.shape[1] > 1 and (self.config.published or name in ("penalty", "ucb", "thompson")):
            losses = scalarised(losses, rng)[:, None]
        if name == "penalty":
            told = h.losses[:, 0]
            scales = np.array([c.scale for c in self.constraints])
            rho = penalty(told, h.feasible, self._initial)
            losses = penalised(losses[:, 0], constraints / scales, rho)[:, None]
            return losses, np.empty((len(ok), 0)), np.ones(len(ok), dtype=bool)
        return losses, constraints, feasible

    def _shown(self, ok: Any) -> Any:
        """The rows with values that the surrogate gets to see."""
        h, most = self.history, self._surrogate.most_points
        if len(ok) <= most:
            return ok
        if not self._thinned:
            self._thinned = True
            warnings.warn(
                f"{len(ok)} designs told, but the {self.config.surrogate} network was trained on at most {most:.0f}: "
                "it is shown the best, those nearest to the boundary of what is feasible and the latest, a third each",
                stacklevel=2,
            )
        scales = np.array([c.scale for c in self.constraints])
        violation = (h.constraints[ok] / scales).max(axis=1) if self.constraints else np.zeros(len(ok))
        return ok[memorable(h.losses[ok].mean(axis=1), violation, int(most))]

    def _tensor(self, values: Array) -> Tensor:
        return torch.as_tensor(values, dtype=torch.double, device=self._device)


class AGPSearch(BayesianSearch):
    """Bayesian optimisation in which a network emits the Gaussian processes: no fitting, a fraction of the time."""

    @dataclass(frozen=True)
    class Config(BayesianSearch.Config):
        """Hyper-parameters."""

        surrogate: str = tunable("agp", Categorical(SURROGATES), "fitted processes, or a pre-trained network")
        screened: int = tunable(512, Integer(128, 8192, log=True), "candidates scored per proposal")
        polished: int = tunable(4, Integer(1, 32, log=True), "of which so many are moved uphill")


class PFNSearch(BayesianSearch):
    """Bayesian optimisation in which a network predicts in context: no fitting, no normal distribution assumed.

    A prediction costs ten times that of a Gaussian process, so fewer are asked for.
    """

    @dataclass(frozen=True)
    class Config(BayesianSearch.Config):
        """Hyper-parameters."""

        surrogate: str = tunable("pfn", Categorical(SURROGATES), "fitted processes, or a pre-trained network")
        screened: int = tunable(512, Integer(128, 8192, log=True), "candidates scored per proposal")
        polished: int = tunable(3, Integer(1, 32, log=True), "of which so many are moved uphill")
        steps: int = tunable(6, Integer(1, 200, log=True), "of L-BFGS, when they are")
