"""Environments as BoTorch test problems.

What differs from a DesignEnv, and is translated here:

* Objectives are minimised, a maximised one by its negative; ``negate=True`` turns all of them to maximisation.
* Slack is the negative of a constraint: feasible when >= 0.
* BoTorch has integers only, so an ordinal column holds the index of its value; ``problem.designs(X)`` translates back.
* A design without values (any status but ok) is NaN in objectives and slack, hence infeasible.
"""

from __future__ import annotations

import numpy as np
import torch
from botorch.test_functions.base import ConstrainedBaseTestProblem, MultiObjectiveTestProblem
from botorch.test_functions.synthetic import ConstrainedSyntheticTestFunction, SyntheticTestFunction
from torch import Tensor

from designopt.env import DesignEnv, Reference
from designopt.evaluation import Evaluation
from designopt.parameters import Array, Ordinal


class EnvProblem:
    """What all four kinds of problem share; combined with BoTorch's classes below."""

    # The simulator is no torch code: there is no gradient through it, at the optimum or anywhere else.
    _check_grad_at_opt = False
    _optimal_value: float | None = None
    _optimizers: list[tuple[float, ...]] | None = None
    _max_hv: float | None = None

    def __init__(self, env: DesignEnv, noise_std: float | list[float] | None = None, negate: bool = False) -> None:
        space = env.design_space
        self.env = env
        self.dim = space.dim
        ordinals = [(space.columns.index(name), p) for name, p in space.parameters.items() if isinstance(p, Ordinal)]
        self._ordinals = [(column, np.array(p.values)) for column, p in ordinals]
        low, high = space.low.copy(), space.high.copy()
        for column, values in self._ordinals:
            low[column], high[column] = 0, len(values) - 1
        self._bounds = list(zip(low.tolist(), high.tolist(), strict=True))
        self.continuous_inds = np.flatnonzero(~space.discrete).tolist()
        self.categorical_inds = np.flatnonzero(space.categorical).tolist()
        self.discrete_inds = np.flatnonzero(space.discrete & ~space.categorical).tolist()
        self.num_objectives = len(env.objectives)
        self.num_constraints = len(env.constraints)
        self._ref_point = [float("nan")] * self.num_objectives
        self._last: tuple[Array, Evaluation] | None = None
        if env.reference is not None:
            self._declare(env.reference)
        super().__init__(noise_std=noise_std, negate=negate)  # type: ignore[call-arg]  # BoTorch's, which needs the above

    def _declare(self, reference: Reference) -> None:
        if reference.value is not None:
            self._optimal_value = reference.value if self.env.objectives[0].sense == "min" else -reference.value
            if reference.design is not None:
                self._optimizers = [tuple(self._coded(np.array(reference.design)).tolist())]
        if reference.reference_point is not None:
            self._ref_point = list(reference.reference_point)
            self._max_hv = reference.hypervolume

    def _coded(self, design: Array) -> Array:
        design = design.astype(np.float64)
        for column, values in self._ordinals:
            design[column] = np.searchsorted(values, design[column])
        return design

    def designs(self, X: Tensor) -> Array:
        """X: (... x d) points of this problem -> (n, d) designs of the environment."""
        designs = X.detach().cpu().double().reshape(-1, self.dim).numpy().copy()
        for column, values in self._ordinals:
            designs[:, column] = values[designs[:, column].astype(int)]
        # A bound that single precision rounded outwards is a hair outside the space.
        return self.env.design_space.snap(designs)

    def _evaluation(self, X: Tensor) -> Evaluation:
        """The evaluation of the last points is kept, for objectives and slack are asked for one after the other."""
        designs = self.designs(X)
        if self._last is None or not np.array_equal(self._last[0], designs):
            self._last = designs, self.env.evaluate(designs)
        return self._last[1]

    def _tensor(self, values: Array, evaluation: Evaluation, X: Tensor) -> Tensor:
        """values: (n, c) -> (... x c) on the device and in the precision of X, NaN where there is no value."""
        values = np.where((evaluation.status == "ok")[:, None], values, np.nan)
        return torch.as_tensor(values, dtype=X.dtype, device=X.device).reshape(*X.shape[:-1], values.shape[1])

    def _evaluate_true(self, X: Tensor) -> Tensor:
        """X: (... x d) -> (...) or, for several objectives, (... x m), minimised."""
        evaluation = self._evaluation(X)
        losses = self._tensor(evaluation.losses(self.env.objectives), evaluation, X)
        return losses if self.num_objectives > 1 else losses.squeeze(-1)

    def _evaluate_slack_true(self, X: Tensor) -> Tensor:
        """X: (... x d) -> (... x k), feasible when >= 0."""
        evaluation = self._evaluation(X)
        return self._tensor(-evaluation.constraints, evaluation, X)


class SingleObjectiveProblem(EnvProblem, SyntheticTestFunction):
    """An environment with one objective and no constraint."""


class ConstrainedProblem(EnvProblem, ConstrainedSyntheticTestFunction):
    """An environment with one objective and constraints. The worst feasible value is not known to an environment."""


class MultiObjectiveProblem(EnvProblem, MultiObjectiveTestProblem):
    """An environment with several objectives; a reference point that is not known is NaN."""


class ConstrainedMultiObjectiveProblem(MultiObjectiveProblem, ConstrainedBaseTestProblem):
    """An environment with several objectives and constraints."""


Problem = SingleObjectiveProblem | ConstrainedProblem | MultiObjectiveProblem | ConstrainedMultiObjectiveProblem


def to_botorch(env: DesignEnv, noise_std: float | list[float] | None = None, negate: bool = False) -> Problem:
    """The environment as a BoTorch test problem, of the class that its objectives and constraints call for.

    Args:
        env: any design environment.
        noise_std: standard deviation of Gaussian noise added to the objectives (a list: one per objective).
        negate: whether the objectives, which are minimised otherwise, are to be maximised.

    Returns:
        A problem with ``bounds`` (2 x d) in natural units (ordinals and categoricals as index), ``optimal_value``
        and ``optimizers``, or ``ref_point`` and ``max_hv``, where ``env.reference`` knows them.
    """
    if len(env.objectives) > 1:
        several = ConstrainedMultiObjectiveProblem if env.constraints else MultiObjectiveProblem
        return several(env, noise_std, negate)
    return (ConstrainedProblem if env.constraints else SingleObjectiveProblem)(env, noise_std, negate)
