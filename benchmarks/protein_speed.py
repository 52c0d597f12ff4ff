"""Evaluations a second of the sequence landscapes, on one core -> docs/benchmarks/protein_speed.md.

The peer for Ehrlich functions is pytorch-holo (``pip install --no-deps pytorch-holo``: it asks for an older NumPy, but
its test functions do not need one); without it, its columns stay empty.
"""

import time
from importlib.metadata import version
from pathlib import Path

import numpy as np

import designopt as do

try:
    from holo.test_functions.closed_form import Ehrlich as Peer
except ImportError:
    Peer = None

TARGET = Path(__file__).parents[1] / "docs" / "benchmarks" / "protein_speed.md"
REPEATS = 5
PEER_DESIGNS = 2000  # in one call: it is slower, and needs more memory


def rate(evaluate, designs):
    """Best of several repetitions."""
    best = float("inf")
    for _ in range(REPEATS):
        started = time.process_time()
        evaluate(designs)
        best = min(best, time.process_time() - started)
    return len(designs) / best


def beside(env, designs, **arguments):
    """Rate of the peer on the same function, and its greatest difference in value, over these and random designs."""
    if Peer is None:
        return ["", ""]
    import torch

    torch.set_num_threads(1)
    peer = Peer(num_states=32, quantization=arguments["motif_length"], random_seed=0, **arguments)
    both = np.concatenate([designs[:2000], env.design_space.sample(2000, 0), [env.optimal_solution()]])
    evaluation = env.evaluate(both)
    ours = np.where(evaluation.feasible, evaluation.objectives[:, 0], -np.inf)
    theirs = peer(torch.as_tensor(both).long()).double().numpy()
    assert np.array_equal(np.isinf(ours), np.isinf(theirs)), "one calls feasible what the other does not"
    finite = np.isfinite(ours)
    differ = np.abs(ours[finite] - theirs[finite]).max()
    return [f"{rate(peer, torch.as_tensor(designs[:PEER_DESIGNS]).long()):.3g}", f"{differ:.1g}"]


def main():
    lines = [
        "# Speed of the sequence landscapes",
        "",
        f"`python benchmarks/protein_speed.py`: one core, CPU time, best of {REPEATS}, with the account of calls.",
        "",
        "| landscape | designs a call | evaluations a second | target | pytorch-holo | values differ by |",
        "|---|---|---|---|---|---|",
    ]
    for name in ("GB1", "PhoQ", "AAV", "TFBind8"):
        env = do.make(f"designopt/{name}-v0")
        n = 1_000_000 if name != "AAV" else 100_000
        target = "1e6" if name == "GB1" else ""
        lines.append(f"| {name} | {n} | {rate(env.evaluate, env.design_space.sample(n, 0)):.3g} | {target} | | |")
    for dim, motifs, length in ((32, 4, 4), (64, 2, 4), (128, 4, 4), (256, 8, 8)):
        env = do.make("designopt/Ehrlich-v0", dim=dim, num_motifs=motifs, motif_length=length)
        designs = env.initial_solution(20_000)
        ours = rate(env.evaluate, designs)
        peer, differ = beside(env, designs, dim=dim, num_motifs=motifs, motif_length=length)
        lines.append(
            f"| Ehrlich, L = {dim}, c = {motifs}, k = {length} | 20000 | {ours:.3g} | 1e5 | {peer} | {differ} |"
        )
    if Peer is not None:
        name = f"pytorch-holo {version('pytorch-holo')}"
        lines += [
            "",
            f"Peer: {name}, one thread, {PEER_DESIGNS} designs a call. Values are compared on feasible and on",
        ]
        lines += ["random designs; both call the same ones infeasible."]
    TARGET.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
