"""``designopt report`` and ``export``: what is in a store, for people and for other tools."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from designopt.cli.options import DEFAULT_STORE, StoreOption


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


def export_runs(
    runs: Annotated[list[str], typer.Argument(metavar="RUN|SWEEP...", help="Ids of runs, or names of sweeps.")],
    output: Annotated[str, typer.Option("-o", "--output", help="FILE.parquet, FILE.csv, FILE.jsonl, or optuna:URL.")],
    schema: Annotated[str, typer.Option(help="run: every column of one run; archgym: one flat table of many.")] = "run",
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Write every evaluation of runs: as a table, as episodes (.jsonl), or one run as an Optuna study."""
    from designopt.export import export, to_optuna
    from designopt.export_dataset import export_dataset, export_episodes
    from designopt.store import Store

    if schema not in ("run", "archgym"):
        raise ValueError(f"--schema {schema}; allowed: run, archgym")
    with Store(store, read_only=True) as opened:
        ids = [id for name in runs for id in ([run.id for run in opened.runs(sweep=name)] or [name])]
        if output.endswith(".jsonl"):
            print(f"{output}: {export_episodes(opened, ids, output)} steps")
        elif schema == "archgym":
            print(f"{output}: {export_dataset(opened, ids, output)} evaluations")
        elif len(ids) > 1:
            raise ValueError(f"{len(ids)} runs in one file need --schema archgym, or a FILE.jsonl")
        elif output.startswith("optuna:"):
            study = to_optuna(opened, ids[0], output.removeprefix("optuna:"))
            print(f"{study.study_name}: {len(study.trials)} trials in {output.removeprefix('optuna:')}")
        else:
            print(f"{output}: {export(opened, ids[0], output)} evaluations")
