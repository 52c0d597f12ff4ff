"""Draw docs/nas.png, where searches go on the problem that can be solved on paper, and docs/nas_search.png, on digits.

OMP_NUM_THREADS=1 python docs/pictures/nas.py
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import torch
from scipy.stats import kendalltau
from torch import Tensor

import designopt as do
from designopt.launch import make_searcher
from designopt.report.nas_figures import shares
from designopt.search.nas.darts import DARTSSearch
from designopt.search.nas.hypergradient import Loss, exact, finite_difference
from designopt.search.nas.judging import judge
from designopt.search.nas.problem import Tensors
from designopt.search.nas.rarts import RARTSSearch

DOCS = Path(__file__).parents[1]
CELLS = np.indices((5, 5, 5)).reshape(3, -1).T.astype(float)
SEARCHES = [
    ("DARTS, first order", DARTSSearch, {"order": 1}),
    ("DARTS, xi = 0.1", DARTSSearch, {"order": "exact", "xi": 0.1}),
    ("DARTS, xi = 0.5", DARTSSearch, {"order": "exact", "xi": 0.5}),
    ("RARTS, 5 and 5", RARTSSearch, {"lam": 5.0, "beta": 5.0}),
    ("RARTS, 100 and 100", RARTSSearch, {"lam": 100.0, "beta": 100.0}),
]


def path(kind: type[DARTSSearch] | type[RARTSSearch], settings: dict[str, object], steps: int) -> np.ndarray:
    """(steps + 1, 2) a and w after every step."""
    search = kind(do.make("designopt/BilevelToy-v0"), kind.Config(**settings))
    batch = search.losses.validation
    points = [search.design()]
    for _ in range(steps):
        search.step(batch, batch)
        points.append(search.design())
    return np.array(points)


def toy() -> None:
    """Paths of searches on BilevelToy, and how far from the solution they end."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4))
    for name, kind, settings in SEARCHES:
        points = path(kind, settings, 20000)
        left.plot(*points.T, label=name, lw=1.5)
        left.plot(*points[-1], "o", color=left.lines[-1].get_color(), ms=5)
        right.loglog(np.arange(1, len(points)), np.abs(points[1:, 0] - 1), color=left.lines[-2].get_color(), lw=1.5)
    left.plot(1, 1, "k*", ms=12, label="solution", zorder=0)
    left.set(xlabel="a", ylabel="w", title="Path of (a, w)")
    left.legend(fontsize=8)
    right.set(xlabel="step", ylabel="|a - 1|", title="Distance from the solution")
    right.set_ylim(1e-3, 3)
    figure.tight_layout()
    figure.savefig(DOCS / "nas.png", dpi=110)


def pitfall() -> None:
    """Print how far the published finite difference is from the exact mixed product, with and without kinks."""
    lengths = (1e-1, 1e-2, 1e-3, 1e-4)
    print("| length | ReLU: cosine, relative error | SiLU: cosine, relative error |", "|---|---|---|", sep="\n")
    columns = [product_errors(activation, lengths) for activation in ("relu", "silu")]
    for length, *found in zip(lengths, *columns, strict=True):
        print(f"| {length:g} | " + " | ".join(f"{cosine:.5g}, {error:.2g}" for cosine, error in found) + " |")


def product_errors(activation: str, lengths: Sequence[float]) -> list[tuple[float, float]]:
    """(cosine, relative error) of the product at every length, on 64 digits after 60 steps of training, float64."""
    env = do.make("designopt/MiniNAS-v0", activation=activation)
    data, network = env.search_data(0), env.build_supernet(0).double()
    alpha = {"cell": (1e-3 * torch.randn(3, 5, generator=torch.Generator().manual_seed(0))).double()}
    halves = [(data.train_inputs, data.train_labels), (data.validation_inputs, data.validation_labels)]

    def loss_on(inputs: Tensor, labels: Tensor) -> Loss:
        def loss(w: Tensors, a: Tensors) -> Tensor:
            logits = torch.func.functional_call(network, w, (inputs, {"cell": a["cell"].softmax(1)}))
            return torch.nn.functional.cross_entropy(logits, labels)

        return loss

    train, validation = (loss_on(x[:64].double(), y[:64]) for x, y in halves)
    w = {name: value.detach() for name, value in network.named_parameters()}
    for _ in range(60):
        slope = torch.func.grad(train)(w, alpha)
        w = {name: w[name] - 0.025 * slope[name] for name in w}
    none = {name: torch.zeros_like(value) for name, value in w.items()}
    slope = torch.func.grad(train)(w, alpha)
    ahead = {name: w[name] - 0.025 * slope[name] for name in w}
    direct = torch.func.grad(validation, argnums=1)(ahead, alpha)["cell"]
    true = direct - exact(train, validation, w, alpha, 0.025, none)["cell"]
    found = []
    for length in lengths:
        near = direct - finite_difference(train, validation, w, alpha, 0.025, none, length)["cell"]
        cosine = torch.nn.functional.cosine_similarity(near.flatten(), true.flatten(), dim=0)
        found.append((float(cosine), float((near - true).norm() / true.norm())))
    return found


def digits() -> None:
    """One search of MiniNAS by each of three methods: weights, signs of collapse, regret, one-shot scores."""
    env = do.make("designopt/MiniNAS-v0")
    settings = {
        "darts": {"order": 1, "eigenvalue": "record"},
        "darts, stopped": {"order": 1, "eigenvalue": "stop"},
        "darts, exact": {"order": "exact"},
        "rarts": {},
    }
    searches = {}
    for name, values in settings.items():
        searches[name] = make_searcher(env, name.split(",")[0], seed=0, **values)
        searches[name].search()
        judge(searches[name], CELLS)
    figure, axes = plt.subplots(2, 3, figsize=(13, 7), layout="constrained")
    first = searches["darts"]
    rows = first.trace[:-1]
    epochs = [row["epoch"] for row in rows]
    for edge, panel in enumerate(axes[0]):
        for choice, name in enumerate(env.choice_names()["cell"]):
            panel.plot(epochs, shares(rows)["cell"][:, edge, choice], label=name)
        panel.set(title=f"darts: {env.design_space.names[edge]}", xlabel="epoch", ylabel="weight", ylim=(0, 1))
    axes[0, 0].legend(frameon=False, fontsize=8)
    warn, course, fidelity = axes[1]
    warn.plot(epochs, [row["skip_share"] for row in rows], label="share of skip")
    warn.plot(epochs, [row["none_share"] for row in rows], color="0.6", label="share of none")
    warn.set(title="darts: signs of collapse", xlabel="epoch", ylabel="mean weight", ylim=(0, None))
    curvature = warn.twinx()
    curvature.plot(epochs, [row["eigenvalue"] for row in rows], "C3:", label="eigenvalue (right)")
    lines = [*warn.lines, *curvature.lines]
    warn.legend(lines, [line.get_label() for line in lines], frameon=False, fontsize=8)
    for name, search in searches.items():
        seconds, regret = ([row[key] for row in search.trace[:-1]] for key in ("cpu_seconds", "regret"))
        course.step(seconds, regret, where="post", label=name)
        truth = env.truth(np.stack([search.design(), *CELLS]))
        print(f"{name}: {len(seconds)} epochs, {seconds[-1]:.1f} CPU s, regret {truth.max() - truth[0]:.2f}")
    course.set(title="regret of the cell of the moment", xlabel="CPU seconds", ylabel="points", ylim=(0, None))
    course.legend(frameon=False, loc="center")
    judged = first.trace[-1]
    tau = kendalltau(judged["one_shot"], judged["truth"]).statistic
    fidelity.plot(judged["one_shot"], judged["truth"], ".")
    fidelity.set(xlabel="inside the supernet (%)", ylabel="trained alone, test (%)")
    fidelity.set_title(f"darts: 125 cells, Kendall tau {tau:.2f}")
    figure.savefig(DOCS / "nas_search.png", dpi=100)


if __name__ == "__main__":
    toy()
    pitfall()
    digits()
