"""A stored run for other tools: Parquet and CSV tables, and Optuna studies."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable, Iterable
from collections.abc import Sequence as Seq
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from designopt.parameters import Array, Categorical, Integer, Ordinal, Real
from designopt.space import DesignSpace
from designopt.store import Rows, RunRecord, Store
from designopt.store_text import to_json

if TYPE_CHECKING:
    import optuna
    import pyarrow as pa

FORMATS = ("parquet", "csv")


def export(
    store: Store, run_id: str, path: str | os.PathLike[str], format: Literal["parquet", "csv"] | None = None
) -> int:
    """Write a run as a table, one row per evaluation in order -> number of rows.

    Columns: run_id, order, the parameters (natural units; categoricals and sequences as text), the objectives,
    constraints and metrics under their names, status, error, attempts, seconds, worker, feasible. Whoever comes later
    in this order, the six last excepted, and finds its name taken is called ``parameter:NAME``, ``objective:NAME``,
    ``constraint:NAME`` or ``metric:NAME``. A Parquet file carries env, backend, seed, hyper-parameters and units as
    metadata of its schema.

    Args:
        store: where the run is.
        run_id: its id, or a unique beginning.
        path: file to write, replaced as a whole when everything is written.
        format: "parquet" or "csv"; by default what the file's suffix says.

    Raises:
        ValueError: another format.
        StoreError: no such run.
    """
    path = Path(path)
    format = format or path.suffix.removeprefix(".")  # type: ignore[assignment]
    if format not in FORMATS:
        raise ValueError(f"{path}: format {format!r}; allowed: {', '.join(FORMATS)}")
    run = store.run(run_id)
    table = _Table(run, _metric_kinds(store.chunks(run.id)))
    unfinished = path.with_name(f"{path.name}.part")
    count = 0
    try:
        with _writer(unfinished, format, table.schema) as writer:
            for rows in store.chunks(run.id):
                writer.write_table(table.of(rows))
                count += len(rows.orders)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    return count


def _writer(path: Path, format: str, schema: pa.Schema) -> Any:
    import pyarrow.csv
    import pyarrow.parquet

    return (pyarrow.parquet.ParquetWriter if format == "parquet" else pyarrow.csv.CSVWriter)(path, schema)


def _metric_kinds(chunks: Iterable[Rows]) -> dict[str, str]:
    """Metric -> the one kind of column that holds it in every chunk: "bool", "int64", "float64" or "string"."""
    kinds: dict[str, set[str]] = {}
    for rows in chunks:
        for name, column in rows.evaluation.metrics.items():
            kinds.setdefault(name, set()).add(column.dtype.kind)
    return {name: _kind(found) for name, found in kinds.items()}


def _kind(found: set[str]) -> str:
    if found in ({"b"}, {"i"}):
        return "bool" if found == {"b"} else "int64"
    return "float64" if found <= set("biuf") else "string"


class _Table:
    """Evaluations of one run as Arrow tables, all of one schema."""

    def __init__(self, run: RunRecord, metrics: dict[str, str]) -> None:
        import pyarrow as pa

        self.run = run
        self.metrics = metrics
        own = {"run_id": pa.string(), "order": pa.int64()}
        results = {"status": pa.string(), "error": pa.string(), "attempts": pa.int64(), "seconds": pa.float64()}
        results |= {"worker": pa.string(), "feasible": pa.bool_()}
        taken = {*own, *results}
        fields = [pa.field(name, kind) for name, kind in own.items()]

        def add(what: str, name: str, kind: pa.DataType, unit: str = "") -> None:
            while name in taken:
                name = f"{what}:{name}"
            taken.add(name)
            fields.append(pa.field(name, kind, metadata={"unit": unit} if unit else None))

        for name, p in run.space.parameters.items():
            kind = {Real: pa.float64(), Ordinal: pa.float64(), Integer: pa.int64()}.get(type(p), pa.string())
            add("parameter", name, kind, p.unit)
        for objective in run.objectives:
            add("objective", objective.name, pa.float64(), objective.unit)
        for constraint in run.constraints:
            add("constraint", constraint.name, pa.float64(), constraint.unit)
        for name, kind in metrics.items():
            add("metric", name, pa.type_for_alias(kind))
        fields += [pa.field(name, kind) for name, kind in results.items()]
        units = {field.name: field.metadata[b"unit"].decode() for field in fields if field.metadata}
        self.schema = pa.schema(
            fields,
            {
                "run_id": run.id,
                "env": run.env,
                "backend": run.backend,
                "seed": str(run.seed),
                "hyperparameters": to_json(run.hyperparameters),
                "units": json.dumps(units),
            },
        )

    def of(self, rows: Rows) -> pa.Table:
        """-> the table of these evaluations."""
        import pyarrow as pa

        n, evaluation = len(rows.orders), rows.evaluation
        designs = self.run.space.frame(rows.designs)
        columns: list[Any] = [[self.run.id] * n, rows.orders]
        columns += [designs[name].tolist() for name in self.run.space.names]
        columns += [*evaluation.objectives.T, *evaluation.constraints.T]
        columns += [evaluation.metrics.get(name, [None] * n) for name in self.metrics]
        columns += [evaluation.status, evaluation.errors, evaluation.attempts, evaluation.seconds]
        columns += [rows.workers, evaluation.feasible]
        arrays = [
            pa.array(_texts(column) if field.type == pa.string() else column, field.type)
            for column, field in zip(columns, self.schema, strict=True)
        ]
        return pa.table(arrays, self.schema)


def _texts(column: Iterable[Any]) -> list[str | None]:
    return [value if value is None or type(value) is str else str(value) for value in column]


# Optuna ---------------------------------------------------------------------------------------------------------


def to_optuna(store: Store, run_id: str, storage: str, study_name: str | None = None) -> optuna.Study:
    """Copy a run into a new Optuna study, for optuna-dashboard and Optuna's own analyses.

    Parameters are in natural units: choices by their label, ordinals as a categorical of their values, a sequence as
    one categorical per position. Designs without values become trials that failed. Constraints are stored in the form
    that Optuna 4, Optuna 5 and the dashboard read, a list without names; those are the study's attribute
    ``constraint_names``.

    Args:
        store: where the run is.
        run_id: its id, or a unique beginning.
        storage: URL of a database such as "sqlite:///optuna.db", or a journal file "NAME.log" (much faster to write).
        study_name: by default the run's id.

    Raises:
        ValueError: a storage that is neither, or that has a study of this name.
        StoreError: no such run.
    """
    import optuna

    run = store.run(run_id)
    name = study_name or run.id
    try:
        study = optuna.create_study(
            storage=_optuna_storage(storage),
            study_name=name,
            directions=["minimize" if o.sense == "min" else "maximize" for o in run.objectives],
        )
    except optuna.exceptions.DuplicatedStudyError:
        raise ValueError(f"{storage}: it has a study {name!r}; give another study_name") from None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study.set_metric_names([o.name for o in run.objectives])
    attributes = {"run_id": run.id, "env": run.env, "backend": run.backend, "seed": run.seed}
    attributes["constraint_names"] = [c.name for c in run.constraints]
    for key, value in attributes.items():
        study.set_user_attr(key, value)
    distributions, values = _natural(run.space)
    for rows in store.chunks(run.id):
        parameters = [dict(zip(distributions, row, strict=True)) for row in zip(*values(rows.designs), strict=True)]
        for row, trial_parameters in enumerate(parameters):
            study.add_trial(_trial(rows, row, trial_parameters, distributions))
    return study


def _optuna_storage(storage: str) -> Any:
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    if "://" in storage:
        return storage
    if storage.endswith(".log"):
        return JournalStorage(JournalFileBackend(storage))
    raise ValueError(f"Optuna storage {storage!r}; allowed: a URL such as sqlite:///optuna.db, or a journal NAME.log")


def _natural(
    space: DesignSpace,
) -> tuple[dict[str, optuna.distributions.BaseDistribution], Callable[[Array], list[list[Any]]]]:
    """Column -> distribution in natural units, and a function (n, d) designs -> their values, column by column."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    distributions: list[optuna.distributions.BaseDistribution] = []
    for p in space.parameters.values():
        match p:
            case Real():
                distributions.append(FloatDistribution(p.low, p.high, log=p.log))
            case Integer():
                distributions.append(IntDistribution(int(p.low), int(p.high), log=p.log))
            case Ordinal():
                distributions.append(CategoricalDistribution(p.values))
            case Categorical():
                distributions.append(CategoricalDistribution(_labels(p.choices)))
            case _:
                distributions += [CategoricalDistribution(_labels(p.alphabet))] * p.length

    def values(designs: Array) -> list[list[Any]]:
        columns: list[list[Any]] = []
        for i, distribution in enumerate(distributions):
            column = designs[:, i]
            if space.categorical[i]:
                assert isinstance(distribution, CategoricalDistribution)
                columns.append([distribution.choices[index] for index in column.astype(int).tolist()])
            else:
                columns.append((column.astype(int) if isinstance(distribution, IntDistribution) else column).tolist())
        return columns

    return dict(zip(space.columns, distributions, strict=True)), values


def _labels(choices: Seq[Any]) -> list[Any]:
    """Choices as Optuna can store them: what is not a plain value as its text."""
    return [
        choice if choice is None or isinstance(choice, bool | int | float | str) else str(choice) for choice in choices
    ]


def _trial(
    rows: Rows,
    row: int,
    parameters: dict[str, Any],
    distributions: dict[str, optuna.distributions.BaseDistribution],
) -> optuna.trial.FrozenTrial:
    from optuna.trial import TrialState, create_trial

    evaluation = rows.evaluation
    ok = evaluation.status[row] == "ok"
    metrics = {name: column[row] for name, column in evaluation.metrics.items()}
    attributes = {
        **{name: value.item() if isinstance(value, np.generic) else value for name, value in metrics.items()},
        "order": int(rows.orders[row]),
        "status": str(evaluation.status[row]),
        "error": evaluation.errors[row],
        "attempts": int(evaluation.attempts[row]),
        "worker": rows.workers[row],
    }
    trial = create_trial(
        state=TrialState.COMPLETE if ok else TrialState.FAIL,
        values=evaluation.objectives[row].tolist() if ok else None,
        params=parameters,
        distributions=distributions,
        user_attrs=attributes,
        system_attrs={"constraints": evaluation.constraints[row].tolist()} if ok else {},
    )
    # Optuna's times are local and without zone.
    finished = datetime.fromisoformat(rows.finished[row]).astimezone().replace(tzinfo=None)
    trial.datetime_start = finished - timedelta(seconds=float(evaluation.seconds[row]))
    trial.datetime_complete = finished
    return trial
