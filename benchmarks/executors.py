"""What an executor adds to one evaluation: serial, local processes, Ray, each one at a time and in chunks.

    python benchmarks/executors.py

The objective is a vectorised function that costs microseconds, so nearly all of the time is the executor's. Each figure
is the least of several repeats, for other programs on the machine only ever add to it. Writes
docs/benchmarks/executors.md.
"""

import os
import platform
import time
from pathlib import Path

import numpy as np

from designopt import DesignEnv, DesignSpace, Evaluation, Objective, Real
from designopt.executors import evaluate_safely, make_executor

OUTPUT = Path(__file__).parents[1] / "docs" / "benchmarks" / "executors.md"
REPEATS = 15

ROWS = {
    "serial": {},
    "process": {"kind": "process"},
    "process, time limit": {"kind": "process", "timeout": 60.0},
    "process, time and memory limit": {"kind": "process", "timeout": 60.0, "memory_mb": 4000.0},
    "process, 2 workers": {"kind": "process", "workers": 2},
    "Ray": {"kind": "ray"},
    "Ray, time limit": {"kind": "ray", "timeout": 60.0},
}


class Sphere(DesignEnv):
    """Sum of squares of four parameters."""

    design_space = DesignSpace({name: Real(-5, 5) for name in ("x1", "x2", "x3", "x4")})
    objectives = (Objective("y"),)

    def evaluate(self, designs):
        """designs: (n, 4) -> objectives (n, 1)."""
        return Evaluation((designs**2).sum(axis=1, keepdims=True))


def microseconds(run, evaluations):
    """Least time per evaluation over the repeats."""
    times = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        run()
        times.append(time.perf_counter() - started)
    return min(times) / evaluations * 1e6


def measure(arguments):
    """-> start-up in seconds, then microseconds per evaluation one at a time and in chunks, and the chunk."""
    env = Sphere()
    single, many = env.design_space.sample(1, seed=0), env.design_space.sample(20_000, seed=0)

    def at_once(designs):
        executor.submit(np.arange(len(designs)), designs)
        left, chunk = len(designs), 0
        while left:
            for finished in executor.wait():
                left -= len(finished.orders)
                chunk = max(chunk, len(finished.orders))
        return chunk

    def one_at_a_time(n=50):
        for _ in range(n):
            at_once(single)

    started = time.perf_counter()
    with make_executor(env, **arguments) as executor:
        at_once(single)
        start = time.perf_counter() - started
        alone = microseconds(one_at_a_time, 50)
        chunk = at_once(many)
        return start, alone, microseconds(lambda: at_once(many), len(many)), chunk


def main():
    single, many = Sphere.design_space.sample(1, seed=0), Sphere.design_space.sample(1000, seed=0)
    lines = [
        "# Executors: time added to one evaluation",
        "",
        f"Command: `python benchmarks/executors.py`, on {os.cpu_count()} cores ({platform.machine()}), Python "
        f"{platform.python_version()}, load average {os.getloadavg()[0]:.1f} before it began.",
        f"Least of {REPEATS} repeats. Start-up is from nothing to the first result; Ray's includes starting a cluster.",
        "",
        "| executor | start-up, s | one at a time, µs | in chunks, µs | largest chunk |",
        "|---|---|---|---|---|",
    ]

    def bare():
        for _ in range(50):
            evaluate_safely(Sphere(), single)

    alone = microseconds(bare, 50)
    together = microseconds(lambda: evaluate_safely(Sphere(), many), len(many))
    lines.append(f"| none: the guarded call of the evaluator | - | {alone:.0f} | {together:.2f} | 1000 |")
    for name, arguments in ROWS.items():
        start, alone, chunked, chunk = measure(arguments)
        lines.append(f"| {name} | {start:.1f} | {alone:.0f} | {chunked:.1f} | {chunk} |")
        print(lines[-1], flush=True)
    OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    OUTPUT.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
