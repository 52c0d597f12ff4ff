"""Training that can be stopped at any step and goes on as if it had not been.

References: [Loshchilov2019] Decoupled weight decay regularization, ICLR (AdamW). [Polyak1992] Acceleration of
stochastic approximation by averaging, SIAM J. Control Optim. (the averaged weights are what is judged and shipped).
"""

from __future__ import annotations

import copy
import json
import math
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Generator, Tensor, nn

Network = TypeVar("Network", bound=nn.Module)
CHECKPOINT = "checkpoint.safetensors"


@dataclass(frozen=True)
class TrainingConfig:
    """How to train.

    Attributes:
        steps: of the optimiser in the whole run; the schedule is laid out over them.
        learning_rate: the greatest; reached after ``warmup`` of the steps, then a cosine down to ``floor`` of it.
        weight_decay, betas: of AdamW.
        clip: greatest norm of the gradient.
        averaging: decay of the running average of the weights.
        seed: of the tasks drawn.
    """

    steps: int = 10_000
    learning_rate: float = 2e-3
    warmup: float = 0.05
    floor: float = 0.02
    weight_decay: float = 1e-4
    betas: tuple[float, float] = (0.9, 0.98)
    clip: float = 1.0
    averaging: float = 0.998
    seed: int = 0


@dataclass(frozen=True)
class Recipe(Generic[Network]):
    """What ``designopt train-pfn`` needs to know of a network.

    Attributes:
        build: an untrained network, initialised from torch's global generator.
        loss: of a network on tasks that it draws with the generator.
        measure: figures by name; those named "d,n" are shares of the available gain in a cell of ``heldout.CELLS``.
        facts: kept beside the weights, for whoever loads them.
        config: how to train when nothing is said.
    """

    build: Callable[[], Network]
    loss: Callable[[Network, Generator], Tensor]
    measure: Callable[[Network], dict[str, float]]
    facts: dict[str, Any]
    config: TrainingConfig


class Trainer(Generic[Network]):
    """A network in training.

    Args:
        network: trained in place.
        loss: of the network on tasks that it draws with the generator.
        config: how.

    Attributes:
        network: with the latest weights.
        average: a copy with the running average of the weights.
        step: number of steps done.
        curve: what was measured on the way, free for the caller to append to; kept in checkpoints.
    """

    def __init__(
        self, network: Network, loss: Callable[[Network, Generator], Tensor], config: TrainingConfig | None = None
    ) -> None:
        self.network, self.loss, self.config = network, loss, config or TrainingConfig()
        self.average = copy.deepcopy(network).requires_grad_(False)
        self.optimiser = torch.optim.AdamW(
            network.parameters(), lr=0.0, betas=self.config.betas, weight_decay=self.config.weight_decay
        )
        device = next(network.parameters()).device
        self.rng = Generator(device).manual_seed(self.config.seed)
        self.step = 0
        self.curve: list[dict[str, Any]] = []

    @property
    def done(self) -> bool:
        """Whether all steps are done."""
        return self.step >= self.config.steps

    def advance(self) -> float:
        """One step of the optimiser; returns the loss before it."""
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(self.config, self.step)
        self.optimiser.zero_grad()
        loss = self.loss(self.network, self.rng)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), self.config.clip)
        if torch.isfinite(norm):  # one bad batch must not end a run of hours
            self.optimiser.step()
        decay = min(self.config.averaging, (1 + self.step) / (10 + self.step))  # the first weights are soon forgotten
        with torch.no_grad():
            for mean, weight in zip(self.average.parameters(), self.network.parameters(), strict=True):
                mean.lerp_(weight, 1 - decay)
        self.step += 1
        return float(loss.detach())

    def save(self, folder: Path) -> None:
        """Write everything that the next step depends on; a crash meanwhile leaves the previous checkpoint."""
        tensors = {f"network.{name}": value for name, value in self.network.state_dict().items()}
        tensors |= {f"average.{name}": value for name, value in self.average.state_dict().items()}
        for index, state in self.optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{index}.{name}": value for name, value in state.items()}
        tensors["generator"] = self.rng.get_state()
        facts = {"step": self.step, "config": asdict(self.config), "curve": self.curve}
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = folder / f"{CHECKPOINT}.part"
        unfinished.write_bytes(_written(tensors, facts))
        os.replace(unfinished, folder / CHECKPOINT)

    def resume(self, folder: Path) -> bool:
        """Go on from the checkpoint in a folder; returns whether there is one.

        Raises:
            ValueError: it is damaged, or of another network or configuration.
        """
        file = folder / CHECKPOINT
        if not file.exists():
            return False
        tensors, facts = read_weights(file)
        if facts.get("config") != json.loads(json.dumps(asdict(self.config))):
            raise ValueError(f"{file} was written with {facts.get('config')}; this run has {asdict(self.config)}")
        load_state(self.network, _under(tensors, "network."), file)
        load_state(self.average, _under(tensors, "average."), file)
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in _under(tensors, "optimiser.").items():
            index, _, part = name.partition(".")
            state.setdefault(int(index), {})[part] = value
        self.optimiser.load_state_dict({**self.optimiser.state_dict(), "state": state})
        self.rng.set_state(tensors["generator"])
        self.step, self.curve = facts["step"], facts["curve"]
        return True


def learning_rate(config: TrainingConfig, step: int) -> float:
    """Linear warm-up, then half a cosine."""
    progress = (step + 1) / config.steps
    if progress < config.warmup:
        return config.learning_rate * progress / config.warmup
    fall = (progress - config.warmup) / (1 - config.warmup)
    return config.learning_rate * (config.floor + (1 - config.floor) * 0.5 * (1 + math.cos(math.pi * fall)))


def write_weights(file: Path, network: nn.Module, facts: dict[str, Any]) -> None:
    """A network's weights as safetensors with JSON facts in the header, and the facts again in a .json beside."""
    file.write_bytes(_written(network.state_dict(), facts))
    file.with_suffix(".json").write_text(json.dumps(facts, indent=1) + "\n")


def read_weights(file: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What ``write_weights`` or ``Trainer.save`` wrote: tensors by name, and facts.

    Raises:
        ValueError: missing, damaged or written by something else. Nothing in the file is ever executed.
    """
    try:
        with safe_open(file, framework="pt") as opened:
            facts = json.loads((opened.metadata() or {})["facts"])
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118  # not a dict
    except FileNotFoundError:
        raise ValueError(f"no weights file {file}") from None
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{file} is not a safetensors file: {error}") from None
    except (KeyError, json.JSONDecodeError):
        raise ValueError(f"{file} was not written by designopt: it has no facts in its header") from None
    return tensors, facts


def load_state(network: nn.Module, weights: dict[str, Tensor], file: Path) -> None:
    """Set a network's weights.

    Raises:
        ValueError: a name or shape differs.
    """
    expected = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    found = {name: tuple(value.shape) for name, value in weights.items()}
    if found != expected:
        name = min(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
        raise ValueError(
            f"{file} does not fit {type(network).__name__}: {name!r} has shape {found.get(name, 'missing')}, "
            f"expected {expected.get(name, 'none of that name')}"
        )
    network.load_state_dict(weights)


def _written(tensors: dict[str, Tensor], facts: dict[str, Any]) -> bytes:
    contiguous = {name: value.contiguous() for name, value in tensors.items()}
    return save(contiguous, metadata={"facts": json.dumps(facts)})


def _under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
