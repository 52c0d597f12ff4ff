"""An accelerator for a network: the best array found by an ant colony, and how far it is from the true optimum."""

import designopt as do

KEYWORD_SPOTTING = [  # or a CSV file with these columns, or the name of a published network
    {"name": "conv", "ifmap_h": 51, "ifmap_w": 44, "filter_h": 10, "filter_w": 8, "channels": 1, "num_filters": 64,
     "stride": 2},
    {"name": "pointwise", "ifmap_h": 21, "ifmap_w": 19, "filter_h": 1, "filter_w": 1, "channels": 64, "num_filters": 64,
     "stride": 1, "repeat": 4},
    {"name": "dense", "ifmap_h": 1, "ifmap_w": 1, "filter_h": 1, "filter_w": 1, "channels": 64, "num_filters": 12,
     "stride": 1},
]  # fmt: skip


def main(budget=500):
    env = do.make("designopt/SystolicArray-v0", layers="resnet18", goal="edp")
    result = do.optimize(env, search="aco", budget=budget, seed=0)
    print(f"resnet18: {result.best}")
    print(f"energy-delay product {result.best_value / env.reference.value:.3f} times that of the true optimum")

    own = do.make("designopt/SystolicArray-v0", layers=KEYWORD_SPOTTING, goal="latency", area_budget_mm2=0.3)
    small = do.optimize(own, search="aco", budget=budget, seed=0)
    print(f"keyword spotting in 0.3 mm2: {small.best_value:.0f} cycles with {small.best}")
    return result, small


if __name__ == "__main__":
    main()
