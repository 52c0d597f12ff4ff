"""Max-W coefficients."""

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis.extra.numpy import arrays

from designopt.surrogates.nas.sharp import max_w

LOGITS = arrays(np.float64, (3, 5), elements=st.floats(-5, 5))


@given(LOGITS)
def test_max_w_gives_the_leader_one_and_the_sum_known_in_closed_form(logits):
    weights = torch.tensor(logits).softmax(1)
    coefficients = max_w(weights)
    top = weights.amax(1)
    assert torch.allclose(coefficients.gather(1, weights.argmax(1, keepdim=True)), torch.ones(3, 1).double())
    assert torch.allclose(coefficients.sum(1), 5 * (1 - top) + 1)
    assert (coefficients <= 1 + 1e-12).all()


def test_max_w_of_equal_weights_is_one_everywhere():
    assert torch.equal(max_w(torch.full((2, 4), 0.25)), torch.ones(2, 4))


@pytest.mark.parametrize(("detach", "leader", "others"), [(False, [0.0, 0.0, 0.0], -1.0), (True, [1.0, 0.0, 0.0], 0.0)])
def test_gradient_through_the_maximum(detach, leader, others):
    weights = torch.tensor([0.5, 0.3, 0.2], requires_grad=True)
    coefficients = max_w(weights, detach=detach)
    assert torch.autograd.grad(coefficients[0], weights, retain_graph=True)[0].tolist() == leader
    for i in (1, 2):
        slope = torch.autograd.grad(coefficients[i], weights, retain_graph=True)[0]
        assert slope[0] == others
        assert slope[i] == 1.0
