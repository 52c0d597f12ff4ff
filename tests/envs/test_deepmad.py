import math

import numpy as np
import pytest
import torch
from torch import nn

import designopt as do
from designopt import Constraint, DesignEnv, DesignSpace, Evaluation, Integer, Objective, Ordinal, Real
from designopt.envs.nas.deepmad import BUDGETS
from designopt.testing import check_env, check_searcher

ID = "designopt/DeepMAD-v0"


def test_conforms():
    check_env(do.make(ID))
    check_env(do.make(ID, form="paper", budget="R50", resolution=288))


@pytest.mark.parametrize("budget", BUDGETS)
def test_published_structures_are_feasible_and_use_up_their_effectiveness(budget):
    env = do.make(ID, budget=budget)
    evaluation = env.evaluate(env.published)
    assert evaluation.feasible.all()
    assert 0.299 < evaluation.metrics["effectiveness"][0] <= 0.3
    assert 0.9 < evaluation.metrics["flops"][0] / env.max_flops <= 1
    assert 0.9 < evaluation.metrics["params"][0] / env.max_params <= 1


class Layer(nn.Module):
    def __init__(self, before, inner, out, kernel, stride):
        super().__init__()
        shapes = [(before, inner, 1, 1), (inner, inner, kernel, stride), (inner, out, 1, 1)]
        self.body = nn.Sequential(*[m for i, o, k, s in shapes for m in conv(i, o, k, s)])
        pool = [nn.AvgPool2d(2)] if stride == 2 else []
        self.short = nn.Sequential(*pool, *(conv(before, out, 1, 1) if before != out else []))

    def forward(self, x):
        return self.body(x) + self.short(x)


def conv(i, o, k, s):
    return [nn.Conv2d(i, o, k, s, padding=k // 2, bias=False), nn.BatchNorm2d(o)]


def build(design):
    """The network as torch modules, apart from the closed form."""
    stem, *rest = (int(v) for v in design)
    layers, before = conv(3, stem, 3, 2), stem
    for i, stride in enumerate((2, 2, 2, 1, 2)):
        out, inner, kernel, depth = rest[4 * i : 4 * i + 4]
        for j in range(depth):
            layers.append(Layer(before, inner, out, kernel, stride if j == 0 else 1))
            before = out
    return nn.Sequential(*layers)


@pytest.mark.parametrize("row", range(4))
def test_work_and_size_equal_a_built_network(row):
    env = do.make(ID, resolution=64)
    design = env.published[0] if row == 0 else env.design_space.sample(4, seed=1)[row]
    design[4::4] = np.minimum(design[4::4], 4)
    macs = []
    with torch.device("meta"):
        network = build(design)
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                module.register_forward_hook(
                    lambda m, i, o: macs.append(o[0].numel() * m.weight.numel() // m.out_channels)
                )
        network(torch.empty(2, 3, 64, 64))
    metrics = env.evaluate(design[None]).metrics
    assert metrics["flops"][0] == sum(macs)
    assert metrics["params"][0] == sum(p.numel() for p in network.parameters())


def test_score_of_a_small_network_by_hand():
    design = np.array(
        [[16, *[16, 8, 3, 1], *[32, 8, 3, 1], *[32, 8, 3, 2], *[64, 8, 5, 1], *[64, 16, 3, 3]]], dtype=float
    )
    stem = math.log(27)
    layer = lambda c, b, k: math.log(c) + math.log(b * k * k) + math.log(b)  # noqa: E731
    ends = [
        stem,
        one := stem + layer(16, 8, 3),
        two := one + layer(16, 8, 3),
        four := two + layer(32, 8, 3) * 2 + layer(32, 8, 5),
        four + layer(64, 16, 3) * 3,
    ]
    channels, sizes, layers = (16, 16, 32, 64, 64), (112, 56, 28, 14, 7), (1, 4, 7, 16, 25)
    stages = [math.log(c * s * s) * e for c, s, e in zip(channels, sizes, ends, strict=True)]
    whole = sum(stages[:4]) + 8 * stages[4]
    depths = np.array([1, 2, 1, 3])
    rhos = [n * math.exp(-e / n) for n, e in zip(layers, ends, strict=True)]
    code, paper = (do.make(ID, form=form).evaluate(design) for form in ("code", "paper"))
    assert code.objectives[0, 0] == pytest.approx(whole / 2 - 10 * math.exp(depths.std()))
    assert paper.objectives[0, 0] == pytest.approx(whole - 10 * math.exp(depths.var()))
    assert code.metrics["effectiveness"][0] == pytest.approx(max(rhos))
    assert paper.metrics["effectiveness"][0] == pytest.approx(rhos[-1])


@pytest.mark.parametrize(
    ("column", "value", "constraint", "amount"),
    [("out3", 320, 3, 64), ("out2", 392, 4, 392 / 96 - 4), ("bottleneck2", 24, 5, 16), ("bottleneck1", 104, 5, 8)],
)
def test_each_structural_limit_is_measured(column, value, constraint, amount):
    env = do.make(ID)
    design = env.published
    design[0, env.design_space.columns.index(column)] = value
    assert env.evaluate(design).constraints[0, constraint] == pytest.approx(amount)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"budget": "R19"}, "did you mean 'R18'"),
        ({"form": "book"}, "allowed: 'code', 'paper'"),
        ({"flops": 0.0}, "flops = 0.0; it must be positive"),
        ({"resolution": 100}, "multiple of 32"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        do.make(ID, **arguments)


class Beam(DesignEnv):
    """A program of three columns, one of each kind that the solver rounds or keeps."""

    design_space = DesignSpace(width=Ordinal((8, 16, 24, 32, 40)), layers=Integer(1, 9), fill=Real(0.0, 1.0))
    objectives = (Objective("stiffness", "max"),)
    constraints = (Constraint("weight"),)

    def evaluate(self, designs):
        return self.relaxed(designs)

    def relaxed(self, designs):
        width, layers, fill = np.asarray(designs, dtype=float).T
        return Evaluation((width**2 * layers * (1 + fill))[:, None], (width * layers * (1 + fill) / 100 - 1)[:, None])


def test_the_solver_conforms_and_refuses_other_environments():
    cls = do.backend("deepmad")
    quick = lambda env, seed: cls(env, cls.Config(starts=1), seed=seed)  # noqa: E731
    check_searcher(quick, Beam(), rounds=1, batch=4, history=24)
    with pytest.raises(ValueError, match="RelaxedProgram"):
        do.optimize("designopt/Ackley-v0", search="deepmad", budget=2)


def test_the_solver_finds_the_optimum_of_a_small_program():
    """40^2 layers (1 + fill) with 40 layers (1 + fill) <= 100: stiffness 40 times the weight, 4000 at its limit."""
    result = do.optimize(Beam(), search="deepmad", budget=400, seed=0)
    assert 3960 < result.best_value <= 4000
    assert result.best["width"] == 40


@pytest.mark.parametrize("budget", ["R18", *(pytest.param(b, marks=pytest.mark.slow) for b in ("R34", "R50"))])
def test_the_solver_passes_the_published_structure(budget):
    env = do.make(ID, budget=budget)
    effort = {"budget": 1500, "starts": 2} if budget == "R18" else {"budget": 8000}
    result = do.optimize(env, search="deepmad", seed=0, **effort)
    best = env.design_space.encode([result.best])
    assert env.evaluate(best).feasible.all()
    assert result.best_value > env.evaluate(env.published).objectives[0, 0]
