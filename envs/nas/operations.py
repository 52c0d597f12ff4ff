"""Operations of small convolutional cells, and the cell and network that mix them.

Maps are (n, C, H, W); a signal is a map of height 1, on which kernels are one-dimensional. Batch normalisation always
uses the statistics of the batch and has no parameters, so that a network has no state but its weights, and the scale of
an operation is not confounded with its weight in a mixture.

References: [Dong2020] NAS-Bench-201, ICLR (operations, cell and skeleton); [Liu2019] DARTS, ICLR (mixed operation).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import torch
from torch import Tensor, nn

Size = tuple[int, int]
EXPANSION = 8
"""Hidden over outer channels of the wide pointwise operation."""


def kernel(k: int, height: int) -> Size:
    """A k x k kernel, or 1 x k on maps of height 1."""
    return (k if height > 1 else 1, k)


def conv(c_in: int, c_out: int, size: Size, stride: Size = (1, 1)) -> nn.Conv2d:
    """A convolution without bias that keeps the size of a map, up to its stride."""
    return nn.Conv2d(c_in, c_out, size, stride, (size[0] // 2, size[1] // 2), bias=False)


def norm(channels: int) -> nn.BatchNorm2d:
    """Batch normalisation by the batch at hand."""
    return nn.BatchNorm2d(channels, affine=False, track_running_stats=False)


class Zero(nn.Module):
    """No connection."""

    def forward(self, x: Tensor) -> Tensor:
        """(n, C, H, W) -> zeros of that shape."""
        return torch.zeros_like(x)


def _conv(k: int, channels: int, height: int, activation: Callable[[], nn.Module]) -> nn.Module:
    return nn.Sequential(activation(), conv(channels, channels, kernel(k, height)), norm(channels))


def _wide(channels: int, height: int, activation: Callable[[], nn.Module]) -> nn.Module:
    hidden = EXPANSION * channels
    first = nn.Sequential(activation(), conv(channels, hidden, (1, 1)), norm(hidden))
    return nn.Sequential(first, nn.Sequential(activation(), conv(hidden, channels, (1, 1)), norm(channels)))


def _pool(channels: int, height: int, activation: Callable[[], nn.Module]) -> nn.Module:
    size = kernel(3, height)
    return nn.AvgPool2d(size, 1, (size[0] // 2, size[1] // 2), count_include_pad=False)


OPERATIONS: dict[str, Callable[[int, int, Callable[[], nn.Module]], nn.Module]] = {
    "none": lambda channels, height, activation: Zero(),
    "skip_connect": lambda channels, height, activation: nn.Identity(),
    "nor_conv_1x1": partial(_conv, 1),
    "nor_conv_3x3": partial(_conv, 3),
    "avg_pool_3x3": _pool,
    "wide_conv_1x1": _wide,
}
"""Name -> a module of (channels, height of the maps, activation)."""
ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {"relu": nn.ReLU, "silu": nn.SiLU}


class Cell(nn.Module):
    """Nodes 0 ... k, every earlier one connected to every later one; a node is the sum over its incoming edges.

    Edges are ordered by their end, then by their start: (0, 1), (0, 2), (1, 2), ...
    """

    def __init__(self, nodes: int, operations: Sequence[str], channels: int, height: int, activation: str) -> None:
        super().__init__()
        self.nodes = nodes
        build = [OPERATIONS[name] for name in operations]
        self.width = len(build)
        self.operations = nn.ModuleList(  # those of edge 0 first
            make(channels, height, ACTIVATIONS[activation]) for _ in range(nodes * (nodes - 1) // 2) for make in build
        )

    def forward(self, x: Tensor, mixture: Tensor) -> Tensor:
        """(n, C, H, W) input and (edges, operations) weights -> (n, C, H, W) output of the last node."""
        maps, edge = [x], 0
        hard = not mixture.requires_grad  # weights of exactly zero need no work then
        for node in range(1, self.nodes):
            total = torch.zeros_like(x)
            for start in range(node):
                operations = self.operations[edge * self.width : (edge + 1) * self.width]
                for weight, operation in zip(mixture[edge].unbind(), operations, strict=True):
                    if not (hard and weight == 0):
                        total = total + weight * operation(maps[start])
                edge += 1
            maps.append(total)
        return maps[-1]


class MiniNetwork(nn.Module):
    """Stem, cell, convolution of stride 2 that doubles the channels, the same cell, pooling, classifier.

    Args:
        operations: chosen among on every edge.
        inputs: (channels, H, W) of an input.
        channels: of the first cell.
        classes: of the output.
        activation: "relu" or "silu".
        nodes: of a cell.
    """

    def __init__(
        self, operations: Sequence[str], inputs: tuple[int, int, int], channels: int, classes: int, activation: str,
        nodes: int = 3,
    ) -> None:  # fmt: skip
        super().__init__()
        height = inputs[1]
        size, stride = kernel(3, height), (2 if height > 1 else 1, 2)
        self.stem = nn.Sequential(conv(inputs[0], channels, size), norm(channels))
        self.first = Cell(nodes, operations, channels, height, activation)
        act = ACTIVATIONS[activation]
        self.reduce = nn.Sequential(act(), conv(channels, 2 * channels, size, stride), norm(2 * channels))
        self.second = Cell(nodes, operations, 2 * channels, height, activation)
        self.head = nn.Sequential(norm(2 * channels), act(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.classifier = nn.Linear(2 * channels, classes)

    def forward(self, x: Tensor, mixture: Mapping[str, Tensor]) -> Tensor:
        """(n, channels, H, W) and the mixture of "cell" -> (n, classes) logits."""
        weights = mixture["cell"]
        maps = self.second(self.reduce(self.first(self.stem(x), weights)), weights)
        logits: Tensor = self.classifier(self.head(maps))
        return logits


def parameters_used(network: MiniNetwork, mixture: Tensor) -> int:
    """Parameters of the network that is left when operations of weight zero are taken away."""
    used: list[nn.Module] = [network.stem, network.reduce, network.head, network.classifier]
    for cell in (network.first, network.second):
        used += [cell.operations[i] for i in mixture.flatten().nonzero()[:, 0].tolist()]
    return sum(p.numel() for module in used for p in module.parameters())
