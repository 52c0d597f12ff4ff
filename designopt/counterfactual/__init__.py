"""What a counterfactual design is: a query, the targets it misses, and how far a design lies from it and from data.

The environment wrapper and the search stand on the same formulation, which is why it lives here.

Reference: Regenwetter, Abu Obaideh, Ahmed, "MCD: A Model-Agnostic Counterfactual Search Method For Multi-modal Design
Modifications", J. Mech. Des. 147(2), 2025, arXiv:2305.11308.
"""

from designopt.counterfactual.gower import Gower
from designopt.counterfactual.problem import Counterfactual, Problem
from designopt.counterfactual.targets import Embedding, Interval, MostProbable, OneOf, Optimise, Soft, Target, parse

__all__ = [
    "Counterfactual",
    "Embedding",
    "Gower",
    "Interval",
    "MostProbable",
    "OneOf",
    "Optimise",
    "Problem",
    "Soft",
    "Target",
    "parse",
]
