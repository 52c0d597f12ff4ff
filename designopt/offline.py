"""Offline model-based optimisation: a search begins with a data set, and has rounds of batches to improve on it.

The data cost no evaluation: a study tells them to its searcher before it first asks, and does not record them. They are
a function of the environment's arguments, so a resumed study tells the same. The budget, rounds times designs a round,
is the study's.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from designopt.env import DesignEnv
from designopt.evaluation import Evaluation
from designopt.parameters import Array
from designopt.searcher import Searcher


@runtime_checkable
class OfflineData(Protocol):
    """What an environment offers that comes with designs whose values are known beforehand."""

    def offline_data(self, seed: int | None = None) -> tuple[Array, Evaluation]:
        """Initial data set: designs (n, d), and what they are worth. n is 0 where nothing is known beforehand.

        Args:
            seed: None: the data set of this environment, the one that studies tell. Others are drawn by the same rule
                from the same designs; where the rule leaves no choice, every seed gives the same.
        """
        ...


def tell_offline_data(env: DesignEnv, searcher: Searcher) -> int:
    """Tell a fresh searcher what is known beforehand, if the environment offers any. -> how many designs were told."""
    if not isinstance(env, OfflineData):
        return 0
    designs, evaluation = env.offline_data()
    if len(designs):
        searcher.tell(env.design_space.validate(designs), evaluation)
    return len(designs)
