"""An accelerator for AlexNet's convolutions: a cheap design by an ant colony, and the traffic of one given mapping."""

import designopt as do
from designopt.envs.hardware.accelerator.env import BASELINE
from designopt.envs.hardware.accelerator.fixed_mapping import analyse


def main(budget=300):
    env = do.make("designopt/DNNAccelerator-v0", layers="alexnet", goal="edp")
    eyeriss = env.evaluate(env.unwrapped.design_space.encode([BASELINE])).objectives[0, 0]
    result = do.optimize(env, search="aco", budget=budget, seed=0)
    print(f"energy-delay product {result.best_value / eyeriss:.3f} times that of Eyeriss, with {result.best}")

    layer = {"K": 64, "C": 64, "OY": 56, "OX": 56, "FY": 3, "FX": 3, "stride": 1}
    stays = {
        "W": "FX 3;FY 3|C 8;OX 56;OY 56;K 8|",
        "I": "FX 3;FY 3|C 8;OX 56;OY 56;K 8|",
        "O": "FX 3;FY 3;C 8|OX 56|OY 56;K 8|",
    }
    traffic = analyse(layer, "D1 K 8;D2 C 8", stays)
    print(f"one mapping on ZigZag's Eyeriss: {traffic.energy_total / 1e6:.1f} uJ, {traffic.cycles} cycles")
    return result, traffic


if __name__ == "__main__":
    main()
