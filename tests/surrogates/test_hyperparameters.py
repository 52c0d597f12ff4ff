from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from designopt.surrogates.hyperparameters import Conditioned, Hyperparameters
from designopt.surrogates.inference_network import LIMITS, Architecture, InferenceNetwork

NAMES = ("log_weights", "bends", "log_scale", "log_noise", "mean", "mixture")


def some(categorical, B=3, seed=0):
    rng = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(B, *shape, generator=rng, dtype=torch.double)

    d = len(categorical)
    return Hyperparameters(
        normal(d), normal(d), normal(), normal() - 2, normal(), normal(4), torch.tensor(categorical, dtype=torch.bool)
    )


def data(n=12, d=4, B=3, seed=1):
    rng = torch.Generator().manual_seed(seed)
    X = torch.rand(B, n, d, generator=rng, dtype=torch.double)
    X[..., 2:] = (X[..., 2:] * 3).floor()
    return X, torch.randn(B, n, generator=rng, dtype=torch.double)


CATEGORICAL = [(False, False, False, False), (False, False, True, True)]


@pytest.mark.parametrize("categorical", CATEGORICAL)
def test_gradients_are_those_of_the_log_marginal_likelihood(categorical):
    X, y = data()
    X = X if any(categorical) else X / 3
    theta = some(categorical)
    leaves = {name: getattr(theta, name).clone().requires_grad_() for name in NAMES}
    fit = Conditioned.on(replace(theta, **leaves), X, y)
    normal = torch.distributions.MultivariateNormal(leaves["mean"][:, None].expand(-1, 12), scale_tril=fit.cholesky)
    evidence = normal.log_prob(y)
    found = fit.gradients()
    for name, gradient in zip(NAMES, torch.autograd.grad(evidence.sum(), list(leaves.values())), strict=True):
        torch.testing.assert_close(getattr(found, name), gradient, rtol=1e-5, atol=1e-6, msg=name)
    torch.testing.assert_close(found.evidence, evidence.detach() / 12)


@pytest.mark.parametrize("categorical", CATEGORICAL)
def test_leaving_out_agrees_with_conditioning_on_the_others(categorical):
    X, y = data()
    theta = some(categorical)
    densities = []
    for i in range(12):
        others = [j for j in range(12) if j != i]
        densities.append(Conditioned.on(theta, X[:, others], y[:, others]).log_density(X[:, [i]], y[:, [i]]))
    found = Conditioned.on(theta, X, y).gradients().left_out
    torch.testing.assert_close(found, torch.cat(densities, dim=1).mean(dim=1), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("categorical", CATEGORICAL)
def test_predictions_are_those_of_the_joint_normal_distribution(categorical):
    X, y = data()
    theta = some(categorical)
    mean, variance = Conditioned.on(theta, X[:, :9], y[:, :9]).predict(X[:, 9:])
    K = theta.covariance(theta.distances(X, X)) + theta.noise[:, None, None] * torch.eye(12)
    gain = torch.linalg.solve(K[:, :9, :9], K[:, :9, 9:]).mT
    expected = theta.mean[:, None] + (gain @ (y[:, :9] - theta.mean[:, None])[..., None])[..., 0]
    torch.testing.assert_close(mean, expected, rtol=1e-5, atol=1e-6)
    left = (K[:, 9:, 9:] - gain @ K[:, :9, 9:]).diagonal(dim1=1, dim2=2)
    torch.testing.assert_close(variance, left, rtol=1e-5, atol=1e-6)


def test_distances_count_lengthscales_and_differing_choices():
    theta = replace(some((False, True), B=1), bends=torch.zeros(1, 2), log_weights=torch.tensor([[2.0, 1.0]]).double())
    X = torch.tensor([[[0.2, 0.0], [0.7, 5.0]]], dtype=torch.double)
    expected = (0.25 * np.exp(2.0) + np.exp(1.0)) ** 0.5
    assert float(theta.distances(X, X)[0, 0, 1]) == pytest.approx(expected, rel=1e-3)
    np.testing.assert_allclose(theta.lengthscale[0], np.exp([-1.0, -0.5]))


@pytest.mark.parametrize("bend", [-5.0, -1.0, -1e-9, 0.0, 1e-4, 5.0])
def test_warping_keeps_the_ends_and_the_order(bend):
    theta = replace(some((False,), B=1), bends=torch.full((1, 1), bend, dtype=torch.double))
    Z = theta.warped(torch.linspace(0, 1, 30, dtype=torch.double).reshape(1, 30, 1))[0, :, 0]
    assert float(Z[0]) == 0
    assert float(Z[-1]) == 1
    assert (Z.diff() > 0).all()
    if abs(bend) < 1e-3:
        assert float(Z[15]) == pytest.approx(15 / 29, abs=3e-4)
    else:
        assert (float(Z[15]) < 15 / 29) == (bend > 0)


def test_equal_designs_can_be_conditioned_on():
    theta = Hyperparameters.start(2, torch.zeros(3, dtype=torch.bool))
    theta = replace(theta, log_noise=torch.full((2,), -16.0, dtype=torch.double))
    X = torch.full((1, 300, 3), 0.5, dtype=torch.double)
    fit = Conditioned.on(theta, X, torch.ones(2, 300, dtype=torch.double))
    mean, variance = fit.predict(X[:, :1].expand(2, 1, 3))
    np.testing.assert_allclose(mean, 1.0, atol=1e-4)
    assert (variance > 0).all()


def test_rows_select_processes():
    theta = some((False, True))
    chosen = theta.rows([2, 2, 0])
    for name in NAMES:
        assert torch.equal(getattr(chosen, name), getattr(theta, name)[[2, 2, 0]])
    assert torch.equal(chosen.categorical, theta.categorical)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    network = InferenceNetwork(Architecture(width=16, memory=4)).requires_grad_(False)
    for head in (network.by_parameter, network.shared):
        head[-1].weight.mul_(30)  # as if trained: every output moves
    return network


def test_the_order_of_designs_and_parameters_does_not_matter(network):
    X, y = data(n=9)
    X = X / 3
    rows, columns = torch.randperm(9), torch.tensor([2, 0, 3, 1])
    mask = torch.zeros(4, dtype=torch.bool)
    found = network(X, y, mask, 3)[-1].theta
    permuted = network(X[:, rows][..., columns], y[:, rows], mask, 3)[-1].theta
    assert float(found.log_weights.std(dim=1).min()) > 1e-3
    torch.testing.assert_close(permuted.log_weights, found.log_weights[:, columns], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(permuted.bends, found.bends[:, columns], rtol=1e-4, atol=1e-4)
    for name in ("log_scale", "log_noise", "mean", "mixture"):
        torch.testing.assert_close(getattr(permuted, name), getattr(found, name), rtol=1e-4, atol=1e-4)


def test_shared_designs_are_as_good_as_repeated_ones(network):
    X, y = data(n=9)
    mask = torch.tensor([False, False, True, True])
    shared = network(X[:1], y, mask, 2)[-1].theta
    repeated = network(X[:1].expand(3, -1, -1), y, mask, 2)[-1].theta
    torch.testing.assert_close(shared.log_weights, repeated.log_weights)


def test_every_step_moves_within_the_limits(network):
    X, y = data(n=9)
    fits = network(X, 3 * y, torch.zeros(4, dtype=torch.bool), 5)
    assert len(fits) == 5
    for before, after in pairwise(fits):
        for name in NAMES:
            value = getattr(after.theta, name)
            assert value.min() >= LIMITS[name][0]
            assert value.max() <= LIMITS[name][1]
        assert not torch.equal(before.theta.log_weights, after.theta.log_weights)


def test_gradient_features_are_detached_and_all_weights_learn():
    torch.manual_seed(0)
    network = InferenceNetwork(Architecture(width=16, memory=4))
    X, y = data(n=9)
    fits = network(X[:, :6], y[:, :6], torch.zeros(4, dtype=torch.bool), 3)
    fits[-1].log_density(X[:, 6:], y[:, 6:]).mean().backward()
    for name, weight in network.named_parameters():
        assert weight.grad is not None, name
        assert float(weight.grad.abs().sum()) > 0, name
