"""Self-distilled DARTS: votes of teachers, the loss they add, and plain DARTS where they say nothing."""

import pytest
import torch

from designopt.search.nas.teachers import VOTES, distillation_loss, vote

LOGITS = torch.randn(3, 6, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("how", VOTES)
def test_the_vote_of_identical_teachers_is_the_teacher(how):
    same = LOGITS[:1].expand(5, -1, -1)
    assert torch.allclose(vote(same, 2.0, how), (LOGITS[0] / 2.0).softmax(-1))


@pytest.mark.parametrize("how", VOTES)
def test_a_vote_is_a_distribution_that_no_order_of_teachers_changes(how):
    p = vote(LOGITS, 1.5, how)
    assert torch.allclose(p.sum(-1), torch.ones(6).double())
    assert torch.allclose(vote(LOGITS.flip(0), 1.5, how), p)


def test_the_mean_vote_is_the_mean_of_probabilities():
    assert torch.allclose(vote(LOGITS, 3.0), (LOGITS / 3.0).softmax(-1).mean(0))


def test_the_majority_overrules_a_confident_minority():
    logits = torch.tensor([[[9.0, 0.0, 0.0]], [[0.0, 1.0, 0.0]], [[0.5, 1.0, 0.0]]])
    assert vote(logits, 1.0).argmax() == 0
    expected = logits[1:].softmax(-1).mean(0)
    assert torch.allclose(vote(logits, 1.0, "majority"), expected)


def test_where_teachers_are_split_the_mean_decides():
    logits = torch.tensor([[[2.0, 0.0]], [[0.0, 1.0]]])
    assert torch.allclose(vote(logits, 1.0, "majority"), logits[:1].softmax(-1)[0])


def test_no_gradient_reaches_a_teacher():
    teachers, student = LOGITS.clone().requires_grad_(), LOGITS[0].clone().requires_grad_()
    for how in VOTES:
        assert not vote(teachers, 1.0, how).requires_grad
    distillation_loss(student, vote(teachers, 2.0), 2.0).backward()
    assert teachers.grad is None
    assert student.grad.abs().sum() > 0


def test_another_vote_is_refused():
    with pytest.raises(ValueError, match="vote = 'loudest'; allowed: mean_prob, majority"):
        vote(LOGITS, 1.0, "loudest")


def test_the_distillation_loss_is_the_divergence_times_the_square_of_the_temperature():
    teacher, student = vote(LOGITS[1:], 2.0), LOGITS[0]
    q = (student / 2.0).softmax(-1)
    expected = 4.0 * (teacher * (teacher / q).log()).sum(-1).mean()
    assert distillation_loss(student, teacher, 2.0).item() == pytest.approx(expected.item())
    assert distillation_loss(student, q, 2.0).item() == pytest.approx(0.0, abs=1e-12)
