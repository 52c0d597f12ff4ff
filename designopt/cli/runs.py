"""``designopt run`` and ``resume``: search, with a live display, and print what was found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from designopt.cli.environments import env_of, pairs
from designopt.cli.failure import RunFailed
from designopt.cli.options import (
    DEFAULT_STORE,
    AddressOption,
    DeviceOption,
    JsonOption,
    MemoryOption,
    ReportOption,
    RetriesOption,
    RunArgument,
    SecondsOption,
    StoreOption,
    TimeoutOption,
)

if TYPE_CHECKING:
    from designopt.result import Result
    from designopt.study import Study


def run_study(
    env: Annotated[str, typer.Argument(metavar="ENV", help="Id of an environment, or FILE.py:NAME, or MODULE:NAME.")],
    search: Annotated[str, typer.Option(help="Search backend.")] = "gp",
    budget: Annotated[int | None, typer.Option(help="Evaluations to spend; default: 60.")] = None,
    rounds: Annotated[int | None, typer.Option(help="Budget in batches, in place of --budget.")] = None,
    batch: Annotated[int | None, typer.Option(help="Designs asked for at once; default: the backend's own.")] = None,
    seconds: SecondsOption = None,
    seed: Annotated[int, typer.Option(help="Seed of the run.")] = 0,
    workers: Annotated[int, typer.Option(help="Evaluations at the same time.")] = 1,
    executor: Annotated[str, typer.Option(help="auto, serial, process or ray.")] = "auto",
    timeout: TimeoutOption = None,
    memory_mb: MemoryOption = None,
    retries: RetriesOption = 2,
    address: AddressOption = None,
    device: DeviceOption = "auto",
    store: StoreOption = DEFAULT_STORE,
    settings: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Hyper-parameter.")] = None,
    env_settings: Annotated[list[str] | None, typer.Option("--env-set", metavar="KEY=VALUE", help="Of ENV.")] = None,
    report: ReportOption = None,
    as_json: JsonOption = False,
) -> None:
    """Search ENV for its best design."""
    from designopt.executors import make_executor
    from designopt.launch import make_searcher
    from designopt.study import Study

    total = _evaluations(budget, rounds, batch)
    _prepare(report)
    problem = env_of(env, pairs("--env-set", env_settings))
    searcher = make_searcher(problem, search, seed=seed, device=device, **pairs("--set", settings))
    limits: dict[str, Any] = {"timeout": timeout, "memory_mb": memory_mb, "retries": retries, "address": address}
    runner = make_executor(problem, workers=workers, kind=executor, **limits)
    study = Study(problem, searcher, budget=total, batch=batch, seconds=seconds, executor=runner, store=store)
    _finish(study, report, as_json)


def resume_run(
    run: RunArgument,
    store: StoreOption = DEFAULT_STORE,
    env: Annotated[str | None, typer.Option(help="FILE.py:NAME or MODULE:NAME of an unregistered environment.")] = None,
    budget: Annotated[int | None, typer.Option(help="New number of evaluations in all.")] = None,
    seconds: SecondsOption = None,
    workers: Annotated[int | None, typer.Option(help="Evaluations at the same time.")] = None,
    address: AddressOption = None,
    device: DeviceOption = "auto",
    report: ReportOption = None,
    as_json: JsonOption = False,
) -> None:
    """Continue a run after a crash, an interruption, or with a larger budget; nothing recorded is evaluated again."""
    from designopt.launch import resumed_study

    _prepare(report)
    problem = None if env is None else env_of(env, {})
    study = resumed_study(
        store, run, env=problem, budget=budget, seconds=seconds, workers=workers, address=address, device=device
    )
    _finish(study, report, as_json)


def _evaluations(budget: int | None, rounds: int | None, batch: int | None) -> int:
    """The budget, given as such or as rounds of batches."""
    if rounds is None:
        return 60 if budget is None else budget
    if budget is not None:
        raise ValueError(f"--rounds {rounds} and --budget {budget} both say how many evaluations to spend; give one")
    if batch is None:
        raise ValueError(f"--rounds {rounds} needs --batch: the budget is rounds times designs a round")
    if rounds < 1:
        raise ValueError(f"--rounds {rounds}; it must be positive")
    return rounds * batch


def _prepare(report: Path | None) -> None:
    """Make the reports' folder before anything is evaluated for them."""
    try:
        if report is not None:
            report.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"--report {report}: {error.strerror}; give a folder that can be written") from None


def _finish(study: Study, report: Path | None, as_json: bool) -> None:
    """Run a prepared study with a live display and print what it found."""
    from designopt.report import ProgressDisplay

    try:
        with ProgressDisplay(study.budget, study.env.objectives, done=study.told) as display:
            study.callbacks += (lambda _, evaluation: display.update(evaluation),)
            result = study.run()
    except Exception as error:
        hint = (
            f"; continue with: designopt resume {study.run_id} --store {study.store.url}"
            if study.store is not None
            else ""
        )
        raise RunFailed(f"run {study.run_id} failed: {type(error).__name__}: {error}{hint}") from error
    _show(result, report, as_json)


def _show(result: Result, report: Path | None, as_json: bool) -> None:
    from designopt.report import print_result, save_convergence, write_report

    written: dict[str, str] = {}
    if report is not None:
        written["report"] = str(write_report(result, report / f"{result.run_id}.html"))
        written["picture"] = str(save_convergence(result, report / f"{result.run_id}.png"))
    if as_json:
        print(json.dumps(result.summary() | written, default=_plain))
        return
    from rich.console import Console

    print_result(result, Console())
    for what, path in written.items():
        print(f"{what}: {path}")


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else str(value)
