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

SMALL = {"layers": 1, "steps": 2, "channels": 4, "epochs": 1}


def searched(name="sd_darts", **settings):
    env = do.make("designopt/HyperCuboid-v0", **SMALL)
    search = make_searcher(env, name, seed=0, **{"epochs": 3, "batch_size": 300} | settings)
    search.search()
    return search


def test_one_teacher_of_no_weight_is_darts_to_the_last_bit():
    plain = searched("darts")
    taught = searched(n_teachers=1, lambda_sd=0.0, start_epoch=1)
    assert taught.trace[-1]["teachers"] == 1
    assert [row["alpha"] for row in taught.trace] == [row["alpha"] for row in plain.trace]
    assert all(torch.equal(taught.w[name], plain.w[name]) for name in plain.w)
    assert searched(n_teachers=1, lambda_sd=0.5, start_epoch=1).trace[-1]["alpha"] != plain.trace[-1]["alpha"]


def test_teaching_begins_after_the_start_epoch():
    late = searched(start_epoch=3)
    assert [row["alpha"] for row in late.trace] == [row["alpha"] for row in searched("darts").trace]


def test_teachers_are_the_last_supernets_and_are_never_moved():
    search = searched(n_teachers=2, start_epoch=1)
    assert search.teachers == ["teacher2", "teacher3"]
    newest = search.copies["teacher3"]
    assert all(torch.equal(newest[f"weight:{n}"], v) for n, v in search.w.items())
    assert torch.equal(search.copies["teacher2"]["alpha:grid"], torch.tensor(search.trace[1]["alpha"]["grid"]))
    assert all(value.grad is None for name in search.teachers for value in search.copies[name].values())
    assert searched(teacher_stride=2).teachers == ["teacher2"]


@pytest.mark.slow  # equal to the last bit alone; beside other tests in one process it once was not
def test_an_interrupted_search_goes_on_with_its_teachers(tmp_path):
    settings = {"n_teachers": 2, "start_epoch": 1, "checkpoint": str(tmp_path)}
    whole = searched(n_teachers=2, start_epoch=1)
    env = do.make("designopt/HyperCuboid-v0", **SMALL)
    first = make_searcher(env, "sd_darts", seed=0, epochs=3, batch_size=300, **settings)
    for _ in range(2):
        first.run_epoch()
        first._save()
    again = searched(**settings)
    assert again.teachers == whole.teachers
    assert [row["alpha"] for row in again.trace] == [row["alpha"] for row in whole.trace]


def test_alpha_descends_the_divergence_only_when_told_to():
    search = searched(start_epoch=1)
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
