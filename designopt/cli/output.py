"""``designopt report`` and ``export``: what is in a store, for people and for other tools."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from designopt.cli.options import DEFAULT_STORE, RunArgument, StoreOption

if TYPE_CHECKING:
    from designopt.result import Result
    from designopt.store import Store


def write_run_report(
    run: RunArgument,
    output: Annotated[Path, typer.Option("-o", "--output", help="HTML file to write.")],
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Write one self-contained HTML page about a run."""
    from designopt.report import write_report

    print(write_report(_stored_result(store, run), output))


def export_run(
    run: RunArgument,
    output: Annotated[str, typer.Option("-o", "--output", help="FILE.parquet, FILE.csv, or optuna:URL for a study.")],
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Write every evaluation of a run as Parquet or CSV, or as an Optuna study for optuna-dashboard."""
    from designopt.export import export, to_optuna
    from designopt.store import Store

    with Store(store, read_only=True) as opened:
        if output.startswith("optuna:"):
            study = to_optuna(opened, run, output.removeprefix("optuna:"))
            print(f"{study.study_name}: {len(study.trials)} trials in {output.removeprefix('optuna:')}")
        else:
            print(f"{output}: {export(opened, run, output)} evaluations")


def _stored_result(store: str | Store, run: str) -> Result:
    from designopt.result import Result
    from designopt.store import Store

    with Store(store, read_only=True) as opened:  # type: ignore[arg-type]
        return Result.from_run(opened.load(run))
