"""Bayesian optimisation of a welded beam with a pre-trained model, and what a proposal costs beside a fitted one."""

import designopt as do


def main(budget=40, fitted_budget=16):
    env = do.make("designopt/WeldedBeam-v0")
    network = do.optimize(env, search="agp", budget=budget, seed=0)
    print(f"best feasible cost after {budget} evaluations: {network.best_value}; known optimum: {env.reference.value}")
    print(f"agp: {network.search_seconds / budget:.3f} s per evaluation of a search over {budget}")
    fitted = do.optimize(env, search="gp", budget=fitted_budget, seed=0)
    print(f"gp: {fitted.search_seconds / fitted_budget:.3f} s per evaluation of a search over {fitted_budget}")
    plus = do.optimize(env, search="agp", acquisition="cei_plus", budget=budget, seed=0)
    print(f"best feasible cost with acquisition='cei_plus': {plus.best_value}")
    return network


if __name__ == "__main__":
    main()
