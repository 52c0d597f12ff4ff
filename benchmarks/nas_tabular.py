"""Searches on tables of trained architectures: regret of the truth, which no search sees.

    OMP_NUM_THREADS=1 DESIGNOPT_DATA=FOLDER python benchmarks/nas_tabular.py [reference|rules|others|page]

``reference`` runs random search and regularised evolution, ``rules`` variants of the latter written apart from it,
``others`` the other backends, ``page`` writes docs/benchmarks/nas_tabular.md and the picture from what was measured
(docs/benchmarks/nas_tabular.json).
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
RULES = {
    "as published": {},
    "members drawn without replacement": {"replacement": False},
    "a mutation may change nothing": {"identical": True},
    "no cell twice": {"twice": False},
    "the worst leaves": {"oldest": False},
}
"""Rules of regularised evolution that its descriptions leave open, or that one might confuse."""
RULE_RUNS = 5000
OTHERS = ("random", "local", "ga", "aco", "regularised_evolution", "tpe", "gp", "agp", "pfn")
OTHERS_BUDGETS = (25, 50, 100)
OTHERS_RUNS, OTHERS_SECONDS = 40, 240


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


def evolution(accuracy, truth, replacement=True, identical=False, twice=True, oldest=True, members=20, sample=5):
    """Evolution of ``RULE_RUNS`` runs at once, sharing no code with the backend -> (runs, 4) regrets of the truth."""
    rng, runs = np.random.default_rng(0), np.arange(RULE_RUNS)
    number = lambda cells: cells @ 5 ** np.arange(6)[::-1]  # noqa: E731
    population = rng.integers(5, size=(RULE_RUNS, members, 6))
    values = accuracy[number(population)]
    known = np.zeros((RULE_RUNS, 5**6), dtype=bool)
    known[runs[:, None], number(population)] = True
    held = number(population)[runs, values.argmax(axis=1)]
    found = []
    for step in range(members, max(BUDGETS)):
        drawn = rng.integers(members, size=(RULE_RUNS, sample))
        if not replacement:
            drawn = rng.random((RULE_RUNS, members)).argsort(axis=1)[:, :sample]
        parents = population[runs, drawn[runs, values[runs[:, None], drawn].argmax(axis=1)]]
        children = parents.copy()
        wrong = runs
        for _ in range(30):
            edge = rng.integers(6, size=len(wrong))
            shift = rng.integers(5, size=len(wrong)) if identical else 1 + rng.integers(4, size=len(wrong))
            children[wrong] = parents[wrong]
            children[wrong, edge] = (parents[wrong, edge] + shift) % 5
            wrong = wrong[known[wrong, number(children[wrong])]]
            if twice or not len(wrong):
                break
        codes = number(children)
        known[runs, codes] = True
        leaves = (step - members) % members if oldest else values.argmin(axis=1)
        population[runs, leaves], values[runs, leaves] = children, accuracy[codes]
        held = np.where(accuracy[codes] > accuracy[held], codes, held)
        if step + 1 in BUDGETS[2:]:
            found.append(truth.max() - truth[held])
    return np.stack(found, axis=1)


def rules(measured):
    """Mean regrets of every rule, and the spread of single runs, for both data sets."""
    for dataset in ("cifar10", "cifar100"):
        env = do.make("designopt/NASBench201-v0", dataset=dataset)
        every = cells_of(env)
        accuracy, truth = env.evaluate(every).objectives[:, 0], env.truth(every)
        for name, rule in RULES.items():
            found = evolution(accuracy, truth, **rule)
            measured[f"rule {dataset} {name}"] = {"mean": found.mean(0).tolist(), "spread": found.std(0).tolist()}


def rule_table(measured):
    """Lines of a table: means of every rule, how far the reference is from them; and the least of these distances."""
    budgets = [f"{d} {b}" for d in ("C10", "C100") for b in BUDGETS[2:]]
    lines = [row("rule", [*budgets, "distance"]), "|---" * (len(budgets) + 2) + "|"]
    distances = []
    known = np.concatenate([PUBLISHED[d, "regularised_evolution"][2:] for d in ("cifar10", "cifar100")])
    for name in RULES:
        both = [measured[f"rule {d} {name}"] for d in ("cifar10", "cifar100")]
        mean, spread = (np.concatenate([m[key] for m in both]) for key in ("mean", "spread"))
        distances.append(np.sum(((known - mean) * np.sqrt(RUNS) / spread) ** 2))
        lines.append(row(name, [*(f"{m:.2f}" for m in mean), f"{distances[-1]:.0f}"]))
        if name == "as published":
            errors = row(f"error of {RUNS} runs", [*(f"{s / np.sqrt(RUNS):.2f}" for s in spread), ""])
    return [*lines, row("reference", [*(f"{k:.2f}" for k in known), ""]), errors], min(distances)


def others(measured):
    """Goes on from the runs that there are; a backend gets so many runs or seconds, at least two runs."""
    env = do.make("designopt/NASBench201-v0", dataset="cifar100")
    for name in OTHERS:
        runs = measured.setdefault(f"others {name}", [])
        while len(runs) < OTHERS_RUNS and (len(runs) < 2 or sum(r["seconds"] for r in runs) < OTHERS_SECONDS):
            started = time.process_time()
            result = do.optimize(env, search=name, budget=OTHERS_BUDGETS[-1], seed=len(runs))
            seconds = time.process_time() - started
            values = result.evaluation.objectives[None, :, 0]
            regret = regrets(env, result.designs[None], values, OTHERS_BUDGETS)[0]
            runs.append({"regret": regret.tolist(), "searched": result.best_value, "seconds": seconds})
            keep(measured)
        print(name, len(runs), np.mean([r["regret"] for r in runs], axis=0), flush=True)


def keep(measured):
    """One line a measurement."""
    lines = (f"{json.dumps(name)}: {json.dumps(value)}" for name, value in measured.items())
    MEASURED.write_text("{\n" + ",\n".join(lines) + "\n}\n")


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
    regret = {name: np.array([r["regret"] for r in measured[f"others {name}"]]) for name in OTHERS}
    for name in sorted(OTHERS, key=lambda name: regret[name][:, -1].mean()):
        mean, error = regret[name].mean(axis=0), regret[name].std(axis=0, ddof=1) / np.sqrt(len(regret[name]))
        texts = [f"{m:.2f} ± {e:.2f}" for m, e in zip(mean, error, strict=True)]
        more = (np.mean([r[key] for r in measured[f"others {name}"]]) for key in ("searched", "seconds"))
        beside.append(row(name, [str(len(regret[name])), *texts, *(f"{value:.2f}" for value in more)]))
    kinds, nearest = rule_table(measured)
    total = sum(measured[f"{d} {n}"]["seconds"] for d, n in PUBLISHED)
    used = ", ".join(f"{k} {v}" for k, v in versions().items() if k in ("python", "numpy", "optuna", "pymoo", "torch"))
    env = do.make("designopt/NASBench201-v0", dataset="cifar100")
    every = cells_of(env)
    optimum = env.truth(every).max()
    argmax = every[env.evaluate(every).objectives[:, 0].argmax()]
    trap = optimum - env.truth(argmax[None])[0]
    highest = env.evaluate(argmax[None]).objectives[0, 0]
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

Evolution: 20 members, tournaments of 5. The rows *reference* were computed independently: those of random search with
{RUNS} runs, so the difference of two rows has about 1.4 times the error shown; those of evolution with a number of runs
that is not recorded.

{chr(10).join(lines)}

All {4 * RUNS} runs of 500 evaluations took {total:.0f} CPU s, through `ask`, `evaluate` and `tell` of the ordinary
classes, runs in step so that they share look-ups. Look-ups in one call: {measured["look-ups"]:,.0f} a second, with
parameters, multiply-accumulates and training time.

## Which evolution

Random search reproduces its reference everywhere. Evolution is apart from its own by more than two errors of {RUNS}
runs at three of eight points: CIFAR-10 at 50, CIFAR-100 at 100 and 200, above it twice and below it once. To find out
whether a rule differs, evolution was written once more, apart from the backend, and run {RULE_RUNS:,} times with each
rule that a description might leave open. *Distance* is the sum over the eight points of (reference - mean)² in errors
of {RUNS} runs; about 8 would be chance.

{chr(10).join(kinds)}

The backend agrees with *as published*, which is also the rule nearest to the reference; every other one is further
away. Population, tournament and columns are those of the reference, and random search agrees in the columns. What is
left is the noise of the reference itself: with {8 * RUNS / nearest:.0f} runs its distance would be that of chance.

## Other searches, CIFAR-100, {OTHERS_BUDGETS[-1]} evaluations

`do.optimize` with default hyper-parameters, regret of the truth after 25, 50, 100 evaluations, at most {OTHERS_RUNS}
runs and {OTHERS_SECONDS} CPU seconds each. The column *validation* is what they maximise; its greatest value is
{highest:.2f}. A search that has found that cell has regret {trap:.2f}: whoever stands below has cells that look worse
and are better.

{chr(10).join(beside)}

![Regret](nas_tabular.png)

Commands: `OMP_NUM_THREADS=1 python benchmarks/nas_tabular.py reference`, `... rules`, `... others`, `... page`.
Versions: {used}.
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
    axes[1].axhline(1.23, color="0.6", lw=1, ls=":")
    axes[1].text(10, 1.17, "the cell that looks best", color="0.4", fontsize=8, va="top")
    axes[0].set_ylabel("regret of the truth, points")
    axes[0].legend(frameon=False, fontsize=8, loc="lower left")
    figure.savefig(DOCS / "benchmarks" / "nas_tabular.png", dpi=110)


def main(part):
    measured = json.loads(MEASURED.read_text()) if MEASURED.exists() else {}
    if part in ("reference", "all"):
        reference(measured)
    if part in ("rules", "all"):
        rules(measured)
    if part in ("others", "all"):
        others(measured)
    keep(measured)
    if part in ("page", "all"):
        page(measured)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "all")
