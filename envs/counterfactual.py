"""The counterfactual problem of any design environment, as a design environment that every backend can search."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from designopt import Constraint, DesignEnv, Evaluation, Objective
from designopt.counterfactual import Problem, parse
from designopt.evaluation import Array


class CounterfactualEnv(DesignEnv):
    """The least change to a query that meets targets on the outputs of an environment.

    Objectives, all minimised: proximity (Gower dissimilarity to the query), sparsity (share of changed features),
    manifold (mean Gower dissimilarity to the nearest data rows), then targets that only rank (``"min"``, ``"max"``,
    Soft). Constraints: the hard targets, restrictions on features, the number of changes. The design space holds the
    features that can change, within their bounds; ``problem.full`` adds the others.

    Args:
        env: the environment; its objectives, constraints and metrics are the outputs that targets name.
        query: the design to change, (d,) or a dictionary; it may lie outside the bounds that follow.
        targets: output -> target, as ``designopt.counterfactual.parse`` reads it. The environment's own constraints
            join as ``<= 0`` unless they have a target.
        data: (N, d) designs that show what is usual; default: the environment's own, or 1000 random designs.
        seed: of those random designs.
        **settings: freeze, bounds, grow, shrink, max_changes, conditions, restrictions, tolerance, neighbours and
            others of ``designopt.counterfactual.Problem``.

    Raises:
        ValueError: what ``Problem`` refuses, or a target on an output that the environment does not have.
    """

    def __init__(
        self,
        env: DesignEnv,
        query: ArrayLike | Mapping[str, Any],
        targets: Mapping[str, Any],
        *,
        data: ArrayLike | None = None,
        seed: int = 0,
        **settings: Any,
    ) -> None:
        super().__init__(env.render_mode)
        self.env = env
        space = env.design_space
        start = space.encode([dict(query)])[0] if isinstance(query, Mapping) else np.asarray(query, dtype=np.float64)
        if start.shape != (space.dim,):
            raise ValueError(f"query has shape {start.shape}; it must be ({space.dim},)")
        wanted = {name: parse(name, target) for name, target in targets.items()}
        for constraint in env.constraints:
            wanted.setdefault(constraint.name, parse(constraint.name, "<= 0"))
        if data is None:
            data = env.offline_data(seed)[0] if hasattr(env, "offline_data") else space.sample(1000, seed)
        self.problem = Problem(space, start, data, wanted, **settings)
        self.design_space = self.problem.free_space()
        bonus = [Objective(f"{name} ({target})") for name, target in self.problem.bonus.items()]
        self.objectives = (Objective("proximity"), Objective("sparsity"), Objective("manifold"), *bonus)
        self.constraints = tuple(Constraint(f"{name} target") for name in self.problem.constraint_names)
        self._outputs(start[None], env.evaluate(space.validate(np.clip(start, space.low, space.high)[None])))

    @property
    def id(self) -> str:
        """The wrapper's name around the inner id."""
        return f"{type(self).__name__}({self.env.id})"

    def _outputs(self, designs: Array, evaluation: Evaluation) -> dict[str, Any]:
        outputs = {o.name: evaluation.objectives[:, i] for i, o in enumerate(self.env.objectives)}
        outputs |= {c.name: evaluation.constraints[:, i] for i, c in enumerate(self.env.constraints)}
        outputs |= {name: values for name, values in evaluation.metrics.items() if name not in outputs}
        self.problem.violations(designs, outputs)  # raises where a target names no output
        return outputs

    def evaluate(self, designs: Array) -> Evaluation:
        """designs: (n, f) over the features that can change -> distances, and violations over their scales."""
        problem = self.problem
        full = problem.canonical(problem.full(np.asarray(designs, dtype=np.float64)))
        inner = self.env.evaluate(full)
        outputs = self._outputs(full, inner)
        distances = [problem.proximity(full), problem.sparsity(full), problem.manifold(full)]
        objectives = np.concatenate([np.stack(distances, axis=1), problem.losses(outputs, len(full))], axis=1)
        return Evaluation(
            objectives,
            problem.violations(full, outputs),
            metrics={name: values for name, values in outputs.items() if np.asarray(values).dtype.kind in "fiub"},
            status=inner.status,
            attempts=inner.attempts,
            seconds=inner.seconds,
            errors=inner.errors,
        )
