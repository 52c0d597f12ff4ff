"""Search backends as samplers of Optuna studies."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from collections.abc import Sequence as Seq
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.search_space import intersection_search_space
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from designopt.adapters.declared import DeclaredEnv
from designopt.env import Constraint, Objective
from designopt.evaluation import Evaluation
from designopt.parameters import Array, Categorical, Integer, Parameter, Real
from designopt.registry import backend as backend_named
from designopt.searcher import Searcher, make_config
from designopt.space import DesignSpace


class Coding:
    """Optuna's distributions as a DesignSpace; a stepped range is an integer that counts its steps."""

    def __init__(self, distributions: Mapping[str, BaseDistribution]) -> None:
        self.distributions = dict(distributions)
        self.space = DesignSpace({name: _parameter(d) for name, d in distributions.items()})

    def design(self, params: Mapping[str, Any]) -> Array | None:
        """Parameters of a trial -> (d,) design, None when one is missing or outside this space."""
        row = []
        for name, d in self.distributions.items():
            if name not in params:
                return None
            try:
                value = d.to_internal_repr(params[name])
            except ValueError:  # not one of these choices
                return None
            if steps := _steps(d):
                start, _, step = steps
                value = round((value - start) / step, 8)  # 0.3 / 0.1 is 3 but for its last digits
            row.append(value)
        return np.array(row) if self.space.contains([row])[0] else None

    def params(self, design: Array) -> dict[str, Any]:
        """(d,) design -> parameters as Optuna's users see them."""
        params = {}
        for (name, d), value in zip(self.distributions.items(), design.tolist(), strict=True):
            if steps := _steps(d):
                start, stop, step = steps
                value = min(start + value * step, stop)  # the last step may end a hair beyond the range
            params[name] = d.to_external_repr(value)
        return params


def _steps(d: BaseDistribution) -> tuple[float, float, float] | None:
    """Start, stop and step of a range that is counted in steps; None when it is taken as it stands."""
    match d:
        case FloatDistribution(step=float(step)):
            return d.low, d.high, step
        case IntDistribution() if d.step > 1:
            return d.low, d.high, d.step
    return None


def _parameter(d: BaseDistribution) -> Parameter:
    match d:
        case FloatDistribution(step=None):
            return Real(d.low, d.high, log=d.log)
        case IntDistribution(step=1):
            return Integer(d.low, d.high, log=d.log)
        case FloatDistribution() | IntDistribution():
            assert d.step is not None
            return Integer(0, round((d.high - d.low) / d.step))
        case CategoricalDistribution():
            return Categorical(range(len(d.choices)))
    raise ValueError(f"{d!r} is no distribution of Optuna's that designopt knows")


@dataclass
class Run:
    """A searcher at work on one study, the trials it was told, and the designs it gave to trials."""

    coding: Coding
    env: DeclaredEnv
    searcher: Searcher
    told: set[int] = field(default_factory=set)
    asked: dict[int, Array] = field(default_factory=dict)

    def tell(self, trials: Seq[FrozenTrial]) -> None:
        """Finished trials that are new, in the order of their numbers."""
        new = [t for t in trials if t.number not in self.told]
        self.told.update(t.number for t in new)
        placed = [(t, design) for t in new if (design := self._design(t)) is not None]
        if placed:
            evaluation = Evaluation.concatenate([self._evaluation(t) for t, _ in placed])
            self.searcher.tell(np.array([design for _, design in placed]), evaluation)

    def ask(self, number: int, running: Seq[FrozenTrial]) -> dict[str, Any]:
        """Parameters for the trial of that number, given those that run elsewhere."""
        places = [self._design(t) for t in running]
        pending = np.array([p for p in places if p is not None]).reshape(-1, self.env.design_space.dim)
        design = self.searcher.ask(1, pending)[0]
        self.asked[number] = design
        return self.coding.params(design)

    def _design(self, trial: FrozenTrial) -> Array | None:
        """Where the trial is; what was asked for it counts until its parameters are all on record."""
        design = self.coding.design(trial.params)
        return self.asked.get(trial.number) if design is None else design

    def _evaluation(self, trial: FrozenTrial) -> Evaluation:
        m, k = len(self.env.objectives), len(self.env.constraints)
        constraints = [trial.constraints.get(c.name) for c in self.env.constraints]
        if trial.state == TrialState.COMPLETE and None not in constraints:
            return Evaluation(np.array([trial.values]), np.array([constraints], dtype=np.float64))
        if trial.state == TrialState.PRUNED and not trial.intermediate_values:
            return Evaluation.failure(1, m, k, "invalid", "pruned without a report")
        return Evaluation.failure(1, m, k, "failed", f"trial {trial.number} is {trial.state.name}, without all values")


class OptunaSampler(BaseSampler):
    """Any search backend as an Optuna sampler.

    For example::

        study = optuna.create_study(sampler=OptunaSampler("gp", seed=0))

    The study is the only record: whatever it holds, also from other processes, is told to the searcher before it is
    asked, and running trials are its pending designs. COMPLETE trials are told as evaluated; a trial pruned before any
    report as ``invalid`` (the design cannot be evaluated); other pruned and all failed ones as ``failed``. Constraints
    are those that trials set (``trial.set_constraint``).

    Between trials the searcher is kept, so backends that work in generations do as they would in designopt's own loop.
    A new sampler on an old study starts a new searcher and tells it everything.

    Args:
        backend: a registered name, or a Searcher class.
        n_startup_trials: complete trials sampled at random before the backend is asked. Backends bring their own
            initial designs, hence none.
        search_space: name -> distribution. Default: what all complete trials have in common, so the first trial is
            sampled at random; parameters outside of it are always sampled at random.
        seed: of the backend and of random sampling; None draws one. Processes that share a study need different ones.
        device: where a backend that uses torch computes.
        **hyperparameters: of the backend.

    Raises:
        ValueError: unknown backend or hyper-parameter; a study with several objectives and a backend for one.
    """

    def __init__(
        self,
        backend: str | type[Searcher] = "gp",
        *,
        n_startup_trials: int = 0,
        search_space: Mapping[str, BaseDistribution] | None = None,
        seed: int | None = None,
        device: str = "cpu",
        **hyperparameters: Any,
    ) -> None:
        self._backend = backend_named(backend) if isinstance(backend, str) else backend
        self._config = make_config(self._backend, hyperparameters)
        self._n_startup_trials = n_startup_trials
        self._search_space = search_space
        self._seed = _fresh_seed() if seed is None else seed
        self._device = device
        self._independent_sampler = RandomSampler(seed=seed)
        self._runs: dict[str, tuple[Any, Run]] = {}
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        # Neither a lock nor a searcher at work can be written down, and the study has all it takes to start anew.
        return {name: value for name, value in self.__dict__.items() if name != "_lock"} | {"_runs": {}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = threading.Lock()

    def __str__(self) -> str:
        return f"OptunaSampler({self._backend.__name__})"

    def reseed_rng(self) -> None:
        """New seeds for random sampling and for searchers that are yet to start."""
        self._seed = _fresh_seed()
        self._independent_sampler.reseed_rng()

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """The parameters that the backend chooses; those with a single value need no choice."""
        space = self._search_space
        if space is None:
            space = intersection_search_space(study.get_trials(deepcopy=False))
        return {name: d for name, d in space.items() if not d.single()}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Parameters from the backend; empty while trials are still sampled at random."""
        self._check_directions(study)
        if not search_space:
            return {}
        trials = study.get_trials(deepcopy=False)
        complete = [t for t in trials if t.state == TrialState.COMPLETE]
        if len(complete) < self._n_startup_trials:
            return {}
        constraints = tuple(dict.fromkeys(name for t in complete for name in t.constraints))
        with self._lock:  # the threads of study.optimize(n_jobs=...) share this sampler
            run = self._run(study, trial, search_space, constraints)
            run.tell([t for t in trials if t.state.is_finished()])
            return run.ask(trial.number, [t for t in trials if t.state == TrialState.RUNNING])

    def _run(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution], constraints: tuple[str, ...]
    ) -> Run:
        """The searcher at work on this study; a new one when space or constraints are not what they were."""
        problem = (search_space, constraints)
        if study.study_name in self._runs and self._runs[study.study_name][0] == problem:
            return self._runs[study.study_name][1]
        coding = Coding(search_space)
        objectives = tuple(
            Objective(f"value_{i}", "max" if direction == StudyDirection.MAXIMIZE else "min")
            for i, direction in enumerate(study.directions)
        )
        env = DeclaredEnv(coding.space, objectives, tuple(map(Constraint, constraints)))
        # The trial is part of the seed, lest a searcher that starts anew repeats the designs of its predecessor.
        seed = int(np.random.SeedSequence([self._seed, trial.number]).generate_state(1)[0])
        run = Run(coding, env, self._backend(env, self._config, seed=seed, device=self._device))
        self._runs[study.study_name] = problem, run
        return run

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """One parameter at random: before the space is known, and where it depends on other parameters."""
        self._check_directions(study)
        return self._independent_sampler.sample_independent(study, trial, param_name, param_distribution)

    def _check_directions(self, study: Study) -> None:
        if len(study.directions) > 1 and not self._backend.multi_objective:
            raise ValueError(
                f"{self._backend.__name__} searches one objective; "
                f"study {study.study_name!r} has {len(study.directions)}"
            )


def _fresh_seed() -> int:
    return int(np.random.SeedSequence().generate_state(1)[0])
