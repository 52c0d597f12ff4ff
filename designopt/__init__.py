"""designopt: design environments paired with search backends, run on one core or on a Ray cluster."""

from designopt.env import Constraint, DesignEnv, InvalidDesign, Objective, OfflineData, Reference, Reward
from designopt.evaluation import Evaluation
from designopt.function_env import FunctionEnv, design_env
from designopt.parameters import Categorical, Integer, Ordinal, Real, Sequence
from designopt.registry import backend, backends, envs, make, register_backend, register_env
from designopt.searcher import History, Searcher, tunable
from designopt.space import DesignSpace

__version__ = "0.1.0"

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
    "OfflineData",
    "Ordinal",
    "Real",
    "Reference",
    "Reward",
    "Searcher",
    "Sequence",
    "backend",
    "backends",
    "design_env",
    "envs",
    "make",
    "register_backend",
    "register_env",
    "tunable",
]
