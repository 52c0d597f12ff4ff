"""An environment known only by its declaration, for searchers whose designs another library evaluates."""

from __future__ import annotations

from designopt.env import Constraint, DesignEnv, Objective
from designopt.evaluation import Evaluation
from designopt.parameters import Array
from designopt.space import DesignSpace


class DeclaredEnv(DesignEnv):
    """A space, objectives and constraints; what a searcher needs to know, and nothing that could be evaluated."""

    def __init__(
        self, space: DesignSpace, objectives: tuple[Objective, ...], constraints: tuple[Constraint, ...] = ()
    ) -> None:
        super().__init__()
        self.design_space = space
        self.objectives = objectives
        self.constraints = constraints

    def evaluate(self, designs: Array) -> Evaluation:
        """Raises NotImplementedError: the peer library evaluates."""
        raise NotImplementedError("these designs are evaluated by the library that asked for them, not by designopt")
