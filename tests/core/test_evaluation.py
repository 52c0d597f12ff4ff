import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from designopt import Constraint, Evaluation, Objective

FLOATS = st.floats(allow_nan=True, allow_infinity=True)


@given(objectives=arrays(np.float64, (6, 2), elements=FLOATS), constraints=arrays(np.float64, (6, 3), elements=FLOATS))
def test_a_row_is_ok_exactly_when_every_value_is_finite(objectives, constraints):
    evaluation = Evaluation(objectives, constraints)
    finite = np.isfinite(objectives).all(axis=1) & np.isfinite(constraints).all(axis=1)
    assert np.array_equal(evaluation.status == "ok", finite)
    assert set(evaluation.status[~finite]) <= {"invalid"}
    assert ((evaluation.errors == "") == finite).all()
    assert np.array_equal(
        evaluation.feasible, finite & (np.where(np.isnan(constraints), 1, constraints) <= 0).all(axis=1)
    )


def test_defaults_are_ok_once_and_without_constraints():
    evaluation = Evaluation([[1.0], [2.0]])
    assert evaluation.constraints.shape == (2, 0)
    assert evaluation.status.tolist() == ["ok", "ok"]
    assert evaluation.attempts.tolist() == [1, 1]
    assert evaluation.seconds.tolist() == [0.0, 0.0]
    assert evaluation.errors.tolist() == ["", ""]
    assert evaluation.feasible.all()
    assert len(evaluation) == 2


def test_statuses_given_stay_and_only_ok_can_turn_invalid():
    evaluation = Evaluation(
        [[np.nan], [np.nan], [1.0]], status=["failed", "ok", "timeout"], errors=["boom", "", "slow"]
    )
    assert evaluation.status.tolist() == ["failed", "invalid", "timeout"]
    assert evaluation.errors[0] == "boom"
    assert "NaN" in evaluation.errors[1]
    assert not evaluation.feasible.any()


def test_maximised_objectives_change_sign_as_losses():
    objectives = (Objective("cost", "min"), Objective("life", "max"))
    assert Evaluation([[1.0, 2.0]]).losses(objectives).tolist() == [[1.0, -2.0]]


def test_violation_is_the_scaled_sum_of_what_is_positive():
    evaluation = Evaluation([[0.0]] * 3, [[10.0, -5.0], [-1.0, 0.0], [np.nan, 0.0]])
    constraints = (Constraint("a", scale=10.0), Constraint("b", scale=0.5))
    assert evaluation.violation(constraints).tolist() == [1.0, 0.0, np.inf]
    assert Evaluation([[1.0], [np.nan]]).violation(()).tolist() == [0.0, np.inf]


def test_rows_can_be_chosen_and_joined_again():
    evaluation = Evaluation(
        [[1.0], [2.0], [3.0]], [[0.0], [1.0], [-1.0]], metrics={"mass": [7, 8, 9]},
        status=["ok", "failed", "ok"], attempts=[1, 2, 3], seconds=[0.1, 0.2, 0.3], errors=["", "x", ""],
    )  # fmt: skip
    assert evaluation[-1].metrics["mass"].tolist() == [9]
    assert evaluation[0].objectives.tolist() == [[1.0]]
    assert evaluation[[2, 0]].attempts.tolist() == [3, 1]
    joined = Evaluation.concatenate([evaluation[:1], evaluation[1:]])
    for name in ("objectives", "constraints", "status", "attempts", "seconds", "errors"):
        assert np.array_equal(getattr(joined, name), getattr(evaluation, name)), name
    assert joined.metrics["mass"].tolist() == [7, 8, 9]


def test_a_metric_that_one_part_lacks_is_nan_there():
    joined = Evaluation.concatenate([Evaluation([[1.0]], metrics={"mass": [7.0]}), Evaluation([[2.0]])])
    assert joined.metrics["mass"][0] == 7.0
    assert np.isnan(joined.metrics["mass"][1])


def test_failure_rows_have_no_values():
    evaluation = Evaluation.failure(2, 1, 3, "timeout", "too slow", attempts=2, seconds=1.5)
    assert evaluation.status.tolist() == ["timeout"] * 2
    assert np.isnan(evaluation.objectives).all()
    assert evaluation.constraints.shape == (2, 3)
    assert evaluation.attempts.tolist() == [2, 2]
    assert evaluation.seconds.tolist() == [1.5, 1.5]
    assert evaluation.errors.tolist() == ["too slow"] * 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"objectives": [1.0, 2.0]}, r"objectives must have shape \(n, m\), got \(2,\)"),
        ({"objectives": [[1.0]], "constraints": [1.0]}, r"constraints must have shape \(1, k\), got \(1,\)"),
        ({"objectives": [[1.0]], "constraints": [[1.0], [2.0]]}, r"got \(2, 1\)"),
        ({"objectives": [[1.0]], "status": ["great"]}, "status = 'great'; allowed: ok, invalid, failed, timeout, lost"),
        ({"objectives": [[1.0]], "status": ["ok", "ok"]}, r"status must have shape \(1,\)"),
        ({"objectives": [[1.0]], "seconds": [1.0, 2.0]}, r"seconds must have shape \(1,\)"),
        ({"objectives": [[1.0]], "metrics": {"mass": [1.0, 2.0]}}, r"mass must have shape \(1,\)"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Evaluation(**arguments)


def test_an_unknown_sense_or_scale_is_refused():
    with pytest.raises(ValueError, match="sense = 'minimum'; allowed: 'min', 'max'"):
        Objective("cost", "minimum")
    for scale in (0.0, -1.0, np.inf, np.nan):
        with pytest.raises(ValueError, match="positive and finite"):
            Constraint("stress", scale=scale)
