import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from designopt.surrogates.gp import distances, fit_gp, log_density
from designopt.surrogates.warp import Warp, bilog, fit_warped

finite = st.floats(-1e12, 1e12)
knees = st.floats(1e-3, 1e6)
warps = st.builds(Warp, pivot=st.floats(-10, 10), below=knees, above=knees) | st.builds(
    lambda pivot, knee: Warp(pivot, knee, knee, linear=True), st.floats(-10, 10), knees
)


@given(finite)
def test_bilog_keeps_the_sign_and_is_odd(y):
    assert np.sign(bilog(y)) == np.sign(y)
    assert bilog(-y) == -bilog(y)


def test_bilog_has_its_published_values():
    assert bilog(np.array([0.0, np.e - 1, -(np.e**2 - 1)])) == pytest.approx([0, 1, -2])


@given(warps, st.lists(finite, min_size=2, max_size=20))
def test_warps_increase_and_are_zero_at_the_pivot(warp, values):
    y = np.sort(values)
    z = warp(y)
    assert (np.diff(z) >= 0).all()
    assert (np.sign(z) == np.sign(y - warp.pivot)).all()
    assert warp(np.array([warp.pivot]))[0] == 0


@given(warps, finite)
def test_inverse_undoes_a_warp(warp, y):
    z = torch.as_tensor(warp(np.array([y])))
    assert float(warp.inverse(z)[0]) == pytest.approx(y, rel=1e-6, abs=1e-6 * (1 + abs(warp.pivot)))


@given(warps, st.floats(-1e3, 1e3))
def test_slope_is_the_derivative(warp, y):
    step = 1e-6 * min(warp.below, warp.above)
    if abs(y - warp.pivot) < 10 * step or step < 1e-11 * abs(y):
        return  # across the pivot the slope jumps; far from it, differences drown in rounding
    low, high = warp(np.array([y - step, y + step]))
    if high - low > 1e-9 * abs(high):
        assert np.log((high - low) / (2 * step)) == pytest.approx(warp.log_slope(np.array([y]))[0], abs=1e-2)


def outputs(n=40):
    X = torch.as_tensor(np.random.default_rng(0).random((n, 2)))
    smooth = (torch.sin(4 * X[:, 0]) + X[:, 1]).numpy()
    return X, smooth


def test_straight_outputs_stay_straight():
    X, smooth = outputs()
    _, (warp,) = fit_warped(X, smooth[:, None], np.array([0.3]))
    assert warp.linear


def test_heavy_tails_are_bent():
    X, smooth = outputs()
    y = np.sign(smooth - 0.5) * np.expm1(6 * np.abs(smooth - 0.5))
    _, (warp,) = fit_warped(X, y[:, None], np.zeros(1))
    assert not warp.linear
    assert warp.pivot == 0.0


def test_noise_alone_is_no_reason_to_bend():
    """A bent output has less variance, which makes it no more probable: the Jacobian sees to that."""
    X, _ = outputs()
    y = np.random.default_rng(3).standard_normal(40)
    _, (warp,) = fit_warped(X, y[:, None], np.zeros(1))
    assert warp.linear


def test_the_chosen_model_is_fitted_to_the_end():
    X, smooth = outputs()
    model, _ = fit_warped(X, smooth[:, None], np.zeros(1))
    squares = distances(X[:, None], X, model.categorical)
    y = model.train_targets[None]
    assert float(log_density(model.theta, squares, y)) > float(log_density(fit_gp(X, model.Y).theta, squares, y)) - 0.1


def test_each_side_can_have_its_own_scale():
    X, smooth = outputs()
    z = 4 * (smooth - 0.5)
    y = np.where(z > 0, 1e-3, 1e3) * np.sign(z) * np.expm1(np.abs(z))
    _, (warp,) = fit_warped(X, y[:, None], np.zeros(1))
    assert warp.above < 0.1 < 10 < warp.below


def test_each_output_gets_its_own_warp_and_its_model_is_that_of_the_warped_output():
    X, smooth = outputs()
    Y = np.stack([smooth, np.exp(8 * smooth), 3 - smooth], axis=1)
    model, (first, second, third) = fit_warped(X, Y, np.array([0.0, 1.0, 2.0]))
    assert (first.linear, second.linear, third.linear) == (True, False, True)
    assert (first.pivot, second.pivot, third.pivot) == (0.0, 1.0, 2.0)
    Z = np.stack([first(Y[:, 0]), second(Y[:, 1]), third(Y[:, 2])], axis=1)
    assert model.Y.numpy() == pytest.approx(Z)
    new = torch.as_tensor(np.random.default_rng(1).random((20, 1, 2)))
    direct = fit_gp(X, torch.as_tensor(Z)).posterior(new)
    spread = torch.as_tensor(Z).std(dim=0)
    assert (((model.posterior(new).mean - direct.mean) / spread).abs() < 0.02).all()


@pytest.mark.parametrize("factor", [1e-9, 1e9])
def test_units_do_not_change_the_warp(factor):
    X, smooth = outputs()
    y = np.expm1(6 * smooth) - 2
    _, (plain,) = fit_warped(X, y[:, None], np.zeros(1))
    _, (scaled,) = fit_warped(X, factor * y[:, None], np.zeros(1))
    assert scaled.linear == plain.linear
    assert scaled.below / factor == pytest.approx(plain.below)


def test_constant_output_at_its_pivot():
    X, _ = outputs()
    model, (warp,) = fit_warped(X, np.full((40, 1), 2.5), np.array([2.5]))
    assert warp(np.array([2.5])) == 0
    assert float(model.posterior(X[:1, None]).mean) == pytest.approx(0.0, abs=1e-6)


def test_categories_reach_the_model():
    X, smooth = outputs()
    X[:, 1] = (torch.floor(4 * X[:, 1]) + 0.5) / 4
    model, _ = fit_warped(X, smooth[:, None], np.zeros(1), np.array([False, True]))
    assert model.categorical.tolist() == [False, True]


def test_many_designs_are_judged_by_some_of_them():
    X = torch.as_tensor(np.random.default_rng(0).random((150, 1)))
    y = np.exp(9 * X[:, 0].numpy())
    model, (warp,) = fit_warped(X, y[:, None], np.array([1.0]))
    assert not warp.linear
    assert len(model.X) == 150
    assert float((model.posterior(X[:, None]).mean[:, 0] - model.Y).abs().max()) < 0.01
