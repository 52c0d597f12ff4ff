"""The ``designopt`` command. Answers go to standard output, progress and errors to standard error.

Exit code 0: ran; 1: the run failed (what was evaluated is in the store); 2: bad arguments, said in one line.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from designopt.env import DesignEnv
    from designopt.result import Result
    from designopt.store import Store
    from designopt.study import Study

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)

StoreOption = Annotated[str, typer.Option("--store", metavar="URL", help="Path of a sqlite file, or a database URL.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
SecondsOption = Annotated[float | None, typer.Option(help="Wall-clock limit of the run.")]
TimeoutOption = Annotated[float | None, typer.Option(help="Wall seconds that one evaluation may take.")]
MemoryOption = Annotated[float | None, typer.Option("--memory-mb", help="Memory that one evaluation may take.")]
RetriesOption = Annotated[int, typer.Option(help="How often a design is tried again after its worker died.")]
AddressOption = Annotated[str | None, typer.Option(help="Ray cluster to join: auto or HOST:PORT.")]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
ReportOption = Annotated[Path | None, typer.Option(metavar="DIR", help="Write RUN.html and a picture RUN.png there.")]
RunArgument = Annotated[str, typer.Argument(metavar="RUN", help="Id of a run, or a unique beginning of it.")]

DEFAULT_STORE = "designopt.db"


# Typer's own usage errors; it ships the class under a private name, or takes click's, depending on its version.
UsageError: type[Exception] = typer.BadParameter.__mro__[2]


class RunFailed(Exception):  # noqa: N818 - reads as the fact that it states
    """The run itself failed, as opposed to its arguments."""


def main() -> None:
    """Entry point: every expected error is one line on standard error."""
    from designopt.store import StoreError

    try:
        code = typer.main.get_command(app).main(standalone_mode=False)
    except UsageError as error:
        code = _fail(error.format_message(), 2)  # type: ignore[attr-defined]
    except (ValueError, StoreError) as error:
        code = _fail(str(error), 2)
    except RunFailed as error:
        code = _fail(str(error), 1)
    except (KeyboardInterrupt, typer.Abort):
        code = _fail("interrupted; `designopt runs` lists what can be resumed", 130)
    sys.exit(code)


def _fail(message: str, code: int) -> int:
    print(f"designopt: {' '.join(message.split())}", file=sys.stderr)
    return code


@app.callback(invoke_without_command=True)
def _root(context: typer.Context) -> None:
    """Search engineering designs: environments paired with search backends, on one core or on a Ray cluster."""
    if context.invoked_subcommand is None:
        print(context.get_help())


# Listings --------------------------------------------------------------------------------------------------------


@app.command("envs")
def list_envs(as_json: JsonOption = False) -> None:
    """List the design environments."""
    import designopt

    rows = []
    for id in designopt.envs():
        env = designopt.make(id)
        rows.append(
            {
                "env": id,
                "parameters": len(env.design_space),
                "objectives": ", ".join(f"{o.sense} {o.name}" for o in env.objectives),
                "constraints": len(env.constraints),
                "known optimum": None if env.reference is None else env.reference.value,
                "about": (type(env).__doc__ or "").strip().split("\n")[0],
            }
        )
    _print_rows(rows, as_json)


@app.command("backends")
def list_backends(as_json: JsonOption = False) -> None:
    """List the search backends: what each needs, can do and can be told."""
    import dataclasses

    import designopt

    rows = []
    for name in designopt.backends():
        searcher = designopt.backend(name)
        settings = (f"{f.name}={f.default}" for f in dataclasses.fields(searcher.Config))
        rows.append(
            {
                "backend": name,
                "needs": ", ".join(protocol.__name__ for protocol in searcher.requires),
                "objectives": "several" if searcher.multi_objective else "one",
                "hyper-parameters": " ".join(settings),
                "about": (searcher.__doc__ or "").strip().split("\n")[0],
            }
        )
    _print_rows(rows, as_json)


@app.command("runs")
def list_runs(store: StoreOption = DEFAULT_STORE, as_json: JsonOption = False) -> None:
    """List the runs in a store."""
    from designopt.store import Store

    with Store(store, read_only=True) as opened:
        runs = opened.runs()
    rows = [
        {
            "run": run.id,
            "env": run.env,
            "search": run.backend,
            "seed": run.seed,
            "evaluations": run.evaluations,
            "budget": run.budget,
            "state": run.state,
            "started": run.started,
        }
        for run in runs
    ]
    _print_rows(rows, as_json)


def _print_rows(rows: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        print(json.dumps(rows))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    cells = [
        ["" if v is None else f"{v:.7g}" if isinstance(v, float) else str(v) for v in row.values()] for row in rows
    ]
    for i, name in enumerate(rows[0] if rows else ["nothing here yet"]):
        width = max([len(name), *(len(row[i]) for row in cells)])
        # Names and numbers are shown whole; only long texts give way on a narrow terminal.
        table.add_column(name, no_wrap=True, overflow="ellipsis", min_width=width if width <= 40 else None)
    for row in cells:
        table.add_row(*row)
    Console(width=None if sys.stdout.isatty() else 200).print(table)


# Runs ------------------------------------------------------------------------------------------------------------


@app.command("run")
def run_study(
    env: Annotated[str, typer.Argument(metavar="ENV", help="Id of an environment, or FILE.py:NAME, or MODULE:NAME.")],
    search: Annotated[str, typer.Option(help="Search backend.")] = "gp",
    budget: Annotated[int, typer.Option(help="Evaluations to spend.")] = 60,
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

    _prepare(report)
    problem = _env(env, _pairs("--env-set", env_settings))
    searcher = make_searcher(problem, search, seed=seed, device=device, **_pairs("--set", settings))
    limits: dict[str, Any] = {"timeout": timeout, "memory_mb": memory_mb, "retries": retries, "address": address}
    runner = make_executor(problem, workers=workers, kind=executor, **limits)
    study = Study(problem, searcher, budget=budget, batch=batch, seconds=seconds, executor=runner, store=store)
    _finish(study, report, as_json)


@app.command("resume")
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
    problem = None if env is None else _env(env, {})
    study = resumed_study(
        store, run, env=problem, budget=budget, seconds=seconds, workers=workers, address=address, device=device
    )
    _finish(study, report, as_json)


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


@app.command("report")
def write_run_report(
    run: RunArgument,
    output: Annotated[Path, typer.Option("-o", "--output", help="HTML file to write.")],
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Write one self-contained HTML page about a run."""
    from designopt.report import write_report

    print(write_report(_stored_result(store, run), output))


@app.command("export")
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


# Arguments -------------------------------------------------------------------------------------------------------


def _pairs(option: str, texts: list[str] | None) -> dict[str, Any]:
    pairs = {}
    for text in texts or []:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise ValueError(f"{option} {text!r} is not understood; write {option} KEY=VALUE")
        pairs[key.replace("-", "_")] = value
    return pairs


def _env(name: str, settings: dict[str, Any]) -> DesignEnv:
    """An environment by registered id, FILE.py:NAME or MODULE:NAME."""
    import designopt
    from designopt.env import DesignEnv
    from designopt.searcher import literal

    arguments = {key: literal(value) for key, value in settings.items()}
    if ":" not in name:
        return designopt.make(name, **arguments)
    place, _, attribute = name.rpartition(":")
    module = _module(place)
    if not hasattr(module, attribute):
        raise ValueError(f"{place} has no {attribute!r}; {designopt.parameters.suggest(attribute, vars(module))}")
    env = getattr(module, attribute)
    if isinstance(env, type) and issubclass(env, DesignEnv):
        env = env(**arguments)
    if not isinstance(env, DesignEnv):
        raise ValueError(f"{name} is {type(env).__name__}; it must be a DesignEnv, made by a class or by @design_env")
    return env


def _module(place: str) -> Any:
    """A module by import name or by path; a file's module is importable under its stem, as when it is run."""
    if not place.endswith(".py"):
        try:
            return importlib.import_module(place)
        except ModuleNotFoundError as error:
            raise ValueError(f"cannot import {place!r}: {error}; write FILE.py:NAME or MODULE:NAME") from None
    import cloudpickle

    path = Path(place).resolve()
    if not path.is_file():
        raise ValueError(f"no file {place}")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None, place
    assert spec.loader is not None, place
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    cloudpickle.register_pickle_by_value(module)  # worker processes cannot import it by name
    spec.loader.exec_module(module)
    return module
