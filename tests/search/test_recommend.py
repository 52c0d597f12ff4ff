"""`recommend`: from a table or an environment to a diverse set of designs, and every way to ask wrongly."""

import numpy as np
import pandas as pd
import pytest
import torch

import designopt as do
from designopt import data
from designopt.counterfactual import Embedding, Interval, Soft
from designopt.search.counterfactual.engine import CLOSING, REFINED
from designopt.search.counterfactual.predictor import Predictor, wants_array
from designopt.search.counterfactual.recommend import recommend

RNG = np.random.default_rng(0)
N = 240
TABLE = pd.DataFrame(
    {
        "width": RNG.uniform(1, 5, N),
        "height": RNG.uniform(1, 5, N),
        "bolts": RNG.integers(2, 9, N),
        "metal": RNG.choice(["steel", "titanium", "wood"], N),
        "welded": RNG.choice([True, False], N),
    },
    index=[f"b{i}" for i in range(N)],
)
DENSITY = {"steel": 3.0, "titanium": 2.0, "wood": 1.0}


def physics(frame):
    mass = frame["width"] * frame["height"] * frame["metal"].map(DENSITY).astype(float) + 0.3 * frame["bolts"]
    strength = frame["height"] ** 2 * frame["width"] * (1 + 0.5 * frame["welded"].astype(float)) + frame["bolts"]
    return pd.DataFrame({"mass": mass, "strength": strength})


RESULTS = physics(TABLE).assign(grade=lambda r: np.where(r["strength"] > 60, "good", "poor"))
FULL = pd.concat([TABLE, RESULTS], axis=1)
HEAVY = str(FULL["mass"].idxmax())
TARGETS = {"mass": "<= 20", "strength": ">= 40"}


def quick(query=HEAVY, targets=TARGETS, model=physics, **settings):
    return recommend(FULL, query, targets, model, features=list(TABLE), **({"budget": 1200, "n": 5} | settings))


@pytest.fixture(scope="module")
def answer():
    return quick()


def test_the_answer_meets_the_targets_by_the_model_itself(answer):
    assert answer.found
    predicted = physics(answer.designs)
    assert (predicted["mass"] <= 20).all()
    assert (predicted["strength"] >= 40).all()
    assert len(answer.designs) == 5
    assert list(answer.designs) == list(TABLE)
    assert len(answer.designs.drop_duplicates()) == 5
    np.testing.assert_allclose(answer.performance["mass"], predicted["mass"])
    assert answer.performance[["mass met", "strength met"]].all(axis=None)


def test_changes_are_the_differences_to_the_query(answer):
    for i in range(5):
        own = answer.changes[answer.changes["design"] == i].set_index("feature")
        new = answer.designs.iloc[i]
        old = TABLE.loc[HEAVY]
        assert set(own.index) == {name for name in TABLE if new[name] != old[name]}
        for name, change in own.iterrows():
            assert (change["old"], change["new"]) == (old[name], new[name])
        assert answer.performance["sparsity"][i] == pytest.approx(len(own) / 5)


def test_the_archive_holds_all_valid_designs_with_distances(answer):
    archive = answer.archive
    assert len(archive) > 100
    predicted = physics(archive)
    assert ((predicted["mass"] <= 20) & (predicted["strength"] >= 40)).all()
    assert {"proximity", "sparsity", "manifold", "mass", "strength"} <= set(archive)
    point = archive[["proximity", "sparsity", "manifold"]].to_numpy()
    rng = np.random.default_rng(0)
    samples = rng.random((4000, 3))
    covered = (point[:, None] <= samples[None]).all(axis=2).any(axis=0)
    assert answer.hypervolume() == pytest.approx(covered.mean(), abs=0.02)
    assert answer.hypervolume((1, 0.5, 1)) < answer.hypervolume()


def test_weights_shift_the_draw_without_another_evaluation(answer):
    calls = answer.calls
    near = answer.resample({"proximity": 10, "sparsity": 0, "manifold": 0, "diversity": 0}, 20)
    assert answer.performance["proximity"].to_numpy() == pytest.approx(np.sort(answer.archive["proximity"])[:20])
    few = answer.resample({"sparsity": 10, "proximity": 0, "manifold": 0, "diversity": 0}, 3)
    assert answer.performance["sparsity"].tolist() == np.sort(answer.archive["sparsity"])[:3].tolist()
    usual = answer.resample({"manifold": 10, "proximity": 0, "sparsity": 0, "diversity": 0}, 4)
    assert answer.performance["manifold"].max() <= np.sort(answer.archive["manifold"])[3] + 1e-12
    spread = answer.resample({"diversity": 5}, 5)
    wide = answer.diversity
    answer.resample({"diversity": 0.01}, 5)
    assert wide["log det"] > answer.diversity["log det"]
    assert wide["mean distance"] > answer.diversity["mean distance"]
    assert [len(t) for t in (near, few, usual, spread)] == [20, 3, 4, 5]
    assert answer.calls == calls
    answer.resample()


def test_with_a_cap_only_the_best_scored_are_drawn(answer):
    scores = answer.archive[["proximity", "sparsity", "manifold"]] @ [1, 0.3, 0.5]
    best = np.sort(scores)[:50]
    answer.resample(n=10, candidates=50)
    drawn = answer.performance[["proximity", "sparsity", "manifold"]] @ [1, 0.3, 0.5]
    assert drawn.max() <= best[-1] + 1e-12
    answer.resample(n=5)


def test_higher_is_better_enters_the_score_with_the_right_sign():
    answer = quick(
        targets=TARGETS | {"strength": ">= 40", "height": "max"},
        model=lambda frame: physics(frame).assign(height=frame["height"]),
    )
    # The height alone, so that no distance outweighs the last millimetres of it.
    answer.resample({"height": 1.0, "proximity": 0.0, "sparsity": 0.0, "manifold": 0.0, "diversity": 0.0}, 5)
    np.testing.assert_array_equal(np.sort(answer.performance["height"]), np.sort(answer.archive["height"])[-5:])
    answer.resample({"height": 0.0, "diversity": 0.0}, 5)
    assert answer.performance["height"].max() < answer.archive["height"].max()


def test_soft_targets_rank_and_may_be_missed():
    answer = quick(targets={"mass": "<= 20", "strength": Soft(Interval(low=90.0), weight=5.0)})
    assert {"proximity", "strength missed by"} <= set(answer.archive)
    assert (answer.archive["strength"] < 90).any()
    missed = np.maximum(90 - answer.archive["strength"], 0)
    np.testing.assert_allclose(answer.archive["strength missed by"], missed)


def test_settings_reach_the_search():
    answer = quick(
        freeze=["metal"], grow=["bolts"], max_changes=2, bounds={"width": (1.5, None)},
        restrictions={"slim": lambda x: x["width"] - x["height"]}, conditions={"bolts": ("welded", False)},
    )  # fmt: skip
    archive, old = answer.archive, TABLE.loc[HEAVY]
    assert len(archive)
    assert (archive["metal"] == old["metal"]).all()
    assert (archive["bolts"] >= old["bolts"]).all()
    assert (archive["sparsity"] <= 2 / 5 + 1e-9).all()
    assert (archive["width"] >= 1.5).all()
    assert (archive["width"] <= archive["height"]).all()
    assert (archive.loc[archive["welded"], "bolts"] == old["bolts"]).all()


def test_a_dictionary_a_list_and_a_label_ask_the_same():
    one = quick()
    same, other = quick([TABLE.loc[HEAVY].to_dict(), "b3"])
    pd.testing.assert_frame_equal(one.designs, same.designs)
    assert other.query == TABLE.loc["b3"].to_dict()


def test_texts_and_numbers_give_the_same_answer():
    metals = sorted(DENSITY)
    codes = {name: i for i, name in enumerate(metals)}
    coded = FULL.assign(metal=FULL["metal"].map(codes), welded=FULL["welded"].astype(int))
    parameters = {
        "width": do.Real(1, 5), "height": do.Real(1, 5), "bolts": do.Integer(2, 8),
        "metal": do.Categorical([0, 1, 2]), "welded": do.Categorical([0, 1]),
    }  # fmt: skip
    texts = parameters | {"metal": do.Categorical(metals), "welded": do.Categorical([False, True])}

    def model(x):
        weight = np.array([DENSITY[m] for m in metals])[x[:, 3].astype(int)]
        strength = x[:, 1] ** 2 * x[:, 0] * (1 + 0.5 * x[:, 4]) + x[:, 2]
        return np.stack([x[:, 0] * x[:, 1] * weight + 0.3 * x[:, 2], strength], axis=1)

    a = recommend(FULL, HEAVY, TARGETS, model, features=texts, budget=800)
    b = recommend(coded, HEAVY, TARGETS, model, features=parameters, budget=800)
    np.testing.assert_array_equal(a.rows, b.rows)
    assert a.designs["metal"].map(codes).tolist() == b.designs["metal"].tolist()
    assert a.hypervolume() == b.hypervolume()


def test_the_same_seed_gives_the_same_answer():
    first, second, other = quick(budget=600), quick(budget=600), quick(budget=600, seed=1)
    pd.testing.assert_frame_equal(first.archive, second.archive)
    assert len(other.archive) != len(first.archive) or not other.archive.equals(first.archive)


def test_a_time_limit_ends_the_search_and_leaves_time_to_refine(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    monkeypatch.setattr("time.perf_counter", lambda: clock[0])
    asked = []

    def model(frame):
        clock[0] += 0.001 * len(frame)  # a millisecond per design
        asked.append((clock[0], len(frame)))
        return physics(frame)

    answer = quick(model=model, budget=None, seconds=3.0)
    assert answer.found
    assert 3.0 <= answer.search_seconds < 3.2  # the batch at hand ends
    refining = [at for at, n in asked if n == REFINED]
    assert refining
    assert min(refining) >= CLOSING * 3
    alike = quick(model=physics, budget=answer.calls)
    assert abs(alike.archive["proximity"].min() - answer.archive["proximity"].min()) < 0.01


# Models ---------------------------------------------------------------------------------------------------------


def test_without_a_model_one_is_fitted_and_says_how_good_it_is():
    answer = recommend(FULL, HEAVY, TARGETS | {"grade": "== good"}, n=4, budget=1500)
    assert answer.quality["mass"]["R2"] > 0.9
    assert answer.quality["mass"]["rmse"] < 0.3 * FULL["mass"].std()
    assert answer.quality["grade"]["accuracy"] > answer.quality["grade"]["base rate"] > 0.5
    assert {"mass_std", "grade=good"} <= set(answer.predicted)
    true = physics(answer.designs)
    assert (np.abs(true["mass"] - answer.predicted["mass"]) < 6 * answer.predicted["mass_std"]).all()
    assert (answer.predicted["grade=good"] >= answer.predicted["grade=poor"]).all()
    sure = recommend(FULL, HEAVY, {"mass": "<= 20"}, features=list(TABLE), budget=800, confidence=0.95)
    assert (sure.predicted["mass"] + 1.6448 * sure.predicted["mass_std"] <= 20).all()


def test_models_are_called_with_what_they_want():
    seen = []

    class Estimator:
        def predict(self, x):
            seen.append(type(x).__name__)
            return np.asarray(x)[:, :2].astype(float).sum(axis=1)

    class Named(Estimator):
        feature_names_in_ = tuple(TABLE)

    def frames(table):
        seen.append(type(table).__name__)
        return table["width"] + table["height"]

    def arrays(x):
        seen.append(type(x).__name__)
        return x[:, 0] + x[:, 1]

    answers = []
    for model, kind in ((Estimator(), "ndarray"), (Named(), "DataFrame"), (frames, "DataFrame"), (arrays, "ndarray")):
        seen.clear()
        answers.append(quick(targets={"size": "<= 4"}, model=model, budget=300).rows)
        assert set(seen) == {kind}
    for rows in answers[1:]:
        np.testing.assert_allclose(rows, answers[0])
    assert wants_array(lambda designs: designs)
    assert not wants_array(max)


def test_a_torch_module_gives_gradients_and_they_can_be_declined():
    class Size(torch.nn.Module):
        def forward(self, x):
            return x[:, :1] + x[:, 1:2]

    asked = []
    module = Size()
    module.register_forward_hook(lambda m, given, out: asked.append(given[0].requires_grad))
    with_gradients = quick(targets={"size": "<= 4"}, model=module, budget=400)
    assert any(asked)
    asked.clear()
    without = quick(targets={"size": "<= 4"}, model=module, budget=400, gradients=False)
    assert not any(asked)
    assert with_gradients.found
    assert without.found


def test_a_similarity_to_a_prompt_can_be_a_target():
    # The embedding stands in for that of a text or image model: a fixed random map of the numeric features.
    projection = np.random.default_rng(3).standard_normal((3, 8))

    def embed(frame):
        return (frame[["width", "height", "bolts"]].to_numpy(float) - [3, 3, 5]) @ projection

    prompt = embed(pd.DataFrame({"width": [5.0], "height": [1.0], "bolts": [5]}))[0]
    answer = quick(
        targets={"mass": "<= 40", "likeness": ">= 0.9"}, derived={"likeness": Embedding(embed, prompt)},
        outputs=["mass"], model=lambda frame: physics(frame)["mass"],
    )  # fmt: skip
    assert answer.found
    vectors = embed(answer.designs)
    cosine = vectors @ prompt / np.linalg.norm(vectors, axis=1) / np.linalg.norm(prompt)
    np.testing.assert_allclose(cosine, answer.predicted["likeness"])
    assert (cosine >= 0.9).all()


def test_an_environment_is_data_and_model_in_one():
    env = do.make("designopt/WeldedBeam-v0")
    answer = recommend(env, 0, {"cost": "<= 4"}, budget=4000, n=3)
    assert answer.found
    evaluation = env.evaluate(answer.rows)
    assert evaluation.feasible.all()
    assert (evaluation.objectives[:, 0] <= 4).all()
    design = env.design_space.decode(answer.problem.query[None])[0]
    again = recommend(env, design, {"cost": "<= 4"}, budget=4000, n=3)
    np.testing.assert_array_equal(again.rows, answer.rows)


# What goes wrong ------------------------------------------------------------------------------------------------


def test_out_of_reach_the_least_violating_designs_say_which_target_binds():
    answer = quick(targets={"mass": "<= 1", "strength": ">= 0"}, budget=20_000)
    assert not answer.found
    assert answer.calls < 20_000
    assert list(answer.binding) == ["mass"]
    assert len(answer.designs) == 5
    assert answer.hypervolume() == 0
    assert len(answer.archive) == 0
    lightest = 1 * 1 * 1.0 + 0.3 * 2
    assert answer.performance["mass"].min() == pytest.approx(min(lightest, FULL["mass"].min()), rel=0.2)
    assert any("No data row meets all hard targets" in note for note in answer.notes)
    assert any("'mass' binds" in note for note in answer.notes)


def test_a_query_outside_the_bounds_is_moved_and_noted():
    outside = TABLE.loc["b3"].to_dict() | {"width": 9.0}
    answer = quick(outside, targets={"mass": "<= 60"})
    assert any("width = 9 lies outside [" in note for note in answer.notes)
    assert (answer.archive["width"] <= 5).all()


def test_designs_on_which_the_model_fails_are_not_valid():
    def brittle(frame):
        if (frame["width"] > 4).any():
            raise ArithmeticError("too wide")
        return physics(frame)

    answer = quick("b3" if TABLE.loc["b3", "width"] < 4 else "b4", targets={"mass": "<= 60"}, model=brittle, budget=400)
    assert answer.found
    assert (answer.archive["width"] <= 4).all()
    assert any("ArithmeticError: too wide" in note for note in answer.notes)


def test_rows_with_missing_features_are_left_out_and_noted():
    table = FULL.copy()
    table.iloc[5:9, 0] = np.nan
    answer = recommend(table, HEAVY, TARGETS, physics, features=list(TABLE), budget=300)
    assert answer.notes[0] == "4 data rows miss a feature and were left out."
    assert not np.isnan(answer.problem.data).any()
    with pytest.raises(ValueError, match="query: feature 'width' has no value"):
        recommend(table, "b6", TARGETS, physics, features=list(TABLE), budget=300)


def broken(_):
    raise RuntimeError("no licence")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"query": "b999"}, r"query = 'b999': no row of the data have this label; labels are like 'b0'"),
        ({"query": {"width": 1.0}}, r"query: feature 'height' is missing; needed: width, height"),
        ({"query": {"widht": 1.0}}, r"query: unknown feature 'widht'; did you mean 'width'"),
        ({"query": TABLE.loc["b0"].to_dict() | {"metal": "stel"}}, r"metal = 'stel' is not allowed; did you mean"),
        ({"targets": {}}, r"targets: at least one is needed"),
        ({"targets": {"mass": "min"}}, r"at least one must be hard"),
        ({"targets": {"mas": "<= 3"}}, r"the model gives no output 'mas'; did you mean 'mass'"),
        ({"targets": {"mass": "light"}}, r"target 'mass' = 'light' is not understood"),
        ({"freeze": ["metall"]}, r"unknown feature 'metall'; did you mean 'metal'"),
        ({"freeze": list(TABLE)}, r"no feature can change"),
        ({"n": 0}, r"n = 0; it must be positive"),
        ({"budget": 0}, r"budget = 0; it must be positive"),
        ({"seconds": -1.0}, r"seconds = -1.0; it must be positive"),
        ({"weights": {"closeness": 1}}, r"unknown weight 'closeness'"),
        ({"weights": {"proximity": -1}}, r"weight of 'proximity' = -1; it must be finite and not negative"),
        ({"model": broken}, r"the model failed on its first 1 designs: RuntimeError: no licence"),
        ({"model": lambda f: {"mass": np.ones(3), "strength": np.ones(3)}}, r"'mass' of shape \(3,\) for 1 designs"),
        ({"model": lambda f: np.ones((len(f), 3))}, r"array of shape \(1, 3\) for the outputs mass, strength"),
        ({"model": 3}, r"model = 3; it must be callable or have predict\(\)"),
    ],
)  # fmt: skip
def test_unfit_arguments_are_refused_in_one_line(settings, message):
    with pytest.raises(ValueError, match=message) as caught:
        quick(**settings)
    assert "\n" not in str(caught.value)


def test_unfit_tables_are_refused_in_one_line():
    with pytest.raises(ValueError, match="the data have 0 rows; at least one is needed"):
        recommend(FULL[:0], HEAVY, TARGETS, physics)
    with pytest.raises(ValueError, match="the data have no column 'widht'; did you mean 'width'"):
        recommend(FULL, HEAVY, TARGETS, physics, features=["widht"])
    with pytest.raises(ValueError, match="target 'weight' is no column of the data, and there is no model"):
        recommend(FULL, HEAVY, {"weight": "<= 3"})
    with pytest.raises(ValueError, match="target 'metal' needs numbers, but its column holds"):
        recommend(FULL, HEAVY, {"metal": "<= 3"})
    with pytest.raises(ValueError, match="6 data rows have all targets; a model needs at least 10"):
        recommend(FULL[:6], "b0", TARGETS)


def test_a_model_that_once_answered_in_another_length_is_found_out():
    predictor = Predictor(lambda x: np.ones(2), do.DesignSpace(a=do.Real(0, 1)), ["y"])
    assert predictor.outputs(np.zeros((2, 1)))["y"].tolist() == [1, 1]
    with pytest.raises(ValueError, match=r"the model returned 'y' of shape \(2,\) for 3 designs"):
        predictor.outputs(np.zeros((3, 1)))


# The bicycle frame ----------------------------------------------------------------------------------------------

FRAMED = "counterfactuals/framed_structural.csv.gz"


@pytest.mark.slow
@pytest.mark.skipif(not data.available(FRAMED), reason="needs FRAMED")
def test_a_lighter_and_stronger_frame_within_fifteen_thousand_evaluations():
    frame = pd.read_csv(data.find(FRAMED), index_col="bike_id").rename(
        columns={"Model Mass": "mass", "Sim 1 Safety Factor": "sf1"}
    )
    answer = recommend(
        frame, 90, {"mass": "<= 3", "sf1": ">= 1.5"}, features=list(frame.columns[:37]), freeze=["Material"]
    )
    assert answer.found
    assert answer.quality["mass"]["R2"] > 0.85
    assert answer.hypervolume() > 0.75
    assert (answer.designs["Material"] == "Steel").all()
