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
from dataclasses import replace
from pathlib import Path

import torch
from botorch.fit import fit_gpytorch_mll
from botorch.models import SingleTaskGP
from gpytorch.mlls import ExactMarginalLogLikelihood

from designopt.provenance import versions
from designopt.surrogates import AmortizedGP, heldout
from designopt.surrogates.amortized_gp import STEPS
from designopt.surrogates.pfn.classical import FUNCTIONS

DOCS = Path(__file__).parents[1] / "docs" / "benchmarks"
FITTED = 50
"""Functions of each held-out cell that BoTorch is fitted to."""
GATES = (0.78, 0.95, 0.84, 0.65, 0.50)
"""Shares of the available gain to reach in each of ``heldout.CELLS``."""
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


def share(case, mean):
    """Of the available gain on the functions that BoTorch is fitted to; empty for functions without an oracle."""
    if case in FUNCTIONS:
        return ""
    d, n = map(int, case.split(","))
    cell = heldout.cell(d, n)
    normal = 0.5 * (cell.queries[1][:FITTED].square() + math.log(2 * math.pi)).mean()
    first = replace(cell, normal=float(normal), oracle=float(heldout.oracle_nll(cell.tasks, n)[:FITTED].mean()))
    return f"{first.share(mean):.3f}"


def beside(fits, agp):
    """Table: BoTorch's fit and the amortised Gaussian process on the same functions."""
    lines = [
        "| functions | number | fit: NLL mean / median | share of gain | 90 % cover | CPU s | agp: NLL mean / median "
        "| share of gain | 90 % cover | CPU s |",
        "|---" * 10 + "|",
    ]
    means = {"fit": [], "agp": []}
    found = {case: row("agp", case, amortized(agp), X[:FITTED], y[:FITTED], n) for case, X, y, n in cases()}
    for fit in fits:
        case, cells = fit["case"], [fit["case"], str(fit["functions"])]
        for label, r in (("fit", fit), ("agp", found[case])):
            cells += [f"{r['mean']:.3f} / {r['median']:.3f}", share(case, r["mean"]), f"{r['coverage']:.3f}"]
            cells.append(f"{r['cpu_seconds']:.3f}")
            if case in FUNCTIONS:
                means[label].append(r["mean"])
        lines.append("| " + " | ".join(cells) + " |")
    mean = {label: f"{sum(values) / len(values):.3f}" for label, values in means.items()}
    lines.append(f"| **mean of the nine** | | **{mean['fit']}** | | | | **{mean['agp']}** | | | |")
    return lines


def gates(agp):
    """Table: the held-out cells, all functions."""
    lines = [
        "| parameters, designs | N(0, 1) | oracle | agp | share of gain | gate | 90 % cover |",
        "|---" * 7 + "|",
    ]
    for (d, n), gate in zip(heldout.CELLS, GATES, strict=True):
        cell = heldout.cell(d, n)
        fit = agp.network(*cell.context, torch.zeros(d, dtype=torch.bool), STEPS)[-1]
        mean, variance = fit.predict(cell.queries[0])
        z = (cell.queries[1] - mean) / variance.sqrt()
        nll = float((0.5 * (z**2 + variance.log() + math.log(2 * math.pi))).mean())
        cover = float((z.abs() < NORMAL90).double().mean())
        lines.append(
            f"| {d}, {n} | {cell.normal:.3f} | {cell.oracle:.3f} | {nll:.3f} | **{cell.share(nll):.3f}** | {gate:.2f} "
            f"| {cover:.3f} |"
        )
    return lines


def times(agp):
    """Table: milliseconds of CPU at n = 100, d = 10, m = 6; the least of several, for the machine may be busy."""
    rng = torch.Generator().manual_seed(0)
    X = torch.rand(100, 10, generator=rng, dtype=torch.double)
    Y = torch.stack([torch.sin((k + 1) * X[:, k]) + X[:, k + 1] for k in range(6)], dim=1)
    model = agp.condition_on(X, Y)
    few = torch.rand(6, 1, 10, dtype=torch.double, requires_grad=True)

    def step():
        posterior = model.posterior(few)
        (posterior.mean + posterior.variance).sum().backward()

    tried = {
        "load the shipped weights": AmortizedGP.load,
        "condition on 100 designs, 10 parameters, 6 outputs": lambda: agp.condition_on(X, Y),
        "posterior of 6 outputs at 1000 designs": lambda: model.marginals(torch.rand(1000, 10, dtype=torch.double)),
        "posterior at 6 designs and its gradient (a step of L-BFGS)": step,
    }
    lines = ["| | CPU ms |", "|---|---|"]
    for label, run in tried.items():
        seconds = []
        for _ in range(20):
            started = time.process_time()
            run()
            seconds.append(time.process_time() - started)
        lines.append(f"| {label} | {1000 * min(seconds):.1f} |")
    return lines


def main():
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    fits = fitted(DOCS / "amortized_gp.jsonl")
    agp = AmortizedGP.load()
    used = ", ".join(f"{k} {v}" for k, v in versions().items() if k in ("python", "torch", "botorch", "gpytorch"))
    (DOCS / "amortized_gp.md").write_text(
        "# The amortised Gaussian process\n\n"
        "Negative log predictive density in nats, outputs in units of the context's mean and deviation; lower is "
        "better. One thread.\n\n"
        f"Command: `OMP_NUM_THREADS=1 python benchmarks/amortized_gp.py`. Versions: {used}.\n\n"
        "## Held-out functions of the HEBO+ prior\n\n"
        f"{heldout.FUNCTIONS} functions x {heldout.QUERIES} queries per cell. The oracle is the exact Gaussian process "
        "with the hyper-parameters that the function was drawn with.\n\n" + "\n".join(gates(agp)) + "\n\n"
        "## Beside BoTorch's fit\n\n"
        f"`fit`: BoTorch's SingleTaskGP with its default priors, fitted to each function by itself; the first {FITTED} "
        "functions of each cell, and nine noise-free functions of the literature, 10 random designs of experiments "
        "each.\n\n" + "\n".join(beside(fits, agp)) + "\n\n## Time\n\n" + "\n".join(times(agp)) + "\n"
    )


if __name__ == "__main__":
    main()
