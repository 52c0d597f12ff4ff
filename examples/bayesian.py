"""Bayesian optimisation of a welded beam with a pre-trained model: two acquisition functions, and a fitted model."""

import designopt as do


def main(budget=40):
    env = do.make("designopt/WeldedBeam-v0")
    print(f"known optimum: {env.reference.value}")
    results = {
        "agp": do.optimize(env, search="agp", budget=budget, seed=0),
        "agp, cei_plus": do.optimize(env, search="agp", acquisition="cei_plus", budget=budget, seed=0),
        "gp": do.optimize(env, search="gp", budget=budget, seed=0),
    }
    for name, result in results.items():
        print(f"{name}: {result.best_value}, {result.search_seconds / budget:.3f} s per proposal")
    return results


if __name__ == "__main__":
    main()
