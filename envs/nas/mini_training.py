"""Training one cell of ``MiniNAS`` alone, as its table was made."""

from __future__ import annotations

import math
import time
from typing import NamedTuple

import torch
from torch import nn

from designopt.envs.nas.mini_data import SHAPES, SIZES, samples
from designopt.envs.nas.mini_nas import (
    BATCH,
    CHANNELS,
    CLASSES,
    EPOCHS,
    LR,
    MOMENTUM,
    SPACES,
    WEIGHT_DECAY,
)
from designopt.envs.nas.operations import MiniNetwork


class Trained(NamedTuple):
    """Accuracies in percent, with the statistics of the whole validation or test set as one batch; CPU seconds."""

    validation: float
    test: float
    seconds: float


def trained(dataset: str, space: str, code: tuple[int, ...], seed: int) -> Trained:
    """One training on the training samples; the seed draws weights and batches."""
    started = time.process_time()
    x, y, x_test, y_test = samples(dataset)
    n, batches = SIZES[dataset][0], SIZES[dataset][0] // BATCH
    mixture = {"cell": torch.eye(len(SPACES[space]))[list(code)]}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = MiniNetwork(SPACES[space], SHAPES[dataset], CHANNELS, CLASSES, "relu")
        optimiser = torch.optim.SGD(
            network.parameters(), LR, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY, nesterov=True
        )
        steps = EPOCHS[dataset] * batches
        for step in range(steps):
            if step % batches == 0:
                order = torch.randperm(n)
            optimiser.param_groups[0]["lr"] = LR * (1 + math.cos(math.pi * step / steps)) / 2
            rows = order[step % batches * BATCH :][:BATCH]
            optimiser.zero_grad()
            nn.functional.cross_entropy(network(x[rows], mixture), y[rows]).backward()
            optimiser.step()
    with torch.no_grad():
        shares = [
            100 * float((network(inputs, mixture).argmax(1) == labels).float().mean())
            for inputs, labels in ((x[n:], y[n:]), (x_test, y_test))
        ]
    return Trained(shares[0], shares[1], time.process_time() - started)
