import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from designopt import Categorical, DesignSpace, Integer, Ordinal, Real, Sequence

NAMES = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), min_size=1, max_size=6)


@st.composite
def reals(draw):
    log = draw(st.booleans())
    low = draw(st.floats(1e-6, 1e6) if log else st.floats(-1e6, 1e6))
    return Real(low, low + draw(st.floats(1e-3, 1e6)) * (1 + abs(low)), log=log)


@st.composite
def integers(draw):
    log = draw(st.booleans())
    low = draw(st.integers(1 if log else -1000, 1000))
    return Integer(low, low + draw(st.integers(1, 5000)), log=log)


PARAMETERS = st.one_of(
    reals(),
    integers(),
    st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=6, unique=True).map(lambda v: Ordinal(sorted(v))),
    st.lists(st.text(max_size=4), min_size=1, max_size=5, unique=True).map(Categorical),
    st.builds(Sequence, st.just("ACGT"), st.integers(1, 4)),
)
SPACES = st.dictionaries(NAMES, PARAMETERS, min_size=1, max_size=5).map(DesignSpace)
SPACES_AND_SEEDS = given(space=SPACES, seed=st.integers(0, 2**32 - 1))


def mixed_space():
    return DesignSpace(
        width=Real(0.01, 0.1, unit="m"),
        height=Real(0.001, 1.0, unit="m", log=True),
        bolts=Integer(2, 8),
        turns=Integer(1, 1000, log=True),
        plate=Ordinal([0.1, 0.25, 1.0], unit="in"),
        material=Categorical(["steel", "aluminium"]),
        code=Sequence("ACGT", 3),
    )


def close(a, b):
    np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)


@SPACES_AND_SEEDS
def test_samples_are_valid_and_equal_under_equal_seeds(space, seed):
    designs = space.sample(20, seed)
    space.validate(designs)
    assert space.contains(designs).all()
    assert np.array_equal(designs, space.sample(20, seed))


@SPACES_AND_SEEDS
def test_unit_coding_round_trips_and_stays_in_the_unit_cube(space, seed):
    designs = space.sample(20, seed)
    unit = space.to_unit(designs)
    assert unit.min() >= 0
    assert unit.max() <= 1
    again = space.from_unit(unit)
    np.testing.assert_allclose(again, designs, rtol=1e-9, atol=1e-9 * max(1.0, np.abs(designs).max()))
    assert np.array_equal(again[:, space.discrete], designs[:, space.discrete])


@given(space=SPACES, data=st.data())
def test_every_point_of_the_unit_cube_is_a_valid_design(space, data):
    corner = st.sampled_from([0.0, 1.0, -1.0, 2.0, 0.5, math.nextafter(1.0, 0.0)])
    unit = data.draw(st.lists(corner | st.floats(0, 1), min_size=space.dim, max_size=space.dim))
    space.validate(space.from_unit([unit]))


@SPACES_AND_SEEDS
def test_codings_of_other_libraries_round_trip(space, seed):
    designs = space.sample(10, seed)
    scale = 1e-9 * max(1.0, np.abs(designs).max())
    for there, back in (
        (space.decode, space.encode),
        (space.frame, space.encode),
        (space.one_hot, space.from_one_hot),
        (space.to_optuna, space.from_optuna),
        (space.to_pymoo, space.from_pymoo),
    ):
        np.testing.assert_allclose(back(there(designs)), designs, rtol=1e-9, atol=scale, err_msg=there.__name__)
    for design in designs:
        assert np.array_equal(space.from_gymnasium(space.to_gymnasium(design))[0], design)


@SPACES_AND_SEEDS
def test_gymnasium_actions_are_designs_and_designs_are_actions(space, seed):
    actions = space.gymnasium()
    actions.seed(seed)
    space.validate(space.from_gymnasium(actions.sample()))
    for design in space.sample(5, seed):
        assert actions.contains(space.to_gymnasium(design))


@SPACES_AND_SEEDS
def test_optuna_and_pymoo_spaces_contain_the_coded_designs(space, seed):
    designs = space.sample(5, seed)
    distributions, variables = space.optuna(), space.pymoo()
    for optuna_row, pymoo_row in zip(space.to_optuna(designs), space.to_pymoo(designs), strict=True):
        for column, value in optuna_row.items():
            assert distributions[column]._contains(distributions[column].to_internal_repr(value))
        for column, value in pymoo_row.items():
            variable = variables[column]
            if hasattr(variable, "bounds"):
                low, high = variable.bounds
                assert low - 1e-9 <= value <= high + 1e-9
            else:
                assert value in variable.options


@SPACES_AND_SEEDS
def test_description_as_plain_data_round_trips(space, seed):
    import json

    again = DesignSpace.from_json(json.loads(json.dumps(space.to_json())))
    assert again == space
    assert hash(again) == hash(space)
    assert np.array_equal(again.sample(3, seed), space.sample(3, seed))


@SPACES_AND_SEEDS
def test_snap_moves_to_the_nearest_valid_design(space, seed):
    designs = space.sample(10, seed)
    assert np.array_equal(space.snap(designs), designs)
    outside = designs + np.random.default_rng(seed).normal(size=designs.shape) * (1 + np.abs(designs))
    snapped = space.snap(outside)
    space.validate(snapped)
    distance = np.abs(snapped - np.clip(outside, space.low, space.high))
    other = np.abs(space.sample(10, seed + 1) - np.clip(outside, space.low, space.high))
    assert (distance <= other + 1e-9 * (1 + np.abs(outside))).all()


def test_unit_coding_is_the_stated_one():
    space = mixed_space()
    design = space.encode(
        [{"width": 0.055, "height": 0.001 * 1000**0.25, "bolts": 2, "turns": 1, "plate": 0.25, "material": "aluminium",
          "code": "ACT"}]
    )  # fmt: skip
    log = (math.log(1) - math.log(0.5)) / (math.log(1000.5) - math.log(0.5))
    close(space.to_unit(design)[0], [0.5, 0.25, 0.5 / 7, log, 0.5, 0.75, 0.125, 0.375, 0.875])
    close(design[0], [0.055, 0.001 * 1000**0.25, 2, 1, 0.25, 1, 0, 1, 3])


def test_uniform_unit_points_give_every_discrete_value_the_same_share():
    space = DesignSpace(i=Integer(3, 6), o=Ordinal([1, 10, 100, 1000]), c=Categorical("abcd"))
    grid = (np.arange(400) + 0.5) / 400
    designs = space.from_unit(np.stack([grid] * 3, axis=1))
    for column in designs.T:
        assert np.unique(column, return_counts=True)[1].tolist() == [100] * 4


def test_decode_gives_python_values():
    space = mixed_space()
    design = space.decode([[0.05, 0.1, 3, 10, 1.0, 0, 0, 3, 2]])[0]
    assert design == {
        "width": 0.05, "height": 0.1, "bolts": 3, "turns": 10, "plate": 1.0, "material": "steel", "code": "ATG",
    }  # fmt: skip
    assert isinstance(design["bolts"], int)
    assert isinstance(design["width"], float)


def test_a_sequence_of_long_symbols_decodes_to_a_tuple():
    space = DesignSpace(ops=Sequence(["conv", "pool"], 2))
    assert space.decode([[0, 1]]) == [{"ops": ("conv", "pool")}]
    assert np.array_equal(space.encode([{"ops": ["conv", "pool"]}]), [[0, 1]])


def test_one_hot_spreads_categoricals_and_takes_scores_back():
    space = DesignSpace(x=Real(0, 2), c=Categorical("abc"))
    close(space.one_hot([[1.0, 2.0]]), [[0.5, 0, 0, 1]])
    close(space.from_one_hot([[0.5, 0.2, 0.7, 0.1]]), [[1.0, 1.0]])
    with pytest.raises(ValueError, match=r"\(n, 4\)"):
        space.from_one_hot([[0.5, 1.0]])


def test_columns_bounds_and_masks():
    space = mixed_space()
    assert space.columns == ["width", "height", "bolts", "turns", "plate", "material", "code[0]", "code[1]", "code[2]"]
    assert space.dim == space.unit_dim == 9
    assert len(space) == 7
    assert space.names[0] == "width"
    assert space["bolts"] == Integer(2, 8)
    assert space.low.tolist() == [0.01, 0.001, 2, 1, 0.1, 0, 0, 0, 0]
    assert space.high.tolist() == [0.1, 1.0, 8, 1000, 1.0, 1, 3, 3, 3]
    assert space.discrete.tolist() == [False, False] + [True] * 7
    assert space.categorical.tolist() == [False] * 5 + [True] * 4


def test_spaces_differ_by_order_and_by_parameters():
    a, b = Real(0, 1), Integer(0, 1)
    assert DesignSpace(a=a, b=b) != DesignSpace(b=b, a=a)
    assert DesignSpace(a=a) != DesignSpace(a=b)
    assert "Real(low=0, high=1" in repr(DesignSpace(a=a))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Real(1, 1), r"Real\(1, 1\): low must be below high"),
        (lambda: Real(2, 1), "low must be below high"),
        (lambda: Real(0, math.inf), "finite"),
        (lambda: Real(math.nan, 1), "finite"),
        (lambda: Real(0, 1, log=True), "needs low > 0"),
        (lambda: Integer(-1, 5, log=True), "needs low > 0"),
        (lambda: Integer(3, 2), "low must be below high"),
        (lambda: Integer(1, 2.5), "2.5 is not a whole number"),
        (lambda: Ordinal([]), "at least one"),
        (lambda: Ordinal([1, 1]), "strictly increasing"),
        (lambda: Ordinal([1, math.nan]), "finite"),
        (lambda: Categorical([]), "at least one choice"),
        (lambda: Categorical(["a", "a"]), "distinct"),
        (lambda: Sequence("AC", 0), "at least 1"),
        (lambda: Sequence("AA", 2), "distinct"),
        (lambda: DesignSpace(), "at least one parameter"),
        (lambda: DesignSpace([("a", Real(0, 1)), ("a", Real(0, 2))]), "'a' is defined twice"),
        (lambda: DesignSpace({"a": Real(0, 1)}, a=Real(0, 1)), "'a' is defined twice"),
    ],
)
def test_absurd_definitions_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_something_else_than_a_parameter_is_refused():
    with pytest.raises(TypeError, match=r"'a' is \(0, 1\)"):
        DesignSpace(a=(0, 1))


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        (0, 0.2, r"design 1: width = 0.2 is not allowed; allowed: values from 0.01 to 0.1"),
        (0, math.nan, "width = nan"),
        (2, 2.5, "bolts = 2.5 is not allowed; allowed: whole numbers from 2 to 8"),
        (4, 0.3, "plate = 0.3 is not allowed; allowed: 0.1, 0.25, 1"),
        (5, 2, "material = 2 is not allowed; allowed: index 0 to 1"),
        (8, 0.5, r"code\[2\] = 0.5"),
    ],
)
def test_a_value_outside_its_parameter_is_named(column, value, message):
    space = mixed_space()
    designs = space.sample(3, 0)
    designs[1, column] = value
    assert space.contains(designs).tolist() == [True, False, True]
    with pytest.raises(ValueError, match=message):
        space.validate(designs)


@pytest.mark.parametrize("designs", [[1.0, 2.0], [[1.0, 2.0]], np.zeros((0,))])
def test_designs_of_another_shape_are_refused(designs):
    with pytest.raises(ValueError, match=r"\(n, 9\)"):
        mixed_space().validate(designs)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"widht": 1}, "unknown parameter 'widht'; did you mean 'width'"),
        ({"material": "steal"}, "material = 'steal' is not allowed; did you mean 'steel'"),
        ({"code": "ACX"}, "code = 'X' is not allowed; allowed: A, C, G, T"),
        ({"code": "AC"}, "code: every sequence must have 3 letters"),
        ({"bolts": "many"}, "bolts"),
        ({"bolts": 9}, "bolts = 9 is not allowed"),
    ],
)
def test_a_dictionary_that_is_no_design_is_refused(change, message):
    space = mixed_space()
    with pytest.raises(ValueError, match=message):
        space.encode([space.decode(space.sample(1, 0))[0] | change])


def test_a_missing_name_is_named():
    with pytest.raises(ValueError, match="parameter 'b' is missing; needed: a, b"):
        DesignSpace(a=Real(0, 1), b=Real(0, 1)).encode([{"a": 0.5}])


def test_no_designs_are_no_problem():
    space = mixed_space()
    empty = space.encode([])
    assert empty.shape == (0, 9)
    assert space.decode(empty) == []
    assert space.from_unit(space.to_unit(empty)).shape == (0, 9)
    assert list(space.frame(empty).columns) == space.names


def test_a_table_of_many_designs_is_encoded_by_columns():
    space = mixed_space()
    designs = space.sample(1000, 0)
    assert isinstance(space.frame(designs), pd.DataFrame)
    close(space.encode(space.frame(designs)), designs)


@settings(max_examples=5)
@given(seed=st.integers(0, 100))
def test_input_arrays_are_not_changed(seed):
    space = mixed_space()
    designs = space.sample(5, seed)
    copy = designs.copy()
    for method in (space.to_unit, space.snap, space.one_hot, space.to_optuna, space.to_pymoo, space.frame):
        method(designs)
    unit = space.to_unit(designs)
    unit_copy = unit.copy()
    space.from_unit(unit)
    assert np.array_equal(designs, copy)
    assert np.array_equal(unit, unit_copy)
