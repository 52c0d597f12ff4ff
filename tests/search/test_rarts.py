"""RARTS against its limits on the problem that can be solved on paper."""

import numpy as np
import pytest
import torch

import designopt as do
from designopt.search.nas.rarts import RARTSSearch


@pytest.mark.parametrize(("lam", "beta"), [(1, 1), (5, 5), (10, 10), (2, 20), (20, 2)])
def test_the_limit_is_that_of_the_relaxed_objective(lam, beta):
    best = do.optimize("designopt/BilevelToy-v0", search="rarts", budget=3, lam=lam, beta=beta).best
    a = 1 / (1 - 1 / (4 * lam) - 1 / (2 * beta))
    assert best == pytest.approx({"a": a, "w": a * (1 - 1 / (2 * lam))}, abs=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(("lam", "beta", "a"), [(10, 100, 1.030928), (100, 100, 1.007557)])
def test_the_limit_approaches_the_solution_as_penalties_grow(lam, beta, a):
    best = do.optimize("designopt/BilevelToy-v0", search="rarts", budget=3, lam=lam, beta=beta).best
    assert best["a"] == pytest.approx(a, abs=1e-4)


def test_the_second_weights_end_where_the_pull_holds_them():
    env = do.make("designopt/BilevelToy-v0")
    search = RARTSSearch(env, RARTSSearch.Config(lam=5.0, beta=5.0))
    search.search()
    assert search.copies["y"]["w"].item() == pytest.approx(0.823529, abs=1e-4)


def test_an_objective_without_a_minimum_is_reported():
    with pytest.warns(UserWarning, match="the search diverged: a = .* left the design space"):
        result = do.optimize("designopt/BilevelToy-v0", search="rarts", budget=1, lam=0.3, beta=0.6)
    assert "diverged" in result.trace[-1]["event"]
    assert np.abs(result.designs).max() <= 10


@pytest.mark.parametrize("fused", [False, True])
def test_the_relaxed_objective_never_grows_when_steps_are_small(fused):
    env = do.make("designopt/BilevelToy-v0")
    config = RARTSSearch.Config(lam=5.0, beta=5.0, lr=0.02, lr_alpha=0.02, fused=fused)
    search = RARTSSearch(env, config)
    values = []
    for train, validation in search.losses.batches(0, 1):
        values.append(float(search.relaxed_objective(train, validation)))
        search.step(train, validation)
    assert np.diff(values).max() <= 1e-12
    assert values[0] - values[-1] > 1.0


@pytest.mark.parametrize(("fused", "gradients"), [(False, 4), (True, 2)])
def test_a_sweep_costs_first_derivatives_only(fused, gradients):
    search = RARTSSearch(do.make("designopt/BilevelToy-v0"), RARTSSearch.Config(fused=fused))
    search.step(*next(iter(search.losses.batches(0, 1))))
    assert search.gradient_evaluations == gradients


@pytest.mark.parametrize("fused", [True, False])
def test_each_block_uses_the_newest_of_the_others(fused):
    """One sweep by hand at lam = 2, beta = 3 from (a, w, y) = (2, -2, -2)."""
    config = RARTSSearch.Config(lam=2.0, beta=3.0, lr=0.1, lr_alpha=0.1, fused=fused)
    search = RARTSSearch(do.make("designopt/BilevelToy-v0"), config)
    search.step(*next(iter(search.losses.batches(0, 1))))
    w = -2 - 0.1 * (2 * 2 * (-2 - 2) + 3 * 0) / (2 + 0.1 * 3)
    y = -2 - 0.1 * (2 + 3 * (-2 - w)) / (1 + 0.1 * 3)
    seen = (-2, -2) if fused else (w, y)  # by alpha
    a = 2 - 0.1 * (2 * 2 * (2 - seen[0]) + (seen[1] - 2)) / 3
    found = [search.w["w"], search.copies["y"]["w"], search.alpha["alpha"]]
    assert [v.item() for v in found] == pytest.approx([w, y, a], rel=1e-12)


def test_an_interrupted_search_goes_on_exactly(tmp_path):
    env = do.make("designopt/BilevelToy-v0")
    config = RARTSSearch.Config(epochs=4, checkpoint=str(tmp_path))
    part = RARTSSearch(env, config)
    part.run_epoch()
    part._save()
    whole = RARTSSearch(env, RARTSSearch.Config(epochs=4))
    again = RARTSSearch(env, config)
    np.testing.assert_array_equal(again.search(), whole.search())
    assert torch.equal(again.copies["y"]["w"], whole.copies["y"]["w"])


def test_a_step_of_the_weights_minimises_its_proximal_problem():
    """Whatever the penalties: linear in the loss, quadratic in the pull and in the way from where it was."""
    for lam, beta, eta in ((10.0, 1.0, 0.1), (0.5, 1000.0, 0.25)):
        search = RARTSSearch(
            do.make("designopt/BilevelToy-v0"), RARTSSearch.Config(lam=lam, beta=beta, lr=eta, lr_alpha=1e-9)
        )
        (y,) = search.copies["y"].values()
        with torch.no_grad():
            y.fill_(0.5)
        search.step(*next(iter(search.losses.batches(0, 1))))
        found = search.w["w"].item()
        slope = lam * 2 * (-2 - 2) + beta * (found - 0.5) + lam / eta * (found + 2)
        assert slope == pytest.approx(0.0, abs=1e-9 * beta)


@pytest.mark.parametrize("bad", [{"lam": 0.0}, {"beta": -1.0}])
def test_penalties_must_be_positive(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        RARTSSearch.Config(**bad)
