"""Building blocks of sharpDARTS: a separable block that dilation does not make shallower, and its pooling partner.

Reference: [Hundt2019] "sharpDARTS: Faster and More Accurate Differentiable Architecture Search", arXiv 1903.09900, and
its code release.
"""

from __future__ import annotations

from torch import Tensor, nn


class SharpSepConv(nn.Module):
    """Two depthwise-separable convolutions in a row, the first of which strides and dilates.

    ReLU, depthwise k x k, pointwise to C_mid, BN, ReLU, depthwise k x k, pointwise to C_out, BN; no bias. A dilated
    block is as deep as a plain one, which in DARTS it is not.

    Args:
        c_in, c_out: channels.
        kernel: odd size k.
        stride, dilation: of the first depthwise convolution; its padding keeps the size at stride 1.
        multiplier: C_mid = c_out * multiplier; 4 is called "flood".
        c_mid: C_mid itself, over the multiplier; 32 is called "choke".
        affine: whether the normalisations scale and shift; not in a supernet, where that would confound the weights.

    Raises:
        ValueError: an even kernel.
    """

    def __init__(
        self,
        c_in: int,
        c_out: int,
        kernel: int = 3,
        stride: int = 1,
        *,
        dilation: int = 1,
        multiplier: int = 1,
        c_mid: int | None = None,
        affine: bool = False,
    ) -> None:
        super().__init__()
        if kernel % 2 == 0:
            raise ValueError(f"SharpSepConv kernel = {kernel}; it must be odd")
        middle = c_out * multiplier if c_mid is None else c_mid
        padding = dilation * (kernel - 1) // 2
        self.block = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(c_in, c_in, kernel, stride, padding, dilation, groups=c_in, bias=False),
            nn.Conv2d(c_in, middle, 1, bias=False),
            normalisation(middle, affine),
            nn.ReLU(),
            nn.Conv2d(middle, middle, kernel, padding=(kernel - 1) // 2, groups=middle, bias=False),
            nn.Conv2d(middle, c_out, 1, bias=False),
            normalisation(c_out, affine),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(n, c_in, h, w) -> (n, c_out, h / stride, w / stride), rounded up."""
        y: Tensor = self.block(x)
        return y


class ResizablePool(nn.Module):
    """3 x 3 max pooling, then a pointwise convolution and BN where the number of channels changes."""

    def __init__(self, c_in: int, c_out: int, stride: int = 1, *, affine: bool = False) -> None:
        super().__init__()
        self.pool = nn.MaxPool2d(3, stride, padding=1)
        self.resize = (
            nn.Identity()
            if c_in == c_out
            else nn.Sequential(nn.Conv2d(c_in, c_out, 1, bias=False), normalisation(c_out, affine))
        )

    def forward(self, x: Tensor) -> Tensor:
        """(n, c_in, h, w) -> (n, c_out, h / stride, w / stride), rounded up."""
        y: Tensor = self.resize(self.pool(x))
        return y


def normalisation(channels: int, affine: bool) -> nn.BatchNorm2d:
    """BN by the statistics of the batch, in training and after: weights that are averaged have no running ones."""
    return nn.BatchNorm2d(channels, affine=affine, track_running_stats=False)
