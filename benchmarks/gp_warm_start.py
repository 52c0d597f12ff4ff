"""Whether the Gaussian process fit gains from beginning where the amortised one ends.

    OMP_NUM_THREADS=1 python benchmarks/gp_warm_start.py

The same data, the same fit, two starts; beside them the amortised Gaussian process without any fitting. CPU seconds of
the fit (of the inference included), and the mean negative log predictive density of 200 held-out designs. BoTorch's own
fit of a SingleTaskGP per output is tried with both starts too. Writes docs/benchmarks/gp_warm_start.md.
"""

import math
import time
import warnings
from pathlib import Path

import numpy as np
import torch
from botorch.fit import fit_gpytorch_mll
from botorch.models import SingleTaskGP
from botorch.models.transforms import Standardize
from gpytorch.mlls import ExactMarginalLogLikelihood

import designopt as do
from designopt.provenance import versions
from designopt.surrogates import AmortizedGP
from designopt.surrogates.gp import amortized_hyperparameters, as_mask, fit_gp

OUTPUT = Path(__file__).parents[1] / "docs" / "benchmarks" / "gp_warm_start.md"
CASES = [("WeldedBeam", 20), ("WeldedBeam", 40), ("PressureVessel", 60), ("CarSideImpact", 60), ("CantileverBeam", 100)]
REPEATS = 3


def botorch_fit(X, Y, warm):
    model = SingleTaskGP(X, Y, outcome_transform=Standardize(Y.shape[1]))
    if warm:
        y = model.train_targets.reshape(Y.shape[1], -1)
        d = X.shape[1]
        theta = amortized_hyperparameters(X, y, as_mask(None, X))  # its variance has no place in BoTorch's model
        relative = (theta[:, d + 1] - theta[:, d]).clamp(math.log(2e-4), 1.0)
        with torch.no_grad():
            shape = model.covar_module.lengthscale.shape
            model.covar_module.lengthscale = theta[:, :d].exp().clamp(0.03, 100).reshape(shape)
            model.likelihood.noise = relative.exp().reshape(model.likelihood.noise.shape)
            model.mean_module.constant.copy_(theta[:, d + 2].reshape(model.mean_module.constant.shape))
    fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model))
    return model


FITS = {
    "designopt": lambda X, Y: fit_gp(X, Y),
    'designopt, warm_start="agp"': lambda X, Y: fit_gp(X, Y, warm_start="agp"),
    "BoTorch, batched": lambda X, Y: botorch_fit(X, Y, False),
    "BoTorch, batched, from agp": lambda X, Y: botorch_fit(X, Y, True),
    "agp, nothing fitted": lambda X, Y: AmortizedGP.load().condition_on(X, Y),
}


def data(env, n, seed):
    """Unit-coded designs, and bilog outputs: heavy tails would blur the comparison."""
    designs = env.design_space.sample(n, seed)
    evaluation = env.evaluate(designs)
    outputs = np.concatenate([evaluation.objectives, evaluation.constraints], axis=1)
    return torch.tensor(env.design_space.to_unit(designs)), torch.tensor(np.sign(outputs) * np.log1p(np.abs(outputs)))


def density(model, X, Y):
    """Mean NLPD of each output, in units of its deviation."""
    with torch.no_grad():
        posterior = model.posterior(X[:, None], observation_noise=True)
        mean, variance = posterior.mean[:, 0], posterior.variance[:, 0]
    scale = Y.std(dim=0)
    deviation = variance.sqrt() / scale
    nlpd = 0.5 * ((Y - mean) / scale / deviation) ** 2 + deviation.log() + 0.5 * np.log(2 * np.pi)
    return nlpd.mean(dim=0)


def main():
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    for fit in FITS.values():
        fit(*data(do.make("designopt/WeldedBeam-v0"), 10, 0))  # first calls import and compile
    lines = [
        "| problem | n | d | outputs | fit | CPU s | mean NLPD | median over outputs |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, n in CASES:
        env = do.make(f"designopt/{name}-v0")
        test = data(env, 200, 1000)
        for label, fit in FITS.items():
            seconds, densities = [], []
            for seed in range(REPEATS):
                X, Y = data(env, n, seed)
                started = time.process_time()
                model = fit(X, Y)
                seconds.append(time.process_time() - started)
                densities.append(density(model, *test))
            nlpd = torch.stack(densities)
            lines.append(
                f"| {name} | {n} | {X.shape[1]} | {Y.shape[1]} | {label} | {np.median(seconds):.3f} "
                f"| {nlpd.mean():.2f} | {nlpd.median():.2f} |"
            )
            print(lines[-1], flush=True)
    used = ", ".join(f"{k} {v}" for k, v in versions().items() if k in ("python", "torch", "botorch", "gpytorch"))
    OUTPUT.write_text(
        "# Starting the fit from the amortised Gaussian process\n\n"
        "The same data, the same fit, two starts. One thread; medians of the CPU time over 3 random designs of "
        "experiments (seeds 0 to 2), inference by the network included. NLPD: negative log predictive density of 200 "
        "other designs, outputs under bilog and in units of their standard deviation; lower is better. The mean is "
        "ruled by single outputs of which a model is too sure, the median is not.\n\n"
        f"Command: `OMP_NUM_THREADS=1 python benchmarks/gp_warm_start.py`. Versions: {used}.\n\n"
        + "\n".join(lines)
        + "\n"
    )


if __name__ == "__main__":
    main()
