"""``designopt envs``, ``backends``, ``runs``: what there is."""

from __future__ import annotations

import json
import sys
from typing import Any

from designopt.cli.options import DEFAULT_STORE, JsonOption, StoreOption

COLUMNS = ("env", "parameters", "objectives", "constraints", "known optimum", "about")


def list_envs(as_json: JsonOption = False) -> None:
    """List the design environments."""
    import designopt

    rows = []
    for id in designopt.envs():
        try:
            env = designopt.make(id)
        except ValueError as error:  # its data, or a library that it needs, is not on this machine
            rows.append(dict.fromkeys(COLUMNS) | {"env": id, "about": str(error)})
            continue
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
    print_rows(rows, as_json)


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
    print_rows(rows, as_json)


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
    print_rows(rows, as_json)


def print_rows(rows: list[dict[str, Any]], as_json: bool) -> None:
    """Print rows with equal keys as a table, or as one JSON list."""
    if as_json:
        print(json.dumps(rows))
        return
    from rich.console import Console
    from rich.table import Table

    console = Console(width=None if sys.stdout.isatty() else 1000)  # a pipe takes whole lines
    table = Table(box=None, pad_edge=False, header_style="bold")
    cells = [
        ["" if v is None else f"{v:.7g}" if isinstance(v, float) else str(v) for v in row.values()] for row in rows
    ]
    names = list(rows[0]) if rows else ["nothing here yet"]
    for i, name in enumerate(names):
        width = max([len(name), *(len(row[i]) for row in cells)])
        # Names and numbers are shown whole; long texts break into lines on a narrow terminal.
        table.add_column(name, no_wrap=i == 0 or width <= 40)
    for row in cells:
        table.add_row(*row)
    console.print(table)
