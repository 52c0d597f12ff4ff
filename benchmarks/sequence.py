"""Few good designs, far from many bad ones: ten searches at the corners of the (separation x rho) grid.

    OMP_NUM_THREADS=1 python benchmarks/sequence.py [--plan FILE.toml ...] [--page]

Needs the data sets protein/gb1_wu2016.csv.gz, phoq_podgornaia2015.csv.gz and aav_bryant2021_len28.csv.gz
(``designopt data list``). Runs the studies of benchmarks/sequence*.toml one after another in this process, those of
seed 0 first, and writes docs/benchmarks/sequence.md and .png from docs/benchmarks/sequence.jsonl, one row a study.
Resumable: a study goes on from its store, also when ``designopt sweep FILE.toml`` began it (its CPU seconds are then
unknown). ``--page``: write the page only.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

import designopt as do
from designopt.env import DesignEnv
from designopt.launch import make_searcher
from designopt.parameters import Array
from designopt.result import Result
from designopt.store import Store
from designopt.study import Study
from designopt.sweep.plan import Planned, read_plan
from designopt.sweep.run import enter

HERE = Path(__file__).parent
PLANS = [HERE / f"{name}.toml" for name in ("sequence_mixture", "sequence", "sequence_aav", "sequence_poisson")]
ROWS = HERE.parent / "docs" / "benchmarks" / "sequence.jsonl"
QUANTILES = (0.5, 0.7, 0.9, 1.0)


def main() -> None:
    """Run what is not stored, then write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--plan", type=Path, nargs="+", default=PLANS, help="sweep files to run, default: all")
    parser.add_argument("--page", action="store_true", help="only write the page")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if not arguments.page:
        warm_up()
        for file in arguments.plan:
            run(file)


def warm_up() -> None:
    """What is imported or compiled once is no search's CPU time."""
    env = do.make("designopt/GaussianMixture-v0", separation=0, imbalance=0.05)
    for name in ("pgvae", "cbas", "weighted_retraining"):
        do.optimize(env, name, budget=8, batch=4, epochs=1)
    for name in ("adalead", "pex"):
        do.optimize(env, name, budget=8, batch=4, trees=2, model_calls=100)
    for name in ("random", "ga"):
        do.optimize(env, name, budget=8, batch=4)


def stored() -> list[dict[str, Any]]:
    """Rows measured so far."""
    return [json.loads(line) for line in ROWS.read_text().splitlines()] if ROWS.exists() else []


def run(file: Path) -> None:
    """Run the studies of a sweep file that have no row yet."""
    plan = read_plan(file)
    waiting = {study.run_id for study in enter(plan)[0]}
    done = {row["run_id"] for row in stored()}
    with Store(plan.store) as store:
        for study in sorted(plan.studies, key=lambda s: s.info.seed):
            if study.run_id in done:
                continue
            env, info = plan.envs[study.env], study.info
            cpu = None
            begun = store.load(study.run_id)
            if study.run_id in waiting:
                started = time.process_time()
                searcher = make_searcher(env, info.backend, seed=info.seed, **info.hyperparameters)
                budget, batch = info.budget or 0, info.batch
                result = Study(env, searcher, budget=budget, batch=batch, store=store, resumed=begun).run()
                cpu = None if len(begun.orders) else round(time.process_time() - started, 2)
            else:
                result = Result.from_run(begun)
            row = measured(study, env, result) | {"cpu_seconds": cpu}
            with ROWS.open("a") as out:
                out.write(json.dumps(row) + "\n")
            print(f"{study.run_id:50s} {row['rounds'][-1][-1] - row['rounds'][0][-1]:8.4f} {cpu} s", flush=True)


def measured(study: Planned, env: DesignEnv, result: Result) -> dict[str, Any]:
    """The row of a finished study: rounds, what was known before each of them and after the last; steps of the best."""
    known, told = env.offline_data()  # type: ignore[attr-defined]
    designs = np.concatenate([env.design_space.validate(known), result.designs])
    values = np.concatenate([told.objectives[:, 0], result.evaluation.objectives[:, 0]])
    batch, n = study.info.batch or 1, len(result.designs)
    best = np.maximum.accumulate(np.append(told.objectives.max(), result.evaluation.objectives[:, 0]))
    steps = [0, *(np.flatnonzero(np.diff(best)) + 1).tolist()]
    return {
        "run_id": study.run_id,
        "env": study.info.env,
        "separation": study.info.env_arguments["separation"],
        "imbalance": study.info.env_arguments["imbalance"],
        "search": study.info.backend,
        "seed": study.info.seed,
        "calls": n,
        "distinct": len(np.unique(result.designs, axis=0)),
        "unique": [len(np.unique(result.designs[i : i + batch], axis=0)) / batch for i in range(0, n, batch)],
        "rounds": [quantiles(designs[:m], values[:m]) for m in range(len(known), len(values) + 1, batch)],
        "steps": [[i, round(float(best[i]), 6)] for i in steps],
    }


def quantiles(designs: Array, values: Array) -> list[float]:
    """(n, d) designs and (n,) values -> quantiles of the values of distinct designs."""
    first = np.unique(designs, axis=0, return_index=True)[1]
    return [round(float(q), 6) for q in np.quantile(values[first], QUANTILES)]


if __name__ == "__main__":
    main()
