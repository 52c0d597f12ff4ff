"""Two objectives: the front of cost against deflection of a welded beam."""

import designopt as do


def main(budget=400):
    env = do.make("designopt/WeldedBeamMO-v0")
    result = do.optimize(env, search="nsga2", budget=budget, seed=0)
    front = result.pareto.sort_values(env.objectives[0].name)
    print(front.to_string(index=False, float_format="%.4g"))
    print(f"hypervolume {result.hypervolume():.4g} of about {env.reference.hypervolume:.4g}")
    return result


if __name__ == "__main__":
    main()
