"""Environments as trainables of Ray Tune, and search backends as its search algorithms."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ray import tune
from ray.tune.search import Searcher as RaySearcher

from designopt.adapters.declared import DeclaredEnv
from designopt.env import DesignEnv, Objective
from designopt.evaluation import Evaluation
from designopt.offline import tell_offline_data
from designopt.parameters import Array
from designopt.registry import backend as backend_named
from designopt.searcher import Searcher, make_config
from designopt.space import DesignSpace


class TuneSearcher(RaySearcher):
    """Any search backend as ``search_alg`` of Ray Tune.

    For example::

        searcher = TuneSearcher("gp", space, metric="loss", mode="min")
        tune.Tuner(train, tune_config=tune.TuneConfig(search_alg=searcher, num_samples=40)).fit()

    A trial's config holds one value per parameter, categoricals by label; its last report holds a number per metric.
    A trial that ends by an error, or before its first report, is told as ``failed``; NaN or inf as ``invalid``. Limit
    how many run at once with ``TuneConfig(max_concurrent_trials=...)`` or ``ConcurrencyLimiter``.

    The state is a JSON file of what was asked and told, in order; to restore is to do so again.

    Args:
        backend: a registered name, or a Searcher class.
        problem: a space, together with ``metric`` and ``mode``; or an environment, whose trials report each objective
            under its name and each constraint (feasible when <= 0) in a dictionary ``constraints``, as those of
            ``to_tune(env)`` do.
        metric, mode: with a space, what to search for: one name and "min" or "max", or a list of each. Tune does not
            pass on those of TuneConfig to an algorithm that has its own space.
        seed, device: of the backend.
        **hyperparameters: of the backend.

    Raises:
        ValueError: unknown backend or hyper-parameter; metric and mode missing, or besides those of an environment; a
            backend that cannot search this problem.
    """

    CKPT_FILE_TMPL = "searcher-state-{}.json"

    def __init__(
        self,
        backend: str | type[Searcher],
        problem: DesignSpace | DesignEnv,
        *,
        metric: str | list[str] | None = None,
        mode: str | list[str] | None = None,
        seed: int = 0,
        device: str = "cpu",
        **hyperparameters: Any,
    ) -> None:
        self._env = _declared(problem, metric, mode)
        names: Any = [o.name for o in self._env.objectives]  # Tune takes one metric or a list; its annotation says one
        senses: Any = [o.sense for o in self._env.objectives]
        single = len(names) == 1
        super().__init__(metric=names[0] if single else names, mode=senses[0] if single else senses)
        self._backend = backend_named(backend) if isinstance(backend, str) else backend
        self._config = make_config(self._backend, hyperparameters)
        self._seed, self._device = seed, device
        self._events: list[dict[str, Any]] = []
        self._pending: dict[str, Array] = {}
        self._searcher: Searcher | None = self._new_searcher()

    def __getstate__(self) -> dict[str, Any]:
        # Tune pickles its search algorithm. A searcher at work may hold anything; what was asked and told is enough.
        return self.__dict__ | {"_searcher": None}

    def suggest(self, trial_id: str) -> dict[str, Any]:
        """The next design as a config: parameter -> value."""
        design = self._at_work().ask(1, self._pending_designs())[0]
        self._events.append({"trial": trial_id, "design": design.tolist()})
        self._pending[trial_id] = design
        return self._env.design_space.decode(design[None])[0]

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Tell the searcher what the trial reported last; trials that it did not suggest are ignored.

        Raises:
            ValueError: some, but not all, of the wanted numbers were reported.
        """
        if trial_id not in self._pending:
            return
        values = None if error else self._reported(result or {})
        event = {"trial": trial_id, "status": "failed" if values is None else "ok", "values": values}
        searcher = self._at_work()
        self._events.append(event)
        searcher.tell(self._pending.pop(trial_id)[None], self._evaluation(event))

    def save(self, checkpoint_path: str) -> None:
        """Write what was asked and told as JSON."""
        state = {"seed": self._seed, "columns": self._env.design_space.columns, "events": self._events}
        Path(checkpoint_path).write_text(json.dumps(state, allow_nan=False))

    def restore(self, checkpoint_path: str) -> None:
        """Continue from a file that ``save`` wrote; trials that were running then are pending again.

        Raises:
            ValueError: the file was written for another space.
        """
        state = json.loads(Path(checkpoint_path).read_text())
        if state["columns"] != self._env.design_space.columns:
            raise ValueError(f"{checkpoint_path} is of a search over {state['columns']}, not over this space")
        self._seed, self._events = state["seed"], state["events"]
        self._searcher = self._replayed()

    def _at_work(self) -> Searcher:
        if self._searcher is None:
            self._searcher = self._replayed()
        return self._searcher

    def _new_searcher(self) -> Searcher:
        searcher = self._backend(self._env, self._config, seed=self._seed, device=self._device)
        tell_offline_data(self._env, searcher)
        return searcher

    def _replayed(self) -> Searcher:
        """A searcher to which all events have happened; memoryless ones need not be asked again."""
        searcher, self._pending = self._new_searcher(), {}
        for event in self._events:
            if "design" in event:
                if not self._backend.memoryless:
                    searcher.ask(1, self._pending_designs())
                self._pending[event["trial"]] = np.array(event["design"])
            else:
                searcher.tell(self._pending.pop(event["trial"])[None], self._evaluation(event))
        return searcher

    def _pending_designs(self) -> Array:
        return np.array(list(self._pending.values())).reshape(-1, self._env.design_space.dim)

    def _reported(self, result: Mapping[str, Any]) -> list[float | None] | None:
        """Objectives, then constraints; None for a number that is not finite, None in all when nothing was reported."""
        names = [o.name for o in self._env.objectives] + [f"constraints/{c.name}" for c in self._env.constraints]
        missing = [name for name in names if name not in result]
        if len(missing) == len(names):
            return None
        if missing:
            raise ValueError(f"the trial did not report {_listed(missing)}; wanted: {_listed(names)}")
        numbers = [float(result[name]) for name in names]
        return [number if math.isfinite(number) else None for number in numbers]

    def _evaluation(self, event: Mapping[str, Any]) -> Evaluation:
        m, k = len(self._env.objectives), len(self._env.constraints)
        if event["status"] == "failed":
            return Evaluation.failure(1, m, k, "failed", f"trial {event['trial']} ended without a result")
        values = np.array([event["values"]], dtype=np.float64)
        return Evaluation(values[:, :m], values[:, m:])


def to_tune(env: DesignEnv) -> Callable[[dict[str, Any]], None]:
    """The environment as a trainable, for ``tune.Tuner(to_tune(env), ...)``.

    It reports objectives by name in the environment's own sign, constraints (feasible when <= 0) in a dictionary
    ``constraints``, and metrics by name. An ``invalid`` design reports NaN; any other without values ends its trial
    by an error.
    """

    def evaluate(config: dict[str, Any]) -> None:
        space = env.design_space
        evaluation = env.evaluate(space.encode([{name: config[name] for name in space.names}]))
        status = str(evaluation.status[0])
        if status not in ("ok", "invalid"):
            raise RuntimeError(f"{env.id}: {status}: {evaluation.errors[0]}")
        ok = evaluation.status == "ok"
        objectives = np.where(ok, evaluation.objectives[0], np.nan).tolist()
        constraints = np.where(ok, evaluation.constraints[0], np.nan).tolist()
        tune.report(
            {name: values.tolist()[0] for name, values in evaluation.metrics.items()}
            | {o.name: value for o, value in zip(env.objectives, objectives, strict=True)}
            | {"constraints": {c.name: value for c, value in zip(env.constraints, constraints, strict=True)}}
        )

    evaluate.__name__ = env.id.rpartition("/")[2]  # by which Tune names its trials and folders
    return evaluate


def _declared(
    problem: DesignSpace | DesignEnv, metric: str | list[str] | None, mode: str | list[str] | None
) -> DesignEnv:
    """The environment, or one declared by a space and its metrics."""
    if isinstance(problem, DesignEnv):
        if metric or mode:
            raise ValueError(f"metric and mode follow from the objectives of {problem.id}; leave them out")
        return problem
    if not (metric and mode):
        raise ValueError("a search over a space needs metric= and mode=, such as metric='loss', mode='min'")
    metrics, modes = ([x] if isinstance(x, str) else x for x in (metric, mode))
    if len(metrics) != len(modes):
        raise ValueError(f"metric = {metric!r} and mode = {mode!r} must go together")
    return DeclaredEnv(problem, tuple(Objective(n, s) for n, s in zip(metrics, modes, strict=True)))  # type: ignore[arg-type]


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(repr, names))
