"""Bayesian optimisation with Gaussian processes and with pre-trained networks on constrained engineering problems.

    OMP_NUM_THREADS=1 python benchmarks/pfn_bo.py                          # what is missing, then table and pictures
    OMP_NUM_THREADS=1 python benchmarks/pfn_bo.py --arms gp agp-cei --seeds 0 3   # two arms, seeds 0 to 2
    python benchmarks/pfn_bo.py --report                                   # only table and pictures

All arms get the same 20 uniform random designs per problem and seed, then propose 80 one by one. A finished study is a
line of docs/benchmarks/pfn_bo.jsonl and is not run again: delete lines to repeat them. Work goes seed by seed, each
over all problems and arms, so that what is there after an interruption compares all arms on the same studies. Several
processes may share the work, each with arms of its own.
"""

import argparse
import datetime
import json
import os
import time
from pathlib import Path

import numpy as np

import designopt as do
from designopt import Searcher
from designopt.launch import make_searcher
from designopt.metrics import best_so_far
from designopt.provenance import versions
from designopt.study import Study

FOLDER = Path(__file__).parents[1] / "docs" / "benchmarks"
RESULTS = FOLDER / "pfn_bo.jsonl"
INITIAL, BUDGET = 20, 100
PROBLEMS = {
    "Ackley-2": ("Ackley", {"dim": 2}),
    "Ackley-6": ("Ackley", {"dim": 6}),
    "Ackley-10": ("Ackley", {"dim": 10}),
    **{name: (name, {}) for name in ("JLH1", "JLH2", "GKXWC1", "GKXWC2", "KeaneBump", "ThreeTruss")},
    **{name: (name, {}) for name in ("ReinforcedConcreteBeam", "CompressionSpring", "PressureVessel", "WeldedBeam")},
    **{name: (name, {}) for name in ("SpeedReducer", "HeatExchanger", "CantileverBeam", "CarSideImpact")},
}
MIXED = {
    f"{name} (mixed)": (name, {"variant": "mixed"})
    for name in (
        *("ReinforcedConcreteBeam", "CompressionSpring", "PressureVessel"),
        *("SpeedReducer", "CantileverBeam", "CarSideImpact"),
    )
}
# Arm -> backend and its hyper-parameters, and whether it counts as costly (fewer seeds).
ARMS = {
    "random": ("random", {}, False),
    "ga": ("ga", {}, False),
    "scbo": ("scbo", {"n_initial": INITIAL}, False),
    "gp-botorch": ("BoTorchGP", {}, True),
    "gp-published": ("PublishedGP", {}, True),
    "gp": ("gp", {}, False),
    "agp-cei": ("agp", {}, False),
    "pfn-cei": ("pfn", {}, False),
    "pfn-cei+": ("pfn", {"acquisition": "cei_plus"}, False),
    "pfn-pen": ("pfn", {"acquisition": "penalty"}, False),
    "pfn-published": ("pfn", {"published": True}, False),
}
COSTLY_SEEDS, CHEAP_SEEDS = 5, 10
RECORDED = ("botorch", "gpytorch", "torch", "pymoo", "scipy", "numpy", "python")


class Started(Searcher):
    """Another searcher, told of the same random designs as all others first; counts the CPU time of what follows."""

    def __init__(self, env, inner, seed):
        super().__init__(env, seed=seed)
        self.inner = inner
        self.initial = env.design_space.sample(INITIAL, 1_000 + seed)
        self.cpu = []  # seconds of every ask with the tell before it
        self._tell_cpu = 0.0

    def ask(self, n, pending):
        """-> the random designs, then one of the other searcher's."""
        if len(self.initial):
            first, self.initial = self.initial, self.initial[:0]
            return first
        started = time.process_time()
        designs = self.inner.ask(1, pending)
        self.cpu.append(time.process_time() - started + self._tell_cpu)
        return designs

    def tell(self, designs, evaluation):
        """Tell the other searcher."""
        started = time.process_time()
        self.inner.tell(designs, evaluation)
        self._tell_cpu = time.process_time() - started


def make(problem):
    name, arguments = (PROBLEMS | MIXED)[problem]
    return do.make(f"designopt/{name}-v0", **arguments)


def backend(name):
    if name in do.backends():
        return name
    import bayesian_peers

    return getattr(bayesian_peers, name)


def study(problem, arm, seed):
    """One study as a line of the results: improvements are [evaluation, best feasible loss]."""
    env = make(problem)
    search, hyperparameters, _ = ARMS[arm]
    searcher = Started(env, make_searcher(env, backend(search), seed=seed, device="cpu", **hyperparameters), seed)
    evaluation = Study(env, searcher, budget=BUDGET, batch=INITIAL).run().evaluation
    best = best_so_far(evaluation.losses(env.objectives)[:, 0], evaluation.feasible)
    improved = np.flatnonzero(np.concatenate([np.isfinite(best[:1]), best[1:] < best[:-1]]))
    return {
        "problem": problem,
        "arm": arm,
        "seed": seed,
        "improvements": [[int(i) + 1, float(f"{best[i]:.12g}")] for i in improved],
        "feasible_share": round(float(evaluation.feasible.mean()), 4),
        "cpu": [round(seconds, 4) for seconds in searcher.cpu],
        "threads": int(os.environ.get("OMP_NUM_THREADS", 0)),
        "versions": {name: version for name, version in versions().items() if name in RECORDED},
        "date": datetime.date.today().isoformat(),
    }


def load():
    return [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []


def run(arms, problems, seeds):
    FOLDER.mkdir(parents=True, exist_ok=True)
    for seed in seeds:
        for problem in problems:
            for arm in arms:
                if seed >= (COSTLY_SEEDS if ARMS[arm][2] else CHEAP_SEEDS):
                    continue
                if any((r["problem"], r["arm"], r["seed"]) == (problem, arm, seed) for r in load()):
                    continue
                line = study(problem, arm, seed)
                with RESULTS.open("a") as file:
                    file.write(json.dumps(line) + "\n")
                best = line["improvements"][-1][1] if line["improvements"] else "nothing feasible"
                print(f"seed {seed} {problem} {arm}: {best}, {sum(line['cpu']):.1f} CPU s", flush=True)


# Report -----------------------------------------------------------------------------------------------------------


def curve(line):
    """(BUDGET,) best feasible loss after each evaluation, inf before the first."""
    best = np.full(BUDGET, np.inf)
    for evaluation, loss in line["improvements"]:
        best[evaluation - 1 :] = loss
    return best


def regrets(lines):
    """(problem, arm) -> (seeds, BUDGET) simple regrets, of the seeds that all arms with a study there share."""
    by = {}
    for line in lines:
        by.setdefault(line["problem"], {}).setdefault(line["arm"], {})[line["seed"]] = line
    found = {}
    for problem, arms in by.items():
        env = make(problem)
        optimum = env.reference.value * (1 if env.objectives[0].sense == "min" else -1)
        for arm, seeds in arms.items():
            found[problem, arm] = {seed: curve(line) - optimum for seed, line in sorted(seeds.items())}
    return found


def common(found, problem, arms):
    """Seeds on which all of these arms ran."""
    return sorted(set.intersection(*(set(found.get((problem, arm), {})) for arm in arms)))


def medians(found, problems, arms):
    """(problems, arms) median final regret over shared seeds; inf where most found nothing feasible."""
    return np.array(
        [
            [np.median([found[problem, arm][seed][-1] for seed in common(found, problem, arms)]) for arm in arms]
            for problem in problems
        ]
    )


def number(value):
    return "none" if np.isinf(value) else f"{max(value, 0.0):.2g}"


def markdown(rows):
    rows = [rows[0], ["---"] * len(rows[0]), *rows[1:]]
    return "\n".join("| " + " | ".join(map(str, row)) + " |" for row in rows)


def regret_table(found, problems, arms):
    rows = [["problem", "d", "k", "seeds", *arms]]
    for problem in problems:
        env = make(problem)
        seeds = common(found, problem, arms)
        values = [np.median([found[problem, arm][seed][-1] for seed in seeds]) for arm in arms]
        cells = [f"**{number(v)}**" if v == min(values) and np.isfinite(v) else number(v) for v in values]
        rows.append([problem, env.design_space.dim, len(env.constraints), len(seeds), *cells])
    return markdown(rows)


def everything_table(found):
    """Final regret with seed 0 of all arms on all problems, as far as there is one."""
    arms = [arm for arm in ARMS if any(name == arm for _, name in found)]
    rows = [["problem", *arms]]
    for problem in [*PROBLEMS, *MIXED]:
        values = {arm: found[problem, arm][0][-1] for arm in arms if 0 in found.get((problem, arm), {})}
        least = min(values.values())
        cells = ["" if arm not in values else number(values[arm]) for arm in arms]
        best = [arm in values and values[arm] == least < np.inf for arm in arms]
        rows.append([problem, *(f"**{cell}**" if bold else cell for cell, bold in zip(cells, best, strict=True))])
    return markdown(rows)


def infeasible_table(found, problems, arms):
    rows = [["evaluations", *arms]]
    for evaluation in (20, 30, 50, 100):
        shares = [
            np.mean([np.isinf(found[p, arm][s][evaluation - 1]) for p in problems for s in common(found, p, arms)])
            for arm in arms
        ]
        rows.append([evaluation, *(f"{share:.2f}" for share in shares)])
    return markdown(rows)


CANDIDATES = {
    "random": "-",
    "ga": "-",
    "scbo": "2000, none polished",
    "gp-botorch": "256, 8 polished",
    "gp-published": "3, 1 polished",
    "gp": "1024, 6 polished",
    "agp-cei": "512, 4 polished",
    "pfn-cei": "512, 3 polished",
    "pfn-cei+": "512, 3 polished",
    "pfn-pen": "512, 3 polished",
    "pfn-published": "1000, none polished",
}


def cost_table(lines, arms):
    """Mean CPU seconds of the last ten steps (91 to 100 designs known) and of all."""
    rows = [["arm", "candidates per step", "all steps", "steps at n = 90 to 99", "of these with k >= 5", "studies"]]
    for arm in arms:
        mine = [line for line in lines if line["arm"] == arm and line["problem"] in PROBLEMS]
        many = [line for line in mine if len(make(line["problem"]).constraints) >= 5]
        late = [np.mean([line["cpu"][-10:] for line in group]) if group else np.nan for group in (mine, many)]
        every = np.mean([line["cpu"] for line in mine])
        rows.append([arm, CANDIDATES[arm], *(f"{v:.3g}" for v in (every, *late)), len(mine)])
    return markdown(rows)


def tests(values, arms):
    """Friedman's test, mean ranks, and Wilcoxon's signed ranks of every arm against gp-botorch, as text."""
    from scipy.stats import friedmanchisquare, rankdata, wilcoxon

    ranks = rankdata(values, axis=1)
    statistic, p = friedmanchisquare(*ranks.T)
    rows = [["arm", "mean rank", "wins / ties / losses against gp-botorch", "Wilcoxon p, two-sided"]]
    peer = arms.index("gp-botorch") if "gp-botorch" in arms else 0
    for i in np.argsort(ranks.mean(axis=0)):
        wins, losses = (values[:, i] < values[:, peer]).sum(), (values[:, i] > values[:, peer]).sum()
        # Regrets of different problems have no common unit: signed ranks are of the logarithms, floored at 1e-12.
        both = np.isfinite(values[:, [i, peer]]).all(axis=1)
        difference = np.log10(np.maximum(values[both, i], 1e-12)) - np.log10(np.maximum(values[both, peer], 1e-12))
        probability = "-" if i == peer or not difference.any() else f"{wilcoxon(difference).pvalue:.2g}"
        ties = len(values) - wins - losses
        rows.append([arms[i], f"{ranks[:, i].mean():.2f}", f"{wins} / {ties} / {losses}", probability])
    return f"Friedman: chi-squared {statistic:.1f} with {len(arms) - 1} degrees of freedom, p = {p:.1e}.", markdown(
        rows
    )


def diagram(values, arms):
    """Critical-difference diagram of the mean ranks: arms that Nemenyi's test does not tell apart are joined."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    import scikit_posthocs
    from scipy.stats import rankdata

    ranks = rankdata(values, axis=1)
    significance = scikit_posthocs.posthoc_nemenyi_friedman(ranks)
    significance.index = significance.columns = arms
    figure, axis = plt.subplots(figsize=(9, 0.5 + 0.32 * len(arms)), layout="constrained")
    scikit_posthocs.critical_difference_diagram(dict(zip(arms, ranks.mean(axis=0), strict=True)), significance, ax=axis)
    figure.savefig(FOLDER / "pfn_bo_ranks.png", dpi=100)


COLOURS = dict(
    zip(
        ARMS,
        [
            "#bbbbbb",
            "#b3a369",
            "#009e73",
            "#0072b2",
            "#56b4e9",
            "#000000",
            "#d55e00",
            "#cc79a7",
            "#e69f00",
            "#f0e442",
            "#8c564b",
        ],
        strict=True,
    )
)


def curves(found, problems, arms):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.ticker import NullFormatter

    plt.rcParams.update({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False})
    rows = -(-len(problems) // 5)
    figure, axes = plt.subplots(rows, 5, figsize=(14, 2.5 * rows + 0.6), layout="constrained", squeeze=False)
    for axis in axes.flat[len(problems) :]:
        axis.set_visible(False)
    for axis, problem in zip(axes.flat, problems, strict=False):
        floor = 1e-6 * (abs(make(problem).reference.value) or 1.0)
        for arm in arms:
            median = np.median([found[problem, arm][seed] for seed in common(found, problem, arms)], axis=0)
            shown = np.where(np.isfinite(median), np.maximum(median, floor), np.nan)
            axis.step(np.arange(1, BUDGET + 1), shown, where="post", color=COLOURS[arm], lw=1.5, label=arm)
        axis.set_yscale("log")
        low, high = axis.get_ylim()
        if high < 10 * low:  # an axis without a power of ten has no legible label
            axis.set_ylim(10.0 ** np.floor(np.log10(low)), 10.0 ** np.ceil(np.log10(high)))
        axis.yaxis.set_minor_formatter(NullFormatter())
        axis.set_title(problem, fontsize=9)
        axis.set_xlim(INITIAL, BUDGET)
        axis.grid(axis="y", alpha=0.25, lw=0.6)
    handles, labels = axes.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=6, frameon=False)
    figure.supxlabel("evaluations")
    figure.supylabel("simple regret, median study (floor 1e-6 of the optimum)")
    figure.savefig(FOLDER / "pfn_bo.png", dpi=90)


def verdict(values, arms):
    """The quality target of the comparison and what was measured."""
    from scipy.stats import rankdata

    ranks = dict(zip(arms, rankdata(values, axis=1).mean(axis=0), strict=True))
    networks = [arm for arm in ("pfn-cei", "agp-cei") if arm in ranks]
    if not networks:
        return "neither has run on half of the problems yet"
    best = min(networks, key=ranks.__getitem__)
    said = [f"`{best}` {ranks[best]:.2f}, `{peer}` {ranks[peer]:.2f}" for peer in ("gp-botorch", "gp") if peer in ranks]
    return "; ".join(said)


def report():
    lines = load()
    found = regrets(lines)
    ran_on = {arm: [problem for problem in PROBLEMS if (problem, arm) in found] for arm in ARMS}
    arms = [arm for arm in ARMS if 2 * len(ran_on[arm]) >= len(PROBLEMS)]
    partial = [arm for arm in ARMS if arm not in arms and ran_on[arm]]
    missing = [arm for arm in ARMS if arm not in arms and arm not in partial]
    problems = [problem for problem in PROBLEMS if common(found, problem, arms)]
    values = medians(found, problems, arms)
    friedman, ranks = tests(values, arms)
    diagram(values, arms)
    curves(found, problems, arms)
    seeds = {problem: len(common(found, problem, arms)) for problem in problems}
    least, most = min(seeds.values()), max(seeds.values())
    spread = f"{least} seed{'s' * (least > 1)}" if least == most else f"{least} to {most} seeds"
    studies = {arm: sum(line["arm"] == arm for line in lines) for arm in ARMS}
    made_with = ", ".join(f"{name} {version}" for name, version in sorted(lines[-1]["versions"].items()))
    ran = ", ".join(f"`{arm}` {n}" for arm, n in studies.items())
    notes = [f"Studies finished: {ran}."]
    if partial:
        notes.append(
            "On less than half of the problems so far, so only in the last table: "
            + ", ".join(f"`{arm}`" for arm in partial)
            + "."
        )
    for note in sorted({line["note"] for line in lines if "note" in line}):
        noted = sorted({line["arm"] for line in lines if line.get("note") == note})
        notes.append(f"Studies of {', '.join(f'`{arm}`' for arm in noted)} that were {note} are marked in the file.")
    if missing:
        notes.append("Not run yet: " + ", ".join(f"`{arm}`" for arm in missing) + ".")
    (FOLDER / "pfn_bo.md").write_text(f"""# Bayesian optimisation with fitted and with pre-trained models

Constrained engineering problems of [the published comparison](../environments/engineering.md), corrected statements:
the same {INITIAL} uniform random designs for all arms of a problem and seed, then {BUDGET - INITIAL} proposals one by
one. Simple regret is the best feasible value minus the known optimum.

**How far it has run.** The tables compare {len(problems)} of {len(PROBLEMS)} problems, those on which all of their arms
have run, with {spread} that all compared arms share; meant are all problems, {COSTLY_SEEDS} seeds of costly arms and
{CHEAP_SEEDS} of the others. {" ".join(notes)}

The arms: `random` and `ga` (population 20, begun with the random designs) are the floor; `scbo` is a trust region with
Thompson sampling; `gp-botorch` is what one writes with BoTorch alone (one SingleTaskGP per output, Normalize,
Standardize, bilog constraints, LogConstrainedEI, 8 restarts); `gp-published` is the baseline as published, weaknesses
included; `gp`, `agp-cei` and `pfn-cei` are one searcher with three surrogates, see [its page](../bayesian.md);
`pfn-cei+` and `pfn-pen` are other acquisition functions; `pfn-published` is the published loop with our network.

## Regret after {BUDGET} evaluations, median over seeds

{regret_table(found, problems, arms)}

"none": most studies found nothing feasible. No hyper-parameter was set for a problem.

## Ranks

{friedman}

{ranks}

Wilcoxon's test is paired by problem, on logarithms of median regrets where both arms found something feasible.

![Mean ranks](pfn_bo_ranks.png)

Target: the better of `pfn-cei` and `agp-cei` ranks at least as well as `gp` over all {len(PROBLEMS)} problems. Mean
ranks on the {len(problems)} compared here: {verdict(values, arms)}.

## Share of studies without a feasible design

{infeasible_table(found, problems, arms)}

## CPU seconds per step

Ask and tell only, one thread, no evaluation; on a machine that others shared, which inflates all of them.

{cost_table(lines, [*arms, *partial])}

## Everything with seed 0

Where an arm has not run yet the cell is empty.

{everything_table(found)}

![Regret](pfn_bo.png)

Made by `OMP_NUM_THREADS=1 python benchmarks/pfn_bo.py`, which also goes on where it stopped; every study is a line of
pfn_bo.jsonl. {made_with}; {lines[-1]["date"]}.
""")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    parser.add_argument("--problems", nargs="+", choices=[*PROBLEMS, *MIXED], default=[*PROBLEMS, *MIXED])
    parser.add_argument("--seeds", nargs=2, type=int, default=[0, CHEAP_SEEDS], metavar=("FROM", "TO"))
    parser.add_argument("--report", action="store_true", help="run nothing")
    arguments = parser.parse_args()
    if not arguments.report:
        run(arguments.arms, arguments.problems, range(*arguments.seeds))
    report()


if __name__ == "__main__":
    main()
