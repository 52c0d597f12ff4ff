"""What several core tests build on."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from designopt import Categorical, Constraint, DesignSpace, Evaluation, Integer, Objective, Real, Reference
from designopt.result import Result

SPACE = DesignSpace(
    width=Real(0.0, 10.0, unit="mm"), bolts=Integer(0, 10**6), material=Categorical(["steel", "aluminium"])
)


def _result(
    objectives: Any,
    constraints: Any = None,
    *,
    senses: tuple[str, ...] = ("min",),
    names: tuple[str, ...] = ("cost", "mass", "drag", "noise"),
    units: tuple[str, ...] = ("$", "kg", "N", "dB"),
    limits: tuple[Constraint, ...] = (),
    status: Any = None,
    errors: Any = None,
    seconds: Any = None,
    designs: Any = None,
    space: DesignSpace = SPACE,
    reference: Reference | None = None,
    **facts: Any,
) -> Result:
    """The result of a run whose evaluations gave just these values; one-dimensional objectives are one objective."""
    objectives = np.asarray(objectives, dtype=float)
    objectives = objectives[:, None] if objectives.ndim == 1 else objectives
    n, m = objectives.shape
    evaluation = Evaluation(objectives, constraints, status=status, errors=errors, seconds=seconds)
    k = evaluation.constraints.shape[1]
    fields: dict[str, Any] = {
        "env_id": "acme/Bracket-v0",
        "search": "gp",
        "config": {"batch": 4},
        "seed": 7,
        "run_id": "run-1",
        "search_seconds": 2.5,
        "command": "designopt run acme/Bracket-v0 --search gp --seed 7",
        "versions": {"designopt": "0.1.0"},
    }
    return Result(
        space=space,
        objectives=tuple(
            Objective(names[i], s, units[i]) for i, s in enumerate(senses * (m if len(senses) == 1 else 1))
        ),
        constraints=limits or tuple(Constraint(f"limit{i}") for i in range(k)),
        reference=reference,
        designs=space.sample(n, 0) if designs is None else np.asarray(designs, dtype=float),
        evaluation=evaluation,
        orders=np.arange(n),
        workers=np.full(n, "w", dtype=object),
        **(fields | facts),
    )


@pytest.fixture
def run_result() -> Callable[..., Result]:
    """Factory of results with given objective and constraint values."""
    return _result


def _failed(n: int, m: int = 1) -> Result:
    nothing = np.full((n, m), np.nan)
    return _result(nothing, status=["failed"] * n, errors=["ZeroDivisionError: float division"] * n)


CASES = {
    "nothing evaluated": lambda: _result(np.empty((0, 1))),
    "one evaluation": lambda: _result([2.0]),
    "one failed evaluation": lambda: _failed(1),
    "all failed": lambda: _failed(5),
    "nothing feasible": lambda: _result([1.0, 2.0, 3.0], [[3.0], [1.0], [2.0]]),
    "two objectives": lambda: _result([[1.0, 3.0], [2.0, 1.0], [3.0, 3.0]]),
    "two objectives, nothing feasible": lambda: _result([[1.0, 3.0], [2.0, 1.0]], [[1.0], [2.0]]),
    "three objectives": lambda: _result([[1.0, 3.0, 2.0], [2.0, 1.0, 2.0], [3.0, 3.0, 3.0]]),
    "four objectives": lambda: _result([[1.0, 3.0, 2.0, 1.0], [2.0, 1.0, 2.0, 1.0]]),
    "all two objectives failed": lambda: _failed(3, 2),
    "maximised": lambda: _result([-3.0, -1.0, -2.0], senses=("max",), reference=Reference("proof", value=-0.5)),
    "known optimum of zero": lambda: _result([1.0, 0.0], reference=Reference("proof", value=0.0)),
    "constant objective": lambda: _result([2.0] * 20),
    "huge and tiny values": lambda: _result([1e300, 1e-300, -1e300]),
}


@pytest.fixture(params=CASES)
def unusual_result(request: pytest.FixtureRequest) -> Result:
    """Results that leave out what most runs have."""
    return CASES[request.param]()
