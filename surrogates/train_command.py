"""The ``designopt train-pfn`` command: trains the networks that designopt ships, or goes on with them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from designopt.surrogates.training import Recipe

RECIPES = {
    "agp": "designopt.surrogates.agp_training:RECIPE",
    "pfn": "designopt.surrogates.pfn.training:RECIPE",
    "classifier": "designopt.surrogates.pfn.training:CLASSIFIER_RECIPE",
}


def train_pfn(
    model: Annotated[str, typer.Argument(help="agp (amortised Gaussian process), pfn or classifier")],
    folder: Annotated[Path, typer.Option(help="of the checkpoint and the weights; an unfinished run there goes on")],
    steps: Annotated[int | None, typer.Option(min=1, help="of the optimiser; default: as shipped")] = None,
    learning_rate: Annotated[float | None, typer.Option(min=0.0, help="the greatest; default: as shipped")] = None,
    seed: Annotated[int, typer.Option(help="of the first weights and of the tasks")] = 0,
    continue_shipped: Annotated[
        bool, typer.Option("--continue-shipped", help="start from the shipped weights instead of random ones")
    ] = False,
    measure_every: Annotated[int, typer.Option(min=1, help="steps between measurements and checkpoints")] = 250,
) -> None:
    """Train a network on functions drawn from its prior; writes <model>.safetensors and <model>.json.

    Interrupted, it goes on from its last checkpoint when called again in the same way.
    """
    import sys
    import time
    from dataclasses import replace

    import torch
    from rich.console import Console, Group
    from rich.live import Live
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from designopt.surrogates.training import Trainer, load_state, read_weights, write_weights

    if model not in RECIPES:
        raise ValueError(f"model = {model!r}; allowed: {', '.join(map(repr, RECIPES))}")
    recipe = _recipe(model)
    config = replace(
        recipe.config,
        seed=seed,
        steps=recipe.config.steps if steps is None else steps,
        learning_rate=recipe.config.learning_rate if learning_rate is None else learning_rate,
    )
    torch.set_num_threads(1)  # more wait for each other longer than they work on matrices of this size
    torch.manual_seed(seed)
    network = recipe.build()
    shipped = Path(__file__).parent / "weights" / f"{model}.safetensors"
    history: list[Any] = []
    if continue_shipped:
        weights, before = read_weights(shipped)
        load_state(network, weights, shipped)
        history = [*before.get("history", []), {key: before[key] for key in ("command", "config", "curve")}]
    trainer = Trainer(network, recipe.loss, config)
    trainer.resume(folder)

    console = Console(stderr=True)
    progress = Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=console
    )
    bar = progress.add_task(model, total=config.steps, completed=trainer.step)
    spent = trainer.curve[-1]["cpu_seconds"] if trainer.curve else 0.0
    started = time.process_time()
    measuring, losses = 0.0, 0.0
    with Live(Group(_table(trainer.curve), progress), console=console, refresh_per_second=1) as live:
        while not trainer.done:
            losses += trainer.advance()
            progress.update(bar, completed=trainer.step)
            if trainer.step % measure_every and not trainer.done:
                continue
            trained = spent + time.process_time() - started - measuring
            begun = time.process_time()
            row = {
                "step": trainer.step,
                "cpu_seconds": trained,
                "loss": losses / (trainer.step % measure_every or measure_every),
            }
            row |= recipe.measure(trainer.average)
            trainer.curve.append({name: round(value, 4) for name, value in row.items()})
            trainer.save(folder)
            losses = 0.0
            measuring += time.process_time() - begun
            live.update(Group(_table(trainer.curve), progress))
            if not console.is_terminal:
                console.print(trainer.curve[-1])
    facts = {
        **recipe.facts,
        "command": "designopt " + " ".join(sys.argv[1:]),
        "config": vars(config),
        "torch": torch.__version__,
        "curve": trainer.curve,
        "history": history,
    }
    write_weights(folder / f"{model}.safetensors", trainer.average, facts)
    typer.echo(folder / f"{model}.safetensors")


def _recipe(model: str) -> Recipe[Any]:
    import importlib

    module, _, name = RECIPES[model].partition(":")
    recipe: Recipe[Any] = getattr(importlib.import_module(module), name)
    return recipe


def _table(curve: list[dict[str, Any]], rows: int = 12) -> Table:
    """The last measurements, under what is known of other methods."""
    from rich.table import Table

    from designopt.surrogates.heldout import BOTORCH_SHARES

    shown = ("loss", "spread", "classical")  # no terminal is wide enough for all
    names = [
        name for name in (curve[-1] if curve else BOTORCH_SHARES) if name in BOTORCH_SHARES or name.startswith(shown)
    ]
    table = Table(title="share of the available gain by parameters,designs; and other figures", title_justify="left")
    for name in ("step", "CPU s", *names):
        table.add_column(name, justify="right")
    for label, value in (("N(0, 1)", 0.0), ("oracle", 1.0)):
        table.add_row(label, "", *[f"{value:.3f}" if name in BOTORCH_SHARES else "" for name in names])
    botorch = [f"{BOTORCH_SHARES[name]:.3f}" if name in BOTORCH_SHARES else "" for name in names]
    table.add_row("BoTorch", "", *botorch, end_section=True)
    for row in curve[-rows:]:
        figures = [f"{row[name]:.3f}" for name in names]
        table.add_row(str(row["step"]), f"{row['cpu_seconds']:.0f}", *figures)
    return table
