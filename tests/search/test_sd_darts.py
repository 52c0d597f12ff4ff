"""Self-distilled DARTS: votes of teachers, the loss they add, and plain DARTS where they say nothing."""

import pytest
import torch

import designopt as do
from designopt.launch import make_searcher
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


# The search -----------------------------------------------------------------------------------------------------------

ENV = do.make("designopt/HyperCuboid-v0", layers=1, steps=2, channels=4, epochs=1)
FAST = {"epochs": 3, "batch_size": 600}


def searched(name="sd_darts", **settings):
    search = make_searcher(ENV, name, seed=0, **FAST | settings)
    search.search()
    return search


@pytest.fixture(scope="module")
def plain():
    return searched("darts")


@pytest.fixture(scope="module")
def taught():
    return searched(n_teachers=2, start_epoch=1)


def alphas(search):
    return [row["alpha"] for row in search.trace]


def test_one_teacher_of_no_weight_is_darts_to_the_last_bit(plain):
    idle = searched(n_teachers=1, lambda_sd=0.0, start_epoch=1)
    assert idle.trace[-1]["teachers"] == 1
    assert alphas(idle) == alphas(plain)
    assert all(torch.equal(idle.w[name], plain.w[name]) for name in plain.w)


def test_teaching_begins_after_the_start_epoch(plain, taught):
    assert alphas(searched(start_epoch=3)) == alphas(plain)
    assert alphas(taught)[:2] == alphas(plain)[:2]  # the weights of epoch 2 were taught, alpha follows in epoch 3
    assert alphas(taught)[2] != alphas(plain)[2]


def test_teachers_are_the_last_supernets_and_are_never_moved(taught):
    assert taught.teachers == ["teacher2", "teacher3"]
    newest = taught.copies["teacher3"]
    assert all(torch.equal(newest[f"weight:{n}"], v) for n, v in taught.w.items())
    assert torch.equal(taught.copies["teacher2"]["alpha:grid"], torch.tensor(taught.trace[1]["alpha"]["grid"]))
    assert all(value.grad is None for name in taught.teachers for value in taught.copies[name].values())
    assert searched(teacher_stride=2).teachers == ["teacher2"]


def test_an_interrupted_search_goes_on_with_its_teachers_in_their_order(tmp_path):
    """Beyond the tenth epoch, where names no longer sort by age."""
    env = do.make("designopt/MiniNAS-v0", channels=2)
    settings = {"epochs": 12, "batch_size": 250, "n_teachers": 3, "start_epoch": 1}
    whole = make_searcher(env, "sd_darts", **settings)
    whole.search()
    first = make_searcher(env, "sd_darts", **settings, checkpoint=str(tmp_path))
    for _ in range(10):
        first.run_epoch()
    first._save()
    again = make_searcher(env, "sd_darts", **settings, checkpoint=str(tmp_path))
    again.search()
    assert again.teachers == whole.teachers == ["teacher10", "teacher11", "teacher12"]
    assert [row["alpha"] for row in again.trace] == [row["alpha"] for row in whole.trace]


def test_alpha_descends_the_divergence_only_when_told_to():
    search = searched(epochs=2, start_epoch=1)
    batch = search.losses.validation
    without = search.validation_loss(search.w, search.alpha, batch)
    object.__setattr__(search.config, "apply_to_alpha", True)
    assert search.validation_loss(search.w, search.alpha, batch) > without


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_teachers": 0}, "n_teachers = 0"),
        ({"teacher_stride": 0}, "teacher_stride = 0"),
        ({"temperature": 0.0}, "temperature = 0.0"),
        ({"lambda_sd": -1.0}, "lambda_sd = -1.0"),
        ({"start_epoch": -1}, "start_epoch = -1"),
        ({"vote": "loudest"}, "vote = 'loudest'"),
    ],
)
def test_bad_settings_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        searched(**settings)
