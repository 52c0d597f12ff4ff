"""Bidirectional learning: designs that the data predict to be excellent, and that predict the data in return.

References: [Chen2023] Bidirectional learning for offline model-based biological sequence design, ICML (losses, learnt
gamma and eta as in its release). [Chen2022] Bidirectional learning for offline infinite-width model-based optimization,
NeurIPS (the tangent kernel).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from designopt import Categorical, DesignEnv, Integer, Real, tunable
from designopt.offline import OfflineData
from designopt.parameters import Array
from designopt.search.sequence.fitness import fitness
from designopt.search.sequence.pgvae import VAESearch
from designopt.surrogates.bidirectional import Bidirectional, Heads, TangentKernel, linear, squares
from designopt.surrogates.masked_encoder import MaskedEncoder
from designopt.surrogates.vae import Coding

RATES = (1e-4, 0.5)
"""Least and greatest learning rate that is learnt."""
NUMBER = 0.1
"""How far a number on (-1, 1) moves by one unit of its parameter; letters move by their scores."""


class BIBSearch(VAESearch):
    """Bidirectional learning from a data set, by gradients on relaxed designs; for batches without results in between.

    From each of the best known designs, Adam goes down ``gamma * forward + (1 - gamma) * backward``: forward, kernel
    regression from the data must give the design the label ``target`` standard deviations above the mean; backward, the
    design with that label must alone predict the labels of the data. Each design learns its gamma and its learning
    rate from a weak supervisor, the mean of five linear regressions on bootstrap samples.

    What it replaces: the published features are those of a pretrained language model of proteins or DNA. Here they come
    from a small transformer trained on the known designs to fill in masked letters (``kernel="encoder"``), or there are
    none and the kernel is that of an infinitely wide network on the letters themselves (``kernel="tangent"``, the
    method of 2022). The published five supervisors are one and the same by an oversight; here they differ. DNA is
    relaxed letter by letter, not by triples. Proposals that are known already, or twice the same, give way to designs
    that were passed on the way.

    Letters, choices and real parameters; infeasible designs count as worse than all feasible ones.
    """

    requires = (OfflineData,)
    memoryless = True

    @dataclass(frozen=True)
    class Config:
        """Hyper-parameters (defaults: published for proteins; ``steps`` for DNA: 100)."""

        samples: int = tunable(128, Integer(10, 500, log=True), "designs proposed at once")
        steps: int = tunable(25, Integer(10, 200, log=True), "of Adam on the designs")
        rate: float = tunable(0.1, Real(1e-3, 0.5, log=True), "learning rate of designs and of gamma")
        gamma: float = tunable(0.5, Real(0.0, 1.0), "weight of the forward loss at first; 1: forward only")
        adaptive_gamma: bool = tunable(True, Categorical([False, True]), "learn gamma")
        adaptive_eta: bool = tunable(True, Categorical([False, True]), "learn the rate of the designs")
        target: float = tunable(10.0, Real(1.0, 20.0, log=True), "label wanted, in standard deviations of the data")
        kernel: str = tunable("tangent", Categorical(["tangent", "encoder"]), "of an infinite network, or of features")
        points: int = tunable(1000, Integer(100, 5000, log=True), "known designs used: half the best, half at random")
        epochs: int = tunable(20, Integer(1, 200, log=True), "passes of the encoder through the known designs")
        n_initial: int = tunable(32, Integer(2, 200, log=True), "random designs at first, when fewer are known")

        def __post_init__(self) -> None:
            for name, least in {"samples": 1, "steps": 1, "points": 2, "epochs": 1, "n_initial": 2}.items():
                if getattr(self, name) < least:
                    raise ValueError(f"{name} = {getattr(self, name)}; it must be at least {least}")
            for name in ("rate", "target"):
                if not getattr(self, name) > 0:
                    raise ValueError(f"{name} = {getattr(self, name)}; it must be positive")
            if not 0 <= self.gamma <= 1:
                raise ValueError(f"gamma = {self.gamma}; it must be from 0 to 1")
            if self.kernel not in ("tangent", "encoder"):
                raise ValueError(f"kernel = {self.kernel!r}; allowed: 'tangent', 'encoder'")

    config: Config

    def __init__(self, env: DesignEnv, config: Any = None, *, seed: int = 0, device: str = "cpu") -> None:
        super().__init__(env, config, seed=seed, device=device)
        self.coding = Coding(self.space, span=2.0)

    def ask(self, n: int, pending: Array) -> Array:
        """-> (<= n, d) designs, new while new ones are found."""
        self._seen.add(pending)
        return super().ask(n, pending)

    def _propose(self, n: int, rows: NDArray[np.int64], rng: np.random.Generator) -> Array:
        y = fitness(self.history, rows)
        rows, y = _chosen(rows, y, self.config.points, rng)
        designs = self.history.designs[rows]
        labels = torch.as_tensor((y - y.mean()) / (y.std() or 1.0))
        generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
        features = self._features(designs, generator)
        known = features(self.coding.encode(designs).double())
        tangent = TangentKernel()
        kernel, own = (linear, squares) if self.config.kernel == "encoder" else (tangent, tangent.diagonal)
        model = Bidirectional(kernel, known, labels, self.config.target)
        start = designs[np.arange(n) % len(designs)]  # the best come first
        passed = self._descend(start, features, model, own, Heads(known, labels, generator), generator)
        return self._fresh(passed, n, rng)

    def _features(self, designs: Array, generator: torch.Generator) -> Callable[[Tensor], Tensor]:
        if self.config.kernel == "tangent":
            return lambda codes: codes
        encoder = MaskedEncoder(self.coding, seed=int(torch.randint(2**31, (1,), generator=generator)))
        losses = encoder.fit(self.coding.encode(designs), steps=self.config.epochs * -(-len(designs) // 128))
        self._facts = {"encoder_loss": losses[-1]}
        return encoder.double()

    def _descend(
        self,
        start: Array,
        features: Callable[[Tensor], Tensor],
        model: Bidirectional,
        own: Callable[[Tensor], Tensor],
        supervisor: Heads,
        generator: torch.Generator,
    ) -> Array:
        """(n, d) designs -> (steps * n, d) designs on the way, the last ones first."""
        c = self.config
        relaxed = Relaxed(self.coding, start, generator)
        x = relaxed.parameters.requires_grad_()
        gamma = torch.full((len(start), 1), c.gamma, dtype=torch.float64)
        adam_x, adam_gamma = Adam(x), Adam(gamma)
        passed: list[Array] = []
        for _ in range(c.steps):
            at = features(relaxed.codes())
            forward, backward = model.losses(at, own(at))
            supervised = supervisor(at)
            df, db, dg = (
                torch.autograd.grad(value.sum(), x, retain_graph=True)[0] for value in (forward, backward, supervised)
            )
            if c.adaptive_gamma:  # a step of the design goes along gamma (df - db), down
                slope = (dg * c.rate * (df - db)).sum(1, keepdim=True)
                gamma = (gamma - c.rate * adam_gamma.direction(slope)).clamp(0, 1)
            direction = adam_x.direction(gamma * df + (1 - gamma) * db)
            eta = torch.full((len(start), 1), c.rate, dtype=torch.float64)
            if c.adaptive_eta:
                eta = (eta - 0.01 * (dg * direction).sum(1, keepdim=True)).clamp(*RATES)
            with torch.no_grad():
                x -= eta * direction
            passed.append(self.coding.decode(relaxed.codes()))
        self._facts = self._facts | {
            "gamma": float(gamma.mean()),
            "eta": float(eta.mean()),
            "forward": float(forward.detach().mean()),
            "backward": float(backward.detach().mean()),
        }
        return np.concatenate(passed[::-1])

    def _fresh(self, passed: Array, n: int, rng: np.random.Generator) -> Array:
        new = passed[self._seen.fresh(passed)][:n]
        if len(new) == n:
            return new
        more = np.concatenate([new, self._seen.sample(n - len(new), rng)])
        fresh = self._seen.fresh(more)
        return more[fresh] if fresh.any() else more


class Relaxed:
    """n designs by real parameters: scores of letters, whose hard choice passes gradients as its softmax, and numbers.

    Scores are small noise, of which the greatest goes to the letter that the design has.
    """

    def __init__(self, coding: Coding, designs: Array, generator: torch.Generator) -> None:
        self._coding = coding
        self._start = coding.encode(designs).double()
        parameters = 0.01 * torch.randn(self._start.shape, dtype=torch.float64, generator=generator)
        for start, columns, size in coding.letters:
            part = slice(start, start + columns * size)
            scores = parameters[:, part].unflatten(1, (columns, size))
            here = self._start[:, part].unflatten(1, (columns, size)).argmax(-1, keepdim=True)
            best = scores.argmax(-1, keepdim=True)
            swapped = scores.scatter(-1, best, scores.gather(-1, here)).scatter(-1, here, scores.amax(-1, keepdim=True))
            parameters[:, part] = swapped.flatten(1)
        parameters[:, coding.others] = 0.0
        self.parameters = parameters

    def codes(self) -> Tensor:
        """(n, width) codes of the present designs."""
        codes = torch.zeros_like(self._start)
        for start, columns, size in self._coding.letters:
            part = slice(start, start + columns * size)
            soft = self.parameters[:, part].unflatten(1, (columns, size)).softmax(-1)
            hard = torch.nn.functional.one_hot(soft.argmax(-1), size)
            codes[:, part] = (hard + soft - soft.detach()).flatten(1)
        others = self._coding.others
        moved = self._start[:, others] + NUMBER * self.parameters[:, others]
        codes[:, others] = moved + (moved.clamp(-1, 1) - moved).detach()  # a bound stops a number, not its gradient
        return codes


class Adam:
    """Adam's direction, kept apart from its step, whose length is learnt."""

    def __init__(self, like: Tensor) -> None:
        self._mean, self._square, self._steps = torch.zeros_like(like), torch.zeros_like(like), 0

    def direction(self, gradient: Tensor) -> Tensor:
        """The next gradient -> where to go, against which a step is made."""
        self._steps += 1
        self._mean = 0.9 * self._mean + 0.1 * gradient
        self._square = 0.999 * self._square + 0.001 * gradient.square()
        mean, square = self._mean / (1 - 0.9**self._steps), self._square / (1 - 0.999**self._steps)
        return (mean / (square.sqrt() + 1e-8)).detach()


def _chosen(rows: NDArray[np.int64], y: Array, most: int, rng: np.random.Generator) -> tuple[NDArray[np.int64], Array]:
    """At most so many rows, the best first: the better half of them the best there are, the others at random."""
    order = np.argsort(-y, kind="stable")
    if len(rows) > most:
        best, rest = order[: most // 2], order[most // 2 :]
        order = np.concatenate([best, rng.choice(rest, most - len(best), replace=False)])
    return rows[order], y[order]
