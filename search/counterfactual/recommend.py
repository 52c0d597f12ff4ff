"""Design recommendations: the least changes to a design that make it meet targets."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from collections.abc import Sequence as Seq
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from designopt.counterfactual.problem import Condition, Problem, Restriction
from designopt.counterfactual.targets import Hard, Interval, OneOf, Soft, Target, parse
from designopt.env import DesignEnv
from designopt.parameters import Array, Parameter, suggest
from designopt.search.counterfactual.answer import Recommendation
from designopt.search.counterfactual.engine import CLOSING, Search, run
from designopt.search.counterfactual.predictor import Predictor, environment_outputs
from designopt.search.counterfactual.table import encode, read_table
from designopt.space import DesignSpace

if TYPE_CHECKING:
    import pandas as pd

BUDGET = 15_000
"""Evaluations when neither a budget nor a time is given."""


def recommend(
    data: pd.DataFrame | DesignEnv,
    query: Any,
    targets: Mapping[str, Any],
    model: Any = None,
    *,
    features: Seq[str] | Mapping[str, Parameter] | None = None,
    freeze: Collection[str] = (),
    bounds: Mapping[str, tuple[float | None, float | None]] | None = None,
    grow: Collection[str] = (),
    shrink: Collection[str] = (),
    max_changes: int | None = None,
    conditions: Mapping[str, Condition] | None = None,
    restrictions: Mapping[str, Restriction] | None = None,
    tolerance: Mapping[str, float] | None = None,
    n: int = 10,
    weights: Mapping[str, float] | None = None,
    confidence: float = 0.5,
    outputs: Seq[str] | None = None,
    derived: Mapping[str, Callable[[Any], Any]] | None = None,
    gradients: bool = True,
    budget: int | None = None,
    seconds: float | None = None,
    seed: int = 0,
) -> Any:
    """Designs near a query that meet targets: few changes, plausible, and different from each other.

    Args:
        data: a table of designs, one per row, or a design environment.
        query: the design to change: a row's label, a dictionary feature -> value (for an environment also a design
            (d,)), or a list of them, which are searched together and answered by a list.
        targets: output -> target, such as ``"<= 3"``, ``"1 .. 2"``, ``"== valid"``, ``"min"`` or a pair (low, high).
        model: predicts the outputs of whole batches, see ``designopt.search.counterfactual.predictor``. None: the
            environment itself, or for a table networks fitted to its columns.
        features: columns that make a design, or column -> Parameter; default: all that are no target.
        freeze: features that keep the query's value.
        bounds: feature -> (low, high); default: the range of the data.
        grow: features that may only become larger.
        shrink: features that may only become smaller.
        max_changes: how many features may change.
        conditions: feature -> (other feature, value) without which it is irrelevant; see
            ``designopt.counterfactual.Problem``.
        restrictions: name -> function of the features that must be <= 0.
        tolerance: feature -> difference that is no change yet.
        n: how many designs.
        weights: see ``Recommendation.resample``.
        confidence: probability with which numeric targets are met at least, when the model gives ``<output>_std``.
        outputs: names of the model's outputs where it gives plain arrays; default: the targets' in order.
        derived: further outputs, name -> function of what the model is called with (an Embedding, for example).
        gradients: use those of a torch module.
        budget: evaluations per query; a gradient counts as one more.
        seconds: wall-clock limit of the search.
        seed: of everything.

    Returns:
        A Recommendation, or a list of them for a list of queries.

    Raises:
        ValueError: anything unfit, in one line.
    """
    started = time.perf_counter()
    for name, value in (("n", n), ("budget", budget), ("seconds", seconds)):
        if value is not None and not value > 0:
            raise ValueError(f"{name} = {value}; it must be positive")
    wanted = {name: _confident(parse(name, target), confidence) for name, target in targets.items()}
    if not wanted:
        raise ValueError("targets: at least one is needed, such as {'mass': '<= 3'}")
    notes: list[str] = []
    if isinstance(data, DesignEnv):
        space, designs, known = _environment(data, seed)
        model = data if model is None else model
        if model is data:
            for constraint in data.constraints:
                wanted.setdefault(constraint.name, Interval(high=0.0))
    else:
        names = features if features is not None else _features(data, wanted, outputs)
        space, designs = read_table(data, names, bounds or {})
        known = {str(name): data[name].to_numpy() for name in data.columns if name not in space.parameters}
    complete = ~np.isnan(designs).any(axis=1)
    if not complete.all():
        notes.append(f"{(~complete).sum()} data rows miss a feature and were left out.")
    if not complete.any():
        raise ValueError("every data row misses a feature; at least one complete row is needed")
    queries = query if isinstance(query, list) else [query]
    encoded = [_query(q, data, space, designs) for q in queries]
    designs = designs[complete]
    known = {name: values[complete] for name, values in known.items()}

    quality: dict[str, dict[str, float]] = {}
    if model is None:
        model, quality = _default_model(space, designs, known, wanted, seed)
    predictor = Predictor(model, space, outputs or list(wanted), [*_inputs(wanted)], derived or {})
    met = _known_valid(wanted, known)
    if met is not None and not met.any():
        notes.append("No data row meets all hard targets.")
    scales = _scales(wanted, known)
    searches = []
    for q in encoded:
        problem = Problem(
            space, q, designs, wanted, freeze=freeze, bounds=bounds, grow=grow, shrink=shrink, max_changes=max_changes,
            conditions=conditions, restrictions=restrictions, tolerance=tolerance, scales=scales,
        )  # fmt: skip
        if not problem.free.any():
            raise ValueError("no feature can change: all are frozen or have bounds without room")
        limit = budget or (BUDGET if seconds is None else 10**9)
        use = gradients and predictor.differentiable
        searches.append(Search(problem, budget=limit, seed=seed, gradients=use, known_valid=met))
    searching = time.perf_counter()
    left = None if seconds is None else max(seconds - (searching - started) * bool(quality), 0.0)
    run(searches, predictor, seconds=None if left is None else CLOSING * left)
    if left is not None:
        for search in searches:
            search.close()
        run(searches, predictor, seconds=max(left - (time.perf_counter() - searching), 0.0))
    elapsed = time.perf_counter() - searching
    if predictor.failures:
        notes.append(f"The model failed on {predictor.failures} designs ({predictor.first_error}); none is valid.")
    answers = [
        Recommendation(
            s.archive, predictor, n=n, weights=weights, notes=notes + _remarks(s), quality=quality,
            search_seconds=elapsed,
        )
        for s in searches
    ]  # fmt: skip
    return answers if isinstance(query, list) else answers[0]


def _confident(target: Target, confidence: float) -> Target:
    from dataclasses import replace

    if isinstance(target, Interval) and target.confidence == 0.5:
        return replace(target, confidence=confidence)
    return target


def _features(frame: pd.DataFrame, targets: Mapping[str, Target], outputs: Seq[str] | None) -> list[str]:
    results = {*targets, *(outputs or ()), *_inputs(targets)}
    return [
        name for name in frame.columns
        if name not in results and not any(str(name).startswith(f"{t}=") for t in targets)
    ]  # fmt: skip


def _inputs(targets: Mapping[str, Target]) -> set[str]:
    """Outputs that the targets look at."""
    names: set[str] = set()
    for name, target in targets.items():
        names |= {name, f"{name}_std", *getattr(target, "preferred", ()), *getattr(target, "others", ())}
    return names


def _environment(env: DesignEnv, seed: int) -> tuple[DesignSpace, Array, dict[str, NDArray[Any]]]:
    """Space, data rows and their known outputs; random designs where the environment has no data of its own."""
    if hasattr(env, "offline_data"):
        designs, evaluation = env.offline_data(seed)
        outputs = {o.name: evaluation.objectives[:, i] for i, o in enumerate(env.objectives)}
        outputs |= {c.name: evaluation.constraints[:, i] for i, c in enumerate(env.constraints)}
        return env.design_space, designs, outputs | evaluation.metrics
    designs = env.design_space.sample(1000, seed)
    return env.design_space, designs, environment_outputs(env, designs)


def _query(query: Any, data: Any, space: DesignSpace, designs: Array) -> Array:
    """(d,) the query encoded."""
    if isinstance(query, Mapping):
        for name in query:
            if name not in space.parameters:
                raise ValueError(f"query: unknown feature {name!r}; {suggest(name, space.parameters)}")
        for name in space.parameters:
            if name not in query:
                raise ValueError(f"query: feature {name!r} is missing; needed: {', '.join(space.names)}")
        if isinstance(data, DesignEnv):
            return np.asarray(space.encode([dict(query)])[0])
        columns = [encode(f"query: {name}", p, [query[name]])[0] for name, p in space.parameters.items()]
        row = np.array(columns)
    elif isinstance(data, DesignEnv):
        if np.ndim(query) == 1:
            return np.asarray(space.validate(np.asarray(query, dtype=np.float64)[None])[0])
        if not (isinstance(query, int | np.integer) and 0 <= query < len(designs)):
            raise ValueError(f"query = {query!r}; it must be a design or a data row from 0 to {len(designs) - 1}")
        row = designs[query]
    else:
        places = np.flatnonzero(data.index == query)
        if len(places) != 1:
            how = "no row" if not len(places) else f"{len(places)} rows"
            raise ValueError(f"query = {query!r}: {how} of the data have this label; labels are like {data.index[0]!r}")
        row = designs[places[0]]
    if np.isnan(row).any():
        name = space.columns[int(np.isnan(row).argmax())]
        raise ValueError(f"query: feature {name!r} has no value; a query must be complete")
    return row


def _default_model(
    space: DesignSpace, designs: Array, known: Mapping[str, NDArray[Any]], targets: Mapping[str, Target], seed: int
) -> tuple[Any, dict[str, dict[str, float]]]:
    from designopt.search.counterfactual.surrogate import TableModel

    columns = {}
    for name in targets:
        if name not in known:
            raise ValueError(f"target {name!r} is no column of the data, and there is no model; {suggest(name, known)}")
        columns[name] = known[name]
    usable = np.ones(len(designs), dtype=bool)
    for values in columns.values():
        usable &= np.isfinite(values) if values.dtype.kind in "fiu" else np.array([v == v for v in values])
    classes = {name for name, t in targets.items() if isinstance(t.target if isinstance(t, Soft) else t, OneOf)}
    outputs = {n: (v[usable].astype(str) if n in classes else v[usable]) for n, v in columns.items()}
    if usable.sum() < 10:
        raise ValueError(f"{usable.sum()} data rows have all targets; a model needs at least 10")
    for name, values in outputs.items():
        if name not in classes and values.dtype.kind not in "fiu":
            raise ValueError(f"target {name!r} needs numbers, but its column holds {values[0]!r}")
    model = TableModel(space, designs[usable], outputs, seed)
    return model, model.quality


def _known_valid(targets: Mapping[str, Target], known: Mapping[str, NDArray[Any]]) -> NDArray[np.bool_] | None:
    """(N,) which data rows meet the hard targets by their own columns; None when they lack one."""
    hard = {name: t for name, t in targets.items() if isinstance(t, Hard)}
    if not all(name in known for name in hard):
        return None
    met = [np.asarray(t.violation(name, {name: known[name]}) <= 0) for name, t in hard.items()]
    return np.asarray(np.all(met, axis=0))


def _scales(targets: Mapping[str, Target], known: Mapping[str, NDArray[Any]]) -> dict[str, float]:
    """Targets with a bound of their own keep it as the scale; one around zero takes the spread of the data."""
    scales = {}
    for name, target in targets.items():
        bounds = (target.low, target.high) if isinstance(target, Interval) else ()
        if bounds and name in known and all(b == 0 or np.isinf(b) for b in bounds):
            spread = float(np.nanstd(known[name].astype(np.float64)))
            scales[name] = spread if np.isfinite(spread) and spread > 0 else 1.0
    return scales


def _remarks(search: Search) -> list[str]:
    problem, archive = search.problem, search.archive
    notes = []
    moved = problem.start != problem.query
    for column in np.flatnonzero(moved):
        name = problem.space.columns[column]
        notes.append(
            f"The query's {name} = {problem.query[column]:g} lies outside [{problem.low[column]:g}, "
            f"{problem.high[column]:g}] and was moved to {problem.start[column]:g}; that counts as a change."
        )
    if len(archive):
        return notes
    designs, _, outputs = archive.nearest
    violations = problem.violations(designs[:1], {name: values[:1] for name, values in outputs.items()})[0]
    worst = int(np.nan_to_num(violations, nan=np.inf).argmax())
    ended = "the search gave up" if search.gave_up else "the budget was spent"
    notes.append(
        f"No design met all targets: {ended} after {archive.calls} evaluations. The least violating designs are shown; "
        f"the target on {problem.constraint_names[worst]!r} binds (missed by {violations[worst]:.3g} of its scale)."
    )
    return notes
