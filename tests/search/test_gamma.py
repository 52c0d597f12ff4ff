import numpy as np
import pytest

import designopt as do
from designopt.search.gamma import GammaSearch
from designopt.testing import check_searcher

LAYER = {"K": 16, "C": 8, "Y": 10, "X": 10, "R": 3, "S": 3}


@pytest.fixture(scope="module")
def env():
    return do.make("designopt/Mapping-v0", layer=LAYER)


@pytest.fixture
def genome(env):
    return GammaSearch(env).genome


def column(env, name):
    return env.design_space.names.index(name)


def test_it_conforms_on_mappings(env):
    check_searcher(GammaSearch, env)


def test_it_needs_a_mapping():
    with pytest.raises(ValueError, match="LevelledMapping"):
        do.optimize(do.make("designopt/WeldedBeam-v0"), search="gamma", budget=5)


def test_it_beats_random_search(env):
    found = {
        name: np.median([do.optimize(env, search=name, budget=600, seed=seed).best_value for seed in range(3)])
        for name in ("gamma", "random")
    }
    assert found["gamma"] < 0.8 * found["random"]


def test_what_it_proposes_keeps_tiles_and_clusters_in_order(env):
    result = do.optimize(env, search="gamma", budget=300, seed=0)
    tiles_and_clusters = result.evaluation.constraints[:, :2]
    assert (tiles_and_clusters == 0).all()


def test_repair_keeps_inner_tiles_inside_and_clusters_whole(env, genome):
    designs = genome.repair(env.design_space.sample(300, 0))
    assert (env.evaluate(designs).constraints[:, :2] == 0).all()
    assert env.design_space.contains(designs).all()
    assert np.array_equal(genome.repair(designs), designs)


def changed(genome, operator, design, seed):
    child = design.copy()
    getattr(genome, operator)(child, np.random.default_rng(seed))
    return child


@pytest.mark.parametrize(
    ("operator", "allowed"),
    [
        ("redraw_tile", "tile"),
        ("redraw_parallel", "parallel"),
        ("swap_loops", "order"),
        ("redraw_pes", "num_pes"),
        ("grow", "cluster_size"),
    ],
)
def test_an_operator_changes_one_gene_of_its_kind(env, genome, operator, allowed):
    for seed, design in enumerate(genome.repair(env.design_space.sample(30, 2))):
        columns = np.flatnonzero(changed(genome, operator, design, seed) != design)
        assert len(columns) <= 1
        assert all(allowed in env.design_space.names[c] for c in columns)
    assert any((changed(genome, operator, design, seed) != design).any() for seed in range(10))


def test_reordering_swaps_two_loops(env, genome):
    design = env.design_space.sample(1, 0)[0]
    child = changed(genome, "swap_loops", design, 3)
    moved = [
        (env.mapping_orders[int(design[c])] != env.mapping_orders[int(child[c])]).sum()
        for c in (column(env, "outer_order"), column(env, "inner_order"))
    ]
    assert sorted(moved) == [0, 2]


def test_growth_fits_into_the_array(env, genome):
    design = env.design_space.sample(1, 0)[0]
    design[column(env, "num_pes")] = 3
    grown = {changed(genome, "grow", design, seed)[column(env, "cluster_size")] for seed in range(40)}
    assert grown == {1, 2, 3}


def test_aging_leaves_one_level(env, genome):
    design = env.design_space.sample(1, 0)[0]
    child = changed(genome, "age", design, 0)
    assert child[column(env, "cluster_size")] == 1
    for d in "KCYX":
        assert child[column(env, f"inner_tile_{d}")] == design[column(env, f"outer_tile_{d}")]


def test_crossover_takes_both_tiles_of_a_dimension(env, genome):
    a, b = env.design_space.sample(2, 5)
    child = a.copy()
    genome.cross_tiles(child, b, np.random.default_rng(1))
    parts = [genome.tiles[:, d] for d in range(4)]
    from_b = [np.array_equal(child[part], b[part]) for part in parts]
    assert any(from_b)
    assert all(
        np.array_equal(child[part], (b if other else a)[part]) for part, other in zip(parts, from_b, strict=True)
    )


@pytest.mark.parametrize(("name", "value"), [("population", 2), ("crossover", 1.5), ("elite", -0.1), ("aging", 2.0)])
def test_bad_hyper_parameters_are_named(name, value):
    with pytest.raises(ValueError, match=f"{name} = {value}"):
        GammaSearch.Config(**{name: value})
