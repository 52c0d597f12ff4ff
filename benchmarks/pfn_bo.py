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
        if len(self.initial):
            first, self.initial = self.initial, self.initial[:0]
            return first
        started = time.process_time()
        designs = self.inner.ask(1, pending)
        self.cpu.append(time.process_time() - started + self._tell_cpu)
        return designs

    def tell(self, designs, evaluation):
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


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    parser.add_argument("--problems", nargs="+", choices=[*PROBLEMS, *MIXED], default=[*PROBLEMS, *MIXED])
    parser.add_argument("--seeds", nargs=2, type=int, default=[0, CHEAP_SEEDS], metavar=("FROM", "TO"))
    parser.add_argument("--report", action="store_true", help="run nothing")
    arguments = parser.parse_args()
    if not arguments.report:
        run(arguments.arms, arguments.problems, range(*arguments.seeds))


if __name__ == "__main__":
    main()
