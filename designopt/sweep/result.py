"""What became of a sweep."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from designopt.result import Result
from designopt.store import Store
from designopt.sweep.plan import Plan
from designopt.sweep.worker import Outcome

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class SweepResult:
    """The studies of a sweep, in the order of its file.

    Attributes:
        plan: what was to be done.
        outcomes: run id -> what became of it.
    """

    plan: Plan
    outcomes: dict[str, Outcome]

    @property
    def name(self) -> str:
        """Name of the sweep."""
        return self.plan.name

    @property
    def frame(self) -> pd.DataFrame:
        """One row per study: the columns of ``Plan.frame``, then state, evaluations, best_value and error."""
        frame = self.plan.frame
        outcomes = [self.outcomes[run_id] for run_id in frame["run_id"]]
        for name in ("state", "evaluations", "best_value", "error"):
            frame[name] = [getattr(outcome, name) for outcome in outcomes]
        return frame

    @property
    def failed(self) -> list[Outcome]:
        """The studies that failed."""
        return [outcome for outcome in self.outcomes.values() if outcome.state not in ("finished", "stopped")]

    def load(self, run_id: str) -> Result:
        """All evaluations of one study."""
        with Store(self.plan.store, read_only=True) as store:
            return Result.from_run(store.load(run_id))
