"""Variational autoencoders of designs, many of them trained as one network.

References: [Kingma2014] Auto-encoding variational Bayes, ICLR. [Ghaffari2024] Robust model-based optimization for
challenging fitness landscapes, ICLR (the relationship loss; losses are means, not sums, over latent dimensions).
[Burda2016] Importance weighted autoencoders, ICLR (the estimate of a design's likelihood).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence as Seq
from dataclasses import dataclass

import numpy as np
import torch
from torch import Generator, Tensor, nn

from designopt import DesignSpace
from designopt.parameters import Array

SPAN = 20.0
"""Width of a real or ordered column as the network sees it: about that of the published toy, whose errors are squared
in natural units."""


class Coding:
    """Designs as the network sees them: letters and choices one-hot, everything else from -SPAN / 2 to SPAN / 2.

    Attributes:
        width: of a code.
        groups: (start, choices) of every categorical column; others: positions of the remaining columns.
    """

    def __init__(self, space: DesignSpace) -> None:
        self.space = space
        widths = np.where(space.categorical, space.choices, 1)
        starts = np.cumsum(widths) - widths
        self.width = int(widths.sum())
        self.columns = space.dim
        self.others = torch.as_tensor(starts[~space.categorical])
        sizes = sorted({int(c) for c in space.choices[space.categorical]})
        self.groups = [  # columns with as many choices are worked on together
            (size, torch.as_tensor(starts[space.choices == size][:, None] + np.arange(size))) for size in sizes
        ]

    def encode(self, designs: Array) -> Tensor:
        """designs: (n, d) -> (n, width) float32."""
        codes = torch.as_tensor(self.space.one_hot(designs), dtype=torch.float32)
        codes[:, self.others] = (codes[:, self.others] - 0.5) * SPAN
        return codes

    def decode(self, outputs: Tensor) -> Array:
        """outputs: (n, width) scores -> (n, d) designs: the likeliest letters, real columns within bounds."""
        codes = outputs.detach().cpu().double().clone()
        codes[:, self.others] = codes[:, self.others] / SPAN + 0.5
        return self.space.from_one_hot(codes.numpy())

    def errors(self, outputs: Tensor, codes: Tensor) -> tuple[Tensor, Tensor]:
        """outputs, codes: (..., width) -> (...) cross-entropy summed over letters, squared error over the others."""
        cross = outputs.new_zeros(outputs.shape[:-1])
        for _, where in self.groups:
            chosen = (outputs[..., where] * codes[..., where]).sum(-1)
            cross = cross + (outputs[..., where].logsumexp(-1) - chosen).sum(-1)
        return cross, (outputs[..., self.others] - codes[..., self.others]).square().sum(-1)


@dataclass(frozen=True)
class VAEConfig:
    """Shape and loss of an autoencoder; the defaults are those published for proteins [Ghaffari2024].

    Attributes:
        latent: dimensions; hidden: widths of the encoder's layers, the decoder mirrors them.
        beta: weight of both parts of the divergence from the prior.
        strength: lambda, weight of the relationship loss; 0 is a plain autoencoder.
        temperature: tau, how much of the log prior a unit of property is.
        epochs, batch, learning_rate: of Adam.
    """

    latent: int = 20
    hidden: tuple[int, ...] = (64,)
    beta: float = 0.01
    strength: float = 0.0
    temperature: float = 5.0
    epochs: int = 1000
    batch: int = 256
    learning_rate: float = 1e-3


def relationship(log_prior: Tensor, y: Tensor, temperature: float, mask: Tensor) -> Tensor:
    """(S, B) log prior densities and properties -> (S,) loss over all ordered pairs of the rows that count.

    1 / ((tau + 1)^2 (B^2 + B)) sum_ij ((l_i - l_j) - tau (y_i - y_j))^2. With e = l - tau y, the sum over pairs is
    2 B sum_i (e_i - mean e)^2, which costs B instead of B^2.
    """
    e = log_prior - temperature * y
    size = mask.sum(1)
    mean = (e * mask).sum(1, keepdim=True) / size.clamp(min=1)[:, None]
    squares = ((e - mean).square() * mask).sum(1)
    return 2 * size * squares / (size * (size + 1)).clamp(min=1) / (temperature + 1) ** 2


class BatchedVAE(nn.Module):
    """S autoencoders of one shape, as one network: every weight has a leading dimension S.

    Each draws from a generator of its own, seeded by its seed, so that alone or among others it learns the same up to
    rounding, as long as all have equally many designs.

    Args:
        coding: of the designs.
        config: shape and loss.
        seeds: one an autoencoder.
        device: "cpu" or "cuda"; random numbers are drawn on the CPU.
    """

    def __init__(self, coding: Coding, config: VAEConfig, seeds: Seq[int], device: torch.device | str = "cpu") -> None:
        super().__init__()
        self.coding, self.config, self.device = coding, config, torch.device(device)
        self.rngs = [Generator().manual_seed(seed) for seed in seeds]
        inner = [coding.width, *config.hidden]
        outer = [config.latent, *reversed(config.hidden), coding.width]
        self.encoder = self._layers([*inner, 2 * config.latent])
        self.decoder = self._layers(outer)
        self.to(self.device)
        self._optimiser = torch.optim.Adam(self.parameters(), lr=config.learning_rate, fused=True)

    def _layers(self, widths: Seq[int]) -> nn.ParameterList:
        """Weights (S, in, out) and biases (S, 1, out) in turn, uniform within 1 / sqrt(in)."""
        tensors = []
        for fan_in, out in itertools.pairwise(widths):
            for rows in (fan_in, 1):
                drawn = torch.stack([torch.rand(rows, out, generator=rng) for rng in self.rngs])
                tensors.append(nn.Parameter((2 * drawn - 1) / math.sqrt(fan_in)))
        return nn.ParameterList(tensors)

    @staticmethod
    def _through(layers: nn.ParameterList, x: Tensor) -> Tensor:
        for i in range(0, len(layers), 2):
            x = torch.baddbmm(layers[i + 1], x, layers[i])
            if i + 2 < len(layers):
                x = nn.functional.leaky_relu(x, 0.01)
        return x

    def encode(self, codes: Tensor) -> tuple[Tensor, Tensor]:
        """codes: (S, n, width) -> means and log variances (S, n, latent)."""
        mean, log_variance = self._through(self.encoder, codes).chunk(2, dim=-1)
        return mean, log_variance

    def decode(self, z: Tensor) -> Tensor:
        """z: (S, n, latent) -> (S, n, width) letter scores and values."""
        return self._through(self.decoder, z)

    def losses(self, codes: Tensor, y: Tensor, weights: Tensor, noise: Tensor) -> Tensor:
        """(S, B, width) codes, (S, B) properties and weights (0: no such row), (S, B, latent) noise -> (S,) losses."""
        c = self.config
        mean, log_variance = self.encode(codes)
        outputs = self.decode(mean + (0.5 * log_variance).exp() * noise)
        cross, squared = self.coding.errors(outputs, codes)
        spread = -0.5 * (1 + log_variance - log_variance.exp()).mean(-1)
        each = (cross + squared) / self.coding.columns + c.beta * (spread + 0.5 * mean.square().mean(-1))
        mask = (weights > 0).to(each)
        total = (weights * each).sum(1) / mask.sum(1).clamp(min=1)
        if c.strength:
            log_prior = -0.5 * mean.square().sum(-1)
            total = total + c.strength * relationship(log_prior, y, c.temperature, mask)
        return total

    def fit(
        self, designs: Seq[Array], y: Seq[Array], weights: Seq[Array] | None = None, epochs: int | None = None
    ) -> Tensor:
        """Train on S data sets: (n_s, d) designs, (n_s,) properties and positive weights. -> (S,) final losses.

        Raises:
            ValueError: a data set is empty, or there are not S of them.
        """
        if len(designs) != len(self.rngs) or not all(map(len, designs)):
            raise ValueError(f"{len(self.rngs)} data sets that are not empty needed, got {[*map(len, designs)]} rows")
        sizes = [len(d) for d in designs]
        width = max(sizes)
        steps = -(-width // self.config.batch)
        weights = [np.ones(n) for n in sizes] if weights is None else weights
        codes = torch.zeros(len(sizes), width + 1, self.coding.width)
        facts = torch.zeros(len(sizes), width + 1, 2)  # the last row is no design: its weight is 0
        for s, n in enumerate(sizes):
            codes[s, :n] = self.coding.encode(designs[s])
            facts[s, :n] = torch.as_tensor(np.stack([y[s], weights[s]], axis=1))
        codes, facts = codes.to(self.device), facts.to(self.device)
        seeds = torch.arange(len(sizes), device=self.device)[:, None]
        loss = torch.zeros(len(sizes))
        for _ in range(self.config.epochs if epochs is None else epochs):
            order = torch.full((len(sizes), width), width)
            noise = torch.zeros(len(sizes), width, self.config.latent)
            for s, (n, rng) in enumerate(zip(sizes, self.rngs, strict=True)):
                order[s, :n] = torch.randperm(n, generator=rng)
                noise[s, :n] = torch.randn(n, self.config.latent, generator=rng)
            order, noise = order.to(self.device), noise.to(self.device)
            for step in range(steps):
                rows = slice(step * self.config.batch, (step + 1) * self.config.batch)
                here = order[:, rows]
                known = facts[seeds, here]
                self._optimiser.zero_grad(set_to_none=True)
                each = self.losses(codes[seeds, here], known[..., 0], known[..., 1], noise[:, rows])
                each.sum().backward()
                self._optimiser.step()
                loss = each.detach()
        return loss.cpu()

    @torch.no_grad()
    def embed(self, designs: Array, seed: int = 0) -> tuple[Tensor, Tensor, Array]:
        """designs: (n, d) -> means and standard deviations (n, latent), and (n,) log prior at the mean, of one of S."""
        codes = self.coding.encode(designs).to(self.device).expand(len(self.rngs), -1, -1)
        mean, log_variance = (part[seed].cpu() for part in self.encode(codes))
        return mean, (0.5 * log_variance).exp(), np.asarray(-0.5 * mean.double().square().sum(-1).numpy())

    @torch.no_grad()
    def designs(self, z: Tensor, seed: int = 0) -> Array:
        """z: (n, latent) -> (n, d) designs decoded by one of S, without further randomness."""
        return self.coding.decode(self.decode(z.to(self.device).expand(len(self.rngs), -1, -1))[seed])

    @torch.no_grad()
    def log_likelihood(self, designs: Array, noise: Tensor) -> Array:
        """designs: (n, d), noise: (k, n, latent) -> (n,) estimates of log p(x) from k draws each [Burda2016].

        Letters by their actual probabilities; other columns normal with variance 1 on the code. First of S only.
        """
        codes = self.coding.encode(designs).to(self.device)
        mean, log_variance = self.encode(codes.expand(len(self.rngs), -1, -1))
        noise = noise.to(self.device)
        terms = []
        for draw in noise:
            z = mean[:1] + (0.5 * log_variance[:1]).exp() * draw
            cross, squared = self.coding.errors(self.decode(z.expand(len(self.rngs), -1, -1))[0], codes)
            ratio = 0.5 * (draw.square() + log_variance[0] - z[0].square()).sum(-1)
            terms.append(ratio - cross - 0.5 * squared)
        average = torch.stack(terms).logsumexp(0) - math.log(len(noise))
        return np.asarray(average.cpu().double().numpy())
