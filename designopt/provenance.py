"""Where a run came from: versions, repository state, command line and host."""

from __future__ import annotations

import platform
import re
import shlex
import socket
import subprocess
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

_DISTRIBUTIONS = (
    "designopt",
    "botorch",
    "cmaes",
    "gpytorch",
    "gymnasium",
    "numpy",
    "optuna",
    "pandas",
    "pymoo",
    "ray",
    "scipy",
    "SQLAlchemy",
    "stable-baselines3",
    "torch",
)


@cache
def versions() -> dict[str, str]:
    """Python's version and those of the installed libraries that results depend on; none of them is imported."""
    found = {"python": platform.python_version()}
    for name in _DISTRIBUTIONS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def git_state() -> dict[str, Any] | None:
    """``{"commit": ..., "dirty": ...}`` of the working directory's repository; None without git or a commit."""
    try:
        commit = _git("rev-parse", "HEAD")
        return {"commit": commit, "dirty": bool(_git("status", "--porcelain", "--untracked-files=no"))}
    except (OSError, subprocess.SubprocessError):
        return None


def _git(*arguments: str) -> str:
    command = ["git", "--no-optional-locks", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, errors="replace", timeout=5, check=True
    ).stdout.strip()


def command_line() -> str:
    """The command as a shell would read it, passwords in URLs masked."""
    return re.sub(r"(://[^/\s:@]*:)[^\s@]+(?=@)|([?&]password=)[^\s&']+", r"\1\2***", shlex.join(sys.argv))


def host() -> str:
    """Name of this machine."""
    return socket.gethostname()
