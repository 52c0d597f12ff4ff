"""DARTS on the problem that can be solved on paper, and on a tiny supernet."""

import json
import warnings

import numpy as np
import pytest
import torch
from torch import nn

import designopt as do
from designopt.nas import SearchData, Supernet
from designopt.search.nas.darts import DARTSSearch
from designopt.search.nas.eigenvalue import epoch_before_collapse, largest_eigenvalue
from designopt.search.nas.hypergradient import exact, finite_difference
from designopt.search.nas.problem import Batch
from designopt.search.nas.rarts import RARTSSearch
from designopt.testing.searchers import _check_config


class TinyNet(nn.Module):
    """Two edges of (none, linear, activation), no normalisation."""

    def __init__(self, activation):
        super().__init__()
        self.first, self.activation, self.last = nn.Linear(4, 4), activation(), nn.Linear(4, 3)

    def forward(self, x, mixture):
        for _, line, bend in mixture["cell"]:
            x = x + line * self.first(x) + bend * self.activation(self.first(x))
        return self.last(x)


class TinyArchitectures(do.DesignEnv):
    """The smallest supernet; its data may be spoilt."""

    objectives = (do.Objective("accuracy", "max"),)
    design_space = do.DesignSpace(first=do.Categorical("abc"), second=do.Categorical("abc"))

    def __init__(self, activation=nn.SiLU, dtype=torch.float64, width=4, scale=1.0, labels=3):
        super().__init__()
        self.activation = activation
        rng = torch.Generator().manual_seed(1)
        x = scale * torch.randn(96, width, generator=rng, dtype=dtype)
        y = torch.randint(labels, (96,), generator=rng)
        self.data = SearchData(x[:48], y[:48], x[48:], y[48:])

    def evaluate(self, designs):
        return do.Evaluation(designs.sum(axis=1, keepdims=True))

    def mixture_shapes(self):
        return {"cell": (2, 3)}

    def choice_names(self):
        return {"cell": ("none", "skip_line", "bend")}

    def build_supernet(self, seed=0):
        return TinyNet(self.activation)

    def search_data(self, seed=0):
        return self.data

    def operation_costs(self):
        return {}

    def discretise(self, mixture):
        return mixture["cell"].argmax(axis=1).astype(float)

    def mixture_of(self, design):
        return {"cell": np.eye(3)[design.astype(int)]}


def searcher(env=None, kind=DARTSSearch, seed=0, **settings):
    settings = {"epochs": 3, "batch_size": 16} | settings
    return kind(env or TinyArchitectures(), kind.Config(**settings), seed=seed)


def test_first_order_ends_where_its_flow_does_and_not_at_the_solution():
    best = do.optimize("designopt/BilevelToy-v0", search="darts", budget=5, order=1).best
    assert best == pytest.approx({"a": 2.0, "w": 2.0}, abs=1e-4)


@pytest.mark.parametrize("order", [2, "exact"])
@pytest.mark.parametrize("xi", [0.01, 0.1, 0.25, 0.5])
def test_second_order_ends_at_the_limit_of_its_virtual_step(order, xi):
    best = do.optimize("designopt/BilevelToy-v0", search="darts", budget=1, order=order, xi=xi).best
    assert best == pytest.approx({"a": 2 / (1 + 2 * xi), "w": 2 / (1 + 2 * xi)}, abs=1e-4)


def losses(seed=0, activation=nn.SiLU):
    """A searcher in float64 after some steps, and the two losses on a batch each."""
    s = searcher(TinyArchitectures(activation), seed=seed)
    s.run_epoch()
    train, validation = next(iter(s.losses.batches(0, 16)))
    w = {n: v.detach() for n, v in s.w.items()}
    alpha = {n: v.detach() for n, v in s.alpha.items()}
    return s, w, alpha, lambda w, a: s.train_loss(w, a, train), lambda w, a: s.validation_loss(w, a, validation)


def test_exact_hypergradient_is_the_derivative_of_the_loss_after_the_step():
    s, w, alpha, train, validation = losses()
    xi, drift = 0.3, s.drift()
    assert any(value.abs().max() > 1e-3 for value in drift.values())

    def after_step(a):
        slope = torch.func.grad(train)(w, {"cell": a})
        return float(validation({n: w[n] - xi * (slope[n] + drift[n]) for n in w}, {"cell": a}))

    numeric = np.zeros((2, 3))
    for i, j in np.ndindex(2, 3):
        step = torch.zeros(2, 3, dtype=torch.float64)
        step[i, j] = h = 1e-5
        numeric[i, j] = (after_step(alpha["cell"] + step) - after_step(alpha["cell"] - step)) / (2 * h)
    found = exact(train, validation, w, alpha, xi, drift)["cell"].numpy()
    np.testing.assert_allclose(found, numeric, rtol=1e-6, atol=1e-10)


@pytest.mark.parametrize(("epsilon", "rtol"), [(1e-2, 2e-2), (1e-3, 2e-4)])
def test_finite_difference_of_smooth_activations_converges(epsilon, rtol):
    s, w, alpha, train, validation = losses()
    none = exact(train, validation, w, alpha, 0.0, s.drift())["cell"]
    true = exact(train, validation, w, alpha, 1.0, s.drift())["cell"]
    near = finite_difference(train, validation, w, alpha, 1.0, s.drift(), epsilon)["cell"]
    assert (true - none).norm() > 0.01 * none.norm()
    assert (near - true).norm() < rtol * true.norm()


def test_finite_difference_across_a_kink_does_not_converge():
    """L_train = a relu(w): d2/(da dw) is 0 left of the kink, but the quotient steps over it at every length."""

    def train(w, a):
        return (a["a"] * torch.relu(w["w"])).sum()

    def validation(w, a):
        return (w["w"] * 1.0).sum() + 0 * a["a"].sum()

    w = {"w": torch.tensor([-1e-9], dtype=torch.float64)}
    alpha, drift = {"a": torch.tensor([1.0], dtype=torch.float64)}, {"w": torch.zeros(1, dtype=torch.float64)}
    assert exact(train, validation, w, alpha, 1.0, drift)["a"] == 0
    for epsilon in (1e-1, 1e-2, 1e-4, 1e-6):
        assert finite_difference(train, validation, w, alpha, 1.0, drift, epsilon)["a"] == pytest.approx(-0.5, abs=1e-3)


def test_second_order_by_finite_differences_warns_of_relu_only():
    with pytest.warns(UserWarning, match="ReLU-like kinks"):
        searcher(TinyArchitectures(nn.ReLU), order=2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        searcher(TinyArchitectures(nn.SiLU), order=2)
        searcher(TinyArchitectures(nn.ReLU), order="exact")


def test_published_second_order_pays_four_gradients_for_alpha():
    counts = {}
    for order in (1, 2, "exact"):
        s = searcher(order=order, epochs=1)
        s.search()
        counts[order] = s.gradient_evaluations
    assert counts == {1: 3 * 2, 2: 3 * 5, "exact": 3 * 5}


@pytest.mark.parametrize("settings", [{}, {"order": 2}, {"order": "exact"}])
def test_same_seed_gives_the_same_alphas_and_another_does_not(settings):
    runs = [searcher(seed=seed, **settings) for seed in (3, 3, 4)]
    for s in runs:
        s.search()
    first, second, third = ([row["alpha"] for row in s.trace] for s in runs)
    assert first == second
    assert first != third


def test_an_interrupted_search_goes_on_exactly(tmp_path):
    whole = searcher(epochs=4, eigenvalue="record", checkpoint=str(tmp_path / "whole"))
    design = whole.search()
    part = searcher(epochs=4, eigenvalue="record", checkpoint=str(tmp_path / "part"))
    part.run_epoch()
    part.run_epoch()
    part._save()
    again = searcher(epochs=4, eigenvalue="record", checkpoint=str(tmp_path / "part"))
    np.testing.assert_array_equal(again.search(), design)
    drop = {"cpu_seconds"}
    rows = [[{k: v for k, v in row.items() if k not in drop} for row in s.trace] for s in (whole, again)]
    assert rows[0] == rows[1]
    assert all(torch.equal(whole.w[name], again.w[name]) for name in whole.w)


def test_an_epoch_runs_on_one_thread_whoever_calls_it():
    """Sums over several threads have other last bits, so a search interrupted between epochs would go on otherwise."""
    seen = []

    class Watched(DARTSSearch):
        def step(self, train, validation):
            seen.append(torch.get_num_threads())
            return super().step(train, validation)

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        searcher(kind=Watched, epochs=1).run_epoch()
    finally:
        torch.set_num_threads(before)
    assert set(seen) == {1}


def test_resume_with_other_settings_is_refused_with_the_difference(tmp_path):
    folder = str(tmp_path)
    searcher(epochs=1, checkpoint=folder).search()
    with pytest.raises(ValueError, match=r"lr_alpha = None; this one has lr_alpha = 0\.1"):
        searcher(epochs=1, checkpoint=folder, lr_alpha=0.1).search()
    with pytest.raises(ValueError, match="seed = 0; this one has seed = 1"):
        searcher(epochs=1, checkpoint=folder, seed=1).search()


def test_a_loss_that_is_no_number_ends_the_search_with_the_alphas_before():
    class Poisoned(DARTSSearch):
        def train_loss(self, weights, alpha, batch):
            loss = super().train_loss(weights, alpha, batch)
            return loss * float("nan") if self.gradient_evaluations >= 8 else loss

    s, healthy = searcher(kind=Poisoned, epochs=5), searcher(epochs=5)
    healthy.run_epoch()
    with pytest.warns(UserWarning, match="training loss became nan in step 2 of epoch 2"):
        design = s.search()
    assert torch.isfinite(s.alpha["cell"]).all()
    assert s.epoch == 2
    assert "nan" in s.trace[-1]["event"]
    assert s.space.contains(design[None])[0]
    step = next(iter(healthy.losses.batches(1, 16)))
    for group in healthy.optimisers["w"].param_groups:
        group["lr"] = healthy.rate(1)
    healthy.step(*step)
    assert torch.equal(s.alpha["cell"], healthy.alpha["cell"])


def test_data_that_do_not_fit_the_supernet_are_refused():
    with pytest.raises(ValueError, match=r"does not take training inputs of shape \(5,\)"):
        searcher(TinyArchitectures(width=5))
    with pytest.raises(ValueError, match=r"labels reach 4, so at least \(2, 5\) is needed"):
        searcher(TinyArchitectures(labels=5))


def test_a_search_needs_a_supernet_or_the_losses():
    with pytest.raises(ValueError, match="SupernetOrBilevelProblem"):
        do.optimize("designopt/WeldedBeam-v0", search="darts", budget=1)
    assert isinstance(TinyArchitectures(), Supernet)


@pytest.mark.parametrize("kind", [DARTSSearch, RARTSSearch])
def test_a_sweep_may_draw_every_setting_from_its_range(kind):
    _check_config(kind)


def test_it_asks_for_one_design_and_then_for_none():
    s = searcher(epochs=1)
    design = s.ask(5, np.empty((0, 2)))
    assert design.shape == (1, 2)
    assert len(s.ask(5, design)) == 0


@pytest.mark.parametrize("bad", [{"order": 3}, {"xi": -1.0}, {"order": 1, "xi": 0.5}, {"epochs": 0}, {"momentum": 1.0}])
def test_settings_out_of_range_are_refused(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        DARTSSearch.Config(**bad)


def test_learning_rate_falls_by_half_a_cosine():
    s = searcher(epochs=10, lr=0.1, lr_min=0.02)
    assert [s.rate(e) for e in (0, 5)] == pytest.approx([0.1, 0.06])
    assert s.rate(10) == pytest.approx(0.02)


def test_largest_eigenvalue_of_a_quadratic():
    m = torch.tensor([[2.0, 1.0, 0.0], [1.0, -3.0, 0.5], [0.0, 0.5, 1.0]], dtype=torch.float64)
    alpha = {"a": torch.ones(2, 1, dtype=torch.float64), "b": torch.ones(1, 1, dtype=torch.float64)}

    def loss(alpha):
        x = torch.cat([alpha["a"].flatten(), alpha["b"].flatten()])
        return x @ m @ x / 2

    assert largest_eigenvalue(loss, alpha) == pytest.approx(np.linalg.eigvalsh(m.numpy())[-1])


def test_a_growing_eigenvalue_names_the_epoch_before_it():
    assert epoch_before_collapse([1.0] * 40) is None
    assert epoch_before_collapse([1.0] * 13 + [9.0]) is None  # the epoch to go back to would be too early
    assert epoch_before_collapse([1.0] * 14 + [3.0]) == 10


def test_stopping_at_the_eigenvalue_takes_the_earlier_alpha():
    s = searcher(epochs=30, eigenvalue="stop")
    series = iter([1.0] * 16 + [2.0] * 14)
    s.eigenvalue = lambda: next(series)
    s.search()
    assert s.epoch == 17
    assert s.alpha["cell"].tolist() == s.trace[12]["alpha"]["cell"]


def test_the_trace_is_plain_data():
    s = searcher(epochs=2)
    s.search()
    row = json.loads(json.dumps(s.trace))[-1]
    assert row["skip_share"] == pytest.approx(float(s.alpha["cell"].detach().softmax(1)[:, 1].mean()), rel=1e-6)
    assert row["entropy"] <= np.log(3)
    assert row["validation_accuracy"] == s.losses.accuracy(s.w, s.mixture(s.alpha), s.losses.validation)


def test_batches_never_repeat_a_sample_and_change_with_the_epoch():
    s = searcher()
    epochs = [torch.cat([t.inputs for t, _ in s.losses.batches(e, 16)]) for e in (0, 0, 1)]
    assert len(epochs[0].unique(dim=0)) == 48
    assert torch.equal(epochs[0], epochs[1])
    assert not torch.equal(epochs[0], epochs[2])
    assert isinstance(s.losses.train, Batch)
