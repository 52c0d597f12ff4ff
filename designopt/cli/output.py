"""``designopt report`` and ``export``: what is in a store, for people and for other tools."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from designopt.cli.options import DEFAULT_STORE, RunArgument, StoreOption


def write_run_report(
    run: Annotated[
        str, typer.Argument(metavar="RUN|SWEEP", help="Id of a run or a beginning of it, or a sweep's name.")
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="HTML file to write.")],
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Write one self-contained HTML page about a run, or about all studies of a sweep."""
    from designopt.report import write_report, write_sweep_report
    from designopt.result import Result
    from designopt.store import Store

    with Store(store, read_only=True) as opened:
        if opened.runs(sweep=run):
            print(write_sweep_report(opened, run, output))
        else:
            print(write_report(Result.from_run(opened.load(run)), output))


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
