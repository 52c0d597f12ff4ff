"""The vectorised NSGA-II of counterfactual search beside pymoo's, on the two-dimensional example, in one run.

    OMP_NUM_THREADS=1 python benchmarks/counterfactual_nsga2.py

Same variation, starts, population and number of evaluations; prints CPU seconds and hypervolume, medians of five seeds.
"""

import time

import numpy as np
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.core.crossover import Crossover
from pymoo.core.mutation import Mutation
from pymoo.core.problem import Problem as PymooProblem
from pymoo.optimize import minimize

import designopt as do
from designopt import metrics
from designopt.counterfactual import OneOf, Problem
from designopt.search.counterfactual.archive import Archive
from designopt.search.counterfactual.evolution import Evolution, initial

CALLS, POPULATION, SEEDS = 10_000, 100, 5
ENV = do.make("designopt/ArcsAndDisc-v0")
DATA = np.random.default_rng(0).uniform(-1.1, 1.1, (1000, 2))
SPACE = do.DesignSpace(x1=do.Real(-1.1, 1.1), x2=do.Real(-1.1, 1.1))
PROBLEM = Problem(SPACE, np.zeros(2), DATA, {"valid": OneOf(("1",))})
KNOWN = ENV.evaluate(DATA).metrics["valid"].astype(bool)


def outputs(designs):
    return {"valid": ENV.evaluate(designs).metrics["valid"]}


def start(seed):
    rng = np.random.default_rng(seed)
    return Archive(PROBLEM), Evolution(PROBLEM, initial(PROBLEM, KNOWN, rng, POPULATION), rng, POPULATION)


def own(seed):
    archive, evolution = start(seed)
    evolution.tell(archive.add(evolution.starts, outputs(evolution.starts))[0])
    while archive.calls < CALLS:
        children = evolution.children(POPULATION)
        evolution.tell(archive.add(children, outputs(children))[0])
    return archive


def pymoos(seed):
    archive, evolution = start(seed)

    class Wrapped(PymooProblem):
        def __init__(self):
            super().__init__(n_var=2, n_obj=3, n_ieq_constr=1, xl=-1.1, xu=1.1)

        def _evaluate(self, x, out, *args, **kwargs):
            told, _ = archive.add(x, outputs(x))
            out["F"], out["G"] = np.nan_to_num(told.objectives, nan=1e3), told.violation[:, None]

    class Varied(
        Crossover
    ):  # the operators of the other one; how often it reverts is that of a population with valid ones
        def __init__(self):
            super().__init__(2, 1, prob=1.0)

        def _do(self, problem, parents, **kwargs):
            evolution.population.violation = np.zeros(len(evolution.population))
            return evolution._vary(parents[0], parents[1])[None]

    class Nothing(Mutation):
        def _do(self, problem, designs, **kwargs):
            return designs

    evolution.population = archive.add(evolution.starts, outputs(evolution.starts))[0]
    archive.calls = 0
    algorithm = NSGA2(pop_size=POPULATION, sampling=evolution.starts, crossover=Varied(), mutation=Nothing())
    minimize(Wrapped(), algorithm, ("n_eval", CALLS), seed=seed, verbose=False)
    return archive


def main():
    own(99)  # kernels are compiled before anything is timed
    for name, search in (("designopt", own), ("pymoo", pymoos)):
        seconds, volumes = [], []
        for seed in range(SEEDS):
            began = time.process_time()
            found = search(seed).objectives
            seconds.append(time.process_time() - began)
            volumes.append(metrics.hypervolume(found[metrics.non_dominated(found)], (1, 1, 1)))
        print(f"{name}: {np.median(seconds):.3f} CPU s, hypervolume {np.median(volumes):.4f}")


if __name__ == "__main__":
    main()
