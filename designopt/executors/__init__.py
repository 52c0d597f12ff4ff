"""Where designs are evaluated: in this process, in local processes with limits, or on a Ray cluster."""

from __future__ import annotations

from designopt.env import DesignEnv
from designopt.executors.base import Executor, Finished, SerialExecutor, evaluate_safely
from designopt.executors.process import ProcessExecutor
from designopt.executors.ray_executor import RayExecutor

__all__ = [
    "Executor",
    "Finished",
    "ProcessExecutor",
    "RayExecutor",
    "SerialExecutor",
    "evaluate_safely",
    "make_executor",
]

KINDS = ("auto", "serial", "process", "ray")


def make_executor(
    env: DesignEnv,
    *,
    workers: int = 1,
    kind: str = "auto",
    timeout: float | None = None,
    memory_mb: float | None = None,
    retries: int = 2,
    address: str | None = None,
) -> Executor:
    """The executor of that kind.

    Args:
        env: what evaluates.
        workers: how many evaluations run at the same time.
        kind: ``serial``, ``process`` or ``ray``; ``auto`` is ``ray`` when an address is given, ``serial`` for one
            worker without limits, else ``process``.
        timeout: wall seconds that one evaluation may take.
        memory_mb: resident memory (1e6 bytes) of a worker with all that it started.
        retries: how often a design is tried again whose worker died.
        address: of a running Ray cluster.

    Raises:
        ValueError: a value that is not allowed, or an environment that cannot be sent to workers.
    """
    if kind not in KINDS:
        raise ValueError(f"kind = {kind!r}; allowed: {', '.join(KINDS)}")
    if workers < 1:
        raise ValueError(f"workers = {workers}; at least 1 is needed")
    if retries < 0:
        raise ValueError(f"retries = {retries}; it must be 0 or more")
    for name, limit in (("timeout", timeout), ("memory_mb", memory_mb)):
        if limit is not None and not limit > 0:
            raise ValueError(f"{name} = {limit}; it must be positive, or None for no limit")
    limited = timeout is not None or memory_mb is not None
    if kind == "auto":
        kind = "ray" if address is not None else "serial" if workers == 1 and not limited else "process"
    if address is not None and kind != "ray":
        raise ValueError(f"address = {address!r} is of a Ray cluster, but kind = {kind!r}; allowed: 'auto', 'ray'")
    if kind == "serial":
        if workers > 1 or limited:
            raise ValueError(
                f"kind = 'serial' evaluates one design at a time without limits, but workers = {workers}, "
                f"timeout = {timeout}, memory_mb = {memory_mb}; use kind = 'process'"
            )
        return SerialExecutor(env)
    if kind == "process":
        return ProcessExecutor(env, workers, timeout=timeout, memory_mb=memory_mb, retries=retries)
    return RayExecutor(env, workers, timeout=timeout, memory_mb=memory_mb, retries=retries, address=address)
