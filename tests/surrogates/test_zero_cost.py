import math

import numpy as np
import pytest
import torch
from torch import nn

import designopt as do
from designopt.surrogates.zero_cost import SCORES, nwot, synflow, zero_cost_scores


def test_synflow_of_a_chain_is_the_product_of_absolute_weights_times_its_length():
    network = nn.Sequential(nn.Linear(1, 1, bias=False), nn.BatchNorm1d(1), nn.ReLU(), nn.Linear(1, 1, bias=False))
    network[0].weight.data.fill_(-3.0)
    network[3].weight.data.fill_(0.5)
    assert synflow(network, (1,)) == pytest.approx(math.log(2 * 1.5))
    assert network[0].weight.item() == -3.0


def test_synflow_of_a_network_that_is_cut_through_is_minus_infinity():
    network = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    network[1].weight.data.zero_()
    network[0].bias.data.zero_()
    assert synflow(network, (2,)) == -math.inf


def test_nwot_is_the_log_determinant_of_agreements():
    network = nn.Sequential(nn.Linear(2, 3, bias=False), nn.ReLU())
    network[0].weight.data = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    inputs = torch.tensor([[1.0, 1.0], [1.0, -2.0]])  # patterns 111 and 100: one of three agrees
    assert nwot(network, inputs) == pytest.approx(math.log(3 * 3 - 1 * 1))
    assert nwot(network, inputs[[0, 0]]) == -math.inf


@pytest.mark.parametrize("score", SCORES)
def test_scores_of_designs_see_only_their_own_operations(score):
    env = do.make("designopt/MiniNAS-v0")
    designs = np.array([[0, 0, 0], [1, 1, 1], [3, 3, 3], [4, 4, 4]], dtype=float)
    found = dict(zip("dscp", zero_cost_scores(env, designs, score), strict=True))
    assert found["d"] == -math.inf
    assert found["c"] > found["s"]
    again = zero_cost_scores(env, designs[::-1], score)[::-1]
    assert again.tolist() == list(found.values())
    assert zero_cost_scores(env, designs[2:3], score, seed=1) != found["c"]


def test_another_score_is_refused():
    with pytest.raises(ValueError, match="score = 'params'; allowed: synflow, nwot"):
        zero_cost_scores(do.make("designopt/MiniNAS-v0"), np.zeros((1, 3)), "params")
