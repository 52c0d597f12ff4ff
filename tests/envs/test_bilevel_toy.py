"""The bilevel problem that can be solved on paper."""

import numpy as np
import pytest
import torch

import designopt as do
from designopt.nas import BilevelProblem
from designopt.testing import check_env


def test_it_conforms_and_offers_its_losses():
    env = do.make("designopt/BilevelToy-v0")
    check_env(env)
    assert isinstance(env, BilevelProblem)


def test_the_objective_is_the_validation_loss_where_the_weight_is_best():
    env = do.make("designopt/BilevelToy-v0")
    a = np.linspace(-3, 3, 7)
    e = env.evaluate(np.stack([a, a], axis=1))
    np.testing.assert_allclose(e.objectives[:, 0], e.metrics["validation_loss"], atol=1e-12)
    np.testing.assert_allclose(e.metrics["train_loss"], 0.0)


def test_the_losses_are_those_of_the_paper():
    env = do.make("designopt/BilevelToy-v0", a=2.0, w=-2.0)
    alpha, w = (torch.tensor(part) for part in env.start())
    assert (float(env.train_loss(w, alpha)), float(env.validation_loss(w, alpha))) == (16.0, -7.0)
    np.testing.assert_array_equal(env.to_design(w.numpy(), alpha.numpy()), [2.0, -2.0])


def test_a_start_outside_is_refused():
    with pytest.raises(ValueError, match="a = 11"):
        do.make("designopt/BilevelToy-v0", a=11.0)
