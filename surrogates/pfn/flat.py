"""The published architecture: a plain transformer over padded design vectors.

Its parameters have the names and shapes of the authors' code, so that their checkpoints load. A token is a linear map
of the whole padded design, so nothing tells the network that dimensions are alike or that close designs have close
values; it has to learn both, from millions of functions. The anchored network (``anchored``) is given them.

Reference: [Müller2023] PFNs4BO: in-context learning for Bayesian optimization, ICML.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from designopt.surrogates.pfn.bar_distribution import BarDistribution

HEADS = 4
"""Of attention, in every published checkpoint; no parameter's shape shows it."""


@dataclass(frozen=True)
class FlatContext:
    """Keys and values of the context in every layer, (B, heads, n, width / heads)."""

    keys: list[Tensor]
    values: list[Tensor]


class Layer(nn.Module):
    """Attention and feed-forward, each followed by addition and normalisation."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.self_attn = nn.MultiheadAttention(width, HEADS, batch_first=True)
        self.linear1 = nn.Linear(width, hidden)
        self.linear2 = nn.Linear(hidden, width)
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)
        for last in (self.self_attn.out_proj, self.linear2):
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

    def keys_values(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Of tokens (B, n, width), each (B, heads, n, width / heads)."""
        width = tokens.shape[-1]
        both = functional.linear(tokens, self.self_attn.in_proj_weight[width:], self.self_attn.in_proj_bias[width:])
        key, value = both.unflatten(-1, (2, HEADS, -1)).permute(2, 0, 3, 1, 4)
        return key, value

    def forward(self, tokens: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Tokens (B, q, width) that attend to the context's keys and values."""
        width = tokens.shape[-1]
        query = functional.linear(tokens, self.self_attn.in_proj_weight[:width], self.self_attn.in_proj_bias[:width])
        query = query.unflatten(-1, (HEADS, -1)).transpose(1, 2)
        seen = functional.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(-2)
        tokens = self.norm1(tokens + self.self_attn.out_proj(seen))
        normed: Tensor = self.norm2(tokens + self.linear2(functional.gelu(self.linear1(tokens))))
        return normed


class FlatPFN(nn.Module):
    """Transformer without positions: context tokens attend to each other, query tokens to the context.

    Args:
        features: most dimensions of a design.
        width: of a token.
        hidden: width of the feed-forward layers.
        layers: how many.
        borders: (B + 1,) of the bars, for outputs standardised by the context.
    """

    def __init__(self, features: int, width: int, hidden: int, layers: int, borders: Tensor) -> None:
        super().__init__()
        self.features = features
        # The nesting repeats the authors' names: a normalisation without parameters, then a padded linear map.
        padded = nn.Module()
        padded.base_encoder = nn.Linear(features, width)
        self.encoder = nn.Sequential(nn.Identity(), padded)
        self.y_encoder = nn.Linear(1, width)
        self.transformer_encoder = nn.Module()
        self.transformer_encoder.layers = nn.ModuleList(Layer(width, hidden) for _ in range(layers))
        head = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, len(borders) - 1))
        self.decoder_dict = nn.ModuleDict({"standard": head})
        self.criterion = nn.Module()
        self.criterion.register_buffer("borders", borders.float())
        self.criterion.register_buffer("smoothing", torch.tensor(0.0))
        self.criterion.register_buffer("bucket_widths", borders.float().diff())

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> FlatPFN:
        """The network whose parameters are ``state``, sizes read off their shapes.

        Raises:
            ValueError: a name or a shape that the published architecture does not have, or lacks.
        """
        state = dict(state)
        # Checkpoints of older code name the head twice.
        for name in [name for name in state if name.startswith("decoder.")]:
            value = state.pop(name)
            state.setdefault("decoder_dict.standard." + name.removeprefix("decoder."), value)
        state.setdefault("criterion.smoothing", torch.tensor(0.0))
        borders = _matrix(state, "criterion.borders", 1)
        state.setdefault("criterion.bucket_widths", borders.diff())
        if len(borders) < 4 or not (borders.isfinite().all() and (borders.diff() > 0).all()):
            raise ValueError("criterion.borders is not ascending with at least four finite values")
        width, features = _matrix(state, "encoder.1.base_encoder.weight", 2).shape
        hidden = _matrix(state, "transformer_encoder.layers.0.linear1.weight", 2).shape[0]
        prefix = "transformer_encoder.layers."
        indices = {name.removeprefix(prefix).split(".")[0] for name in state if name.startswith(prefix)}
        if width % HEADS:
            raise ValueError(f"a token width of {width} does not divide into {HEADS} attention heads")
        with torch.device("meta"):
            network = cls(features, width, hidden, len(indices), borders.to("meta"))
        expected = network.state_dict()
        _same_names(set(state), set(expected))
        for name, parameter in expected.items():
            if state[name].shape != parameter.shape:
                raise ValueError(f"{name} has shape {tuple(state[name].shape)} instead of {tuple(parameter.shape)}")
        network.load_state_dict({name: value.float() for name, value in state.items()}, assign=True)
        return network

    @property
    def layers(self) -> list[Layer]:
        """Of the transformer, from the input on."""
        return list(self.transformer_encoder.get_submodule("layers").children())  # type: ignore[arg-type]

    @property
    def borders(self) -> Tensor:
        """(B + 1,) of the bars."""
        borders: Tensor = self.criterion.get_buffer("borders")
        return borders

    def _design_tokens(self, X: Tensor) -> Tensor:
        d = X.shape[-1]
        # [Müller2023] multiplies by features / d, which does not keep the variance of a token; a checkpoint expects it.
        coded = (X - 0.5) * (math.sqrt(12) * self.features / d)
        tokens: Tensor = self.encoder.get_submodule("1.base_encoder")(functional.pad(coded, (0, self.features - d)))
        return tokens

    def context(self, X: Tensor, y: Tensor, categorical: Tensor | None = None) -> FlatContext:
        """X: (B, n, d) or (1, n, d) designs, y: (B, n) standardised outputs; all parameters are numbers to it."""
        tokens = self._design_tokens(X.float()) + self.y_encoder(y.float()[..., None])
        context = FlatContext([], [])
        for layer in self.layers:
            key, value = layer.keys_values(tokens)
            context.keys.append(key)
            context.values.append(value)
            tokens = layer(tokens, key, value)
        return context

    def forward(self, context: FlatContext, X: Tensor) -> BarDistribution:
        """X: (B, q, d) -> the distributions (B, q) of standardised outputs."""
        tokens = self._design_tokens(X.float())
        for layer, key, value in zip(self.layers, context.keys, context.values, strict=True):
            tokens = layer(tokens, key, value)
        logits = self.decoder_dict["standard"](tokens)
        return BarDistribution(logits, self.borders, logits.new_zeros(()), logits.new_ones(()))


def _matrix(state: Mapping[str, Tensor], name: str, dimensions: int) -> Tensor:
    if name not in state:
        raise ValueError(f"{name} is missing")
    if state[name].ndim != dimensions:
        raise ValueError(f"{name} has shape {tuple(state[name].shape)} instead of {dimensions} dimensions")
    return state[name]


def _same_names(found: set[str], expected: set[str]) -> None:
    if missing := sorted(expected - found):
        raise ValueError(f"{missing[0]} is missing")
    if foreign := sorted(found - expected):
        raise ValueError(f"{foreign[0]} is not a parameter of the published architecture")
