"""Small environments that hold every kind of parameter, for the conformance kit and for tests of backends."""

from __future__ import annotations

import numpy as np

from designopt.env import Constraint, DesignEnv, Objective, Reference
from designopt.evaluation import Evaluation
from designopt.parameters import Array, Categorical, Integer, Ordinal, Real, Sequence
from designopt.space import DesignSpace


class MixedProblem(DesignEnv):
    """Every kind of parameter, columns with one value included, and two constraints of different scale.

    The cost is a sum over columns of distances from x = 0.3, rate = 1, teeth = 4, turns = 10, gauge = 2, "felt" and
    "CAG"; both constraints are slack there.
    """

    design_space = DesignSpace(
        x=Real(-1.0, 1.0),
        rate=Real(1e-3, 1e2, log=True),
        teeth=Integer(0, 9),
        turns=Integer(1, 1000, log=True),
        gauge=Ordinal([1.0, 2.0, 3.5, 8.0]),
        lining=Categorical(["cork", "felt", "none"]),
        maker=Categorical(["only"]),
        grade=Ordinal([7.0]),
        tag=Sequence("ACGT", 3),
    )
    objectives = (Objective("cost"),)
    constraints = (Constraint("span"), Constraint("load", scale=100.0))
    reference = Reference(
        value=0.0, design=(0.3, 1.0, 4.0, 10.0, 2.0, 1.0, 0.0, 7.0, 1.0, 0.0, 2.0), source="the cost is zero there"
    )

    def evaluate(self, designs: Array) -> Evaluation:
        """designs: (n, 11) -> Evaluation with objectives (n, 1), constraints (n, 2)."""
        x, rate, teeth, turns, gauge, lining = designs.T[:6]
        cost = (x - 0.3) ** 2 + np.log10(rate) ** 2 + 0.1 * np.abs(teeth - 4) + np.log10(turns / 10) ** 2
        cost += 0.2 * np.abs(gauge - 2) + 0.5 * (lining != 1) + 0.3 * (designs[:, 8:] != (1, 0, 2)).sum(axis=1)
        span = x**2 + teeth / 9 - 1
        load = 100 * (np.log10(rate) - 1 + 0.1 * gauge)
        return Evaluation(cost[:, None], np.stack([span, load], axis=1))


class BiObjectiveProblem(DesignEnv):
    """Two conflicting objectives, one of them maximised, over mixed parameters and under a constraint.

    With the best material "a", mass = (x^2 + y^2) and gain = -((x - 1)^2 + y^2): the front is y = 0, x in [0.2, 1].
    """

    design_space = DesignSpace(x=Real(-1.0, 2.0), y=Integer(-3, 3), material=Categorical(["a", "b"]))
    objectives = (Objective("mass", "min", unit="kg"), Objective("gain", "max"))
    constraints = (Constraint("clearance"),)

    def evaluate(self, designs: Array) -> Evaluation:
        """designs: (n, 3) -> Evaluation with objectives (n, 2), constraints (n, 1)."""
        x, y, material = designs.T
        mass = x**2 + y**2 + material
        gain = -((x - 1) ** 2) - y**2 - material
        return Evaluation(np.stack([mass, gain], axis=1), (0.2 - x)[:, None])


class TinyProblem(DesignEnv):
    """Six designs in all, fewer than any budget."""

    design_space = DesignSpace(shape=Categorical(["round", "square", "hexagonal"]), holes=Integer(0, 1))
    objectives = (Objective("weight"),)

    def evaluate(self, designs: Array) -> Evaluation:
        """designs: (n, 2) -> Evaluation with objectives (n, 1)."""
        return Evaluation((designs @ (1.0, -0.5))[:, None])
