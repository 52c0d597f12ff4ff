"""The lottery's numbers against closed forms, simulation and other libraries; ties and infeasible studies by rule."""

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import designopt as do
from designopt import lottery, metrics
from designopt.ranking import block_losses, rank_backends
from designopt.runs import RunInfo
from designopt.store import Store, StoreError


def study(backend="ga", configuration="default", seed=0, curve=(1.0,), **facts):
    """A row as ``lottery.studies`` makes it."""
    curve = np.array(curve, dtype=float)
    row = {
        "env": "Beam",
        "backend": backend,
        "configuration": configuration,
        "seed": seed,
        "run": f"{backend}-{configuration}-{seed}",
        "state": "finished",
        "error": "",
        "hyperparameters": {"name": configuration},
        "budget": len(curve),
        "evaluations": len(curve),
        "sense": "min",
        "reference": np.nan,
        "curve": curve,
    }
    return row | facts


def table(*rows):
    return pd.DataFrame(list(rows))


def randoms(*losses):
    return [study("random", seed=seed, curve=[loss]) for seed, loss in enumerate(losses)]


# Equal budgets and the share of the gap closed --------------------------------------------------------------------


def test_gap_runs_from_the_median_of_random_search_to_the_best_known():
    rows = [*randoms(9.0, 10.0, 30.0), study(curve=[4.0]), study(seed=1, curve=[2.0]), study(seed=2, curve=[11.0])]
    compared = lottery.compare(table(*rows))
    assert compared["closed"].tolist() == [0.125, 0, 0, 0.75, 1, 0]
    assert set(compared["baseline_is"]) == {"median of random search"}


def test_best_known_is_the_reference_where_no_study_reached_it():
    compared = lottery.compare(table(*randoms(10.0), study(curve=[4.0]), study(seed=1, curve=[3.0], reference=0.0)))
    assert compared["closed"].tolist() == [0, 0.6, 0.7]
    assert set(compared["best_known"]) == {0.0}


def test_best_known_is_the_best_study_where_it_beat_the_reference():
    compared = lottery.compare(table(*randoms(10.0), study(curve=[2.0], reference=6.0)))
    assert compared["closed"].tolist() == [0, 1]


def test_without_a_feasible_design_of_random_search_the_gap_starts_at_the_worst_study_that_has_one():
    rows = [
        *randoms(np.inf, np.inf, 3.0),
        study(curve=[8.0]),
        study(seed=1, curve=[2.0]),
        study(seed=2, curve=[np.inf]),
    ]
    compared = lottery.compare(table(*rows))
    assert compared["closed"].tolist() == pytest.approx([0, 0, 5 / 6, 0, 1, 0])
    assert set(compared["baseline_is"]) == {"worst study with a feasible design"}


def test_nothing_feasible_at_all_closes_nothing():
    compared = lottery.compare(table(*randoms(np.inf), study(curve=[np.inf])))
    assert compared["closed"].tolist() == [0, 0]


def test_where_random_search_attains_the_best_known_all_that_do_have_closed_the_gap():
    compared = lottery.compare(table(*randoms(2.0, 2.0), study(curve=[2.0]), study(seed=1, curve=[3.0])))
    assert compared["closed"].tolist() == [1, 1, 1, 0]


def test_scales_belong_to_one_environment():
    other = [row | {"env": "Truss"} for row in (*randoms(100.0), study(curve=[50.0]))]
    compared = lottery.compare(table(*randoms(10.0), study(curve=[4.0]), *other))
    assert compared.groupby("env")["best_known"].first().to_dict() == {"Beam": 4, "Truss": 50}


def test_studies_are_compared_at_the_smallest_budget():
    rows = [*randoms(10.0), study(curve=[8.0, 5.0, 1.0])]
    rows[0] |= {"curve": np.array([10.0, 9.0]), "budget": 2, "evaluations": 2}
    compared = lottery.compare(table(*rows))
    assert compared["loss"].tolist() == [9, 5]
    assert set(compared["equal_budget"]) == {2}


@pytest.mark.parametrize(
    ("state", "kept"), [("running", False), ("interrupted", False), ("failed", True), ("finished", True)]
)
def test_a_study_that_ended_early_keeps_what_it_found_and_one_that_has_not_is_left_out(state, kept):
    rows = [study("random", curve=[9.0, 9.0]), study(curve=[4.0], budget=2, state=state)]
    compared = lottery.compare(table(*rows))
    assert compared["backend"].tolist() == ["random", *["ga"] * kept]
    assert compared["loss"].tolist() == [9.0, *[4.0] * kept]


def test_a_running_study_that_spent_the_equal_budget_is_compared():
    rows = [study("random", curve=[9.0]), study(curve=[4.0, 3.0], budget=5, state="running")]
    assert lottery.compare(table(*rows))["loss"].tolist() == [9, 4]


def test_a_study_that_failed_before_any_evaluation_ranks_last():
    compared = lottery.compare(table(*randoms(5.0), study(curve=[], budget=1, state="failed")))
    assert compared["loss"].tolist() == [5, np.inf]


# Spread -----------------------------------------------------------------------------------------------------------


def grid(values, backend="ga"):
    """Studies of one backend whose share of the gap closed is ``values`` (configurations, seeds)."""
    names = ["default", *(f"c{i:02d}" for i in range(1, len(values)))]
    return [
        study(backend, names[c], s, [1.0 - value])
        for (c, s), value in np.ndenumerate(np.asarray(values, dtype=float))
        if not np.isnan(value)
    ]


def spread_of(values):
    """The lottery row of a backend; the gap runs from 1 (random) to 0."""
    rows = [row | {"reference": 0.0} for row in [*randoms(1.0), *grid(values)]]
    result = lottery.spread(lottery.compare(table(*rows)))
    return result[result["backend"] == "ga"].iloc[0]


def test_ranges_over_configurations_and_over_seeds_are_apart():
    only_configurations = spread_of([[0.1] * 3, [0.3] * 3, [0.5] * 3, [0.7] * 3, [0.9] * 3])
    assert only_configurations["iqr_configurations"] == pytest.approx(0.4)
    assert only_configurations["iqr_seeds"] == pytest.approx(0)
    only_seeds = spread_of([[0.1, 0.5, 0.9]] * 5)
    assert only_seeds["iqr_configurations"] == pytest.approx(0)
    assert only_seeds["iqr_seeds"] == pytest.approx(0.4)


def test_range_over_seeds_is_of_the_typical_configuration():
    row = spread_of([[0.1, 0.5, 0.9], [0.5, 0.5, 0.5], [0.4, 0.5, 0.6]])
    assert row["iqr_seeds"] == pytest.approx(0.1)


def test_reach_counts_studies_that_closed_ninety_five_percent_of_the_gap():
    row = spread_of([[0.95, 0.96, 0.94], [1.0, 0.2, 0.3], [0.1, 0.2, 0.3]])
    assert row["reach"] == pytest.approx(3 / 9)
    assert 0 <= row["reach_low"] < 3 / 9 < row["reach_high"] <= 1


def test_certain_outcome_has_an_interval_of_no_width():
    row = spread_of([[1.0, 1.0], [1.0, 1.0]])
    assert (row["reach"], row["reach_low"], row["reach_high"]) == (1, 1, 1)


@pytest.mark.parametrize(
    ("means", "rank"), [([0.9, 0.5, 0.1], 1), ([0.1, 0.5, 0.9], 3), ([0.5, 0.5, 0.1], 1.5), ([0, 0, 0], 2)]
)
def test_default_rank_is_by_the_mean_over_seeds_and_ties_share(means, rank):
    assert spread_of([[m, m] for m in means])["default_rank"] == rank


def test_one_configuration_has_a_range_over_seeds_only():
    row = spread_of([[0.1, 0.5, 0.9]])
    assert row["iqr_seeds"] == pytest.approx(0.4)
    assert np.isnan([row[name] for name in ("iqr_configurations", "configuration", "default_rank")]).all()


def test_backends_are_listed_by_median_loss_and_infeasible_studies_counted():
    rows = [*randoms(5.0, 6.0, 7.0), study(curve=[1.0]), study(seed=1, curve=[np.inf]), study(seed=2, curve=[2.0])]
    result = lottery.spread(lottery.compare(table(*rows)))
    assert result["backend"].tolist() == ["ga", "random"]
    assert result["infeasible"].tolist() == [1, 0]
    assert result["loss"].tolist() == [2, 6]


def test_winning_ticket_is_the_configuration_with_the_best_mean():
    rows = [row | {"reference": 0.0} for row in [*randoms(1.0), *grid([[0.2, 0.4], [1.0, 0.1], [0.6, 0.4]])]]
    best = lottery.best_configurations(lottery.compare(table(*rows))).set_index("backend").loc["ga"]
    assert best["configuration"] == "c01"
    assert best["worth"] == pytest.approx(0.55)
    assert best["hyperparameters"] == {"name": "c01"}


# Variance split ---------------------------------------------------------------------------------------------------


def test_variance_split_is_the_two_way_analysis_of_variance_of_statsmodels():
    from statsmodels.formula.api import ols
    from statsmodels.stats.anova import anova_lm

    rng = np.random.default_rng(1)
    c, s = 7, 4
    y = rng.normal(size=(c, 1)) + 0.7 * rng.normal(size=(1, s)) + 0.5 * rng.normal(size=(c, s))
    long = pd.DataFrame([(i, j, v) for (i, j), v in np.ndenumerate(y)], columns=["c", "s", "y"])
    anova = anova_lm(ols("y ~ C(c) + C(s)", long).fit())
    ms = (anova["sum_sq"] / anova["df"]).to_numpy()
    parts = np.array([(ms[0] - ms[2]) / s, (ms[1] - ms[2]) / c, ms[2]])
    assert (parts > 0).all()
    assert list(metrics.variance_split(y).values()) == pytest.approx(parts / parts.sum())


def test_variance_split_recovers_the_components_it_was_drawn_from():
    rng = np.random.default_rng(2)
    true = np.array([4.0, 1.0, 2.0])
    a, b, e = (
        np.sqrt(v) * rng.normal(size=shape) for v, shape in zip(true, [(400, 1), (1, 300), (400, 300)], strict=True)
    )
    assert list(metrics.variance_split(a + b + e).values()) == pytest.approx(true / true.sum(), abs=0.05)


def test_variance_split_does_not_credit_configurations_with_noise():
    rng = np.random.default_rng(3)
    shares = [metrics.variance_split(rng.normal(size=(16, 3)))["configuration"] for _ in range(300)]
    assert np.median(shares) < 0.05
    assert all(0 <= share <= 1 for share in shares)


def test_variance_split_leaves_out_configurations_with_a_seed_missing():
    y = np.array([[1.0, 2.0, 4.0], [3.0, 3.0, 5.0], [9.0, np.nan, 1.0]])
    assert metrics.variance_split(y) == metrics.variance_split(y[:2])


@pytest.mark.parametrize("y", [[[1.0, 2.0]], [[1.0], [2.0]], [[1.0, 1.0], [1.0, 1.0]], np.empty((0, 3))])
def test_variance_split_is_undefined_without_two_levels_or_variance(y):
    assert np.isnan(list(metrics.variance_split(y).values())).all()


# Expected best of k, bootstrap ------------------------------------------------------------------------------------


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=7))
def test_expected_best_is_the_mean_over_all_subsets(values):
    expected = [
        np.mean([max(chosen) for chosen in itertools.combinations(values, k)]) for k in range(1, len(values) + 1)
    ]
    assert metrics.expected_best(values) == pytest.approx(expected)


def test_bootstrap_of_one_configuration_is_that_of_its_seeds():
    seeds = np.arange(20.0)[None]
    drawn = metrics.bootstrap(seeds, np.mean, 4000)
    assert drawn.std() == pytest.approx(seeds.std() / np.sqrt(20), rel=0.05)


def test_bootstrap_of_crossed_effects_is_as_wide_as_both():
    """[Owen2007]: with large effects of rows and columns its variance is the sum of both means' variances."""
    rows, columns = np.arange(30.0)[:, None], 2 * np.arange(20.0)[None]
    drawn = metrics.bootstrap(rows + columns, np.mean, 4000)
    assert drawn.var() == pytest.approx(rows.var() / 30 + columns.var() / 20, rel=0.1)


def test_bootstrap_is_the_same_every_time():
    values = np.random.default_rng(0).random((4, 3, 2))
    assert metrics.bootstrap(values, np.mean, 5).shape == (5, 2)
    assert (metrics.bootstrap(values, np.mean, 5) == metrics.bootstrap(values, np.mean, 5)).all()


def test_curve_is_the_median_of_all_studies_with_a_band_around_it():
    rows = [
        study(configuration=c, seed=s, curve=[10 + i, 5 + i])
        for i, (c, s) in enumerate(itertools.product("abc", range(3)))
    ]
    median, low, high = lottery.curves(table(*rows), [1, 2])
    assert median.tolist() == [14, 9]
    assert (low < median).all()
    assert (median < high).all()
    assert low.min() >= 5
    assert high.max() <= 18


def test_curve_holds_the_last_value_of_a_study_that_ended_early_and_is_infinite_before_feasible_ones():
    rows = [study(seed=0, curve=[np.inf, 3.0]), study(seed=1, curve=[np.inf]), study(seed=2, curve=[7.0])]
    median, _, _ = lottery.curves(table(*rows), [1, 2])
    assert median.tolist() == [np.inf, 7]


def test_curve_of_an_incomplete_grid_takes_the_studies_there_are():
    rows = [
        study(configuration="a", seed=0),
        study(configuration="a", seed=1, curve=[3.0]),
        study(configuration="b", curve=[2.0]),
    ]
    assert lottery.curves(table(*rows), [1])[0].tolist() == [2]


# Ranks ------------------------------------------------------------------------------------------------------------


def test_friedman_and_critical_difference_of_a_published_example():
    """[Demsar2006] table 6: C4.5 with and without tuning of its parameters on 14 data sets."""
    auc = np.array(
        [
            *([0.763, 0.768, 0.771, 0.798], [0.599, 0.591, 0.590, 0.569], [0.954, 0.971, 0.968, 0.967]),
            *([0.628, 0.661, 0.654, 0.657], [0.882, 0.888, 0.886, 0.898], [0.936, 0.931, 0.916, 0.931]),
            *([0.661, 0.668, 0.609, 0.685], [0.583, 0.583, 0.563, 0.625], [0.775, 0.838, 0.866, 0.875]),
            *([1.000, 1.000, 1.000, 1.000], [0.940, 0.962, 0.965, 0.962], [0.619, 0.666, 0.614, 0.669]),
            # the paper ranks 0.975 of C4.5+cf before that of C4.5+m+cf
            *([0.972, 0.981, 0.9751, 0.975], [0.957, 0.978, 0.946, 0.970]),
        ]
    )
    ranking = rank_backends(pd.DataFrame(1 - auc, columns=["C4.5", "C4.5+m", "C4.5+cf", "C4.5+m+cf"]))
    assert ranking.backends == ("C4.5+m+cf", "C4.5+m", "C4.5+cf", "C4.5")
    assert ranking.mean_ranks == pytest.approx([1.964, 2.000, 2.893, 3.143], abs=5e-4)
    assert ranking.critical_difference == pytest.approx(1.25, abs=5e-3)
    assert ranking.blocks == 14


@pytest.mark.parametrize(("k", "q"), [(3, 2.343), (4, 2.569), (5, 2.728), (10, 3.164)])
def test_critical_difference_has_the_published_quantiles(k, q):
    ranking = rank_backends(pd.DataFrame(np.random.default_rng(0).random((8, k))))
    assert ranking.critical_difference == pytest.approx(q * np.sqrt(k * (k + 1) / 48), abs=1e-3)


def test_infeasible_blocks_share_the_last_rank():
    ranking = rank_backends(pd.DataFrame({"a": [1.0, 2.0], "b": [np.inf, np.inf], "c": [np.inf, 1.0]}))
    assert dict(zip(ranking.backends, ranking.mean_ranks, strict=True)) == {"a": 1.5, "c": 1.75, "b": 2.75}


def test_blocks_without_a_value_of_every_backend_are_left_out():
    ranking = rank_backends(pd.DataFrame({"a": [1.0, 2.0, np.nan], "b": [2.0, 3.0, 0.0], "c": [3.0, 1.0, 0.0]}))
    assert ranking.blocks == 2
    assert dict(zip(ranking.backends, ranking.mean_ranks, strict=True)) == {"a": 1.5, "b": 2.5, "c": 2.0}


@pytest.mark.parametrize("losses", [[[1.0, 2.0]] * 5, [[1.0, 2.0, 3.0]], np.empty((0, 3))])
def test_no_test_with_two_backends_or_one_block(losses):
    ranking = rank_backends(pd.DataFrame(losses))
    assert np.isnan([ranking.statistic, ranking.p, ranking.critical_difference]).all()


def test_no_test_when_everything_ties():
    ranking = rank_backends(pd.DataFrame(np.ones((4, 3))))
    assert np.isnan(ranking.p)
    assert ranking.groups == [(0, 2)]


def test_groups_are_the_longest_stretches_within_the_critical_difference():
    losses = pd.DataFrame([[1.0, 2.0, 3.0, 4.0]] * 8)
    ranking = rank_backends(losses)
    assert 1 < ranking.critical_difference < 2
    assert ranking.groups == [(0, 1), (1, 2), (2, 3)]
    assert ranking.pairs[0, 1] > 0.05 > ranking.pairs[0, 2]
    assert ranking.p < 0.001


def test_block_is_the_median_over_configurations():
    rows = [
        study(configuration=c, seed=s, curve=[10 * s + v])
        for s in range(2)
        for c, v in zip("abc", (1, 2, 9), strict=True)
    ]
    compared = lottery.compare(table(*randoms(20.0, 20.0), *rows))
    assert block_losses(compared)["ga"].tolist() == [2, 12]
    assert block_losses(compared, blocks=["env"])["ga"].tolist() == [10]


def test_block_of_the_default_configuration_takes_an_only_configuration_as_such():
    rows = [study(configuration="default", curve=[3.0]), study(configuration="c01", curve=[1.0])]
    rows += [study("tpe", "c07", curve=[2.0])]
    losses = block_losses(lottery.compare(table(*randoms(20.0), *rows)), "default")
    assert losses.iloc[0].to_dict() == {"random": 20, "ga": 3, "tpe": 2}


def test_tuned_block_is_chosen_on_the_other_seeds():
    rows = [row | {"reference": 0.0} for row in [*randoms(1.0, 1.0, 1.0), *grid([[0.9, 0.1, 0.1], [0.2, 0.3, 0.3]])]]
    losses = block_losses(lottery.compare(table(*rows)), "tuned")
    # seed 0 is chosen for by seeds 1 and 2 (c01), seeds 1 and 2 by the others (default)
    assert losses["ga"].tolist() == pytest.approx([0.8, 0.9, 0.9])


def test_nothing_is_tuned_on_a_single_seed():
    compared = lottery.compare(table(*randoms(1.0), study()))
    assert block_losses(compared, "tuned").empty


# From a store -----------------------------------------------------------------------------------------------------


@do.design_env(do.DesignSpace(x=do.Integer(0, 3)), maximize=["gain"], constraints={"x": "<= 2"}, units={"gain": "kg"})
def line(x):
    return {"gain": 10 * x, "x": x}


@do.design_env(do.DesignSpace(x=do.Integer(0, 3)), minimize=["a"], maximize=["b"])
def pair(x):
    return {"a": x, "b": min(x, 2)}


def record(store, env, designs, **facts):
    """One finished study whose evaluations were just these designs."""
    from designopt.executors import Finished
    from designopt.runs import Ask

    info = {"backend": "random", "hyperparameters": {}, "seed": 0, "sweep": "s", "configuration": "default"}
    given = {"space": env.design_space, "objectives": env.objectives, "constraints": env.constraints}
    run = store.create_run(RunInfo(env=env.id, env_arguments={}, **given, **(info | facts)))
    designs = np.array(designs, dtype=float)[:, None]
    n = len(designs)
    done = Finished(np.arange(n), designs, env.evaluate(designs), "serial")
    store.record(run, [Ask(first=0, n=n, told_before=0, wanted=n)], [done], 0)
    store.finish_run(run, "finished")
    return run


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "s.db") as opened:
        yield opened


def test_studies_of_a_sweep_have_their_curve_in_losses(store):
    run = record(store, line, [3, 1, 0, 2, 1], budget=5, seed=4)
    record(store, line, [2], sweep="another")
    (row,) = lottery.studies(store, "s").to_dict("records")
    assert row["curve"].tolist() == [np.inf, -10, -10, -20, -20]
    expected = {"run": run, "seed": 4, "sense": "max", "objective": "gain", "unit": "kg", "repeats": 1, "feasible": 0.8}
    assert {name: row[name] for name in expected} == expected
    assert lottery.own_sign(row["curve"][-1], row["sense"]) == 20


def test_several_objectives_are_compared_by_hypervolume_from_the_worst_feasible_corner(store):
    record(store, pair, [0, 1, 2])
    record(store, pair, [3, 0], seed=1)
    first, second = lottery.studies(store, "s")["curve"]
    # the corner is a = 3, b = 0
    assert first.tolist() == [0, -2, -3]
    assert second.tolist() == [0, 0]
    assert lottery.studies(store, "s")["objective"].tolist() == ["hypervolume"] * 2


def test_registered_environment_brings_its_reference(store):
    env = do.make("designopt/WeldedBeam-v0")
    info = {"space": env.design_space, "objectives": env.objectives, "constraints": env.constraints}
    store.create_run(
        RunInfo(env=env.id, env_arguments={}, backend="random", hyperparameters={}, seed=0, sweep="s", budget=5, **info)
    )
    (row,) = lottery.studies(store, "s").to_dict("records")
    assert row["reference"] == env.reference.value
    assert row["evaluations"] == 0


def test_unknown_sweep_is_an_error_that_names_the_known_ones(store):
    record(store, line, [1], sweep="beams")
    with pytest.raises(StoreError, match="unknown sweep 'beam'; did you mean 'beams'"):
        lottery.studies(store, "beam")
