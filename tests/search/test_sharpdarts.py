"""sharpDARTS: its learning-rate schedule, its mixture, and the differentiable grid search."""

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given

import designopt as do
from designopt.launch import make_searcher
from designopt.search.nas.annealing import cosine_power_annealing

EPOCHS, POWERS = st.integers(2, 60), st.floats(1, 50)


@given(EPOCHS, POWERS)
def test_power_annealing_starts_high_ends_low_and_never_rises(epochs, power):
    rates = cosine_power_annealing(epochs, 0.1, 1e-4, power=power)
    assert rates.shape == (epochs,)
    assert rates[0] == pytest.approx(0.1, rel=1e-12)
    assert rates[-1] == pytest.approx(1e-4, rel=1e-9)
    assert (np.diff(rates) < 0).all()


def test_power_one_is_the_rescaled_cosine():
    cosine = np.cos(np.pi * np.arange(1, 21) / 20)
    expected = 0.01 + 0.09 * (cosine + 1) / (cosine[0] + 1)
    assert cosine_power_annealing(20, 0.1, 0.01, power=1) == pytest.approx(expected)


def test_power_annealing_is_the_published_formula():
    c = (1 + np.cos(np.pi * np.arange(1, 11) / 10)) / 2
    q = 10 ** (c + 1)
    expected = 0.2 + (q - q.min()) / (q.max() - q.min()) * 0.8
    assert cosine_power_annealing(10, 1.0, 0.2, power=10) == pytest.approx(expected)


def test_a_greater_power_falls_sooner_and_a_power_near_one_is_nearly_a_cosine():
    one, near, two, ten = (cosine_power_annealing(30, 1.0, 0.0, power=p) for p in (1, 1.0001, 2, 10))
    assert (ten[1:-1] < two[1:-1]).all()
    assert (two[1:-1] < one[1:-1]).all()
    assert near == pytest.approx(one, abs=1e-4)


def test_warm_up_rises_linearly_and_leaves_the_rest():
    plain, warm = (cosine_power_annealing(20, 0.6, 0.0, warmup=w) for w in (0, 5))
    assert warm[:5] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5])
    assert np.array_equal(warm[5:], plain[5:])


def test_a_single_epoch_has_the_high_rate():
    assert cosine_power_annealing(1, 0.3, 0.1).tolist() == [0.3]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"epochs": 0}, "epochs = 0; it must be at least 1"),
        ({"power": 0.5}, "power = 0.5; it must be at least 1"),
        ({"power": float("nan")}, "power = nan; it must be at least 1"),
        ({"warmup": 10}, "warmup = 10; it must be at least 0 and below epochs = 10"),
        ({"warmup": -1}, "warmup = -1"),
    ],
)
def test_bad_schedules_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        cosine_power_annealing(**{"epochs": 10, "high": 0.1, "low": 0.0} | arguments)


# The search -----------------------------------------------------------------------------------------------------------

SMALL = {"layers": 1, "steps": 2, "channels": 4, "epochs": 1}
FAST = {"epochs": 2, "batch_size": 100}


def searcher(name="sharpdarts", **settings):
    env = do.make("designopt/HyperCuboid-v0", **SMALL)
    return make_searcher(env, name, seed=0, **FAST | settings)


def test_its_learning_rates_are_the_annealed_ones():
    search = searcher(epochs=6, power=10.0, warmup=2)
    expected = cosine_power_annealing(6, 0.025, 1e-4, power=10.0, warmup=2)
    assert [search.rate(epoch) for epoch in range(6)] == pytest.approx(expected)


def test_its_mixture_gives_the_leader_one_and_max_w_can_be_turned_off():
    search = searcher()
    alpha = {"grid": torch.tensor([[0.0, 1.0, 2.0]])}
    weights = alpha["grid"].softmax(1)
    assert torch.allclose(search.mixture(alpha)["grid"], 1 - weights.max() + weights)
    assert torch.equal(searcher(max_w=False).mixture(alpha)["grid"], weights)


@pytest.mark.parametrize("detach", [False, True])
def test_the_gradient_through_the_maximum_is_an_option(detach):
    alpha = {"grid": torch.tensor([[0.0, 1.0, 2.0]], requires_grad=True)}
    leader = searcher(max_w_detach=detach).mixture(alpha)["grid"][0, 2]
    (slope,) = torch.autograd.grad(leader, alpha["grid"])
    assert bool(slope.abs().max() > 1e-3) == detach


def test_the_grid_search_finds_a_path_and_reports_its_course():
    result = do.optimize(do.make("designopt/HyperCuboid-v0", **SMALL), search="sharpdarts", budget=5, seed=0, **FAST)
    assert len(result.designs) == 1
    assert result.best_value == result.evaluation.objectives[0, 0]
    last = result.trace[-1]
    assert last["design"] == result.designs[0].tolist()
    assert np.shape(last["alpha"]["grid"]) == (2, 8)


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"power": 0.5}, "power = 0.5"), ({"warmup": 2}, "warmup = 2"), ({"warmup": -1}, "warmup = -1")],
)
def test_bad_settings_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        searcher(**settings)
