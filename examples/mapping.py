"""Map a layer of ResNet-18 on an array of processing elements, and see where the elements that are moved come from."""

import designopt as do
from designopt.envs.hardware.mapping import analyse

env = do.make("designopt/Mapping-v0", goal="edp")
for search in ("random", "gamma"):
    result = do.optimize(env, search=search, budget=400, seed=0)
    print(f"{search:7} {result.best_value:.3e} {env.objectives[0].unit}")
print({name: value for name, value in result.best.items() if "tile" in name})

layer = {"K": 64, "C": 64, "Y": 58, "X": 58, "R": 3, "S": 3}
for loops in ("T K 1 1;T C 4 4;S Y' 7 7;T X' 14 14", "S Y' 7 7;T X' 14 14;T K 1 1;T C 4 4"):
    mapping = f"{loops};T R 3 3;T S 3 3"
    found = analyse(layer, mapping, 8, noc_bw=64, offchip_bw=16, model="corrected")
    print(f"{mapping}: {found.runtime:,} cycles, {found.input_l2_rd:,} inputs and {found.filter_l2_rd:,} weights read")
