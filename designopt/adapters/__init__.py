"""Our environments in other libraries' clothes, and our searchers in theirs.

========================  =====================================================================================
``to_botorch(env)``       a BoTorch test problem
``to_pymoo(env)``         a pymoo Problem
``to_optuna(env)``        an Optuna objective
``to_tune(env)``          a trainable of Ray Tune
``OptunaSampler(name)``   a search backend as a sampler of Optuna studies
``TuneSearcher(name, …)`` a search backend as a search algorithm of Ray Tune
========================  =====================================================================================

Each is imported, with the library it speaks to, when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from designopt.adapters.botorch import to_botorch
    from designopt.adapters.optuna import to_optuna
    from designopt.adapters.optuna_sampler import OptunaSampler
    from designopt.adapters.pymoo import to_pymoo
    from designopt.adapters.ray_tune import TuneSearcher, to_tune

__all__ = ["OptunaSampler", "TuneSearcher", "to_botorch", "to_optuna", "to_pymoo", "to_tune"]

_HOMES = {
    "OptunaSampler": "optuna_sampler",
    "TuneSearcher": "ray_tune",
    "to_botorch": "botorch",
    "to_optuna": "optuna",
    "to_pymoo": "pymoo",
    "to_tune": "ray_tune",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
