"""The shipped network behind its public interface."""

import warnings

import numpy as np
import pytest
import torch
from botorch.acquisition import LogExpectedImprovement, qLogExpectedImprovement, qLogNoisyExpectedImprovement
from botorch.models.model import Model
from botorch.optim import optimize_acqf
from botorch.sampling.get_sampler import get_sampler

from designopt.surrogates import PFN
from designopt.surrogates.pfn.pfn import thinned


def points(n, d, seed=0):
    return torch.as_tensor(np.random.default_rng(seed).random((n, d)))


def smooth(X):
    """(n, d) -> (n, 2) outputs of different smoothness and scale."""
    return torch.stack([torch.sin(5 * X[:, 0]) + X[:, 1] ** 2, 1e3 * torch.cos(4 * X[:, 0] * X[:, 1])], dim=1)


@pytest.fixture(scope="module")
def pfn():
    return PFN.load()


@pytest.fixture(scope="module")
def model(pfn):
    X = points(30, 2)
    return pfn.condition_on(X, smooth(X))


def test_predicts_without_fitting(model):
    new = points(200, 2, seed=1)
    truth, posterior = smooth(new), model.posterior(new[:, None])
    error = (posterior.mean[:, 0] - truth).square().mean(0).sqrt() / truth.std(0)
    assert (error < 0.15).all()
    assert (posterior.variance[:, 0].sqrt().mean(0) / truth.std(0) < 0.3).all()


def test_is_a_botorch_model_of_all_outputs(model):
    assert isinstance(model, Model)
    assert model.num_outputs == 2
    X = points(12, 2, seed=4).reshape(3, 4, 2)
    posterior = model.posterior(X)
    assert posterior.mean.shape == posterior.variance.shape == (3, 4, 2)
    assert posterior.mean.dtype == torch.double
    assert posterior.quantile(torch.tensor([0.1, 0.5, 0.9])).shape == (3, 3, 4, 2)
    assert posterior.density(posterior.mean).shape == (3, 4, 2)


def test_an_output_does_not_depend_on_the_others(pfn, model):
    X = points(7, 2, seed=2)
    alone = pfn.condition_on(model.X, model.Y[:, 1:]).posterior(X)
    assert (alone.mean[:, 0] - model.posterior(X).mean[:, 1]).abs().max() < 1e-3 * model.Y[:, 1].std()
    part = model.subset_output([1]).posterior(X)
    assert torch.equal(part.mean, alone.mean)
    chosen = model.posterior(X, output_indices=[1])
    assert torch.equal(chosen.mean[:, 0], model.posterior(X).mean[:, 1])


def test_the_order_of_designs_and_of_parameters_does_not_matter(pfn, model):
    X = points(9, 2, seed=3)
    rows = torch.as_tensor(np.random.default_rng(0).permutation(30))
    shuffled = pfn.condition_on(model.X[rows].flip(-1), model.Y[rows]).posterior(X.flip(-1))
    expected = model.posterior(X)
    scale = model.Y.std(0)
    assert ((shuffled.mean - expected.mean).abs() / scale).max() < 1e-3
    assert ((shuffled.variance / expected.variance).log().abs()).max() < 1e-3


@pytest.mark.parametrize(("factor", "offset"), [(1e9, 0.0), (1e-9, 0.0), (-3.0, 7.0), (1.0, 1e6)])
def test_predictions_move_and_grow_with_the_outputs(pfn, model, factor, offset):
    X = points(9, 2, seed=3)
    moved = pfn.condition_on(model.X, offset + factor * model.Y).posterior(X)
    expected = model.posterior(X)
    if factor > 0:
        assert torch.allclose(moved.mean - offset, factor * expected.mean, rtol=1e-3, atol=1e-3 * factor * 700)
        assert torch.allclose(moved.variance, factor**2 * expected.variance, rtol=0.01)
    assert moved.mean.isfinite().all()


def test_gradients_are_those_of_finite_differences(model):
    x = torch.tensor([[0.31, 0.62]], dtype=torch.double, requires_grad=True)
    for output in range(2):
        value = model.posterior(x).mean[0, output]
        gradient = torch.autograd.grad(value, x)[0][0]
        step = 1e-2
        moved = x.detach() + step * torch.tensor([[1.0, 0], [-1, 0], [0, 1], [0, -1]], dtype=torch.double)
        values = model.posterior(moved).mean[:, output]
        differences = torch.stack([values[0] - values[1], values[2] - values[3]]) / (2 * step)
        assert torch.allclose(gradient, differences, rtol=0.05, atol=0.02 * float(model.Y[:, output].std()))


def test_queries_are_answered_one_by_one(model):
    X = points(600, 2, seed=8)  # several passes through the network
    assert torch.allclose(model.posterior(X).mean[400:405], model.posterior(X[400:405]).mean, rtol=1e-4, atol=1e-2)


def test_more_data_make_it_surer_there(model):
    new = torch.tensor([[0.97, 0.03]], dtype=torch.double)
    told = model.condition(new, smooth(new))
    assert len(told.X) == 31
    assert (told.posterior(new).variance < model.posterior(new).variance).all()


def test_stock_acquisition_functions_take_it(pfn, model):
    one = pfn.condition_on(model.X, model.Y[:, :1])
    best = float(model.Y[:, 0].max())
    X = points(5, 2, seed=9)
    analytic = LogExpectedImprovement(one, best)(X[:, None])
    sampled = qLogExpectedImprovement(one, best, sampler=get_sampler(one.posterior(X[:1]), torch.Size([512]), seed=0))
    noisy = qLogNoisyExpectedImprovement(one, model.X, prune_baseline=True)
    assert analytic.isfinite().all()
    assert sampled(X.reshape(1, 5, 2)).isfinite().all()
    assert noisy(X.reshape(1, 5, 2)).isfinite().all()
    proposal, value = optimize_acqf(
        LogExpectedImprovement(one, best), bounds=torch.tensor([[0.0, 0], [1, 1]]).double(), q=1, num_restarts=2,
        raw_samples=32, options={"maxiter": 10},
    )  # fmt: skip
    assert proposal.shape == (1, 2)
    assert float(value) >= float(analytic.max()) - 1e-6


def test_expected_improvement_of_draws_is_the_closed_form(pfn, model):
    one, best = pfn.condition_on(model.X, model.Y[:, :1]), 0.5
    X = points(6, 2, seed=10)
    draws = one.posterior(X[:, None]).rsample(torch.Size([20_000]))[..., 0, 0]
    assert torch.allclose(
        (draws - best).clamp_min(0).mean(0), one.bars(X).expected_improvement(best)[:, 0], rtol=0.05, atol=2e-3
    )


def test_a_batch_of_identical_designs_is_one_chance(pfn, model):
    one = pfn.condition_on(model.X, model.Y[:, :1])
    x = torch.tensor([[0.99, 0.99]], dtype=torch.double)
    batch = x.repeat(4, 1)
    draws = one.posterior(batch).rsample(torch.Size([500]))[..., 0]
    assert (draws - draws[:, :1]).abs().max() < 0.02 * draws.std()
    best = float(one.posterior(x).mean)
    sampler = get_sampler(one.posterior(batch), torch.Size([1024]), seed=0)
    several, single = (qLogExpectedImprovement(one, best, sampler=sampler)(b[None]) for b in (batch, x))
    assert float(several) == pytest.approx(float(single), abs=0.15)  # four independent chances would add one


def test_designs_far_apart_are_drawn_nearly_independently(pfn, model):
    far = torch.tensor([[0.02, 0.98], [0.98, 0.02]], dtype=torch.double)
    near = torch.tensor([[0.5, 0.98], [0.502, 0.98]], dtype=torch.double)
    correlations = []
    for X in (far, near):
        torch.manual_seed(0)
        draws = model.posterior(X).rsample(torch.Size([4000]))[..., 0]
        correlations.append(float(torch.corrcoef(draws.mT)[0, 1]))
    assert abs(correlations[0]) < 0.5 < correlations[1]


def test_a_constant_output_stays_constant(pfn):
    X = points(10, 3)
    Y = torch.stack([torch.full((10,), 7.0), X[:, 0], torch.zeros(10)], dim=1).double()
    posterior = pfn.condition_on(X, Y).posterior(points(5, 3, seed=1))
    assert torch.allclose(posterior.mean[:, 0], torch.full((5,), 7.0).double(), atol=1e-6)
    assert (posterior.variance[:, 0] < 1e-10).all()
    assert torch.allclose(posterior.mean[:, 2], torch.zeros(5).double(), atol=1e-9)
    assert posterior.mean.isfinite().all()


def test_duplicated_designs_are_taken(pfn):
    X = points(8, 2).repeat(5, 1)
    posterior = pfn.condition_on(X, smooth(X)).posterior(X[:3])
    assert (posterior.mean - smooth(X[:3])).abs().max() < 0.3 * float(smooth(X).std())
    contradicting = torch.cat([torch.zeros(20), torch.ones(20)])[:, None].double()
    spread = pfn.condition_on(points(20, 2).repeat(2, 1), contradicting).posterior(X[:3]).variance.sqrt()
    assert ((spread > 0.3) & (spread < 0.9)).all()


@pytest.mark.parametrize("n", [1, 2, 3])
def test_few_designs_are_enough(pfn, n):
    posterior = pfn.condition_on(points(n, 2), smooth(points(n, 2))).posterior(points(5, 2, seed=1))
    assert posterior.mean.isfinite().all()
    assert (posterior.variance > 0).all()


def test_values_that_are_not_finite_are_refused(pfn):
    X, Y = points(5, 2), torch.zeros(5, 2).double()
    Y[3, 1] = torch.nan
    with pytest.raises(ValueError, match=r"Y\[3, 1\] = nan; must be finite"):
        pfn.condition_on(X, Y)
    X[2, 0] = torch.inf
    with pytest.raises(ValueError, match=r"X\[2, 0\] = inf; must be finite"):
        pfn.condition_on(X, torch.zeros(5, 2))


@pytest.mark.parametrize("shapes", [((5, 2), (4, 1)), ((5, 2), (5,)), ((0, 2), (0, 1))])
def test_shapes_that_do_not_fit_are_refused(pfn, shapes):
    with pytest.raises(ValueError, match=r"allowed: \(n, d\) and \(n, m\) with n >= 1"):
        pfn.condition_on(torch.zeros(shapes[0]), torch.zeros(shapes[1]))


def test_more_parameters_than_in_training_warn_once():
    pfn, X = PFN.load(), points(20, 30)
    Y = X[:, :1] - X[:, 1:2]
    with pytest.warns(UserWarning, match="30 dimensions, but the network was trained on at most 18"):
        pfn.condition_on(X, Y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        posterior = pfn.condition_on(X, Y).posterior(X)
    assert torch.corrcoef(torch.stack([posterior.mean[:, 0], Y[:, 0]]))[0, 1] > 0.8


def test_longer_contexts_than_in_training_are_thinned_with_one_warning():
    pfn, X = PFN.load(), points(260, 2)
    with pytest.warns(UserWarning, match="260 designs, but the network was trained on at most 200"):
        model = pfn.condition_on(X, smooth(X))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pfn.condition_on(X, smooth(X))
    kept = thinned(X, 200)
    assert torch.equal(model.X, X[kept])
    assert torch.equal(model.Y, smooth(X)[kept])


def test_thinning_keeps_the_recent_half_and_what_is_far_from_all():
    cluster = 0.5 + 0.01 * points(50, 2)
    corners = torch.tensor([[0.0, 0], [0, 1], [1, 0], [1, 1]], dtype=torch.double)
    X = torch.cat([cluster[:20], corners, cluster[20:]])
    kept = thinned(X, 8)
    assert len(kept.unique()) == 8
    assert kept.tolist() == sorted(kept.tolist())
    assert {20, 21, 22, 23, 50, 51, 52, 53} == set(kept.tolist())


def test_categories_are_compared_by_equality(pfn):
    """Of three choices, the middle one is as far from the first as the last is."""
    rng = np.random.default_rng(0)
    choice = rng.integers(3, size=60) / 2
    X = torch.as_tensor(np.stack([choice, rng.random(60)], axis=1))
    Y = torch.where(X[:, :1] == 0.5, 5.0, 0.0).double() + 0.1 * X[:, 1:]
    new = torch.tensor([[0.0, 0.5], [0.5, 0.5], [1.0, 0.5]], dtype=torch.double)
    mean = pfn.condition_on(X, Y, categorical=[True, False]).posterior(new).mean[:, 0]
    assert torch.allclose(mean, torch.tensor([0.05, 5.05, 0.05]).double(), atol=0.3)
    between = torch.tensor([[0.25, 0.5]], dtype=torch.double)  # a fourth choice, never seen
    as_numbers = pfn.condition_on(X, Y).posterior(between)
    as_choices = pfn.condition_on(X, Y, categorical=[True, False]).posterior(between)
    assert not torch.allclose(as_numbers.mean, as_choices.mean, atol=0.05)
