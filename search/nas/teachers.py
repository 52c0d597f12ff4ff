"""What self-distilled DARTS learns from: the opinions of earlier supernets [Zhu2023].

Reference: [Zhu2023] "Improving Differentiable Architecture Search via Self-Distillation", arXiv 2302.05629. The
abstract says that the outputs of several previous supernets are put to a vote; how, and the constants, we do not know.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

VOTES = ("mean_prob", "majority")


def vote(logits: Tensor, temperature: float, how: str = "mean_prob") -> Tensor:
    """Probabilities on which several teachers settle; no gradient leads back to them.

    Args:
        logits: (K, n, classes) of K teachers.
        temperature: by which logits are divided before the softmax.
        how: ``"mean_prob"``: the mean of their probabilities; ``"majority"``: the mean over those teachers whose first
            choice is the one that most of them have (of several such, the one with the highest mean probability).

    Returns:
        (n, classes).

    Raises:
        ValueError: another way to vote.
    """
    if how not in VOTES:
        raise ValueError(f"vote = {how!r}; allowed: {', '.join(VOTES)}")
    probabilities = (logits.detach() / temperature).softmax(-1)
    mean = probabilities.mean(0)
    if how == "mean_prob":
        return mean
    first = probabilities.argmax(-1)  # (K, n)
    counts = functional.one_hot(first, logits.shape[-1]).sum(0)  # (n, classes)
    chosen = torch.where(counts == counts.amax(-1, keepdim=True), mean, -1.0).argmax(-1)
    agree = (first == chosen).to(probabilities.dtype)[..., None]
    return (agree * probabilities).sum(0) / agree.sum(0)


def distillation_loss(logits: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """T^2 KL(teacher || softmax(logits / T)), mean over the batch.

    The factor keeps the size of the gradient as T grows.

    Args:
        logits: (n, classes) of the student.
        teacher: (n, classes) probabilities.
        temperature: T.
    """
    student = (logits / temperature).log_softmax(-1)
    return temperature**2 * functional.kl_div(student, teacher, reduction="batchmean")
