"""Design targets: what the outputs of a design should be.

A target turns outputs into a violation, at most zero where it is met. Outputs travel as a dictionary name -> (n,)
values; an output ``name_std`` is the standard deviation of a prediction and makes the target a chance constraint.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Hashable, Mapping
from collections.abc import Sequence as Seq
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from designopt.parameters import Array, suggest

Outputs = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Interval:
    """low <= output <= high.

    ``confidence``: with an output ``<name>_std`` each bound holds with at least this probability (normal errors).
    """

    low: float = -math.inf
    high: float = math.inf
    confidence: float = 0.5

    def __post_init__(self) -> None:
        if not self.low <= self.high:
            raise ValueError(f"target from {self.low} to {self.high}: the lower bound must not exceed the upper one")
        if not 0.5 <= self.confidence < 1:
            raise ValueError(f"confidence = {self.confidence}; it must be in [0.5, 1)")

    def violation(self, name: str, outputs: Outputs) -> Array:
        """(n,) in the unit of the output; NaN where the output is."""
        y, guard = numbers(name, outputs), self._guard(name, outputs)
        with np.errstate(invalid="ignore"):  # infinite outputs against infinite bounds
            return np.asarray(np.maximum(y - self.high, self.low - y) + guard)

    def slope(self, name: str, outputs: Outputs) -> dict[str, Array]:
        """Output -> (n,) derivative of the violation with respect to it."""
        y = numbers(name, outputs)
        slopes = {name: np.where(y - self.high >= self.low - y, 1.0, -1.0)}
        if self.confidence > 0.5 and f"{name}_std" in outputs:
            slopes[f"{name}_std"] = np.full(len(y), NormalDist().inv_cdf(self.confidence))
        return slopes

    def _guard(self, name: str, outputs: Outputs) -> Array | float:
        if self.confidence == 0.5 or f"{name}_std" not in outputs:
            return 0.0
        return NormalDist().inv_cdf(self.confidence) * numbers(f"{name}_std", outputs)

    @property
    def scale(self) -> float:
        """A typical size, to compare violations of outputs that the data do not tell: the largest finite bound."""
        bounds = [abs(b) for b in (self.low, self.high) if math.isfinite(b) and b != 0]
        return max(bounds, default=1.0)

    def __str__(self) -> str:
        if math.isinf(self.low):
            return f"<= {self.high:g}"
        return f">= {self.low:g}" if math.isinf(self.high) else f"{self.low:g} .. {self.high:g}"


@dataclass(frozen=True)
class OneOf:
    """The output, a class, is one of ``allowed``.

    When the model gives class probabilities, as outputs named ``output=class``, the violation is the margin: largest
    probability of the other classes less the largest of the allowed ones. Without, it is 0 or 1.
    """

    allowed: tuple[Hashable, ...]

    def violation(self, name: str, outputs: Outputs) -> Array:
        """(n,)."""
        if name in outputs:
            return np.where(self._member(np.asarray(outputs[name])), 0.0, 1.0)
        return self._probable(name, outputs).violation(name, outputs)

    def _member(self, values: NDArray[Any]) -> NDArray[np.bool_]:
        if values.dtype.kind in "fiub":
            known = {"True": 1.0, "False": 0.0}
            texts = [known.get(str(value), str(value)) for value in self.allowed]
            return np.isin(values.astype(np.float64), [float(t) for t in texts if _is_number(t)])
        return np.isin(values.astype(str), [str(value) for value in self.allowed])

    def slope(self, name: str, outputs: Outputs) -> dict[str, Array]:
        """Output -> (n,); none without class probabilities."""
        return {} if name in outputs else self._probable(name, outputs).slope(name, outputs)

    def _probable(self, name: str, outputs: Outputs) -> MostProbable:
        classes = [key for key in outputs if key.startswith(f"{name}=") and not key.endswith("_std")]
        wanted = tuple(key for key in classes if key[len(name) + 1 :] in {str(value) for value in self.allowed})
        if not wanted:
            raise ValueError(f"target {name!r}: the model gives neither it nor probabilities {name}=class of {self}")
        return MostProbable(wanted, tuple(key for key in classes if key not in wanted))

    @property
    def scale(self) -> float:
        """1: violations are shares."""
        return 1.0

    def __str__(self) -> str:
        values = ", ".join(map(str, self.allowed))
        return f"== {values}" if len(self.allowed) == 1 else f"in {{{values}}}"


@dataclass(frozen=True)
class MostProbable:
    """The most probable of some outputs is a ``preferred`` one; the target's own name is free to choose."""

    preferred: tuple[str, ...]
    others: tuple[str, ...]

    def violation(self, name: str, outputs: Outputs) -> Array:
        """(n,) margin by which another output is larger."""
        wanted, rest = self._columns(self.preferred, outputs), self._columns(self.others, outputs)
        return np.asarray(rest.max(axis=0) - wanted.max(axis=0))

    def slope(self, name: str, outputs: Outputs) -> dict[str, Array]:
        """Output -> (n,)."""
        slopes: dict[str, Array] = {}
        for names, sign in ((self.preferred, -1.0), (self.others, 1.0)):
            best = self._columns(names, outputs).argmax(axis=0)
            slopes |= {output: np.where(best == i, sign, 0.0) for i, output in enumerate(names)}
        return slopes

    def _columns(self, names: Seq[str], outputs: Outputs) -> Array:
        return np.stack([numbers(name, outputs) for name in names])

    @property
    def scale(self) -> float:
        """1: violations are probabilities."""
        return 1.0

    def __str__(self) -> str:
        return f"{' or '.join(self.preferred)} the most probable"


@dataclass(frozen=True)
class Optimise:
    """No bound: the output is one more objective. ``weight`` counts when recommendations are drawn."""

    sense: str = "min"
    weight: float = 1.0

    def __post_init__(self) -> None:
        if self.sense not in ("min", "max"):
            raise ValueError(f"sense = {self.sense!r}; allowed: 'min', 'max'")

    def loss(self, name: str, outputs: Outputs) -> Array:
        """(n,) to be minimised."""
        return numbers(name, outputs) if self.sense == "min" else -numbers(name, outputs)

    def __str__(self) -> str:
        return f"{self.sense}imise"


@dataclass(frozen=True)
class Soft:
    """A target that may be missed: the amount by which it is missed is one more objective."""

    target: Interval | OneOf | MostProbable
    weight: float = 1.0

    def loss(self, name: str, outputs: Outputs) -> Array:
        """(n,) violation, zero where the target is met."""
        return np.maximum(self.target.violation(name, outputs), 0.0)

    def __str__(self) -> str:
        return f"{self.target} (soft)"


@dataclass(frozen=True)
class Embedding:
    """Similarity of a design to a prompt or a picture, for any embedding model: an output that can be a target.

    Attributes:
        embed: predictor's input (a frame or an array of n designs) -> (n, e) embeddings.
        wanted: (e,) embedding of the prompt, the picture or the design to resemble.
    """

    embed: Callable[[Any], Any]
    wanted: Array

    def __call__(self, designs: Any) -> Array:
        """(n,) cosine similarity, from -1 to 1; NaN where an embedding is zero."""
        vectors, wanted = np.asarray(self.embed(designs), dtype=np.float64), np.asarray(self.wanted, dtype=np.float64)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(vectors @ wanted / (np.linalg.norm(vectors, axis=1) * np.linalg.norm(wanted)))


Hard = Interval | OneOf | MostProbable
Target = Hard | Optimise | Soft

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_ALLOWED = "'<= 3', '>= 1.5', '== valid', '1 .. 2', 'in a, b', 'min', 'max', a pair (low, high) or a Target"


def parse(name: str, text: Any) -> Target:
    """A target as a user writes it.

    Text ``<= 3``, ``>= 1.5``, ``1 .. 2``, ``== valid``, ``in a, b``, ``min``, ``max``; a pair (low, high), where None
    is no bound; or a Target, which is returned. Strict signs mean the same as the others.

    Raises:
        ValueError: anything else.
    """
    if isinstance(text, Target):
        return text
    if isinstance(text, bool | np.bool_):
        return OneOf((bool(text),))
    if isinstance(text, tuple | list) and len(text) == 2:
        low, high = text
        return Interval(-math.inf if low is None else float(low), math.inf if high is None else float(high))
    if isinstance(text, str):
        words = text.strip()
        if words in ("min", "max"):
            return Optimise(words)
        if match := re.fullmatch(rf"(<=?|>=?)\s*({_NUMBER})", words):
            bound = float(match[2])
            return Interval(high=bound) if match[1][0] == "<" else Interval(low=bound)
        if match := re.fullmatch(rf"({_NUMBER})\s*\.\.\s*({_NUMBER})", words):
            return Interval(float(match[1]), float(match[2]))
        if match := re.fullmatch(r"==?\s*(.+)", words):
            return OneOf((match[1].strip("'\""),))
        if match := re.fullmatch(r"in\s+[\[{(]?(.+?)[\]})]?", words):
            return OneOf(tuple(value.strip().strip("'\"") for value in match[1].split(",")))
    raise ValueError(f"target {name!r} = {text!r} is not understood; allowed: {_ALLOWED}")


def _is_number(text: Any) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def numbers(name: str, outputs: Outputs) -> Array:
    """One output as (n,) float64.

    Raises:
        ValueError: no such output, or values that are no numbers.
    """
    if name not in outputs:
        raise ValueError(f"the model gives no output {name!r}; {suggest(name, outputs)}")
    try:
        return np.asarray(outputs[name], dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"output {name!r} holds values that are no numbers; its target needs numbers") from None
