"""Differentiable searches on spaces whose truth is known: regret, rank and cost, beside baselines at equal CPU time.

    python benchmarks/nas.py --seconds 500        # goes on from docs/benchmarks/nas.jsonl; run it until it is complete
    python benchmarks/nas.py --summary            # docs/benchmarks/nas.md

Truth is the mean test accuracy of cells trained alone; no search ever sees it. Black-box searches look up validation
accuracies of one training and pay the CPU seconds that the training took; they have what second-order DARTS took on
the same task and seed.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

import designopt as do
from designopt.envs.nas.mini_nas import MiniNAS, canonical, load_table
from designopt.launch import make_searcher
from designopt.search.nas.differentiable import DifferentiableSearch
from designopt.search.nas.problem import SupernetLosses

HERE = Path(__file__).parents[1] / "docs" / "benchmarks"
RECORD, PAGE = HERE / "nas.jsonl", HERE / "nas.md"
SEEDS = 10
TASKS: dict[str, dict[str, Any]] = {
    "digits": {},
    "mnist1d": {"dataset": "mnist1d"},
    "mnist1d, cost": {"dataset": "mnist1d", "cost_weight": 50.0},
    "digits, wide": {"space": "wide"},
}
"""The cost takes about as much from the largest cell as good cells differ by."""
DIFFERENTIABLE: dict[str, tuple[str, dict[str, Any]]] = {
    "DARTS, 2nd order": ("darts", {"order": 2}),
    "DARTS, 1st order": ("darts", {"order": 1}),
    "DARTS, exact": ("darts", {"order": "exact"}),
    "DARTS, 1st, stopped": ("darts", {"order": 1, "eigenvalue": "stop"}),
    "RARTS": ("rarts", {}),
    "RARTS, fused": ("rarts", {"fused": True}),
    "sharpDARTS": ("sharpdarts", {}),
    "SD-DARTS": ("sd_darts", {}),
}
BLACK_BOX = {"random search": "random", "regularised evolution": "regularised_evolution", "tpe": "tpe"}
FREE = ("random cell", "most parameters")
CELLS = np.array(list(itertools.product(range(5), repeat=3)), dtype=float)


def judged(run: dict[str, Any]) -> dict[str, Any]:
    """A run with what its design, and its supernet's ranking, are worth by the truth; done last, for tables grow."""
    from scipy.stats import kendalltau

    env = MiniNAS(**TASKS[run["task"]])
    truths, own = env.truth(CELLS), float(env.truth(np.array([run["design"]]))[0])
    distinct = {canonical(tuple(c.astype(int))): t for c, t in zip(CELLS, truths, strict=True)}
    better = sum(value > own + 1e-9 for value in distinct.values())
    tau = {"tau": float(kendalltau(run["scores"], truths).statistic)} if "scores" in run else {}
    return run | tau | {"regret": float(truths.max()) - own, "rank": 1 + int(better), "of": len(distinct)}


def differentiable(env: MiniNAS, name: str, seed: int, epochs: int) -> dict[str, Any]:
    """One search by gradients."""
    backend, settings = DIFFERENTIABLE[name]
    search = make_searcher(env, backend, seed=seed, device="cpu", epochs=epochs, **settings)
    assert isinstance(search, DifferentiableSearch)
    started = time.process_time()
    design = search.search()
    cpu, last = time.process_time() - started, search.trace[-1]
    import torch

    losses = search.losses
    assert isinstance(losses, SupernetLosses)
    hard = [{n: torch.as_tensor(m, dtype=losses.dtype) for n, m in env.mixture_of(c).items()} for c in CELLS]
    scores = [losses.accuracy(search.w, mixture, losses.validation) for mixture in hard]
    own = {n: torch.as_tensor(m, dtype=losses.dtype) for n, m in env.mixture_of(design).items()}
    return {
        "design": design.tolist(),
        "cpu_seconds": cpu,
        "gradients": search.gradient_evaluations,
        "skip": float((design == 1).mean()),
        "scores": [round(score, 4) for score in scores],
        "entropy": last["entropy"],
        "moved": last["moved"],
        "supernet_accuracy": last["validation_accuracy"],
        "inherited_accuracy": losses.accuracy(search.w, own, losses.validation),
        "epochs": search.epoch,
    }


def black_box(env: MiniNAS, name: str, seed: int, cpu_seconds: float) -> dict[str, Any]:
    """One search by look-ups that cost what the trainings took."""
    seconds = np.mean([runs[0][2] for runs in load_table(env.dataset, env.space_name).values()])
    budget = max(int(cpu_seconds / seconds), 1)
    result = do.optimize(env, search=BLACK_BOX[name], budget=budget, seed=seed)
    assert result.best_row is not None
    design = result.designs[result.best_row]
    return {"design": design.tolist(), "cpu_seconds": budget * float(seconds), "evaluations": budget}


def run(task: str, method: str, seed: int, epochs: int, record: list[dict[str, Any]]) -> dict[str, Any]:
    env = MiniNAS(**TASKS[task])
    if method in DIFFERENTIABLE:
        found = differentiable(env, method, seed, epochs)
    elif method in BLACK_BOX:
        (paid,) = [r for r in record if (r["task"], r["method"], r["seed"]) == (task, next(iter(DIFFERENTIABLE)), seed)]
        found = black_box(env, method, seed, paid["cpu_seconds"])
    elif method == "random cell":
        found = {"design": env.design_space.sample(1, seed)[0].tolist(), "cpu_seconds": 0.0}
    else:
        found = {"design": CELLS[env.parameters(CELLS).argmax()].tolist(), "cpu_seconds": 0.0}
    return {"task": task, "method": method, "seed": seed, "search_epochs": epochs} | found


def interval(values: np.ndarray) -> tuple[float, float]:
    """95 % bootstrap interval of the mean."""
    draws = np.random.default_rng(0).choice(values, (4000, len(values))).mean(axis=1)
    return float(np.quantile(draws, 0.025)), float(np.quantile(draws, 0.975))


def summary(record: list[dict[str, Any]]) -> str:
    """The page."""
    lines = ["# Architecture search by gradients, against a known truth", ""]
    lines += [
        "Made by `benchmarks/nas.py --summary`. Regret: best mean test accuracy of the space less that of the cell"
    ]
    lines += [
        "found, in percent points, with a 95 % bootstrap interval of the mean over seeds. Rank among the distinct"
    ]
    lines += ["cells, median. Tau: Kendall's, of the supernet's accuracies of all 125 cells with their truth."]
    reference = next(iter(DIFFERENTIABLE))
    for task in TASKS:
        rows = [judged(r) for r in record if r["task"] == task]
        if not rows:
            continue
        lines += ["", f"## {task}", "", "| method | seeds | regret | rank | tau | CPU s | gradients | skip |"]
        lines += ["|---|---|---|---|---|---|---|---|"]
        for method in (*DIFFERENTIABLE, *BLACK_BOX, *FREE):
            mine = [r for r in rows if r["method"] == method]
            if not mine:
                continue
            regret = np.array([r["regret"] for r in mine])
            low, high = interval(regret)

            def mean(key: str, digits: int, mine: list[dict[str, Any]] = mine) -> str:
                return f"{np.mean([r[key] for r in mine]):.{digits}f}" if key in mine[0] else "-"

            rank = f"{np.median([r['rank'] for r in mine]):.0f} of {mine[0]['of']}"
            lines.append(
                f"| {method} | {len(mine)} | {regret.mean():.2f} [{low:.2f}, {high:.2f}] | {rank} | {mean('tau', 2)} | "
                f"{mean('cpu_seconds', 1)} | {mean('gradients', 0)} | {mean('skip', 2)} |"
            )
        by = {m: {r["seed"]: r for r in rows if r["method"] == m} for m in (reference, "RARTS", "RARTS, fused")}
        for method in ("RARTS", "RARTS, fused"):
            seeds = sorted(by[reference].keys() & by[method].keys())
            if not seeds:
                continue
            cost = np.mean([by[method][s]["cpu_seconds"] / by[reference][s]["cpu_seconds"] for s in seeds])
            worse = np.array([by[method][s]["regret"] - by[reference][s]["regret"] for s in seeds])
            low, high = interval(worse)
            lines += [
                "",
                f"{method} against second-order DARTS, {len(seeds)} seeds: {100 * cost:.0f} % of the CPU time;",
            ]
            lines += [f"regret differs by {worse.mean():+.2f} [{low:+.2f}, {high:+.2f}] points (paired)."]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=500.0, help="start no run after so long")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--epochs", type=int, default=30, help="of a search")
    parser.add_argument("--tasks", nargs="*", default=list(TASKS))
    parser.add_argument("--methods", nargs="*", help="only these")
    parser.add_argument("--summary", action="store_true", help="only write the page")
    arguments = parser.parse_args()
    record = [json.loads(line) for line in RECORD.read_text().splitlines()] if RECORD.exists() else []
    done = {(r["task"], r["method"], r["seed"]) for r in record}
    known = set(do.backends())
    methods = [m for m, (backend, _) in DIFFERENTIABLE.items() if backend in known]
    methods += [m for m, backend in BLACK_BOX.items() if backend in known] + list(FREE)
    methods = [m for m in methods if not arguments.methods or m in arguments.methods]
    end = time.monotonic() + (0 if arguments.summary else arguments.seconds)
    every = itertools.product(range(arguments.seeds), arguments.tasks, methods)
    open_runs = [(t, m, s) for s, t, m in every if (t, m, s) not in done]
    for i, (task, method, seed) in enumerate(open_runs):
        if time.monotonic() >= end:
            print(f"{len(open_runs) - i} of {len(open_runs)} runs to go")
            break
        record.append(run(task, method, seed, arguments.epochs, record))
        with RECORD.open("a") as out:
            out.write(json.dumps(record[-1]) + "\n")
    PAGE.write_text(summary(record))


if __name__ == "__main__":
    main()
