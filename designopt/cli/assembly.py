"""Assembly of the ``designopt`` command. Answers go to standard output, progress and errors to standard error.

Exit code 0: ran; 1: the run failed (what was evaluated is in the store); 2: bad arguments, said in one line.
Commands of other parts and of plug-ins are functions named in the entry-point group ``designopt.commands``.
"""

from __future__ import annotations

import sys
import warnings
from importlib.metadata import entry_points

import typer

from designopt.cli import listings, output, runs
from designopt.cli.data import data
from designopt.cli.failure import RunFailed
from designopt.sweep.command import sweep
from designopt.watch_command import watch

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
app.command("envs")(listings.list_envs)
app.command("backends")(listings.list_backends)
app.command("runs")(listings.list_runs)
app.command("run")(runs.run_study)
app.command("resume")(runs.resume_run)
app.command("sweep")(sweep)
app.command("watch")(watch)
app.command("report")(output.write_run_report)
app.command("export")(output.export_runs)
app.add_typer(data, name="data")

for _point in sorted(entry_points(group="designopt.commands"), key=lambda point: point.name):
    try:
        app.command(_point.name)(_point.load())
    except Exception as error:  # whatever a third party's module raises
        warnings.warn(f"command {_point.name!r} ({_point.value}) failed to load: {error!r}", stacklevel=1)

# Typer's own usage errors; it ships the class under a private name, or takes click's, depending on its version.
UsageError: type[Exception] = typer.BadParameter.__mro__[2]


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
    sys.exit(code or 0)


def _fail(message: str, code: int) -> int:
    print(f"designopt: {' '.join(message.split())}", file=sys.stderr)
    return code


@app.callback(invoke_without_command=True)
def _root(context: typer.Context) -> None:
    """Search engineering designs: environments paired with search backends, on one core or on a Ray cluster."""
    if context.invoked_subcommand is None:
        print(context.get_help())
