"""What a Bayesian search believes: models of all outputs, and designs that count as evaluated."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from designopt.parameters import Array
from designopt.search.acquisition import marginals
from designopt.search.maximise import Acquisition
from designopt.surrogates.amortized_gp import STEPS
from designopt.surrogates.gp import fit_gp
from designopt.surrogates.warp import Choice, Warp, fit_warped, spread

SURROGATES = ("gp", "pfn", "agp")
JUDGED, ROUGH = 64, 6
"""Designs and steps of inference by which warpings are compared for a network."""


class Conditioned(Protocol):
    """A model that has seen data; inputs are unit-coded designs."""

    def posterior(self, X: Tensor) -> Any:
        """X: (..., q, d) -> BoTorch posterior over (..., q, outputs)."""

    def condition(self, X: Tensor, Y: Tensor) -> Conditioned:
        """The model that has also seen X: (p, d) and their outputs Y: (p, outputs)."""


class Surrogate(Protocol):
    """How models come from data."""

    @property
    def most_points(self) -> float:
        """The longest history that it can take in."""

    def plain(self, X: Tensor, Y: Tensor) -> Conditioned:
        """Models of outputs Y (n, m) as they are."""

    def evaluable(self, X: Tensor, ok: Tensor) -> Acquisition:
        """The log probability that a design can be evaluated, given which of (n, d) designs were, (n,)."""

    def warped(self, X: Tensor, Y: Array, pivots: Array) -> tuple[Conditioned, Tensor, list[Warp]]:
        """Models of warped outputs, the warped outputs (n, m), and the m warpings, each around its pivot."""


@dataclass(frozen=True)
class Fitted:
    """Gaussian processes fitted to the data, output by output."""

    categorical: NDArray[np.bool_]
    most_points: float = float("inf")

    def plain(self, X: Tensor, Y: Tensor) -> Conditioned:
        """See ``Surrogate``."""
        return fit_gp(X, Y, self.categorical)

    def evaluable(self, X: Tensor, ok: Tensor) -> Acquisition:
        """See ``Surrogate``: a process of -1 where evaluations succeeded and 1 where not, negative where they will."""
        model = self.plain(X, torch.where(ok, -1.0, 1.0)[:, None].to(X))
        return lambda X: marginals(model, X)[:, 0].log_cdf(0.0)

    def warped(self, X: Tensor, Y: Array, pivots: Array) -> tuple[Conditioned, Tensor, list[Warp]]:
        """See ``Surrogate``."""
        model, warps = fit_warped(X, Y, pivots, self.categorical)
        return model, model.Y, warps


@dataclass(frozen=True)
class Pretrained:
    """A network that reads the data in context.

    Attributes:
        network: a loaded ``PFN`` or ``AmortizedGP``.
        categorical: (d,) which columns are categories.
        judge: an ``AmortizedGP``, whose evidence decides how outputs are warped.
    """

    network: Any
    categorical: NDArray[np.bool_]
    judge: Any

    @property
    def most_points(self) -> float:
        """The longest context of its training."""
        return float(self.network.most_points)

    def plain(self, X: Tensor, Y: Tensor) -> Conditioned:
        """See ``Surrogate``."""
        model: Conditioned = self.network.condition_on(X, Y, self.categorical)
        return model

    def evaluable(self, X: Tensor, ok: Tensor) -> Acquisition:
        """See ``Surrogate``: by a classifier that reads the labels in context."""
        model = shipped("classifier", X.device.type).condition_on(X, ok, self.categorical)
        return lambda X: model.log_probability(X[:, 0])

    def warped(self, X: Tensor, Y: Array, pivots: Array) -> tuple[Conditioned, Tensor, list[Warp]]:
        """See ``Surrogate``."""
        choice = Choice.of(Y, pivots)
        Z, slopes = torch.as_tensor(choice.Z).to(X), torch.as_tensor(choice.slopes).to(X)
        rows = spread(len(X), JUDGED).to(X.device)
        judged = self.judge.condition_on(X[rows], Z[rows], self.categorical, steps=ROUGH)
        best = choice.most_probable(judged.evidence + slopes[rows].sum(dim=0))
        Z, warps = Z[:, best], [choice.warps[i] for i in best]
        if self.network is not self.judge:
            return self.plain(X, Z), Z, warps
        model = self.judge.condition_on(X, Z, self.categorical, steps=STEPS - ROUGH, after=judged.state.rows(best))
        return model, Z, warps


@cache
def shipped(name: str, device: str) -> Any:
    """The network of that name with the weights that come with designopt, loaded once per process."""
    if name == "classifier":
        from designopt.surrogates.classifier import FeasibilityClassifier

        return FeasibilityClassifier.load(device=device)
    if name == "pfn":
        from designopt.surrogates.pfn.pfn import PFN

        return PFN.load(device=device)
    from designopt.surrogates.amortized_gp import AmortizedGP

    return AmortizedGP.load(device=device)


@dataclass(frozen=True)
class Beliefs:
    """Models, and the designs that count as evaluated: those told, then others with the outcome expected of them.

    Attributes:
        model: of the warped outputs, losses first.
        evaluable: log probability that a design can be evaluated; None when all could.
        X, Z: (n, d) designs in the unit coding and their (n, m + k) warped outputs.
        limits: (k,) values up to which warped constraints hold.
        warps: of the losses.
    """

    model: Conditioned
    evaluable: Acquisition | None
    X: Tensor
    Z: Tensor
    limits: Tensor
    warps: list[Warp]

    def expecting(self, X: Tensor) -> Beliefs:
        """The beliefs held if the designs (p, d) turned out as expected."""
        if len(X) == 0:
            return self
        Z = expected(self.model, X)
        return replace(self, model=self.model.condition(X, Z), X=torch.cat([self.X, X]), Z=torch.cat([self.Z, Z]))

    def failing(self, X: Tensor, surrogate: Surrogate) -> Beliefs:
        """The beliefs of one who knows, too, that the designs (p, d) have no values.

        Their neighbours are likely to have none either. That none came is no reason to go there and see, so ``model``
        rests on expected ones there.
        """
        if len(X) == 0:
            return self
        ok = torch.arange(len(self.X) + len(X), device=X.device) < len(self.X)
        evaluable = surrogate.evaluable(torch.cat([self.X, X]), ok)
        return replace(self, model=self.model.condition(X, expected(self.model, X)), evaluable=evaluable)


def expected(model: Conditioned, X: Tensor) -> Tensor:
    """X: (p, d) -> (p, m + k) posterior means; to condition a model on them does not move its mean elsewhere."""
    mean: Tensor = model.posterior(X[:, None]).mean[:, 0]
    return mean


def memorable(losses: Array, violation: Array, n: int) -> NDArray[np.int64]:
    """Which n of more told designs a network is shown, sorted.

    A third are the best (feasible ones by loss, then infeasible ones by violation), a third the others nearest to the
    boundary of what is feasible, the rest those told last.

    Args:
        losses: (N,), in the order of telling.
        violation: (N,) of the constraints, less than 0 by the distance to the nearest where all hold.
        n: less than N.
    """
    best = np.lexsort((losses, np.maximum(violation, 0.0)))
    near = np.argsort(np.abs(violation), kind="stable")
    last = np.arange(len(losses))[::-1]
    kept: dict[int, None] = {}
    for order, size in ((best, n // 3), (near, 2 * (n // 3)), (last, n)):
        for row in order.tolist():
            if len(kept) == size:
                break
            kept[row] = None
    return np.sort(np.fromiter(kept, dtype=np.int64))
