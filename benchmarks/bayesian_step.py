"""CPU time of one proposal of Bayesian optimisation, with fitted and with pre-trained models.

    OMP_NUM_THREADS=1 python benchmarks/bayesian_step.py

Constrained engineering problems with five or more constraints, after n designs: half of them uniform at random,
half normal around the known optimum, as a search leaves them. A step is all of ``ask``: models of every output, and the
acquisition function's maximum. The surrogates take turns, and the least of several times counts, for the machine may be
busy. Writes docs/benchmarks/bayesian_step.md.
"""

import datetime
import time
import warnings
from pathlib import Path

import bayesian_peers
import numpy as np
import torch

import designopt as do
from designopt.launch import make_searcher
from designopt.provenance import versions

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks" / "bayesian_step.md"
PROBLEMS = ("WeldedBeam", "HeatExchanger", "CarSideImpact")
BACKENDS = {"gp": "gp", "agp": "agp", "pfn": "pfn", "gp-botorch": bayesian_peers.BoTorchGP}
TOLD = (99, 100)  # every second proposal stays near the best design
TURNS = 2
TARGET = 20
CANDIDATES = {
    "gp-botorch": "256, 8 polished",
    "gp": "1024, 6 polished",
    "agp": "512, 4 polished",
    "pfn": "512, 3 polished",
}


def history(env, n):
    """(n, d) designs, the same for all backends."""
    rng = np.random.default_rng(0)
    space = env.design_space
    near = space.to_unit(np.array([env.reference.design])) + 0.1 * rng.standard_normal((n // 2, space.dim))
    return np.concatenate([space.sample(n - n // 2, 0), space.from_unit(np.clip(near, 0, 1))])


def seconds(env):
    """Backend -> least CPU seconds of one proposal, mean over the numbers of designs told."""
    found = {name: [] for name in BACKENDS}
    for n in TOLD:
        designs = history(env, n)
        evaluation = env.evaluate(designs)
        times = {name: [] for name in BACKENDS}
        for turn in range(TURNS):
            for name, backend in BACKENDS.items():
                if turn and name == "gp-botorch":  # takes seconds: no noise that matters
                    continue
                searcher = make_searcher(env, backend, seed=0, device="cpu")
                searcher.tell(designs, evaluation)
                started = time.process_time()
                searcher.ask(1, designs[:0])
                times[name].append(time.process_time() - started)
        for name in BACKENDS:
            found[name].append(min(times[name]))
    return {name: float(np.mean(values)) for name, values in found.items()}


def main():
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    make_searcher(do.make("designopt/WeldedBeam-v0"), "pfn", seed=0, device="cpu")  # weights and libraries are loaded
    rows = []
    for problem in PROBLEMS:
        env = do.make(f"designopt/{problem}-v0")
        rows.append((problem, env.design_space.dim, 1 + len(env.constraints), seconds(env)))
        print(rows[-1], flush=True)
    write(rows)


def write(rows):
    names = list(BACKENDS)
    lines = [
        "| problem | d | outputs | " + " | ".join(names) + " | gp / agp | gp / pfn |",
        "|---" * (len(names) + 5) + "|",
    ]
    for problem, d, m, found in rows:
        cells = [f"{found[name]:.3f}" for name in names]
        cells += [f"{found['gp'] / found[name]:.1f}" for name in ("agp", "pfn")]
        lines.append(f"| {problem} | {d} | {m} | " + " | ".join(cells) + " |")
    mean = {name: np.mean([found[name] for *_, found in rows]) for name in names}
    ratios = [f"**{mean['gp'] / mean[name]:.1f}**" for name in ("agp", "pfn")]
    lines.append(
        "| **mean** | | | " + " | ".join(f"**{mean[name]:.3f}**" for name in names) + f" | {' | '.join(ratios)} |"
    )
    used = ", ".join(
        f"{k} {v}" for k, v in versions().items() if k in ("python", "torch", "botorch", "gpytorch", "scipy")
    )
    peer = ", ".join(f"`{name}` {mean['gp-botorch'] / mean[name]:.1f}" for name in ("gp", "agp", "pfn"))
    budget = ", ".join(f"`{name}` {text}" for name, text in CANDIDATES.items())
    PAGE.write_text(f"""# CPU time of one proposal

Seconds of one thread for one `ask` after {TOLD[0]} and {TOLD[1]} designs (mean of both), least of {TURNS} turns
(`gp-botorch`: one). Half of the designs are uniform at random, half normal around the known optimum. `gp` fits all
outputs at once; `gp-botorch` is what one writes with BoTorch alone. Candidates per step: {budget}.

{chr(10).join(lines)}

Target: `agp` and `pfn` take at most a {TARGET}th of the time of `gp`. Measured: {mean["gp"] / mean["agp"]:.1f} and
{mean["gp"] / mean["pfn"]:.1f} times less. Against `gp-botorch` it is {peer} times less. Target of a step with about 10
parameters and 6 outputs: 0.5 s.

Made by `OMP_NUM_THREADS=1 python benchmarks/bayesian_step.py`, beside one other job on two cores.
{used}; {datetime.date.today().isoformat()}.
""")


if __name__ == "__main__":
    main()
