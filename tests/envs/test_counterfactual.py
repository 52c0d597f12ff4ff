"""The counterfactual problem and its wrapper: distances in closed form, and what each setting forbids."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import designopt as do
from designopt.counterfactual import (
    Embedding,
    Gower,
    Interval,
    MostProbable,
    OneOf,
    Optimise,
    Problem,
    Soft,
    parse,
)
from designopt.envs.wrappers import CounterfactualEnv
from designopt.testing import MixedProblem, check_env

SPACE = do.DesignSpace(
    length=do.Real(0.0, 10.0),
    bridge=do.Categorical(["none", "steel"]),
    thickness=do.Real(0.0, 1.0),
    holes=do.Integer(0, 8),
    gauge=do.Ordinal([1.0, 2.0, 4.0]),
)
DATA = np.array([[0, 0, 0.0, 0, 1], [10, 1, 1.0, 8, 4], [5, 0, 0.5, 4, 2], [6, 1, 0.5, 4, 2]], dtype=float)
QUERY = np.array([5, 0, 0.5, 4, 2], dtype=float)


class Shelf(do.DesignEnv):
    design_space = SPACE
    objectives = (do.Objective("mass"), do.Objective("load", "max"))
    constraints = (do.Constraint("sag"),)

    def evaluate(self, designs):
        length, bridge, thickness, holes, gauge = designs.T
        mass = length * (thickness + 0.1) + bridge
        load = 10 * thickness + gauge - 0.1 * length
        return do.Evaluation(np.stack([mass, load], 1), (length - 9)[:, None], metrics={"holed": holes > 4})


def problem(**settings):
    return Problem(SPACE, QUERY, DATA, {"mass": Interval(high=2)}, **settings)


def test_distances_are_gowers():
    p = problem()
    design = np.array([[7, 1, 0.25, 4, 4]], dtype=float)
    assert p.proximity(design)[0] == pytest.approx((2 / 10 + 1 + 0.25 + 0 + 2 / 3) / 5)
    assert p.sparsity(design)[0] == 4 / 5
    to_rows = [
        (np.abs(design[0, [0, 2, 3, 4]] - row[[0, 2, 3, 4]]) / [10, 1, 8, 3]).sum() + (row[1] != 1) for row in DATA
    ]
    assert p.manifold(design)[0] == pytest.approx(np.sort(to_rows)[:3].mean() / 5)


def test_a_constant_feature_counts_for_nothing_but_the_number_of_features():
    gower = Gower(np.array([2.0, 0.0]), np.array([False, False]))
    assert gower(np.array([[1.0, 5.0]]), np.array([0.0, 0.0]))[0] == pytest.approx(0.25)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.integers(1, 5))
def test_neighbour_distances_agree_with_all_pairs(seed, d, k):
    rng = np.random.default_rng(seed)
    categorical = rng.random(d) < 0.4
    rows, designs = rng.random((12, d)), rng.random((7, d))
    rows[:, categorical], designs[:, categorical] = rng.integers(3, size=(12, 1)), rng.integers(3, size=(7, 1))
    designs[rng.random((7, d)) < 0.5] = 0.0  # like the anchor
    from designopt.counterfactual.gower import Neighbours

    gower = Gower(np.ptp(rows, axis=0), categorical)
    pairs = gower.pairwise(designs, rows)
    expected = [gower(np.repeat(design[None], 12, 0), rows) for design in designs]
    np.testing.assert_allclose(pairs, expected, atol=1e-12)
    near = np.sort(pairs, axis=1)[:, :k].mean(axis=1)
    np.testing.assert_allclose(Neighbours(gower, rows, np.zeros(d), k)(designs), near, atol=1e-12)


def test_the_manifold_uses_at_most_so_many_rows_and_the_same_ones_each_time():
    rng = np.random.default_rng(0)
    data = SPACE.sample(50, 0)
    targets = {"mass": Interval(high=2)}
    few = [Problem(SPACE, QUERY, data, targets, rows=10) for _ in range(2)]
    assert few[0].usual.shape == (10, 5)
    np.testing.assert_array_equal(few[0].usual, few[1].usual)
    assert {r.tobytes() for r in few[0].usual} <= {r.tobytes() for r in data}
    assert Problem(SPACE, QUERY, data, targets).usual.shape == (50, 5)
    assert rng is not None


# Settings -------------------------------------------------------------------------------------------------------


def test_frozen_and_one_way_features_and_bounds_shape_the_box():
    p = problem(freeze=["bridge"], grow=["length"], shrink=["holes"], bounds={"thickness": (0.2, None)})
    assert p.low.tolist() == [5, 0, 0.2, 0, 1]
    assert p.high.tolist() == [10, 0, 1, 4, 4]
    assert p.free.tolist() == [True, False, True, True, True]
    wild = np.array([[0, 1, 0.0, 7.6, 3.9]])
    assert p.canonical(wild).tolist() == [[5, 0, 0.2, 4, 4]]
    assert p.free_space().names == ["length", "thickness", "holes", "gauge"]
    assert p.free_space()["length"] == do.Real(5.0, 10.0)
    assert p.full(np.array([[6, 0.3, 2, 1.0]])).tolist() == [[6, 0, 0.3, 2, 1]]


def test_a_query_outside_the_bounds_is_moved_and_counts_as_changed_unless_frozen():
    p = problem(bounds={"length": (6, 8)})
    assert p.start.tolist() == [6, 0, 0.5, 4, 2]
    assert p.sparsity(p.canonical(QUERY[None]))[0] == 1 / 5
    frozen = problem(bounds={"length": (6, 8)}, freeze=["length"])
    assert frozen.start[0] == 5
    assert not frozen.free[0]


def test_an_irrelevant_feature_keeps_the_querys_value_and_is_no_change():
    p = problem(conditions={"thickness": ("bridge", "steel")})
    designs = p.canonical(np.array([[5, 0, 0.9, 4, 2], [5, 1, 0.9, 4, 2]]))
    assert designs[:, 2].tolist() == [0.5, 0.9]
    assert p.sparsity(designs).tolist() == [0, 2 / 5]
    listed = problem(conditions={"thickness": ("holes", [3, 4])})
    assert listed.canonical(np.array([[5, 0, 0.9, 5, 2], [5, 0, 0.9, 3, 2]]))[:, 2].tolist() == [0.5, 0.9]


def test_a_difference_within_the_tolerance_is_no_change():
    p = problem(tolerance={"length": 0.1})
    designs = p.canonical(np.array([[5.09, 0, 0.5, 4, 2], [5.11, 0, 0.5, 4, 2]]))
    assert designs[:, 0].tolist() == [5, 5.11]


def test_restrictions_and_the_number_of_changes_are_violations():
    p = problem(max_changes=1, restrictions={"slender": lambda x: x["length"] - 20 * x["thickness"]})
    designs = np.array([[5, 0, 0.5, 4, 2], [5, 1, 0.1, 4, 2]], dtype=float)
    violations = p.violations(designs, {"mass": np.array([3.0, 1.0])})
    assert p.constraint_names == ["mass", "slender", "changes"]
    np.testing.assert_allclose(violations, [[0.5, -5, -0.2], [-0.5, 3, 0.2]])
    assert p.valid(violations).tolist() == [False, False]
    assert p.valid(np.array([[-0.5, 0, 0]])).tolist() == [True]


@pytest.mark.parametrize("flaw", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_no_number_is_never_valid(flaw):
    p = problem()
    assert not p.valid(p.violations(QUERY[None], {"mass": np.array([flaw])})).any()


def test_graded_targets_are_met_by_a_hair():
    p = problem()
    outputs = {"mass": np.array([2.0, 2.0 - 1e-7, 2.0 - 1e-4])}
    assert p.valid(p.violations(np.repeat(QUERY[None], 3, 0), outputs)).tolist() == [False, False, True]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"freeze": ["lenght"]}, r"unknown feature 'lenght'; did you mean 'length'"),
        (
            {"bounds": {"length": (11, 12)}},
            r"bounds of 'length': \(11, 12\) leave no value; the feature goes from 0 to 10",
        ),
        ({"bounds": {"bridge": (0, 1)}}, r"bounds of 'bridge': it has classes, no order"),
        ({"grow": ["bridge"]}, r"'bridge' has classes, no order; it cannot be told to grow or shrink"),
        ({"bounds": {"holes": (3.2, 3.8)}}, r"bounds of 'holes' hold none of its values"),
        ({"max_changes": 0}, r"max_changes = 0; it must be at least 1"),
        ({"tolerance": {"length": -1}}, r"tolerance of 'length' = -1; it must not be negative"),
        (
            {"conditions": {"length": ("bridge", "wood")}},
            r"condition of 'length': bridge = 'wood'; allowed: none, steel",
        ),
    ],
)
def test_unfit_settings_are_refused_in_one_line(settings, message):
    with pytest.raises(ValueError, match=message) as caught:
        problem(**settings)
    assert "\n" not in str(caught.value)


def test_a_problem_needs_data_a_hard_target_and_something_to_change():
    with pytest.raises(ValueError, match=r"the data have no row"):
        Problem(SPACE, QUERY, DATA[:0], {"mass": Interval(high=2)})
    with pytest.raises(ValueError, match=r"at least one must be hard"):
        Problem(SPACE, QUERY, DATA, {"mass": Optimise()})
    with pytest.raises(ValueError, match=r"no feature can change"):
        problem(freeze=SPACE.names).free_space()


# Targets --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("<= 3", Interval(high=3)),
        ("<3e-1", Interval(high=0.3)),
        (">= -1.5", Interval(low=-1.5)),
        ("1 .. 2", Interval(1, 2)),
        ((None, 4), Interval(high=4)),
        ([1, None], Interval(low=1)),
        ("== valid", OneOf(("valid",))),
        ("= 'a b'", OneOf(("a b",))),
        ("in a, b", OneOf(("a", "b"))),
        ("in {a, b}", OneOf(("a", "b"))),
        (True, OneOf((True,))),
        ("min", Optimise("min")),
        ("max", Optimise("max")),
        (Soft(Interval(high=1), 2.0), Soft(Interval(high=1), 2.0)),
    ],
)
def test_targets_as_users_write_them(text, target):
    assert parse("y", text) == target


@pytest.mark.parametrize("text", ["", "3", "about 3", "<= three", None, 3.0, "<="])
def test_other_texts_are_no_targets(text):
    with pytest.raises(ValueError, match=r"^target 'y' = .* is not understood; allowed: '<= 3'"):
        parse("y", text)


def test_violations_of_intervals_and_classes():
    y = {"y": np.array([0.0, 1.5, 3.0]), "kind": np.array(["a", "b", "c"]), "flag": np.array([1.0, 0.0, np.nan])}
    assert Interval(1, 2).violation("y", y).tolist() == [1, -0.5, 1]
    assert Interval(1, 2).slope("y", y)["y"].tolist() == [-1, 1, 1]
    assert OneOf(("a", "c")).violation("kind", y).tolist() == [0, 1, 0]
    assert OneOf((True,)).violation("flag", y).tolist() == [0, 1, 1]
    assert OneOf(("1",)).violation("flag", y).tolist() == [0, 1, 1]


def test_class_probabilities_make_a_class_target_graded():
    y = {"kind=a": np.array([0.5, 0.2]), "kind=b": np.array([0.3, 0.7]), "kind=c": np.array([0.2, 0.1])}
    assert OneOf(("a",)).violation("kind", y).tolist() == pytest.approx([-0.2, 0.5])
    assert OneOf(("a", "c")).violation("kind", y).tolist() == pytest.approx([-0.2, 0.5])
    slopes = OneOf(("a",)).slope("kind", y)
    assert {k: v.tolist() for k, v in slopes.items()} == {"kind=a": [-1, -1], "kind=b": [1, 1], "kind=c": [0, 0]}
    same = MostProbable(("kind=a",), ("kind=b", "kind=c")).violation("anything", y)
    assert same.tolist() == pytest.approx([-0.2, 0.5])
    with pytest.raises(ValueError, match=r"the model gives neither it nor probabilities kind=class of == z"):
        OneOf(("z",)).violation("kind", y)


def test_a_chance_constraint_keeps_its_distance_by_the_normal_quantile():
    y = {"y": np.array([1.0]), "y_std": np.array([0.5])}
    assert Interval(high=2, confidence=0.95).violation("y", y)[0] == pytest.approx(1.0 + 1.6448536 * 0.5 - 2)
    assert Interval(low=0, confidence=0.95).violation("y", y)[0] == pytest.approx(1.6448536 * 0.5 - 1)
    assert Interval(high=2).violation("y", y)[0] == -1
    assert Interval(high=2, confidence=0.9).slope("y", y)["y_std"][0] == pytest.approx(1.2815516)


def test_soft_targets_and_higher_is_better_enter_as_losses():
    y = {"y": np.array([1.0, 3.0])}
    assert Optimise("max").loss("y", y).tolist() == [-1, -3]
    assert Optimise("min").loss("y", y).tolist() == [1, 3]
    assert Soft(Interval(high=2)).loss("y", y).tolist() == [0, 1]


@pytest.mark.parametrize("confidence", [0.4, 1.0])
def test_unfit_intervals_are_refused(confidence):
    with pytest.raises(ValueError, match="confidence"):
        Interval(high=1, confidence=confidence)
    with pytest.raises(ValueError, match="lower bound must not exceed"):
        Interval(2, 1)


def test_an_embedding_is_a_cosine_similarity():
    # A stand-in for a text or image model: the embedding is a fixed linear map of the design.
    near = Embedding(lambda x: x @ np.array([[1.0, 0.0], [0.0, 2.0]]), np.array([1.0, 0.0]))
    similarity = near(np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.5], [0.0, 0.0]]))
    np.testing.assert_allclose(similarity[:3], [1, 0, 1 / math.sqrt(2)])
    assert np.isnan(similarity[3])


# The wrapper ----------------------------------------------------------------------------------------------------


def test_the_wrapper_has_distances_as_objectives_and_targets_as_constraints():
    env = CounterfactualEnv(Shelf(), QUERY, {"mass": "<= 2", "load": "max"}, data=DATA, freeze=["bridge"])
    assert [o.name for o in env.objectives] == ["proximity", "sparsity", "manifold", "load (maximise)"]
    assert [c.name for c in env.constraints] == ["mass target", "sag target"]
    assert env.design_space.names == ["length", "thickness", "holes", "gauge"]
    assert env.id == "CounterfactualEnv(Shelf)"
    evaluation = env.evaluate(np.array([[6, 0.5, 4, 2.0]]))
    assert evaluation.objectives[0, [0, 1]] == pytest.approx([0.1 / 5, 1 / 5])
    assert evaluation.objectives[0, 3] == pytest.approx(-(5 + 2 - 0.6))
    np.testing.assert_allclose(evaluation.constraints, [[(3.6 - 2) / 2, -3]])
    assert evaluation.metrics["mass"].tolist() == pytest.approx([3.6])


def test_the_wrapper_conforms():
    check_env(CounterfactualEnv(Shelf(), QUERY, {"mass": "<= 2"}, data=DATA))
    mixed = MixedProblem()
    query = mixed.design_space.decode(mixed.design_space.sample(1, 3))[0]
    check_env(CounterfactualEnv(mixed, query, {"cost": "<= 0.5"}))


def test_a_target_on_what_the_environment_does_not_give_is_refused():
    with pytest.raises(ValueError, match=r"the model gives no output 'mas'; did you mean 'mass'"):
        CounterfactualEnv(Shelf(), QUERY, {"mas": "<= 2"}, data=DATA)
    with pytest.raises(ValueError, match=r"query has shape \(2,\); it must be \(5,\)"):
        CounterfactualEnv(Shelf(), [1, 2], {"mass": "<= 2"}, data=DATA)


def test_designs_without_values_stay_without():
    class Brittle(Shelf):
        def evaluate(self, designs):
            evaluation = super().evaluate(designs)
            evaluation.objectives[designs[:, 0] > 8, 0] = np.nan
            return do.Evaluation(evaluation.objectives, evaluation.constraints)

    env = CounterfactualEnv(Brittle(), QUERY, {"mass": "<= 2"}, data=DATA)
    status = env.evaluate(np.array([[9, 0, 0.5, 4, 2], [7, 0, 0.5, 4, 2.0]])).status
    assert status.tolist() == ["invalid", "ok"]


@pytest.mark.parametrize("search", ["random", "nsga2", "mcd"])
def test_any_multi_objective_backend_searches_it(search):
    env = CounterfactualEnv(Shelf(), QUERY, {"mass": "<= 2"}, data=DATA)
    result = do.optimize(env, search=search, budget=200, seed=0)
    assert len(result.pareto) > 0
