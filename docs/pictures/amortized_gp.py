"""Draws docs/surrogates/amortized_gp.png: predictions from few designs beside a fit, and how training went.

OMP_NUM_THREADS=1 python docs/pictures/amortized_gp.py
"""

import warnings
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from botorch.fit import fit_gpytorch_mll
from botorch.models import SingleTaskGP
from botorch.models.transforms import Standardize
from gpytorch.mlls import ExactMarginalLogLikelihood

from designopt.surrogates import AmortizedGP
from designopt.surrogates.amortized_gp import WEIGHTS
from designopt.surrogates.training import read_weights

OUTPUT = Path(__file__).parents[1] / "surrogates" / "amortized_gp.png"
GATES = {"1,10": 0.78, "1,30": 0.95, "3,30": 0.84, "6,30": 0.65, "10,60": 0.50}


def fitted(X, Y):
    """BoTorch's default fit."""
    model = SingleTaskGP(X, Y, outcome_transform=Standardize(1))
    fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model))
    return model


def predictions(axes):
    """The same seven outputs of three functions, seen by both."""
    functions = {
        "a kink": lambda x: (x - 0.45).abs() * 3 - 0.6,
        "a trend": lambda x: 2 * x + 0.25 * torch.sin(9 * x) - 1,
        "a step": lambda x: torch.tanh(25 * (x - 0.6)),
    }
    x = torch.linspace(0, 1, 200, dtype=torch.double)[:, None]
    seen = torch.tensor([0.05, 0.2, 0.3, 0.5, 0.68, 0.8, 0.95], dtype=torch.double)[:, None]
    agp = AmortizedGP.load()
    for ax, (name, function) in zip(axes, functions.items(), strict=True):
        for colour, label, model in (
            ("C7", "BoTorch's fit", fitted(seen, function(seen))),
            ("C0", "agp", agp.condition_on(seen, function(seen))),
        ):
            with torch.no_grad():
                posterior = model.posterior(x[:, None])
            mean, deviation = posterior.mean[:, 0, 0], posterior.variance[:, 0, 0].sqrt()
            ax.fill_between(x[:, 0], mean - 1.645 * deviation, mean + 1.645 * deviation, color=colour, alpha=0.25, lw=0)
            ax.plot(x, mean, color=colour, label=label)
        ax.plot(x, function(x), "k:", lw=1, label="truth")
        ax.plot(seen, function(seen), "ko", ms=4)
        ax.set(title=name, xlabel="x", xlim=(0, 1))
    axes[0].legend(frameon=False)


def training(ax):
    """The curve kept beside the shipped weights."""
    facts = read_weights(WEIGHTS)[1]
    curve, seconds = [], []
    for run in (*facts["history"], facts):
        begun = seconds[-1] if seconds else 0.0
        curve += run["curve"]
        seconds += [begun + row["cpu_seconds"] for row in run["curve"]]
    for k, (name, gate) in enumerate(GATES.items()):
        d, n = name.split(",")
        ax.plot(seconds, [row[name] for row in curve], color=f"C{k}", label=f"d = {d}, n = {n}")
        ax.axhline(gate, color=f"C{k}", ls="--", lw=0.8)
    ax.set(title="training; dashed: gates", xlabel="CPU seconds", ylabel="share of the available gain", ylim=(0.2, 1))
    ax.legend(frameon=False, fontsize=8, loc="lower right")


def main():
    """Draw all."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    figure, axes = plt.subplots(1, 4, figsize=(15, 3.6), layout="constrained")
    predictions(axes[:3])
    training(axes[3])
    OUTPUT.parent.mkdir(exist_ok=True)
    figure.savefig(OUTPUT, dpi=110)


if __name__ == "__main__":
    main()
