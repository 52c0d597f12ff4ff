"""``designopt data``: which public data sets there are, which of them are here, and adding one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from designopt.cli.listings import print_rows
from designopt.cli.options import JsonOption

data = typer.Typer(no_args_is_help=True, help="List public data sets, or add one that you have downloaded.")


@data.command("list")
def list_data(as_json: JsonOption = False) -> None:
    """List the known data sets: name, whether it is on this machine, licence and origin."""
    from designopt.data import available, catalogue

    entries = catalogue().values()
    rows = [{"name": e.name, "here": available(e.name), "licence": e.licence, "origin": e.source} for e in entries]
    print_rows(rows, as_json)


@data.command("add")
def add_data(
    name: Annotated[str, typer.Argument(help="Name of the data set, see `designopt data list`.")],
    file: Annotated[Path, typer.Argument(help="The file, as you have it.")],
) -> None:
    """Check a file against the data set's checksum and copy it to where designopt finds it."""
    from designopt.data import add

    print(add(name, file))
