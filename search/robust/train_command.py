"""The ``designopt train-neur2ro`` command: labels, training and weights of Neur2RO's networks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from designopt.search.robust.labels import Labels
    from designopt.surrogates.value_network import ValueNetwork

PARTS = ("features", "count", "X", "Xi", "value", "residual")
CHUNK = 25
BATCH = 16
RESIDUAL_SCALE = 0.01  # residuals are hundredths of values


def train_neur2ro(
    folder: Annotated[Path, typer.Option(help="of labels, checkpoint and weights; what is there is taken up again")],
    kind: Annotated[
        str, typer.Option(help="value (the second stage) or residual (what its relaxation misses)")
    ] = "value",
    instances: Annotated[int, typer.Option(min=20, help="random instances; a fifth is held out")] = 600,
    smallest: Annotated[int, typer.Option(min=1, help="items")] = 20,
    largest: Annotated[int, typer.Option(min=1, help="items")] = 80,
    correlations: Annotated[str, typer.Option(help="of profit and weight, separated by commas")] = "UN,WC,ASC,SC",
    steps: Annotated[int, typer.Option(min=1, help="of the optimiser, sixteen instances each")] = 8000,
    seed: Annotated[int, typer.Option(help="of instances, first weights and batches")] = 0,
    workers: Annotated[int, typer.Option(min=1, help="label so many instances at once, on Ray")] = 1,
) -> None:
    """Train the network of Neur2RO on random robust knapsacks; writes neur2ro_<kind>.safetensors and .json."""
    import torch
    from rich.console import Console
    from rich.progress import Progress

    from designopt.surrogates.training import Trainer, TrainingConfig, write_weights
    from designopt.surrogates.value_network import ValueNetwork

    if kind not in ("value", "residual"):
        raise ValueError(f"--kind {kind}; allowed: value, residual")
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    settings = {"sizes": (smallest, largest), "correlations": tuple(correlations.split(",")), "seed": seed}
    with Progress(console=Console(stderr=True)) as progress:
        labels = _labels(folder, instances, settings, workers, progress)
        held_out = len(labels.count) // 5  # whole instances, so that nothing of them is known
        train, test = ({part: torch.as_tensor(getattr(labels, part)[rows]) for part in PARTS}
                       for rows in (slice(held_out, None), slice(held_out)))  # fmt: skip
        network = ValueNetwork(train["features"].shape[-1], RESIDUAL_SCALE if kind == "residual" else 1.0)

        def loss(network: ValueNetwork, rng: Generator) -> Tensor:
            rows = torch.randint(len(train["count"]), (BATCH,), generator=rng)
            batch = {part: values[rows] for part, values in train.items()}
            error = network(batch["X"], batch["Xi"], batch["features"], batch["count"]) - batch[kind]
            return torch.mean((error / network.scale) ** 2)

        trainer = Trainer(network, loss, TrainingConfig(steps=steps, learning_rate=2e-3, weight_decay=1e-5, seed=seed))
        trainer.resume(folder / kind)
        bar = progress.add_task(f"train {kind}", total=steps, completed=trainer.step)
        while not trainer.done:
            trainer.advance()
            progress.update(bar, completed=trainer.step)
            if trainer.step % 500 == 0 or trainer.done:
                trainer.curve.append({"step": trainer.step, "mae": _error(trainer.average, test, kind)})
                trainer.save(folder / kind)
                progress.console.print(
                    f"step {trainer.step}: held-out mean absolute error {trainer.curve[-1]['mae']:.5f}"
                )
    facts = {
        "network": "ValueNetwork",
        "features": network.features,
        "scale": network.scale,
        "kind": kind,
        "instances": instances,
        "sizes": [smallest, largest],
        "correlations": correlations,
        "seed": seed,
        "steps": steps,
        "curve": trainer.curve,
    }
    write_weights(folder / f"neur2ro_{kind}.safetensors", trainer.average, facts)
    print(folder / f"neur2ro_{kind}.safetensors")


def _labels(folder: Path, instances: int, settings: dict, workers: int, progress) -> Labels:  # type: ignore[no-untyped-def, type-arg]
    """The labels, chunk by chunk; a chunk that is in the folder is not made again."""
    import numpy as np
    from safetensors.numpy import load_file, save_file

    from designopt.search.robust.labels import Labels, make_labels

    folder.mkdir(parents=True, exist_ok=True)
    firsts = range(0, instances, CHUNK)
    bar = progress.add_task("label", total=len(firsts))
    files = [folder / f"labels-{first:06d}.safetensors" for first in firsts]

    def make(first: int) -> dict[str, np.ndarray]:
        made = make_labels(min(CHUNK, instances - first), first=first, **settings)
        return {part: getattr(made, part) for part in PARTS}

    missing = [(first, file) for first, file in zip(firsts, files, strict=True) if not file.exists()]
    progress.update(bar, completed=len(firsts) - len(missing))
    for file, chunk in _map(make, missing, workers):
        part = file.with_suffix(".part")
        save_file(chunk, part)
        part.replace(file)
        progress.advance(bar)
    chunks = [load_file(file) for file in files]
    return Labels(**{part: np.concatenate([chunk[part] for chunk in chunks]) for part in PARTS})


def _map(make, missing, workers: int):  # type: ignore[no-untyped-def]
    """Pairs of file and labels as they come: here, or on Ray with so many tasks at once."""
    if workers == 1:
        for first, file in missing:
            yield file, make(first)
        return
    import ray

    started_here = not ray.is_initialized()
    if started_here:
        ray.init(num_cpus=workers, include_dashboard=False, log_to_driver=False)
    task = ray.remote(num_cpus=1)(make)
    running = {task.remote(first): file for first, file in missing}
    while running:
        (done,), _ = ray.wait(list(running), num_returns=1)
        yield running.pop(done), ray.get(done)
    if started_here:
        ray.shutdown()


def _error(network: ValueNetwork, test: dict[str, Tensor], kind: str) -> float:
    """Mean absolute error on the held-out instances, in units of the instance's scale."""
    import torch

    with torch.no_grad():
        predicted = network(test["X"], test["Xi"], test["features"], test["count"])
        return float((predicted - test[kind]).abs().mean())
