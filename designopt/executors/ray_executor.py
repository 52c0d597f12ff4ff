"""Evaluation by Ray actors, on this machine or on a cluster."""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import time
from pathlib import Path
from typing import Any

import cloudpickle

from designopt.env import DesignEnv
from designopt.evaluation import Evaluation
from designopt.executors.base import evaluate_packed
from designopt.executors.pool import START_ATTEMPTS, PoolExecutor, Trouble, WorkerDiedError, ensure_started
from designopt.executors.process import ProcessWorker, pack
from designopt.parameters import Array


class RayExecutor(PoolExecutor):
    """Ray actors, one per worker, each with a copy of the environment.

    With a limit on time or memory the actor evaluates in a guarded child process, as a ProcessExecutor does.

    Args:
        env: put into Ray's object store once.
        workers: number of actors.
        timeout, memory_mb, retries: as of ProcessExecutor; a dead node or actor counts as a dead worker.
        address: of a running cluster to join, which is sent this very copy of designopt; default is the environment
            variable RAY_ADDRESS, and without it a local Ray with as many CPUs as workers. A Ray that is already
            initialised is used as it is.
        num_cpus: CPUs that Ray reserves for each worker.
    """

    kind = "ray"

    def __init__(
        self,
        env: DesignEnv,
        workers: int = 1,
        *,
        timeout: float | None = None,
        memory_mb: float | None = None,
        retries: int = 2,
        address: str | None = None,
        num_cpus: float = 1,
    ) -> None:
        import ray

        self.limits = {"timeout": timeout, "memory_mb": memory_mb, "retries": retries}
        payload = pack(env)
        self._owns_ray = not ray.is_initialized()
        if self._owns_ray:
            join(address or os.environ.get("RAY_ADDRESS"), cpus=workers * num_cpus)
        reference = ray.put(payload)
        members = [RayWorker(reference, timeout, memory_mb, num_cpus) for _ in range(workers)]
        super().__init__(env, members, timeout=timeout, retries=retries)

    def close(self) -> None:
        """Stop every actor; also Ray itself when this executor started or joined it."""
        import ray

        super().close()
        if self._owns_ray:
            self._owns_ray = False
            ray.shutdown()


def join(address: str | None, cpus: float) -> None:
    """Join the cluster at an address, or start a quiet local one."""
    import ray

    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address is None:
        _start(num_cpus=-int(-cpus // 1), **quiet)
    else:
        package = str(Path(__file__).parents[1])
        ray.init(address=address, runtime_env={"py_modules": [package]}, **quiet)


def _start(**options: Any) -> None:
    """A Ray on this machine; on a busy one its processes may take longer to start than Ray is willing to wait."""
    import ray

    for attempt in range(START_ATTEMPTS):
        try:
            ray.init(address="local", include_dashboard=False, **options)
            return
        except Exception as error:  # Ray raises the base class
            ray.shutdown()
            if attempt == START_ATTEMPTS - 1:
                raise RuntimeError(f"Ray did not start on this machine: {first_line(error)}") from error


def node_name() -> str:
    """Name of the Ray node on which this runs."""
    import ray

    return f"node-{ray.get_runtime_context().get_node_id()[:8]}"


class Evaluator:
    """What runs inside a Ray actor."""

    def __init__(self, payload: bytes, timeout: float | None, memory_mb: float | None) -> None:
        self._payload = payload
        self._child: ProcessWorker | None = None
        if timeout is not None or memory_mb is not None:
            self._child = ProcessWorker("child", payload, timeout, memory_mb, shielded=True)

    def start(self) -> str:
        """Load the environment -> the worker's name."""
        import ray

        if self._child is not None:
            ensure_started(self._child)
        else:
            try:
                self._env = cloudpickle.loads(self._payload)
            except Exception as error:
                text = f"a worker cannot load the environment: {type(error).__name__}: {error}"
                raise RuntimeError(text) from error
        return f"{node_name()}/{str(ray.get_runtime_context().get_actor_id())[:8]} ({os.getpid()})"

    def evaluate(self, designs: Array) -> Evaluation | Trouble:
        """designs: (n, d) -> n rows, or why there are none."""
        if self._child is None:
            evaluation: Evaluation = pickle.loads(evaluate_packed(self._env, designs))
            return evaluation
        ensure_started(self._child)
        return self._child.evaluate(designs)


class RayWorker:
    """One actor, seen from the driver."""

    def __init__(self, payload: Any, timeout: float | None, memory_mb: float | None, num_cpus: float) -> None:
        self.name = "ray"
        self.alive = False
        self._arguments = payload, timeout, memory_mb
        self._num_cpus = num_cpus
        self._actor: Any = None
        self._closed = False

    def start(self) -> None:
        """Raises WorkerDiedError, or RuntimeError when the environment cannot be loaded."""
        import ray

        if self._closed:
            raise RuntimeError("closed while starting")
        self._actor = ray.remote(Evaluator).options(num_cpus=self._num_cpus).remote(*self._arguments)
        try:
            self.name = ray.get(self._actor.start.remote())
        except ray.exceptions.RayTaskError as error:
            raise RuntimeError(str(error.cause)) from None
        except ray.exceptions.RayError as error:
            raise WorkerDiedError(first_line(error)) from None
        self.alive = True

    def evaluate(self, designs: Array) -> Evaluation | Trouble:
        """designs: (n, d) -> n rows, or why there are none."""
        import ray

        start = time.monotonic()
        try:
            outcome: Evaluation | Trouble = ray.get(self._actor.evaluate.remote(designs))
            return outcome
        except ray.exceptions.RayTaskError as error:
            raise RuntimeError(str(error.cause)) from None
        except ray.exceptions.RayError as error:  # the actor or its node is dead, or cannot be reached
            self.stop()
            return Trouble("lost", first_line(error), time.monotonic() - start)

    def stop(self) -> None:
        """End the actor and everything that it started."""
        import ray

        actor, self._actor, self.alive = self._actor, None, False
        if actor is None or not ray.is_initialized():
            return
        with contextlib.suppress(ray.exceptions.RayError):
            ray.kill(actor)

    def close(self) -> None:
        """From any thread: make a call in progress return soon, and start no other actor."""
        import ray

        self._closed = True
        actor = self._actor
        if actor is not None:
            ray.kill(actor)


def first_line(error: Exception) -> str:
    """What happened, without the page that Ray adds."""
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"
