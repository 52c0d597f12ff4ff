"""The crash-safe record of every evaluation: an SQLite file by default, PostgreSQL by URL.

A killed process loses at most the evaluations still in flight: whatever ``record`` returned from is in the store.
The tables are described in docs/store.md.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterable, Iterator
from collections.abc import Sequence as Seq
from contextlib import contextmanager
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, IntegrityError, SQLAlchemyError

from designopt.evaluation import Evaluation
from designopt.parameters import suggest
from designopt.runs import (
    EVALUATION_COLUMNS,
    STATES,
    Ask,
    Batch,
    LoadedRun,
    Rows,
    RunInfo,
    RunRecord,
    evaluation_rows,
    new_run,
    origin,
    rows_of_run,
    run_of_row,
)
from designopt.store_tables import ADDED, SCHEMA_VERSION, asks, evaluations, meta, runs, tables
from designopt.store_text import printable

if TYPE_CHECKING:
    from designopt.executors import Finished

__all__ = ["Ask", "Batch", "LoadedRun", "Rows", "RunInfo", "RunRecord", "Store", "StoreConflict", "StoreError"]

CHANGEABLE = ("budget", "batch", "seconds", "workers", "executor")
ENDS = STATES[2:]

# How SQLite begins a transaction: a writer takes the lock at once, for one that read first could not wait for it.
READ, WRITE = "BEGIN", "BEGIN IMMEDIATE"


class StoreError(RuntimeError):
    """The store cannot be opened, read or written; one line that names it (without its password) and what to do."""


class StoreConflict(StoreError):  # noqa: N818 - reads as the fact that it states
    """Results were recorded by another process that continues the same run."""


class Store:
    """Runs and their evaluations in one database; several processes may write to it at once, each its own run.

    Args:
        url: a file ("runs.db", a Path, "sqlite:///runs.db") or "postgresql://user:password@host/database".
        read_only: opened to be read: the store must be there, and opening it writes nothing.

    Attributes:
        url: the store's URL without its password.
        engine: SQLAlchemy engine, for queries of one's own.

    Raises:
        StoreError: it cannot be opened, or (unless ``read_only``) not be written.
    """

    def __init__(self, url: str | os.PathLike[str], *, read_only: bool = False) -> None:
        address = _parse(url)
        shown = address.set(query={key: "***" if key == "password" else v for key, v in address.query.items()})
        self.url = shown.render_as_string(hide_password=True)
        if address.get_backend_name() == "sqlite":
            self._check_file(Path(address.database or ""), read_only)
        try:
            self.engine = _engine(address)
        except ImportError as error:
            raise StoreError(f"{self.url}: {error}; install it with: pip install 'designopt[postgres]'") from error
        # Compiled once: a statement object costs more than the insertion itself.
        self._insert_ask = str(asks.insert().compile(self.engine))
        self._insert_evaluation = str(evaluations.insert().compile(self.engine))
        try:
            self._open(read_only)
        except StoreError:
            self.close()
            raise

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    # Opening ----------------------------------------------------------------------------------------------------

    def _check_file(self, path: Path, read_only: bool) -> None:
        if path.is_dir():
            raise StoreError(f"{self.url}: {path} is a directory; give the name of a file in it, such as runs.db")
        if not path.parent.is_dir():
            raise StoreError(f"{self.url}: the directory {path.parent} does not exist; create it first")
        if read_only and not path.exists():
            raise StoreError(f"{self.url}: there is no such file; a store is made by a run with --store")

    def _open(self, read_only: bool) -> None:
        """Check the schema, create it in an empty database, and prove that the store can be written."""
        with self._transaction(READ if read_only else WRITE) as connection:
            if not read_only and self.engine.dialect.name == "postgresql":
                # Two processes that create the same tables at once would trip over each other.
                connection.exec_driver_sql("SELECT pg_advisory_xact_lock(7305808872)")
            present = set(sa.inspect(connection).get_table_names()) & set(tables.tables)
            if not present:
                if read_only:
                    raise StoreError(f"{self.url}: this database holds no store; check its name")
                tables.create_all(connection)
                entries = {"schema": str(SCHEMA_VERSION), "opened": _now()}
                connection.execute(meta.insert(), [{"key": key, "value": value} for key, value in entries.items()])
                present = {meta.name}
            version = None
            if meta.name in present:
                version = connection.scalar(sa.select(meta.c.value).where(meta.c.key == "schema"))
            if version is None:
                raise StoreError(f"{self.url}: its tables belong to another program; give another file or database")
            if int(version) > SCHEMA_VERSION:
                raise StoreError(
                    f"{self.url}: schema version {version} is newer than {SCHEMA_VERSION}, the newest that this "
                    "version of designopt reads; upgrade designopt or use another store"
                )
            self._version = int(version)
            if not read_only:
                self._upgrade(connection)
                connection.execute(meta.update().where(meta.c.key == "opened").values(value=_now()))
        if not read_only and self.engine.dialect.name == "sqlite":
            with self._transaction("") as connection:  # the mode stays with the file; it cannot change in a transaction
                connection.exec_driver_sql("PRAGMA journal_mode = WAL")

    def _upgrade(self, connection: sa.Connection) -> None:
        """Bring the tables of an older version up to date, where they are."""
        while self._version < SCHEMA_VERSION:
            self._version += 1
            for table, columns in ADDED[self._version].items():
                for column in columns:
                    connection.exec_driver_sql(f"ALTER TABLE {table} ADD COLUMN {column} TEXT NOT NULL DEFAULT ''")
        entry = meta.c.key == "schema"
        connection.execute(meta.update().where(entry).values(value=str(SCHEMA_VERSION)))

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[sa.Connection]:
        """A connection inside one transaction; whatever the database complains of becomes a StoreError."""
        try:
            with self.engine.connect().execution_options(begin=begin) as connection, connection.begin():
                yield connection
        except (SQLAlchemyError, OverflowError) as error:
            reason = " ".join(str(getattr(error, "orig", None) or error).split())
            raise StoreError(f"{self.url}: {reason}{_advice(reason)}") from error

    # Writing ----------------------------------------------------------------------------------------------------

    def create_run(self, info: RunInfo) -> str:
        """Enter a new run in state "running" -> its id, such as ``weldedbeam-gp-0-3f2a9c01``.

        Raises:
            StoreError: a value that is not plain data, so that it could not be read back.
        """
        run_id = run_name(info, secrets.token_hex(4))
        self._enter([(info, run_id)], "running")
        return run_id

    def plan_runs(self, planned: Iterable[tuple[RunInfo, str]]) -> None:
        """Enter new runs in state "waiting", with the ids that they are given, all of them or none."""
        self._enter(planned, "waiting")

    def _enter(self, new: Iterable[tuple[RunInfo, str]], state: str) -> None:
        now, where = _now(), origin()
        try:
            rows = [new_run(info, run_id, state, now, where) for info, run_id in new]
        except ValueError as error:
            raise StoreError(f"{self.url}: {error}") from error
        with self._transaction(WRITE) as connection:
            if rows:
                connection.execute(runs.insert(), rows)

    def record(self, run_id: str, asks: Iterable[Ask], finished: Iterable[Finished], sequence: int) -> None:
        """Enter asks and results in one transaction: after a crash either all of them are there or none.

        Args:
            run_id: as ``create_run`` returned it.
            asks: those not yet recorded.
            finished: what an executor returned, in the order in which it is told to the searcher.
            sequence: how many results of this run were told before these.

        Raises:
            StoreConflict: orders recorded before: another process continues this run.
            StoreError: the database's complaint.
        """
        self.record_all([Batch(run_id, list(asks), list(finished), sequence)])

    def record_all(self, batches: Seq[Batch]) -> None:
        """As ``record``, for several runs in one transaction.

        Raises:
            StoreConflict: orders recorded before; nothing of any batch is entered.
            StoreError: the database's complaint.
        """
        now = _now()
        asked: list[tuple[Any, ...]] = []
        told: list[tuple[Any, ...]] = []
        for batch in batches:
            asked += [(batch.run_id, ask.first, ask.n, ask.told_before, ask.wanted) for ask in batch.asks]
            sequence = batch.sequence
            for part in batch.finished:
                told += evaluation_rows(batch.run_id, part, sequence, now)
                sequence += len(part.orders)
        try:
            with self._transaction(WRITE) as connection:
                if asked:
                    connection.exec_driver_sql(self._insert_ask, asked)
                if told:
                    connection.exec_driver_sql(self._insert_evaluation, told)
        except StoreError as error:
            if not isinstance(error.__cause__, IntegrityError):
                raise
            names = list(dict.fromkeys(batch.run_id for batch in batches))
            for run_id in names:
                self._check_run_exists(run_id)
            raise StoreConflict(
                f"{self.url}: run {' or '.join(names)} already holds these orders: another process is continuing this "
                "run; let one of them finish"
            ) from error.__cause__

    def restart_run(self, run_id: str, **changes: Any) -> None:
        """A run is going on: state "running" again, with new values of any of ``CHANGEABLE``."""
        for name in changes:
            if name not in CHANGEABLE:
                raise ValueError(f"{name!r} of a run cannot change; {suggest(name, CHANGEABLE)}")
        began = sa.case((runs.c.state == "waiting", _now()), else_=runs.c.started)
        self._update(run_id, {"state": "running", "error": "", "started": began, "ended": None, **changes})

    def finish_run(self, run_id: str, state: str, *, error: str = "", search_seconds: float = 0.0) -> None:
        """A run came to its end.

        Args:
            run_id: as ``create_run`` returned it.
            state: one of ``ENDS``.
            error: why it failed.
            search_seconds: wall seconds spent in the searcher, over all its restarts.
        """
        if state not in ENDS:
            raise ValueError(f"state = {state!r}; allowed: {', '.join(ENDS)}")
        end = {"state": state, "error": printable(error), "ended": _now(), "search_seconds": search_seconds}
        self._update(run_id, end)

    def label_run(self, run_id: str, configuration: str) -> None:
        """The sweep of a run gives its hyper-parameters another label."""
        self._update(run_id, {"configuration": configuration})

    def _update(self, run_id: str, values: dict[str, Any]) -> None:
        with self._transaction(WRITE) as connection:
            changed = connection.execute(runs.update().where(runs.c.id == run_id).values(values)).rowcount
        if not changed:
            self._check_run_exists(run_id)

    # Reading ----------------------------------------------------------------------------------------------------

    def runs(self, sweep: str | None = None) -> list[RunRecord]:
        """All runs, or those of the sweep of that name, the oldest first."""
        if sweep is not None and self._version < 2:
            return []  # older stores, opened to be read, know no sweeps
        return self._records(runs.c.id.is_not(None) if sweep is None else runs.c.sweep == sweep)

    def run(self, run_id: str) -> RunRecord:
        """The run of that id, or the only one whose id begins so.

        Raises:
            StoreError: none or several; the nearest ids are suggested.
        """
        found = self._records(runs.c.id == run_id) or self._records(runs.c.id.startswith(run_id, autoescape=True))
        if len(found) > 1:
            raise StoreError(f"{self.url}: {run_id!r} begins several ids: {', '.join(r.id for r in found)}")
        if not found:
            self._check_run_exists(run_id)
        return found[0]

    def count(self, run_id: str) -> int:
        """How many evaluations of a run are recorded."""
        query = sa.select(sa.func.count()).where(evaluations.c.run_id == run_id)
        with self._transaction(READ) as connection:
            return int(connection.scalar(query) or 0)

    def load(self, run_id: str) -> LoadedRun:
        """A run with all its evaluations; a unique beginning of its id will do."""
        info = self.run(run_id)
        with self._transaction(READ) as connection:
            query = sa.select(asks.c.first, asks.c.n, asks.c.told_before, asks.c.wanted).where(asks.c.run_id == info.id)
            asked = [Ask(*row) for row in connection.execute(query.order_by(asks.c.first))]
            parts = list(self._chunks(connection, info, 10_000)) or [rows_of_run(info, [])]
        columns: dict[str, Any] = {
            f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Rows) if f.name != "evaluation"
        }
        evaluation = Evaluation.concatenate(p.evaluation for p in parts)
        return LoadedRun(info=info, asks=asked, evaluation=evaluation, **columns)

    def chunks(self, run_id: str, n: int = 10_000) -> Iterator[Rows]:
        """The evaluations of a run in order, n at a time, so that a long run need not fit in memory."""
        info = self.run(run_id)
        with self._transaction(READ) as connection:
            yield from self._chunks(connection, info, n)

    def _chunks(self, connection: sa.Connection, info: RunRecord, n: int) -> Iterator[Rows]:
        c = evaluations.c
        query = sa.select(*[c[name] for name in EVALUATION_COLUMNS]).where(c.run_id == info.id)
        query = query.where(c.order > sa.bindparam("last")).order_by(c.order).limit(n)
        last = -1
        while rows := connection.execute(query, {"last": last}).all():
            yield rows_of_run(info, rows)
            last = rows[-1].order

    def _records(self, condition: sa.ColumnElement[bool]) -> list[RunRecord]:
        count = sa.select(sa.func.count()).where(evaluations.c.run_id == runs.c.id).scalar_subquery()
        added = {name for version in ADDED if version > self._version for name in ADDED[version].get("runs", ())}
        columns = [sa.literal("").label(c.name) if c.name in added else c for c in runs.c]
        query = sa.select(*columns, count.label("evaluations")).where(condition).order_by(runs.c.started, runs.c.id)
        with self._transaction(READ) as connection:
            return [run_of_row(dict(row._mapping)) for row in connection.execute(query)]

    def _check_run_exists(self, run_id: str) -> None:
        with self._transaction(READ) as connection:
            known = list(connection.scalars(sa.select(runs.c.id)))
        if run_id not in known:
            raise StoreError(f"{self.url}: unknown run {run_id!r}; {suggest(run_id, known)}")


# Addresses ------------------------------------------------------------------------------------------------------


def _parse(url: str | os.PathLike[str]) -> sa.URL:
    text = os.fspath(url)
    if "://" not in text:
        return sa.URL.create("sqlite", database=text)
    try:
        address = sa.make_url(text)
    except (ArgumentError, ValueError):  # not chained: its text may hold a part of the password
        raise StoreError(
            "the store's URL cannot be read; write postgresql://USER:PASSWORD@HOST/DATABASE, with special characters "
            "of the password as %XX"
        ) from None
    if address.drivername in ("postgres", "postgresql"):
        address = address.set(drivername="postgresql+psycopg")
    if address.drivername not in ("sqlite", "postgresql+psycopg") or not address.database:
        shown = address.render_as_string(hide_password=True)
        raise StoreError(f"{shown}: a store is sqlite:///FILE or postgresql://USER:PASSWORD@HOST/DATABASE")
    return address


def _engine(address: sa.URL) -> sa.Engine:
    if address.get_backend_name() == "postgresql":
        # Positional parameters, as with SQLite; a connection that the server dropped meanwhile is replaced.
        wait = {"connect_timeout": "10", **address.query}  # seconds
        return sa.create_engine(address, paramstyle="format", pool_pre_ping=True, connect_args=wait)
    engine = sa.create_engine(address, connect_args={"timeout": 30})  # seconds to wait for another process's write

    @sa.event.listens_for(engine, "connect")
    def prepare(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # transactions begin below, not where Python's driver thinks fit
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = NORMAL")

    @sa.event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        statement = connection.get_execution_options().get("begin", READ)
        if statement:
            connection.exec_driver_sql(statement)

    return engine


def _advice(reason: str) -> str:
    """What a user can do about a database's complaint."""
    advice = {
        "disk is full": "free some space, or use a store elsewhere",
        "database is locked": "another process is writing to it for long; try again, or use a store of your own",
        "readonly": "check that you may write to the file and its directory",
        "unable to open": "check that you may write to the file and its directory",
        "not a database": "give the name of a new file, or of a store",
        "authentication failed": "check user and password",
        "refused": "check host and port, and that the server runs",
    }
    return next((f"; {what}" for fragment, what in advice.items() if fragment in reason), "")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def run_name(info: RunInfo, distinct: str) -> str:
    """The id of a run: environment, backend and seed in short, and what makes it distinct."""
    return f"{_slug(info.env)}-{_slug(info.backend)}-{info.seed}-{distinct}"


def _slug(name: str) -> str:
    """The letters and digits of a name without namespace and version."""
    return re.sub(r"[^a-z0-9]", "", re.sub(r"-v\d+$", "", name.rpartition("/")[2]).lower()) or "run"
