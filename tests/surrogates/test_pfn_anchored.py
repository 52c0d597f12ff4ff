"""The anchors against direct linear algebra, the untrained network, its prior and its training."""

import math

import numpy as np
import pytest
import torch

from designopt.surrogates.hyperparameters import Conditioned
from designopt.surrogates.pfn import prior
from designopt.surrogates.pfn.anchored import PRIOR_LOGITS, STEPS, STRETCHES, AnchoredPFN, Anchors, trend
from designopt.surrogates.pfn.attention import DistanceAttention
from designopt.surrogates.pfn.pfn import PFN
from designopt.surrogates.pfn.training import RECIPE, draw_batch, draw_labels, regression_loss
from designopt.surrogates.training import Trainer, TrainingConfig

NUMBERS = torch.zeros(3, dtype=torch.bool)


def data(n=12, d=3, seed=0):
    rng = np.random.default_rng(seed)
    X = torch.as_tensor(rng.random((2, n, d)))
    y = torch.sin(4 * X[..., 0]) + torch.as_tensor(rng.standard_normal((2, n))) * 0.3 + X[..., 1] ** 2
    return X, (y - y.mean(-1, keepdim=True)) / y.std(-1, keepdim=True, correction=0)


@pytest.fixture(scope="module")
def network():
    return RECIPE.build().eval().requires_grad_(False)


@pytest.fixture(scope="module")
def theta(network):
    return network.inference(*data(), NUMBERS, STEPS)[-1].theta


def gram(theta, X, stretch, with_trend):
    """(2, n, n) covariances of values, by definition."""
    covariance = theta.covariance(theta.distances(X, X) / stretch)
    basis = trend(X, NUMBERS)
    return covariance + basis @ basis.mT if with_trend else covariance


@pytest.mark.parametrize(
    ("anchor", "stretch", "with_trend"), [(0, 1.0, False), (1, STRETCHES[1], False), (2, 1.0, True)]
)
def test_anchors_are_gaussian_processes(theta, anchor, stretch, with_trend):
    X, y = data()
    new = torch.as_tensor(np.random.default_rng(1).random((2, 5, 3)))
    anchors = Anchors.fit(theta, X, y)
    mean, variance = anchors.predict(new, theta.distances(new, X))
    K = gram(theta, torch.cat([X, new], dim=1), stretch, with_trend)
    noise = theta.noise[:, None, None]
    inverse = torch.linalg.inv(K[:, :12, :12] + noise * torch.eye(12))
    cross = K[:, 12:, :12]
    expected = theta.mean[:, None] + (cross @ inverse @ (y - theta.mean[:, None])[..., None])[..., 0]
    spread = (K[:, 12:, 12:] - cross @ inverse @ cross.mT).diagonal(dim1=-2, dim2=-1) + noise[..., 0]
    assert torch.allclose(mean[:, anchor], expected, atol=1e-4)
    assert torch.allclose(variance[:, anchor], anchors.factor[:, anchor, None] * spread, rtol=1e-3)


@pytest.mark.parametrize(("anchor", "stretch", "with_trend"), [(0, 1.0, False), (2, 1.0, True)])
def test_left_out_predictions_are_those_without_the_point(theta, anchor, stretch, with_trend):
    X, y = data()
    anchors = Anchors.fit(theta, X, y)
    K = gram(theta, X, stretch, with_trend) + theta.noise[:, None, None] * torch.eye(12)
    rest = torch.arange(12) != 4
    inverse = torch.linalg.inv(K[:, rest][:, :, rest])
    cross = K[:, 4, rest][:, None]
    mean = theta.mean + (cross @ inverse @ (y - theta.mean[:, None])[:, rest, None])[:, 0, 0]
    variance = anchors.factor[:, anchor] * (K[:, 4, 4] - (cross @ inverse @ cross.mT)[:, 0, 0])
    assert torch.allclose(anchors.left_out[0, :, anchor, 4], mean, atol=1e-4)
    assert torch.allclose(anchors.left_out[1, :, anchor, 4], 0.5 * variance.log(), atol=1e-3)
    assert torch.allclose(anchors.left_out[2, :, anchor, 4], (y[:, 4] - mean) / variance.sqrt(), atol=1e-2)


def test_joint_covariance_has_the_first_anchors_variances(theta):
    X, y = data()
    new = torch.as_tensor(np.random.default_rng(1).random((4, 3, 3)))
    anchors = Anchors.fit(theta, X, y)
    joint = anchors.joint(new)
    assert joint.shape == (2, 4, 3, 3)
    flat = new.reshape(1, 12, 3).expand(2, -1, -1)
    _, variance = anchors.predict(flat, theta.distances(flat, X))
    diagonal = joint.diagonal(dim1=-2, dim2=-1).reshape(2, 12) + theta.noise[:, None]
    assert torch.allclose(diagonal, variance[:, 0], rtol=1e-3, atol=1e-5)
    K = gram(theta, torch.cat([X, new[2].expand(2, -1, -1)], dim=1), 1.0, False)
    inverse = torch.linalg.inv(K[:, :12, :12] + theta.noise[:, None, None] * torch.eye(12))
    expected = K[:, 12:, 12:] - K[:, 12:, :12] @ inverse @ K[:, :12, 12:]
    assert torch.allclose(joint[:, 2], expected, atol=1e-4)


def test_a_paraboloid_is_seen_through(network):
    """What no stationary process sees from 40 points in six dimensions, a trend does."""
    X = torch.as_tensor(np.random.default_rng(0).random((1, 140, 6)))
    Y = ((X - 0.4) ** 2).sum(-1)
    y = (Y - Y[:, :40].mean()) / Y[:, :40].std()
    numbers = torch.zeros(6, dtype=torch.bool)
    bars = network(network.context(X[:, :40], y[:, :40], numbers), X[:, 40:].float())
    assert (bars.mean - y[:, 40:]).square().mean().sqrt() < 0.03
    assert bars.variance.sqrt().mean() < 0.05
    plain = network.inference(X[:, :40], y[:, :40], numbers, STEPS)[-1]
    assert isinstance(plain, Conditioned)
    assert (plain.predict(X[:, 40:])[0] - y[:, 40:]).square().mean().sqrt() > 0.04


def test_an_untrained_network_mixes_its_anchors(network):
    X, y = data()
    new = torch.as_tensor(np.random.default_rng(1).random((2, 50, 3))).float()
    context = network.context(X, y, NUMBERS)
    anchors = context.anchors
    mean, variance = anchors.predict(new, anchors.theta.distances(new, anchors.X))
    fit = (-0.5 * anchors.left_out[2] ** 2 - anchors.left_out[1]).mean(-1)
    of_prior = -0.5 * (y**2).mean(-1, keepdim=True)
    support = 12 * (torch.cat([fit, of_prior], dim=-1) - fit[:, :1])
    share = (torch.tensor(PRIOR_LOGITS) + 0.3 * support).softmax(-1)
    means = torch.cat([mean, torch.zeros(2, 1, 50)], dim=1)
    variances = torch.cat([variance, torch.ones(2, 1, 50)], dim=1)
    expected = (share[..., None] * means).sum(1)
    second = (share[..., None] * (variances + means**2)).sum(1)
    bars = network(context, new)
    assert torch.allclose(bars.mean, expected.float(), atol=0.02)
    assert torch.allclose(bars.variance, (second - expected**2).float(), rtol=0.08)
    for value in (-1.0, 0.3, 2.0):
        normals = torch.distributions.Normal(means, variances.sqrt()).cdf(torch.tensor(value).double())
        assert torch.allclose(bars.cdf(value), (share[..., None] * normals).sum(1).float(), atol=0.02)


def test_far_from_all_data_attention_turns_to_nothing():
    torch.manual_seed(0)
    layer = DistanceAttention(16, 16, 4)
    torch.nn.init.normal_(layer.out.weight)
    tokens, context = torch.randn(1, 1, 16), torch.randn(1, 5, 16)
    key, value = layer.keys_values(context)
    near, far = (torch.nn.functional.pad(torch.full((1, 1, 5), r), (0, 1)) for r in (0.0, 200.0))
    alone = tokens + layer.out.bias
    with torch.no_grad():
        assert torch.allclose(layer(tokens, key, value, far), alone, atol=1e-4)
        assert not torch.allclose(layer(tokens, key, value, near), alone, atol=1e-2)


@pytest.mark.parametrize("kind", prior.KINDS)
@pytest.mark.parametrize("d", [1, 7])
def test_every_kind_of_function_is_finite_varied_and_repeatable(kind, d):
    X, Y = prior.KINDS[kind](40, 50, d, torch.Generator().manual_seed(3))
    assert X.shape == (40, 50, d)
    assert Y.shape == (40, 50)
    assert ((X >= 0) & (X <= 1)).all()
    assert Y.isfinite().all()
    assert (Y.std(-1) > 1e-4).double().mean() > 0.95
    again = prior.KINDS[kind](40, 50, d, torch.Generator().manual_seed(3))
    assert torch.equal(X, again[0])
    assert torch.equal(Y, again[1])


def test_the_mixed_prior_draws_all_kinds():
    X, Y = prior.mixed(200, 30, 3, torch.Generator().manual_seed(0))
    assert X.shape == (200, 30, 3)
    assert Y.shape == (200, 30)
    assert sum(prior.SHARES.values()) == pytest.approx(1.0)


def test_labels_divide_the_cube_in_two():
    X, labels = prior.labelled(300, 60, 4, torch.Generator().manual_seed(1))
    assert X.shape == (300, 60, 4)
    assert set(labels.unique().tolist()) == {0.0, 1.0}
    share = labels.mean(-1)
    assert (share < 0.2).any()
    assert (share > 0.8).any()


@pytest.mark.parametrize("draw", [draw_batch, draw_labels])
def test_batches_are_standardised_by_their_contexts(draw):
    batch = draw(torch.Generator().manual_seed(2), 4, 20)
    assert torch.allclose(batch.y.mean(-1), torch.zeros(len(batch.y)), atol=0.05)
    assert batch.X.shape[1] == 20
    assert batch.X_new.shape[1] == batch.y_new.shape[1] == 32


def test_training_resumes_as_if_it_had_not_stopped(tmp_path):
    def trainer():
        torch.manual_seed(0)
        return Trainer(AnchoredPFN(), regression_loss, TrainingConfig(steps=4))

    whole = trainer()
    losses = [whole.advance() for _ in range(3)]
    first = trainer()
    first.advance()
    first.save(tmp_path)
    second = trainer()
    assert second.resume(tmp_path)
    assert [second.advance() for _ in range(2)] == losses[1:]


def test_corrections_are_learned():
    """On one batch of kinked functions, a few steps beat the anchors."""
    torch.manual_seed(0)
    network = RECIPE.build()
    network.inference.requires_grad_(False)
    X, Y = prior.KINDS["transformed"](24, 44, 2, torch.Generator().manual_seed(0))
    y = (Y - Y[:, :12].mean(-1, keepdim=True)) / Y[:, :12].std(-1, keepdim=True)
    optimiser = torch.optim.Adam(network.parameters(), 3e-3)
    losses = []
    for _ in range(15):
        context = network.context(X[:, :12], y[:, :12], torch.zeros(2, dtype=torch.bool))
        loss = -network(context, X[:, 12:]).log_prob(y[:, 12:]).clamp_min(-20).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss))
    assert losses[-1] < losses[0] - 0.2
    assert math.isfinite(losses[-1])


def test_the_shipped_network_has_learned_what_its_anchors_cannot():
    """On functions with bounds, kinks and poles, held out, it beats the same network without corrections."""
    trained, untrained = PFN.load().network, RECIPE.build().eval().requires_grad_(False)
    untrained.inference.load_state_dict(trained.inference.state_dict())
    nothing = torch.zeros(3, dtype=torch.bool)
    gains = []
    for kind in ("transformed", "powers", "neural", "additive"):
        X, Y = prior.KINDS[kind](64, 62, 3, torch.Generator().manual_seed(11))
        y = ((Y - Y[:, :30].mean(-1, keepdim=True)) / Y[:, :30].std(-1, keepdim=True)).clamp(-12, 12)
        nll = [
            -float(n(n.context(X[:, :30], y[:, :30], nothing), X[:, 30:]).log_prob(y[:, 30:]).mean())
            for n in (trained, untrained)
        ]
        gains.append(nll[1] - nll[0])
    assert all(gain > 0 for gain in gains)
    assert sum(gains) / 4 > 0.05
