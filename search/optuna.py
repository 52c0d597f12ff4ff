"""Optuna's samplers as search backends: TPE and CMA-ES, through an in-memory Optuna study."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.samplers import BaseSampler, CmaEsSampler, TPESampler
from optuna.trial import Trial, TrialState

from designopt import Categorical, Evaluation, Integer, Searcher, tunable
from designopt.env import DesignEnv
from designopt.parameters import Array
from designopt.search.seen import Seen, keys

REDRAWS = 5
"""How often a sampler that proposes a known design is asked again before a random new one takes its place."""

SEPARABLE_ABOVE = 100
"""Coordinates above which CMA-ES keeps only the diagonal of its covariance: the full one costs their cube."""


@contextmanager
def _quiet() -> Iterator[None]:
    """Optuna announces each study and warns of options it calls experimental; neither is news to our user."""
    logger = logging.getLogger("optuna")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        logger.setLevel(level)


class OptunaSearch(Searcher):
    """Ask and tell through an Optuna study in memory, whose running trials are the designs asked and not yet told.

    Subclasses give the sampler, say how a trial's values read as a design, and what the trial is told.
    """

    def __init__(self, env: DesignEnv, config: Any = None, *, seed: int = 0, device: str = "cpu") -> None:
        super().__init__(env, config, seed=seed, device=device)
        self._seen = Seen(self.space)
        self._running: dict[bytes, Trial] = {}
        self._distributions = self._search_space()
        self._scale = np.array([c.scale for c in self.constraints])
        with _quiet():
            self._study = optuna.create_study(
                directions=["minimize"] * self._n_values(), sampler=self._sampler(int(self.rng.integers(2**31)))
            )

    def _n_values(self) -> int:
        return len(self.objectives)

    def _search_space(self) -> dict[str, BaseDistribution]:
        return self.space.optuna()

    def _sampler(self, seed: int) -> BaseSampler:
        raise NotImplementedError

    def _design(self, trial: Trial) -> Array:
        """-> (1, d)."""
        return self.space.from_optuna([trial.params])

    def _repeated(self, trial: Trial, key: bytes) -> None:
        """Close a trial that proposes a design asked or told before."""
        self._study.tell(trial, state=TrialState.FAIL)

    def _learn(self, trial: Trial | None, design: Array, evaluation: Evaluation) -> None:
        """One row; ``trial`` is None for a design that Optuna did not propose."""
        raise NotImplementedError

    def ask(self, n: int, pending: Array) -> Array:
        """-> (n, d) designs."""
        return np.concatenate([self._ask_one() for _ in range(n)])

    def _ask_one(self) -> Array:
        for _ in range(REDRAWS):
            trial = self._study.ask(self._distributions)
            design = self._design(trial)
            key = keys(design)[0]
            if self._seen.fresh(design)[0]:
                self._running[key] = trial
                break
            self._repeated(trial, key)
        else:
            design = self._seen.sample(1, self.rng)
        self._seen.add(design)
        return design

    def tell(self, designs: Array, evaluation: Evaluation) -> None:
        """Results in any order, of any status; also of designs that somebody else proposed."""
        self._seen.add(designs)
        for i, key in enumerate(keys(designs)):
            self._learn(self._running.pop(key, None), designs[i : i + 1], evaluation[i])


class TPESearch(OptunaSearch):
    """Tree-structured Parzen estimator [Bergstra2011]: Optuna's multivariate TPE, several objectives included.

    Good for tens to hundreds of evaluations in mixed spaces. Constraints rank behind feasibility by the sum of scaled
    violations. Designs in evaluation count as bad ones (constant liar), so parallel workers spread out. Invalid designs
    rank last of all; other rows without values are ignored. A design that was proposed before is drawn again.
    """

    multi_objective = True

    @dataclass(frozen=True)
    class Config:
        """Hyper-parameters."""

        n_startup_trials: int = tunable(10, Integer(4, 50), "random designs before the model is used")
        n_ei_candidates: int = tunable(24, Integer(8, 256, log=True), "candidates among which the model chooses")

        def __post_init__(self) -> None:
            for name in ("n_startup_trials", "n_ei_candidates"):
                if getattr(self, name) < 1:
                    raise ValueError(f"{name} = {getattr(self, name)}; it must be at least 1")

    config: Config

    def _sampler(self, seed: int) -> BaseSampler:
        return TPESampler(
            seed=seed,
            constant_liar=True,
            n_startup_trials=self.config.n_startup_trials,
            n_ei_candidates=self.config.n_ei_candidates,
        )

    def _learn(self, trial: Trial | None, design: Array, evaluation: Evaluation) -> None:
        status = str(evaluation.status[0])
        values: list[float] | None = None
        if status == "ok":
            state = TrialState.COMPLETE
            values = evaluation.losses(self.objectives)[0].tolist()
            scaled = (evaluation.constraints[0] / self._scale).tolist()
            violations = {c.name: value for c, value in zip(self.constraints, scaled, strict=True)}
        elif status == "invalid":  # pruned trials may lack values; without limit infeasible they rank last
            state = TrialState.PRUNED
            violations = {"invalid": np.inf}
        else:
            state = TrialState.FAIL
            violations = {}
        if trial is None:
            self._study.add_trial(
                optuna.trial.create_trial(
                    state=state,
                    values=values,
                    params=self.space.to_optuna(design)[0],
                    distributions=self._distributions,
                    constraints=violations,
                )
            )
            return
        for name, value in violations.items():
            trial.set_constraint(name, value)
        self._study.tell(trial, values, state=state)


class CMAESSearch(OptunaSearch):
    """Covariance matrix adaptation evolution strategy [Hansen2001] with margin [Hamano2022], through Optuna.

    Good for hundreds to thousands of evaluations of badly scaled or correlated real parameters. Integers and ordinals
    keep a least probability of changing (the margin). A categorical column is searched as one score in [0, 1] per
    choice, the highest wins, because Optuna's sampler would draw categories at random for ever. Above 100 coordinates
    the covariance is diagonal and without margin.

    CMA-ES uses ranks only, so constraints enter exactly as feasibility first: any feasible design before any infeasible
    one, those by scaled violation. Rows without values, and designs that somebody else proposed, do not move the
    distribution. Asynchronous form: designs are drawn from the current distribution at any time; it is updated as
    soon as a population of its own designs has values. A known design that is drawn again counts with its known value.
    """

    @dataclass(frozen=True)
    class Config:
        """Hyper-parameters."""

        population: int = tunable(0, Integer(4, 100, log=True), "designs per update; 0: 4 + 3 ln(coordinates)")
        margin: bool = tunable(True, Categorical([False, True]), "keep discrete columns from freezing")

        def __post_init__(self) -> None:
            if self.population != 0 and self.population < 3:
                raise ValueError(f"population = {self.population}; it must be 0 (by dimension) or at least 3")

    config: Config

    def _n_values(self) -> int:
        return 1

    def _search_space(self) -> dict[str, BaseDistribution]:
        self._scores: dict[str, list[str]] = {}  # categorical column -> names of its scores
        coordinates: dict[str, BaseDistribution] = {}
        for (column, distribution), choices in zip(self.space.optuna().items(), self.space.choices, strict=True):
            self._scores[column] = [f"{column}={i}" for i in range(choices)]
            ordered = {column: distribution}
            coordinates |= {name: FloatDistribution(0.0, 1.0) for name in self._scores[column]} or ordered
        return coordinates

    def _sampler(self, seed: int) -> BaseSampler:
        self._known: dict[bytes, float] = {}
        separable = len(self._distributions) > SEPARABLE_ABOVE
        return CmaEsSampler(
            seed=seed,
            popsize=self.config.population or None,
            use_separable_cma=separable,
            with_margin=self.config.margin and not separable and bool(self.space.discrete.any()),
            warn_independent_sampling=False,
        )

    def _design(self, trial: Trial) -> Array:
        values = trial.params
        row = {
            column: max(range(len(scores)), key=lambda i: values[scores[i]]) if scores else values[column]
            for column, scores in self._scores.items()
        }
        return self.space.from_optuna([row])

    def _repeated(self, trial: Trial, key: bytes) -> None:
        if key in self._known:
            self._study.tell(trial, self._known[key])
        else:
            super()._repeated(trial, key)

    def _learn(self, trial: Trial | None, design: Array, evaluation: Evaluation) -> None:
        ok = evaluation.status[0] == "ok"
        if ok:
            loss, violation = evaluation.losses(self.objectives)[0, 0], evaluation.violation(self.constraints)[0]
            self._known[keys(design)[0]] = _feasibility_first(loss, violation)
        if trial is not None and ok:
            self._study.tell(trial, self._known[keys(design)[0]])
        elif trial is not None:
            self._study.tell(trial, state=TrialState.FAIL)


def _feasibility_first(loss: float, violation: float) -> float:
    """One number that orders designs feasibility first: asinh keeps the order and 15 digits, and is bounded."""
    bound = np.arcsinh(np.finfo(np.float64).max)
    return float(np.arcsinh(loss) if violation == 0 else 2 * bound + np.arcsinh(violation))
