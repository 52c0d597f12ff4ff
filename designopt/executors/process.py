"""Evaluation in local worker processes, with limits on time and memory that are enforced by killing."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import signal
import socket
import subprocess
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import cloudpickle

from designopt.env import DesignEnv
from designopt.evaluation import Evaluation
from designopt.executors.pool import PoolExecutor, Trouble, WorkerDiedError
from designopt.parameters import Array

START_SECONDS = 120.0
STOP_SECONDS = 30.0  # the keeper itself needs half of it at worst
POLL_SECONDS = 0.2
ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"), "1"
)


class ProcessExecutor(PoolExecutor):
    """Local worker processes, each with one thread, a copy of the environment and its own process tree.

    Args:
        env: sent to each worker once, by cloudpickle; functions and classes of ``__main__`` go by value.
        workers: number of processes.
        timeout: wall seconds that one evaluation may take; a longer one is killed: ``timeout``.
        memory_mb: resident memory (1e6 bytes) of a worker and all that it started; beyond it is killed: ``failed``.
        retries: how often a design whose worker died is tried again before it is ``lost``.
        name: of the workers in the record, which a number and the process id are added to.
        shielded: to be set inside a Ray worker: Ray would leave a simulator's own children alive when that worker dies.
    """

    kind = "process"

    def __init__(
        self,
        env: DesignEnv,
        workers: int = 1,
        *,
        timeout: float | None = None,
        memory_mb: float | None = None,
        retries: int = 2,
        name: str = "process",
        shielded: bool = False,
    ) -> None:
        self.limits = {"timeout": timeout, "memory_mb": memory_mb, "retries": retries}
        payload = pack(env)
        members = [ProcessWorker(f"{name}-{i}", payload, timeout, memory_mb, shielded=shielded) for i in range(workers)]
        super().__init__(env, members, timeout=timeout, retries=retries)


def pack(env: DesignEnv) -> bytes:
    """The environment as bytes for workers.

    Raises:
        ValueError: something in it cannot be sent.
    """
    try:
        return bytes(cloudpickle.dumps(env))
    except Exception as error:
        raise ValueError(f"{env.id} cannot be sent to workers: {type(error).__name__}: {error}") from error


class ProcessWorker:
    """One evaluator process and its keeper (see ``worker.py``), seen from the driver or from a Ray actor."""

    def __init__(
        self, label: str, payload: bytes, timeout: float | None, memory_mb: float | None, *, shielded: bool = False
    ) -> None:
        self.name = label
        self.pid = 0
        self._label = label
        self._payload = payload
        self._timeout = timeout
        self._memory_mb = memory_mb
        self._shielded = shielded
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None
        self._closed = False

    @property
    def alive(self) -> bool:
        """Whether the process waits for designs; an idle one has nothing to say, unless it is the end of file."""
        return self._connection is not None and not self._connection.poll()

    def start(self) -> None:
        """Raises WorkerDiedError, or RuntimeError when the environment cannot be loaded."""
        ours, theirs = socket.socketpair()
        settings = {
            "socket": theirs.fileno(),
            "driver": os.getpid(),
            "path": [entry or os.getcwd() for entry in sys.path],
            "memory_mb": self._memory_mb,
            "shielded": self._shielded,
        }
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", str(Path(__file__).with_name("worker.py")), json.dumps(settings)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
                env=os.environ | ONE_THREAD,
            )
        self._connection = Connection(ours.detach())
        self.pid = self._starting(self._connection)
        self.name = f"{self._label} ({self.pid})"
        self._connection.send_bytes(self._payload)
        error = self._starting(self._connection)
        if error:
            raise RuntimeError(f"a worker cannot load the environment: {error}")

    def _starting(self, connection: Connection) -> Any:
        """The next message of a starting worker."""
        deadline = time.monotonic() + START_SECONDS
        while not connection.poll(POLL_SECONDS):
            if self._closed:
                raise RuntimeError("closed while starting")
            if time.monotonic() > deadline:
                raise RuntimeError(f"a worker was not ready after {START_SECONDS:g} s")
        try:
            return connection.recv()
        except (EOFError, OSError):
            raise WorkerDiedError(self._last_words()[1]) from None

    def evaluate(self, designs: Array) -> Evaluation | Trouble:
        """designs: (n, d) -> n rows, or why there are none; after Trouble the process is dead."""
        connection, start = self._connection, time.monotonic()
        assert connection is not None
        try:
            connection.send(designs)
            while not connection.poll(self._patience(start)):
                if self._patience(start) == 0:
                    seconds = time.monotonic() - start
                    self.stop()
                    return Trouble("timeout", f"killed after the time limit of {self._timeout:g} s", seconds)
            evaluation: Evaluation = pickle.loads(connection.recv_bytes())
            return evaluation
        except (EOFError, OSError):
            seconds = time.monotonic() - start
            return Trouble(*self._last_words(), seconds)

    def _patience(self, start: float) -> float | None:
        """Seconds left for an evaluation."""
        return None if self._timeout is None else max(0.0, start + self._timeout - time.monotonic())

    def _last_words(self) -> tuple[str, str]:
        """Status and reason, from the keeper of an evaluator that has ended."""
        assert self._process is not None
        assert self._process.stdout is not None
        what, _, value = self._process.stdout.read().decode().partition(" ")
        self.stop()
        if what == "memory":
            return "failed", f"killed at {value} MB; the memory limit is {self._memory_mb:g} MB"
        if what != "exit":
            return "lost", "the worker was stopped from outside"
        code = int(value)
        how = f"was killed by signal {-code} ({signal.strsignal(-code)})" if code < 0 else f"exited with code {code}"
        return "lost", f"the worker process {how}"

    def stop(self) -> None:
        """End the evaluator and everything that it started."""
        process = self._process
        if process is None:
            return
        self._dismiss(process)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:  # the keeper is stuck; the evaluator dies with it
            process.kill()
            process.wait()
        for pipe in (process.stdin, process.stdout, self._connection):
            if pipe is not None:
                pipe.close()
        self._process, self._connection = None, None

    def close(self) -> None:
        """From any thread: end the process soon, and start no other one."""
        self._closed = True
        process = self._process
        if process is not None:
            self._dismiss(process)

    @staticmethod
    def _dismiss(process: subprocess.Popen[bytes]) -> None:
        """Tell the keeper to end; a word, since a process that the driver forked may keep the pipe open."""
        assert process.stdin is not None
        with contextlib.suppress(OSError, ValueError):
            os.write(process.stdin.fileno(), b"stop")
