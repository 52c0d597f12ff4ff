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

BLOCK = 20
"""Epochs for which random numbers are drawn at once."""

SPAN = 20.0
"""Width of a real or ordered column as the network sees it: about that of the published toy, whose errors are squared
in natural units."""


class Coding:
    """Designs as the network sees them: letters and choices one-hot, everything else from -span / 2 to span / 2.

    Attributes:
        width: of a code.
        letters: (start, columns, choices) of every run of adjacent columns with as many choices; others: positions of
            the columns that are not categorical.
    """

    def __init__(self, space: DesignSpace, span: float = SPAN) -> None:
        self.space, self.span = space, span
        widths = np.where(space.categorical, space.choices, 1)
        starts = np.cumsum(widths) - widths
        self.width = int(widths.sum())
        self.columns = space.dim
        self.others = torch.as_tensor(starts[~space.categorical])
        self.letters: list[tuple[int, int, int]] = []
        for size, run in itertools.groupby(range(space.dim), lambda i: int(space.categorical[i] and space.choices[i])):
            columns = list(run)
            if size:
                self.letters.append((int(starts[columns[0]]), len(columns), size))

    def encode(self, designs: Array) -> Tensor:
        """designs: (n, d) -> (n, width) float32."""
        codes = torch.as_tensor(self.space.one_hot(designs), dtype=torch.float32)
        codes[:, self.others] = (codes[:, self.others] - 0.5) * self.span
        return codes

    def decode(self, outputs: Tensor) -> Array:
        """outputs: (n, width) scores -> (n, d) designs: the likeliest letters, real columns within bounds."""
        codes = outputs.detach().cpu().double().clone()
        codes[:, self.others] = codes[:, self.others] / self.span + 0.5
        return self.space.from_one_hot(codes.numpy())

    def errors(self, outputs: Tensor, codes: Tensor) -> tuple[Tensor, Tensor]:
        """outputs, codes: (..., width) -> (...) cross-entropy summed over letters, squared error over the others."""
        cross = outputs.new_zeros(outputs.shape[:-1])
        for start, columns, size in self.letters:
            scores = outputs[..., start : start + columns * size]
            chosen = (scores * codes[..., start : start + columns * size]).sum(-1)
            cross = cross + scores.unflatten(-1, (columns, size)).logsumexp(-1).sum(-1) - chosen
        if not len(self.others):
            return cross, torch.zeros_like(cross)
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
        """Weights (S, out, in) and biases (S, out, 1) in turn, uniform within 1 / sqrt(in)."""
        tensors = []
        for fan_in, out in itertools.pairwise(widths):
            for columns in (fan_in, 1):
                drawn = torch.stack([torch.rand(out, columns, generator=rng) for rng in self.rngs])
                tensors.append(nn.Parameter((2 * drawn - 1) / math.sqrt(fan_in)))
        return nn.ParameterList(tensors)

    @staticmethod
    def _through(layers: nn.ParameterList, x: Tensor) -> Tensor:
        """(S, n, in) -> (S, n, out). Designs are contiguous in memory: products of narrow layers take a fifth so."""
        x = x.mT
        for i in range(0, len(layers), 2):
            x = torch.baddbmm(layers[i + 1], layers[i], x)
            if i + 2 < len(layers):
                x = nn.functional.leaky_relu(x, 0.01, inplace=True)
        return x.mT

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
        weights = [np.ones(n) for n in sizes] if weights is None else weights
        rows = torch.zeros(len(sizes), max(sizes) + 1, self.coding.width + 2)  # the last of each is no design: weight 0
        for s, n in enumerate(sizes):
            rows[s, :n, :-2] = self.coding.encode(designs[s])
            rows[s, :n, -2:] = torch.as_tensor(np.stack([y[s], weights[s]], axis=1))
        rows = rows.flatten(0, 1).to(self.device)
        left = self.config.epochs if epochs is None else epochs
        loss = torch.zeros(len(sizes))
        while left > 0:
            for order, noise in zip(*self._draw(sizes, min(left, BLOCK)), strict=True):
                for here, normal in zip(
                    order.split(self.config.batch, 1), noise.split(self.config.batch, 1), strict=True
                ):
                    known = rows[here]
                    each = self.losses(known[..., :-2], known[..., -2], known[..., -1], normal)
                    self._optimiser.zero_grad(set_to_none=True)
                    each.sum().backward()
                    self._optimiser.step()
                    loss = each.detach()
            left -= BLOCK
        return loss.cpu()

    def _draw(self, sizes: Seq[int], epochs: int) -> tuple[Tensor, Tensor]:
        """Orders of designs (epochs, S, n), as numbers of rows of all data sets, and noise (epochs, S, n, latent).

        Each seed's are a block of its own stream: what is drawn for one does not depend on the others.
        """
        most = max(sizes)
        order = torch.full((epochs, len(sizes), most), most)
        noise = torch.zeros(epochs, len(sizes), most, self.config.latent)
        for s, (n, rng) in enumerate(zip(sizes, self.rngs, strict=True)):
            order[:, s, :n] = torch.stack([torch.randperm(n, generator=rng) for _ in range(epochs)])
            noise[:, s, :n] = torch.randn(epochs, n, self.config.latent, generator=rng)
        order += (most + 1) * torch.arange(len(sizes))[:, None]
        return order.to(self.device), noise.to(self.device)

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
