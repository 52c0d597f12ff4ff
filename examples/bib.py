"""One batch from data alone: 220 designs known, none of them near the top, no result in between."""

import designopt as do

env = do.make("designopt/GaussianMixture-v0", separation=0, imbalance=0.1)
result = do.optimize(env, "bib", budget=64, kernel="encoder", seed=0)
print(f"known beforehand: {env.offline_data()[1].objectives.max():.3f} of 2.5")
print(f"best of one batch of {len(result.designs)}: {result.best_value:.3f}")
print(f"balance of the two losses that was learnt, on average: {result.trace[0]['gamma']:.2f}")
