"""Optimise a registered environment, print what was found and write a report."""

import designopt as do


def main(budget=30, search="gp", folder="."):
    env = do.make("designopt/WeldedBeam-v0")
    result = do.optimize(env, search=search, budget=budget, seed=0)
    print(f"best feasible cost after {budget} evaluations: {result.best_value}; known optimum: {env.reference.value}")
    print(result.frame.groupby("status")["seconds"].agg(["count", "mean"]))
    print(result.report(f"{folder}/welded_beam.html"))
    return result


if __name__ == "__main__":
    main()
