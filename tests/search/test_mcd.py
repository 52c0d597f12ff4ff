"""The counterfactual search: stages, archive, gradients and the backend."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from scipy.optimize import linprog

import designopt as do
from designopt import metrics
from designopt.counterfactual import Interval, OneOf, Problem
from designopt.envs.wrappers import CounterfactualEnv
from designopt.search.counterfactual.archive import Archive
from designopt.search.counterfactual.differences import least_step
from designopt.search.counterfactual.engine import Search, run, violation_slopes
from designopt.search.counterfactual.evolution import Evolution, Population, crowding, initial, survivors
from designopt.search.counterfactual.mcd import MCDSearch
from designopt.search.counterfactual.predictor import Predictor
from designopt.search.counterfactual.sparsify import sparsify
from designopt.search.counterfactual.steps import LEVEL, Answer, project
from designopt.testing import MixedProblem, check_searcher

SPACE = do.DesignSpace({f"x{i}": do.Real(0.0, 1.0) for i in range(8)} | {"kind": do.Categorical(["a", "b", "c"])})
DATA = SPACE.sample(200, 0)
QUERY = np.r_[np.full(8, 0.5), 0.0]
WEIGHTS = np.array([5.0, 3.0, 2.0, 1.0, 0.5, 0.2, 0.1, 0.05])


def sums(x):
    """Two outputs that pull in opposite directions on different features."""
    return {"up": x[:, :8] @ WEIGHTS, "down": x[:, :8] @ WEIGHTS[::-1] + 2.0 * (x[:, 8] == 1)}


class Module(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.w = torch.nn.Parameter(torch.tensor(WEIGHTS))

    def forward(self, x):
        y = x[:, :8]
        return {"up": y @ self.w, "down": y @ self.w.flip(0) + 2.0 * (x[:, 8] == 1)}


TARGETS = {"up": Interval(low=8.3), "down": Interval(high=4.0)}


def problem(targets=TARGETS, **settings):
    return Problem(SPACE, QUERY, DATA, targets, **settings)


def searched(p, *, budget=3000, seed=0, gradients=False, model=None):
    search = Search(p, budget=budget, seed=seed, gradients=gradients)
    run([search], Predictor(model or (Module() if gradients else sums), SPACE, list(p.hard), list(p.hard)))
    return search.archive


@pytest.mark.parametrize("gradients", [False, True])
def test_it_finds_the_fewest_changes_there_are(gradients):
    archive = searched(problem(), gradients=gradients)
    # "up" must rise by 2.375 and "down" fall by 1.925: no single feature can do both, x0 up and x7 down can.
    assert np.rint(archive.objectives[:, 1].min() * 9) == 2
    outputs = sums(archive.designs)
    assert (outputs["up"] >= 8.3).all()
    assert (outputs["down"] <= 4.0).all()


def test_the_nearest_design_found_is_near_the_nearest_there_is():
    # With x0 and x7 only: 5 a - 0.05 b = 2.375, 5 b - 0.05 a = 1.925, both at their bounds of 0.5 or below.
    archive = searched(problem(), gradients=True, budget=6000)
    A = np.r_[[-np.r_[WEIGHTS, -WEIGHTS]], [np.r_[WEIGHTS[::-1], -WEIGHTS[::-1]]]]
    b = [WEIGHTS.sum() / 2 - 8.3, 4.0 - WEIGHTS.sum() / 2]
    least = linprog(np.tile(problem().gower.weights[:8], 2), A, b, bounds=[(0, 0.5)] * 16).fun
    assert least <= archive.objectives[:, 0].min() <= 1.02 * least


def test_gradients_help_and_cost_two_calls_each():
    volumes = {}
    for gradients in (False, True):
        archive = searched(problem(), budget=800, gradients=gradients)
        assert archive.calls <= 800
        front = archive.objectives
        volumes[gradients] = metrics.hypervolume(front[metrics.non_dominated(front)], (1, 1, 1))
    assert volumes[True] >= volumes[False] - 0.01
    calls = []

    class Counting(Module):
        def forward(self, x):
            calls.append((len(x), x.requires_grad))
            return super().forward(x)

    archive = searched(problem(), budget=800, gradients=True, model=Counting())
    assert sum(n * (2 if gradient else 1) for n, gradient in calls) == archive.calls


def test_every_archived_design_respects_what_is_forbidden():
    p = problem(freeze=["kind", "x1"], grow=["x0"], shrink=["x7"], max_changes=4, bounds={"x2": (0.4, 0.7)})
    for gradients in (False, True):
        archive = searched(p, gradients=gradients)
        designs = archive.designs
        assert len(designs) > 50
        assert (designs[:, [1, 8]] == QUERY[[1, 8]]).all()
        assert (designs[:, 0] >= 0.5).all()
        assert (designs[:, 7] <= 0.5).all()
        assert ((designs[:, 2] >= 0.4) & (designs[:, 2] <= 0.7)).all()
        assert (designs != QUERY).sum(axis=1).max() <= 4


def test_the_archive_holds_every_valid_design_once_with_its_distances():
    evaluated = []

    def model(x):
        evaluated.append(x)
        return sums(x)

    p = problem()
    archive = searched(p, budget=1500, model=model)
    everything = np.concatenate(evaluated)
    assert len(everything) == archive.calls == 1500
    valid = p.valid(p.violations(everything, sums(everything)))
    assert {d.tobytes() for d in everything[valid]} == {d.tobytes() for d in archive.designs}
    assert len(archive.designs) == len(np.unique(everything[valid], axis=0))
    np.testing.assert_array_equal(archive.objectives[:, 0], p.proximity(archive.designs))
    np.testing.assert_array_equal(archive.objectives[:, 1], p.sparsity(archive.designs))
    np.testing.assert_allclose(archive.objectives[:, 2], p.manifold(archive.designs))
    np.testing.assert_allclose(archive.outputs["up"], sums(archive.designs)["up"])


def test_rows_without_a_number_are_never_valid():
    def model(x):
        y = sums(x)
        y["up"] = np.where(x[:, 0] > 0.9, np.nan, y["up"])
        y["down"] = np.where(x[:, 1] > 0.9, -np.inf, y["down"])
        return y

    designs = searched(problem(), model=model).designs
    assert len(designs) > 0
    assert (designs[:, 0] <= 0.9).all()
    assert (designs[:, 1] <= 0.9).all()


def test_out_of_reach_it_stops_early_and_keeps_the_nearest_misses():
    p = problem({"up": Interval(low=100.0)})
    search = Search(p, budget=50_000, seed=0, gradients=False)
    run([search], Predictor(sums, SPACE, ["up"]))
    assert search.gave_up
    assert search.archive.calls < 12_000
    designs, total, outputs = search.archive.nearest
    assert outputs["up"].max() == pytest.approx(WEIGHTS.sum(), abs=1e-6)
    assert (np.diff(total) >= 0).all()
    assert len(np.unique(designs, axis=0)) == len(designs)


def test_several_queries_share_calls_of_the_model_and_find_what_each_finds_alone():
    sizes = []

    def model(x):
        sizes.append(len(x))
        return sums(x)

    problems = [Problem(SPACE, q, DATA, TARGETS) for q in (QUERY, DATA[0], DATA[1])]
    together = [Search(p, budget=900, seed=0, gradients=False) for p in problems]
    run(together, Predictor(model, SPACE, ["up", "down"]))
    assert max(sizes) > 200
    for p, search in zip(problems, together, strict=True):
        np.testing.assert_array_equal(searched(p, budget=900).designs, search.archive.designs)


def test_running_twice_continues():
    p = problem()
    whole = searched(p, budget=2000)
    parts = Search(p, budget=2000, seed=0, gradients=False)
    predictor = Predictor(sums, SPACE, ["up", "down"])
    for _ in range(10_000):
        if parts.request is None:
            break
        before = parts.archive.calls
        run([parts], predictor, seconds=1e-4)
        assert parts.archive.calls >= before
    np.testing.assert_array_equal(parts.archive.designs, whole.designs)


def test_a_seed_gives_one_run_under_any_hash_seed():
    code = (
        "import hashlib, designopt as do\n"
        "from designopt.counterfactual import Interval, Problem\n"
        "from designopt.search.counterfactual.engine import Search, run\n"
        "from designopt.search.counterfactual.predictor import Predictor\n"
        "space = do.DesignSpace({f'x{i}': do.Real(0, 1) for i in range(6)} | {'kind': do.Categorical(['a', 'b'])})\n"
        "data = space.sample(50, 0)\n"
        "p = Problem(space, data[0], data, {'y': Interval(high=1.0)}, freeze={'x3', 'x1', 'x5'})\n"
        "s = Search(p, budget=700, seed=0, gradients=False)\n"
        "run([s], Predictor(lambda x: x.sum(axis=1), space, ['y']))\n"
        "print(len(s.archive.designs), hashlib.sha256(s.archive.designs.tobytes()).hexdigest())"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code], env=os.environ | {"PYTHONHASHSEED": h}, capture_output=True, check=True
        ).stdout
        for h in ("1", "2")
    }
    assert len(outputs) == 1
    first, second = (searched(problem(), budget=700, seed=s).designs for s in (0, 1))
    assert not np.array_equal(first, second)


def test_ungraded_targets_start_from_data_that_meet_them():
    def label(x):
        return {"label": np.where((x[:, 0] > 0.9) & (x[:, 1] > 0.9), "good", "bad")}

    p = problem({"label": OneOf(("good",))})
    known = label(DATA)["label"] == "good"
    assert 0 < known.sum() < 10
    search = Search(p, budget=1500, seed=0, gradients=False, known_valid=known)
    run([search], Predictor(label, SPACE, ["label"]))
    assert np.rint(search.archive.objectives[:, 1].min() * 9) == 2


# Parts ----------------------------------------------------------------------------------------------------------


def test_survival_is_by_validity_then_rank_then_crowding():
    objectives = np.array([[1, 4], [2, 3], [3, 2], [4, 1], [4, 4], [0, 0], [0, 0]], dtype=float)
    population = Population(np.arange(7.0)[:, None], objectives, np.array([0, 0, 0, 0, 0, 0.5, 0.2]))
    order, fitness = survivors(population, 6)
    assert set(order[:2]) == {0, 3}
    assert set(order[2:4]) == {1, 2}
    assert order[4:].tolist() == [4, 6]
    assert (np.diff(fitness) >= 0).all()


def test_crowding_distance_of_a_line():
    line = np.array([[0.0, 4.0], [1.0, 3.0], [3.0, 1.0], [4.0, 0.0]])
    assert crowding(line).tolist() == [np.inf, 1.5, 1.5, np.inf]


def test_children_are_canonical_and_many_are_nearer_to_the_query():
    p = problem(freeze=["x3"])
    rng = np.random.default_rng(0)
    evolution = Evolution(p, initial(p, None, rng), rng)
    children = evolution.children(300)
    assert (children[:, 3] == QUERY[3]).all()
    np.testing.assert_array_equal(children, p.canonical(children))
    assert len(np.unique(children, axis=0)) > 200
    assert ((children == QUERY).sum(axis=1) >= 5).any()


def test_a_projection_step_meets_linear_targets_with_supported_features_only():
    p = problem()
    predictor = Predictor(Module(), SPACE, ["up", "down"], ["up", "down"])
    designs = np.repeat(QUERY[None], 2, axis=0)
    outputs, jacobian = predictor.jacobian(designs)
    archive = Archive(p)
    population, violations = archive.add(designs, outputs)
    answer = Answer(population, violations, violation_slopes(p, outputs, jacobian))
    support = np.zeros((2, 9), dtype=bool)
    support[0, [0, 1, 6, 7]] = True
    moved = project(p, designs, answer, support)
    np.testing.assert_array_equal(moved[1], QUERY)
    assert (moved[0, 2:6] == QUERY[2:6]).all()
    np.testing.assert_allclose(p.violations(moved[:1], sums(moved[:1])), -LEVEL, atol=5e-3)


def test_sparsifying_takes_back_what_is_not_needed_and_bisects_the_rest():
    p = Problem(SPACE, QUERY, DATA, {"up": Interval(low=7.0)})
    stage = sparsify(p, np.r_[1.0, np.full(7, 0.6), 1.0][None])
    archive, request = Archive(p), next(stage)
    while request is not None:
        population, violations = archive.add(request.designs, sums(request.designs))
        try:
            request = stage.send(Answer(population, violations))
        except StopIteration:
            break
    best = archive.designs[archive.objectives[:, 0].argmin()]
    np.testing.assert_array_equal(best[1:], QUERY[1:])
    needed = QUERY[0] + (7.0 - WEIGHTS.sum() / 2) / 5
    assert needed < best[0] <= needed + 0.5 / 32 + 1e-4
    assert archive.calls == 9 + 5 + 5


def test_slopes_follow_the_chain_rule():
    p = problem()
    predictor = Predictor(Module(), SPACE, ["up", "down"], ["up", "down"])
    outputs, jacobian = predictor.jacobian(DATA[:4])
    slopes = violation_slopes(p, outputs, jacobian)
    step = 1e-6
    for column in range(8):
        moved = DATA[:4].copy()
        moved[:, column] += step
        numeric = (p.violations(moved, sums(moved)) - p.violations(DATA[:4], sums(DATA[:4]))) / step
        np.testing.assert_allclose(slopes[:, :, column], numeric, atol=1e-6)


def test_without_gradients_differences_lead_to_where_many_features_must_move():
    # Two nearly opposite targets that leave a thin slab, which no design of few changes reaches.
    targets = {"up": Interval(low=9.0), "pull": Interval(high=-1.0)}

    def opposed(x):
        return {"up": x[:, :8] @ WEIGHTS, "pull": 1.05 * WEIGHTS[0] * x[:, 0] - x[:, 1:8].sum(axis=1)}

    for seed in range(3):
        search = Search(problem(targets, bounds={"x1": (0, 0.9)}), budget=400, seed=seed, gradients=False)
        run([search], Predictor(opposed, SPACE, ["up", "pull"]))
        assert len(search.archive)


def test_a_step_of_differences_is_the_least_that_leaves_least_violation():
    p = Problem(SPACE, QUERY, DATA, TARGETS)
    slopes = np.stack([-WEIGHTS, WEIGHTS[::-1]])
    moving = np.arange(8)
    step = least_step(p, QUERY, np.array([1.0, 1.0]), slopes, moving, 0.5)
    np.testing.assert_allclose(slopes @ step, [-1 - LEVEL, -1 - LEVEL], atol=1e-5)
    assert (np.abs(step) > 1e-6).tolist() == [True, False, False, False, False, False, False, True]
    held = least_step(p, QUERY, np.array([1.0, 1.0]), slopes, moving, 0.01)
    np.testing.assert_allclose(np.abs(held), 0.01, atol=1e-4)


# The backend ----------------------------------------------------------------------------------------------------


def environment():
    mixed = MixedProblem()
    start = dict(x=0.9, rate=0.3, teeth=4, turns=40, gauge=2.0, lining="felt", maker="only", grade=7.0, tag="CAG")
    return CounterfactualEnv(mixed, start, {"cost": "<= 0.5"})


def test_the_backend_conforms():
    check_searcher(MCDSearch, environment())


def test_the_backend_finds_few_changes_in_a_study():
    result = do.optimize(environment(), search="mcd", budget=1500, seed=0)
    assert result.evaluation.feasible.any()
    assert result.pareto["sparsity"].min() == pytest.approx(2 / 11)  # x for the span, and one more for the cost


def test_the_backend_refuses_an_environment_without_a_query():
    with pytest.raises(ValueError, match="MCDSearch needs an environment that offers Counterfactual"):
        do.optimize("designopt/ArcsAndDisc-v0", search="mcd", budget=5)
    with pytest.raises(ValueError, match="population = 0; it must be at least 1"):
        MCDSearch.Config(population=0)
