"""The processes behind one worker; run as a script, never imported by the driver.

Two processes. The keeper stays small, adopts every process that the evaluator's simulators leave behind (Linux), and
kills all of them when the evaluator dies, the memory limit is passed, or the driver says so or is no more. The
evaluator, its child, loads the environment and evaluates; it may hang, crash or hold the interpreter lock.

Argument: JSON with ``socket`` (file descriptor), ``driver`` (process id), ``path`` (sys.path), ``memory_mb`` and
``shielded``. The keeper stops when its standard input can be read or ends; its last line of output says why it did.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import signal
import sys
import time
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psutil

TICK_SECONDS = 0.1  # adding up the memory of a process tree costs about 5 ms
GRACE_SECONDS = 1.5
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36  # linux/prctl.h


def main() -> None:
    """Become the keeper; its child serves."""
    settings = json.loads(sys.argv[1])
    sys.path[:] = settings["path"]
    import psutil

    if settings["shielded"] and os.fork():
        # Ray kills the children of a dying actor, with no time to clean up: let it kill this one, not the keeper.
        os.wait()
        os._exit(0)
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    keeper = os.getpid()
    evaluator = os.fork()
    if evaluator == 0:
        os.setpgid(0, 0)  # a simulator that signals its own group must not reach the keeper
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() == keeper:
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(2, 1)  # standard output is the keeper's line to the driver
            serve(Connection(settings["socket"]))
        os._exit(0)
    os.close(settings["socket"])
    reason = keep(evaluator, settings["driver"], settings["memory_mb"])
    kill_all(psutil.Process())
    with contextlib.suppress(BrokenPipeError):
        os.write(1, reason.encode())


def prctl(option: int, value: int) -> None:
    """Process options that only Linux has; elsewhere a crash of the keeper itself may leave processes behind."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def serve(connection: Connection) -> None:
    """Evaluate what is asked until the driver hangs up."""
    connection.send(os.getpid())
    payload = connection.recv_bytes()
    try:
        import cloudpickle

        from designopt.executors.base import evaluate_packed

        env = cloudpickle.loads(payload)
    except Exception as error:
        connection.send(f"{type(error).__name__}: {error}")
        return
    connection.send("")
    with contextlib.suppress(EOFError, OSError):
        while True:
            connection.send_bytes(evaluate_packed(env, connection.recv()))


def keep(evaluator: int, driver: int, memory_mb: float | None) -> str:
    """Wait until the evaluator has died or must die: ``exit CODE``, ``memory MB`` or ``stopped``."""
    import psutil

    # The driver is looked at as well, for a process that it forked may hold the other end of standard input.
    while not select.select([0], [], [], TICK_SECONDS)[0] and running(driver):
        while (reaped := os.waitpid(-1, os.WNOHANG))[0]:
            if reaped[0] == evaluator:
                return f"exit {os.waitstatus_to_exitcode(reaped[1])}"
        if memory_mb is not None:
            used = sum(map(rss_mb, psutil.Process().children(recursive=True)))
            if used > memory_mb:
                return f"memory {used:.0f}"
    return "stopped"


def running(pid: int) -> bool:
    """Whether there is such a process; one that has ended and not been waited for is not running."""
    import psutil

    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def rss_mb(process: psutil.Process) -> float:
    """Resident memory in 1e6 bytes; 0 for a process that has just ended."""
    import psutil

    try:
        return float(process.memory_info().rss / 1e6)
    except psutil.Error:
        return 0.0


def kill_all(keeper: psutil.Process) -> None:
    """Everything below the keeper gets SIGTERM, and SIGKILL until nothing is left."""
    import psutil

    kill, grace, deadline = psutil.Process.terminate, GRACE_SECONDS, time.monotonic() + 10 * GRACE_SECONDS
    while (processes := keeper.children(recursive=True)) and time.monotonic() < deadline:
        for process in processes:
            try:
                kill(process)
            except psutil.Error:
                continue
        psutil.wait_procs(processes, timeout=grace)
        kill, grace = psutil.Process.kill, 0.1


if __name__ == "__main__":
    main()
