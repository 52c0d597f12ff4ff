"""Running a simulator as a program: own folder per worker, time-out, version, and results cached by what went in."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any


class SimulatorError(RuntimeError):
    """The program could not be run, ended with an error, or wrote what cannot be read."""


@dataclass(frozen=True)
class Output:
    """What a run left: its standard output, and the text of each file that was asked for."""

    text: str
    files: dict[str, str]


@dataclass
class Tool:
    """A simulator on this machine.

    Args:
        command: path of the executable, or the whole command as a list.
        timeout_seconds: after which a run is ended, with ``TimeoutError``.
        version: recorded beside results; None: a digest of the executable.
    """

    command: str | PathLike[str] | Sequence[str]
    timeout_seconds: float = 600.0
    version: str | None = None
    _known: dict[str, Output] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        if not self.timeout_seconds > 0:
            raise ValueError(f"timeout_seconds = {self.timeout_seconds}; it must be positive")
        self._command = [os.fspath(self.command)] if isinstance(self.command, str | PathLike) else list(self.command)
        found = shutil.which(self._command[0]) if self._command else None
        if found is None:
            raise ValueError(f"command = {self.command!r}; it is not an executable of this machine")
        self._command[0] = str(Path(found).absolute())
        if self.version is None:
            self.version = "sha256 " + hashlib.sha256(Path(self._command[0]).read_bytes()).hexdigest()[:16]

    def run(self, files: Mapping[str, str], arguments: Sequence[str], outputs: Sequence[str] = ()) -> Output:
        """Run in an empty folder, or return what an equal run gave.

        Args:
            files: name -> text, written into the folder.
            arguments: of the command, which starts in that folder.
            outputs: glob patterns of files to read afterwards; each must match exactly one.

        Raises:
            TimeoutError: the run took too long and was ended, with all that it had started.
            SimulatorError: it ended with an error or without an output.
        """
        what = json.dumps([self._command, self.version, dict(files), list(arguments), list(outputs)], sort_keys=True)
        key = hashlib.sha256(what.encode()).hexdigest()
        if key not in self._known:
            self._known[key] = self._run(files, arguments, outputs)
        return self._known[key]

    def _run(self, files: Mapping[str, str], arguments: Sequence[str], outputs: Sequence[str]) -> Output:
        with tempfile.TemporaryDirectory(dir=self._home.name) as folder:
            for name, text in files.items():
                path = Path(folder, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
            text = self._finish([*self._command, *arguments], folder)
            found = {}
            for pattern in outputs:
                paths = sorted(Path(folder).glob(pattern))
                if len(paths) != 1:
                    raise SimulatorError(f"{self._name} wrote {len(paths)} files {pattern!r}; one was expected")
                found[pattern] = paths[0].read_text()
        return Output(text, found)

    def _finish(self, command: list[str], folder: str) -> str:
        # Its own session: a time-out ends what the program has started as well.
        with subprocess.Popen(
            command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True,
            errors="replace", start_new_session=True,
        ) as process:  # fmt: skip
            try:
                text, errors = process.communicate(timeout=self.timeout_seconds)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, 9)
                raise TimeoutError(f"{self._name} ran longer than {self.timeout_seconds} s") from None
        if process.returncode:
            last = (errors.strip() or text.strip() or "without a word").splitlines()[-1]
            raise SimulatorError(f"{self._name} ended with {process.returncode}: {last}")
        return text

    @property
    def _name(self) -> str:
        return Path(self._command[-1] if len(self._command) > 1 else self._command[0]).name

    @cached_property
    def _home(self) -> tempfile.TemporaryDirectory[str]:
        """Of this process: two workers never share it."""
        return tempfile.TemporaryDirectory(prefix="designopt-")

    def __getstate__(self) -> dict[str, Any]:
        """A copy in another process starts without results and with a folder of its own."""
        return {name: value for name, value in self.__dict__.items() if name != "_home"} | {"_known": {}}
