"""``designopt sweep``: run a sweep file, or show what it would do."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from designopt.cli.failure import RunFailed
from designopt.cli.listings import print_rows
from designopt.cli.options import AddressOption

if TYPE_CHECKING:
    import pandas as pd

    from designopt.sweep.plan import Plan
    from designopt.sweep.worker import Outcome


def sweep(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="FILE.toml or FILE.yaml, see docs/sweep.md.")],
    store: Annotated[str | None, typer.Option(metavar="URL", help="In place of the store in FILE.")] = None,
    address: AddressOption = None,
    cpus: Annotated[int | None, typer.Option(help="CPUs of a Ray on this machine; default: all.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print the studies, and run nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON list of studies and nothing else.")] = False,
) -> None:
    """Run many studies at once on Ray; what is finished is skipped, what was begun goes on."""
    from designopt.sweep.plan import read_plan
    from designopt.sweep.run import sweep

    plan = read_plan(file, store)
    if dry_run:
        print_rows(_rows(plan.frame), as_json)
        return
    with _Bar(plan) as bar:
        result = sweep(plan, address=address, cpus=cpus, progress=bar.update)
    columns = ["run_id", "env", "backend", "config", "seed", "state", "evaluations", "best_value", "error"]
    print_rows(_rows(result.frame[columns]), as_json)
    if result.failed:
        raise RunFailed(
            f"{len(result.failed)} of {len(plan.studies)} studies failed, the first with {result.failed[0].error}; run "
            "the file again to continue them"
        )


def _rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows of a table as plain data, None where there is no value."""
    values = frame.astype(object).where(frame.notna(), None)
    return [dict(zip(frame.columns, row, strict=True)) for row in values.itertuples(index=False)]


class _Bar:
    """Progress on standard error: studies done and failed, evaluations, and the time that is left."""

    def __init__(self, plan: Plan) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._progress = Progress(
            TextColumn(f"sweep {plan.name}"),
            BarColumn(),
            TextColumn("{task.fields[ended]} of {task.fields[studies]} studies, {task.fields[failed]} failed"),
            MofNCompleteColumn(),
            TextColumn("evaluations, left"),
            TimeRemainingColumn(),
            console=Console(file=sys.stderr),
        )
        total = sum(study.info.budget or 0 for study in plan.studies)
        self._task = self._progress.add_task("", total=total, ended=0, failed=0, studies=len(plan.studies))
        self._ended = self._failed = 0
        self._before: int | None = None

    def __enter__(self) -> _Bar:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def update(self, outcomes: list[Outcome], evaluations: int) -> None:
        """The studies that have ended since the last call, and the evaluations recorded in this run."""
        if self._before is None:  # the first call brings what was finished before
            self._before = sum(outcome.evaluations for outcome in outcomes)
        self._ended += len(outcomes)
        failed = [outcome for outcome in outcomes if outcome.state == "failed"]
        self._failed += len(failed)
        for outcome in failed:
            self._progress.console.print(f"{outcome.run_id} failed: {outcome.error}", highlight=False)
        self._progress.update(self._task, completed=self._before + evaluations, ended=self._ended, failed=self._failed)
