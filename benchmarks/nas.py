"""Differentiable searches on spaces whose truth is known: regret, rank and cost, beside baselines at equal CPU time.

    python benchmarks/nas.py --seconds 500        # goes on from docs/benchmarks/nas.jsonl; run it until it is complete
    python benchmarks/nas.py --summary            # docs/benchmarks/nas.md

Truth is the mean test accuracy of cells trained alone; no search ever sees it. Black-box searches look up validation
accuracies of one training and pay the CPU seconds that the training took; they have what second-order DARTS took on
the same task and seed. Every seed has all tasks and methods before the next begins.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import time
import warnings
from typing import Any, NamedTuple

import nas_page
import numpy as np
import torch

import designopt as do
from designopt.envs.nas.mini_nas import MiniNAS, load_table
from designopt.launch import make_searcher
from designopt.nas import SearchData
from designopt.search.nas.differentiable import DifferentiableSearch
from designopt.search.nas.problem import SupernetLosses, Tensors
from designopt.surrogates.device import one_thread
from designopt.surrogates.zero_cost import SCORES, zero_cost_scores

SEEDS = 10
TASKS: dict[str, dict[str, Any]] = {
    "digits": {},
    "mnist1d": {"dataset": "mnist1d"},
    "mnist1d, cost": {"dataset": "mnist1d", "cost_weight": 50.0},
    "digits, wide": {"space": "wide"},
}
"""The cost takes about as much from the largest cell as good cells differ by."""
EPOCHS = {"digits": 20, "mnist1d": 6}
"""Of a search; 140 and 138 steps. Fewer than the 50 of [Liu2019] so that all methods fit; ``long`` has 50 and 15."""
LAST_CHANCE = 15
"""Epochs before which the eigenvalue cannot stop a search."""


class Variant(NamedTuple):
    """A differentiable search, and how many times the epochs it has."""

    backend: str
    settings: dict[str, Any]
    times: float = 1.0
    shuffled: bool = False


REFERENCE = "DARTS, 2nd order"
DIFFERENTIABLE: dict[str, Variant] = {
    REFERENCE: Variant("darts", {"order": 2}),
    "DARTS, 1st order": Variant("darts", {"order": 1}),
    "RARTS": Variant("rarts", {}),
    "SD-DARTS": Variant("sd_darts", {"start_epoch": 2}),
    "sharpDARTS": Variant("sharpdarts", {}),
    "DARTS, 1st, stopped": Variant("darts", {"order": 1, "eigenvalue": "stop"}),
    "DARTS, 1st, long": Variant("darts", {"order": 1}, 2.5),
    "RARTS, long": Variant("rarts", {}, 2.5),
    "RARTS, newest": Variant("rarts", {"fused": False}),
    "DARTS, exact": Variant("darts", {"order": "exact"}),
    "DARTS, 1st, shuffled": Variant("darts", {"order": 1}, shuffled=True),
}
BLACK_BOX: dict[str, dict[str, Any]] = {
    "random search": {"search": "random"},
    "regularised evolution": {"search": "regularised_evolution", "population": 5, "sample": 3},
    "tpe": {"search": "tpe"},
}
SHARED = "weight-sharing random"
PATHS = 10
"""Steps of ``SHARED`` for one of a search by gradients; a single path costs a fraction."""
FREE = ("random cell", "most parameters", *SCORES)
METHODS = (*DIFFERENTIABLE, SHARED, *BLACK_BOX, *FREE)
CELLS = np.array(list(itertools.product(range(5), repeat=3)), dtype=float)


class Shuffled(MiniNAS):
    """Labels that have nothing to do with the inputs: no search can find a difference."""

    def search_data(self, seed: int = 0) -> SearchData:
        """As of MiniNAS, labels permuted."""
        data, rng = super().search_data(seed), torch.Generator().manual_seed(seed)
        train, validation = (
            y[torch.randperm(len(y), generator=rng)] for y in (data.train_labels, data.validation_labels)
        )
        return dataclasses.replace(data, train_labels=train, validation_labels=validation)


def one_shot(env: MiniNAS, losses: SupernetLosses, weights: Tensors) -> list[float]:
    """Validation accuracy of all cells with the weights of a supernet, statistics of that set."""
    hard = [{n: torch.as_tensor(m, dtype=losses.dtype) for n, m in env.mixture_of(c).items()} for c in CELLS]
    return [round(losses.accuracy(weights, mixture, losses.validation), 4) for mixture in hard]


def sharpness(search: DifferentiableSearch, radius: float = 0.05) -> float:
    """Rise of the training loss over the steepest step of that length in the weights (one step of SAM)."""
    losses = search.losses
    assert isinstance(losses, SupernetLosses)
    mixture = {n: m.detach() for n, m in search.mixture(search.alpha).items()}
    loss = losses.train_loss(search.w, mixture, losses.train)
    slope = torch.autograd.grad(loss, list(search.w.values()), materialize_grads=True)
    length = torch.sqrt(torch.stack([(g**2).sum() for g in slope]).sum())
    with torch.no_grad():
        there = {n: v + radius * g / length for (n, v), g in zip(search.w.items(), slope, strict=True)}
        return float(losses.train_loss(there, mixture, losses.train) - loss)


def differentiable(env: MiniNAS, variant: Variant, seed: int) -> dict[str, Any]:
    """One search by gradients; what is measured of it afterwards costs it nothing."""
    epochs = round(EPOCHS[env.dataset] * variant.times)
    search = make_searcher(env, variant.backend, seed=seed, device="cpu", epochs=epochs, **variant.settings)
    assert isinstance(search, DifferentiableSearch)
    started = time.process_time()
    design = search.search()
    cpu, last, losses = time.process_time() - started, search.trace[-1], search.losses
    assert isinstance(losses, SupernetLosses)
    scores = one_shot(env, losses, search.w)
    inherited = scores[int(np.flatnonzero((design == CELLS).all(axis=1))[0])]
    return {
        "design": design.tolist(),
        "cpu_seconds": cpu,
        "gradients": search.gradient_evaluations,
        "skip": float((design == 1).mean()),
        "entropy": last["entropy"],
        "moved": last["moved"],
        "eigenvalue": search.eigenvalue(),
        "sharpness": sharpness(search),
        "gap": 100 * (last["validation_accuracy"] - inherited),
        "epochs": search.epoch,
        "path": [[round(r["cpu_seconds"], 2), "".join(str(int(v)) for v in r["design"])] for r in search.trace],
        "scores": scores,
    }


@one_thread
def weight_sharing(env: MiniNAS, seed: int) -> dict[str, Any]:
    """Train the supernet along random cells, one a step, then take the cell that is best with its weights."""
    losses = SupernetLosses(env, seed, torch.device("cpu"))
    weights = {n: v.requires_grad_() for n, v in losses.start()[1].items()}
    optimiser, rng = (
        torch.optim.SGD(weights.values(), 0.025, momentum=0.9, weight_decay=3e-4),
        np.random.default_rng(seed),
    )
    epochs, started, steps = PATHS * EPOCHS[env.dataset], time.process_time(), 0
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, epochs, eta_min=1e-3)
    for epoch in range(epochs):
        for train, _ in losses.batches(epoch, 64):
            mixture = env.mixture_of(CELLS[rng.integers(len(CELLS))])
            loss = losses.train_loss(weights, {n: torch.as_tensor(m).float() for n, m in mixture.items()}, train)
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(weights.values(), 5.0)
            optimiser.step()
            steps += 1
        schedule.step()
    scores = one_shot(env, losses, weights)
    design = CELLS[int(np.argmax(np.array(scores) - env.cost_weight * env.macs(CELLS) / 1e8))]
    cpu = time.process_time() - started
    return {"design": design.tolist(), "cpu_seconds": cpu, "gradients": steps, "scores": scores}


def black_box(env: MiniNAS, settings: dict[str, Any], seed: int, cpu_seconds: float) -> dict[str, Any]:
    """One search by look-ups that cost what the trainings took."""
    seconds = np.mean([runs[0][2] for runs in load_table(env.dataset, env.space_name).values()])
    budget = max(int(cpu_seconds / seconds), 1)
    result = do.optimize(env, budget=budget, seed=seed, **settings)
    assert result.best_row is not None
    design = result.designs[result.best_row]
    return {"design": design.tolist(), "cpu_seconds": budget * float(seconds), "evaluations": budget}


def free(env: MiniNAS, name: str, seed: int) -> dict[str, Any]:
    """A choice without any training."""
    if name == "random cell":
        return {"design": env.design_space.sample(1, seed)[0].tolist(), "cpu_seconds": 0.0}
    started = time.process_time()
    scores = env.parameters(CELLS) if name == "most parameters" else zero_cost_scores(env, CELLS, name, seed=seed)
    cpu, low = time.process_time() - started, float(scores[np.isfinite(scores)].min()) - 1
    ranked = [float(f"{s:.6g}") for s in np.where(np.isfinite(scores), scores, low)]  # JSON has no infinity
    return {"design": CELLS[scores.argmax()].tolist(), "cpu_seconds": cpu, "scores": ranked}


def run(task: str, method: str, seed: int, record: list[dict[str, Any]]) -> dict[str, Any]:
    env = MiniNAS(**TASKS[task])
    if method in DIFFERENTIABLE:
        variant = DIFFERENTIABLE[method]
        found = differentiable(Shuffled(**TASKS[task]) if variant.shuffled else env, variant, seed)
    elif method == SHARED:
        found = weight_sharing(env, seed)
    elif method in BLACK_BOX:
        (paid,) = [r for r in record if (r["task"], r["method"], r["seed"]) == (task, REFERENCE, seed)]
        found = black_box(env, BLACK_BOX[method], seed, paid["cpu_seconds"])
    else:
        found = free(env, method, seed)
    return {"task": task, "method": method, "seed": seed} | found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=500.0, help="start no run after so long")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="up to this one")
    parser.add_argument("--first", type=int, default=0, help="from this one; several processes may share a record")
    parser.add_argument("--tasks", nargs="*", default=list(TASKS))
    parser.add_argument("--methods", nargs="*", default=list(METHODS))
    parser.add_argument("--summary", action="store_true", help="only write the page")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore", message="order = 2 takes a finite difference")
    record = nas_page.read()
    done = {(r["task"], r["method"], r["seed"]) for r in record}
    end = time.monotonic() + arguments.seconds
    every = itertools.product(range(arguments.first, arguments.seeds), arguments.tasks, arguments.methods)
    todo = [(t, m, s) for s, t, m in every if (t, m, s) not in done]
    todo = [r for r in todo if r[1] != "DARTS, 1st, stopped" or EPOCHS[MiniNAS(**TASKS[r[0]]).dataset] >= LAST_CHANCE]
    for i, (task, method, seed) in enumerate(todo):
        if arguments.summary:
            break
        if time.monotonic() >= end:
            print(f"{len(todo) - i} of {len(todo)} runs to go")
            break
        record.append(run(task, method, seed, record))
        nas_page.append(record[-1])
    if arguments.summary:
        nas_page.write(record, TASKS, METHODS, REFERENCE)


if __name__ == "__main__":
    main()
