"""Proxy models: ensembles of trees or of small networks that predict what a simulator says of a design.

References: [Krishnan2023] ArchGym, ISCA, section on proxy cost models (random forests per metric, log-scaled targets);
[Breiman2001] "Random forests", Machine Learning 45; docs/proxy_model.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from designopt import DesignEnv, DesignSpace, Evaluation
from designopt.parameters import Array, suggest

KINDS = ("forest", "mlp")


class Ensemble:
    """Predicts q outputs of designs; one model an output, each an average over members.

    Categories are spread over one column per choice, numbers are unit-coded. An output that is positive everywhere is
    learned as its logarithm (Box-Cox with lambda 0); all are standardised.

    Args:
        space: of the designs.
        kind: "forest" (random forest; members are trees) or "mlp" (networks of two hidden layers of 64 units, each
            trained on its own bootstrap sample).
        members: trees or networks.
        seed: of the bootstrap samples and weights.

    Raises:
        ValueError: another kind, or no members.
    """

    def __init__(
        self, space: DesignSpace, kind: Literal["forest", "mlp"] = "forest", members: int | None = None, seed: int = 0
    ) -> None:
        if kind not in KINDS:
            raise ValueError(f"kind = {kind!r}; {suggest(kind, KINDS)}")
        if members is not None and members < 1:
            raise ValueError(f"members = {members}; it must be at least 1")
        self.space = space
        self.kind = kind
        self.members = members or (100 if kind == "forest" else 5)
        self.seed = seed
        self._models: list[list[Any]] = []

    def fit(self, designs: Array, outputs: Array) -> Ensemble:
        """Learn from (n, d) designs and their (n, q) outputs. -> itself.

        Raises:
            ValueError: shapes that do not fit, fewer than two designs, or an output that is not finite.
        """
        outputs = np.asarray(outputs, dtype=np.float64)
        if outputs.ndim != 2 or len(outputs) != len(designs) or len(outputs) < 2:
            raise ValueError(
                f"outputs {outputs.shape} of designs {np.shape(designs)}: needed (n, q) and (n, d), n >= 2"
            )
        if not np.isfinite(outputs).all():
            raise ValueError("outputs hold NaN or inf; leave out designs without values")
        self._log = (outputs > 0).all(axis=0)
        values = self._scaled(outputs)
        self._mean, self._std = values.mean(axis=0), values.std(axis=0)
        self._std[self._std == 0] = 1.0
        x, y = self.space.one_hot(designs), (values - self._mean) / self._std
        seeds = np.random.SeedSequence(self.seed).spawn(y.shape[1])
        train = self._forest if self.kind == "forest" else self._networks
        self._models = [train(x, y[:, j], np.random.default_rng(seed)) for j, seed in enumerate(seeds)]
        return self

    def _scaled(self, outputs: Array) -> Array:
        values = outputs.copy()
        values[:, self._log] = np.log(values[:, self._log])
        return values

    def _forest(self, x: Array, y: Array, rng: np.random.Generator) -> list[Any]:
        from sklearn.ensemble import RandomForestRegressor

        forest = RandomForestRegressor(self.members, max_features=0.7, random_state=int(rng.integers(2**31)))
        return list(forest.fit(x, y).estimators_)

    def _networks(self, x: Array, y: Array, rng: np.random.Generator) -> list[Any]:
        from sklearn.neural_network import MLPRegressor

        networks = []
        steps = max(3000 // max(len(x) // 200, 1), 20)  # epochs: about as many steps whatever the number of designs
        for _ in range(self.members):
            rows = rng.integers(len(x), size=len(x))
            network = MLPRegressor(
                hidden_layer_sizes=(64, 64), max_iter=min(steps, 500), n_iter_no_change=500, learning_rate_init=3e-3,
                random_state=int(rng.integers(2**31)),
            )  # fmt: skip
            networks.append(_quiet(network.fit, x[rows], y[rows]))
        return networks

    def predict(self, designs: Array) -> tuple[Array, Array]:
        """designs: (n, d) -> predictions (n, q) and their standard deviation over members, relative where logarithmic.

        The average is taken on the learned scale: of a positive output it is the geometric mean of the members.
        """
        if not self._models:
            raise ValueError("the ensemble has learned nothing yet; call fit first")
        x = self.space.one_hot(designs)
        members = np.array([[member.predict(x) for member in models] for models in self._models])  # (q, members, n)
        mean = members.mean(axis=1).T * self._std + self._mean
        mean[:, self._log] = np.exp(mean[:, self._log])
        return mean, members.std(axis=1).T * self._std


def _quiet(fit: Callable[..., Any], x: Array, y: Array) -> Any:
    """Fit without the warning that the epochs are used up, for we count on it."""
    import warnings

    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return fit(x, y)


def outputs_of(env: DesignEnv, evaluation: Evaluation) -> Array:
    """(n, m + k) objectives and constraints: what a ``SurrogateEnv`` needs a model of."""
    return np.hstack([evaluation.objectives, evaluation.constraints])


def fit_proxy(env: DesignEnv, designs: Array, evaluation: Evaluation, **settings: Any) -> Ensemble:
    """An ensemble of objectives and constraints from evaluated designs (n, d); rows without values are left out.

    Settings: see ``Ensemble``.
    """
    ok = evaluation.status == "ok"
    return Ensemble(env.design_space, **settings).fit(np.asarray(designs)[ok], outputs_of(env, evaluation)[ok])


# How good a proxy is --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Quality:
    """How good predictions of one output are.

    Attributes:
        rmse_percent, mae_percent: root mean squared and mean absolute error, in percent of the mean.
        r2: share of the variance explained.
        spearman: rank correlation.
        top_recall: share of the truly best percent that is also in the predicted one.
    """

    rmse_percent: float
    mae_percent: float
    r2: float
    spearman: float
    top_recall: float


def quality(truth: Array, predicted: Array) -> Quality:
    """Truth and predictions (n,), smaller is better -> Quality."""
    from scipy.stats import spearmanr

    error, scale = predicted - truth, np.abs(truth).mean()
    top = max(len(truth) // 100, 1)
    best = set(np.argsort(truth, kind="stable")[:top]) & set(np.argsort(predicted, kind="stable")[:top])
    return Quality(
        rmse_percent=float(100 * np.sqrt((error**2).mean()) / scale),
        mae_percent=float(100 * np.abs(error).mean() / scale),
        r2=float(1 - (error**2).sum() / ((truth - truth.mean()) ** 2).sum()),
        spearman=float(spearmanr(truth, predicted).statistic),
        top_recall=len(best) / top,
    )


def split(canonical: NDArray[Any], share: float = 0.2, seed: int = 0) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows for training and for testing so that equal canonical designs (n, d) are never in both.

    Inert knobs make designs that differ in name only; split at random they would leak from one side to the other.
    """
    _, group = np.unique(canonical, axis=0, return_inverse=True)
    group = group.reshape(-1)
    held = np.random.default_rng(seed).random(group.max() + 1) < share
    return np.flatnonzero(~held[group]), np.flatnonzero(held[group])


def mixed(parts: Mapping[str, Array], n: int, seed: int = 0) -> Array:
    """N rows drawn without replacement in equal shares from the rows (n_i, w) of several sources, as far as they go."""
    rng = np.random.default_rng(seed)
    share = -(-n // len(parts))
    rows = np.concatenate([rng.permutation(part)[:share] for part in parts.values()])
    return np.asarray(rng.permutation(rows)[:n])
