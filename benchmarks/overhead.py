"""Cost of the loop itself: ask + tell + record per evaluation, beside Optuna in the same run.

    python benchmarks/overhead.py            # all rows; Optuna with sqlite at 10,000 evaluations takes minutes
    python benchmarks/overhead.py --quick    # without that one

Each row runs in fresh processes, so that neither caches nor memory leak from one to the next. The objective is a
vectorised function of four parameters that costs microseconds. Writes docs/benchmarks/overhead.md.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

OUTPUT = Path(__file__).parents[1] / "docs" / "benchmarks" / "overhead.md"


def environment():
    import designopt as do

    space = do.DesignSpace({name: do.Real(-5, 5) for name in ("x1", "x2", "x3", "x4")})

    @do.design_env(space, minimize=["y"], vectorized=True)
    def sphere(x1, x2, x3, x4):
        return {"y": x1**2 + x2**2 + x3**2 + x4**2}

    return sphere


def ours(evaluations, batch, store):
    import designopt as do

    env = environment()
    do.optimize(env, search="random", budget=1)  # imports are not part of the loop
    with tempfile.TemporaryDirectory() as folder:
        where = f"{folder}/runs.db" if store else None
        started = time.perf_counter()
        result = do.optimize(env, search="random", budget=evaluations, batch=batch, store=where)
        seconds = time.perf_counter() - started
    assert len(result.designs) == evaluations
    return seconds


def optuna(evaluations, store):
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    space = {name: optuna.distributions.FloatDistribution(-5, 5) for name in ("x1", "x2", "x3", "x4")}
    with tempfile.TemporaryDirectory() as folder:
        storage = f"sqlite:///{folder}/runs.db" if store else None
        study = optuna.create_study(storage=storage, sampler=optuna.samplers.RandomSampler(seed=0))
        started = time.perf_counter()
        for _ in range(evaluations):
            trial = study.ask(space)
            study.tell(trial, sum(v**2 for v in trial.params.values()))
        return time.perf_counter() - started


def codings(evaluations):
    import designopt as do

    space = do.DesignSpace(
        width=do.Real(0.01, 0.1),
        height=do.Real(0.001, 1.0, log=True),
        bolts=do.Integer(2, 8),
        plate=do.Ordinal([0.1, 0.25, 1.0]),
        material=do.Categorical(["steel", "aluminium", "titanium"]),
    )
    designs = space.sample(evaluations, 0)
    unit, frame = space.to_unit(designs), space.frame(designs)
    seconds = {}
    for name, call in {
        "to_unit": lambda: space.to_unit(designs),
        "from_unit": lambda: space.from_unit(unit),
        "one_hot": lambda: space.one_hot(designs),
        "validate": lambda: space.validate(designs),
        "frame": lambda: space.frame(designs),
        "encode (table)": lambda: space.encode(frame),
    }.items():
        started = time.perf_counter()
        call()
        seconds[name] = time.perf_counter() - started
    return seconds


CASES = {
    "ours-sqlite": lambda n, batch: ours(n, batch, True),
    "ours-memory": lambda n, batch: ours(n, batch, False),
    "optuna-sqlite": lambda n, batch: optuna(n, True),
    "optuna-memory": lambda n, batch: optuna(n, False),
    "codings": lambda n, batch: codings(n),
}


def measure(case, n, batch=1, repeats=3):
    """Median of fresh processes by seconds: (seconds, peak resident MiB)."""
    runs = []
    for _ in range(repeats):
        command = [sys.executable, __file__, "--case", case, "--evaluations", str(n), "--batch", str(batch)]
        answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        runs.append(tuple(json.loads(answer)))
    runs.sort(key=lambda run: str(run[0]) if isinstance(run[0], dict) else run[0])
    return runs[len(runs) // 2]


def verdict(held):
    return "held" if held else "missed"


def table(quick):
    lines = [
        "| loop | store | batch | evaluations | µs per evaluation | evaluations/s | peak MiB |",
        "|---|---|---|---|---|---|---|",
    ]
    per_evaluation = {}

    def row(name, case, store, n, batch=1, repeats=3):
        seconds, mib = measure(case, n, batch, repeats)
        per_evaluation[case, n, batch] = seconds / n
        lines.append(
            f"| {name} | {store} | {batch} | {n:,} | {seconds / n * 1e6:,.1f} | {n / seconds:,.0f} | {mib:,.0f} |"
        )
        print(lines[-1], flush=True)

    for n in (1_000, 10_000):
        row("designopt `random`", "ours-sqlite", "sqlite", n)
        row("designopt `random`", "ours-memory", "none", n)
        row("Optuna RandomSampler", "optuna-memory", "in memory", n, repeats=1 if n > 1000 else 3)
        if n == 1_000 or not quick:
            row("Optuna RandomSampler", "optuna-sqlite", "sqlite", n, repeats=1)
    row("designopt `random`", "ours-memory", "none", 1_000_000, 1000)
    row("designopt `random`", "ours-sqlite", "sqlite", 1_000_000, 1000, repeats=1)

    summary = []
    for n in (1_000,) if quick else (1_000, 10_000):
        mine = per_evaluation["ours-sqlite", n, 1]
        sqlite, memory = per_evaluation["optuna-sqlite", n, 1], per_evaluation["optuna-memory", n, 1]
        summary.append(
            f"* {n:,} evaluations one at a time, recorded in sqlite: {mine * 1e6:,.0f} µs each; Optuna with sqlite "
            f"takes {sqlite / mine:,.0f} times as long (target: at least 50, {verdict(sqlite > 50 * mine)}), Optuna "
            f"in memory, which records nothing, {memory / mine:,.1f} times "
            f"(target: more than 1, {verdict(memory > mine)})."
        )
    seconds, _ = measure("codings", 1_000_000)
    codes = [
        "| coding of a mixed space (5 columns), 1,000,000 designs | designs/s |",
        "|---|---|",
        *(f"| `{name}` | {1e6 / s:,.0f} |" for name, s in seconds.items()),
    ]
    return lines, summary, codes


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--case", choices=CASES)
    parser.add_argument("--evaluations", type=int)
    parser.add_argument("--batch", type=int)
    arguments = parser.parse_args()
    if arguments.case:
        seconds = CASES[arguments.case](arguments.evaluations, arguments.batch)
        print(json.dumps([seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))
        return
    from designopt.provenance import versions

    lines, summary, codes = table(arguments.quick)
    used = ", ".join(
        f"{name} {v}" for name, v in versions().items() if name in ("python", "numpy", "optuna", "SQLAlchemy")
    )
    text = [
        "# What the loop costs",
        "",
        "Time of ask + tell + record per evaluation, random search, evaluation itself included (microseconds). "
        "Median of three fresh processes (one where Optuna's takes minutes).",
        "",
        f"Command: `python benchmarks/{Path(__file__).name}{' --quick' if arguments.quick else ''}`. Versions: {used}.",
        "",
        *lines,
        "",
        *summary,
        "",
        "A million evaluations include opening the store, the run's record and the result's arrays; "
        "the peak is of the whole process.",
        "",
        *codes,
        "",
    ]
    OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    OUTPUT.write_text("\n".join(text))
    print(OUTPUT)


if __name__ == "__main__":
    main()
