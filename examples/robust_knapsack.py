"""A robust knapsack: what to commit to, what is proved about it, and what happens in the worst case."""

import designopt as do

DONE = ("outsourced", "produced", "produced and repaired")


def main(n=20, seed=0):
    env = do.make("designopt/RobustKnapsack-v0", n=n, correlation="SC", seed=seed)
    result = do.optimize(
        env, search="relaxed_recourse", budget=50, seed=0, static_seconds=0.5, relaxed_seconds=2.0, descent_seconds=1.0
    )
    design = result.designs[result.best_row]
    (low, high), scenario, recourse = env.worst_case(design)
    print(f"worst-case profit: {low:.3f} to {high:.3f}; no design has more than {result.bound:.3f}")
    print(f"gap: {100 * (result.bound - low) / low:.2f} %")
    print("worst scenario: " + ", ".join(f"item {i} {xi:.2f}" for i, xi in enumerate(scenario) if xi > 0.005))
    for choice, what in enumerate(DONE):
        print(f"{what}: {[i for i in range(n) if design[i] > 0.5 and recourse[i] == choice]}")
    return result


if __name__ == "__main__":
    main()
