"""How the stages of a search talk to whatever evaluates designs.

A stage is a generator: it yields a Request and is sent the Answer. So several queries share one call of the model, and
a stage neither knows the model nor counts what it costs.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from designopt.counterfactual.problem import Problem
from designopt.parameters import Array
from designopt.search.counterfactual.evolution import Population


@dataclass
class Request:
    """Designs to evaluate, (n, d) canonical; with ``gradient``, the slopes of the violations as well."""

    designs: Array
    gradient: bool = False


@dataclass
class Answer:
    """What came back: the designs judged, violations (n, k), and slopes (n, k, d) where they were asked for."""

    population: Population
    violations: Array
    slopes: Array | None = None


Stage = Generator[Request, Answer, None]

LEVEL = 0.01
"""How far below zero a gradient step aims, in units of a target's scale: linearisation errors stay on the good side."""


def project(problem: Problem, designs: Array, answer: Answer, support: NDArray[np.bool_]) -> Array:
    """One step of each design to where all linearised violations are met, moving supported features only.

    Three sweeps of least-norm (Kaczmarz) steps, one target after the other, in coordinates scaled by the box; features
    at a bound in the way do not take part.

    Args:
        problem: its box.
        designs: (n, d), those of ``answer`` or near them.
        answer: their violations and slopes.
        support: (n, d) features that may move; only free quantities should be among them.

    Returns:
        (n, d) canonical designs.
    """
    assert answer.slopes is not None
    width = np.where(problem.free, problem.high - problem.low, 1.0)
    violations = np.nan_to_num(answer.violations, nan=0.0, posinf=0.0, neginf=0.0)
    slopes = np.nan_to_num(answer.slopes, nan=0.0, posinf=0.0, neginf=0.0) * width
    at_low, at_high = designs <= problem.low, designs >= problem.high
    move = np.zeros_like(designs)
    for _ in range(3):
        for target in range(violations.shape[1]):
            slope = slopes[:, target]
            stuck = (at_low & (slope > 0)) | (at_high & (slope < 0))
            slope = np.where(support & ~stuck, slope, 0.0)
            square = (slope**2).sum(axis=1)
            left = violations[:, target] + (slopes[:, target] * move).sum(axis=1) + LEVEL
            step = np.where((left > 0) & (square > 1e-12), left / np.maximum(square, 1e-12), 0.0)
            move -= step[:, None] * slope
    return problem.canonical(np.where(support, designs + move * width, designs))
