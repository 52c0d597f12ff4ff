"""Live progress of a run on standard error: a moving bar on a terminal, a line now and then in a log."""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from collections.abc import Sequence
from types import TracebackType

import numpy as np
from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from designopt.env import Objective
from designopt.evaluation import Evaluation
from designopt.report.content import percent
from designopt.report.style import clean, duration, number

PER_SECOND = 5
"""How often the bar moves; evaluations that arrive between are only queued."""
QUIET = 10.0
"""Seconds between two lines in a log; in a long run, a twentieth of the time it has taken so far."""


class ProgressDisplay:
    """Shows evaluations, best feasible value, feasible share, speed and time, while open as a context manager.

    On a terminal it is a bar; where standard error is a file or a pipe, it is a plain line every ten per cent of the
    budget and at least every ten seconds (less often in a long run), without control codes.

    Args:
        total: budget in evaluations; None when the run is limited by time only.
        objectives: what is optimised.
        done: evaluations of a resumed run that are already recorded; they count towards the budget and nothing else.
        console: where to write; standard error by default.
    """

    def __init__(
        self, total: int | None, objectives: Sequence[Objective], *, done: int = 0, console: Console | None = None
    ) -> None:
        self.total = total
        self.objectives = tuple(objectives)
        self.console = console or Console(stderr=True)
        self.recorded = done
        self.done = self.feasible = self.failed = 0
        self.best = np.full(len(self.objectives), np.inf)
        self._arrived: deque[Evaluation] = deque()
        self._lock = threading.Lock()
        self._queued = 0
        self._live: Live | None = None
        self._started = self._spoke = time.monotonic()
        self._spoke_at = 0

    def __enter__(self) -> ProgressDisplay:
        self._started = self._spoke = time.monotonic()
        if self.console.is_terminal and not self.console.is_dumb_terminal:
            self._live = Live(
                get_renderable=self._bar,
                console=self.console,
                refresh_per_second=PER_SECOND,
                # What the run prints to a piped standard output must stay there.
                redirect_stdout=sys.stdout.isatty(),
            )
            self._live.start(refresh=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None
        elif self._queued > self._spoke_at or not self._queued:
            self._say()

    def update(self, evaluation: Evaluation) -> None:
        """Count n more evaluations."""
        self._arrived.append(evaluation)
        self._queued += len(evaluation)
        if self._live is None:
            step = 0.1 * self.total if self.total else np.inf
            now = time.monotonic()
            if self._queued - self._spoke_at >= step or now - self._spoke >= max(QUIET, 0.05 * (now - self._started)):
                self._say()

    def line(self) -> str:
        """The state of the run in one line of text."""
        self._digest()
        elapsed = time.monotonic() - self._started
        speed = self.done / elapsed if elapsed > 0 else 0.0
        of = f"/{self.total:,}" if self.total else ""
        done = self.recorded + self.done
        parts = [f"{done:,}{of} evaluations", self._best_text(), f"{percent(self.feasible, self.done)} feasible"]
        if self.failed:
            parts.append(f"{self.failed:,} without values")
        parts += [f"{number(speed, 3)}/s", duration(elapsed)]
        if self.total and speed and done < self.total:
            parts.append(f"{duration((self.total - done) / speed)} left")
        return ", ".join(parts)

    def _best_text(self) -> str:
        if not self.feasible:
            return "nothing feasible since it resumed" if self.recorded else "nothing feasible yet"
        values = [
            f"{o.name} {number(loss if o.sense == 'min' else -loss)} {o.unit}".rstrip()
            for o, loss in zip(self.objectives, self.best, strict=True)
        ]
        return clean(f"best {', '.join(values)}")

    def _digest(self) -> None:
        """Take in what has arrived; the thread that draws the bar may do this while another calls update."""
        with self._lock:
            self._take(len(self._arrived))

    def _take(self, n: int) -> None:
        arrived = [self._arrived.popleft() for _ in range(n)]
        if not arrived:
            return
        evaluation = Evaluation.concatenate(arrived)
        feasible = evaluation.feasible
        self.done += len(evaluation)
        self.feasible += int(feasible.sum())
        self.failed += int((evaluation.status != "ok").sum())
        losses = evaluation.losses(self.objectives)[feasible]
        self.best = np.minimum(self.best, losses.min(axis=0, initial=np.inf))

    def _bar(self) -> Table:
        text = Text(self.line())
        grid = Table.grid()
        done = self.recorded + self.done
        grid.add_row(ProgressBar(total=self.total, completed=done, width=60, pulse=self.total is None))
        grid.add_row(text)
        return grid

    def _say(self) -> None:
        self._spoke, self._spoke_at = time.monotonic(), self._queued
        self.console.file.write(self.line() + "\n")
        self.console.file.flush()
