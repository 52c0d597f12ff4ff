import numpy as np
import pytest

import designopt as do
from designopt.surrogates.ensemble import Ensemble, fit_proxy, mixed, quality, split

SPACE = do.DesignSpace(x=do.Real(1, 100, log=True), n=do.Integer(0, 9), c=do.Categorical("abc"))


def outputs(designs):
    x, n, c = designs.T
    return np.stack([x * (1 + (c == 1)) * (1 + 0.1 * n), np.log(x) - n + 3 * (c == 2)], axis=1)


@pytest.mark.parametrize(("kind", "limit"), [("forest", 25), ("mlp", 12)])
def test_ensembles_learn_a_mixed_function_of_several_outputs(kind, limit):
    train, test = SPACE.sample(600, seed=0), SPACE.sample(200, seed=1)
    mean, std = Ensemble(SPACE, kind, members=20 if kind == "forest" else 2).fit(train, outputs(train)).predict(test)
    truth = outputs(test)
    for j in range(2):
        found = quality(truth[:, j], mean[:, j])
        assert found.r2 > 0.9
        assert found.rmse_percent < limit
    assert mean.shape == std.shape == (200, 2)
    assert (std > 0).mean() > 0.9


def test_positive_outputs_are_learned_as_logarithms_and_stay_positive():
    designs = np.array([[1.0, 0, 0], [100.0, 0, 0]])
    model = Ensemble(SPACE, "forest", members=400).fit(designs, np.array([[1e-6, -1.0], [1e6, 1.0]]))
    halfway = model.predict(np.array([[10.0, 0, 0]]))[0][0]
    assert 1e-6 <= model.predict(designs)[0][0, 0] < 1e-1
    assert -1 <= halfway[1] <= 1
    assert np.log10(model.predict(designs)[0][:, 0].prod()) == pytest.approx(0, abs=1.5)


def test_a_constant_output_is_predicted_as_such():
    designs = SPACE.sample(20, seed=0)
    model = Ensemble(SPACE, members=3).fit(designs, np.full((20, 1), 7.0))
    assert model.predict(designs)[0] == pytest.approx(7.0)


def test_the_seed_decides():
    designs = SPACE.sample(50, seed=0)
    first, same, other = (Ensemble(SPACE, members=3, seed=s).fit(designs, outputs(designs)) for s in (0, 0, 1))
    assert np.array_equal(first.predict(designs)[0], same.predict(designs)[0])
    assert not np.array_equal(first.predict(designs)[0], other.predict(designs)[0])


def test_designs_without_values_are_left_out_of_a_proxy():
    @do.design_env(SPACE, minimize=["y"], constraints={"g": "<= 1"}, vectorized=True)
    def half(x, n, c):
        return {"y": np.where(n > 4, np.nan, x), "g": x}

    designs = SPACE.sample(60, seed=0)
    model = fit_proxy(half, designs, half.evaluate(designs), members=5)
    assert model.predict(designs)[0].shape == (60, 2)


def test_quality_by_hand():
    truth = np.array([1.0, 2.0, 3.0, 4.0])
    found = quality(truth, truth + np.array([0.5, -0.5, 0.5, -0.5]))
    assert found.rmse_percent == pytest.approx(20)
    assert found.mae_percent == pytest.approx(20)
    assert found.r2 == pytest.approx(0.8)
    assert found.top_recall in (0.0, 1.0)
    assert quality(truth, truth[::-1]).spearman == pytest.approx(-1)
    assert (quality(truth, truth).top_recall, quality(truth, -truth).top_recall) == (1, 0)


def test_equal_canonical_designs_are_never_on_both_sides():
    canonical = np.random.default_rng(0).integers(0, 5, (400, 2))
    train, test = split(canonical, 0.3, seed=1)
    assert sorted([*train, *test]) == list(range(400))
    assert not {tuple(row) for row in canonical[train]} & {tuple(row) for row in canonical[test]}
    assert len(train)
    assert len(test)


def test_a_mix_takes_equal_shares_without_repeats():
    parts = {"a": np.arange(100)[:, None], "b": np.arange(100, 200)[:, None], "c": np.arange(200, 205)[:, None]}
    rows = mixed(parts, 60, seed=0).ravel()
    assert len(set(rows)) == len(rows) == 45
    assert ((rows < 100).sum(), (rows >= 200).sum()) == (20, 5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Ensemble(SPACE, "tree"), "kind = 'tree'"),
        (lambda: Ensemble(SPACE, members=0), "members = 0; it must be at least 1"),
        (lambda: Ensemble(SPACE).predict(SPACE.sample(1)), "call fit first"),
        (lambda: Ensemble(SPACE).fit(SPACE.sample(3), np.zeros((2, 1))), r"outputs \(2, 1\) of designs \(3, 3\)"),
        (lambda: Ensemble(SPACE).fit(SPACE.sample(1), np.zeros((1, 1))), "n >= 2"),
        (lambda: Ensemble(SPACE).fit(SPACE.sample(2), np.full((2, 1), np.nan)), "hold NaN or inf"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
