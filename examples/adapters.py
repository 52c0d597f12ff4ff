"""One design problem in four other libraries, and two of our backends at work inside them.

Run: python examples/adapters.py            (add --tune to start Ray as well)
"""

import sys
import tempfile

import optuna
import torch
from pymoo.core.mixed import MixedVariableGA
from pymoo.optimize import minimize
from torch.quasirandom import SobolEngine

import designopt as do
from designopt.adapters import OptunaSampler, TuneSearcher, to_botorch, to_optuna, to_pymoo, to_tune

SPACE = do.DesignSpace(
    width=do.Real(0.01, 0.1, unit="m"),
    height=do.Real(0.02, 0.3, unit="m", log=True),
    length=do.Ordinal([0.8, 1.0, 1.25], unit="m"),
    material=do.Categorical(["steel", "aluminium"]),
)
DENSITY = {"steel": 7850.0, "aluminium": 2700.0}  # kg/m^3
YIELD = {"steel": 250e6, "aluminium": 150e6}  # Pa


@do.design_env(SPACE, minimize=["mass"], constraints={"utilisation": "<= 1"}, units={"mass": "kg"})
def cantilever(width, height, length, material):
    """Rectangular cantilever with 2 kN at its tip: mass, limited by bending stress over yield stress."""
    stress = 6 * 2000.0 * length / (width * height**2)
    return {"mass": DENSITY[material] * width * height * length, "utilisation": stress / YIELD[material]}


def botorch_random():
    problem = to_botorch(cantilever)
    X = problem.bounds[0] + SobolEngine(problem.dim, seed=0).draw(512).double() * problem.bounds.diff(dim=0)
    rounded = problem.discrete_inds + problem.categorical_inds
    X[:, rounded] = X[:, rounded].round()
    value = torch.where(problem.is_feasible(X), problem(X), torch.inf)
    return value.min().item(), SPACE.decode(problem.designs(X[value.argmin()]))[0]


def pymoo_genetic():
    problem = to_pymoo(cantilever)
    result = minimize(problem, MixedVariableGA(pop_size=40), ("n_gen", 40), seed=0)
    return result.F[0], SPACE.decode(problem.designs(result.X))[0]


def optuna_study(sampler, trials):
    objective = to_optuna(cantilever)
    study = optuna.create_study(directions=objective.directions, sampler=sampler)
    study.optimize(objective, n_trials=trials)
    return study.best_value, study.best_params


def ray_tune():
    from ray import tune

    with tempfile.TemporaryDirectory() as folder:
        results = tune.Tuner(
            to_tune(cantilever),
            tune_config=tune.TuneConfig(
                search_alg=TuneSearcher("tpe", cantilever, seed=0), num_samples=16, max_concurrent_trials=2
            ),
            run_config=tune.RunConfig(storage_path=folder, verbose=0),
        ).fit()
    feasible = [r for r in results if r.metrics["constraints"]["utilisation"] <= 0]
    best = min(feasible, key=lambda r: r.metrics["mass"])
    return best.metrics["mass"], best.config


def main():
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    runs = {
        "BoTorch, Sobol' points": botorch_random,
        "pymoo, mixed-variable GA": pymoo_genetic,
        "Optuna, its own TPE": lambda: optuna_study(optuna.samplers.TPESampler(seed=0), 100),
        "Optuna, our GA": lambda: optuna_study(OptunaSampler("ga", seed=0), 400),
    }
    if "--tune" in sys.argv:
        runs["Ray Tune, our TPE"] = ray_tune
    for name, run in runs.items():
        mass, design = run()
        print(f"{name:26s} {mass:7.3f} kg  {design}")


if __name__ == "__main__":
    main()
