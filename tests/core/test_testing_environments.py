import numpy as np
import pytest

from designopt import Categorical, Constraint, DesignEnv, DesignSpace, Evaluation, Objective, Real, Reference
from designopt.testing import BiObjectiveProblem, MixedProblem, TinyProblem, check_env


class Good(DesignEnv):
    design_space = DesignSpace(x=Real(-1, 1), y=Real(-1, 1))
    objectives = (Objective("f"),)
    constraints = (Constraint("g"),)

    def evaluate(self, designs):
        return Evaluation((designs**2).sum(axis=1, keepdims=True), designs[:, :1] - 0.5)


@pytest.mark.parametrize("env", [Good(), MixedProblem(), BiObjectiveProblem(), TinyProblem()], ids=lambda env: env.id)
def test_a_sound_environment_passes(env):
    check_env(env)


def test_designs_without_values_are_fine_when_they_are_flagged():
    class PartlyInvalid(Good):
        def evaluate(self, designs):
            return Evaluation(np.sqrt(designs[:, :1].clip(0) / (designs[:, :1] > 0)), designs[:, :1])

    with np.errstate(all="ignore"):
        check_env(PartlyInvalid())


class Mutating(Good):
    def evaluate(self, designs):
        designs *= 2
        return super().evaluate(designs)


class Noisy(Good):
    def evaluate(self, designs):
        result = super().evaluate(designs)
        result.objectives += np.random.default_rng().normal(size=result.objectives.shape)
        return result


class NoisyMetric(Good):
    def evaluate(self, designs):
        return Evaluation(designs[:, :1], designs[:, :1], metrics={"m": np.random.default_rng().random(len(designs))})


class BatchDependent(Good):
    def evaluate(self, designs):
        return Evaluation((designs - designs.mean(axis=0))[:, :1], designs[:, :1])


class OrderDependent(Good):
    def evaluate(self, designs):
        row = np.arange(len(designs)) == 1  # one by one there is no second row
        return Evaluation(np.where(row & (len(designs) > 1), 1.0, 0.0)[:, None], designs[:, :1])


class UnstableStatus(Good):
    calls = 0

    def evaluate(self, designs):
        self.calls += 1
        result = super().evaluate(designs)
        result.status[:] = "ok" if self.calls % 2 else "invalid"
        return result


class MissingConstraint(Good):
    def evaluate(self, designs):
        return Evaluation(designs[:, :1])


class TwoValues(Good):
    def evaluate(self, designs):
        return Evaluation(designs, designs[:, :1])


class OneRow(Good):
    def evaluate(self, designs):
        return super().evaluate(designs[:1])


class PlainArray(Good):
    def evaluate(self, designs):
        return designs[:, 0]


class UnflaggedNaN(Good):
    def evaluate(self, designs):
        result = super().evaluate(designs)
        result.objectives[0] = np.nan
        return result


class SameNames(Good):
    constraints = (Constraint("f"),)


class NoObjective(Good):
    objectives = ()


class ConstraintNames(Good):
    constraints = ("g",)


class BeatenReference(Good):
    reference = Reference(value=5.0, source="wrong")


class BeatenMaximum(Good):
    objectives = (Objective("f", "max"),)
    reference = Reference(value=0.1, source="wrong")


class WrongReferenceDesign(Good):
    reference = Reference(value=0.0, design=(0.1, 0.0), source="wrong")


class InfeasibleReference(Good):
    reference = Reference(value=0.36, design=(0.6, 0.0), source="wrong")

    def evaluate(self, designs):
        result = super().evaluate(designs)
        result.constraints[:] = 1.0
        return result


class ForeignReference(Good):
    reference = Reference(value=0.0, design=(3.0, 0.0), source="wrong")


class NoSource(Good):
    reference = Reference(value=0.0, source="")


class NoReferencePoint(BiObjectiveProblem):
    reference = Reference(hypervolume=1.0, reference_point=(1.0,), source="wrong")


class StatefulCopy(Good):
    def __init__(self):
        super().__init__()
        self.offset = 1.0

    def __getstate__(self):
        return {**self.__dict__, "offset": 0.0}

    def evaluate(self, designs):
        return Evaluation(designs[:, :1] + self.offset, designs[:, :1])


class WrongObservation(Good):
    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(7), {}


@pytest.mark.parametrize(
    ("env", "sentence"),
    [
        (Mutating, "changed the array of designs"),
        (Noisy, "evaluating the same designs again changed 'f'"),
        (NoisyMetric, "evaluating the same designs again changed 'm'"),
        (BatchDependent, "one by one instead of in a batch changed 'f'"),
        (OrderDependent, "changed 'f' from"),
        (UnstableStatus, "again changed the status"),
        (MissingConstraint, r"constraints of shape \(11, 0\) for \(11, 1\)"),
        (TwoValues, r"objectives of shape \(11, 2\) for \(11, 1\)"),
        (OneRow, r"objectives of shape \(1, 1\) for \(11, 1\)"),
        (PlainArray, "returned ndarray, not an Evaluation"),
        (UnflaggedNaN, "NaN or inf but status 'ok'"),
        (SameNames, "two objectives or constraints are named 'f'"),
        (NoObjective, "at least one is needed"),
        (ConstraintNames, "must be a tuple of Constraint"),
        (BeatenReference, "better than the reference value 5.0"),
        (BeatenMaximum, "better than the reference value 0.1"),
        (WrongReferenceDesign, "the reference design has value 0.01"),
        (InfeasibleReference, "violates the constraints by 1.0"),
        (ForeignReference, "is not in the design space"),
        (NoSource, "no source"),
        (NoReferencePoint, "needs a reference_point of 2 values"),
        (StatefulCopy, "pickled copy of the environment changed 'f'"),
        (WrongObservation, "Gymnasium's own checker says"),
    ],
)
def test_a_flaw_is_named(env, sentence):
    with pytest.raises(AssertionError, match=sentence):
        check_env(env())


def test_a_batch_may_differ_from_single_designs_by_the_given_rounding_only():
    class Rounding(Good):
        def evaluate(self, designs):
            return Evaluation(1 + designs[:, :1] * 0 + 1e-12 * len(designs), designs[:, :1])

    check_env(Rounding())
    with pytest.raises(AssertionError, match="one by one"):
        check_env(Rounding(), rtol=1e-14)


def test_the_corners_of_the_space_are_evaluated():
    class FailsAtTheCorner(Good):
        design_space = DesignSpace(x=Real(0, 1), y=Categorical("ab"))

        def evaluate(self, designs):
            if (designs == self.design_space.high).all(axis=1).any():
                raise ZeroDivisionError("at the upper corner")
            return super().evaluate(designs)

    with pytest.raises(ZeroDivisionError):
        check_env(FailsAtTheCorner(), samples=0)
