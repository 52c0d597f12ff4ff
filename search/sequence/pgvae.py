"""Property-prioritised autoencoder: the better a design, the more probable under the prior.

References: [Ghaffari2024] Robust model-based optimization for challenging fitness landscapes, ICLR (losses, loop and
sampling as in its released code, but for the slack, which is relative to the range of values so that it is positive
whatever their sign).
"""

from __future__ import annotations

from collections.abc import Sequence as Seq
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import spearmanr

from designopt import Categorical, Evaluation, History, Integer, Real, Searcher, tunable
from designopt.env import DesignEnv
from designopt.parameters import Array
from designopt.search.seen import Seen
from designopt.search.sequence.fitness import SCALINGS, fitness, scaled, unique_rows
from designopt.surrogates.device import one_thread, resolve_device
from designopt.surrogates.vae import BatchedVAE, Coding, VAEConfig


@dataclass(frozen=True)
class VAESettings:
    """Hyper-parameters of all searches by an autoencoder (defaults: published for proteins)."""

    latent: int = tunable(20, Integer(2, 64, log=True), "dimensions of the latent space")
    width: int = tunable(64, Integer(16, 256, log=True), "units of a hidden layer")
    layers: int = tunable(1, Integer(1, 3), "hidden layers")
    beta: float = tunable(0.01, Real(1e-4, 1.0, log=True), "weight of the divergence from the prior")
    epochs: int = tunable(1000, Integer(10, 2000, log=True), "of training before a batch is proposed")
    minibatch: int = tunable(256, Integer(32, 1024, log=True), "designs per step of Adam")
    learning_rate: float = tunable(1e-3, Real(1e-4, 1e-2, log=True), "of Adam")
    samples: int = tunable(100, Integer(10, 500, log=True), "designs proposed at once")
    n_initial: int = tunable(32, Integer(2, 200, log=True), "random designs at first, when fewer are known beforehand")

    def __post_init__(self) -> None:
        for name, least in {
            "latent": 1, "width": 1, "layers": 1, "epochs": 1, "minibatch": 2, "samples": 1, "n_initial": 2,
        }.items():  # fmt: skip
            if getattr(self, name) < least:
                raise ValueError(f"{name} = {getattr(self, name)}; it must be at least {least}")
        for name in ("beta", "learning_rate"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} = {getattr(self, name)}; it must be positive")

    def network(self, **loss: float) -> VAEConfig:
        """Shape and training of the network."""
        return VAEConfig(
            latent=self.latent,
            hidden=(self.width,) * self.layers,
            beta=self.beta,
            epochs=self.epochs,
            batch=self.minibatch,
            learning_rate=self.learning_rate,
            **loss,
        )


class VAESearch(Searcher):
    """What searches by an autoencoder share: history, random designs at first, one row of the trace a batch."""

    config: Any

    def __init__(self, env: DesignEnv, config: Any = None, *, seed: int = 0, device: str = "cpu") -> None:
        super().__init__(env, config, seed=seed, device=device)
        self.batch = self.config.samples
        self.history = History(env)
        self.coding = Coding(self.space)
        self._device = resolve_device(device)
        self._seen = Seen(self.space)

    def tell(self, designs: Array, evaluation: Evaluation) -> None:
        """Remember n designs."""
        self.history.append(designs, evaluation)
        self._seen.add(designs)

    def _generator(self, asked: int) -> np.random.Generator:
        return np.random.default_rng(np.random.SeedSequence((self.seed, asked)))

    @one_thread
    def ask(self, n: int, pending: Array) -> Array:
        """-> (<= n, d) designs; also known ones when the decoder gives such, see ``trace``."""
        asked = len(self.history) + len(pending)
        rng = self._generator(asked)
        rows = unique_rows(self.history)
        if asked < self.config.n_initial or len(rows) < 2:
            self._seen.add(pending)
            return self._seen.sample(min(n, max(self.config.n_initial - asked, 1)), rng)
        designs = self._propose(n, rows, rng)
        self.note(designs, asked)
        return designs

    def note(self, designs: Array, asked: int) -> None:
        """A row of the trace: unique and new share of a proposed batch, and what is known of the model behind it.

        The last row also has the picture of the latent space.
        """
        distinct = np.unique(designs, axis=0)
        if self.trace:
            self.trace[-1] = {name: value for name, value in self.trace[-1].items() if name not in self._picture}
        self.trace.append(
            {
                "evaluated": asked,
                "unique": len(distinct) / len(designs),
                "new": int(self._seen.fresh(designs).sum()) / len(designs),
                **self._facts,
                **self._picture,
            }
        )

    _facts: dict[str, float] = {}  # noqa: RUF012 - replaced, never changed
    _picture: dict[str, Array] = {}  # noqa: RUF012

    def picture(self, codes: torch.Tensor, y: Array, proposed: torch.Tensor) -> None:
        """For the trace: (n, latent) codes of the distinct designs known, (n,) their fitness, (k, latent) proposals."""
        self._picture = {"codes": codes.numpy(), "fitness": y, "proposed": proposed.numpy()}

    def _propose(self, n: int, rows: NDArray[np.int64], rng: np.random.Generator) -> Array:
        raise NotImplementedError


class PGVAESearch(VAESearch):
    """Model-based optimisation by a property-prioritised autoencoder, for few good designs far from many bad ones.

    For every batch a fresh autoencoder is trained on all distinct designs so far, each with weight 1. Its relationship
    loss ties the log prior density at a design's code to what the design is worth, so that good designs come near the
    origin however few they are. Proposals are decoded from around the codes of the most probable designs.

    Letters, choices and real parameters; infeasible designs count as worse than all feasible ones. Values that spread
    over more than 10 are replaced by ranks unless ``scaling`` says otherwise: a temperature multiplies them. Duplicates
    are proposed when the decoder gives them; the trace has the unique share of each batch and the rank correlation of
    log prior and fitness. Give it an initial data set or a budget of thousands; a model of 1000 epochs takes seconds.
    """

    memoryless = True

    @dataclass(frozen=True)
    class Config(VAESettings):
        """Hyper-parameters."""

        strength: float = tunable(1.0, Real(0.0, 10.0), "lambda, weight of the relationship loss; 0: plain autoencoder")
        temperature: float = tunable(5.0, Real(0.5, 20.0, log=True), "tau, log prior per unit of fitness")
        scaling: str = tunable("auto", Categorical(SCALINGS), "of fitness before the temperature multiplies it")

        def __post_init__(self) -> None:
            super().__post_init__()
            if self.strength < 0:
                raise ValueError(f"strength = {self.strength}; it must not be negative")
            if not self.temperature > 0:
                raise ValueError(f"temperature = {self.temperature}; it must be positive")
            if self.scaling not in SCALINGS:
                raise ValueError(f"scaling = {self.scaling!r}; allowed: {', '.join(map(repr, SCALINGS))}")

    config: Config

    def _propose(self, n: int, rows: NDArray[np.int64], rng: np.random.Generator) -> Array:
        return propose_together([self], [n], [rows], [rng])[0]


def propose_together(
    searchers: Seq[PGVAESearch], counts: Seq[int], rows: Seq[NDArray[np.int64]], rngs: Seq[np.random.Generator]
) -> list[Array]:
    """One step of several searchers of equal configuration and space, by one batched network. -> (n_s, d) designs each.

    Sums of floats apart, each proposes what it would propose alone, as long as they know equally many designs.
    """
    first = searchers[0]
    c = first.config
    designs = [s.history.designs[r] for s, r in zip(searchers, rows, strict=True)]
    y = [scaled(fitness(s.history, r), c.scaling) for s, r in zip(searchers, rows, strict=True)]
    loss = {"strength": c.strength, "temperature": c.temperature}
    seeds = [int(rng.integers(2**31)) for rng in rngs]
    model = BatchedVAE(first.coding, c.network(**loss), seeds, first._device)
    losses = model.fit(designs, y)
    proposals = []
    for i, (searcher, n, rng) in enumerate(zip(searchers, counts, rngs, strict=True)):
        mean, std, log_prior = model.embed(designs[i], i)
        centres = probable(log_prior, y[i], c.temperature, n)
        noise = torch.as_tensor(rng.standard_normal((n, c.latent)), dtype=torch.float32)
        z = mean[centres] + np.sqrt(c.temperature) * std[centres] * noise
        proposals.append(model.designs(z, i))
        order = spearmanr(log_prior, y[i]).statistic if np.ptp(y[i]) else np.nan
        searcher._facts = {"loss": float(losses[i]), "spearman": float(order), "centres": len(set(centres.tolist()))}
        searcher.picture(mean, fitness(searcher.history, rows[i]), z)
    return proposals


def probable(log_prior: Array, y: Array, temperature: float, n: int) -> Any:
    """(N,) log prior and fitness of distinct designs -> (n,) rows to sample around, in turn, most probable first.

    Kept are those within tau (y_max - y_0.99 + 1 % of the range) of the most probable.
    """
    slack = 0.01 * (y.max() - y.min()) or 1e-9
    reach = temperature * (y.max() - np.quantile(y, 0.99) + slack)
    order = np.argsort(-log_prior, kind="stable")
    kept = order[log_prior[order] - log_prior.max() > -reach][:n]
    return kept[np.arange(n) % len(kept)]
