"""What came back from evaluating designs, column by column."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Sequence as Seq
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from designopt.env import Constraint, Objective

Array = NDArray[np.float64]

STATUSES = ("ok", "invalid", "failed", "timeout", "lost")
"""invalid: the design cannot be evaluated (deterministic, worth learning); failed: exception; lost: its worker died."""


@dataclass
class Evaluation:
    """n evaluated designs.

    Attributes:
        objectives: (n, m) in the environment's own sign and units.
        constraints: (n, k), feasible when <= 0.
        metrics: name -> (n,) further outputs.
        status: (n,) strings, one of ``STATUSES``. A row with NaN or inf in an objective or constraint is never ``ok``.
        attempts: (n,) how often each design was tried.
        seconds: (n,) wall seconds of each evaluation.
        errors: (n,) why a row is not ok, empty text otherwise.

    Raises:
        ValueError: arrays whose shapes do not fit together, or an unknown status.
    """

    objectives: Array
    constraints: Array = None  # type: ignore[assignment]  # (n, 0) when there are none
    metrics: dict[str, Array] = field(default_factory=dict)
    status: NDArray[np.str_] = None  # type: ignore[assignment]
    attempts: NDArray[np.int64] = None  # type: ignore[assignment]
    seconds: Array = None  # type: ignore[assignment]
    errors: NDArray[np.object_] = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        self.objectives = np.asarray(self.objectives, dtype=np.float64)
        if self.objectives.ndim != 2:
            raise ValueError(f"objectives must have shape (n, m), got {self.objectives.shape}")
        n = len(self.objectives)
        self.constraints = (
            np.zeros((n, 0)) if self.constraints is None else np.asarray(self.constraints, dtype=np.float64)
        )
        if self.constraints.ndim != 2 or len(self.constraints) != n:
            raise ValueError(f"constraints must have shape ({n}, k), got {self.constraints.shape}")
        self.metrics = {name: np.asarray(values) for name, values in self.metrics.items()}
        self.status = np.full(n, "ok", dtype="<U7") if self.status is None else np.array(self.status, dtype="<U7")
        self.attempts = (
            np.ones(n, dtype=np.int64) if self.attempts is None else np.asarray(self.attempts, dtype=np.int64)
        )
        self.seconds = np.zeros(n) if self.seconds is None else np.asarray(self.seconds, dtype=np.float64)
        self.errors = np.full(n, "", dtype=object) if self.errors is None else np.asarray(self.errors, dtype=object)
        columns = {"status": self.status, "attempts": self.attempts, "seconds": self.seconds, "errors": self.errors}
        for name, column in (columns | self.metrics).items():
            if column.shape != (n,):
                raise ValueError(f"{name} must have shape ({n},), got {column.shape}")
        unknown = set(self.status.tolist()).difference(STATUSES)
        if unknown:
            raise ValueError(f"status = {unknown.pop()!r}; allowed: {', '.join(STATUSES)}")
        finite = np.isfinite(self.objectives).all(axis=1) & np.isfinite(self.constraints).all(axis=1)
        broken = ~finite & (self.status == "ok")
        if broken.any():
            self.status[broken] = "invalid"
            self.errors = np.where(
                broken & (self.errors == ""), "NaN or inf in an objective or constraint", self.errors
            )

    def __len__(self) -> int:
        return len(self.objectives)

    def __getitem__(self, rows: Any) -> Evaluation:
        """The chosen rows (a slice, mask or index array) as an Evaluation."""
        if isinstance(rows, int | np.integer):
            rows = slice(rows, rows + 1 if rows != -1 else None)
        parts = {f.name: getattr(self, f.name)[rows] for f in fields(self) if f.name != "metrics"}
        return Evaluation(metrics={name: values[rows] for name, values in self.metrics.items()}, **parts)

    @property
    def feasible(self) -> NDArray[np.bool_]:
        """(n,) ok and every constraint <= 0."""
        return np.asarray((self.status == "ok") & (self.constraints <= 0).all(axis=1), dtype=bool)

    def losses(self, objectives: Seq[Objective]) -> Array:
        """(n, m) objectives turned to minimisation."""
        return np.asarray(self.objectives * np.array([1.0 if o.sense == "min" else -1.0 for o in objectives]))

    def violation(self, constraints: Seq[Constraint]) -> Array:
        """(n,) sum of positive constraint values, each over its scale; inf where there are no values."""
        if not constraints:
            return np.where(self.status == "ok", 0.0, np.inf)
        scaled = self.constraints / np.array([c.scale for c in constraints])
        return np.asarray(np.where(self.status == "ok", np.maximum(scaled, 0.0).sum(axis=1), np.inf))

    @classmethod
    def concatenate(cls, parts: Iterable[Evaluation]) -> Evaluation:
        """Rows of all parts in order; a metric that a part lacks is NaN there."""
        parts = list(parts)
        if len(parts) == 1:
            return parts[0]
        names = dict.fromkeys(name for part in parts for name in part.metrics)
        metrics = {
            name: np.concatenate([p.metrics[name] if name in p.metrics else np.full(len(p), np.nan) for p in parts])
            for name in names
        }
        columns = {
            f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(cls) if f.name != "metrics"
        }
        return cls(metrics=metrics, **columns)

    @classmethod
    def failure(
        cls, n: int, m: int, k: int, status: str, error: str, attempts: int = 1, seconds: float = 0.0
    ) -> Evaluation:
        """N rows of m objectives and k constraints without values, all with the same status and error."""
        return cls(
            np.full((n, m), np.nan),
            np.full((n, k), np.nan),
            status=np.full(n, status, dtype="<U7"),
            attempts=np.full(n, attempts),
            seconds=np.full(n, seconds),
            errors=np.full(n, error, dtype=object),
        )
