"""Regressions between a data set and one design, the tangent kernel, and features of masked columns."""

import itertools
import math

import numpy as np
import pytest
import torch

from designopt import DesignSpace, Sequence
from designopt.surrogates.bidirectional import RIDGE, Bidirectional, Heads, TangentKernel, linear, squares
from designopt.surrogates.masked_encoder import MaskedEncoder
from designopt.surrogates.vae import Coding
from designopt.testing import MixedProblem


def drawn(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_forward_mapping_is_ridge_regression_on_the_features():
    phi, y, x = drawn(40, 5), drawn(40, seed=1), drawn(7, 5, seed=2)
    model = Bidirectional(linear, phi, y, 10.0)
    ridge = RIDGE * phi.square().sum().item() / 40
    weights = np.linalg.solve(phi.T.numpy() @ phi.numpy() + ridge * np.eye(5), phi.T.numpy() @ y.numpy())
    np.testing.assert_allclose(model.forward(linear(x, phi)), x.numpy() @ weights, rtol=1e-5)
    forward, _ = model.losses(x, squares(x))
    np.testing.assert_allclose(forward, (x.numpy() @ weights - 10.0) ** 2, rtol=1e-5)


def test_backward_mapping_is_the_regression_from_one_design_alone():
    phi, y, x = drawn(40, 5), drawn(40, seed=1), drawn(7, 5, seed=2)
    _, backward = Bidirectional(linear, phi, y, 10.0).losses(x, squares(x))
    for row, loss in zip(x.numpy(), backward.tolist(), strict=True):
        k = row @ row
        predicted = phi.numpy() @ row / (k + RIDGE * k) * 10.0
        assert loss == pytest.approx(((predicted - y.numpy()) ** 2).mean())


@pytest.mark.parametrize("layers", [1, 2])
def test_tangent_kernel_is_that_of_a_wide_network(layers):
    # Gradients with respect to all weights of networks of width m, in the parameterisation whose limit is the kernel.
    a, b = drawn(2, 3), drawn(2, 3, seed=1)
    x = torch.cat([a, b])
    kernel, width, rng = TangentKernel(layers, bias=0.3), 700, torch.Generator().manual_seed(0)
    total = torch.zeros(4, 4, dtype=torch.float64)
    for _ in range(4):
        sizes = [4, *[width] * layers, 1]
        inputs = torch.cat([x / math.sqrt(3), torch.full((4, 1), math.sqrt(0.3), dtype=torch.float64)], dim=1)
        weights = [
            torch.randn(i, o, dtype=torch.float64, generator=rng).requires_grad_() for i, o in itertools.pairwise(sizes)
        ]
        rows = []
        for row in inputs:
            h = row @ weights[0]
            for w in weights[1:]:
                h = math.sqrt(2 / w.shape[0]) * h.relu() @ w
            rows.append(torch.cat([g.flatten() for g in torch.autograd.grad(h.sum(), weights)]))
        total += torch.stack(rows) @ torch.stack(rows).T / 4
    np.testing.assert_allclose(kernel(x, x), total, rtol=0.2)
    np.testing.assert_allclose(kernel.diagonal(x), kernel(x, x).diagonal(), rtol=1e-3)


def test_tangent_kernel_has_gradients_where_two_designs_are_the_same():
    x = drawn(3, 4).requires_grad_()
    TangentKernel()(x, x.detach()).sum().backward()
    assert x.grad.isfinite().all()


def test_supervisor_is_the_mean_of_heads_that_differ():
    phi = drawn(200, 4)
    y = phi @ torch.tensor([1.0, -2.0, 0.0, 3.0], dtype=torch.float64) + 5 + 0.1 * drawn(200, seed=3)
    heads = Heads(phi, y, torch.Generator().manual_seed(0), ridge=1e-9)
    np.testing.assert_allclose(heads.weights.mean(0), [1, -2, 0, 3, 5], atol=0.05)
    assert (heads.weights.std(0) > 1e-4).all()
    np.testing.assert_allclose(heads(phi), phi @ heads.weights.mean(0)[:4] + heads.weights.mean(0)[4])
    assert len(heads.weights) == 5


def test_encoder_learns_to_fill_in_masked_columns():
    space = DesignSpace(sequence=Sequence("ACGT", 6))
    half = space.sample(300, 0)
    designs = np.where(np.arange(6) < 3, half, half[:, ::-1])  # palindromes: each letter is told by its mirror image
    encoder = MaskedEncoder(Coding(space, span=2.0), width=32, seed=0)
    losses = encoder.fit(encoder.coding.encode(designs), steps=120, learning_rate=3e-3)
    assert np.mean(losses[:10]) > 0.95 * math.log(4)
    assert np.mean(losses[-20:]) < 0.85 * math.log(4)
    assert not any(p.requires_grad for p in encoder.parameters())


def test_features_are_of_the_place_and_the_seed_and_have_gradients():
    problem = MixedProblem()
    coding = Coding(problem.design_space, span=2.0)
    codes = coding.encode(problem.design_space.sample(5, 0))
    encoders = [MaskedEncoder(coding, width=16, seed=s) for s in (0, 0, 1)]
    for encoder in encoders:
        encoder.fit(codes, steps=2)
    first, same, other = (encoder(codes) for encoder in encoders)
    assert first.shape == (5, 16)
    assert torch.equal(first, same)
    assert not torch.allclose(first, other)
    leaf = codes.clone().requires_grad_()
    encoders[0](leaf).square().sum().backward()
    assert (leaf.grad.abs().sum(0) > 0).all()
