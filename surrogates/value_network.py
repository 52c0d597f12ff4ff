"""A set network that predicts the second stage of two-stage robust problems from design, scenario and item features.

Reference: [Dumouchelle2024] Neur2RO: Neural two-stage robust optimization, ICLR. Towers and head have the published
sizes. Different: items are averaged, not summed, and features and values are relative to the instance, so that one
network extrapolates in size without a scaler per size.
"""

from __future__ import annotations

from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from designopt.surrogates.training import load_state, read_weights

WEIGHTS = Path(__file__).parent / "weights"


class Tower(nn.Module):
    """Per-item network, average over the items, network of the average; no biases, so an absent item adds nothing."""

    def __init__(self, inputs: int, hidden: int = 32, width: int = 16, post_hidden: int = 64, outputs: int = 8) -> None:
        super().__init__()
        self.item = nn.Sequential(
            nn.Linear(inputs, hidden, bias=False), nn.ReLU(), nn.Linear(hidden, width, bias=False)
        )
        self.post = nn.Sequential(
            nn.Linear(width, post_hidden, bias=False), nn.ReLU(), nn.Linear(post_hidden, outputs, bias=False)
        )

    def forward(self, decisions: Tensor, features: Tensor, count: Tensor) -> Tensor:
        """Decisions (..., s, n), features (..., n, F), count (...) items -> embeddings (..., s, outputs)."""
        shape = (*decisions.shape, features.shape[-1])
        items = torch.cat([decisions[..., None], features[..., None, :, :].expand(shape)], dim=-1)
        return cast(Tensor, self.post(self.item(items).sum(dim=-2) / count[..., None, None]))


class ValueNetwork(nn.Module):
    """Second-stage cost, relative to the instance's scale, of designs x under scenarios xi.

    Args:
        features: numbers that describe an item.
        scale: what the output is multiplied with, so that it is trained on values of order one.
    """

    def __init__(self, features: int = 6, scale: float = 1.0) -> None:
        super().__init__()
        self.features, self.scale = features, scale
        self.design, self.scenario = Tower(features + 1), Tower(features + 1)
        self.head = nn.Sequential(nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 1))

    def forward(self, X: Tensor, Xi: Tensor, features: Tensor, count: Tensor) -> Tensor:
        """X (..., a, n), Xi (..., s, n), features (..., n, F), count (...) -> every pair, (..., a, s)."""
        e_x, e_xi = self.design(X, features, count), self.scenario(Xi, features, count)
        return self.pairs(e_x, e_xi)

    def pairs(self, e_x: Tensor, e_xi: Tensor) -> Tensor:
        """Embeddings (..., a, 8) of designs and (..., s, 8) of scenarios -> predictions (..., a, s)."""
        a, s = e_x.shape[-2], e_xi.shape[-2]
        shape = (*e_x.shape[:-2], a, s, e_x.shape[-1])
        both = torch.cat([e_x[..., :, None, :].expand(shape), e_xi[..., None, :, :].expand(shape)], dim=-1)
        return cast(Tensor, self.head(both)[..., 0] * self.scale)

    @classmethod
    def load(cls, path: Path | str | None = None, *, kind: str = "value") -> ValueNetwork:
        """Trained weights: of a file, or those that designopt ships ("value" or "residual").

        Raises:
            ValueError: no such file, a foreign or damaged one, or weights of other dimensions.
        """
        file = WEIGHTS / f"neur2ro_{kind}.safetensors" if path is None else Path(path)
        tensors, facts = read_weights(file)
        if facts.get("network") != "ValueNetwork":
            raise ValueError(f"{file} holds {facts.get('network', 'no network')}; expected a ValueNetwork")
        network = cls(int(facts["features"]), float(facts["scale"]))
        load_state(network, tensors, file)
        return network.eval().requires_grad_(False)
