"""Where can a design be evaluated at all? Classifiers of designs in two classes, the in-context one without training.

All have ``condition_on(X, labels)``, which returns something with ``probability(X)``; so has ``tabpfn``, for those who
have that package and its weights.

References: [Picard2024] Fast and accurate zero-training classification for tabular engineering data.
[Hollmann2023] TabPFN: a transformer that solves small tabular classification problems in a second, ICLR.
"""

from __future__ import annotations

import importlib
import math
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from numpy.typing import ArrayLike
from torch import Tensor
from torch.nn import functional

from designopt.surrogates.gp import as_mask
from designopt.surrogates.pfn.anchored import AnchoredClassifier, AnchoredContext
from designopt.surrogates.pfn.pfn import thinned
from designopt.surrogates.training import load_state, read_weights

WEIGHTS = Path(__file__).parent / "weights" / "classifier.safetensors"
LONGEST = 1000
"""Designs that the in-context classifier takes; more than it was trained on help, at the cube of their number."""
CHUNK = 256


class FeasibilityClassifier:
    """A network, trained on random divisions of the unit cube, that reads labels in context: nothing is fitted.

    Args:
        network: anchored.
        most_points, most_dimensions: of the training. More of either are taken, with a warning.
    """

    def __init__(self, network: AnchoredClassifier, most_points: int, most_dimensions: int) -> None:
        self.network, self.most_points, self.most_dimensions = network, most_points, most_dimensions
        self._warned: set[str] = set()

    @classmethod
    def load(cls, path: str | Path | None = None, device: str = "cpu") -> FeasibilityClassifier:
        """The shipped network, or the one in a safetensors file.

        Raises:
            ValueError: the file is missing, damaged or of another network.
        """
        file = WEIGHTS if path is None else Path(path)
        weights, facts = read_weights(file)
        network = AnchoredClassifier()
        load_state(network, weights, file)
        network.to(device).eval().requires_grad_(False)
        return cls(network, facts["most_points"], facts["most_dimensions"])

    def condition_on(
        self, X: Tensor, labels: Tensor, categorical: ArrayLike | None = None
    ) -> ConditionedClassifier | ConstantClassifier:
        """The classifier that has seen n designs.

        Of more than ``LONGEST``, the rarer class is kept first, up to half of them, and each class is thinned as
        contexts of ``PFN`` are; probabilities account for it.

        Args:
            X: (n, d) designs in the unit cube, n >= 1.
            labels: (n,) 0 or 1, or booleans.
            categorical: (d,) which columns are categories, compared by equality; none by default.

        Raises:
            ValueError: shapes that do not fit, designs that are not finite, labels other than 0 and 1.
        """
        X, y = checked(X, labels)
        if (y == y[0]).all():
            return ConstantClassifier(float(y[0]), len(y))
        n, d = X.shape
        if n > self.most_points:
            self._warn("designs", n, self.most_points)
        if d > self.most_dimensions:
            self._warn("dimensions", d, self.most_dimensions)
        kept = representative(X, y) if n > LONGEST else torch.arange(n, device=X.device)
        # The odds among all designs, over those among the kept.
        shift = float(torch.logit(y.mean()) - torch.logit(y[kept].mean()))
        return ConditionedClassifier(self.network, X[kept], y[kept], as_mask(categorical, X), shift)

    def _warn(self, what: str, found: int, trained: int) -> None:
        if what not in self._warned:
            self._warned.add(what)
            message = f"{found} {what}, but the classifier was trained on at most {trained}; predictions may be worse"
            warnings.warn(message, stacklevel=3)


def representative(X: Tensor, y: Tensor) -> Tensor:
    """Which ``LONGEST`` of the designs X (n, d) with labels y (n,) the classifier reads, as sorted indices."""
    rare = y == (y.mean() <= 0.5)
    few = min(int(rare.sum()), LONGEST // 2)
    rows = []
    for members, size in ((torch.nonzero(rare)[:, 0], few), (torch.nonzero(~rare)[:, 0], LONGEST - few)):
        rows.append(members if len(members) <= size else members[thinned(X[members], size)])
    return torch.cat(rows).sort().values


def checked(X: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Designs and labels as tensors of one precision.

    Raises:
        ValueError: as ``FeasibilityClassifier.condition_on``.
    """
    X = torch.as_tensor(X)
    y = torch.as_tensor(labels).to(X)
    if X.ndim != 2 or y.ndim != 1 or len(X) != len(y) or len(X) == 0:
        raise ValueError(f"X {tuple(X.shape)}, labels {tuple(y.shape)}; allowed: (n, d) and (n,) with n >= 1")
    if not X.isfinite().all():
        row, column = torch.nonzero(~X.isfinite())[0].tolist()
        raise ValueError(f"X[{row}, {column}] = {X[row, column].item()}; must be finite")
    if (wrong := ~((y == 0) | (y == 1))).any():
        row = int(torch.nonzero(wrong)[0])
        raise ValueError(f"labels[{row}] = {y[row].item()}; allowed: 0 and 1")
    return X, y


class ConstantClassifier:
    """All n labels seen are the same: by Laplace's rule of succession the next one is with (n + 1) / (n + 2)."""

    def __init__(self, label: float, n: int) -> None:
        self.label, self.n = label, n

    def log_probability(self, X: Tensor) -> Tensor:
        """X: (q, d) -> (q,) log probabilities of label 1."""
        p = (self.n + 1) / (self.n + 2)
        # Differentiable, as others are, with a gradient of zero.
        return 0.0 * X.sum(-1) + math.log(p if self.label == 1 else 1 - p)

    def probability(self, X: Tensor) -> Tensor:
        """X: (q, d) -> (q,) probabilities of label 1."""
        return self.log_probability(X).exp()


class ConditionedClassifier:
    """The network, a context that it has read, and what to add to its log odds."""

    def __init__(self, network: AnchoredClassifier, X: Tensor, y: Tensor, categorical: Tensor, shift: float) -> None:
        self.network, self.shift = network, shift
        deviation, mean = torch.std_mean(y, correction=0)
        with torch.no_grad():
            self.context: AnchoredContext = network.context(X[None], ((y - mean) / deviation)[None], categorical)

    def logits(self, X: Tensor) -> Tensor:
        """X: (q, d) -> (q,) logits of label 1."""
        parts = [self.network(self.context, part[None])[0] for part in X.split(CHUNK)]
        return torch.cat(parts).to(X) + self.shift

    def log_probability(self, X: Tensor) -> Tensor:
        """X: (q, d) -> (q,) log probabilities of label 1, differentiable."""
        return functional.logsigmoid(self.logits(X))

    def probability(self, X: Tensor) -> Tensor:
        """X: (q, d) -> (q,) probabilities of label 1, differentiable."""
        return self.logits(X).sigmoid()


class FittedClassifier:
    """An estimator of scikit-learn, or one like it, behind the interface of this module.

    Args:
        make: the unfitted estimator.
    """

    def __init__(self, make: Callable[[], Any]) -> None:
        self.make = make

    def condition_on(self, X: Tensor, labels: Tensor) -> FittedEstimator | ConstantClassifier:
        """Fit it to n designs X (n, d) and labels (n,), 0 or 1."""
        X, y = checked(X, labels)
        if (y == y[0]).all():
            return ConstantClassifier(float(y[0]), len(y))
        return FittedEstimator(self.make().fit(X.cpu().numpy(), y.cpu().numpy().astype(int)))


class FittedEstimator:
    """An estimator that has been fitted."""

    def __init__(self, estimator: Any) -> None:
        self.estimator = estimator

    def probability(self, X: Tensor) -> Tensor:
        """X: (q, d) -> (q,) probabilities of label 1, not differentiable; 1/2 on a margin's middle."""
        designs = X.detach().cpu().numpy()
        if hasattr(self.estimator, "predict_proba"):
            return torch.as_tensor(self.estimator.predict_proba(designs)[:, 1]).to(X)
        return torch.as_tensor(self.estimator.decision_function(designs)).to(X).sigmoid()


def baselines(seed: int = 0) -> dict[str, FittedClassifier]:
    """What every classifier has to be compared with: scikit-learn's, at default settings."""
    from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC
    from sklearn.tree import DecisionTreeClassifier

    return {
        "gradient boosting": FittedClassifier(lambda: HistGradientBoostingClassifier(random_state=seed)),
        "random forest": FittedClassifier(lambda: RandomForestClassifier(random_state=seed)),
        "support vectors": FittedClassifier(lambda: make_pipeline(StandardScaler(), SVC())),
        "nearest neighbours": FittedClassifier(lambda: make_pipeline(StandardScaler(), KNeighborsClassifier())),
        "decision tree": FittedClassifier(lambda: DecisionTreeClassifier(random_state=seed)),
    }


def tabpfn(weights: str | Path, device: str = "cpu") -> FittedClassifier:
    """The network of [Hollmann2023] in the package ``tabpfn``, with weights that are on this machine.

    Without a file the package would fetch one, so it has to be given.

    Raises:
        ValueError: no such file, or the package is not installed.
    """
    if not Path(weights).is_file():
        raise ValueError(f"no weights file {weights}; give the path of a TabPFN classifier's checkpoint")
    try:
        package = importlib.import_module("tabpfn")
    except ImportError:
        raise ValueError("the package tabpfn is not installed; pip install tabpfn") from None
    return FittedClassifier(lambda: package.TabPFNClassifier(model_path=str(weights), device=device))
