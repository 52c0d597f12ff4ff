"""Workloads by name: published traces, found through ``designopt.data``, and generators that are always there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from designopt import data
from designopt.envs.hardware.dram.memory import Memory
from designopt.envs.hardware.dram.trace import Ints, Trace, read_trace
from designopt.parameters import suggest

PUBLISHED = {
    "stream": "stream.stl",
    "random": "random.stl",
    "cloud-1": "cloud-1.stl",
    "chstone-aes": "chstone-aes_32.stl",
    "chstone-jpeg": "chstone-jpeg_32.stl",
    "chstone-sha": "chstone-sha_32.stl",
}
"""Traces that ArchGym and DRAMSys publish: name -> file. All of them only read."""

Generated = tuple[Ints, Ints]
"""(n,) cycles and (n,) burst numbers."""


def _strided(n: int, blocks: int, rng: np.random.Generator) -> Generated:
    """A walk with a stride of 17 bursts, a request a cycle: rows are left after a few hits."""
    return np.arange(n), (rng.integers(blocks) + 17 * np.arange(n)) % blocks


def _random(n: int, blocks: int, rng: np.random.Generator) -> Generated:
    """Uniform addresses, a request a cycle: almost no row hits."""
    return np.arange(n), rng.integers(blocks, size=n)


def _pointer_chase(n: int, blocks: int, rng: np.random.Generator) -> Generated:
    """Uniform addresses, the next after the previous was answered and used: 40 to 80 cycles."""
    return np.cumsum(rng.integers(40, 81, size=n)), rng.integers(blocks, size=n)


def _bursty(n: int, blocks: int, rng: np.random.Generator) -> Generated:
    """Sequential runs of 8 to 64 requests, each anywhere, with pauses of 100 to 2000 cycles between them."""
    starts = np.cumsum(np.r_[0, rng.integers(8, 65, size=n)])
    starts = starts[starts < n]
    run = np.searchsorted(starts, np.arange(n), side="right") - 1
    pauses = np.cumsum(rng.integers(100, 2001, size=len(starts)))
    bases = rng.integers(blocks, size=len(starts))
    return np.arange(n) + pauses[run], (bases[run] + np.arange(n) - starts[run]) % blocks


def _mixed(n: int, blocks: int, rng: np.random.Generator) -> Generated:
    """Four threads in random turns, a request in two cycles: a stream, a stride, a hot region, uniform addresses."""
    thread = rng.integers(4, size=n)
    bases = rng.integers(blocks, size=4)
    turn = np.zeros(n, dtype=np.int64)
    for k in range(4):
        turn[thread == k] = np.arange((thread == k).sum())
    local = np.select(
        [thread == 0, thread == 1, thread == 2],
        [turn, 33 * turn, rng.integers(1024, size=n)],
        rng.integers(blocks, size=n),
    )
    return 2 * np.arange(n), (bases[thread] + local) % blocks


GENERATORS: dict[str, Callable[[int, int, np.random.Generator], Generated]] = {
    "synthetic-strided": _strided,
    "synthetic-random": _random,
    "synthetic-pointer-chase": _pointer_chase,
    "synthetic-bursty": _bursty,
    "synthetic-mixed": _mixed,
}
WRITES = 0.3
"""Share of requests that write, in generated workloads; a pointer chase only reads."""


def generate(name: str, memory: Memory, requests: int, seed: int) -> Trace:
    """A synthetic trace over the whole memory; the same name, memory, number and seed give the same trace."""
    rng = np.random.default_rng([seed, list(GENERATORS).index(name)])
    cycles, blocks = GENERATORS[name](requests, memory.size // memory.request_bytes, rng)
    writes = rng.random(requests) < (0.0 if name == "synthetic-pointer-chase" else WRITES)
    return Trace(f"{name} (seed {seed})", cycles, writes, blocks * memory.request_bytes)


def load_workload(workload: str, memory: Memory, requests: int, seed: int) -> tuple[Trace, bool]:
    """A published trace, a generated one, or that of a file.

    Args:
        workload: name, or path of a trace file.
        memory: that a generated trace has to fit.
        requests: length of a generated trace.
        seed: of a generated trace.

    Returns:
        The trace, and whether its addresses are known to go beyond the memory (CHStone's do).

    Raises:
        ValueError: neither a known name nor a file; a trace that does not parse; a published one that is not on this
            machine.
    """
    if workload in GENERATORS:
        if requests < 1:
            raise ValueError(f"requests = {requests}; at least 1")
        return generate(workload, memory, requests, seed), False
    if workload in PUBLISHED:
        return read_trace(data.find(f"archgym/dram/traces/{PUBLISHED[workload]}")), workload.startswith("chstone")
    if Path(workload).is_file():
        return read_trace(workload), False
    names = [*PUBLISHED, *GENERATORS]
    raise ValueError(f"workload = {workload!r} is neither a file nor a known name; {suggest(workload, names)}")
