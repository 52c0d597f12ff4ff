"""designopt: design environments paired with search backends, run on one core or on a Ray cluster."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from designopt.env import Constraint, DesignEnv, InvalidDesign, Objective, Reference, Reward
from designopt.evaluation import Evaluation
from designopt.function_env import FunctionEnv, design_env
from designopt.parameters import Categorical, Integer, Ordinal, Real, Sequence
from designopt.registry import backend, backends, envs, make, register_backend, register_env
from designopt.searcher import History, Searcher, tunable
from designopt.space import DesignSpace

if TYPE_CHECKING:
    from designopt.launch import optimize, resume
    from designopt.result import Result
    from designopt.store import Store, StoreError
    from designopt.study import Study
    from designopt.sweep.run import sweep

__version__ = "0.1.0"

# What needs a database or an executor is imported when first used, so that `import designopt` stays quick.
_LAZY = {
    "Result": "designopt.result",
    "Store": "designopt.store",
    "StoreError": "designopt.store",
    "Study": "designopt.study",
    "optimize": "designopt.launch",
    "recommend": "designopt.search.counterfactual.recommend",
    "resume": "designopt.launch",
    "sweep": "designopt.sweep.run",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'designopt' has no attribute {name!r}")
    return getattr(importlib.import_module(_LAZY[name]), name)


__all__ = [
    "Categorical",
    "Constraint",
    "DesignEnv",
    "DesignSpace",
    "Evaluation",
    "FunctionEnv",
    "History",
    "Integer",
    "InvalidDesign",
    "Objective",
    "Ordinal",
    "Real",
    "Reference",
    "Result",
    "Reward",
    "Searcher",
    "Sequence",
    "Store",
    "StoreError",
    "Study",
    "backend",
    "backends",
    "design_env",
    "envs",
    "make",
    "optimize",
    "recommend",
    "register_backend",
    "register_env",
    "resume",
    "sweep",
    "tunable",
]
