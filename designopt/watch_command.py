"""``designopt watch``: a live view of the studies in a store."""

from __future__ import annotations

import time
from typing import Annotated

import typer


def watch(
    store: Annotated[str, typer.Argument(metavar="STORE", help="Path of a sqlite file, or a database URL.")],
    once: Annotated[bool, typer.Option("--once", help="Print one frame and end.")] = False,
    interval: Annotated[float, typer.Option(help="Seconds between two frames.", min=0.1)] = 2.0,
    limit: Annotated[int, typer.Option(help="Studies to show: those that run first, then the latest.", min=1)] = 20,
) -> None:
    """Show the studies in STORE as they go on: state, best feasible value, feasible share, rate, last error."""
    from rich.console import Console
    from rich.live import Live

    from designopt.store import Store
    from designopt.watch import Watch

    console = Console()
    with Store(store, read_only=True) as opened:
        view = Watch(opened, limit)
        if once or not console.is_terminal:
            console.print(view.frame())
            return
        try:
            with Live(view.frame(), console=console, screen=True, auto_refresh=False) as live:
                while True:
                    time.sleep(interval)
                    live.update(view.frame(), refresh=True)
        except KeyboardInterrupt:  # how one leaves it
            console.print(view.frame())
