"""Trained ReLU networks as rows of a mixed-integer programme.

The per-item network of a design costs nothing: a binary entry makes it a constant plus a linear term, exactly. Neurons
that cannot change sign within their bounds cost no binary either. Bounds: intervals, sharpened by linear programmes.
Derivation: docs/robust.md.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse

from designopt.milp import INFINITY, MILP, solve
from designopt.parameters import Array
from designopt.surrogates.value_network import Tower, ValueNetwork


@dataclass
class Affine:
    """k affine functions of a programme's variables: constant (k,) + coefficients (k, c) of the variables ``columns``.

    Attributes:
        low, high: (k,) proved bounds of the functions.
    """

    constant: Array
    columns: NDArray[np.int64]
    coefficients: Array
    low: Array
    high: Array


@dataclass
class Programme:
    """A mixed-integer programme that grows by variables and rows; variables are minimised by ``cost``."""

    cost: list[float] = field(default_factory=list)
    lower: list[float] = field(default_factory=list)
    upper: list[float] = field(default_factory=list)
    integer: list[bool] = field(default_factory=list)
    _rows: list[tuple[NDArray[np.int64], Array, float, float]] = field(default_factory=list)

    @classmethod
    def of(cls, problem: MILP) -> Programme:
        """A programme that starts as a given one."""
        made = cls(problem.cost.tolist(), problem.lower.tolist(), problem.upper.tolist(), problem.integer.tolist())
        matrix = sparse.csr_matrix(problem.A)
        for i in range(matrix.shape[0]):
            part = slice(matrix.indptr[i], matrix.indptr[i + 1])
            made.row(
                matrix.indices[part].astype(np.int64), matrix.data[part], problem.row_lower[i], problem.row_upper[i]
            )
        return made

    def add(self, n: int, lower: float, upper: float, *, integer: bool = False, cost: float = 0.0) -> NDArray[np.int64]:
        """N new variables. -> their columns (n,)."""
        first = len(self.cost)
        self.cost += [cost] * n
        self.lower += [lower] * n
        self.upper += [upper] * n
        self.integer += [integer] * n
        return np.arange(first, first + n)

    def row(self, columns: NDArray[np.int64], values: Array, low: float, high: float) -> None:
        """One row: low <= values'variables <= high."""
        self._rows.append((np.asarray(columns), np.asarray(values, dtype=float), low, high))

    def build(self) -> MILP:
        """The programme as matrices."""
        counts = [len(columns) for columns, *_ in self._rows]
        indptr = np.concatenate([[0], np.cumsum(counts)])
        indices = np.concatenate([columns for columns, *_ in self._rows])
        values = np.concatenate([values for _, values, *_ in self._rows])
        return MILP(
            cost=np.array(self.cost),
            A=sparse.csr_matrix((values, indices, indptr), shape=(len(self._rows), len(self.cost))),
            row_lower=np.array([low for *_, low, _ in self._rows]),
            row_upper=np.array([high for *_, high in self._rows]),
            lower=np.array(self.lower),
            upper=np.array(self.upper),
            integer=np.array(self.integer),
        )

    def relu(self, inputs: Affine) -> Affine:
        """max(0, inputs): one variable a neuron that is not always off, one binary a neuron that may change sign."""
        k = len(inputs.constant)
        outputs = np.full(k, -1)
        for i in range(k):
            low, high = float(inputs.low[i]), float(inputs.high[i])
            if high <= 0:
                continue
            (h,) = self.add(1, 0.0, high)
            outputs[i] = h
            columns = np.append(inputs.columns, h)
            constant, slope = float(inputs.constant[i]), inputs.coefficients[i]
            if low >= 0:
                self.row(columns, np.append(-slope, 1.0), constant, constant)
                continue
            (on,) = self.add(1, 0.0, 1.0, integer=True)
            self.row(columns, np.append(-slope, 1.0), constant, INFINITY)
            # h <= input - low (1 - on) and h <= high on
            self.row(np.append(columns, on), np.concatenate([-slope, [1.0, -low]]), -INFINITY, constant - low)
            self.row(np.array([h, on]), np.array([1.0, -high]), -INFINITY, 0.0)
        used = outputs >= 0
        coefficients = np.zeros((k, int(used.sum())))
        coefficients[used, np.arange(int(used.sum()))] = 1.0
        return Affine(
            np.zeros(k), outputs[used], coefficients, np.maximum(inputs.low, 0.0), np.maximum(inputs.high, 0.0)
        )

    def sharpened(self, inputs: Affine) -> Affine:
        """The same functions with bounds from linear programmes over what the programme says so far."""
        relaxed = self.build()
        low, high = inputs.low.copy(), inputs.high.copy()
        for i in range(len(low)):
            cost = np.zeros(len(self.cost))
            cost[inputs.columns] = inputs.coefficients[i]
            for sign in (1.0, -1.0):
                problem = MILP(
                    sign * cost,
                    relaxed.A,
                    relaxed.row_lower,
                    relaxed.row_upper,
                    relaxed.lower,
                    relaxed.upper,
                    np.zeros(len(cost), dtype=bool),
                )
                answer = solve(problem)
                if not answer.optimal or answer.values is None:
                    continue
                bound = float(inputs.constant[i]) + sign * answer.cost
                if sign > 0:
                    low[i] = max(low[i], bound - 1e-7)
                else:
                    high[i] = min(high[i], bound + 1e-7)
        return Affine(inputs.constant, inputs.columns, inputs.coefficients, low, high)


def linear(weight: Array, bias: Array | float, inputs: Affine) -> Affine:
    """A linear layer of affine functions, with interval bounds."""
    positive, negative = np.maximum(weight, 0.0), np.minimum(weight, 0.0)
    return Affine(
        weight @ inputs.constant + bias,
        inputs.columns,
        weight @ inputs.coefficients,
        positive @ inputs.low + negative @ inputs.high + bias,
        positive @ inputs.high + negative @ inputs.low + bias,
    )


def design_embedding(programme: Programme, tower: Tower, features: Array, columns: NDArray[np.int64]) -> Affine:
    """Embedding of the binary design in ``columns`` (n,), with the per-item network collapsed to its two values."""
    n = len(columns)
    with torch.no_grad():
        described = torch.as_tensor(features, dtype=torch.float32)
        absent, present = (
            tower.item(torch.cat([torch.full((n, 1), value), described], dim=1)).double().numpy()
            for value in (0.0, 1.0)
        )
    slopes = (present - absent).T / n
    constant = absent.sum(axis=0) / n
    pooled = Affine(
        constant,
        columns,
        slopes,
        constant + np.minimum(slopes, 0.0).sum(axis=1),
        constant + np.maximum(slopes, 0.0).sum(axis=1),
    )
    first, _, last = tower.post
    hidden = programme.relu(linear(_weight(first), 0.0, pooled))
    return linear(_weight(last), 0.0, hidden)


def scenario_embedding(tower: Tower, features: Array, scenario: Array) -> Array:
    """Embedding (8,) of a fixed scenario (n,)."""
    with torch.no_grad():
        inputs = torch.as_tensor(scenario[None], dtype=torch.float32)
        count = torch.tensor(float(len(scenario)))
        return np.asarray(tower(inputs, torch.as_tensor(features, dtype=torch.float32), count)[0].double().numpy())


def head_inputs(programme: Programme, network: ValueNetwork, e_x: Affine) -> Affine:
    """What the design's embedding adds to the inputs of the head's neurons in any scenario, with proved bounds."""
    weight = _weight(network.head[0])
    return programme.sharpened(linear(weight[:, : len(e_x.constant)], 0.0, e_x))


def prediction(programme: Programme, network: ValueNetwork, inputs: Affine, e_xi: Array) -> Affine:
    """The network's output for the programme's design (see ``head_inputs``) and a fixed scenario's embedding."""
    first, _, last = network.head
    shift = _bias(first) + _weight(first)[:, -len(e_xi) :] @ e_xi
    shifted = Affine(
        inputs.constant + shift, inputs.columns, inputs.coefficients, inputs.low + shift, inputs.high + shift
    )
    return linear(network.scale * _weight(last), network.scale * _bias(last)[0], programme.relu(shifted))


def _weight(layer: torch.nn.Module) -> Array:
    weight = layer.weight
    assert isinstance(weight, torch.Tensor)
    return np.asarray(weight.detach().double().numpy())


def _bias(layer: torch.nn.Module) -> Array:
    bias = layer.bias
    assert isinstance(bias, torch.Tensor)
    return np.asarray(bias.detach().double().numpy())
