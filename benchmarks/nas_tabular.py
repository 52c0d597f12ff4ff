"""Searches on tables of trained architectures: regret of the truth, which no search sees.

    OMP_NUM_THREADS=1 DESIGNOPT_DATA=FOLDER python benchmarks/nas_tabular.py [reference|others|page]

``reference`` runs random search and regularised evolution, ``others`` the other backends, ``page`` writes
docs/benchmarks/nas_tabular.md and the pictures from what was measured (docs/benchmarks/nas_tabular.json).
"""

import json
import sys
import time
from pathlib import Path

import numpy as np

import designopt as do
from designopt.envs.nas import cells
from designopt.provenance import versions

DOCS = Path(__file__).parents[1] / "docs"
MEASURED = DOCS / "benchmarks" / "nas_tabular.json"
BUDGETS = (10, 25, 50, 100, 200, 500)
RUNS = 500
PUBLISHED = {
    ("cifar10", "random"): (1.84, 1.28, 0.90, 0.66, 0.51, 0.37),
    ("cifar10", "regularised_evolution"): (None, None, 0.62, 0.36, 0.16, 0.05),
    ("cifar100", "random"): (4.51, 3.74, 2.95, 2.33, 1.95, 1.41),
    ("cifar100", "regularised_evolution"): (None, None, 2.24, 1.49, 0.95, 0.87),
}
OTHERS = {"ga": 40, "aco": 40, "local": 40, "regularised_evolution": 40, "random": 40, "tpe": 10, "agp": 4, "gp": 2}
OTHERS_BUDGET, OTHERS_SECONDS = 100, 60


def in_step(env, searchers, budget):
    """Runs side by side: each is asked for one design and told its result, all designs of a round share one look-up.

    -> designs (runs, budget, d) and objectives (runs, budget).
    """
    none = np.empty((0, env.design_space.dim))
    designs, values = [], []
    for _ in range(budget):
        asked = np.concatenate([searcher.ask(1, none) for searcher in searchers])
        evaluation = env.evaluate(asked)
        for i, searcher in enumerate(searchers):
            searcher.tell(asked[i : i + 1], evaluation[i])
        designs.append(asked)
        values.append(evaluation.objectives[:, 0])
    return np.stack(designs, axis=1), np.stack(values, axis=1)


def regrets(env, designs, values, budgets):
    """Truth missing after each budget (runs, budgets) to the cell that looks best in the column searched."""
    optimum = env.truth(cells_of(env)).max()
    found = [designs[np.arange(len(designs)), values[:, :b].argmax(axis=1)] for b in budgets]
    return np.stack([optimum - env.truth(incumbents) for incumbents in found], axis=1)


def cells_of(env):
    sizes = [len(p.choices) for p in env.design_space.parameters.values()]
    return np.indices(sizes).reshape(len(sizes), -1).T


def reference(measured):
    for dataset in ("cifar10", "cifar100"):
        env = do.make("designopt/NASBench201-v0", dataset=dataset)
        for name in ("random", "regularised_evolution"):
            started = time.process_time()
            searchers = [do.backend(name)(env, seed=seed) for seed in range(RUNS)]
            found = regrets(env, *in_step(env, searchers, max(BUDGETS)), BUDGETS)
            measured[f"{dataset} {name}"] = {
                "mean": found.mean(axis=0).tolist(),
                "error": (found.std(axis=0, ddof=1) / np.sqrt(RUNS)).tolist(),
                "seconds": time.process_time() - started,
            }
            print(dataset, name, measured[f"{dataset} {name}"], flush=True)
    env = do.make("designopt/NASBench201-v0")
    designs = env.design_space.sample(1_000_000, seed=0)
    used = []
    for _ in range(5):
        started = time.process_time()
        env.evaluate(designs)
        used.append(time.process_time() - started)
    measured["look-ups"] = len(designs) / min(used)


def others(measured):
    env = do.make("designopt/NASBench201-v0", dataset="cifar100")
    budgets = (25, 50, 100)
    for name, runs in OTHERS.items():
        started, kept, curves = time.process_time(), [], []
        for seed in range(runs):
            if seed > 1 and time.process_time() - started > OTHERS_SECONDS:
                break
            result = do.optimize(env, search=name, budget=OTHERS_BUDGET, seed=seed)
            values = result.evaluation.objectives[None, :, 0]
            kept.append(regrets(env, result.designs[None], values, budgets)[0])
            curves.append(np.maximum.accumulate(values[0])[-1])
        found = np.array(kept)
        measured[f"others {name}"] = {
            "runs": len(found),
            "mean": found.mean(axis=0).tolist(),
            "error": (found.std(axis=0, ddof=1) / np.sqrt(len(found))).tolist(),
            "seconds": (time.process_time() - started) / len(found),
            "searched": float(np.mean(curves)),
        }
        print(name, measured[f"others {name}"], flush=True)
        MEASURED.write_text(json.dumps(measured, indent=1))


def row(name, cells_):
    return f"| {name} | {' | '.join(cells_)} |"


def page(measured):
    lines = ["| data, search | " + " | ".join(map(str, BUDGETS)) + " | CPU s |", "|---" * (len(BUDGETS) + 2) + "|"]
    for (dataset, name), known in PUBLISHED.items():
        ours = measured[f"{dataset} {name}"]
        texts = [f"{m:.2f} ± {e:.2f}" for m, e in zip(ours["mean"], ours["error"], strict=True)]
        lines.append(row(f"{dataset}, {name}", [*texts, f"{ours['seconds']:.0f}"]))
        lines.append(row("reference", [*("-" if k is None else f"{k:.2f}" for k in known), ""]))
    beside = ["| search | runs | 25 | 50 | 100 | validation at 100 | CPU s a run |", "|---" * 7 + "|"]
    names = sorted((k for k in measured if k.startswith("others ")), key=lambda k: measured[k]["mean"][-1])
    for key in names:
        m = measured[key]
        texts = [f"{a:.2f} ± {e:.2f}" for a, e in zip(m["mean"], m["error"], strict=True)]
        beside.append(row(key[7:], [str(m["runs"]), *texts, f"{m['searched']:.2f}", f"{m['seconds']:.2f}"]))
    total = sum(measured[f"{d} {n}"]["seconds"] for d, n in PUBLISHED)
    used = ", ".join(f"{k} {v}" for k, v in versions().items() if k in ("python", "numpy", "optuna", "pymoo", "torch"))
    env = do.make("designopt/NASBench201-v0", dataset="cifar100")
    every = cells_of(env)
    optimum = env.truth(every).max()
    argmax = every[env.evaluate(every).objectives[:, 0].argmax()]
    trap = optimum - env.truth(argmax[None])[0]
    biggest = every[cells.parameters(every).argmax()]
    largest = optimum - env.truth(biggest[None])[0]
    text = f"""# Tables of trained architectures

A search on NAS-Bench-201 sees the validation accuracy after 12 epochs; it is judged by the test accuracy after 200
epochs of the cell that it would hand over. Numbers are the mean regret of that truth in points, ± its standard error.

**Conclusions rest on CIFAR-100.** On CIFAR-10 the cell with the best 12-epoch validation accuracy *is* the one with
the best truth, so whoever maximises the column to the end has regret 0: it flatters every search. On CIFAR-100 that
cell has regret {trap:.2f}, and a search that finds it at once would score just that. Taking the cell of most
parameters ({cells.codes_of(biggest[None])[0]}), without any search, has regret {largest:.2f}. No search here descends
gradients: a table holds no supernet, and descending a surrogate of it would not be DARTS.

## Random search and regularised evolution, {RUNS} runs

Evolution: 20 members, tournaments of 5. The rows *reference* were computed independently, also with {RUNS} runs, so
the difference of two rows has about 1.4 times the error shown.

{chr(10).join(lines)}

All {4 * RUNS} runs of 500 evaluations took {total:.0f} CPU s, through `ask`, `evaluate` and `tell` of the ordinary
classes, runs in step so that they share look-ups. Look-ups in one call: {measured["look-ups"]:,.0f} a second, with
parameters, multiply-accumulates and training time.

## Other searches, CIFAR-100, {OTHERS_BUDGET} evaluations

`do.optimize` with default hyper-parameters, regret of the truth after 25, 50, 100 evaluations; few runs for the slow
ones, so read the errors first. The column *validation* is what they maximise.

{chr(10).join(beside)}

![Regret](nas_tabular.png)

Commands: `OMP_NUM_THREADS=1 python benchmarks/nas_tabular.py reference`, `... others`, `... page`. Versions: {used}.
"""
    (DOCS / "benchmarks" / "nas_tabular.md").write_text(text)
    draw(measured)


def draw(measured):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    for panel, dataset in zip(axes, ("cifar10", "cifar100"), strict=True):
        for colour, name in (("C0", "random"), ("C1", "regularised_evolution")):
            ours, known = measured[f"{dataset} {name}"], PUBLISHED[dataset, name]
            panel.errorbar(BUDGETS, ours["mean"], ours["error"], fmt="o-", color=colour, ms=4, label=name)
            there = [(b, k) for b, k in zip(BUDGETS, known, strict=True) if k is not None]
            panel.plot(*zip(*there, strict=True), "x", color=colour, ms=8, label=f"{name}, reference")
        panel.set(xscale="log", yscale="log", title=dataset, xlabel="evaluations", xticks=BUDGETS, xticklabels=BUDGETS)
        panel.minorticks_off()
    axes[1].axhline(1.23, color="0.6", lw=1, ls=":", label="best validation")
    axes[0].set_ylabel("regret of the truth, points")
    axes[1].legend(frameon=False, fontsize=8)
    figure.savefig(DOCS / "benchmarks" / "nas_tabular.png", dpi=110)


def main(part):
    measured = json.loads(MEASURED.read_text()) if MEASURED.exists() else {}
    if part in ("reference", "all"):
        reference(measured)
    if part in ("others", "all"):
        others(measured)
    MEASURED.write_text(json.dumps(measured, indent=1))
    if part in ("page", "all"):
        page(measured)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "all")
