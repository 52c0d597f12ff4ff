"""The trainable space: its network, its equivalent cells, its table."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch

import designopt as do
from designopt.envs.nas import mini_nas
from designopt.envs.nas.mini_data import SIZES, samples
from designopt.envs.nas.mini_nas import SPACES, TABLES, MiniNAS, canonical, load_table
from designopt.envs.nas.mini_training import trained
from designopt.envs.nas.operations import MiniNetwork, parameters_used
from designopt.nas import Supernet
from designopt.testing import check_env

CODES = list(itertools.product(range(5), repeat=3))


def table_file(dataset, space):
    return Path(mini_nas.__file__).parent / "tables" / f"mini_{dataset}_{space}.csv"


SHAPES = {"digits": (1, 8, 8), "mnist1d": (1, 1, 40)}


@pytest.mark.parametrize(("dataset", "space"), TABLES)
def test_it_conforms_and_offers_a_supernet(dataset, space):
    if not table_file(dataset, space).exists():
        with pytest.raises(ValueError, match=f"no table of dataset = '{dataset}'"):
            MiniNAS(dataset, space)
        pytest.skip("this table has not been made yet")
    env = do.make("designopt/MiniNAS-v0", dataset=dataset, space=space)
    check_env(env)
    assert isinstance(env, Supernet)


@pytest.mark.parametrize(("dataset", "space"), TABLES)
def test_every_distinct_cell_was_trained_three_times_and_the_best_five(dataset, space):
    if not table_file(dataset, space).exists():
        pytest.skip("this table has not been made yet")
    table = load_table(dataset, space)
    assert set(table) == {canonical(code) for code in CODES}
    assert min(map(len, table.values())) == 3
    means = sorted(((np.mean([r[1] for r in runs[:3]]), len(runs)) for runs in table.values()), reverse=True)
    assert all(count == 5 for _, count in means[:20])


def test_there_are_sixty_distinct_cells():
    assert len({canonical(code) for code in CODES}) == 60


def outputs(code, net, x):
    return net(x, {"cell": torch.eye(5, dtype=torch.float64)[list(code)]})


def test_equivalent_cells_compute_the_same_function():
    """With the same weights on every edge, a cell and its canonical form give the same outputs."""
    net = MiniNetwork(SPACES["plain"], (1, 8, 8), 4, 10, "silu").double()
    for cell in (net.first, net.second):
        for i, module in enumerate(cell.operations):
            module.load_state_dict(cell.operations[i % 5].state_dict())
    x = torch.randn(6, 1, 8, 8, dtype=torch.float64)
    with torch.no_grad():
        for code in CODES:
            torch.testing.assert_close(outputs(code, net, x), outputs(canonical(code), net, x))


@pytest.mark.parametrize(("dataset", "space"), TABLES)
def test_parameters_and_work_equal_those_of_a_built_network(dataset, space):
    env = MiniNAS(dataset, space, train=True)
    net = env.build_supernet()
    for code in np.random.default_rng(0).permutation(CODES)[:20]:
        design = code.astype(float)
        mixture = torch.as_tensor(env.mixture_of(design)["cell"])
        assert parameters_used(net, mixture) == env.parameters(design[None])[0]
        work: list[int] = []

        def count(module, inputs, out, work=work):
            work.append(module.weight.numel() * out[0, 0].numel())

        for cell in (net.first, net.second):
            for i in mixture.flatten().nonzero()[:, 0]:
                for conv in cell.operations[i].modules():
                    if isinstance(conv, torch.nn.Conv2d):
                        conv.register_forward_hook(count)
        with torch.no_grad():
            net(torch.zeros(2, *SHAPES[dataset]), {"cell": mixture.float()})
        assert sum(work) == env.macs(design[None])[0]
        for module in net.modules():
            module._forward_hooks.clear()


def test_hard_and_soft_mixtures_agree():
    """Leaving out operations of weight zero changes nothing."""
    env = MiniNAS(train=True)
    net = env.build_supernet(1)
    x = samples("digits")[0][:16]
    mixture = torch.as_tensor(env.mixture_of(np.array([3.0, 1.0, 4.0]))["cell"]).float()
    soft = net(x, {"cell": mixture.clone().requires_grad_()})
    torch.testing.assert_close(net(x, {"cell": mixture}), soft)


def test_in_the_wide_space_most_parameters_see_no_neighbours():
    env = MiniNAS(space="wide", train=True)
    designs = np.eye(5)[[2, 3]].argmax(axis=1)[:, None].repeat(3, axis=1).astype(float)
    wide, conv = env.parameters(designs)
    assert wide > conv
    kernels = [m.kernel_size for m in env.build_supernet().first.operations[2].modules() if hasattr(m, "kernel_size")]
    assert kernels == [(1, 1), (1, 1)]


def test_search_never_sees_the_test_samples_and_its_halves_are_disjoint():
    env = MiniNAS(train=True)
    data = env.search_data(3)
    x, _, x_test, _ = samples("digits")
    both = torch.cat([data.train_inputs, data.validation_inputs])
    assert len(both) == len(x) == sum(SIZES["digits"])
    torch.testing.assert_close(both.sum(0), x.sum(0), rtol=1e-3, atol=1e-3)
    assert not torch.equal(env.search_data(4).train_inputs, data.train_inputs)
    assert len(x_test) == 797


def test_cost_is_taken_from_objective_truth_and_added_to_the_loss():
    plain, costly = MiniNAS(), MiniNAS(cost_weight=20.0)
    designs = np.array([[3.0, 3.0, 3.0], [1.0, 1.0, 1.0]])
    expected = 20 * plain.macs(designs) / 1e6
    np.testing.assert_allclose(
        plain.evaluate(designs).objectives - costly.evaluate(designs).objectives, expected[:, None]
    )
    np.testing.assert_allclose(plain.truth(designs) - costly.truth(designs), expected)
    cost = (costly.operation_costs()["cell"] * costly.mixture_of(designs[0])["cell"]).sum()
    assert cost == pytest.approx(expected[0] / 100)
    assert plain.operation_costs() == {}


def test_a_disconnected_cell_guesses_and_a_convolution_does_not():
    truth = MiniNAS().truth(np.array([[0.0, 0.0, 0.0], [3.0, 3.0, 3.0]]))
    assert truth[0] < 20 < 85 < truth[1]


@pytest.mark.parametrize("arguments", [{"dataset": "cifar10"}, {"dataset": "mnist1d", "space": "wide"}])
def test_unknown_data_are_refused(arguments):
    with pytest.raises(ValueError, match="allowed: "):
        MiniNAS(**arguments)


@pytest.mark.slow
def test_training_again_gives_the_table():
    code = (0, 3, 0)
    run = trained("digits", "plain", code, 0)
    assert (run.validation, run.test) == pytest.approx(load_table("digits", "plain")[code][0][:2], abs=0.6)


def test_training_is_deterministic_and_draws_from_its_seed_alone(monkeypatch):
    monkeypatch.setattr("designopt.envs.nas.mini_training.EPOCHS", {"digits": 1})
    first = trained("digits", "plain", (0, 2, 0), 1)
    torch.rand(3)
    assert trained("digits", "plain", (0, 2, 0), 1)[:2] == first[:2]
    assert trained("digits", "plain", (0, 2, 0), 2)[:2] != first[:2]


def test_a_search_by_gradients_leaves_the_start_and_finds_a_connected_cell():
    result = do.optimize("designopt/MiniNAS-v0", search="darts", budget=1, epochs=2, lr_alpha=0.1)
    assert result.trace[-1]["moved"] > 0.1
    assert result.trace[-1]["train_loss"] < result.trace[0]["train_loss"]
    assert len(result.designs) == 1
