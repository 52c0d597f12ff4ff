"""NAS-Bench-Macro: a chain of eight layers, every choice of which was trained with three seeds.

References: [Su2021] Prioritized Architecture Sampling with Monto-Carlo Tree Search, CVPR;
docs/environments/nas_tabular.md.
"""

from __future__ import annotations

from collections.abc import Iterable
from os import PathLike

import numpy as np
from numpy.typing import ArrayLike

from designopt import Categorical, DesignEnv, DesignSpace, Evaluation, Objective, Reference, data
from designopt.envs.nas.cells import codes_of, digits
from designopt.envs.nas.table import open_table
from designopt.parameters import Array

DATA = "nas/macro_cifar10.csv.gz"
BLOCKS = ("identity", "mb3_k3", "mb6_k5")
LAYERS = tuple(f"layer{i}" for i in range(1, 9))


class NASBenchMacro(DesignEnv):
    """CIFAR-10 accuracy of one training of a network of eight layers; the truth is the mean over all trainings.

    Design: each layer is an identity, or an inverted bottleneck of kernel 3 and expansion 3, or of kernel 5 and
    expansion 6; 6,561 networks. Layers 1, 3 and 6 have stride 2. Objective: ``accuracy`` (%, maximise) of one seed.
    Metrics: ``params`` and ``flops`` of the table.

    Seeds agree on the order of networks by a Kendall tau of 0.88 only: no search can be better than that, and the truth
    contains the seed searched.

    Args:
        table: CSV file with columns ``code``, ``params``, ``flops`` and those named here; None: the published table.
        search_column: the training that a search sees.
        truth_columns: the trainings whose mean is the truth.
        render_mode: None or "ansi".

    Raises:
        ValueError: an unknown column, or a table that is no table of networks.
        DataMissing: no table given, and the published one is not on this machine.
    """

    design_space = DesignSpace({layer: Categorical(BLOCKS) for layer in LAYERS})
    objectives = (Objective("accuracy", "max", unit="%"),)

    def __init__(
        self,
        table: str | PathLike[str] | None = None,
        search_column: str = "acc0",
        truth_columns: Iterable[str] = ("acc0", "acc1", "acc2"),
        render_mode: str | None = None,
    ) -> None:
        super().__init__(render_mode)
        self._table = open_table(data.find(DATA) if table is None else table, LAYERS, BLOCKS)
        self._accuracy = self._table.column(search_column)
        self._truth = np.mean([self._table.column(name) for name in truth_columns], axis=0)
        self._metrics = {name: self._table.column(name) for name in ("params", "flops")}
        best = int(np.nanargmax(self._accuracy))
        self.reference = Reference(
            f"enumeration of column {search_column}",
            float(self._accuracy[best]),
            tuple(self._table.all_designs()[best].tolist()),
        )

    def evaluate(self, designs: Array) -> Evaluation:
        """designs: (n, 8) -> objectives (n, 1) and the metrics of the class."""
        numbers = self._table.numbers(designs)
        metrics = {name: values[numbers] for name, values in self._metrics.items()}
        accuracy = self._accuracy[numbers]
        absent = np.isnan(accuracy)
        errors = np.full(len(numbers), "", dtype=object)
        for row in np.flatnonzero(absent):
            errors[row] = f"architecture {codes_of(designs[row : row + 1])[0]} is not in the table"
        status = np.where(absent, "invalid", "ok")
        return Evaluation(accuracy[:, None], metrics=metrics, status=status, errors=errors)

    def truth(self, designs: ArrayLike) -> Array:
        """designs: (n, 8) -> (n,) mean accuracy over the truth columns, to judge what a search found; NaN if absent."""
        return np.asarray(self._truth[self._table.numbers(designs)])


def designs_of(codes: Iterable[str]) -> Array:
    """N codes of eight digits -> (n, 8) designs. Raises ValueError naming the layer and what it holds."""
    return np.array([digits(code, LAYERS, BLOCKS) for code in codes], dtype=np.float64)
