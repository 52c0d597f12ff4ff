"""HyperCuboid: paths, designs and mixtures stand for each other, and what is trained is the path's own network."""

import itertools

import cloudpickle
import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis.extra.numpy import arrays

import designopt as do
from designopt.envs.nas.hypercuboid import HyperCuboid, longest_path
from designopt.envs.nas.hypercuboid_network import HyperCuboidNetwork
from designopt.nas import Supernet

FAST = {"layers": 1, "steps": 2, "channels": 4, "epochs": 2}


@pytest.fixture(scope="module")
def env():
    return do.make("designopt/HyperCuboid-v0", **FAST)


def total(weights, widths, operations):
    stages = range(len(operations))
    return sum(weights[i, widths[i], widths[i + 1], operations[i]] for i in stages)


def every_path(stages, s, p):
    return itertools.product(itertools.product(range(s), repeat=stages + 1), itertools.product(range(p), repeat=stages))


@settings(max_examples=60)
@given(arrays(np.float64, (2, 2, 2, 2), elements=st.floats(0, 1)))
def test_the_longest_path_is_that_of_brute_force(weights):
    widths, operations = longest_path(weights)
    best = max(total(weights, *path) for path in every_path(2, 2, 2))
    assert total(weights, widths, operations) == pytest.approx(best, abs=1e-12)


def test_the_longest_path_of_a_deeper_grid_is_that_of_brute_force():
    weights = np.random.default_rng(0).random((4, 3, 3, 2))
    found = tuple(map(tuple, longest_path(weights)))
    assert found == max(every_path(4, 3, 2), key=lambda path: total(weights, *path))


def test_the_longest_path_is_not_the_greedy_one():
    weights = np.zeros((2, 2, 2, 1))
    weights[0, 0, 0] = 0.6  # greedy from the stem goes here and finds 0.1 behind
    weights[0, 1, 1], weights[1, 1, 0], weights[1, 0, 1] = 0.5, 0.9, 0.1
    widths, operations = longest_path(weights)
    assert widths.tolist() == [1, 1, 0]
    assert operations.tolist() == [0, 0]


def test_every_design_is_the_path_of_its_own_mixture(env):
    assert isinstance(env, Supernet)
    designs = np.array(list(itertools.product((4.0, 8.0), (0, 1), (4, 8), (0, 1), (4, 8))))
    for design in designs:
        mixture = env.mixture_of(design)
        assert mixture["grid"].sum(axis=1).tolist() == [1.0, 1.0]
        assert np.array_equal(env.discretise(mixture), design)


def test_choices_are_named_in_the_order_of_the_mixture(env):
    design = np.array([8.0, 0.0, 4.0, 1.0, 8.0])
    names = np.array(env.choice_names()["grid"])
    assert names[env.mixture_of(design)["grid"].argmax(axis=1)].tolist() == ["8>4 pool", "4>8 sharp_sep_conv"]
    assert env.design_space.decode(design[None])[0] == {
        "stem_width": 8.0,
        "layer1_stride1_operation": "pool",
        "layer1_stride1_width": 4.0,
        "layer1_stride2_operation": "sharp_sep_conv",
        "layer1_stride2_width": 8.0,
    }


def test_widths_are_powers_of_two_from_the_one_below_channels():
    assert HyperCuboid(channels=12, steps=3).widths == (8, 16, 32)


def test_a_design_counts_the_parameters_of_its_own_network(env):
    narrow, wide = env.evaluate(np.array([[4.0, 1, 4, 1, 4], [8.0, 1, 8, 1, 8]])).metrics["params"]
    sharp = {c: 9 * c + c * c + 9 * c + c * c for c in (4, 8)}
    for params, c in ((narrow, 4), (wide, 8)):
        head = 9 * c + 64 * c + 9 * 64 + 64 * 64
        assert params == 9 * c + 2 * sharp[c] + head + 64 * 10 + 10


def test_training_learns_and_a_copy_trains_to_the_same_value(env):
    wide = np.array([[8.0, 1, 8, 1, 8]])
    accuracy = env.evaluate(wide).objectives[0, 0]
    assert accuracy > 30  # chance: 10
    longer = HyperCuboid(**FAST | {"epochs": 8})
    assert longer.evaluate(wide).objectives[0, 0] > accuracy + 10
    assert cloudpickle.loads(cloudpickle.dumps(env)).evaluate(wide).objectives[0, 0] == accuracy


def test_searches_never_see_the_digits_that_judge(env):
    data = env.search_data(3)
    seen = torch.cat([data.train_inputs, data.validation_inputs]).flatten(1)
    assert len(seen) == 1200
    assert len(data.train_labels) == len(data.validation_labels) == 600
    assert not torch.equal(data.train_inputs, env.search_data(4).train_inputs)
    judging = {row.numpy().tobytes() for row in env._test_data[0].flatten(1)}
    assert len(judging) == 597
    assert not judging & {row.numpy().tobytes() for row in seen}
    truth = env.truth(np.array([[8.0, 1, 8, 1, 8]]), seeds=1)
    assert truth.shape == (1,)
    assert truth[0] > env.evaluate(np.array([[8.0, 1, 8, 1, 8]])).objectives[0, 0]  # twice the data


def test_truth_is_the_mean_over_seeds(env):
    design = np.array([[4.0, 0, 4, 1, 8]])
    singles = [HyperCuboid(**FAST, seed=0)._train(design[0], seed, judged=True)[0] for seed in (0, 1)]
    assert singles[0] != singles[1]
    assert env.truth(design, seeds=2)[0] == pytest.approx(np.mean(singles))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"layers": 0}, "layers = 0; it must be at least 1"),
        ({"layers": 4}, "layers = 4; an image of 8 x 8 can be halved 3 times"),
        ({"steps": 1}, "steps = 1; it must be at least 2"),
        ({"channels": 0}, "channels = 0; it must be at least 1"),
        ({"epochs": 0}, "epochs = 0; it must be at least 1"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        HyperCuboid(**arguments)


# Network ------------------------------------------------------------------------------------------------------------


def cuboid(**kwargs):
    torch.manual_seed(0)
    return HyperCuboidNetwork(1, (4, 8), 1, 10, head=8, **kwargs)


DIGITS = torch.randn(6, 1, 8, 8, generator=torch.Generator().manual_seed(1))


def test_the_network_of_one_path_is_the_supernet_at_its_mixture():
    whole, path = cuboid(), [5, 2]  # 8 > 4 by a convolution, then 4 > 8 by a pool
    single = cuboid(path=path)
    single.load_state_dict({name: whole.state_dict()[name] for name in single.state_dict()})
    mixture = {"grid": torch.nn.functional.one_hot(torch.tensor(path), 8).float()}
    assert torch.allclose(single(DIGITS, mixture), whole(DIGITS, mixture))
    assert sum(p.numel() for p in single.parameters()) < sum(p.numel() for p in whole.parameters())


def test_negligible_operations_are_left_out_and_get_no_gradient():
    weights = torch.full((2, 8), 0.14)
    weights[:, 3] = 0.01
    for least, idle in ((0.02, True), (0.0, False)):
        mixture = {"grid": weights.clone().requires_grad_()}
        cuboid(least=least)(DIGITS, mixture).square().sum().backward()
        assert (mixture["grid"].grad[:, 3] == 0).all() == idle
        assert mixture["grid"].grad[:, [0, 1, 2, 4]].abs().min() > 0


def test_a_mixture_without_a_path_is_refused():
    mixture = {"grid": torch.zeros(2, 8)}
    mixture["grid"][0, 0] = mixture["grid"][1, 7] = 1.0  # 4 > 4, then 8 > 8
    with pytest.raises(ValueError, match="no path"):
        cuboid()(DIGITS, mixture)
