"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

DEFAULT_STORE = "designopt.db"

StoreOption = Annotated[str, typer.Option("--store", metavar="URL", help="Path of a sqlite file, or a database URL.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
SecondsOption = Annotated[float | None, typer.Option("--seconds", "--time", help="Wall-clock limit of the run.")]
TimeoutOption = Annotated[float | None, typer.Option(help="Wall seconds that one evaluation may take.")]
MemoryOption = Annotated[float | None, typer.Option("--memory-mb", help="Memory that one evaluation may take.")]
RetriesOption = Annotated[int, typer.Option(help="How often a design is tried again after its worker died.")]
AddressOption = Annotated[str | None, typer.Option(help="Ray cluster to join: auto or HOST:PORT.")]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
ReportOption = Annotated[Path | None, typer.Option(metavar="DIR", help="Write RUN.html and a picture RUN.png there.")]
RunArgument = Annotated[str, typer.Argument(metavar="RUN", help="Id of a run, or a unique beginning of it.")]
