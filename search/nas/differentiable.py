"""What differentiable architecture searches share: supernet, batches, schedules, discretisation, trace, checkpoints.

References: [Liu2019] DARTS: Differentiable Architecture Search, ICLR (protocol and constants); [Zela2020] see
``eigenvalue``.
"""

from __future__ import annotations

import dataclasses
import math
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from designopt import Categorical, DesignEnv, Evaluation, Integer, Real, Searcher, tunable
from designopt.parameters import Array
from designopt.search.nas import checkpoint
from designopt.search.nas.eigenvalue import epoch_before_collapse, largest_eigenvalue
from designopt.search.nas.problem import Batch, SupernetLosses, SupernetOrBilevelProblem, Tensors, losses_of
from designopt.surrogates.device import one_thread, resolve_device

STILL = 1e-9
"""A search on a ``BilevelProblem`` ends when nothing moved further than this, relatively, in an epoch."""


class DifferentiableSearch(Searcher):
    """One search of a supernet by gradients; it asks for one design, the architecture found.

    Variants define ``step``. What they may use and override: ``mixture`` (alpha to the weights of operations),
    ``train_loss`` and ``validation_loss``, ``rate`` (learning rate of an epoch), ``epoch_ended``, and ``add_copy`` for
    further sets of weights.

    On a ``BilevelProblem`` everything is plain gradient descent with constant steps on the given losses: momentum,
    weight decay, clipping, schedule and batches do not apply, and an epoch is 100 steps.

    Attributes:
        alpha: name -> (groups, choices) tensors under search.
        copies: name -> weights; "w" are those of the architecture found.
        optimisers: name -> of "alpha" and of each copy.
        epoch: epochs done.
        gradient_evaluations: backward passes so far, the search's cost in the currency of [Liu2019].
        trace: one row an epoch: losses, alpha, entropy, shares of skip and none, the design of the moment, cost.
    """

    requires: ClassVar[tuple[type, ...]] = (DesignEnv, SupernetOrBilevelProblem)
    memoryless: ClassVar[bool] = True
    alpha_step: ClassVar[float] = 0.2
    """On a ``BilevelProblem``, step of alpha in units of the curvature's inverse."""

    @dataclass(frozen=True)
    class Config:
        """Hyper-parameters; None: 50 epochs and [Liu2019] on a supernet, what fits its curvature on a problem.

        The published step of alpha, 3e-4, is for tens of thousands of steps; in the hundreds that a small data set has,
        alpha would not leave its start, so the default is 0.03.
        """

        epochs: int | None = tunable(None, Integer(1, 200, log=True), "of the whole search")
        batch_size: int = tunable(64, Integer(8, 256, log=True), "samples of a training and of a validation batch")
        lr: float | None = tunable(None, Real(1e-3, 0.5, log=True), "step of the weights at the start")
        lr_min: float = tunable(1e-3, Real(1e-5, 1e-2, log=True), "and at the end")
        momentum: float = tunable(0.9, Real(0.0, 0.99), "of the weights")
        weight_decay: float = tunable(3e-4, Real(1e-6, 1e-1, log=True), "of the weights")
        clip: float = tunable(5.0, Real(0.1, 100.0, log=True), "greatest norm of a gradient of the weights")
        lr_alpha: float | None = tunable(None, Real(1e-4, 0.3, log=True), "step of alpha")
        weight_decay_alpha: float = tunable(1e-3, Real(1e-6, 1e-1, log=True), "of alpha")
        eigenvalue: str = tunable(
            "off", Categorical(["off", "record", "stop"]), "of the Hessian in alpha, after every epoch"
        )
        checkpoint: str = tunable("", Categorical([""]), "folder from which an interrupted search goes on")

        def __post_init__(self) -> None:
            for name in ("epochs", "lr", "lr_alpha", "batch_size", "clip"):
                value = getattr(self, name)
                if value is not None and not value > 0:
                    raise ValueError(f"{name} = {value}; it must be positive")
            for name in ("lr_min", "weight_decay", "weight_decay_alpha", "momentum"):
                if not getattr(self, name) >= 0:
                    raise ValueError(f"{name} = {getattr(self, name)}; it must not be negative")
            if self.momentum >= 1:
                raise ValueError(f"momentum = {self.momentum}; it must be below 1")
            if self.eigenvalue not in ("off", "record", "stop"):
                raise ValueError(f"eigenvalue = {self.eigenvalue!r}; allowed: 'off', 'record', 'stop'")

    config: Config

    def __init__(self, env: DesignEnv, config: Any = None, *, seed: int = 0, device: str = "cpu") -> None:
        super().__init__(env, config, seed=seed, device=device)
        self.losses = losses_of(env, seed, resolve_device(device))
        alpha, weights = self.losses.start()
        self.alpha = {name: value.requires_grad_() for name, value in alpha.items()}
        self._alpha_start = {name: value.detach().clone() for name, value in alpha.items()}
        full = self.losses.full_batch
        self.epochs = self.config.epochs or (500 if full else 50)
        curvature = getattr(env, "curvature", 1.0)
        self.lr = self.config.lr or (0.5 / curvature if full else 0.025)
        self.lr_alpha = self.config.lr_alpha or (self.alpha_step / curvature if full else 0.03)
        self.copies: dict[str, Tensors] = {}
        self.optimisers: dict[str, torch.optim.Optimizer] = {}
        self.optimisers["alpha"] = (
            torch.optim.SGD(self.alpha.values(), lr=self.lr_alpha)
            if full
            else torch.optim.Adam(
                self.alpha.values(), self.lr_alpha, betas=(0.5, 0.999), weight_decay=self.config.weight_decay_alpha
            )
        )
        self.add_copy("w", weights)
        self.epoch = self.gradient_evaluations = 0
        self.cpu_seconds = 0.0
        self.stopped = ""
        self._design: Array | None = None
        self._known: set[bytes] = set()

    # For variants ------------------------------------------------------------------------------------------------

    def step(self, train: Batch, validation: Batch) -> float:
        """Move alpha and all weights on a pair of batches -> the training loss before."""
        raise NotImplementedError(f"{type(self).__name__} must define step(train, validation)")

    def epoch_ended(self) -> dict[str, Any]:
        """Called after every epoch -> more columns of its row of the trace."""
        return {}

    def mixture(self, alpha: Tensors) -> Tensors:
        """Alpha -> the weights with which the outputs of operations are added."""
        return self.probabilities(alpha)

    def train_loss(self, weights: Tensors, alpha: Tensors, batch: Batch) -> Tensor:
        """What the weights descend."""
        return self.losses.train_loss(weights, self.mixture(alpha), batch)

    def validation_loss(self, weights: Tensors, alpha: Tensors, batch: Batch) -> Tensor:
        """What alpha descends."""
        return self.losses.validation_loss(weights, self.mixture(alpha), batch)

    def rate(self, epoch: int) -> float:
        """Learning rate of the weights in an epoch, counted from 0: half a cosine [Liu2019]."""
        if self.losses.full_batch:
            return self.lr
        low = min(self.config.lr_min, self.lr)
        return low + (self.lr - low) * (1 + math.cos(math.pi * epoch / self.epochs)) / 2

    def add_copy(self, name: str, weights: Tensors) -> None:
        """A further set of weights with its own optimiser; it is checkpointed with the rest."""
        self.copies[name] = {part: value.detach().clone().requires_grad_() for part, value in weights.items()}
        plain = self.losses.full_batch
        momentum, decay = (0.0, 0.0) if plain else (self.config.momentum, self.config.weight_decay)
        self.optimisers[name] = torch.optim.SGD(
            self.copies[name].values(), lr=self.lr, momentum=momentum, weight_decay=decay
        )

    @property
    def w(self) -> Tensors:
        """The weights of the supernet."""
        return self.copies["w"]

    def probabilities(self, alpha: Tensors) -> Tensors:
        """Alpha -> softmax over the choices of every group (a ``BilevelProblem`` takes alpha as it is)."""
        if self.losses.full_batch:
            return alpha
        return {name: value.softmax(1) for name, value in alpha.items()}

    def gradient(self, loss: Tensor, of: Tensors) -> Tensors:
        """Gradient of a scalar; one gradient evaluation."""
        self.gradient_evaluations += 1
        found = torch.autograd.grad(loss, list(of.values()), allow_unused=True)
        return {n: torch.zeros_like(v) if g is None else g for (n, v), g in zip(of.items(), found, strict=True)}

    def descend(self, name: str, gradient: Tensors) -> None:
        """One step of the optimiser of "alpha" or of a copy of the weights, whose gradient is clipped."""
        tensors = self.alpha if name == "alpha" else self.copies[name]
        for part, value in tensors.items():
            value.grad = gradient[part]
        if name != "alpha" and not self.losses.full_batch:
            nn.utils.clip_grad_norm_(list(tensors.values()), self.config.clip)
        self.optimisers[name].step()

    def drift(self, name: str = "w") -> Tensors:
        """What the next step of a copy adds to its gradient: momentum and weight decay."""
        group = self.optimisers[name].param_groups[0]
        state = self.optimisers[name].state
        drift = {}
        for part, value in self.copies[name].items():
            buffer = state[value].get("momentum_buffer") if value in state else None
            drift[part] = group["weight_decay"] * value.detach()
            if buffer is not None:
                drift[part] = drift[part] + group["momentum"] * buffer
        return drift

    # The search --------------------------------------------------------------------------------------------------

    @property
    def finished(self) -> bool:
        """Whether all epochs are done, or something ended the search before."""
        return bool(self.stopped) or self.epoch >= self.epochs

    def ask(self, n: int, pending: Array) -> Array:
        """-> (1, d) the architecture found, once; then none."""
        design = self.search()
        if design.tobytes() in self._known or any(np.array_equal(design, other) for other in pending):
            return np.empty((0, self.space.dim))
        self._known.add(design.tobytes())
        return design[None].copy()

    def tell(self, designs: Array, evaluation: Evaluation) -> None:
        """Nothing is learnt: gradients came from the supernet alone."""
        self._known.update(np.asarray(design, dtype=float).tobytes() for design in designs)

    def search(self) -> Array:
        """Run to the end, from the checkpoint when there is one -> (d,) design.

        Raises:
            ValueError: the checkpoint is damaged or was written with other settings.
        """
        if self._design is not None:
            return self._design
        self._resume()
        while not self.finished:
            self.run_epoch()
            if not self.finished and time.monotonic() >= self.deadline:
                self._stop(f"time was over after {self.epoch} of {self.epochs} epochs")
            self._save()
        design = self.design()
        self._design = np.clip(design, self.space.low, self.space.high) if self.losses.full_batch else design
        return self._design

    @one_thread  # sums over several threads have other last bits
    def run_epoch(self) -> None:
        """One epoch, and its row of the trace."""
        started = time.process_time()
        for name in self.copies:
            for group in self.optimisers[name].param_groups:
                group["lr"] = self.rate(self.epoch)
        before = self._snapshot()
        total, steps = 0.0, 0
        for train, validation in self.losses.batches(self.epoch, self.config.batch_size):
            good = self._snapshot()
            loss = self.step(train, validation)
            trouble = self._trouble(loss)
            if trouble:
                self._restore(good)
                self._stop(f"{trouble} in step {steps + 1} of epoch {self.epoch + 1}; the alphas before it are taken")
                break
            total, steps = total + loss, steps + 1
        self.epoch += 1
        row = self._row(total / max(steps, 1)) | self.epoch_ended()
        self.cpu_seconds += time.process_time() - started
        self.trace.append(row | {"cpu_seconds": self.cpu_seconds, "gradient_evaluations": self.gradient_evaluations})
        if not self.stopped and self.config.eigenvalue == "stop":
            self._stop_before_collapse()
        if not self.stopped and self.losses.full_batch and self._moved(before) < STILL:
            self.stopped = "converged"

    def design(self) -> Array:
        """(d,) the architecture that alpha stands for now."""
        with torch.no_grad():
            return np.asarray(self.losses.design(self.w, self.probabilities(self.alpha)), dtype=float)

    def _trouble(self, loss: float) -> str:
        if not math.isfinite(loss):
            return f"the training loss became {loss}"
        for name, value in self.alpha.items():
            if not torch.isfinite(value).all():
                return f"alpha {name!r} became {value.detach().flatten()[~torch.isfinite(value).flatten()][0]:g}"
        if self.losses.full_batch and not self.space.contains(self.design()[None])[0]:
            values = ", ".join(f"{k} = {v:.4g}" for k, v in zip(self.space.parameters, self.design(), strict=False))
            return f"the search diverged: {values} left the design space"
        return ""

    def _stop(self, why: str) -> None:
        self.stopped = why
        warnings.warn(f"{type(self).__name__} on {self.env.id} stopped early: {why}", stacklevel=3)

    def _snapshot(self) -> dict[str, Tensors]:
        groups = {"alpha": self.alpha} | self.copies
        return {g: {n: v.detach().clone() for n, v in tensors.items()} for g, tensors in groups.items()}

    @torch.no_grad()
    def _restore(self, snapshot: dict[str, Tensors]) -> None:
        for group, tensors in snapshot.items():
            mine = self.alpha if group == "alpha" else self.copies[group]
            for name, value in tensors.items():
                mine[name].copy_(value)

    def _moved(self, before: dict[str, Tensors]) -> float:
        pairs = [(self.alpha[n], v) for n, v in before["alpha"].items()]
        pairs += [(self.copies[c][n], v) for c in self.copies for n, v in before[c].items()]
        return max(float(((new - old).abs() / (1 + old.abs())).max().detach()) for new, old in pairs)

    def _stop_before_collapse(self) -> None:
        epoch = epoch_before_collapse([row["eigenvalue"] for row in self.trace])
        if epoch is None:
            return
        with torch.no_grad():
            for name, value in self.alpha.items():
                value.copy_(torch.tensor(self.trace[epoch]["alpha"][name], dtype=value.dtype))
        self.stopped = f"the eigenvalue grew after epoch {epoch + 1}, whose alpha is taken"
        self.trace[-1]["event"] = self.stopped

    def _row(self, train_loss: float) -> dict[str, Any]:
        row: dict[str, Any] = {"epoch": self.epoch, "train_loss": train_loss}
        losses = self.losses
        with torch.no_grad():
            shares = self.probabilities(self.alpha)
            if isinstance(losses, SupernetLosses):
                judged = losses.judge(self.w, self.mixture(self.alpha), losses.validation)
                row["validation_loss"], row["validation_accuracy"] = judged
            else:
                row["validation_loss"] = float(self.validation_loss(self.w, self.alpha, losses.validation))
            row["alpha"] = {name: value.tolist() for name, value in self.alpha.items()}
            row["moved"] = max(float((v - self._alpha_start[n]).abs().max()) for n, v in self.alpha.items())
        row |= losses.facts(shares) | {"design": self.design().tolist()}
        if self.stopped:
            row["event"] = self.stopped
        if self.config.eigenvalue != "off":
            row["eigenvalue"] = self.eigenvalue()
        return row

    def eigenvalue(self) -> float:
        """Largest eigenvalue of the Hessian of the validation loss in alpha, on the first batch_size samples."""
        size = self.config.batch_size
        fixed = Batch(self.losses.validation.inputs[:size], self.losses.validation.labels[:size])
        weights = {name: value.detach() for name, value in self.w.items()}
        loss: Callable[[Tensors], Tensor] = lambda alpha: self.validation_loss(weights, alpha, fixed)  # noqa: E731
        return largest_eigenvalue(loss, self.alpha)

    # Checkpoints -------------------------------------------------------------------------------------------------

    def _identity(self) -> dict[str, Any]:
        settings = dataclasses.asdict(self.config)
        del settings["checkpoint"]
        arguments = dict(self.env.spec.kwargs) if self.env.spec is not None else {}
        return {
            "search": type(self).__name__,
            "env": self.env.id,
            "env arguments": arguments,
            "seed": self.seed,
        } | settings

    def _save(self) -> None:
        if not self.config.checkpoint:
            return
        tensors = {f"alpha/{name}": value for name, value in self.alpha.items()}
        for copy, weights in self.copies.items():
            tensors |= {f"copy/{copy}/{name}": value for name, value in weights.items()}
        for name, optimiser in self.optimisers.items():
            for index, state in optimiser.state_dict()["state"].items():
                held = {part: value for part, value in state.items() if isinstance(value, Tensor)}
                tensors |= {f"optimiser/{name}/{index}/{part}": value for part, value in held.items()}
        facts = {
            key: getattr(self, key) for key in ("epoch", "gradient_evaluations", "cpu_seconds", "stopped", "trace")
        }
        facts["copies"] = {copy: list(weights) for copy, weights in self.copies.items()}
        checkpoint.write(Path(self.config.checkpoint), tensors, {"identity": self._identity(), **facts})

    def _resume(self) -> None:
        found = checkpoint.read(Path(self.config.checkpoint), self._identity()) if self.config.checkpoint else None
        if found is None:
            return
        tensors, facts = found
        # The file keeps no order of its tensors, but sums over copies and states of optimisers do.
        for copy, parts in facts["copies"].items():
            weights = {part: tensors[f"copy/{copy}/{part}"] for part in parts}
            if copy not in self.copies:  # added on the way
                self.add_copy(copy, weights)
            self._restore({copy: weights})
        self._restore({"alpha": checkpoint.under(tensors, "alpha/")})
        for name, optimiser in self.optimisers.items():
            state: dict[int, dict[str, Tensor]] = {}
            for key, value in checkpoint.under(tensors, f"optimiser/{name}/").items():
                index, part = key.split("/")
                state.setdefault(int(index), {})[part] = value
            optimiser.load_state_dict({**optimiser.state_dict(), "state": state})
        for key in ("epoch", "gradient_evaluations", "cpu_seconds", "stopped", "trace"):
            setattr(self, key, facts[key])
