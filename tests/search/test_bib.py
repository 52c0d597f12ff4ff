"""Bidirectional learning: what it finds from data alone, what it learns on the way, what it starts from."""

import numpy as np
import pytest
import torch

import designopt as do
from designopt import DesignSpace, Evaluation, Objective, Real, Sequence
from designopt.envs.protein.table import Table, TableLandscape
from designopt.search.sequence.bib import Adam, BIBSearch, Relaxed, _chosen
from designopt.surrogates.vae import Coding
from designopt.testing import MixedProblem, check_searcher


def four_sites():
    """A table as of GB1: 6^4 sequences, sums of effects and two that go together; the lower half is known."""
    codes = np.indices((6,) * 4, dtype=np.uint8).reshape(4, -1).T.copy()
    rng = np.random.default_rng(0)
    effects, pair = rng.normal(size=(4, 6)), rng.normal(size=(6, 6))
    values = effects[np.arange(4), codes].sum(axis=1) + pair[codes[:, 1], codes[:, 2]]
    table = TableLandscape(Table("ACDEFG", codes, np.exp(values), "made"))
    low = np.flatnonzero(values < np.median(values))
    table._known = lambda rng: codes[low].astype(float)
    return table


@pytest.mark.parametrize("kernel", ["tangent", "encoder"])
def test_the_best_of_the_data_is_left_behind(kernel):
    env = four_sites()
    known = env.offline_data()[1].objectives
    result = do.optimize(env, "bib", budget=32, samples=32, kernel=kernel, epochs=4, points=300, seed=1)
    assert result.best_value > 2 * known.max()
    facts = result.trace[-1]
    assert 0 <= facts["gamma"] <= 1
    assert facts["unique"] == facts["new"] == 1


@pytest.fixture(scope="module")
def told():
    """Facts of one batch on the table, by hyper-parameters."""
    env = four_sites()

    def ask(steps=10, **hyperparameters):
        searcher = BIBSearch(env, BIBSearch.Config(steps=steps, points=200, **hyperparameters), seed=0)
        searcher.tell(*env.offline_data())
        designs = searcher.ask(16, np.empty((0, 4)))
        return designs, searcher.trace[-1]

    return ask


def test_gamma_and_eta_are_learnt(told):
    fixed, facts = told(adaptive_gamma=False, adaptive_eta=False)
    assert (facts["gamma"], facts["eta"]) == (0.5, pytest.approx(0.1))
    learnt, facts = told()
    assert abs(facts["gamma"] - 0.5) > 0.05
    assert facts["eta"] != pytest.approx(0.1, abs=1e-9)
    assert not np.array_equal(fixed, learnt)


def test_gamma_weighs_the_two_losses(told):
    fixed = {"adaptive_gamma": False, "kernel": "encoder", "epochs": 2}
    ends = [told(gamma=gamma, **fixed)[1] for gamma in (1.0, 0.0)]
    assert ends[0]["forward"] < ends[1]["forward"]
    assert ends[0]["backward"] > ends[1]["backward"]


@pytest.mark.parametrize("sign", [1, -1])
def test_a_supervisor_of_the_forward_mind_wants_that_loss_and_long_steps(told, monkeypatch, sign):
    import designopt.search.sequence.bib as module

    class Kept(module.Bidirectional):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            Kept.last = self

    def supervisor(*_):
        return lambda at: sign * Kept.last.forward(Kept.last.kernel(at, Kept.last.features))

    monkeypatch.setattr(module, "Bidirectional", Kept)
    monkeypatch.setattr(module, "Heads", supervisor)
    assert sign * (told(gamma=0.5)[1]["gamma"] - 0.5) > 0.2
    assert sign * (told(gamma=1.0, adaptive_gamma=False)[1]["eta"] - 0.1) > 1e-4


def test_what_is_being_evaluated_is_not_proposed_again():
    env = four_sites()
    searchers = [BIBSearch(env, BIBSearch.Config(steps=10, points=200), seed=0) for _ in range(2)]
    for searcher in searchers:
        searcher.tell(*env.offline_data())
    first = searchers[0].ask(16, np.empty((0, 4)))
    second = searchers[1].ask(16, first)
    assert len(np.unique(np.concatenate([first, second]), axis=0)) == 32


def test_relaxed_designs_begin_where_they_should_and_pass_gradients():
    space = DesignSpace(sequence=Sequence("ABCDE", 4), x=Real(0.0, 1.0))
    coding = Coding(space, span=2.0)
    designs = space.sample(20, 0)
    relaxed = Relaxed(coding, designs, torch.Generator().manual_seed(0))
    np.testing.assert_allclose(coding.decode(relaxed.codes()), designs, atol=1e-6)
    assert relaxed.parameters.abs().max() < 0.06
    leaf = relaxed.parameters.requires_grad_()
    wanted = torch.arange(21, dtype=torch.float64)
    (codes := relaxed.codes()).mul(wanted).sum().backward()
    soft = leaf.detach()[:, :5].softmax(-1)
    np.testing.assert_allclose(leaf.grad[:, :5], soft * (wanted[:5] - (soft * wanted[:5]).sum(1, keepdim=True)))
    np.testing.assert_allclose(
        codes.detach()[:, :20].reshape(20, 4, 5).sort().values, [[[0, 0, 0, 0, 1]] * 4] * 20, atol=1e-12
    )
    with torch.no_grad():
        leaf[:, 20] += 100.0
    assert (relaxed.codes()[:, 20] == 1).all()


def test_directions_are_those_of_adam():
    x = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    published, ours, moved = torch.optim.Adam([x], lr=0.1), Adam(x), torch.zeros(3, dtype=torch.float64)
    for step in range(5):
        x.grad = torch.tensor([1.0, -2.0, 0.1 * step], dtype=torch.float64)
        published.step()
        moved -= 0.1 * ours.direction(x.grad)
    np.testing.assert_allclose(moved, x.detach(), rtol=1e-9)


def test_data_that_are_too_many_lose_middling_designs():
    y = np.arange(100.0)
    rows, chosen = _chosen(np.arange(100) + 7, y, 20, np.random.default_rng(0))
    assert rows[:10].tolist() == [106 - i for i in range(10)]
    assert len(set(rows.tolist())) == 20
    assert chosen.tolist() == (rows - 7).tolist()
    assert chosen[10:].min() < 60
    assert len(_chosen(rows, chosen, 20, np.random.default_rng(0))[0]) == 20


class Known(MixedProblem):
    """Every kind of parameter, and thirty designs known beforehand."""

    def offline_data(self, seed=None):
        designs = self.design_space.sample(30, 1)
        return designs, self.evaluate(designs)


def test_bib_conforms():
    check_searcher(lambda env, seed: BIBSearch(env, BIBSearch.Config(steps=2), seed=seed), Known(), rounds=1)


def test_it_needs_data():
    class Blank(do.DesignEnv):
        design_space = DesignSpace(x=Real(0.0, 1.0))
        objectives = (Objective("y", "max"),)

        def evaluate(self, designs):
            return Evaluation(designs)

    with pytest.raises(ValueError, match="needs an environment that offers OfflineData"):
        BIBSearch(Blank())


@pytest.mark.parametrize(
    "setting", [{"gamma": 1.5}, {"kernel": "rbf"}, {"steps": 0}, {"rate": 0.0}, {"points": 1}, {"target": -1.0}]
)
def test_a_setting_out_of_range_is_named(setting):
    with pytest.raises(ValueError, match=f"{next(iter(setting))} = "):
        BIBSearch.Config(**setting)
