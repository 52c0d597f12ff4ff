"""The proxy-model experiment of ArchGym on our memory controller: error against training size and source of the data.

    OMP_NUM_THREADS=1 DESIGNOPT_DATA=FOLDER python benchmarks/proxy.py [POOL]

Designs are evaluated on the published trace `random`; test designs are never canonically equal to a training design.
The metrics are those of ArchGym: energy, average power, and time. Writes docs/benchmarks/proxy.md and proxy.png.
"""

import sys
import time
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

import designopt as do
from designopt.envs.hardware.dram.env import canonical
from designopt.envs.surrogate_env import SurrogateEnv
from designopt.provenance import versions
from designopt.surrogates.ensemble import Ensemble, fit_proxy, mixed, quality, split

OUTPUT = Path(__file__).parents[1] / "docs" / "benchmarks" / "proxy.md"
ID = "designopt/DRAMController-v0"
METRICS = ("energy_pj", "power_mw", "time_ns")
AGENTS = ("ga", "aco", "local")
AGENT_BUDGET = 3000
SIZES = (100, 1000, 10_000, 50_000)
TOOL_SECONDS = (0.10, 0.25)
"""Of one run of DRAMSys on such a trace, measured when the reference runs were made, on another machine."""


def outputs(evaluation):
    return np.stack([evaluation.metrics[name] for name in METRICS], axis=1)


def representative(designs):
    """One of all designs with the same result; on a saturated trace nothing is pulled in, so that limit is inert."""
    designs = canonical(designs.astype(np.int64), read_only=True)
    designs[:, 7] = 1
    return designs


def row(label, n, kind, model, X, Y, seconds):
    mean, _ = model.predict(X)
    found = [quality(Y[:, j], mean[:, j]) for j in range(len(METRICS))]
    errors = " | ".join(f"{q.rmse_percent:.2f}" for q in found)
    last = found[-1]
    line = (
        f"| {label} | {n} | {kind} | {errors} | {last.mae_percent:.2f} | {last.r2:.4f} | {last.spearman:.4f} "
        f"| {last.top_recall:.2f} | {seconds:.1f} |"
    )
    print(line, flush=True)
    return line, np.mean([q.rmse_percent for q in found])


def rate(function, n):
    """Designs a second of processor time."""
    started = time.process_time()
    function()
    return n / (time.process_time() - started)


def main(pool=60_000):
    env = do.make(ID, workload="random", goal="latency")
    designs = env.design_space.sample(pool, seed=0)
    truth = outputs(env.evaluate(designs))
    train, test = split(representative(designs), 0.1, seed=0)
    test_keys = {key.tobytes() for key in representative(designs[test])}
    X, Y = designs[test], truth[test]

    head = "| source | n | model | energy | power | time | time: MAE | R2 | Spearman | top-1% recall | fit, CPU s |"
    table = [head, "|---" * 11 + "|"]
    curve = {}
    sizes = sorted({min(n, len(train)) for n in SIZES})
    for kind in ("forest", "mlp"):
        for n in sizes:
            started = time.process_time()
            model = Ensemble(env.design_space, kind).fit(designs[train[:n]], truth[train[:n]])
            line, error = row("uniform", n, kind, model, X, Y, time.process_time() - started)
            table.append(line)
            curve.setdefault(kind, []).append(error)
    largest = model

    sources = {"uniform": np.hstack([designs[train], truth[train]])[:AGENT_BUDGET]}
    for agent in AGENTS:
        result = do.optimize(env, search=agent, budget=AGENT_BUDGET, seed=0)
        unseen = [key.tobytes() not in test_keys for key in representative(result.designs)]
        sources[agent] = np.hstack([result.designs, outputs(result.evaluation)])[unseen]
    d = env.design_space.dim
    for n in (1000, 2500):
        parts = {name: rows[:n] for name, rows in sources.items()}
        parts["mix of the four"] = mixed(sources, n, seed=0)
        parts["mix of the three agents"] = mixed({a: sources[a] for a in AGENTS}, n, seed=0)
        for name, rows in parts.items():
            started = time.process_time()
            model = Ensemble(env.design_space, "forest").fit(rows[:, :d], rows[:, d:])
            table.append(row(name, len(rows), "forest", model, X, Y, time.process_time() - started)[0])

    other = do.make(ID, workload="cloud-1", goal="latency")
    forest = Ensemble(env.design_space, "forest").fit(designs[train[:10_000]], truth[train[:10_000]])
    held = outputs(other.evaluate(X[:1000]))
    table.append(row("tested on cloud-1", min(10_000, len(train)), "forest", forest, X[:1000], held, 0.0)[0])

    batch = designs[:10_000]
    plain = do.make(ID, workload="random", goal="latency", memoise=False)
    some = designs[:200]
    rates = {
        "forest of 100 trees, three metrics": rate(lambda: forest.predict(batch), len(batch)),
        "five networks, three metrics": rate(lambda: largest.predict(batch), len(batch)),
        "embedded model, simulating every design": rate(lambda: plain.evaluate(some), len(some)),
    }
    print(rates, flush=True)

    known = env.evaluate(designs[train[:1000]])
    proxy = SurrogateEnv(env, fit_proxy(env, designs[train[:1000]], known, members=30))
    on_proxy = do.optimize(proxy, search="ga", budget=2000, seed=0)
    _, confirmed = proxy.reevaluate(on_proxy, n=20)
    directly = do.optimize(env, search="ga", budget=1020, seed=0)
    search = (
        f"Searching on it: `ga` spends 2000 evaluations on a forest that learned 1000 uniform designs, and the 20 "
        f"best are simulated. Best time of the 1000: {known.objectives.min() / 1000:.3f} us; promised by the proxy: "
        f"{on_proxy.best_value / 1000:.3f} us; confirmed: {confirmed.objectives.min() / 1000:.3f} us. The same 1020 "
        f"simulations spent by `ga` directly: {directly.best_value / 1000:.3f} us."
    )
    print(search)
    write(table, sizes, curve, rates, search, len(X), len(test_keys), pool)


def write(table, sizes, curve, rates, search, tested, distinct, pool):
    figure, axes = plt.subplots(figsize=(5, 3.2), layout="constrained")
    for kind, errors in curve.items():
        axes.loglog(sizes, errors, "o-", label={"forest": "random forest", "mlp": "networks"}[kind])
    axes.axhline(0.61, color="0.5", linestyle=":", label="published: 0.61 %")
    axes.set(xlabel="training designs (uniform)", ylabel="RMSE, % of the mean, mean of three")
    axes.legend(frameon=False)
    figure.savefig(OUTPUT.with_suffix(".png"), dpi=120)
    embedded = rates["embedded model, simulating every design"]
    speed = ["| what | designs/s | times the embedded model | times DRAMSys at 0.10 to 0.25 s |", "|---|---|---|---|"]
    for name, per_second in rates.items():
        low, high = (per_second * seconds for seconds in TOOL_SECONDS)
        speed.append(f"| {name} | {per_second:,.0f} | {per_second / embedded:,.1f} | {low:,.0f} to {high:,.0f} |")
    used = ", ".join(f"{k} {v}" for k, v in versions().items() if k in ("python", "numpy", "scikit-learn"))
    OUTPUT.write_text(
        "\n".join(
            [
                "# Proxy models of the memory controller",
                "",
                f"`DRAMController-v0` on the published trace `random` (10 000 reads), {pool} uniform designs of the "
                f"full ranges; tested on {tested} of them ({distinct} distinct up to inert parameters), none of which "
                "is equal to a training design up to inert parameters. Errors are RMSE in percent of the mean unless "
                "said otherwise. Published by ArchGym: RMSE 0.61 %, 2000 times faster than its simulator.",
                "",
                "![Error against training size](proxy.png)",
                "",
                *table,
                "",
                f"Agents searched for the least time, {AGENT_BUDGET} evaluations each, seed 0; a mix takes equal "
                "shares.",
                "",
                "## Speed",
                "",
                "On one core, predicting 10 000 designs at once. The seconds of DRAMSys were measured on another "
                "machine, so the last column gives an order of magnitude.",
                "",
                *speed,
                "",
                search,
                "",
                f"Command: `OMP_NUM_THREADS=1 python benchmarks/proxy.py {pool}`. Versions: {used}.",
                "",
            ]
        )
    )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
