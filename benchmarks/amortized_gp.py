"""What the amortised Gaussian process predicts, beside BoTorch's fit, N(0, 1) and the oracle; and its time.

    OMP_NUM_THREADS=1 python benchmarks/amortized_gp.py

Held-out functions of the HEBO+ prior (``designopt.surrogates.heldout``) and nine functions of the literature
(``designopt.surrogates.pfn.classical``). BoTorch's fits are slow and kept in docs/benchmarks/amortized_gp.jsonl; delete
it to fit again. Writes docs/benchmarks/amortized_gp.md.
"""

import json
import math
import time
import warnings
from pathlib import Path

import torch
from botorch.fit import fit_gpytorch_mll
from botorch.models import SingleTaskGP
from gpytorch.mlls import ExactMarginalLogLikelihood

from designopt.provenance import versions
from designopt.surrogates import AmortizedGP, heldout
from designopt.surrogates.pfn.classical import FUNCTIONS

DOCS = Path(__file__).parents[1] / "docs" / "benchmarks"
FITTED = 50
"""Functions of each held-out cell that BoTorch is fitted to."""
NORMAL90 = 1.6448536


def botorch(X, y, X_new):
    """Mean and variance of observations, (q,) each, by BoTorch's default fit of one output."""
    model = SingleTaskGP(X, y[:, None])
    fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model))
    posterior = model.posterior(X_new[:, None], observation_noise=True)
    return posterior.mean[:, 0, 0].detach(), posterior.variance[:, 0, 0].detach()


def amortized(agp):
    def predict(X, y, X_new):
        posterior = agp.condition_on(X, y[:, None]).posterior(X_new[:, None], observation_noise=True)
        return posterior.mean[:, 0, 0], posterior.variance[:, 0, 0]

    return predict


def judged(predict, X, y, n):
    """Negative log densities, and whether 90 % intervals cover, each (b, q); CPU seconds per function."""
    nll, covered, started = [], [], time.process_time()
    for Xi, yi in zip(X, y, strict=True):
        mean, variance = predict(Xi[:n], yi[:n], Xi[n:])
        z = (yi[n:] - mean) / variance.sqrt()
        nll.append(0.5 * (z**2 + variance.log() + math.log(2 * math.pi)))
        covered.append((z.abs() < NORMAL90).double())
    return torch.stack(nll), torch.stack(covered), (time.process_time() - started) / len(X)


def row(label, case, predict, X, y, n):
    nll, covered, seconds = judged(predict, X, y, n)
    by_function = nll.mean(-1)
    return {
        "method": label,
        "case": case,
        "functions": len(X),
        "mean": float(by_function.mean()),
        "median": float(by_function.median()),
        "coverage": float(covered.mean()),
        "cpu_seconds": seconds,
    }


def cases():
    """Label, designs (b, n + q, d), outputs (b, n + q), n."""
    for d, n in heldout.CELLS:
        cell = heldout.cell(d, n)
        yield f"{d},{n}", cell.tasks.X, cell.y, n
    for name, function in FUNCTIONS.items():
        yield (name, *function.tasks(), function.n)


def fitted(store):
    """BoTorch's rows, fitted once."""
    rows = [json.loads(line) for line in store.read_text().splitlines()] if store.exists() else []
    done = {row["case"] for row in rows}
    for case, X, y, n in cases():
        if case not in done:
            rows.append(row("BoTorch", case, botorch, X[:FITTED], y[:FITTED], n))
            with store.open("a") as file:
                file.write(json.dumps(rows[-1]) + "\n")
            print(rows[-1], flush=True)
    return rows


def main():
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    fitted(DOCS / "amortized_gp.jsonl")


if __name__ == "__main__":
    main()
