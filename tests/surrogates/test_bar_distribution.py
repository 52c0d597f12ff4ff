"""The closed forms against draws, numerical integration and a plain normal distribution."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from designopt.surrogates.pfn.bar_distribution import BarDistribution, normal_mass, sinh_borders

BORDERS = sinh_borders(20, 4.0, 0.1)
POINTS = [-30.0, -7.0, -2.2, -0.5, 0.0, 0.31, 1.7, 4.5, 9.0]


def bars(seed=0, location=0.7, scale=1.9, spread=1.0):
    """A rough distribution with much mass in both tails."""
    logits = torch.as_tensor(np.random.default_rng(seed).normal(size=20)) * spread
    logits[[0, -1]] += 1.5
    return BarDistribution(logits, BORDERS, *(torch.tensor(v, dtype=torch.double) for v in (location, scale)))


def density(distribution):
    return lambda y: float(distribution.log_prob(y).exp())


def integral(distribution, function, low=-80.0, high=80.0):
    """Of function times density, piece by piece between the borders."""
    edges = (distribution.location + distribution.scale * distribution.borders[1:-1]).tolist()
    edges = [low, *[edge for edge in edges if low < edge < high], high]
    p = density(distribution)
    return sum(integrate.quad(lambda y: function(y) * p(y), a, b)[0] for a, b in pairwise(edges))


def test_density_integrates_to_one():
    assert integral(bars(), lambda y: 1.0) == pytest.approx(1.0, abs=1e-7)


def test_half_of_a_tail_lies_within_the_outermost_bar():
    d = bars(location=0.0, scale=1.0)
    assert float(d.cdf(BORDERS[0])) == pytest.approx(float(d.mass[0]) / 2)
    assert 1 - float(d.cdf(BORDERS[-1])) == pytest.approx(float(d.mass[-1]) / 2)


def test_mean_and_variance_are_integrals():
    d = bars()
    mean = integral(d, lambda y: y)
    assert float(d.mean) == pytest.approx(mean, rel=1e-7)
    assert float(d.variance) == pytest.approx(integral(d, lambda y: (y - mean) ** 2), rel=1e-7)


@pytest.mark.parametrize("y", POINTS)
def test_cdf_is_an_integral(y):
    d = bars()
    assert float(d.cdf(y)) == pytest.approx(integral(d, lambda _: 1.0, high=y), abs=1e-7)
    assert float(d.probability_of_improvement(y)) == pytest.approx(1 - float(d.cdf(y)), abs=1e-12)


@pytest.mark.parametrize("best", POINTS)
def test_expected_improvement_is_an_integral(best):
    d = bars()
    truth = integral(d, lambda y: max(y - best, 0.0), low=max(best, -80.0))
    assert float(d.expected_improvement(best)) == pytest.approx(truth, rel=1e-6, abs=1e-9)
    assert float((-d).expected_improvement(-best)) == pytest.approx(
        integral(d, lambda y: max(best - y, 0.0), high=best), rel=1e-6, abs=1e-9
    )


def test_draws_have_the_moments_and_improvements_of_the_closed_forms():
    d = bars()
    draws = d.sample(400_000, torch.Generator().manual_seed(0))
    assert float(draws.mean()) == pytest.approx(float(d.mean), abs=5 * float(d.variance / 400_000) ** 0.5)
    assert float(draws.var()) == pytest.approx(float(d.variance), rel=0.02)
    for best in (-2.0, 1.0, 5.0):
        assert float((draws - best).clamp_min(0).mean()) == pytest.approx(float(d.expected_improvement(best)), rel=0.02)
        assert float((draws <= best).double().mean()) == pytest.approx(float(d.cdf(best)), abs=0.004)


@given(st.floats(1e-6, 1 - 1e-6), st.integers(0, 5))
@settings(deadline=None)
def test_quantile_inverts_the_cdf(p, seed):
    d = bars(seed)
    assert float(d.cdf(d.quantile(p))) == pytest.approx(p, rel=1e-8, abs=1e-12)


@given(st.integers(0, 20), st.floats(-3, 3), st.floats(1e-3, 1e3))
@settings(deadline=None, max_examples=50)
def test_moves_and_grows_with_location_and_scale(seed, location, scale):
    unit, moved = bars(seed, 0.0, 1.0), bars(seed, location, scale)
    y = torch.tensor([-5.0, -0.3, 0.2, 6.0]).double()[:, None]
    assert torch.allclose(moved.mean, location + scale * unit.mean)
    assert torch.allclose(moved.variance, scale**2 * unit.variance)
    assert torch.allclose(moved.log_prob(location + scale * y), unit.log_prob(y) - math.log(scale))
    assert torch.allclose(moved.cdf(location + scale * y), unit.cdf(y), atol=1e-9)
    assert torch.allclose(
        moved.log_expected_improvement(location + scale * y), unit.log_expected_improvement(y) + math.log(scale)
    )


def test_negation_mirrors():
    d, y = bars(), torch.tensor([-5.0, -0.3, 0.2, 6.0]).double()
    assert torch.allclose((-d).mean, -d.mean)
    assert torch.allclose((-d).log_prob(-y), d.log_prob(y))
    assert torch.allclose((-d).cdf(-y), 1 - d.cdf(y))


def test_bars_of_a_normal_behave_like_it():
    borders = sinh_borders(300, 12.0, 0.02)
    mean, deviation = torch.tensor([0.4]).double(), torch.tensor([1.3]).double()
    d = BarDistribution(normal_mass(borders, mean, deviation).log(), borders, mean * 0, deviation * 0 + 1)
    normal = stats.norm(0.4, 1.3)
    assert float(d.mean) == pytest.approx(0.4, abs=1e-4)
    assert float(d.variance) == pytest.approx(1.3**2, rel=1e-3)
    for best in (-2.0, 0.4, 3.0, 6.0):
        u = (0.4 - best) / 1.3
        truth = 1.3 * (u * stats.norm.cdf(u) + stats.norm.pdf(u))
        assert float(d.expected_improvement(best)) == pytest.approx(truth, rel=0.03)
        assert float(d.log_cdf(best)) == pytest.approx(normal.logcdf(best), abs=0.01)
        assert float(d.upper_confidence_bound(u)) == pytest.approx(0.4 + 1.3 * u, abs=0.01)


def test_normal_mass_keeps_its_precision_in_both_tails():
    borders = torch.linspace(-12, 12, 25)
    log_mass = normal_mass(borders, torch.zeros(1), torch.ones(1))[0].log()
    truth = stats.norm.logcdf(-10) + math.log1p(-math.exp(stats.norm.logcdf(-11) - stats.norm.logcdf(-10)))
    assert float(log_mass[1]) == pytest.approx(truth, rel=1e-4)
    assert torch.allclose(log_mass, log_mass.flip(-1), rtol=1e-4)


def test_logarithms_keep_a_gradient_where_the_improvement_underflows():
    d = bars(location=0.0, scale=1.0)
    best = torch.tensor([60.0, 1000.0, 1e5]).double().requires_grad_()
    log_ei, log_pi = d.log_expected_improvement(best), d.log_probability_of_improvement(best)
    slopes = torch.autograd.grad((log_ei + log_pi).sum(), best)[0]
    assert (log_ei < -1000).sum() == 2
    assert log_ei.isfinite().all()
    assert log_pi.isfinite().all()
    assert (slopes < 0).all()


def test_draws_follow_the_logits():
    logits = torch.zeros(20).double().requires_grad_()
    d = BarDistribution(logits, BORDERS, torch.zeros(()).double(), torch.ones(()).double())
    p = torch.linspace(0.001, 0.999, 4001).double()
    mean = d.quantile(p).mean()  # the integral of the quantile function is the mean
    sampled = torch.autograd.grad(mean, logits, retain_graph=True)[0]
    exact = torch.autograd.grad(d.mean, logits)[0]
    assert torch.allclose(sampled, exact, atol=2e-3)


def test_all_quantities_have_the_batch_shape_and_a_gradient():
    logits = torch.randn(3, 2, 20, generator=torch.Generator().manual_seed(0)).requires_grad_()
    location = torch.zeros(3, 2, requires_grad=True)
    d = BarDistribution(logits, BORDERS.float(), location, torch.ones(3, 2))
    for value in (
        d.mean, d.variance, d.cdf(0.1), d.log_cdf(-50.0), d.quantile(0.3), d.log_prob(9.0),
        d.log_expected_improvement(20.0), d.log_expected_improvement(-20.0), d.upper_confidence_bound(2.0),
    ):  # fmt: skip
        assert value.shape == (3, 2)
        assert value.isfinite().all()
        gradient = torch.autograd.grad(value.sum(), (logits, location), retain_graph=True, allow_unused=True)
        assert all(g is None or g.isfinite().all() for g in gradient)
    assert d.sample(5).shape == (5, 3, 2)
    assert d[1].mean.shape == (2,)
    assert torch.equal(d[:, 0].mean, d.mean[:, 0])


def test_borders_are_finest_in_the_middle():
    widths = BORDERS.diff()
    assert float(BORDERS[-1]) == pytest.approx(4.0)
    assert float(-BORDERS[0]) == pytest.approx(4.0)
    assert float(widths[9]) == pytest.approx(0.1, rel=0.02)
    assert (widths[10:].diff() > 0).all()
