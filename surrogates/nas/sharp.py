"""Max-W, the coefficients by which sharpDARTS mixes operations.

Reference: [Hundt2019] "sharpDARTS: Faster and More Accurate Differentiable Architecture Search", arXiv 1903.09900, and
its code release.
"""

from __future__ import annotations

from torch import Tensor


def max_w(weights: Tensor, *, detach: bool = False) -> Tensor:
    """Max-W coefficients of operation weights that compete: 1 - max w + w.

    The leading operation counts fully, whatever its share, so that it does not pay to spread weight over cheap ones.
    Coefficients of n operations sum to n (1 - max w) + 1; equal weights all become 1.

    Args:
        weights: (..., n) softmax weights.
        detach: no gradient through the maximum, which is what the release's comment intends. Attached, which is what
            the release does, the leader's own coefficient has no gradient and every other one pushes the leader down.
    """
    top = weights.amax(dim=-1, keepdim=True)
    return 1 - (top.detach() if detach else top) + weights
