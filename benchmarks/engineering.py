"""Search backends on the fifteen single-objective engineering environments, at 60 evaluations each.

    OMP_NUM_THREADS=1 python benchmarks/engineering.py                       # what is missing, then table and picture
    OMP_NUM_THREADS=1 python benchmarks/engineering.py --search gp --seeds 5 # one backend, seeds 0 to 4
    python benchmarks/engineering.py --budget 0                              # only table and picture

Every finished study is one line of docs/benchmarks/engineering.jsonl and is not run again: delete lines to repeat them.
Writes docs/benchmarks/engineering.md and engineering.png.
"""

import argparse
import datetime
import json
import os
import platform
import time
from collections import defaultdict
from pathlib import Path

import numpy as np

import designopt as do
from designopt.metrics import best_so_far
from designopt.provenance import versions

FOLDER = Path(__file__).parents[1] / "docs" / "benchmarks"
RESULTS = FOLDER / "engineering.jsonl"
ENVS = [
    *("Ackley", "CantileverBeam", "CarSideImpact", "CompressionSpring", "GKXWC1", "GKXWC2", "HeatExchanger", "JLH1"),
    *("JLH2", "KeaneBump", "PressureVessel", "ReinforcedConcreteBeam", "SpeedReducer", "ThreeTruss", "WeldedBeam"),
]
SEARCHES = ["random", "ga", "tpe", "scbo", "gp"]
COLOURS = {"random": "#999999", "ga": "#e69f00", "tpe": "#56b4e9", "scbo": "#009e73", "gp": "#d55e00"}
HYPERPARAMETERS = {"ga": {"population": 10}}  # the default of 20 would leave two generations of offspring
RECORDED = ("botorch", "gpytorch", "torch", "pymoo", "optuna", "scipy", "numpy", "python")


def key(line):
    return line["env"], line["search"], line["seed"]


def load():
    return [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []


def study(name, search, seed, budget):
    """One study as a line of the results: improvements are [evaluation, best feasible loss]."""
    env = do.make(f"designopt/{name}-v0")
    cpu = time.process_time()
    result = do.optimize(env, search=search, budget=budget, seed=seed, device="cpu", **HYPERPARAMETERS.get(search, {}))
    cpu = time.process_time() - cpu
    best = best_so_far(result.evaluation.losses(env.objectives)[:, 0], result.evaluation.feasible)
    improved = np.flatnonzero(np.diff(best, prepend=np.inf) < 0) if np.isfinite(best).any() else []
    if len(improved) == 0 and np.isfinite(best[0]):
        improved = [0]
    return {
        "env": name,
        "search": search,
        "seed": seed,
        "budget": budget,
        "improvements": [[int(i) + 1, float(f"{best[i]:.10g}")] for i in improved],
        "feasible_share": round(float(result.evaluation.feasible.mean()), 4),
        "search_seconds": round(result.search_seconds, 3),
        "cpu_seconds": round(cpu, 3),
        "threads": int(os.environ.get("OMP_NUM_THREADS", 0)),
        "versions": {name: version for name, version in versions().items() if name in RECORDED},
        "date": datetime.date.today().isoformat(),
    }


def run(searches, names, seeds, budget):
    done = {key(line) for line in load()}
    FOLDER.mkdir(parents=True, exist_ok=True)
    for seed in range(seeds):
        for search in searches:
            for name in names:
                if (name, search, seed) in done:
                    continue
                line = study(name, search, seed, budget)
                with RESULTS.open("a") as file:
                    file.write(json.dumps(line) + "\n")
                best = line["improvements"][-1][1] if line["improvements"] else "nothing feasible"
                print(f"{name} {search} seed {seed}: {best}, {line['cpu_seconds']:.1f} s", flush=True)


def curve(line):
    """(budget,) best feasible loss after each evaluation, inf before the first."""
    best = np.full(line["budget"], np.inf)
    for evaluation, loss in line["improvements"]:
        best[evaluation - 1 :] = loss
    return best


def reference_loss(name):
    env = do.make(f"designopt/{name}-v0")
    return env.reference.value if env.objectives[0].sense == "min" else -env.reference.value


def number(value):
    return "none feasible" if np.isinf(value) else f"{value:.6g}"


def table(groups, searches):
    """Markdown: medians over seeds, one row per environment and one column per backend; and how often gp wins."""
    head = ["environment", "d", "k", "optimum", *searches]
    values = [head, ["---"] * len(head)]
    regrets = [head, ["---"] * len(head)]
    wins = defaultdict(int)
    for name in ENVS:
        env, optimum = do.make(f"designopt/{name}-v0"), reference_loss(name)
        fixed = [name, str(env.design_space.dim), str(len(env.constraints)), number(optimum)]
        median = {s: np.median([curve(line)[-1] for line in groups[name, s]]) for s in searches if groups[name, s]}
        least = min(median.values(), default=np.inf)
        for s, value in median.items():
            wins[s] += s != "gp" and median.get("gp", np.inf) < value
        values.append(fixed + [_bold(number(median[s]), median[s] == least) if s in median else "" for s in searches])
        regrets.append(
            fixed + [_bold(f"{median[s] - optimum:.2g}", median[s] == least) if s in median else "" for s in searches]
        )
    return _markdown(values), _markdown(regrets), wins


def _bold(text, best):
    return f"**{text}**" if best else text


def _markdown(rows):
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def costs(lines, searches):
    rows = [["backend", "seeds", "feasible share", "CPU seconds per evaluation", "longest study, CPU s"], ["---"] * 5]
    for s in searches:
        mine = [line for line in lines if line["search"] == s]
        if mine:
            cpu = [line["cpu_seconds"] for line in mine]
            per = sum(cpu) / sum(line["budget"] for line in mine)
            share = np.mean([line["feasible_share"] for line in mine])
            seeds = len({line["seed"] for line in mine})
            rows.append([s, str(seeds), f"{share:.2f}", f"{per:.3f}", f"{max(cpu):.1f}"])
    return _markdown(rows)


def report():
    lines = load()
    groups = defaultdict(list)
    for line in lines:
        groups[line["env"], line["search"]].append(line)
    searches = [s for s in SEARCHES if any(line["search"] == s for line in lines)]
    values, regrets, wins = table(groups, searches)
    beaten = "; ".join(f"`{s}` on {wins[s]} of {len(ENVS)}" for s in searches if s != "gp")
    made_with = ", ".join(f"{name} {version}" for name, version in sorted(lines[-1]["versions"].items()))
    seeds = sorted({line["seed"] for line in lines})
    (FOLDER / "engineering.md").write_text(f"""# Search backends on the engineering environments

Best feasible value after {lines[0]["budget"]} evaluations, minimised, median over seeds {seeds[0]} to {seeds[-1]};
the best of a row is bold. Default variants (Ackley in two dimensions) and default hyper-parameters, but for `ga`, whose
population is 10; model-based backends are asked for one design at a time. The optimum is the environment's own
reference, with its source in docs/environments.

{values}

The median of `gp` is better than that of {beaten}.

## Simple regret

{regrets}

## Cost

{costs(lines, searches)}

Evaluations themselves take microseconds. The cost is CPU time, because the machine was shared. It runs on
{platform.machine()} with {lines[-1]["threads"]} thread; {made_with}; {lines[-1]["date"]}.

![Median regret](engineering.png)

Made by `OMP_NUM_THREADS=1 python benchmarks/engineering.py`; every study is a line of engineering.jsonl.
""")
    picture(groups, searches)


def picture(groups, searches):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.ticker import NullFormatter

    plt.rcParams.update({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False})
    figure, axes = plt.subplots(3, 5, figsize=(13, 7.6), layout="constrained")
    for ax, name in zip(axes.flat, ENVS, strict=True):
        optimum = reference_loss(name)
        floor = 1e-6 * (abs(optimum) or 1.0)
        for s in searches:
            if not groups[name, s]:
                continue
            median = np.median([curve(line) for line in groups[name, s]], axis=0)
            regret = np.where(np.isfinite(median), np.maximum(median - optimum, floor), np.nan)
            ax.step(np.arange(1, len(regret) + 1), regret, where="post", color=COLOURS[s], lw=1.8, label=s)
        ax.set_yscale("log")
        low, high = ax.get_ylim()
        if high < 10 * low:  # an axis without a power of ten has no legible label
            ax.set_ylim(10.0 ** np.floor(np.log10(low)), 10.0 ** np.ceil(np.log10(high)))
        ax.yaxis.set_minor_formatter(NullFormatter())
        ax.set_title(name, fontsize=10)
        ax.set_xlim(0, 60)
        ax.grid(axis="y", alpha=0.25, lw=0.6)
    handles, labels = axes.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), frameon=False)
    figure.supxlabel("evaluations")
    figure.supylabel("simple regret of the median study (floor 1e-6 of the optimum)")
    figure.savefig(FOLDER / "engineering.png", dpi=90)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--search", nargs="+", choices=SEARCHES, default=SEARCHES)
    parser.add_argument("--env", nargs="+", choices=ENVS, default=ENVS)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--budget", type=int, default=60)
    arguments = parser.parse_args()
    if arguments.budget:
        run(arguments.search, arguments.env, arguments.seeds, arguments.budget)
    report()


if __name__ == "__main__":
    main()
