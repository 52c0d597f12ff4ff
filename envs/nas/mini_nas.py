"""An architecture space small enough to know the truth: 125 cells, every one trained by ourselves.

References: [Dong2020] NAS-Bench-201, ICLR (operations and cell, here with one node less).
"""

from __future__ import annotations

import csv
import itertools
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

import numpy as np

from designopt import Categorical, DesignEnv, DesignSpace, Evaluation, Objective, Reference
from designopt.nas import SearchData
from designopt.parameters import Array

if TYPE_CHECKING:
    from torch import nn

EDGES = ("0->1", "0->2", "1->2")
SPACES = {
    "plain": ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"),
    "wide": ("none", "skip_connect", "wide_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"),
}
"""In "wide" the operation with most parameters sees no neighbours, so that more parameters are not better."""
TABLES = (("digits", "plain"), ("mnist1d", "plain"), ("digits", "wide"))
CHANNELS, CLASSES, BATCH = 8, 10, 64
EPOCHS = {"digits": 10, "mnist1d": 8}
LR, MOMENTUM, WEIGHT_DECAY = 0.1, 0.9, 5e-4
"""Of SGD with Nesterov momentum, the step falling to zero by half a cosine [Dong2020]."""


class MiniNAS(DesignEnv):
    """Validation accuracy of a small convolutional network, by the operations on the three edges of its cell.

    Design: operation of edges 0->1, 0->2 and 1->2. Objective: accuracy on validation data (%) after one short training,
    less ``cost_weight`` per million multiply-adds of the operations. Metrics: params, macs (of one sample), and
    ``training_seconds`` that the training took when the table was made.

    A look-up by default; ``train=True`` trains the network anew with seed 0. ``truth`` is the mean test accuracy over
    the trainings of the table, for judging only. Offers ``Supernet``.

    Args:
        dataset: "digits" (8 x 8 images) or "mnist1d" (signals of 40 points; needs the package mnist1d to train).
        space: "plain", or "wide" (digits only).
        cost_weight: percent points per million multiply-adds.
        train: train instead of looking up.
        activation: of the supernet, "relu" or "silu"; the table was made with ReLU.
        channels: of the supernet's first cell.

    Raises:
        ValueError: an argument that is not allowed.
    """

    def __init__(
        self,
        dataset: str = "digits",
        space: str = "plain",
        cost_weight: float = 0.0,
        train: bool = False,
        activation: str = "relu",
        channels: int = CHANNELS,
        render_mode: str | None = None,
    ) -> None:
        super().__init__(render_mode)
        if (dataset, space) not in TABLES:
            allowed = ", ".join(f"({d!r}, {s!r})" for d, s in TABLES)
            raise ValueError(f"(dataset, space) = ({dataset!r}, {space!r}); allowed: {allowed}")
        if activation not in ("relu", "silu"):
            raise ValueError(f"activation = {activation!r}; allowed: 'relu', 'silu'")
        if not cost_weight >= 0 or channels < 1:
            raise ValueError(f"cost_weight = {cost_weight}, channels = {channels}; at least 0 and 1 are needed")
        self.dataset, self.space_name, self.cost_weight, self.train = dataset, space, cost_weight, train
        self.activation, self.channels = activation, channels
        self.operations = SPACES[space]
        self.design_space = DesignSpace(**{f"edge_{e.replace('->', '_')}": Categorical(self.operations) for e in EDGES})
        self.objectives = (Objective("accuracy" if cost_weight == 0 else "score", "max"),)
        if not train:
            designs = np.array(list(itertools.product(range(len(self.operations)), repeat=len(EDGES))), dtype=float)
            values = self.evaluate(designs).objectives[:, 0]
            best = tuple(designs[values.argmax()])
            self.reference = Reference("exhaustive table", value=float(values.max()), design=best)

    def evaluate(self, designs: Array) -> Evaluation:
        """designs: (n, 3) -> Evaluation with objectives (n, 1)."""
        codes = [tuple(int(v) for v in design) for design in designs]
        macs, params = self.macs(designs), self.parameters(designs)
        if self.train:
            from designopt.envs.nas.mini_training import trained

            runs = [trained(self.dataset, self.space_name, code, 0) for code in codes]
            accuracy, seconds = np.array([r.validation for r in runs]), np.array([r.seconds for r in runs])
            return Evaluation(
                (accuracy - self.cost_weight * macs / 1e6)[:, None], metrics={"params": params, "macs": macs},
                seconds=seconds,
            )  # fmt: skip
        table = load_table(self.dataset, self.space_name)
        rows = [table[canonical(code)] for code in codes]
        accuracy = np.array([row[0][0] for row in rows])
        metrics = {"params": params, "macs": macs, "training_seconds": np.array([row[0][2] for row in rows])}
        return Evaluation((accuracy - self.cost_weight * macs / 1e6)[:, None], metrics=metrics)

    def truth(self, designs: Array) -> Array:
        """(n, 3) -> (n,) mean test accuracy (%) less cost; never shown to a search."""
        table = load_table(self.dataset, self.space_name)
        rows = [table[canonical(tuple(int(v) for v in design))] for design in designs]
        mean = np.array([np.mean([run[1] for run in row]) for row in rows])
        return np.asarray(mean - self.cost_weight * self.macs(designs) / 1e6)

    def parameters(self, designs: Array) -> Array:
        """(n, 3) -> (n,) parameters of the network of ``CHANNELS`` with only the chosen operations, dead ones too."""
        taps, C = (9 if self.dataset == "digits" else 3), CHANNELS
        per = {"nor_conv_1x1": 1, "nor_conv_3x3": taps, "wide_conv_1x1": 16}
        counts = np.array([per.get(name, 0) for name in self.operations], dtype=float) * (C**2 + (2 * C) ** 2)
        fixed = taps * C + taps * 2 * C * C + 2 * C * CLASSES + CLASSES
        return np.asarray(fixed + counts[designs.astype(int)].sum(axis=1))

    def macs(self, designs: Array) -> Array:
        """(n, 3) -> (n,) multiply-adds of the chosen convolutions on one sample, both cells."""
        return np.asarray(self._operation_macs()[designs.astype(int)].sum(axis=1))

    def _operation_macs(self) -> Array:
        taps, C = (9 if self.dataset == "digits" else 3), CHANNELS
        per = {"nor_conv_1x1": 1, "nor_conv_3x3": taps, "wide_conv_1x1": 16}
        maps = (64, 16) if self.dataset == "digits" else (40, 20)
        work = C**2 * maps[0] + (2 * C) ** 2 * maps[1]
        return np.array([per.get(name, 0) * work for name in self.operations], dtype=float)

    # Supernet ----------------------------------------------------------------------------------------------------

    def mixture_shapes(self) -> dict[str, tuple[int, int]]:
        """One group an edge."""
        return {"cell": (len(EDGES), len(self.operations))}

    def choice_names(self) -> dict[str, tuple[str, ...]]:
        """Operations."""
        return {"cell": self.operations}

    def build_supernet(self, seed: int = 0) -> nn.Module:
        """The network with every operation on every edge."""
        import torch

        from designopt.envs.nas.mini_data import SHAPES
        from designopt.envs.nas.operations import MiniNetwork

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return MiniNetwork(self.operations, SHAPES[self.dataset], self.channels, CLASSES, self.activation)

    def search_data(self, seed: int = 0) -> SearchData:
        """Training and validation samples in two halves of the same size, drawn anew by every seed."""
        import torch

        from designopt.envs.nas.mini_data import samples

        x, y, _, _ = samples(self.dataset)
        order = torch.as_tensor(np.random.default_rng(seed).permutation(len(y)))
        a, b = order[: len(y) // 2], order[len(y) // 2 :]
        return SearchData(x[a], y[a], x[b], y[b])

    def operation_costs(self) -> dict[str, Array]:
        """Percent points of the objective, as a share of one: the scale of a loss near the optimum."""
        if self.cost_weight == 0:
            return {}
        return {"cell": np.tile(self.cost_weight * self._operation_macs() / 1e8, (len(EDGES), 1))}

    def discretise(self, mixture: Mapping[str, Array]) -> Array:
        """The strongest operation of every edge; ``none`` is allowed, as in [Dong2020]."""
        return np.asarray(mixture["cell"].argmax(axis=1), dtype=float)

    def mixture_of(self, design: Array) -> dict[str, Array]:
        """One-hot rows."""
        return {"cell": np.eye(len(self.operations))[design.astype(int)]}


def canonical(code: tuple[int, ...]) -> tuple[int, ...]:
    """One code for all cells that compute the same function: dead edges are none, chains with a skip are one edge."""
    to_middle, direct, from_middle = code
    if to_middle == 0 or from_middle == 0:
        return (0, direct, 0)
    if to_middle == 1:
        to_middle, from_middle = from_middle, 1  # skip then op, or op then skip
    if from_middle == 1:  # the output adds op(x) and direct(x)
        low, high = sorted((to_middle, direct))
        return (0, high, 0) if low == 0 else (1, low, high)
    return (to_middle, direct, from_middle)


@cache
def load_table(dataset: str, space: str) -> dict[tuple[int, ...], list[tuple[float, float, float]]]:
    """Canonical code -> trainings by seed: validation and test accuracy (%), CPU seconds.

    Raises:
        ValueError: the table has not been made.
    """
    file = files("designopt.envs.nas") / "tables" / f"mini_{dataset}_{space}.csv"
    if not file.is_file():
        raise ValueError(
            f"MiniNAS has no table of dataset = {dataset!r}, space = {space!r} yet; benchmarks/mini_nas_truth.py makes "
            "it, and train=True does without"
        )
    text = file.read_text()
    table: dict[tuple[int, ...], list[tuple[float, float, float]]] = {}
    for row in csv.DictReader(text.splitlines()):
        key = tuple(map(int, row["code"]))
        table.setdefault(key, []).append((float(row["validation"]), float(row["acc"]), float(row["seconds"])))
    return table
