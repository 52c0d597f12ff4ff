"""Attention that knows distances: what is far in the space of designs may be ignored."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class DistanceAttention(nn.Module):
    """A pre-normalised transformer layer whose attention decays with the distance between two designs.

    The logit of a key at distance r is q.k / sqrt(width per head) - exp(p) r - exp(c) r^2, with p and c per head. A key
    without a design, of value zero and a learnt logit, takes the attention that nothing nearby deserves: a softmax
    over data alone cannot say that there is none. Added to its tokens, a new layer is the identity.
    """

    def __init__(self, width: int, hidden: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)
        self.log_slope = nn.Parameter(torch.linspace(-1.0, 2.5, heads))
        self.log_curvature = nn.Parameter(torch.full((heads,), -2.0))
        self.null = nn.Parameter(torch.zeros(heads))
        self.linear1, self.linear2 = nn.Linear(width, hidden), nn.Linear(hidden, width)
        for last in (self.out, self.linear2):
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

    def keys_values(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Of context tokens (B, n, width), each (B, heads, n, width / heads)."""
        both = self.key_value(self.norm1(tokens)).unflatten(-1, (2, self.heads, -1))
        key, value = both.permute(2, 0, 3, 1, 4)
        return key, value

    def forward(self, tokens: Tensor, key: Tensor, value: Tensor, r: Tensor) -> Tensor:
        """Tokens (B, q, width) attend to the context; r: (B, q, n) distances."""
        query = self.query(self.norm1(tokens)).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        slope, curvature = self.log_slope.exp()[:, None, None], self.log_curvature.exp()[:, None, None]
        decay = r[:, None] * (slope + curvature * r[:, None])
        logits = query @ key.mT * key.shape[-1] ** -0.5 - decay
        null = self.null[:, None, None].expand(*logits.shape[:-1], 1)
        weights = torch.cat([logits, null], dim=-1).softmax(-1)[..., :-1]
        tokens = tokens + self.out((weights @ value).transpose(1, 2).flatten(-2))
        updated: Tensor = tokens + self.linear2(functional.gelu(self.linear1(self.norm2(tokens))))
        return updated
