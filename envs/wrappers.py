"""Design environments around a design environment: noise, a memory of what was evaluated, and faults on purpose."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from designopt import DesignEnv, Evaluation
from designopt.envs.counterfactual import CounterfactualEnv as CounterfactualEnv  # one more of them
from designopt.evaluation import Array


class DesignWrapper(DesignEnv):
    """A DesignEnv with the space, objectives, constraints, reference and reward of another, ``env``.

    Subclasses override ``evaluate``. ``unwrapped`` is the innermost environment, as in Gymnasium; what an environment
    offers beyond ``evaluate``, such as offline data, is found there and not on the wrapper.
    """

    def __init__(self, env: DesignEnv) -> None:
        super().__init__(env.render_mode)
        self.env = env
        self.design_space = env.design_space
        self.objectives = env.objectives
        self.constraints = env.constraints
        self.reference = env.reference
        self.reward = env.reward

    @property
    def id(self) -> str:
        """The wrapper's name around the inner id, such as ``NoisyEnv(designopt/DiscBrake-v0)``."""
        return f"{type(self).__name__}({self.env.id})"

    @property
    def unwrapped(self) -> DesignEnv:
        """The innermost environment."""
        inner: DesignEnv = self.env.unwrapped  # type: ignore[assignment]
        return inner

    def evaluate(self, designs: Array) -> Evaluation:
        """designs: (n, d) -> what the inner environment says."""
        return self.env.evaluate(designs)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Array, dict[str, Any]]:
        """Start a new episode, of the inner environment too."""
        self.env.reset(seed=seed, options=options)
        return super().reset(seed=seed, options=options)

    def close(self) -> None:
        """Close the inner environment."""
        self.env.close()


class NoisyEnv(DesignWrapper):
    """Gaussian noise on objectives and constraints.

    The noise is a function of the seed and the design alone, so ``evaluate`` stays pure: a design asked twice has the
    same error twice, and averaging over repetitions does not help. Environments of different seeds are independent
    repetitions. ``reference`` stays that of the noiseless environment; feasibility is that of the noisy constraints.

    Args:
        env: the environment.
        std: standard deviation of the noise on objectives, one number or (m,), in their units.
        constraint_std: the same for constraints, one number or (k,).
        seed: not negative.

    Raises:
        ValueError: a standard deviation that is negative, not finite or of another length.
    """

    def __init__(self, env: DesignEnv, std: ArrayLike, constraint_std: ArrayLike = 0.0, *, seed: int = 0) -> None:
        super().__init__(env)
        self.std = _deviations("std", std, len(env.objectives))
        self.constraint_std = _deviations("constraint_std", constraint_std, len(env.constraints))
        self.seed = seed

    def evaluate(self, designs: Array) -> Evaluation:
        """designs: (n, d) -> the inner evaluation with noise added."""
        evaluation = self.env.evaluate(designs)
        m, k = len(self.objectives), len(self.constraints)
        noise = np.array([_generator(self.seed, key).standard_normal(m + k) for key in _keys(designs)])
        noise = noise.reshape(-1, m + k)  # also of no designs
        return replace(
            evaluation,
            objectives=evaluation.objectives + self.std * noise[:, :m],
            constraints=evaluation.constraints + self.constraint_std * noise[:, m:],
        )


class CachedEnv(DesignWrapper):
    """Remembers evaluations: a design is evaluated once, also when it comes twice in a batch.

    Statuses ``ok`` and ``invalid`` are remembered; a design that failed, timed out or was lost is tried again. The
    memory is without limit, and each process has its own.

    Attributes:
        hits: designs answered without evaluating them.
        misses: designs evaluated.
    """

    def __init__(self, env: DesignEnv) -> None:
        super().__init__(env)
        self.hits = self.misses = 0
        self._batches: list[Evaluation] = []
        self._places: dict[bytes, tuple[int, int]] = {}  # design -> its batch and row

    def evaluate(self, designs: Array) -> Evaluation:
        """designs: (n, d) -> their Evaluation, in order."""
        designs = np.asarray(designs, dtype=np.float64)
        if not len(designs):
            return self.env.evaluate(designs)
        keys = _keys(designs)
        unknown = {key: i for i, key in enumerate(keys) if key not in self._places}  # each once
        rows = list(unknown.values())
        if rows:
            self._batches.append(self.env.evaluate(designs[rows]))
            self._places |= {keys[i]: (len(self._batches) - 1, row) for row, i in enumerate(rows)}
        self.misses += len(rows)
        self.hits += len(keys) - len(rows)
        answer = self._recall(keys)
        for i in rows:
            if answer.status[i] not in ("ok", "invalid"):
                del self._places[keys[i]]
        return answer

    def _recall(self, keys: list[bytes]) -> Evaluation:
        batch, row = np.array([self._places[key] for key in keys]).T
        parts = [self._batches[b][row[batch == b]] for b in np.unique(batch)]
        asked = np.argsort(np.argsort(batch, kind="stable"), kind="stable")
        return Evaluation.concatenate(parts)[asked]


Fault = float | Callable[[Array], NDArray[np.bool_]]


class FailingEnv(DesignWrapper):
    """Faults on purpose, to test what runs environments.

    Each fault is given as a probability, or as a predicate ``designs (n, d) -> (n,) bool``. Which designs it strikes is
    a function of the seed and the design alone, and ``faults(designs)`` tells. As in a vectorised simulator, a fault
    strikes the whole batch that holds such a design; only ``nan`` is confined to its rows.

    Args:
        env: the environment.
        exception: ``evaluate`` raises RuntimeError.
        nan: the first objective is NaN, so that the status becomes ``invalid``.
        wrong_shape: the evaluation has one row too few.
        hang: ``evaluate`` sleeps ``hang_seconds`` first.
        exit: the process ends at once, without cleaning up, as when it is killed.
        hang_seconds: wall seconds.
        seed: not negative.

    Raises:
        ValueError: a probability outside [0, 1], or probabilities that sum to more than 1.
    """

    def __init__(
        self,
        env: DesignEnv,
        *,
        exception: Fault = 0.0,
        nan: Fault = 0.0,
        wrong_shape: Fault = 0.0,
        hang: Fault = 0.0,
        exit: Fault = 0.0,
        hang_seconds: float = 3600.0,
        seed: int = 0,
    ) -> None:
        super().__init__(env)
        # The most drastic first: it is what shows when a batch holds several.
        self._faults: dict[str, Fault] = {
            "exit": exit,
            "hang": hang,
            "exception": exception,
            "wrong_shape": wrong_shape,
            "nan": nan,
        }
        probabilities = {name: p for name, p in self._faults.items() if not callable(p)}
        for name, p in probabilities.items():
            if not 0 <= p <= 1:
                raise ValueError(f"FailingEnv: {name} = {p}; a probability must be from 0 to 1")
        if sum(probabilities.values()) > 1 + 1e-9:
            raise ValueError(f"FailingEnv: probabilities {probabilities} sum to more than 1")
        self.hang_seconds = hang_seconds
        self.seed = seed

    def faults(self, designs: Array) -> NDArray[np.str_]:
        """designs: (n, d) -> (n,) name of the fault of each, empty where there is none."""
        designs = np.asarray(designs, dtype=np.float64)
        draw = np.array([_generator(self.seed, key).random() for key in _keys(designs)])
        struck = np.full(len(designs), "", dtype="<U11")
        below = 0.0
        for name, fault in self._faults.items():
            if callable(fault):
                hit = np.asarray(fault(designs), dtype=bool)
            else:
                hit = (draw >= below) & (draw < below + fault)
                below += fault
            struck[hit & (struck == "")] = name
        return struck

    def evaluate(self, designs: Array) -> Evaluation:
        """designs: (n, d) -> the inner evaluation, unless a fault strikes.

        Raises:
            RuntimeError: when ``exception`` strikes.
        """
        struck = self.faults(designs)
        if "exit" in struck:
            os._exit(66)
        if "hang" in struck:
            time.sleep(self.hang_seconds)
        if "exception" in struck:
            raise RuntimeError(f"{self.id}: exception on purpose")
        evaluation = self.env.evaluate(designs)
        objectives = evaluation.objectives.copy()
        objectives[struck == "nan", 0] = np.nan
        evaluation = replace(evaluation, objectives=objectives)
        return evaluation[:-1] if "wrong_shape" in struck else evaluation


def _keys(designs: ArrayLike) -> list[bytes]:
    """One key per row of designs (n, d); adding zero makes -0.0 the same design as 0.0."""
    return [row.tobytes() for row in np.asarray(designs, dtype="<f8") + 0.0]


def _generator(seed: int, key: bytes) -> np.random.Generator:
    """The random numbers that belong to one design."""
    return np.random.default_rng([seed, int.from_bytes(hashlib.blake2b(key, digest_size=16).digest(), "little")])


def _deviations(name: str, value: ArrayLike, count: int) -> Array:
    deviations = np.asarray(value, dtype=np.float64)
    if deviations.shape not in ((), (count,)) or not (np.isfinite(deviations) & (deviations >= 0)).all():
        raise ValueError(f"{name} = {deviations.tolist()}; it must be one number or {count}, finite and not negative")
    return deviations
