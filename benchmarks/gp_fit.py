"""Fitting one Gaussian process per output: ours beside BoTorch's own fit, on the same data in the same run.

    OMP_NUM_THREADS=1 python benchmarks/gp_fit.py

Ours runs an L-BFGS of its own for every output, all batched; BoTorch is given its batched SingleTaskGP (one L-BFGS over
the sum) and a ModelListGP (one fit after the other). Beside the time stands the mean negative log predictive density of
200 held-out designs, so that speed is not bought with worse models. Writes docs/benchmarks/gp_fit.md.
"""

import time
import warnings
from pathlib import Path

import numpy as np
import torch
from botorch.fit import fit_gpytorch_mll
from botorch.models import ModelListGP, SingleTaskGP
from botorch.models.transforms import Standardize
from gpytorch.mlls import ExactMarginalLogLikelihood, SumMarginalLogLikelihood

import designopt as do
from designopt.provenance import versions
from designopt.surrogates.gp import fit_gp

OUTPUT = Path(__file__).parents[1] / "docs" / "benchmarks" / "gp_fit.md"
CASES = [
    ("WeldedBeam", 40),
    ("PressureVessel", 60),
    ("CarSideImpact", 60),
    ("CantileverBeam", 60),
    ("CantileverBeam", 100),
]
REPEATS = 3


def batched(X, Y):
    model = SingleTaskGP(X, Y, outcome_transform=Standardize(Y.shape[1]))
    fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model))
    return model


def listed(X, Y):
    models = [SingleTaskGP(X, Y[:, [i]], outcome_transform=Standardize(1)) for i in range(Y.shape[1])]
    model = ModelListGP(*models)
    fit_gpytorch_mll(SumMarginalLogLikelihood(model.likelihood, model))
    return model


def data(env, n, seed):
    """Unit-coded designs, and bilog outputs: heavy tails would blur the comparison."""
    designs = env.design_space.sample(n, seed)
    evaluation = env.evaluate(designs)
    outputs = np.concatenate([evaluation.objectives, evaluation.constraints], axis=1)
    return torch.tensor(env.design_space.to_unit(designs)), torch.tensor(np.sign(outputs) * np.log1p(np.abs(outputs)))


def density(model, X, Y):
    with torch.no_grad():
        posterior = model.posterior(X[:, None])
        mean, variance = posterior.mean[:, 0], posterior.variance[:, 0]
    scale = Y.std(dim=0)
    deviation = variance.sqrt() / scale
    return float((0.5 * ((Y - mean) / scale / deviation) ** 2 + deviation.log() + 0.5 * np.log(2 * np.pi)).mean())


def main():
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    fits = {"designopt": fit_gp, "BoTorch, batched": batched, "BoTorch, one by one": listed}
    env = do.make("designopt/WeldedBeam-v0")
    for fit in fits.values():
        fit(*data(env, 10, 0))  # first calls import and compile
    lines = ["| problem | n | d | outputs | fit | CPU s | held-out NLPD |", "|---|---|---|---|---|---|---|"]
    for name, n in CASES:
        env = do.make(f"designopt/{name}-v0")
        test = data(env, 200, 1000)
        for label, fit in fits.items():
            seconds, densities = [], []
            for seed in range(REPEATS):
                X, Y = data(env, n, seed)
                started = time.process_time()
                model = fit(X, Y)
                seconds.append(time.process_time() - started)
                densities.append(density(model, *test))
            size = f"{n} | {X.shape[1]} | {Y.shape[1]}"
            lines.append(f"| {name} | {size} | {label} | {np.median(seconds):.3f} | {np.median(densities):.2f} |")
            print(lines[-1], flush=True)
    used = ", ".join(f"{k} {v}" for k, v in versions().items() if k in ("python", "torch", "botorch", "gpytorch"))
    head = [
        "# Fitting the models",
        "",
        "One Gaussian process per output (objectives and constraints), default settings of each, one thread; medians "
        f"over {REPEATS} random designs of experiments (seeds 0 to {REPEATS - 1}). NLPD: mean negative log predictive "
        "density of 200 other designs, outputs in units of their standard deviation; lower is better.",
        "",
        f"Command: `OMP_NUM_THREADS=1 python benchmarks/gp_fit.py`. Versions: {used}.",
        "",
    ]
    OUTPUT.write_text("\n".join([*head, *lines, ""]))
    print(OUTPUT)


if __name__ == "__main__":
    main()
