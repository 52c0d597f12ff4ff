"""Reference fronts and hypervolumes of the multi-objective environments.

Discrete spaces are enumerated, so those fronts are exact. On the others, NSGA-II of pymoo starts from the optimum of
each objective alone and random designs, once for each of four seeds; Gaussian steps of shrinking size around its front
follow. Every feasible design ever evaluated competes for the merged front.

    python benchmarks/reference_fronts.py            # several minutes on one core
    python benchmarks/reference_fronts.py DiscBrake  # only this one
"""

import sys

import numpy as np
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.core.problem import Problem
from pymoo.optimize import minimize
from scipy.optimize import differential_evolution

import designopt
from designopt.metrics import hypervolume, non_dominated

NAMES = (
    "CarSideImpactMO",
    "ClutchBrake",
    "DiscBrake",
    "FourBarTruss",
    "GearTrainMO",
    "SpeedReducerMO",
    "TwoBarTruss",
    "VehicleSafety",
    "WeldedBeamMO",
)


class Archive:
    """The non-dominated ones of all feasible designs of an environment that it was shown."""

    def __init__(self, env):
        self.env = env
        self.unit = np.empty((0, env.design_space.dim))
        self.losses = np.empty((0, len(env.objectives)))
        self._waiting = []

    def evaluate(self, unit):
        """unit: (n, d) in the unit cube, discrete values rounded -> (n, m) losses, (n, k) constraints."""
        evaluation = self.env.evaluate(self.env.design_space.from_unit(unit))
        losses = evaluation.losses(self.env.objectives)
        self._waiting.append((unit[evaluation.feasible], losses[evaluation.feasible]))
        if sum(len(u) for u, _ in self._waiting) > 50_000:
            self.settle()
        return losses, evaluation.constraints

    def settle(self):
        """Keep the front only."""
        units, losses = zip((self.unit, self.losses), *self._waiting, strict=True)
        losses, first = np.unique(np.concatenate(losses), axis=0, return_index=True)
        keep = non_dominated(losses)
        self.unit, self.losses = np.concatenate(units)[first[keep]], losses[keep]
        self._waiting = []


class UnitCube(Problem):
    """An environment over the unit cube of its design space; the archive sees all that is evaluated."""

    def __init__(self, archive):
        space = archive.env.design_space
        m, k = len(archive.env.objectives), len(archive.env.constraints)
        super().__init__(n_var=space.dim, n_obj=m, n_ieq_constr=k, xl=0.0, xu=1.0)
        self.archive = archive

    def _evaluate(self, x, out, *args, **kwargs):
        out["F"], out["G"] = self.archive.evaluate(x)


def anchors(archive, seed):
    """-> (m, d) in the unit cube: the optimum of each objective alone, by differential evolution."""
    env, d = archive.env, archive.env.design_space.dim
    scale = np.array([c.scale for c in env.constraints])

    def loss(unit, j):
        losses, constraints = archive.evaluate(unit.T)
        violation = np.maximum(constraints / scale, 0).sum(axis=1)
        return np.where(violation > 0, 1e9 * (1 + violation), losses[:, j])

    options = {"vectorized": True, "updating": "deferred", "maxiter": 600, "tol": 1e-12, "polish": False, "rng": seed}
    each = range(len(env.objectives))
    return np.stack([differential_evolution(loss, [(0, 1)] * d, args=(j,), **options).x for j in each])


def evolved_front(env, *, seed, population=200, generations=300, rounds=40):
    """-> (p, m) front of all feasible designs that one run evaluated."""
    archive = Archive(env)
    rng = np.random.default_rng(seed)
    start = anchors(archive, seed)
    start = np.concatenate([start, rng.random((population - len(start), start.shape[1]))])
    minimize(UnitCube(archive), NSGA2(pop_size=population, sampling=start), ("n_gen", generations), seed=seed)
    archive.settle()
    for sigma in np.geomspace(0.1, 1e-4, rounds):
        parents = rng.choice(archive.unit, 20_000)
        moved = rng.random(parents.shape) < 0.5
        archive.evaluate(np.clip(parents + sigma * moved * rng.standard_normal(parents.shape), 0.0, 1.0))
    archive.settle()
    return archive.losses


def enumerated_front(env, chunk=200_000):
    """Exact front (p, m) of a space with discrete parameters only."""
    space = env.design_space
    columns = [
        np.array(p.values if isinstance(p, designopt.Ordinal) else range(p.low, p.high + 1), dtype=np.float64)
        for p in space.parameters.values()
    ]
    shape = [len(values) for values in columns]
    archive = Archive(env)
    total = int(np.prod(shape))
    for start in range(0, total, chunk):
        index = np.unravel_index(np.arange(start, min(start + chunk, total)), shape)
        designs = np.stack([c[i] for c, i in zip(columns, index, strict=True)], axis=1)
        archive.evaluate(space.to_unit(designs))
    archive.settle()
    return archive.losses


def reference_front(env, seeds=range(4), **size):
    """Front (p, m) and the hypervolume of each seed's own (empty when enumerated)."""
    if env.design_space.discrete.all():
        return enumerated_front(env), []
    fronts = [evolved_front(env, seed=seed, **size) for seed in seeds]
    front = np.unique(np.concatenate(fronts), axis=0)
    point = env.reference.reference_point
    return front[non_dominated(front)], [hypervolume(f, point) for f in fronts]


def main():
    for name in sys.argv[1:] or NAMES:
        env = designopt.make(f"designopt/{name}-v0")
        front, by_seed = reference_front(env)
        value = hypervolume(front, env.reference.reference_point)
        spread = (max(by_seed) - min(by_seed)) / value if by_seed else 0.0
        print(
            f"{name}: {len(front)} points from {front.min(0).round(6).tolist()} to {front.max(0).round(6).tolist()}, "
            f"hypervolume {value:.8g} at {env.reference.reference_point}, seeds differ by {spread:.1e}",
            flush=True,
        )


if __name__ == "__main__":
    main()
