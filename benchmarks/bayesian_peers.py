"""Peers of designopt's Bayesian optimisation, straight from BoTorch: what one would write without designopt.

References: [Gardner2014] Bayesian optimization with inequality constraints, ICML. [Ament2023] Unexpected improvements
to expected improvement, NeurIPS. [Yu2025] Fast and accurate Bayesian optimization with pre-trained transformers for
constrained engineering problems, Structural and Multidisciplinary Optimization.
"""

import warnings

import torch
from botorch.acquisition.analytic import (
    ConstrainedExpectedImprovement,
    LogConstrainedExpectedImprovement,
    LogExpectedImprovement,
    LogProbabilityOfFeasibility,
)
from botorch.fit import fit_gpytorch_mll
from botorch.models import SingleTaskGP
from botorch.models.transforms import Normalize, Standardize
from botorch.optim import optimize_acqf
from gpytorch.mlls import ExactMarginalLogLikelihood

from designopt import History, Searcher
from designopt.surrogates.device import one_thread


class BoTorchPeer(Searcher):
    """Fit, maximise the acquisition function, round to a design."""

    restarts, raw = 8, 256

    def __init__(self, env, config=None, *, seed=0, device="cpu"):
        super().__init__(env, config, seed=seed, device=device)
        self.history = History(env)

    def tell(self, designs, evaluation):
        """Remember n designs."""
        self.history.append(designs, evaluation)

    @one_thread
    def ask(self, n, pending):
        """-> (1, d)."""
        torch.manual_seed(self.seed * 100_003 + len(self.history))
        X = torch.as_tensor(self.history.unit[self.history.ok])
        bounds = torch.tensor([[0.0], [1.0]], dtype=torch.double).expand(2, X.shape[1])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            acquisition = self.acquisition(X)
            found, _ = optimize_acqf(acquisition, bounds, 1, num_restarts=self.restarts, raw_samples=self.raw)
        return self.space.from_unit(found.numpy())

    def outputs(self):
        """(n, 1) losses, (n, k) constraints of the designs with values."""
        ok = self.history.ok
        return torch.as_tensor(self.history.losses[ok]), torch.as_tensor(self.history.constraints[ok])


class BoTorchGP(BoTorchPeer):
    """One SingleTaskGP per output (a batched model), bilog constraints, log constrained expected improvement."""

    def acquisition(self, X):
        """Fitted to the history at the unit-coded designs X."""
        loss, constraints = self.outputs()
        Y = torch.cat([loss, constraints.sign() * constraints.abs().log1p()], dim=1)
        model = SingleTaskGP(X, Y, input_transform=Normalize(X.shape[1]), outcome_transform=Standardize(Y.shape[1]))
        fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model))
        limits = {i: (None, 0.0) for i in range(1, Y.shape[1])}
        feasible = (constraints <= 0).all(dim=1)
        if not feasible.any():
            return LogProbabilityOfFeasibility(model, limits)
        best = loss[feasible].min()
        if not limits:
            return LogExpectedImprovement(model, best, maximize=False)
        return LogConstrainedExpectedImprovement(model, best, 0, limits, maximize=False)


class PublishedGP(BoTorchPeer):
    """The Gaussian-process baseline as published [Yu2025], weaknesses included.

    Every output is divided by its range; expected improvement is on the best of all observations, feasible or not, in
    units that the model does not have; one restart from the best of three points.
    """

    restarts, raw = 1, 3

    def acquisition(self, X):
        """Fitted to the history at the unit-coded designs X."""
        loss, constraints = self.outputs()
        Y = torch.cat([-loss, constraints], dim=1)
        span = Y.max(dim=0).values - Y.min(dim=0).values
        model = SingleTaskGP(X, Y / torch.where(span > 0, span, 1.0), outcome_transform=None)
        fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model))
        limits = {i: (None, 0.0) for i in range(1, Y.shape[1])}
        return ConstrainedExpectedImprovement(model, Y[:, 0].max(), 0, limits)
