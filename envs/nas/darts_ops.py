"""The eight operations of the DARTS cell, the sharpDARTS variants of them, and the cell that mixes them.

References: [Liu2019] "DARTS: Differentiable Architecture Search", ICLR; [Hundt2019] sharpDARTS, arXiv 1903.09900.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from designopt.envs.nas.darts_cell import EDGES, INPUTS, NODES
from designopt.envs.nas.sharp import SharpSepConv, normalisation

DARTS_OPS = (
    "none",
    "max_pool_3x3",
    "avg_pool_3x3",
    "skip_connect",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "dil_conv_3x3",
    "dil_conv_5x5",
)
SHARP_OPS = (
    "none",
    "max_pool_3x3",
    "skip_connect",
    "sep_conv_3x3",
    "dil_conv_3x3",
    "flood_conv_3x3",
    "dil_flood_conv_3x3",
    "choke_conv_3x3",
    "dil_choke_conv_3x3",
)
"""The nine of sharpDARTS; "flood" widens fourfold inside, "choke" has 32 channels inside."""


class Zero(nn.Module):
    """Zeros of the right size."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, h, w) -> the same, smaller by the stride."""
        return x[:, :, :: self.stride, :: self.stride] * 0.0


class FactorizedReduce(nn.Module):
    """Half the size by two pointwise convolutions of c_out / 2 channels, the second on the input shifted by a pixel."""

    def __init__(self, c_in: int, c_out: int, affine: bool = False) -> None:
        super().__init__()
        self.even = nn.Conv2d(c_in, c_out // 2, 1, 2, bias=False)
        self.odd = nn.Conv2d(c_in, c_out - c_out // 2, 1, 2, bias=False)
        self.normalise = normalisation(c_out, affine)

    def forward(self, x: Tensor) -> Tensor:
        """(n, c_in, h, w) -> (n, c_out, h / 2, w / 2), rounded up."""
        x = torch.relu(x)
        shifted = nn.functional.pad(x, (0, 1, 0, 1))[:, :, 1:, 1:]
        y: Tensor = self.normalise(torch.cat([self.even(x), self.odd(shifted)], dim=1))
        return y


class ReLUConvBN(nn.Sequential):
    """ReLU, pointwise convolution, BN: what brings a cell's inputs to its width."""

    def __init__(self, c_in: int, c_out: int, affine: bool = False) -> None:
        super().__init__(nn.ReLU(), nn.Conv2d(c_in, c_out, 1, bias=False), normalisation(c_out, affine))


def separable(channels: int, kernel: int, stride: int, dilation: int, affine: bool) -> nn.Sequential:
    """ReLU, depthwise k x k, pointwise, BN."""
    padding = dilation * (kernel - 1) // 2
    return nn.Sequential(
        nn.ReLU(),
        nn.Conv2d(channels, channels, kernel, stride, padding, dilation, groups=channels, bias=False),
        nn.Conv2d(channels, channels, 1, bias=False),
        normalisation(channels, affine),
    )


def operation(name: str, channels: int, stride: int = 1, *, sharp: bool = False, supernet: bool = True) -> nn.Module:
    """One operation of an edge.

    Args:
        name: of ``DARTS_OPS`` or ``SHARP_OPS``.
        channels: in and out.
        stride: 1 or 2.
        sharp: separable and dilated convolutions as ``SharpSepConv``.
        supernet: normalisations without scale and shift, and one after a pool.

    Raises:
        ValueError: a name that is not known.
    """
    affine = not supernet
    if name not in DARTS_OPS + SHARP_OPS:
        raise ValueError(f"operation {name!r}; allowed: {', '.join(dict.fromkeys(DARTS_OPS + SHARP_OPS))}")
    if name == "none":
        return Zero(stride)
    if name == "skip_connect":
        return nn.Identity() if stride == 1 else FactorizedReduce(channels, channels, affine)
    if "pool" in name:
        pool: nn.Module = (
            nn.MaxPool2d(3, stride, padding=1)
            if name.startswith("max")
            else nn.AvgPool2d(3, stride, padding=1, count_include_pad=False)
        )
        return nn.Sequential(pool, normalisation(channels, False)) if supernet else pool
    kernel = int(name[-1])
    dilation = 2 if name.startswith("dil") else 1
    if sharp or "flood" in name or "choke" in name:
        return SharpSepConv(
            channels,
            channels,
            kernel,
            stride,
            dilation=dilation,
            multiplier=4 if "flood" in name else 1,
            c_mid=32 if "choke" in name else None,
            affine=affine,
        )
    first = separable(channels, kernel, stride, dilation, affine)
    if dilation == 2:
        return first
    return nn.Sequential(*first, *separable(channels, kernel, 1, 1, affine))


class DARTSCell(nn.Module):
    """A cell in which every edge is a mixture of operations; its output joins the channels of the four nodes inside.

    Args:
        c_before, c_last: channels of the outputs of the cell before the last and of the last.
        channels: of every node inside.
        reduction: whether the edges from the two inputs have stride 2.
        shrunk: whether the last cell was a reduction, so that the input before it is twice as large.
        operations: names, in the order of the columns of alpha.
        sharp: see ``operation``.
    """

    def __init__(
        self,
        c_before: int,
        c_last: int,
        channels: int,
        *,
        reduction: bool = False,
        shrunk: bool = False,
        operations: Sequence[str] = DARTS_OPS,
        sharp: bool = False,
    ) -> None:
        super().__init__()
        self.before = FactorizedReduce(c_before, channels) if shrunk else ReLUConvBN(c_before, channels)
        self.last = ReLUConvBN(c_last, channels)
        self.edges = nn.ModuleList(
            nn.ModuleList(
                operation(name, channels, 2 if reduction and source < INPUTS else 1, sharp=sharp) for name in operations
            )
            for source, _ in EDGES
        )

    def forward(self, before: Tensor, last: Tensor, mixture: Tensor) -> Tensor:
        """(n, c_before, ...), (n, c_last, ...), (14, operations) weights -> (n, 4 channels, ...)."""
        states = [self.before(before), self.last(last)]
        for target in range(INPUTS, INPUTS + NODES):
            incoming = [
                weight * op(states[source])
                for (source, end), ops, weights in zip(EDGES, self.edges, mixture, strict=True)
                if end == target
                for op, weight in zip(ops, weights, strict=True)  # type: ignore[call-overload]
            ]
            states.append(torch.stack(incoming).sum(0))
        return torch.cat(states[INPUTS:], dim=1)
