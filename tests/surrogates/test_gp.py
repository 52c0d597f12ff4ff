import numpy as np
import pytest
import torch
from botorch.fit import fit_gpytorch_mll
from botorch.models import SingleTaskGP
from botorch.models.transforms.outcome import Standardize
from gpytorch.mlls import ExactMarginalLogLikelihood

from designopt.surrogates.gp import (
    DesignKernel,
    IndependentGPs,
    covariance,
    distances,
    fit_gp,
    lengthscale_prior,
    log_density,
)


def points(n, d, seed=0):
    return torch.as_tensor(np.random.default_rng(seed).random((n, d)))


def smooth(X):
    """(n, d) -> (n, 2) outputs of different smoothness and scale."""
    return torch.stack([torch.sin(5 * X[:, 0]) + X[:, 1] ** 2, 1e3 * torch.cos(4 * X[:, 0] * X[:, 1])], dim=1)


@pytest.fixture(scope="module")
def model():
    X = points(20, 2)
    return fit_gp(X, smooth(X))


def test_predicts_smooth_functions_better_than_botorchs_default_model(model):
    X, new = model.X, points(200, 2, seed=1)
    plain = SingleTaskGP(X, smooth(X))
    fit_gpytorch_mll(ExactMarginalLogLikelihood(plain.likelihood, plain))
    truth = smooth(new)
    with torch.no_grad():
        ours = (model.posterior(new[:, None]).mean[:, 0] - truth).square().mean(dim=0).sqrt()
        theirs = (plain.posterior(new[:, None]).mean[:, 0] - truth).square().mean(dim=0).sqrt()
    assert (ours < theirs).all()
    assert (ours < 0.05 * truth.std(dim=0)).all()


def test_marginals_equal_those_of_gpytorch(model):
    X = points(7, 2, seed=2)[:, None]
    ours, theirs = model.posterior(X), SingleTaskGP.posterior(model, X)
    assert torch.allclose(ours.mean, theirs.mean, rtol=1e-6)
    assert torch.allclose(ours.variance, theirs.variance, rtol=1e-3, atol=1e-7 * smooth(model.X).var(dim=0).max())


def test_observation_noise_is_added_when_asked_for():
    noise = torch.as_tensor(np.random.default_rng(0).standard_normal((30, 2))) * torch.tensor([1.0, 10.0])
    model, X = fit_gp(points(30, 2), noise.double()), points(3, 2, seed=2)[:, None]
    added = model.posterior(X, observation_noise=True).variance - model.posterior(X, observation_noise=False).variance
    share = added[:, 0].mean(dim=0) / noise.var(dim=0)
    assert ((share > 0.3) & (share < 1.1)).all()


def test_joint_posterior_has_the_same_marginals(model):
    X = points(6, 2, seed=3)
    joint, single = model.posterior(X), model.posterior(X[:, None])
    assert joint.mean.shape == (6, 2)
    assert torch.allclose(joint.mean, single.mean[:, 0], rtol=1e-6)


def test_posterior_keeps_batch_shape_and_draws_samples(model):
    X = points(12, 2, seed=4).reshape(3, 4, 1, 2)
    posterior = model.posterior(X)
    assert posterior.mean.shape == posterior.variance.shape == (3, 4, 1, 2)
    assert posterior.rsample(torch.Size([5])).shape == (5, 3, 4, 1, 2)


def test_one_output_has_the_same_shapes():
    X = points(10, 2)
    posterior = fit_gp(X, smooth(X)[:, :1]).posterior(points(3, 2, seed=5)[:, None])
    assert posterior.mean.shape == posterior.variance.shape == (3, 1, 1)
    assert posterior.rsample(torch.Size([2])).shape == (2, 3, 1, 1)


def test_interpolates_and_is_sure_where_it_has_data(model):
    posterior = model.posterior(model.X[:, None])
    spread = smooth(model.X).std(dim=0)
    assert ((posterior.mean[:, 0] - smooth(model.X)).abs() < 1e-2 * spread).all()
    assert (posterior.variance[:, 0].sqrt() < 1e-2 * spread).all()


def test_gradients_reach_the_designs(model):
    X = points(3, 2, seed=6)[:, None].requires_grad_()
    assert torch.autograd.gradcheck(lambda X: model.posterior(X).mean[:, 0, 0], X, atol=1e-4)
    assert torch.autograd.gradcheck(lambda X: model.posterior(3 * X).variance[:, 0, 0], X, atol=1e-4)


def test_outputs_fitted_together_or_alone_are_the_same(model):
    for i in range(2):
        alone = fit_gp(model.X, smooth(model.X)[:, i : i + 1])
        assert torch.allclose(alone.theta[0], model.theta[i], atol=1e-6)


@pytest.mark.parametrize(("factor", "offset"), [(1e9, 1e9), (1e-6, 0.0), (-1.0, 5.0)])
def test_units_of_outputs_do_not_matter(model, factor, offset):
    new = points(5, 2, seed=7)[:, None]
    scaled = fit_gp(model.X, factor * smooth(model.X) + offset).posterior(new)
    plain = model.posterior(new)
    assert torch.allclose((scaled.mean - offset) / factor, plain.mean, rtol=1e-2, atol=1e-3)


def test_density_is_likelihood_times_prior():
    X, y = points(8, 3), torch.sin(torch.arange(8.0, dtype=torch.double))[None]
    theta = torch.tensor([[0.3, -0.2, 1.0, 0.4, -3.0, 0.2]], dtype=torch.double)
    squares = distances(X[:, None], X, torch.zeros(3, dtype=torch.bool))
    K = covariance(theta, squares)[0]
    expected = torch.distributions.MultivariateNormal(torch.full((8,), 0.2, dtype=torch.double), K).log_prob(y[0])
    location, deviation = lengthscale_prior(3)
    priors = [(location, deviation)] * 3 + [(0.0, 1.5), (np.log(1e-6), 3.0)]
    for value, (mean, sd) in zip(theta[0], priors, strict=False):
        expected -= 0.5 * ((value - mean) / sd) ** 2
    assert log_density(theta, squares, y)[0] == pytest.approx(float(expected), abs=1e-9)


def test_density_of_an_impossible_covariance_is_zero():
    X = points(1, 2).repeat(5, 1)
    theta = torch.tensor([[0.0, 0.0, 9.0, -80.0, 0.0]], dtype=torch.double)
    squares = distances(X[:, None], X, torch.zeros(2, dtype=torch.bool))
    assert log_density(theta, squares, torch.ones(1, 5, dtype=torch.double))[0] == -torch.inf


def test_hyperparameters_are_at_a_mode(model):
    squares = distances(model.X[:, None], model.X, model.categorical)
    y = model.train_targets
    best = log_density(model.theta, squares, y)
    for column in range(model.theta.shape[1]):
        for step in (-0.2, 0.2):
            moved = model.theta.clone()
            moved[:, column] += step
            assert (log_density(moved, squares, y) < best + 0.05).all()


def test_kernel_compares_categories_by_equality():
    kernel = DesignKernel(torch.tensor([False, True])).double()
    kernel.lengthscale = torch.tensor([[0.5, 2.0]])
    X = torch.tensor([[0.0, 0.1], [0.0, 0.5], [0.0, 0.9], [1.0, 0.1]], dtype=torch.double)
    K = kernel(X).to_dense().detach()
    assert K[0, 1] == K[0, 2] == pytest.approx(np.exp(-0.5 / 4))
    assert K[0, 3] == pytest.approx(np.exp(-0.5 / 0.25))
    assert K[1, 3] == pytest.approx(np.exp(-0.5 / 0.25 - 0.5 / 4))
    assert torch.allclose(kernel(X, diag=True).detach(), torch.ones(4, dtype=torch.double))


def test_learns_which_category_is_which():
    X = points(40, 2)
    X[:, 1] = (torch.floor(3 * X[:, 1]) + 0.5) / 3
    effect = torch.tensor([5.0, -5.0, 0.0], dtype=torch.double)
    level = lambda X: effect[(3 * X[:, 1]).long()] + X[:, 0]  # noqa: E731
    new = points(60, 2, seed=8)
    new[:, 1] = (torch.floor(3 * new[:, 1]) + 0.5) / 3
    model = fit_gp(X, level(X)[:, None], [False, True])
    mean = model.posterior(new[:, None]).mean[:, 0, 0]
    assert (mean - level(new)).abs().max() < 0.1
    assert torch.allclose(mean, SingleTaskGP.posterior(model, new[:, None]).mean[:, 0, 0], atol=1e-6)


def test_an_expected_outcome_moves_no_mean_but_removes_doubt(model):
    X, elsewhere = points(2, 2, seed=9) * 0.1 + 1.2, points(5, 2, seed=10)
    before = model.posterior(elsewhere[:, None])
    believed = model.condition(X, model.posterior(X[:, None]).mean[:, 0])
    assert torch.allclose(believed.posterior(elsewhere[:, None]).mean, before.mean, rtol=1e-3, atol=1e-3)
    at, was = believed.posterior(X[:, None]).variance, model.posterior(X[:, None]).variance
    assert (at < 1e-2 * was).all()


def test_conditioning_on_a_surprise_moves_the_mean_there(model):
    X = torch.tensor([[1.5, 1.5]], dtype=torch.double)
    surprised = model.condition(X, torch.tensor([[7.0, -4000.0]], dtype=torch.double))
    assert torch.allclose(surprised.posterior(X[:, None]).mean[0, 0], torch.tensor([7.0, -4000.0]).double(), rtol=1e-2)


@pytest.mark.parametrize("n", [1, 2, 5])
def test_few_designs_and_constant_outputs_are_fitted(n):
    X = points(n, 3)
    posterior = fit_gp(X, torch.full((n, 2), 4.0, dtype=torch.double)).posterior(points(4, 3, seed=1)[:, None])
    assert torch.allclose(posterior.mean, torch.full((4, 1, 2), 4.0, dtype=torch.double), atol=0.1)
    assert torch.isfinite(posterior.variance).all()


def test_repeated_designs_with_different_outcomes_are_averaged():
    X = torch.cat([points(6, 1), torch.full((2, 1), 0.5, dtype=torch.double)])
    Y = torch.cat([torch.zeros(6, 1), torch.tensor([[-1.0], [1.0]])]).double()
    mean = fit_gp(X, Y).posterior(torch.full((1, 1, 1), 0.5, dtype=torch.double)).mean
    assert abs(float(mean)) < 0.2


def test_a_covariance_that_is_singular_to_the_last_digit_is_mended():
    X = points(60, 1)
    theta = torch.tensor([[3.0, 9.0, -40.0, 0.0]], dtype=torch.double)
    model = IndependentGPs(X, X**2, torch.zeros(1, dtype=torch.bool), theta, Standardize(1))
    mean = model.posterior(X[:, None]).mean[:, 0]
    assert torch.allclose(mean, X**2, atol=0.05)
