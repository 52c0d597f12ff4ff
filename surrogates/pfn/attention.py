"""Attention that knows distances: what is far in the space of designs may be ignored."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class DistanceAttention(nn.Module):
    """A pre-normalised transformer layer whose attention decays with the distance between two designs.

    The logit of a key at distance r is q.k / sqrt(width per head) - exp(p) r - exp(c) r^2, with p and c per head. A key
    without a design, at distance 0 and of value zero, takes the attention that nothing nearby deserves: a softmax over
    data alone cannot say that there is none. A new layer is the identity.
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
        self.null = nn.Parameter(torch.zeros(heads, 1, width // heads))
        self.linear1, self.linear2 = nn.Linear(width, hidden), nn.Linear(hidden, width)
        for last in (self.out, self.linear2):
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

    def keys_values(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Of context tokens (B, n, width) and nothing, each (B, heads, n + 1, width / heads)."""
        both = self.key_value(self.norm1(tokens)).unflatten(-1, (2, self.heads, -1))
        key, value = both.permute(2, 0, 3, 1, 4)
        return torch.cat([key, self.null.expand(len(key), -1, -1, -1)], dim=-2), functional.pad(value, (0, 0, 0, 1))

    def forward(self, tokens: Tensor, key: Tensor, value: Tensor, r: Tensor) -> Tensor:
        """Tokens (B, q, width) attend to the context; r: (B, q, n + 1) distances, the last 0."""
        query = self.query(self.norm1(tokens)).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        slope, curvature = self.log_slope.exp()[:, None, None], self.log_curvature.exp()[:, None, None]
        decay = r[:, None] * torch.addcmul(-slope, curvature, r[:, None], value=-1)
        seen = functional.scaled_dot_product_attention(query, key, value, attn_mask=decay)
        tokens = tokens + self.out(seen.transpose(1, 2).flatten(-2))
        updated: Tensor = tokens + self.linear2(functional.gelu(self.linear1(self.norm2(tokens))))
        return updated
