"""NAS-Bench-201: every cell of a small space was trained, so that a search costs a look-up.

References: [Dong2020] NAS-Bench-201, ICLR; [Dong2021] NATS-Bench, TPAMI; latencies [Lee2021] HELP, NeurIPS;
docs/environments/nas_tabular.md.
"""

from __future__ import annotations

import re
from os import PathLike

import numpy as np
from numpy.typing import ArrayLike

from designopt import Categorical, Constraint, DesignEnv, DesignSpace, Evaluation, Objective, Reference, data
from designopt.envs.nas import cells
from designopt.envs.nas.table import open_table
from designopt.metrics import hypervolume
from designopt.parameters import Array, suggest

DATA = "nas/nb201.csv.gz"
PREFIXES = {"cifar10": "c10", "cifar100": "c100"}


class NASBench201(DesignEnv):
    """Accuracy of a cell after short training, looked up in a table; what it is worth after long training is hidden.

    Design: six edges, in the order of ``cells.EDGES``, each with one of ``cells.OPERATIONS``; 15,625 cells.
    Objective: ``accuracy`` (%, maximise), the search column. With a latency column there is a second one, ``latency``
    (ms, minimise), or with ``max_latency_ms`` a constraint of that name instead.

    Metrics: ``params`` and ``macs`` in closed form (of the CIFAR-10 network; a hundred classes add 5,850 and 5,760),
    ``train_seconds`` that the benchmark's GPU would have taken for the query, and ``latency_ms`` if there is a column.
    The truth is no metric: nothing that a search is told depends on it. A cell that the table lacks is ``invalid``.

    Args:
        dataset: "cifar10" or "cifar100": names the default columns.
        table: CSV file with a column ``code`` and those named here; None: the published table (``nas/nb201.csv.gz``).
        search_column: default ``c10_val_12`` or ``c100_val_12``, validation accuracy after 12 epochs.
        truth_column: default ``c10_test_200`` or ``c100_test_200``, test accuracy after 200 epochs, mean over seeds.
        latency_column: such as ``lat_raspi4``.
        max_latency_ms: the limit of the constraint.
        render_mode: None or "ansi".

    Raises:
        ValueError: an unknown data set or column, a limit without a latency column, or a table that is no table of
            cells: a row's code is wrong or there twice, a value is no number.
        DataMissing: no table given, and the published one is not on this machine.
    """

    design_space = DesignSpace(
        {f"edge{source}{target}": Categorical(cells.OPERATIONS) for source, target in cells.EDGES}
    )

    def __init__(
        self,
        dataset: str = "cifar10",
        table: str | PathLike[str] | None = None,
        search_column: str | None = None,
        truth_column: str | None = None,
        latency_column: str | None = None,
        max_latency_ms: float | None = None,
        render_mode: str | None = None,
    ) -> None:
        super().__init__(render_mode)
        if dataset not in PREFIXES:
            raise ValueError(f"dataset = {dataset!r}; {suggest(dataset, PREFIXES)}")
        self.dataset = dataset
        self.search_column = search_column or f"{PREFIXES[dataset]}_val_12"
        self.truth_column = truth_column or f"{PREFIXES[dataset]}_test_200"
        self.latency_column = latency_column
        self.max_latency_ms = max_latency_ms
        self._table = open_table(data.find(DATA) if table is None else table, cells.EDGE_NAMES, cells.OPERATIONS)
        self._accuracy = self._table.column(self.search_column)
        self._truth = self._table.column(self.truth_column)
        every = self._table.all_designs()
        self._metrics: dict[str, Array] = {
            "params": cells.parameters(every).astype(np.float64),
            "macs": cells.macs(every).astype(np.float64),
            "train_seconds": self.epochs * cells.seconds_per_epoch(every),
        }
        self._declare_latency()
        self.reference = self._reference(every)

    def _declare_latency(self) -> None:
        self.objectives = (Objective("accuracy", "max", unit="%"),)
        if self.latency_column is None:
            if self.max_latency_ms is not None:
                raise ValueError(f"max_latency_ms = {self.max_latency_ms} needs a latency_column")
            return
        self._metrics["latency_ms"] = self._table.column(self.latency_column)
        if self.max_latency_ms is None:
            self.objectives += (Objective("latency", "min", unit="ms"),)
            return
        if not (np.isfinite(self.max_latency_ms) and self.max_latency_ms > 0):
            raise ValueError(f"max_latency_ms = {self.max_latency_ms}; it must be positive")
        self.constraints = (Constraint("latency", unit="ms", scale=float(self.max_latency_ms)),)

    def _reference(self, every: Array) -> Reference | None:
        """By enumeration of the table, in the search column: what a search of it can reach, not the truth."""
        source = f"enumeration of column {self.search_column}"
        evaluation = self.evaluate(every[np.isfinite(self._accuracy)])
        if len(self.objectives) == 2:
            point = (0.0, float(np.nanmax(self._metrics["latency_ms"])))
            volume = hypervolume(evaluation.losses(self.objectives), point)
            return Reference(source, hypervolume=volume, reference_point=point)
        values = np.where(evaluation.feasible, evaluation.objectives[:, 0], -np.inf)
        if not np.isfinite(values).any():
            return None
        best = every[np.isfinite(self._accuracy)][values.argmax()]
        return Reference(source, float(values.max()), tuple(best.tolist()))

    @property
    def epochs(self) -> int:
        """That a query trains: the number at the end of the search column's name, 12 where there is none."""
        number = re.search(r"_(\d+)$", self.search_column)
        return int(number[1]) if number else 12

    def evaluate(self, designs: Array) -> Evaluation:
        """designs: (n, 6) -> objectives (n, 1 or 2), constraints (n, 0 or 1) and the metrics of the class."""
        numbers = self._table.numbers(designs)
        metrics = {name: values[numbers] for name, values in self._metrics.items()}
        objectives = [self._accuracy[numbers]]
        objectives += [metrics["latency_ms"]] if len(self.objectives) == 2 else []
        constraints = np.empty((len(numbers), 0))
        if self.max_latency_ms is not None:
            constraints = (metrics["latency_ms"] - self.max_latency_ms)[:, None]
        absent = np.isnan(objectives[0])
        if not absent.any():
            return Evaluation(np.stack(objectives, axis=1), constraints, metrics)
        codes = cells.codes_of(designs)
        errors = [f"architecture {c} is not in the table" if a else "" for c, a in zip(codes, absent, strict=True)]
        status = np.where(absent, "invalid", "ok")
        return Evaluation(
            np.stack(objectives, axis=1), constraints, metrics, status=status, errors=np.array(errors, object)
        )

    def truth(self, designs: ArrayLike) -> Array:
        """designs: (n, 6) -> (n,) the truth column, to judge what a search found.

        Raises:
            ValueError: a cell that is not in the table.
        """
        values = self._truth[self._table.numbers(designs)]
        if np.isnan(values).any():
            code = cells.codes_of(designs)[int(np.isnan(values).argmax())]
            raise ValueError(f"architecture {code} is not in the table {self._table.path}")
        return values

    def latencies(self, designs: ArrayLike) -> dict[str, Array]:
        """designs: (n, 6) -> device column (``lat_...``) -> (n,) ms, for all devices of the table."""
        numbers = self._table.numbers(designs)
        return {name: self._table.column(name)[numbers] for name in self._table.names if name.startswith("lat_")}

    def representative(self, designs: ArrayLike) -> Array:
        """designs: (n, 6) -> (n, 6) the first cell of each one's class: equal where cells compute the same."""
        return self._table.all_designs()[cells.representatives()[self._table.numbers(designs)]]
