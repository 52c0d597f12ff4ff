"""What a recommendation answers: designs, what changed, what they are predicted to do, and the archive."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from designopt.counterfactual.problem import Problem
from designopt.counterfactual.targets import Soft
from designopt.metrics import hypervolume, non_dominated
from designopt.parameters import Array, suggest
from designopt.search.counterfactual.archive import Archive
from designopt.search.counterfactual.dpp import draw, log_determinant
from designopt.search.counterfactual.engine import Model

if TYPE_CHECKING:
    import pandas as pd

WEIGHTS = {"proximity": 1.0, "sparsity": 0.3, "manifold": 0.5, "diversity": 0.3}
"""How recommendations are drawn from the archive unless told otherwise; those of the published tool."""


class Recommendation:
    """The answer to one query.

    Attributes:
        problem: the problem that was searched.
        rows: (n, d) the recommended designs as an array; the least violating ones when ``found`` is false.
        found: whether any design meets all targets.
        predicted: output -> (n,) of the recommended designs.
        notes: what a reader should know, in sentences.
        quality: what cross-validation said of the default surrogate, by output; empty for a model of one's own.
        calls: evaluations that the search spent.
        search_seconds, sampling_seconds: wall time of the search and of the last drawing.
    """

    def __init__(
        self,
        archive: Archive,
        model: Model,
        *,
        n: int,
        weights: Mapping[str, float] | None,
        notes: list[str],
        quality: dict[str, dict[str, float]],
        search_seconds: float,
    ) -> None:
        self.problem: Problem = archive.problem
        self.calls = archive.calls
        self.found = len(archive) > 0
        self.notes = notes
        self.quality = quality
        self.search_seconds = search_seconds
        self.sampling_seconds = 0.0
        self._model = model
        self._archive = archive
        self._pool = (archive.designs, archive.objectives, archive.outputs)
        self.rows: Array
        self.predicted: dict[str, NDArray[Any]]
        self.resample(weights, n)

    # Drawing ----------------------------------------------------------------------------------------------------

    def resample(
        self, weights: Mapping[str, float] | None = None, n: int | None = None, *, candidates: int | None = None
    ) -> pd.DataFrame:
        """Draw recommendations again, with other weights or another number, without a new search.

        Args:
            weights: of ``proximity``, ``sparsity``, ``manifold``, further objectives by name (scaled to [0, 1] over
                the archive) and ``diversity``; the default ones where not given.
            n: how many; as many as before where not given.
            candidates: only so many of the best-scored designs take part.

        Returns:
            ``designs``.

        Raises:
            ValueError: an unknown or negative weight, or n < 1.
        """
        n = len(self.rows) if n is None else n
        if n < 1:
            raise ValueError(f"n = {n}; it must be at least 1")
        started = time.perf_counter()
        scores, diversity = self._scores(weights or {})
        designs, _, outputs = self._pool
        if not self.found:
            designs, _, outputs = self._archive.nearest
            chosen = np.arange(min(n, len(designs)))
        else:
            best = np.argsort(scores, kind="stable")[: candidates or len(scores)]
            chosen = best[draw(designs[best], scores[best], self.problem.gower, n, diversity)]
            chosen = chosen[np.argsort(scores[chosen], kind="stable")]
        self.rows = designs[chosen]
        self.predicted = {name: values[chosen] for name, values in outputs.items()}
        self.sampling_seconds = time.perf_counter() - started
        return self.designs

    def _scores(self, weights: Mapping[str, float]) -> tuple[Array, float]:
        bonus = {name: t.weight for name, t in self.problem.bonus.items()}
        known = WEIGHTS | bonus
        for name, weight in weights.items():
            if name not in known:
                raise ValueError(f"unknown weight {name!r}; {suggest(name, known)}")
            if not (np.isfinite(weight) and weight >= 0):
                raise ValueError(f"weight of {name!r} = {weight}; it must be finite and not negative")
        used = known | dict(weights)
        objectives = self._pool[1].copy()
        if len(objectives):
            extra = objectives[:, 3:]
            low, spread = extra.min(axis=0), np.ptp(extra, axis=0)
            objectives[:, 3:] = (extra - low) / np.where(spread > 0, spread, 1.0)
        factors = [used[name] for name in ("proximity", "sparsity", "manifold", *bonus)]
        return objectives @ np.array(factors), used["diversity"]

    # Tables -----------------------------------------------------------------------------------------------------

    @property
    def designs(self) -> pd.DataFrame:
        """The recommended designs, best score first."""
        return self.problem.space.frame(self.rows)

    @property
    def query(self) -> dict[str, Any]:
        """Feature -> the query's value."""
        return self.problem.space.decode(self.problem.query[None])[0]

    @property
    def query_outputs(self) -> dict[str, Any]:
        """Output -> what the model predicts for the query itself."""
        return {name: values[0] for name, values in self._model.outputs(self.problem.query[None]).items()}

    @property
    def changes(self) -> pd.DataFrame:
        """One row per change: design (row of ``designs``), feature, old, new, unit."""
        import pandas as pd

        space, old = self.problem.space, self.query
        records = []
        for i, (values, changed) in enumerate(
            zip(space.decode(self.rows), self.problem.changed(self.rows), strict=True)
        ):
            names = dict.fromkeys(c.split("[")[0] if c not in values else c for c in _names(space.columns, changed))
            records += [(i, name, old[name], values[name], space[name].unit) for name in names]
        return pd.DataFrame(records, columns=["design", "feature", "old", "new", "unit"])

    @property
    def performance(self) -> pd.DataFrame:
        """One row per recommended design: predicted outputs, distances, and whether each target is met."""
        import pandas as pd

        distances = {
            "proximity": self.problem.proximity(self.rows),
            "sparsity": self.problem.sparsity(self.rows),
            "manifold": self.problem.manifold(self.rows),
        }
        violations = self.problem.violations(self.rows, self.predicted)
        met = {f"{name} met": violations[:, i] <= 0 for i, name in enumerate(self.problem.constraint_names)}
        return pd.DataFrame(self.predicted | distances | met)

    @property
    def archive(self) -> pd.DataFrame:
        """All valid designs met: features, outputs, ``proximity``, ``sparsity``, ``manifold``, further objectives."""
        designs, objectives, outputs = self._pool
        frame = self.problem.space.frame(designs)
        for name, values in outputs.items():
            frame[name] = values
        frame[["proximity", "sparsity", "manifold"]] = objectives[:, :3]
        for i, (name, target) in enumerate(self.problem.bonus.items()):
            if isinstance(target, Soft):
                frame[f"{name} missed by"] = objectives[:, 3 + i]
        return frame

    # Judgement --------------------------------------------------------------------------------------------------

    def hypervolume(self, reference: ArrayLike = (1, 1, 1)) -> float:
        """Volume of (proximity, sparsity, manifold) that the archive dominates below the reference; 0 when empty."""
        objectives = self._pool[1][:, :3]
        inside = objectives[(objectives < np.asarray(reference, dtype=np.float64)).all(axis=1)]
        return hypervolume(inside[non_dominated(inside)], reference) if len(inside) else 0.0

    @property
    def diversity(self) -> dict[str, float]:
        """Of the recommended designs: mean and least Gower distance between two, and log det of their similarities."""
        pairs = self.problem.gower.pairwise(self.rows, self.rows)[np.triu_indices(len(self.rows), 1)]
        return {
            "mean distance": float(pairs.mean()) if len(pairs) else 0.0,
            "least distance": float(pairs.min()) if len(pairs) else 0.0,
            "log det": log_determinant(self.rows, self.problem.gower),
        }

    @property
    def binding(self) -> dict[str, float]:
        """Target -> how far the least violating design misses it, in units of its scale; only those that it misses."""
        if self.found:
            return {}
        least, _, outputs = self._archive.nearest
        violations = self.problem.violations(least[:1], {name: values[:1] for name, values in outputs.items()})[0]
        missed = zip(self.problem.constraint_names, violations, strict=True)
        return {name: float(v) for name, v in missed if not v <= 0}

    def report(self, path: str | Path) -> Path:
        """Write one self-contained HTML page and return its path."""
        from designopt.search.counterfactual.report import write_report

        return write_report(self, path)

    def __repr__(self) -> str:
        state = f"{len(self._pool[0])} valid" if self.found else "none valid"
        return f"Recommendation({len(self.rows)} designs, {state} of {self.calls} evaluated)"


def _names(columns: list[str], mask: NDArray[np.bool_]) -> list[str]:
    return [name for name, changed in zip(columns, mask, strict=True) if changed]
