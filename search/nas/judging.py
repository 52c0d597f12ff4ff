"""What a finished search of a supernet was worth by a truth that it did not see."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
import torch

from designopt.parameters import Array
from designopt.search.nas.differentiable import DifferentiableSearch
from designopt.search.nas.problem import SupernetLosses


@runtime_checkable
class Judged(Protocol):
    """An environment that knows, or finds out by training, what designs are really worth."""

    def truth(self, designs: Array) -> Array:
        """(n, d) designs -> (n,) values in the sense of the objective, for judging alone."""
        ...


def judge(search: DifferentiableSearch, designs: Array) -> None:
    """Add to the trace of a search what its report shows: regret of every epoch, and one-shot scores beside the truth.

    Every row of an epoch gets ``regret``: what the design of that moment lacks to the best truth among ``designs`` and
    those of all epochs. One more row has ``one_shot``, the accuracy (%) of each of ``designs`` on the validation data
    with the weights of the supernet, ``truth`` and ``names``. The weights are those of the last epoch.

    Args:
        search: after ``search()``.
        designs: (n, d) to compare, such as all of a small space; their truth may cost trainings.

    Raises:
        ValueError: an environment without a supernet or a truth, or a search that has not begun.
    """
    env, losses = search.env, search.losses
    if not isinstance(losses, SupernetLosses) or not isinstance(env, Judged):
        raise ValueError(f"{env.id} has no supernet and truth to judge a search by")
    rows = [row for row in search.trace if "epoch" in row]
    if not rows:
        raise ValueError(f"{type(search).__name__} on {env.id} has no epochs to judge; run search() first")
    sign = 1.0 if env.objectives[0].sense == "max" else -1.0
    truths, moments = env.truth(designs), env.truth(np.array([row["design"] for row in rows]))
    best = max((sign * truths).max(), (sign * moments).max())
    for row, truth in zip(rows, moments.tolist(), strict=True):
        row["regret"] = float(best - sign * truth)
    scores = []
    for design in designs:
        hard = {n: torch.as_tensor(m).to(losses.device, losses.dtype) for n, m in losses.env.mixture_of(design).items()}
        scores.append(100 * losses.accuracy(search.w, hard, losses.validation))
    names = [", ".join(map(str, design.values())) for design in env.design_space.decode(designs)]
    search.trace.append({"one_shot": scores, "truth": truths.tolist(), "names": names})
