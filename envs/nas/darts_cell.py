"""The discrete DARTS cell: which edges and operations a matrix of weights stands for [Liu2019]."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from designopt.parameters import Array

INPUTS, NODES = 2, 4
"""Nodes of a cell that come from outside (the two cells before), and nodes inside."""
EDGES = tuple((source, INPUTS + node) for node in range(NODES) for source in range(INPUTS + node))
"""(source, target) of the 14 edges, in the order of the rows of alpha."""
KEPT = 2
"""Edges into a node that a discrete cell keeps."""


class Edge(NamedTuple):
    """One kept edge: from which node to which (the inputs are 0 and 1), with which operation."""

    source: int
    target: int
    operation: str


def discrete_cell(mixture: Array, operations: Sequence[str], *, excluded: str | None = "none") -> list[Edge]:
    """The cell that a mixture stands for: each node keeps its two strongest edges, each edge its strongest operation.

    An edge is as strong as its strongest operation, where ``excluded`` counts neither there nor as an operation.

    Args:
        mixture: (14, operations) weights.
        operations: names of the columns.
        excluded: the operation left out; None, as sharpDARTS has it, lets every one compete.

    Returns:
        Eight edges, by target and then by source.

    Raises:
        ValueError: a mixture of another shape.
    """
    if mixture.shape != (len(EDGES), len(operations)):
        wanted = (len(EDGES), len(operations))
        raise ValueError(f"mixture of shape {mixture.shape}; a cell of these operations needs {wanted}")
    allowed = np.array([name != excluded for name in operations])
    strength = np.where(allowed, mixture, -np.inf)
    best = strength.argmax(axis=1)
    kept = []
    for target in range(INPUTS, INPUTS + NODES):
        rows = [row for row, (_, end) in enumerate(EDGES) if end == target]
        strongest = sorted(rows, key=lambda row: -strength[row, best[row]])[:KEPT]
        kept += [Edge(EDGES[row][0], target, operations[best[row]]) for row in sorted(strongest)]
    return kept
