"""White-box robust searches on published two-stage robust knapsacks, against the best values published.

    OMP_NUM_THREADS=1 python benchmarks/robust.py [--per-group 3] [--arms ...]

Needs the data sets robust/kp_instances.zip and robust/kp_best_known.csv (``designopt data list``). A fixed stratified
sample: per correlation and size the first ``--per-group`` instances of a shuffle with seed 0. Every value is certified
by the exact evaluator. Resumable: rows go to docs/benchmarks/robust.jsonl as they are measured, one a (arm, instance);
tables are written to docs/benchmarks/robust.md.
"""

import argparse
import csv
import io
import json
import tempfile
import time
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd

import designopt as do
from designopt import data
from designopt.provenance import versions

DOCS = Path(__file__).parents[1] / "docs" / "benchmarks"
ROWS = DOCS / "robust.jsonl"
ARMS = {
    "relaxed_recourse": ("relaxed_recourse", {}),
    "neur2ro": ("neur2ro", {}),
    "neur2ro, residual, polished": ("neur2ro", {"residual": True, "polish": True}),
    "static_robust": ("static_robust", {"main_seconds": 5.0}),
    "nominal": ("nominal", {"main_seconds": 5.0}),
    "robust_local": ("robust_local", {}),
    "price_and_branch": ("price_and_branch", {"root_seconds": 6.0, "main_seconds": 3.5}),
    "neur2ro, gradient adversary": ("neur2ro", {"adversary": "gradient"}),
    "neur2ro, sampling adversary": ("neur2ro", {"adversary": "sampling"}),
    "k_adaptability": ("k_adaptability", {"main_seconds": 9.0}),
}
SECONDS = 30.0  # of a row that does not say


def sample(per_group):
    """Rows of the table of known values, the same ones first whatever ``per_group``."""
    rows = list(csv.DictReader(io.StringIO(data.find("robust/kp_best_known.csv").read_text())))
    order = np.random.default_rng(0).permutation(len(rows))
    groups = {}
    for i in order:
        groups.setdefault((rows[i]["corr"], rows[i]["n"]), []).append(rows[i])
    return [group[j] for j in range(per_group) for _, group in sorted(groups.items()) if j < len(group)]


def measure(arm, row, path, seconds):
    backend, settings = ARMS[arm]
    env = do.make("designopt/RobustKnapsack-v0", instance=str(path))
    wall, cpu = time.perf_counter(), time.process_time()
    result = do.optimize(env, search=backend, budget=10_000, seconds=seconds, seed=0, **settings)
    best = result.best_row
    return {
        "arm": arm,
        "seconds": seconds,
        "instance": row["instance"],
        "correlation": row["corr"],
        "n": int(row["n"]),
        "best_known": float(row["best_known"]),
        "proved": row["bp_optimal"] == "1",
        "published_neur2ro": float(row["neur2ro_obj"]),
        "published_branch_and_price": float(row["bp_obj"]),
        "value": result.best_value,
        "upper": float(result.evaluation.metrics["profit_upper"][best]),
        "bound": result.bound,
        "design": "".join(str(int(v)) for v in result.designs[best]),
        "evaluations": len(result.designs),
        "wall_seconds": time.perf_counter() - wall,
        "cpu_seconds": time.process_time() - cpu,
    }


def run(arms, per_group, seconds):
    done = {(r["arm"], r["seconds"], r["instance"]) for r in stored()}
    with (
        tempfile.TemporaryDirectory() as folder,
        zipfile.ZipFile(data.find("robust/kp_instances.zip")) as archive,
        ROWS.open("a") as out,
    ):
        members = {Path(name).name: name for name in archive.namelist()}
        warm = do.make("designopt/RobustKnapsack-v0", n=20)
        warm.second_stage_values(np.ones((1, 20)), np.zeros((1, 20)))
        warm.worst_case(np.ones(20))  # kernels are compiled before anything is timed
        for row in sample(per_group):
            for arm in arms:
                if (arm, seconds, row["instance"]) in done:
                    continue
                path = Path(folder) / row["instance"]
                path.write_bytes(archive.read(members[row["instance"]]))
                measured = measure(arm, row, path, seconds)
                out.write(json.dumps(measured) + "\n")
                out.flush()
                print(f"{arm:30s} {row['instance']:45s} {measured['value']:.2f}", flush=True)


def stored():
    rows = [json.loads(line) for line in ROWS.read_text().splitlines()] if ROWS.exists() else []
    return [{"seconds": SECONDS} | row for row in rows]


def error(frame, value):
    return 100 * (frame.best_known - value) / frame.best_known


def table(frame):
    """One line an arm: relative errors, negative where the value beats every published one."""
    lines = [
        "| arm | instances | error mean % | median | quartiles | max | gap mean % | CPU s mean (max) | wall s mean |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for arm in [a for a in ARMS if a in set(frame.arm)]:
        part = frame[frame.arm == arm]
        e = error(part, part.value)
        gap = 100 * (part.bound - part.value) / part.value
        gaps = f"{gap.mean():.2f}" if part.bound.notna().all() else "-"
        quartiles = f"{e.quantile(0.25):.3f} to {e.quantile(0.75):.3f}"
        spent = f"{part.cpu_seconds.mean():.1f} ({part.cpu_seconds.max():.1f}) | {part.wall_seconds.mean():.1f}"
        errors = f"{e.mean():.3f} | {e.median():.3f} | {quartiles} | {e.max():.3f}"
        lines.append(f"| {arm} | {len(part)} | {errors} | {gaps} | {spent} |")
    one = frame.drop_duplicates("instance")
    for name, column in (
        ("published Neur2RO", "published_neur2ro"),
        ("branch-and-price, 3 h", "published_branch_and_price"),
    ):
        e = error(one, one[column])
        quartiles = f"{e.quantile(0.25):.3f} to {e.quantile(0.75):.3f}"
        lines.append(
            f"| *{name}* | {len(one)} | {e.mean():.3f} | {e.median():.3f} | {quartiles} | {e.max():.3f} | - | - | - |"
        )
    return "\n".join(lines)


def groups(frame, arms):
    lines = ["| group | " + " | ".join(f"{arm}, mean / max" for arm in arms) + " |", "|---" * (len(arms) + 1) + "|"]
    for column in ("correlation", "n"):
        for key in sorted(frame[column].unique()):
            cells = []
            for arm in arms:
                part = frame[(frame.arm == arm) & (frame[column] == key)]
                e = error(part, part.value)
                cells.append(f"{e.mean():.2f} / {e.max():.2f}" if len(part) else "-")
            lines.append(f"| {column} {key} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def amounts(frame):
    """How many instances each arm saw, as text."""
    return ", ".join(f"`{arm}` {sum(frame.arm == arm)}" for arm in ARMS if arm in set(frame.arm))


def records(frame):
    """Values above every published one, each with its certificate; best over the arms."""
    better = frame[frame.value > frame.best_known * (1 + 1e-5)]
    better = better.sort_values("value").drop_duplicates("instance", keep="last").sort_values("instance")
    bounds = frame.groupby("instance").bound.min()
    lines = ["| instance | best published | certified interval | bound | design |", "|---|---|---|---|---|"]
    for r in better.itertuples():
        bound = bounds.get(r.instance)
        limit = f"{bound:.2f}" if pd.notna(bound) else "-"
        lines.append(f"| {r.instance} | {r.best_known:.2f} | {r.value:.3f} to {r.upper:.3f} | {limit} | `{r.design}` |")
    return len(better), "\n".join(lines)


def write():
    frame = pd.DataFrame(stored())
    count, found = records(frame)
    exceeded = frame[frame.proved & (frame.value > frame.best_known * (1 + 1e-5))]
    libraries = versions()
    used = ", ".join(f"{name} {libraries[name]}" for name in ("python", "numpy", "torch") if name in libraries)
    text = f"""# Two-stage robust knapsack

Published instances, a fixed stratified sample; error = 100 (best known - value) / best known, so **negative is better
than every published value**. Values are the lower ends of certified intervals. Gap: 100 (bound - value) / value. At
most {SECONDS:.0f} s of wall time a run, seed 0, one thread; CPU seconds include everything but the compilation of
kernels. Training of the networks (docs/robust.md) is not included.

**What was run.** {amounts(frame)}; the whole sample has 84 instances, so arms differ in instances, and the
rows of published values are over all instances below. The arms not listed were not run. The machine was loaded more
than tenfold: a run got a small share of its wall time (compare CPU and wall seconds), and limits within the methods,
which are wall-clock, were hit early. The rows of `neur2ro` were measured with presolve on in all its programmes, which
did not end on the 27th instance; it is off there now.

Targets: `relaxed_recourse` mean at most -0.2 %, maximum at most 0.5 %, mean gap at most 0.5 %, within 10 CPU s;
`neur2ro` mean at most 1.0 %, maximum at most 6 %.

Command: `OMP_NUM_THREADS=1 python benchmarks/robust.py`; rows in [robust.jsonl](robust.jsonl). Versions: {used}.

{table(frame)}

Proved optima exceeded by a certified value: {len(exceeded)} (must be 0).

## By group

{groups(frame, [arm for arm in ("relaxed_recourse", "neur2ro", "static_robust") if arm in set(frame.arm)])}

## New best known values

{count} values of this sample are better than every published one.

{found}
"""
    (DOCS / "robust.md").write_text(text)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--per-group", type=int, default=3)
    parser.add_argument("--arms", nargs="*", default=list(ARMS), choices=list(ARMS))
    parser.add_argument("--seconds", type=float, default=SECONDS, help="wall time of a run")
    parser.add_argument("--tables-only", action="store_true")
    arguments = parser.parse_args()
    if not arguments.tables_only:
        run(arguments.arms, arguments.per_group, arguments.seconds)
    write()
