"""Memory traces: the format of DRAMSys, and where each request goes in a memory."""

from __future__ import annotations

import re
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from designopt.envs.hardware.dram.memory import Memory

Ints = NDArray[np.int64]

_LINE = re.compile(r"(\d+)\s*:\s*(read|write)\s+(0[xX][0-9a-fA-F]+)\s*")


@dataclass(frozen=True)
class Trace:
    """n requests of one burst each, in order.

    Attributes:
        name: where it comes from; for a file its path, so that an error can name the line.
        cycles: (n,) cycle of the trace clock before which a request is not sent, never decreasing.
        writes: (n,) whether it writes.
        addresses: (n,) byte addresses.
        lines: (n,) line of the file, or None.
    """

    name: str
    cycles: Ints
    writes: NDArray[np.bool_]
    addresses: Ints
    lines: Ints | None = None

    def __post_init__(self) -> None:
        if len(self.cycles) == 0:
            raise ValueError(f"{self.name}: the trace has no request")

    def __len__(self) -> int:
        return len(self.cycles)

    def place(self, memory: Memory, *, wrap: bool = False) -> dict[str, Ints]:
        """Bank and row of each request.

        Args:
            memory: geometry and address map.
            wrap: ignore address bits beyond the memory, as DRAMSys does.

        Raises:
            ValueError: an address beyond the memory, without ``wrap``.
        """
        beyond = np.flatnonzero(self.addresses >= memory.size)
        if len(beyond) and not wrap:
            i = beyond[0]
            where = f"request {i}" if self.lines is None else f"line {self.lines[i]}"
            raise ValueError(
                f"{self.name}, {where}: address {self.addresses[i]:#x} is beyond the {memory.size} bytes of "
                f"{memory.name}; wrap_addresses=True ignores the higher bits"
            )
        field = {name: (self.addresses >> low) & ((1 << width) - 1) for name, (low, width) in memory.bits.items()}
        bank = field["bank"] + field.get("group", 0) * memory.timing.banks_per_group
        return {"bank": bank, "row": field["row"]}


def read_trace(path: str | PathLike[str]) -> Trace:
    """Read a trace file: a line is ``CYCLE: read|write 0xADDRESS``; empty lines and comments after ``#`` are skipped.

    Raises:
        ValueError: no such file, a line of another form, a cycle below the one before, or no request at all; file and
            line number are named.
    """
    try:
        text = Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise ValueError(f"trace {path}: {error.strerror or error}") from None
    requests: list[tuple[int, bool, int, int]] = []
    for number, raw in enumerate(text.splitlines(), start=1):
        line = raw.partition("#")[0].strip()
        if not line:
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            raise ValueError(f"{path}, line {number}: {raw[:60]!r} is not of the form 'CYCLE: read|write 0xADDRESS'")
        cycle, address = int(match[1]), int(match[3], 16)
        if cycle >= 1 << 40 or address >= 1 << 62:
            raise ValueError(f"{path}, line {number}: {raw[:60]!r} has a cycle or an address that is too large")
        if requests and cycle < requests[-1][0]:
            raise ValueError(
                f"{path}, line {number}: cycle {cycle} comes after {requests[-1][0]}; cycles never decrease"
            )
        requests.append((cycle, match[2] == "write", address, number))
    if not requests:
        raise ValueError(f"{path}: the trace has no request")
    cycles, writes, addresses, lines = (np.array(column) for column in zip(*requests, strict=True))
    return Trace(str(path), cycles, writes, addresses, lines)
