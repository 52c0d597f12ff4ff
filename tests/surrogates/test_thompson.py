import numpy as np
import pytest
import torch

from designopt.surrogates.gp import fit_gp
from designopt.surrogates.thompson import draw


@pytest.fixture(scope="module")
def drawn():
    """A model over a real and a categorical column, designs in all four categories, and 300 draws there."""
    rng = np.random.default_rng(0)
    X = torch.as_tensor(rng.random((12, 3)))
    X[:, 2] = torch.as_tensor((rng.integers(3, size=12) + 0.5) / 4)  # of four choices, one was never tried
    Y = torch.stack([torch.sin(6 * X[:, 0]) + X[:, 1] + (X[:, 2] > 0.5), 1e4 * X[:, 0] * X[:, 2]], dim=1)
    model = fit_gp(X, Y, [False, False, True])
    new = torch.as_tensor(rng.random((60, 3)))
    new[:, 2] = torch.as_tensor((rng.integers(4, size=60) + 0.5) / 4)
    return model, new, torch.stack([draw(model, new, rng) for _ in range(300)])


def test_draws_have_the_mean_and_deviation_of_the_posterior(drawn):
    model, new, draws = drawn
    posterior = model.posterior(new[:, None])
    mean, deviation = posterior.mean[:, 0], posterior.variance[:, 0].sqrt()
    assert draws.shape == (300, 60, 2)
    assert (((draws.mean(dim=0) - mean) / deviation).abs() < 5 / np.sqrt(300)).all()
    ratio = draws.std(dim=0) / deviation
    assert ((ratio > 0.7) & (ratio < 1.4)).all()


def test_draws_are_correlated_as_the_posterior_is(drawn):
    model, new, draws = drawn
    joint = model.posterior(new[:30])
    exact = joint.distribution.covariance_matrix.reshape(2, 30, 2, 30)[0, :, 0]  # output by output
    found = torch.cov(draws[:, :30, 0].T)
    scale = torch.sqrt(exact.diagonal()[:, None] * exact.diagonal())
    assert ((found - exact).abs() / scale).mean() < 0.1


def test_draws_pass_through_the_data(drawn):
    model, _, _ = drawn
    values = draw(model, model.X, np.random.default_rng(1))
    assert torch.allclose(values, model.Y, rtol=0.05, atol=0.05)


def test_the_generator_decides_the_draw(drawn):
    model, new, _ = drawn
    first, again, other = (draw(model, new, np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.allclose(first, other)
