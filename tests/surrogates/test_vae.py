import numpy as np
import pytest
import torch

from designopt import DesignSpace, Real, Sequence
from designopt.surrogates.vae import BatchedVAE, Coding, VAEConfig, relationship
from designopt.testing import MixedProblem

SPACE = DesignSpace(sequence=Sequence("ACGT", 5))
SMALL = VAEConfig(latent=3, hidden=(64,), epochs=200, batch=32, learning_rate=1e-2)


def test_relationship_is_the_sum_over_all_ordered_pairs():
    rng = np.random.default_rng(0)
    log_prior, y = rng.normal(size=(2, 7)), rng.normal(size=(2, 7))
    mask = np.ones((2, 7))
    mask[1, 5:] = 0
    got = relationship(*map(torch.as_tensor, (log_prior, y)), 5.0, torch.as_tensor(mask))
    for s, size in enumerate((7, 5)):
        pair = (log_prior[s, :size, None] - log_prior[s, None, :size]) - 5 * (y[s, :size, None] - y[s, None, :size])
        assert got[s].item() == pytest.approx((pair**2).sum() / (36 * (size**2 + size)))


def test_divergence_is_a_mean_over_latent_dimensions_and_designs():
    space = DesignSpace(x=Real(0.0, 1.0), y=Real(0.0, 1.0))
    model = BatchedVAE(Coding(space), VAEConfig(latent=4, hidden=(8,), beta=0.5), [0])
    codes, noise = torch.randn(1, 6, 2), torch.randn(1, 6, 4)
    mean, log_variance = model.encode(codes)
    outputs = model.decode(mean + (0.5 * log_variance).exp() * noise)
    divergence = (-0.5 * (1 + log_variance - log_variance.exp())).mean() + (0.5 * mean**2).mean()
    expected = (outputs - codes).square().mean() + 0.5 * divergence
    got = model.losses(codes, torch.zeros(1, 6), torch.ones(1, 6), noise)
    assert got.item() == pytest.approx(expected.item(), rel=1e-5)


def test_coding_comes_back_for_every_kind_of_parameter():
    space = MixedProblem.design_space
    designs = space.sample(50, 0)
    coding = Coding(space)
    np.testing.assert_allclose(coding.decode(coding.encode(designs)), designs, rtol=1e-5, atol=1e-6)


def test_letters_cost_their_cross_entropy():
    coding = Coding(SPACE)
    codes = coding.encode(SPACE.sample(9, 1))
    outputs = torch.randn(9, 20)
    expected = torch.nn.functional.cross_entropy(
        outputs.view(9, 5, 4).transpose(1, 2), codes.view(9, 5, 4).argmax(-1), reduction="none"
    ).sum(1)
    torch.testing.assert_close(coding.errors(outputs, codes)[0], expected)


def test_what_was_learned_is_decoded_again():
    designs = SPACE.sample(40, 2)
    model = BatchedVAE(Coding(SPACE), SMALL, [0])
    before = float(model.fit([designs], [np.zeros(40)], epochs=1)[0])
    after = float(model.fit([designs], [np.zeros(40)])[0])
    assert after < 0.5 * before
    mean, _, log_prior = model.embed(designs)
    assert (model.designs(mean) == designs).mean() > 0.8
    np.testing.assert_allclose(log_prior, -0.5 * (mean.numpy() ** 2).sum(1), rtol=1e-5)


def test_a_design_without_weight_teaches_nothing_and_a_heavy_one_most():
    designs = np.array([[0.0] * 5, [3.0] * 5])
    model = BatchedVAE(Coding(SPACE), SMALL, [0])
    model.fit([designs], [np.zeros(2)], [np.array([1.99, 0.01])])
    drawn = model.designs(torch.randn(100, 3, generator=torch.Generator().manual_seed(0)))
    assert (drawn == 0).mean() > 0.8


def test_likelihood_is_greater_for_what_was_learned():
    designs = np.repeat(SPACE.sample(3, 3), 20, axis=0)
    model = BatchedVAE(Coding(SPACE), SMALL, [0])
    model.fit([designs], [np.zeros(60)])
    noise = torch.randn(32, 3, 3, generator=torch.Generator().manual_seed(0))
    known = model.log_likelihood(designs[[0, 20, 40]], noise)
    assert (known > model.log_likelihood(SPACE.sample(3, 99), noise)).all()
    assert (known < 0.5).all()  # a probability of letters, estimated


def test_data_sets_must_fit_the_seeds():
    model = BatchedVAE(Coding(SPACE), SMALL, [0, 1])
    with pytest.raises(ValueError, match="2 data sets"):
        model.fit([SPACE.sample(3, 0)], [np.zeros(3)])


def test_seeds_together_learn_what_each_learns_alone():
    data = [SPACE.sample(40, s) for s in (2, 3, 4)]
    y = [np.arange(40.0) / 40] * 3
    together = BatchedVAE(Coding(SPACE), SMALL, [5, 6, 7])
    losses = together.fit(data, y, epochs=25)  # more than are drawn at once
    for s, seed in enumerate((5, 6, 7)):
        alone = BatchedVAE(Coding(SPACE), SMALL, [seed])
        assert alone.fit([data[s]], [y[s]], epochs=25).item() == pytest.approx(losses[s].item(), rel=1e-4)
        torch.testing.assert_close(alone.embed(data[s])[0], together.embed(data[s], s)[0], rtol=1e-3, atol=1e-3)


def test_every_design_comes_once_an_epoch_whatever_the_sizes():
    model = BatchedVAE(Coding(SPACE), SMALL, [0, 1])
    order, noise = model._draw([7, 4], 3)
    assert (order[:, 0].sort().values == torch.arange(7)).all()
    assert (order[:, 1].sort().values == torch.tensor([8, 9, 10, 11, 15, 15, 15])).all()
    assert not torch.equal(order[0], order[1])
    assert (noise[:, 1, 4:] == 0).all()
    assert noise[:, 0].std() == pytest.approx(1, abs=0.3)
