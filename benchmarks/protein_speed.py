"""Evaluations a second of the sequence landscapes, on one core -> docs/benchmarks/protein_speed.md."""

import time
from pathlib import Path

import designopt as do

TARGET = Path(__file__).parents[1] / "docs" / "benchmarks" / "protein_speed.md"
REPEATS = 5


def rate(env, designs):
    """Best of several repetitions."""
    best = float("inf")
    for _ in range(REPEATS):
        started = time.process_time()
        env.evaluate(designs)
        best = min(best, time.process_time() - started)
    return len(designs) / best


def main():
    lines = [
        "# Speed of the sequence landscapes",
        "",
        f"`python benchmarks/protein_speed.py`: one core, CPU time, best of {REPEATS}, with the account of calls.",
        "",
        "| landscape | designs a call | evaluations a second | target |",
        "|---|---|---|---|",
    ]
    for name in ("GB1", "PhoQ", "AAV", "TFBind8"):
        env = do.make(f"designopt/{name}-v0")
        n = 1_000_000 if name != "AAV" else 100_000
        target = "1e6" if name == "GB1" else ""
        lines.append(f"| {name} | {n} | {rate(env, env.design_space.sample(n, 0)):.3g} | {target} |")
    for dim, motifs, length in ((32, 4, 4), (64, 2, 4), (128, 4, 4), (256, 8, 8)):
        env = do.make("designopt/Ehrlich-v0", dim=dim, num_motifs=motifs, motif_length=length)
        designs = env.initial_solution(20_000)
        lines.append(f"| Ehrlich, L = {dim}, c = {motifs}, k = {length} | 20000 | {rate(env, designs):.3g} | 1e5 |")
    TARGET.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
