"""Two peaks: 200 designs known around the low one, 10 on the far shoulder of the high one, 12 away."""

import designopt as do

env = do.make("designopt/GaussianMixture-v0", separation=4, imbalance=0.05)
print("known beforehand:", env.offline_data()[1].objectives.max())
for name, strength in (("pgvae", 1.0), ("plain autoencoder", 0.0)):
    result = do.optimize(
        env, "pgvae", budget=200, latent=2, layers=2, minibatch=128, epochs=200, strength=strength, device="cpu"
    )
    print(f"{name}: best {result.best_value:.3f} of 2.5, unique share {result.trace[-1]['unique']:.0%}")
