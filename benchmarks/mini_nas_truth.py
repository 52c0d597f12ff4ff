"""Make the truth tables of MiniNAS: every distinct cell trained with 3 seeds, the best 20 with 5.

    python benchmarks/mini_nas_truth.py --dataset mnist1d --seconds 500

Goes on from the rows that are in the table; run it again until it says that it is complete.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import time
from pathlib import Path

import numpy as np
import torch

from designopt.envs.nas.mini_nas import MiniNAS, canonical
from designopt.envs.nas.mini_training import trained

TABLES = Path(__file__).parents[1] / "envs" / "nas" / "tables"
SEEDS, SEEDS_OF_THE_BEST, BEST = 3, 5, 20
HEADER = ("code", "seed", "validation", "acc", "seconds", "params")


def wanted(rows: list[list[str]]) -> list[tuple[str, int]]:
    """Trainings that are missing: first 3 seeds of all, then 5 of those that are best by their mean."""
    codes = sorted({"".join(map(str, canonical(c))) for c in itertools.product(range(5), repeat=3)})
    done = {(row[0], int(row[1])) for row in rows}
    missing = [(c, s) for s in range(SEEDS) for c in codes if (c, s) not in done]
    if missing:
        return missing
    means = {c: np.mean([float(r[3]) for r in rows if r[0] == c and int(r[1]) < SEEDS]) for c in codes}
    best = sorted(codes, key=lambda c: -means[c])[:BEST]
    return [(c, s) for c in best for s in range(SEEDS, SEEDS_OF_THE_BEST) if (c, s) not in done]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", default="digits")
    parser.add_argument("--space", default="plain")
    parser.add_argument("--seconds", type=float, default=500.0, help="stop after so long")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    env = MiniNAS(arguments.dataset, arguments.space, train=True)
    file = TABLES / f"mini_{arguments.dataset}_{arguments.space}.csv"
    rows = list(csv.reader(file.open()))[1:] if file.exists() else []
    end = time.monotonic() + arguments.seconds
    while todo := wanted(rows):
        if time.monotonic() > end:
            print(f"{len(rows)} trainings in {file.name}, at least {len(todo)} to go")
            return
        code, seed = todo[0]
        run = trained(arguments.dataset, arguments.space, tuple(map(int, code)), seed)
        params = env.parameters(np.array([list(map(int, code))], dtype=float))[0]
        rows.append(
            [code, str(seed), f"{run.validation:.2f}", f"{run.test:.2f}", f"{run.seconds:.2f}", f"{params:.0f}"]
        )
        with file.open("w", newline="") as out:
            csv.writer(out, lineterminator="\n").writerows([HEADER, *sorted(rows)])
    print(f"{file.name} is complete: {len(rows)} trainings")


if __name__ == "__main__":
    main()
