import numpy as np
import pytest
import torch
from scipy.stats import norm

from designopt.search.acquisition import CONFIDENCE, Normal, best_rows, draw, marginals, promise, together
from designopt.surrogates.gp import fit_gp
from designopt.surrogates.pfn.bar_distribution import BarDistribution, normal_mass
from designopt.surrogates.pfn.pfn import BarPosterior
from designopt.surrogates.warp import Warp


@pytest.fixture(scope="module")
def model():
    """One loss and two constraints of a design in the square, a few of which are feasible."""
    X = torch.as_tensor(np.random.default_rng(0).random((8, 2)))
    x, y = X.T
    return fit_gp(X, torch.stack([(x - 0.6) ** 2 + y, 0.4 - x, y - x], dim=1))


STRAIGHT = [Warp(0.0, linear=True)] * 2
TWO, ONE, NO = (torch.zeros(k, dtype=torch.double) for k in (2, 1, 0))  # limits of as many constraints
NEW = torch.as_tensor(np.random.default_rng(1).random((150, 1, 2)))


def draws(model, n=50_000):
    """(n, 150, outputs) independent draws from the marginal posteriors at NEW."""
    torch.manual_seed(0)
    posterior = model.posterior(NEW)
    mean, deviation = posterior.mean[:, 0], posterior.variance[:, 0].sqrt()
    return mean + deviation * torch.randn(n, *mean.shape, dtype=torch.double)


def agree(log_value, monte_carlo):
    """Whether an expectation agrees with its Monte Carlo estimates where those are not too rare to be known."""
    known = monte_carlo > 0.02 * monte_carlo.max()
    assert known.sum() >= 3
    assert log_value.exp()[known] == pytest.approx(monte_carlo[known], rel=0.1)


def test_with_a_feasible_design_it_is_expected_feasible_improvement(model):
    feasible = (model.Y[:, 1:] <= 0).all(dim=1)
    assert 0 < feasible.sum() < 8
    incumbent = model.Y[feasible, 0].min()
    sample = draws(model)
    gain = (incumbent - sample[..., 0]).clamp_min(0) * (sample[..., 1:] <= 0).all(dim=-1)
    agree(promise(model, model.Y, TWO, [], seed=0)(NEW).detach(), gain.mean(dim=0))


def test_infeasible_losses_are_no_incumbent(model):
    Z = torch.cat([model.Y, torch.tensor([[-1e3, 1.0, -1.0]], dtype=torch.double)])
    value = promise(model, Z, TWO, [], seed=0)(NEW)
    assert torch.equal(value, promise(model, model.Y, TWO, [], seed=0)(NEW))


def test_without_a_feasible_design_it_is_the_probability_of_feasibility(model):
    infeasible = model.Y[~(model.Y[:, 1:] <= 0).all(dim=1)]
    probability = (draws(model)[..., 1:] <= 0).all(dim=-1).double().mean(dim=0)
    agree(promise(model, infeasible, TWO, [], seed=0)(NEW).detach(), probability)


def test_without_constraints_it_is_expected_improvement():
    X = torch.as_tensor(np.random.default_rng(0).random((6, 2)))
    model = fit_gp(X, torch.sin(7 * X.sum(dim=1, keepdim=True)))
    gain = (model.Y.min() - draws(model)[..., 0]).clamp_min(0)
    agree(promise(model, model.Y, NO, [], seed=0)(NEW).detach(), gain.mean(dim=0))


def test_hopeless_designs_are_still_ranked(model):
    """Probabilities far below the smallest float have finite logarithms and gradients."""
    X = torch.tensor([[[0.05, 0.9]], [[0.1, 0.8]]], dtype=torch.double, requires_grad=True)
    value = promise(model.condition(X[:, 0].detach(), torch.full((2, 3), 5.0).double()), model.Y, TWO, [], seed=0)(X)
    value.sum().backward()
    assert torch.isfinite(value).all()
    assert (value < -700).any()
    assert torch.isfinite(X.grad).all()


def gains_of_area(front, points):
    """Area up to (1.1, 1.1) that each of (n, 2) points dominates and the staircase front (p, 2), sorted, does not."""
    steps = np.concatenate([[-np.inf], front[:, 0], [1.1]])
    heights = np.concatenate([[1.1], front[:, 1]])  # of the dominated area's lower edge between the steps
    width = np.clip(steps[1:] - np.maximum(points[:, :1], steps[:-1]), 0, None)
    return (width * np.clip(heights - points[:, 1:], 0, None)).sum(axis=1)


def test_two_objectives_gain_feasible_hypervolume():
    X = torch.as_tensor(np.random.default_rng(0).random((6, 2)))
    x, y = X.T
    model = fit_gp(X, torch.stack([torch.sin(5 * x), torch.cos(6 * y + x), x - 0.9], dim=1))
    Z = torch.tensor([[-1.0, 1.0, -1.0], [1.0, -1.0, -1.0], [0.0, 0.2, -1.0], [-9.0, -9.0, 1.0]], dtype=torch.double)
    value = promise(model, Z, ONE, STRAIGHT, seed=0)(NEW[:30]).detach()
    sample = draws(model, 10_000)
    # On this front both objectives range over 2, from -1 on.
    front = np.array([[0.0, 1.0], [0.5, 0.6], [1.0, 0.0]])
    gains = np.stack([gains_of_area(front, (sample[:, i, :2].numpy() + 1) / 2) for i in range(30)], axis=1)
    probability = (sample[:, :30, 2] <= 0).double().mean(dim=0)
    estimate = torch.as_tensor(gains).mean(dim=0) * probability
    known = estimate > 0.2 * estimate.max()
    assert known.sum() >= 3
    assert value.exp()[known].numpy() == pytest.approx(estimate[known].numpy(), rel=0.3)


def test_hypervolume_is_measured_in_losses_not_in_warped_ones():
    X = torch.as_tensor(np.random.default_rng(0).random((6, 2)))
    bent = Warp(0.0, 0.5, 0.5)
    losses = torch.stack([torch.sin(5 * X[:, 0]), torch.cos(6 * X[:, 1])], dim=1)
    warped = torch.as_tensor(bent(losses.numpy()))
    at = X[:, None]  # where outcomes are known, so that only the front matters
    straight = promise(fit_gp(X, losses), losses[:3], NO, STRAIGHT, seed=0)(at).detach()
    curved = promise(fit_gp(X, warped), warped[:3], NO, [bent, bent], seed=0)(at).detach()
    assert torch.allclose(straight.exp(), curved.exp(), atol=0.02)


@pytest.mark.parametrize("n", [1, 2])
def test_a_front_of_one_design_can_be_improved(n):
    X = torch.as_tensor(np.random.default_rng(0).random((6, 2)))
    model = fit_gp(X, torch.stack([torch.sin(5 * X[:, 0]), torch.cos(6 * X[:, 1])], dim=1))
    Z = torch.tensor([[0.0, 0.0], [0.0, 0.0]], dtype=torch.double)[:n]
    value = promise(model, Z, NO, STRAIGHT, seed=0)(NEW)
    assert torch.isfinite(value).all()
    assert value.max() > value.min() + 1


def known_outcomes(*rows):
    """A model that is sure of as many designs, which it has seen, and those designs."""
    X = torch.as_tensor(np.random.default_rng(0).random((len(rows), 2)))
    return fit_gp(X, torch.tensor(rows, dtype=torch.double)), X[:, None]


def test_a_front_may_become_wider_by_a_tenth():
    model, at = known_outcomes([0.0, 1.0], [1.0, 0.0], [-0.5, 1.05])
    value = promise(model, model.Y[:2], NO, STRAIGHT, seed=0)(at).detach().exp()
    assert float(value[2]) == pytest.approx(0.5 * 0.05, abs=0.005)
    assert float(value[:2].max()) < 0.002


def test_dominated_designs_do_not_change_the_measure_of_volume():
    model, at = known_outcomes([0.0, 1.0], [1.0, 0.0], [0.5, 0.2], [7.0, 9.0])
    value = promise(model, model.Y[:2], NO, STRAIGHT, seed=0)(at)
    assert torch.allclose(promise(model, model.Y[[0, 1, 3]], NO, STRAIGHT, seed=0)(at), value)


def test_factors_multiply():
    both = together(lambda X: X[:, 0, 0], lambda X: 2 * X[:, 0, 1])
    assert torch.equal(both(NEW), NEW[:, 0, 0] + 2 * NEW[:, 0, 1])


def test_best_rows_are_the_best_feasible_ones():
    Z = torch.tensor([[3.0, -1.0], [1.0, 0.5], [2.0, -1.0], [0.0, 0.2], [2.5, -3.0]], dtype=torch.double)
    assert best_rows(Z, ONE, 4).tolist() == [2, 4, 0, 3]
    assert best_rows(Z[[1, 3]], ONE, 1).tolist() == [1]


def test_best_rows_of_several_objectives_are_the_front():
    Z = torch.tensor([[0.0, 2.0, -1], [2.0, 0.0, -1], [2.0, 2.0, -1], [-1.0, -1.0, 1]], dtype=torch.double)
    assert sorted(best_rows(Z, ONE, 4).tolist()) == [0, 1]
    assert best_rows(Z[3:], ONE, 4).tolist() == [0]


# Other acquisition functions -------------------------------------------------------------------------------------


def value_of(model, name, Z=None, limits=TWO, **options):
    return promise(model, model.Y if Z is None else Z, limits, [], seed=0, acquisition=name, **options)


def test_cei_plus_counts_likely_constraints_as_certain(model):
    sample = draws(model)
    gain = (model.Y[(model.Y[:, 1:] <= 0).all(dim=1), 0].min() - sample[..., 0]).clamp_min(0).mean(dim=0)
    probabilities = (sample[..., 1:] <= 0).double().mean(dim=0)
    assert (probabilities > 0.6).any()
    assert (probabilities < 0.4).any()
    agree(value_of(model, "cei_plus")(NEW).detach(), gain * (2 * probabilities).clamp_max(1).prod(dim=-1))


def test_ei_leaves_constraints_out(model):
    gain = (model.Y[(model.Y[:, 1:] <= 0).all(dim=1), 0].min() - draws(model)[..., 0]).clamp_min(0)
    agree(value_of(model, "ei")(NEW).detach(), gain.mean(dim=0))


@pytest.mark.parametrize("name", ["cei", "cei_plus", "ei", "ucb", "thompson"])
def test_feasibility_comes_first_whatever_is_asked_for(model, name):
    infeasible = model.Y[~(model.Y[:, 1:] <= 0).all(dim=1)]
    assert torch.equal(value_of(model, name, infeasible)(NEW), value_of(model, "cei", infeasible)(NEW))


def test_ucb_is_optimistic_about_the_loss_and_about_constraints(model):
    posterior = model.posterior(NEW)
    optimistic = posterior.mean[:, 0] - CONFIDENCE * posterior.variance[:, 0].sqrt()
    violation = optimistic[:, 1:].clamp_min(0).sum(dim=-1)
    holds = violation == 0
    assert 10 < holds.sum() < 140
    value = value_of(model, "ucb")(NEW)
    assert torch.allclose(value[holds], -optimistic[holds, 0])
    assert torch.allclose(value[~holds], -model.Y[:, 0].max() - violation[~holds])


def test_thompson_draws_functions_jointly():
    X = torch.as_tensor(np.random.default_rng(0).random((6, 2)))
    model = fit_gp(X, torch.stack([torch.sin(9 * X.sum(dim=1)), torch.cos(8 * X[:, 0])], dim=1))
    near = NEW[:20].repeat_interleave(2, dim=0)  # every design twice
    sample = torch.stack([draw(model, near, seed) for seed in range(30)])
    deviation = model.posterior(NEW[:20]).variance[:, 0].sqrt()
    assert (deviation.mean(dim=0) > 0.1).all()
    assert ((sample[:, ::2] - sample[:, 1::2]).abs().amax(dim=(0, 1)) < 0.01).all()
    assert sample[:, ::2].std(dim=0).mean() == pytest.approx(float(deviation.mean()), rel=0.2)
    assert torch.allclose(sample[:, ::2].mean(dim=0), model.posterior(NEW[:20]).mean[:, 0], atol=float(deviation.max()))
    assert torch.equal(sample[3], draw(model, near, 3))


def test_thompson_compares_what_was_drawn_feasible_first(model):
    drawn = draw(model, NEW, 0)
    violation = drawn[:, 1:].clamp_min(0).sum(dim=-1)
    expected = torch.where(violation > 0, -model.Y[:, 0].max() - violation, -drawn[:, 0])
    assert torch.allclose(value_of(model, "thompson")(NEW), expected)


def test_limits_other_than_zero_hold(model):
    """Outputs moved together with their limits are the same outputs."""
    shift = torch.tensor([0.0, 2.0, -1.0], dtype=torch.double)
    moved = fit_gp(model.X, model.Y + shift)
    value = value_of(moved, "cei", limits=shift[1:])(NEW)
    assert torch.allclose(value, value_of(model, "cei")(NEW), rtol=1e-3, atol=1e-3)
    assert best_rows(moved.Y, shift[1:], 3).tolist() == best_rows(model.Y, TWO, 3).tolist()


def test_as_published_an_infeasible_design_may_be_the_incumbent(model):
    Z = torch.cat([model.Y, torch.tensor([[-0.3, 1.0, -1.0]], dtype=torch.double)])
    value = value_of(model, "cei", Z, best_of_all=True)(NEW)
    Z[-1, 1] = -1.0
    assert torch.equal(value, value_of(model, "cei", Z)(NEW))
    assert (value < value_of(model, "cei")(NEW) - 0.1).any()


class Bars:
    """A model that says what another says, in bars."""

    def __init__(self, model):
        self.model = model

    def posterior(self, X):
        posterior = self.model.posterior(X)
        mean, deviation = posterior.mean, posterior.variance.sqrt()
        borders = torch.linspace(-5, 5, 4001, dtype=torch.double)
        zeros = torch.zeros_like(mean)
        logits = normal_mass(borders, zeros, zeros + 1).clamp_min(1e-300).log()
        return BarPosterior(BarDistribution(logits, borders, mean, deviation), None, X, [0, 1, 2])


@pytest.mark.parametrize("name", ["cei", "cei_plus", "ei", "ucb"])
def test_bars_give_what_the_distribution_that_they_approximate_gives(model, name):
    value, exact = value_of(Bars(model), name, model.Y)(NEW), value_of(model, name)(NEW)
    known = exact > exact.max() - 4
    assert torch.allclose(value[known], exact[known], atol=0.01)


def test_the_quantiles_of_normal_marginals_are_scipys(model):
    outputs = marginals(model, NEW)
    expected = norm.ppf(0.3, outputs.mean[:, 1].numpy(), outputs.deviation[:, 1].numpy())
    assert outputs[:, 1].quantile(0.3).numpy() == pytest.approx(expected)
    assert (-outputs).quantile(0.7)[:, 1].numpy() == pytest.approx(-expected)


def test_gradients_are_right_where_probabilities_are_tiny():
    """torch.special.log_ndtr has gradients that are wrong by a third and more there."""
    mean = torch.tensor([1e4, 1e8, 30.0, 0.0, -3.0], dtype=torch.double, requires_grad=True)
    outputs = Normal(mean, torch.ones_like(mean))
    outputs.log_cdf(0.0).sum().backward()
    # d/dm log Phi(-m) = -phi(m) / Phi(-m), which is about -m - 1/m for large m.
    assert mean.grad[:3].numpy() == pytest.approx(-np.array([1e4 + 1e-4, 1e8, 30 + 1 / 30]), rel=1e-4)
    assert mean.grad[3:].numpy() == pytest.approx(-norm.pdf([0, 3]) / norm.cdf([0, 3]))


def test_gradients_are_right_where_improvement_is_all_but_impossible():
    """d/dm log E[max(m + Z, 0)] = Phi(m) / E[...], which is about -m + 2 / -m far below zero."""
    mean = torch.tensor([-1e8, -999.0, -40.0, -1.0, 0.5, 4.0], dtype=torch.double, requires_grad=True)
    Normal(mean, torch.full_like(mean, 1.0)).log_expected_improvement(0.0).sum().backward()
    assert mean.grad[:3].numpy() == pytest.approx([1e8, 999 + 2 / 999, 40 + 2 / 40], rel=1e-5)
    m = np.array([-1.0, 0.5, 4.0])
    assert mean.grad[3:].numpy() == pytest.approx(norm.cdf(m) / (norm.pdf(m) + m * norm.cdf(m)))
