"""The network of NAS-Bench-201 around a cell, as a torch module, for scores that need a network and not its training.

Reference: [Dong2020] NAS-Bench-201, ICLR, section 2.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from designopt.envs.nas.cells import EDGES, NONE, SKIP, designs_of


class ReLUConvNorm(nn.Sequential):
    """ReLU, convolution without bias, batch normalisation."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1) -> None:
        convolution = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)
        super().__init__(nn.ReLU(), convolution, nn.BatchNorm2d(outputs))


class Cell(nn.Module):
    """Four nodes; each adds what its edges bring of earlier ones."""

    def __init__(self, code: str, channels: int) -> None:
        super().__init__()
        self.channels = channels
        operations = designs_of(code)[0].astype(int).tolist()
        self.edges = nn.ModuleDict(
            {f"{i}{j}": self._edge(operation) for (i, j), operation in zip(EDGES, operations, strict=True) if operation}
        )

    def _edge(self, operation: int) -> nn.Module:
        assert operation != NONE
        if operation == SKIP:
            return nn.Identity()
        if operation in (2, 3):
            return ReLUConvNorm(self.channels, self.channels, {2: 1, 3: 3}[operation])
        return nn.AvgPool2d(3, 1, 1, count_include_pad=False)

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, h, w) -> (n, c, h, w)."""
        nodes = [x]
        for target in (1, 2, 3):
            bring = [self.edges[key](nodes[i]) for i in range(target) if (key := f"{i}{target}") in self.edges]
            nodes.append(sum(bring, torch.zeros_like(x)))
        return nodes[3]


class Reduction(nn.Module):
    """Residual block of stride 2 that doubles the channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            ReLUConvNorm(channels, 2 * channels, 3, 2), ReLUConvNorm(2 * channels, 2 * channels, 3)
        )
        self.short = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(channels, 2 * channels, 1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, h, w) -> (n, 2 c, h / 2, w / 2)."""
        return torch.add(self.body(x), self.short(x))


def network(code: str, classes: int = 10, channels: int = 16, cells: int = 5) -> nn.Sequential:
    """A cell, in three stages of ``cells``, between stem and classifier; inputs (n, 3, 32, 32) -> (n, classes).

    Raises:
        ValueError: a code that is no cell, naming the edge.
    """
    stem = nn.Sequential(nn.Conv2d(3, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels))
    layers: list[nn.Module] = [stem]
    for stage in range(3):
        layers += [Reduction(channels << stage - 1)] if stage else []
        layers += [Cell(code, channels << stage) for _ in range(cells)]
    width = channels << 2
    head = [nn.BatchNorm2d(width), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, classes)]
    return nn.Sequential(*layers, *head)
