"""What an environment offers to a differentiable search beyond ``evaluate``.

The search is bilevel: min over alpha of L_val(w*(alpha), alpha), where w*(alpha) minimises L_train(w, alpha). Either
the designs are architectures and w the weights of a network that holds all of them (``Supernet``), or both losses are
written down (``BilevelProblem``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from designopt.parameters import Array

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class SearchData:
    """Two disjoint labelled samples, neither of which judges the architecture found.

    Attributes:
        train_inputs, train_labels: (n, ...) inputs and (n,) class numbers, on which weights are trained.
        validation_inputs, validation_labels: on which architectures are compared.
    """

    train_inputs: Tensor
    train_labels: Tensor
    validation_inputs: Tensor
    validation_labels: Tensor


@runtime_checkable
class Supernet(Protocol):
    """An environment whose designs are architectures, and a network that holds all of them.

    Decisions come in named tensors of shape (groups, choices); a *mixture* has in every group the weights with which
    the outputs of its choices are added, such as a softmax of alpha. A design is a mixture of zeros and ones.
    """

    def mixture_shapes(self) -> dict[str, tuple[int, int]]:
        """Name -> (groups, choices) of every tensor of decisions."""
        ...

    def choice_names(self) -> dict[str, tuple[str, ...]]:
        """Name -> the (choices,) names of what is chosen among, such as the operations of an edge."""
        ...

    def build_supernet(self, seed: int = 0) -> nn.Module:
        """A freshly initialised network; ``network(inputs, mixture)`` -> (n, classes) logits.

        Choices whose weight is exactly zero and needs no gradient may be left out. Normalisation uses the statistics
        of the batch, so that a network has no state but its parameters.
        """
        ...

    def search_data(self, seed: int = 0) -> SearchData:
        """The data of a search; the seed draws the split in two."""
        ...

    def operation_costs(self) -> dict[str, Array]:
        """Name -> (groups, choices) cost of every choice in units of the loss; empty where only the loss counts."""
        ...

    def discretise(self, mixture: Mapping[str, Array]) -> Array:
        """A mixture -> the design (d,) that it stands for, by the rule of the space."""
        ...

    def mixture_of(self, design: Array) -> dict[str, Array]:
        """A design (d,) -> its mixture of zeros and ones."""
        ...


@runtime_checkable
class BilevelProblem(Protocol):
    """An environment whose two losses are given in closed form, each on the whole of its data.

    Attributes:
        curvature: largest second derivative of the training loss in one variable; step sizes are set by it.
    """

    curvature: float

    def start(self) -> tuple[Array, Array]:
        """(p,) alpha and (q,) weights to start from."""
        ...

    def train_loss(self, weights: Tensor, alpha: Tensor) -> Tensor:
        """(q,), (p,) -> loss that the weights minimise, a scalar."""
        ...

    def validation_loss(self, weights: Tensor, alpha: Tensor) -> Tensor:
        """(q,), (p,) -> loss that alpha minimises, a scalar."""
        ...

    def to_design(self, weights: Array, alpha: Array) -> Array:
        """(q,), (p,) -> the design (d,)."""
        ...
