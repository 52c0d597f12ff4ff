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
SECONDS = 30.0
# Wall seconds of labels and training, by backend and by ``residual``: time stamps of the shipped networks' files.
PREPARATION = {"neur2ro": 2040.0, True: 2160.0}


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
    return [json.loads(line) for line in ROWS.read_text().splitlines()] if ROWS.exists() else []


def error(frame, value):
    return 100 * (frame.best_known - value) / frame.best_known


def table(frame):
    """One line an arm and time limit: relative errors, negative where the value beats every published one."""
    lines = [
        "| arm | limit s | instances | error mean % | median | quartiles | max | gap mean % (max) | CPU s mean (max) "
        "| wall s mean | with preparation |",
        "|---" * 11 + "|",
    ]
    for (arm, seconds), part in by_arm(frame):
        e = error(part, part.value)
        gap = 100 * (part.bound - part.value) / part.value
        gaps = f"{gap.mean():.2f} ({gap.max():.2f})" if part.bound.notna().all() else "-"
        spent = f"{part.cpu_seconds.mean():.1f} ({part.cpu_seconds.max():.1f}) | {part.wall_seconds.mean():.1f}"
        wall = part.wall_seconds.mean() + PREPARATION.get(ARMS[arm][1].get("residual", ARMS[arm][0]), 0.0)
        lines.append(f"| {arm} | {seconds:.0f} | {len(part)} | {spread(e)} | {gaps} | {spent} | {wall:.0f} |")
    one = frame.drop_duplicates("instance")
    for name, column in (
        ("published Neur2RO", "published_neur2ro"),
        ("branch-and-price, 3 h", "published_branch_and_price"),
    ):
        lines.append(f"| *{name}* | - | {len(one)} | {spread(error(one, one[column]))} | - | - | - | - |")
    return "\n".join(lines)


def spread(e):
    """Mean, median, quartiles and maximum of errors, as cells."""
    quartiles = f"{e.quantile(0.25):.3f} to {e.quantile(0.75):.3f}"
    return f"{e.mean():.3f} | {e.median():.3f} | {quartiles} | {e.max():.3f}"


def by_arm(frame):
    """Rows of every arm and time limit, arms in their order."""
    for arm in [arm for arm in ARMS if arm in set(frame.arm)]:
        for seconds, part in frame[frame.arm == arm].groupby("seconds"):
            yield (arm, seconds), part


def shared(frame, one, other):
    """Both arms' errors on the instances that both saw."""
    sides = []
    for arm, seconds in (one, other):
        part = frame[(frame.arm == arm) & (frame.seconds == seconds)].set_index("instance")
        sides.append(error(part, part.value))
    return pd.concat(sides, axis=1, join="inner", keys=["one", "other"])


def groups(frame, arms):
    """Errors of arms with their time limits, by correlation, by size and by both."""
    head = " | ".join(f"{arm}, {seconds:.0f} s" for arm, seconds in arms)
    lines = [f"| group | {head} |", "|---" * (len(arms) + 1) + "|"]
    for columns in (["correlation"], ["n"], ["correlation", "n"]):
        for key, rows in frame.groupby(columns):
            cells = []
            for arm, seconds in arms:
                part = rows[(rows.arm == arm) & (rows.seconds == seconds)]
                e = error(part, part.value)
                low, middle, high = e.quantile([0.25, 0.5, 0.75]) if len(part) else (0, 0, 0)
                cells.append(
                    f"{e.mean():.2f}, {middle:.2f} ({low:.2f} to {high:.2f}), {e.max():.2f}" if len(part) else "-"
                )
            lines.append(f"| {' '.join(map(str, key))} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


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
    pair = shared(frame, ("neur2ro, residual, polished", 10.0), ("relaxed_recourse", 10.0))
    worse, better = int((pair.one > pair.other + 1e-3).sum()), int((pair.one < pair.other - 1e-3).sum())
    text = f"""# Two-stage robust knapsack

Published instances, a fixed stratified sample of 84, three per correlation and size; arms with 28 saw the first of
every three. Error = 100 (best known - value) / best known, so **negative is better than every published value**.
Values are the lower ends of certified intervals. Gap: 100 (bound - value) / value. The limit is wall time of a run;
seed 0, one thread; CPU seconds include everything but the compilation of kernels. Other jobs ran on the machine: where
CPU seconds are fewer than wall seconds, the rest of the time went to them.

Preparation is labels and training of the shipped networks (docs/robust.md), {PREPARATION["neur2ro"] / 60:.0f} minutes
of wall time for the value network and {PREPARATION[True] / 60:.0f} for the residual one, on a loaded machine with one
worker. It is paid once, whatever the number of instances; the last column is as if it were for one run.

Targets: `relaxed_recourse` mean at most -0.2 %, maximum at most 0.5 %, mean gap at most 0.5 %, within 10 CPU s;
`neur2ro` mean at most 1.0 %, maximum at most 6 % at 30 s; residual and polished no worse than `relaxed_recourse` at
equal time. `neur2ro` solves the published main problem, but by programmes and descents in turn and within a radius of
the incumbent ([how](../robust.md#neur2ro)); programmes alone, as published, had a mean of 1.75 % and a maximum of 6.9 %
on 26 of these instances in an earlier run of 30 s on a loaded machine, which is not among the rows. Not run: `neur2ro`
on all 336 instances (168 minutes), a limit of 120 s, and the arms that the table does not have.

Command: `OMP_NUM_THREADS=1 python benchmarks/robust.py --arms ARM --seconds LIMIT --per-group 1 or 3`; rows in
[robust.jsonl](robust.jsonl). Versions: {used}.

{table(frame)}

Proved optima exceeded by a certified value: {len(exceeded)} (must be 0).

Residual and polished against `relaxed_recourse`, 10 s each, on {len(pair)} instances: mean error {pair.one.mean():.3f}
and {pair.other.mean():.3f} %; worse by more than 0.001 % on {worse}, better on {better}.

## By group

Mean, median (quartiles), maximum of the error in %.

{groups(frame, [("relaxed_recourse", 10.0), ("neur2ro", 30.0)])}

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
