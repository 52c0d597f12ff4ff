"""Tasks and loss on which the amortised Gaussian process is trained."""

from __future__ import annotations

from dataclasses import asdict, replace

import torch
from torch import Generator, Tensor

from designopt.surrogates import heldout
from designopt.surrogates.inference_network import Architecture, InferenceNetwork
from designopt.surrogates.priors import HEBO_PLUS, WIDE
from designopt.surrogates.training import Recipe, TrainingConfig

PARAMETERS = (1, 18)
CONTEXT = (4, 200)
"""Smallest and largest numbers of parameters and of context designs, both trained on."""
STEPS = (3, 8)
"""Of inference; with a fixed number the network is worse at any other."""
QUERIES, POINTS, LIMIT = 32, 2048, 12.0
PRIORS = (HEBO_PLUS, HEBO_PLUS, HEBO_PLUS, replace(WIDE, categorical=0.3))
"""Each of an equal share of the training batches."""


def loss(network: InferenceNetwork, rng: Generator) -> Tensor:
    """Mean negative log density of held-out outputs over all steps of inference; the last counts twice."""

    def between(low: int, high: int) -> int:
        return int(torch.randint(low, high + 1, (), generator=rng, device=rng.device))

    def of_any_size(low: int, high: int) -> int:
        """Log-uniform: else few batches would have the few parameters or designs at which there is most to learn."""
        share = float(torch.rand((), generator=rng, device=rng.device))
        return int(low * ((high + 1) / low) ** share)

    d, n, steps = of_any_size(*PARAMETERS), of_any_size(*CONTEXT), between(*STEPS)
    batch = min(64, max(4, POINTS // (n + QUERIES)))
    tasks = PRIORS[between(0, len(PRIORS) - 1)].sample(batch, n + QUERIES, d, rng)
    y = tasks.standardised(n, LIMIT)  # a few designs alike would give outputs of hundreds of deviations
    fits = network(tasks.X[:, :n], y[:, :n], tasks.categorical, steps)
    losses = torch.stack([-fit.log_density(tasks.X[:, n:], y[:, n:]).mean() for fit in fits])
    return (losses.sum() + losses[-1]) / (steps + 1)


@torch.no_grad()
def measure(network: InferenceNetwork, steps: int = STEPS[1]) -> dict[str, float]:
    """Share of the available gain in every held-out cell, and how much the log length-scales spread over parameters.

    A network that has found only one common length-scale has a spread of 0.
    """
    found = {}
    for d, n in heldout.CELLS:
        cell = heldout.cell(d, n)
        categorical = torch.zeros(d, dtype=torch.bool, device=cell.y.device)
        fit = network(*cell.context, categorical, steps)[-1]
        found[f"{d},{n}"] = cell.share(float(-fit.log_density(*cell.queries).mean()))
        if d > 1:
            found[f"spread {d},{n}"] = float(fit.theta.log_weights.std(dim=-1).mean())
    return found


RECIPE = Recipe(
    build=lambda: InferenceNetwork(Architecture()),
    loss=loss,
    measure=measure,
    facts={
        "model": "agp",
        "architecture": asdict(Architecture()),
        "most_points": CONTEXT[1],
        "most_dimensions": PARAMETERS[1],
    },
    config=TrainingConfig(steps=6000),
)
