"""Environments as BoTorch test problems, under BoTorch's own test cases."""

import numpy as np
import pytest
import torch
from botorch.test_functions.base import ConstrainedBaseTestProblem, MultiObjectiveTestProblem
from botorch.utils.testing import (
    BaseTestProblemTestCaseMixIn,
    BotorchTestCase,
    ConstrainedTestProblemTestCaseMixin,
    MultiObjectiveTestProblemTestCaseMixin,
    SyntheticTestFunctionTestCaseMixin,
)

from designopt import (
    Categorical,
    Constraint,
    DesignEnv,
    DesignSpace,
    Evaluation,
    Integer,
    Objective,
    Ordinal,
    Real,
    Reference,
    Sequence,
)
from designopt.adapters import to_botorch


class Bowl(DesignEnv):
    """Squared distance to (0.3, 2), the second axis being logarithmic."""

    design_space = DesignSpace(x=Real(0.0, 1.0), y=Real(0.1, 10.0, log=True))
    objectives = (Objective("distance"),)
    reference = Reference("closed form", value=0.0, design=(0.3, 2.0))

    def evaluate(self, designs):
        x, y = designs.T
        return Evaluation(((x - 0.3) ** 2 + (y - 2) ** 2)[:, None])


class Mixed(DesignEnv):
    """A maximised objective over every kind of parameter."""

    design_space = DesignSpace(
        x=Real(0.7, 1.1),
        bolts=Integer(2, 8),
        gauge=Ordinal([0.5, 1.3, 20]),
        material=Categorical(["steel", "aluminium"]),
        plies=Sequence("AB", 2),
    )
    objectives = (Objective("strength", "max"),)
    reference = Reference("closed form", value=1.1 + 8 + 20 + 1 + 2, design=(1.1, 8, 20, 1, 1, 1))

    def evaluate(self, designs):
        return Evaluation(designs.sum(axis=1)[:, None])


class Strip(DesignEnv):
    """Minimum x + y with x + y >= 1 and x <= 0.75."""

    design_space = DesignSpace(x=Real(0, 1), y=Real(0, 1))
    objectives = (Objective("sum"),)
    constraints = (Constraint("reach"), Constraint("width"))
    reference = Reference("closed form", value=1.0, design=(0.5, 0.5))

    def __init__(self):
        super().__init__()
        self.calls = 0

    def evaluate(self, designs):
        self.calls += 1
        x, y = designs.T
        return Evaluation((x + y)[:, None], np.stack([1 - x - y, x - 0.75], axis=1))


class Schaffer(DesignEnv):
    """x^2 minimised and -(x - 2)^2 maximised; the front is x in [0, 2]."""

    design_space = DesignSpace(x=Real(-4, 4))
    objectives = (Objective("near_0"), Objective("near_2", "max"))
    # With f2 = (2 - sqrt f1)^2, integral of (4 - f2) df1 over [0, 4].
    reference = Reference("closed form", hypervolume=40 / 3, reference_point=(4.0, 4.0))

    def evaluate(self, designs):
        x = designs[:, 0]
        return Evaluation(np.stack([x**2, -((x - 2) ** 2)], axis=1))


class ConstrainedSchaffer(Schaffer):
    """The same with x >= 1, and no known reference point."""

    constraints = (Constraint("right"),)
    reference = None

    def evaluate(self, designs):
        return Evaluation(super().evaluate(designs).objectives, 1 - designs)


class Broken(Strip):
    """A simulator that gives up left of x = 0.5."""

    reference = None

    def evaluate(self, designs):
        evaluation = super().evaluate(designs)
        evaluation.status[designs[:, 0] < 0.5] = "failed"
        return evaluation


class TestSingleObjective(BotorchTestCase, BaseTestProblemTestCaseMixIn, SyntheticTestFunctionTestCaseMixin):
    @property
    def functions(self):
        return [
            to_botorch(env, noise, negate)
            for env in (Bowl(), Mixed())
            for noise, negate in ((None, False), (0.1, True))
        ]


class TestConstrained(
    BotorchTestCase,
    BaseTestProblemTestCaseMixIn,
    SyntheticTestFunctionTestCaseMixin,
    ConstrainedTestProblemTestCaseMixin,
):
    @property
    def functions(self):
        return [to_botorch(Strip()), to_botorch(Strip(), negate=True)]

    def test_worst_feasible_value(self):
        """BoTorch's case asks for a number; an environment does not know it and says so."""
        for problem in self.functions:
            with pytest.raises(NotImplementedError, match="worst feasible value"):
                _ = problem.worst_feasible_value


class TestMultiObjective(BotorchTestCase, BaseTestProblemTestCaseMixIn, MultiObjectiveTestProblemTestCaseMixin):
    @property
    def functions(self):
        return [to_botorch(Schaffer()), to_botorch(Schaffer(), [0.1, 0.2])]


class TestConstrainedMultiObjective(BotorchTestCase, BaseTestProblemTestCaseMixIn, ConstrainedTestProblemTestCaseMixin):
    @property
    def functions(self):
        return [to_botorch(ConstrainedSchaffer()), to_botorch(ConstrainedSchaffer(), negate=True)]


@pytest.mark.parametrize(
    ("env", "constrained", "multi"),
    [
        (Bowl(), False, False),
        (Strip(), True, False),
        (Schaffer(), False, True),
        (ConstrainedSchaffer(), True, True),
    ],
)
def test_problem_is_of_the_class_that_the_environment_calls_for(env, constrained, multi):
    problem = to_botorch(env)
    assert isinstance(problem, ConstrainedBaseTestProblem) == constrained
    assert isinstance(problem, MultiObjectiveTestProblem) == multi


def test_columns_are_partitioned_by_kind_and_ordinals_are_indices():
    problem = to_botorch(Mixed())
    assert problem.continuous_inds == [0]
    assert problem.discrete_inds == [1, 2]
    assert problem.categorical_inds == [3, 4, 5]
    assert problem.bounds.T.tolist() == [[0.7, 1.1], [2, 8], [0, 2], [0, 1], [0, 1], [0, 1]]
    X = torch.tensor([[[0.75, 3.0, 1.0, 1.0, 0.0, 1.0]]], dtype=torch.double)
    assert problem.designs(X).tolist() == [[0.75, 3, 1.3, 1, 0, 1]]
    assert problem(X).item() == pytest.approx(-(0.75 + 3 + 1.3 + 1 + 0 + 1))


def test_a_maximised_objective_is_minimised_by_its_negative_and_maximised_when_negated():
    X = torch.tensor([[0.75, 3.0, 1.0, 1.0, 0.0, 1.0]], dtype=torch.double)
    value = Mixed().evaluate(to_botorch(Mixed()).designs(X)).objectives.item()
    minimised, maximised = to_botorch(Mixed()), to_botorch(Mixed(), negate=True)
    assert minimised.is_minimization_problem
    assert minimised(X).item() == -value
    assert minimised.optimal_value == pytest.approx(-32.1)
    assert not maximised.is_minimization_problem
    assert maximised(X).item() == value
    assert maximised.optimal_value == pytest.approx(32.1)


def test_objectives_of_both_senses_are_minimised():
    X = torch.tensor([[[3.0]], [[-1.0]]], dtype=torch.double)
    assert to_botorch(Schaffer())(X).tolist() == [[[9, 1]], [[1, 9]]]
    assert to_botorch(Schaffer(), negate=True)(X).tolist() == [[[-9, -1]], [[-1, -9]]]


def test_reference_point_and_hypervolume_are_those_of_the_environment():
    problem = to_botorch(Schaffer())
    assert problem.ref_point.tolist() == [4, 4]
    assert problem.max_hv == pytest.approx(40 / 3)
    assert to_botorch(Schaffer(), negate=True).ref_point.tolist() == [-4, -4]


def test_the_reference_hypervolume_is_that_of_the_front_under_botorch():
    from botorch.utils.multi_objective.hypervolume import Hypervolume

    problem = to_botorch(Schaffer(), negate=True)
    front = problem(torch.linspace(0, 2, 4001, dtype=torch.double)[:, None])
    assert Hypervolume(problem.ref_point).compute(front) == pytest.approx(problem.max_hv, rel=1e-3)


def test_an_unknown_reference_point_is_not_invented():
    problem = to_botorch(ConstrainedSchaffer())
    assert problem.ref_point.isnan().all()
    with pytest.raises(NotImplementedError, match="hypervolume"):
        _ = problem.max_hv


def test_slack_is_positive_where_constraints_hold():
    X = torch.tensor([[0.5, 0.75], [0.25, 0.25], [1.0, 1.0], [0.75, 0.25]], dtype=torch.double)
    problem = to_botorch(Strip())
    assert problem.evaluate_slack(X).tolist() == [[0.25, 0.25], [-0.5, 0.5], [1, -0.25], [0, 0]]
    assert (
        problem.is_feasible(X).tolist() == Strip().evaluate(X.numpy()).feasible.tolist() == [True, False, False, True]
    )


def test_objectives_and_slack_of_the_same_points_are_evaluated_once():
    env = Strip()
    problem = to_botorch(env)
    X = torch.rand(3, 2, dtype=torch.double)
    problem(X)
    problem.evaluate_slack(X)
    assert env.calls == 1
    assert problem(X / 2).tolist() == pytest.approx((X.sum(-1) / 2).tolist())
    assert env.calls == 2


def test_designs_without_values_are_nan_and_infeasible():
    problem = to_botorch(Broken())
    X = torch.tensor([[0.25, 1.0], [0.6, 0.6]], dtype=torch.double)
    assert problem(X).isnan().tolist() == [True, False]
    assert problem.evaluate_slack(X).isnan().all(-1).tolist() == [True, False]
    assert problem.is_feasible(X).tolist() == [False, True]


def test_noise_is_added_to_the_objective_only():
    torch.manual_seed(0)
    problem = to_botorch(Strip(), noise_std=0.5)
    X = torch.full((4000, 2), 0.5, dtype=torch.double)
    noise = problem(X) - problem(X, noise=False)
    assert noise.std().item() == pytest.approx(0.5, rel=0.05)
    assert problem.evaluate_slack(X).unique().tolist() == [0, 0.25]


def test_single_precision_bounds_stay_inside_the_space():
    problem = to_botorch(Mixed()).to(torch.float)
    assert problem.bounds[0, 0].item() < 0.7
    assert problem.bounds[1, 0].item() > 1.1
    assert problem.designs(problem.bounds)[:, 0].tolist() == [0.7, 1.1]
