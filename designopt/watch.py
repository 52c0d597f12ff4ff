"""A live view of the studies in a store, for a terminal; the store is only read."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np
import sqlalchemy as sa
from rich.table import Table
from rich.text import Text

from designopt.metrics import non_dominated
from designopt.parameters import Array
from designopt.report.content import percent
from designopt.report.style import clean, duration, number
from designopt.runs import RunRecord
from designopt.store import Store
from designopt.store_tables import evaluations
from designopt.store_text import rows_from_json

RECENT = 50
"""The rate is over so many evaluations at most."""
STYLES = {"running": "bold green", "failed": "bold red", "interrupted": "yellow", "stopped": "yellow", "waiting": "dim"}


@dataclass
class Progress:
    """What is known of one study; grows as its evaluations are read.

    Attributes:
        read: evaluations read; ``feasible``, ``failed``: how many of them are feasible, and not ok.
        front: (f, m) non-dominated feasible losses.
        times: when the last evaluations were recorded.
        error: of the last evaluation that gave no values.
    """

    read: int = 0
    feasible: int = 0
    failed: int = 0
    front: Array | None = None
    times: deque[datetime] = field(default_factory=lambda: deque(maxlen=RECENT))
    error: str = ""

    def rate(self, now: datetime) -> float:
        """Evaluations per second over the last of them; falls while nothing arrives."""
        if len(self.times) < 2:
            return 0.0
        return (len(self.times) - 1) / max((now - self.times[0]).total_seconds(), 1e-3)


class Watch:
    """Follows the studies of a store; every frame reads only what is new.

    Args:
        store: opened read-only, or not.
        limit: how many studies a frame shows: those that run first, then the latest.
    """

    def __init__(self, store: Store, limit: int = 20) -> None:
        self.store = store
        self.limit = limit
        self._known: dict[str, Progress] = {}

    def frame(self, now: datetime | None = None) -> Table:
        """The state of the store as a table.

        Raises:
            StoreError: the store cannot be read.
        """
        now = now or datetime.now(UTC)
        runs = self.store.runs()
        shown = sorted(runs, key=lambda run: (run.state != "running", run.state == "waiting", _descending(run)))
        shown = shown[: self.limit]
        counts = {state: sum(run.state == state for run in runs) for state in dict.fromkeys(run.state for run in runs)}
        title = f"{self.store.url}: " + (", ".join(f"{n:,} {state}" for state, n in counts.items()) or "no studies yet")
        table = Table(title=Text(title), title_justify="left", expand=True, caption_justify="left")
        for heading in ("study", "state", "evaluations", "best feasible", "feasible", "per second", "last result"):
            table.add_column(heading, overflow="fold")
        table.add_column("last error", overflow="ellipsis", no_wrap=True, ratio=1)
        for run in shown:
            table.add_row(*self._row(run, self.progress(run), now))
        if len(shown) < len(runs):
            table.caption = f"{len(runs) - len(shown):,} more"
        return table

    def progress(self, run: RunRecord) -> Progress:
        """What is known of a study, its new evaluations read."""
        known = self._known.setdefault(run.id, Progress())
        if known.read < run.evaluations:
            self._read(run, known)
        return known

    def _read(self, run: RunRecord, known: Progress) -> None:
        c = evaluations.c
        query = sa.select(c.objectives, c.constraints, c.status, c.error, c.finished)
        query = query.where(c.run_id == run.id, c.sequence >= known.read).order_by(c.sequence)
        with self.store.engine.connect() as connection:
            rows = connection.execute(query).all()
        if not rows:
            return
        objectives, constraints, status, errors, finished = zip(*rows, strict=True)
        losses = rows_from_json(objectives, len(run.objectives))
        losses = losses * [1.0 if o.sense == "min" else -1.0 for o in run.objectives]
        ok = np.array(status) == "ok"
        feasible = ok & (rows_from_json(constraints, len(run.constraints)) <= 0).all(axis=1)
        known.read += len(rows)
        known.feasible += int(feasible.sum())
        known.failed += int((~ok).sum())
        known.times.extend(datetime.fromisoformat(time) for time in finished[-RECENT:])
        known.error = next((e or s for e, s in zip(errors[::-1], status[::-1], strict=True) if s != "ok"), known.error)
        front = losses[feasible] if known.front is None else np.concatenate([known.front, losses[feasible]])
        known.front = np.unique(front[non_dominated(front)], axis=0)

    def _row(self, run: RunRecord, known: Progress, now: datetime) -> Sequence[Text | str]:
        rate = known.rate(now) if run.state == "running" else 0.0
        budget = f"/{run.budget:,}" if run.budget else ""
        done = f"{run.evaluations:,}{budget}"
        if rate and run.budget and run.state == "running":
            done += f" ({duration(max(run.budget - run.evaluations, 0) / rate)} left)"
        ago = f"{duration(max((now - known.times[-1]).total_seconds(), 0.0))} ago" if known.times else ""
        error = run.error or known.error
        if known.failed and not run.error:
            error = f"{known.failed:,} without values: {error}"
        return (
            Text(clean(run.id)),
            Text(run.state, STYLES.get(run.state, "")),
            done,
            Text(_best(run, known)),
            percent(known.feasible, known.read) if known.read else "",
            number(rate, 3) if rate else "",
            ago,
            Text(clean(" ".join(error.split()))),
        )


def _best(run: RunRecord, known: Progress) -> str:
    if known.front is None or not len(known.front):
        return ""
    if len(run.objectives) > 1:
        return f"{len(known.front):,} not dominated"
    objective = run.objectives[0]
    value = known.front[0, 0] if objective.sense == "min" else -known.front[0, 0]
    return clean(f"{objective.name} {number(value, 5)} {objective.unit}").rstrip()


def _descending(run: RunRecord) -> float:
    """Sorts the latest first: by end, or start where it has not ended."""
    return -datetime.fromisoformat(run.ended or run.started).timestamp()
