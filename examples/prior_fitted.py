"""Networks that predict in context: the outputs of a pressure vessel from 60 designs, and where a simulator fails."""

import torch

import designopt as do
from designopt.surrogates import PFN, FeasibilityClassifier

env = do.make("designopt/PressureVessel-v0")
space = env.design_space


def evaluated(n, seed):
    """Random designs in the unit cube (n, d); their cost and constraints (n, 1 + k)."""
    designs = space.sample(n, seed)
    evaluation = env.evaluate(designs)
    outputs = torch.cat([torch.as_tensor(evaluation.objectives), torch.as_tensor(evaluation.constraints)], dim=1)
    return torch.as_tensor(space.to_unit(designs)), outputs


def main(n=60):
    X, Y = evaluated(n, seed=0)
    new, truth = evaluated(500, seed=1)

    model = PFN.load().condition_on(X, Y)  # reads all outputs at once, in a few hundredths of a second
    bars = model.bars(new)
    for i, name in enumerate(["cost", *(constraint.name for constraint in env.constraints)]):
        error = (bars.mean[:, i] - truth[:, i]).abs().median()
        print(f"{name:16} predicted to within {error:9.3g} of {truth[:, i].min():9.3g} to {truth[:, i].max():9.3g}")

    feasible = (Y[:, 1:] <= 0).all(dim=1)
    best = Y[feasible, 0].min()
    promise = (-bars[:, 0]).log_expected_improvement(-best) + bars[:, 1:].log_cdf(0.0).sum(dim=1)
    chosen = truth[promise.argmax()]
    kind = "feasible" if (chosen[1:] <= 0).all() else "infeasible"
    print(f"best of {n} designs: {best:.0f}; the most promising of 500 others: {chosen[0]:.0f}, {kind}")

    # A label that stands for a simulator which fails in a corner of the space.
    classifier = FeasibilityClassifier.load().condition_on(X, X[:, 0] + X[:, 2] < 1.2)
    right = (classifier.probability(new) > 0.5) == (new[:, 0] + new[:, 2] < 1.2)
    print(f"whether an evaluation succeeds is predicted right for {right.double().mean():.0%} of the others")
    return float(chosen[0] / best), kind, float(right.double().mean())


if __name__ == "__main__":
    main()
