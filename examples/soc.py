"""A chip for a stereo camera: blocks, wires and mapping by FARSI's heuristic, and a task graph of one's own."""

import designopt as do

KEYWORD_SPOTTING = {  # or a folder of tables in FARSI's format, or "audio", "edge_detection", "cava"
    "source": {"work": 0, "children": {"fft": 32_000}},
    "fft": {"work": 4e6, "children": {"mel": 40_000, "energy": 2_000}},
    "mel": {"work": 1e6, "children": {"network": 4_000}},
    "energy": {"work": 2e5, "children": {"decide": 100}},
    "network": {"work": 3e7, "children": {"decide": 48}},
    "decide": {"work": 1e4, "children": {"sink": 4}},
    "sink": {"work": 0},
}


def main(budget=300):
    env = do.make("designopt/SoC-v0", goal="energy")
    result = do.optimize(env, search="farsi", budget=budget, seed=0)
    evaluation = result.evaluation[int(result.evaluation.feasible.nonzero()[0][0])]
    first = evaluation.objectives[0, 0]
    print(f"stereo depth in 33 ms: the first design within the budgets needs {first * 1e3:.2f} mJ a frame,")
    print(f"the best of {budget} needs {result.best_value * 1e3:.2f} mJ")
    used = {name: kind for name, kind in result.best.items() if kind in ("core", "accelerator", "sram", "dram")}
    print(f"blocks: {used}")

    own = do.make("designopt/SoC-v0", workload=KEYWORD_SPOTTING, pes=3, latency_budget_s=0.02, power_budget_w=0.08)
    small = do.optimize(own, search="farsi", budget=budget, seed=0)
    print(f"keyword spotting in 20 ms and 80 mW: {small.best_value * 1e3:.3f} mJ")
    return result, small


if __name__ == "__main__":
    main()
