"""The same budget for several backends, several seeds each."""

import numpy as np

import designopt as do


def main(budget=60, seeds=3, backends=("random", "sobol", "local", "ga", "de", "tpe")):
    env = do.make("designopt/PressureVessel-v0", variant="mixed")
    print(f"known optimum {env.reference.value:.1f} {env.objectives[0].unit}")
    found = {}
    for name in backends:
        results = [do.optimize(env, search=name, budget=budget, seed=seed) for seed in range(seeds)]
        found[name] = [np.nan if r.best_value is None else r.best_value for r in results]
        print(f"{name:8s} median best {np.nanmedian(found[name]):10.1f}")
    return found


if __name__ == "__main__":
    main()
