"""A Gaussian process without a fit: condition the shipped network on data, then use any BoTorch acquisition."""

import torch
from botorch.acquisition import qLogExpectedImprovement
from botorch.optim import optimize_acqf

from designopt.surrogates import AmortizedGP

torch.manual_seed(0)
agp = AmortizedGP.load()
box = torch.tensor([[0.0, 0.0], [1.0, 1.0]], dtype=torch.double)


def drag(X):
    """Of designs (n, 2) in the unit cube; least at (0.3, 0.6)."""
    return ((X - torch.tensor([0.3, 0.6])) ** 2).sum(dim=1, keepdim=True) + 0.1


X = torch.rand(8, 2, dtype=torch.double)
for _ in range(4):
    model = agp.condition_on(X, -drag(X))  # milliseconds; BoTorch maximises
    acquisition = qLogExpectedImprovement(model, best_f=-drag(X).min())
    candidates, _ = optimize_acqf(acquisition, box, q=2, num_restarts=2, raw_samples=64)
    X = torch.cat([X, candidates])

best = X[drag(X).argmin()]
print(f"best of {len(X)} designs: {best[0]:.3f}, {best[1]:.3f}; drag {drag(best[None]).item():.4f}")
theta = model.theta
print("length-scales", [round(v, 2) for v in theta.lengthscale[0].tolist()], "noise", f"{theta.noise.item():.1e}")
