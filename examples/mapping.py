"""Map a layer of ResNet-18 on an array of processing elements, and see what MAESTRO's counts leave out."""

import designopt as do
from designopt.envs.hardware.mapping import analyse

env = do.make("designopt/Mapping-v0", goal="edp")
for search in ("random", "gamma"):
    result = do.optimize(env, search=search, budget=600, seed=0)
    print(f"{search:7} {result.best_value:.3e} {env.objectives[0].unit}")
print({name: value for name, value in result.best.items() if "tile" in name})

layer = {"K": 64, "C": 64, "Y": 58, "X": 58, "R": 3, "S": 3}
mapping = "T K 1 1;T C 1 1;S Y' 7 7;T X' 14 14;T R 3 3;T S 3 3|8|S X' 2 2;T R 3 3;T S 3 3;T Y' 7 7"
for model in ("maestro", "corrected"):
    found = analyse(layer, mapping, 64, noc_bw=64, offchip_bw=16, model=model)
    print(
        f"{model:9} {found.runtime:,} cycles, inputs read from L2: {found.input_l2_rd:,}, outputs: {found.output_l2_rd:,}"
    )
