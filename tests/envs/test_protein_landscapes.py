import gzip
import json
import pickle

import numpy as np
import pytest

import designopt as do
from designopt import data
from designopt.envs.protein import separated
from designopt.envs.protein.ehrlich import Ehrlich
from designopt.envs.protein.fuji import RoughMtFuji
from designopt.envs.protein.measured import FACTORS, GB1, TFBind8
from designopt.envs.protein.mixture import GaussianMixture
from designopt.envs.protein.poisson import PoissonField
from designopt.envs.protein.table import Table, TableLandscape, read_table
from designopt.offline import OfflineData
from designopt.testing import check_env

needs_data = pytest.mark.skipif(
    not (data.available("protein/gb1_wu2016.csv.gz") and data.available("protein/ehrlich_fixtures.json.gz")),
    reason="protein data are not on this machine",
)


@pytest.fixture(scope="module")
def gb1():
    return GB1()


def csv(tmp_path, text):
    path = tmp_path / "table.csv"
    path.write_text(text)
    return path


# Ehrlich ---------------------------------------------------------------------------------------------------------


@needs_data
@pytest.mark.parametrize("case", range(9))
def test_ehrlich_equals_the_published_instances(case):
    with gzip.open(data.find("protein/ehrlich_fixtures.json.gz")) as file:
        fixture = json.load(file)["cases"][case]
    parameters = fixture["params"]
    env = Ehrlich(seed=parameters.pop("random_seed"), **parameters)
    assert env.instance.motifs.tolist() == fixture["motifs"]
    assert np.diff(env.instance.spacings).tolist() == fixture["spacings"]
    assert env.instance.transitions == pytest.approx(np.array(fixture["transition_matrix"]), abs=1e-7)
    assert env.initial_solution()[0].tolist() == np.ravel(fixture["initial_solution"]).tolist()
    assert env.optimal_solution().tolist() == np.ravel(fixture["optimal_solution"]).tolist()
    evaluation = env.evaluate(np.array(fixture["x"], dtype=float))
    assert evaluation.feasible.tolist() == [y is not None for y in fixture["y"]]
    published = [0.0 if y is None else y for y in fixture["y"]]
    assert np.round(evaluation.objectives[:, 0], 8).tolist() == pytest.approx(published, abs=1e-12)


def test_ehrlich_constraint_counts_banned_neighbours_and_chains_have_none():
    env = Ehrlich(seed=3)
    banned = np.argwhere(env.instance.transitions == 0)[0]
    design = env.optimal_solution()
    design[-4:] = [banned[0], banned[1], banned[1], banned[1]]
    evaluation = env.evaluate(np.stack([design, env.optimal_solution()]))
    assert evaluation.constraints[0, 0] >= 1
    assert evaluation.objectives[:, 0].tolist() == [0.0, 1.0]
    assert evaluation.feasible.tolist() == [False, True]
    assert env.evaluate(env.initial_solution(50)).feasible.all()
    assert env.offline_data()[1].feasible.tolist() == [True]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"quantization": 5}, "quantization = 5; at most motif_length = 4"),
        ({"dim": 15}, "4 motifs of 4 letters do not fit dim = 15"),
        ({"num_states": 63}, "num_states = 63; at most 62"),
        ({"num_motifs": 0}, "num_motifs = 0; it must be a whole number of at least 1"),
        ({"epistasis_factor": -1.0}, "epistasis_factor = -1.0"),
    ],
)
def test_ehrlich_refuses_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        Ehrlich(**arguments)


# Tables ----------------------------------------------------------------------------------------------------------


@needs_data
def test_gb1_has_its_published_values(gb1):
    evaluation = gb1.evaluate(gb1.designs(["FWAA", "VDGV", "FYAA"]))
    assert evaluation.objectives[:, 0] == pytest.approx([8.761966, 1.0, 8.045], abs=1e-3)
    assert gb1.sequences(np.array([gb1.reference.design])) == ["FWAA"]
    assert gb1.sequences(gb1.offline_data()[0]) == ["VDGV"]
    assert len(gb1.table.values) == 149_361


@needs_data
@pytest.mark.parametrize(("factor", "best"), list(zip(FACTORS, [0.49105, 0.49746, 0.4706], strict=True)))
def test_binding_is_complete_and_strands_agree(factor, best):
    env = TFBind8(factor, offline=0.5)
    assert len(env.table.values) == 65_536
    assert env.reference.value == best
    designs, known = env.offline_data()
    values = env.evaluate(3 - designs[:, ::-1]).objectives  # reverse complements, letters in the order ACGT
    assert np.array_equal(values, known.objectives)
    assert known.objectives.max() < np.median(env.table.values) + 1e-9


def test_calls_duplicates_and_missing_are_counted(tmp_path):
    env = GB1(path=csv(tmp_path, "sequence,fitness\nAA,1\nAC,2\n"))
    env.evaluate(env.designs(["AA", "AA", "CC"]))
    env.evaluate(env.designs(["CC", "AC"]))
    assert (env.calls.total, env.calls.distinct, env.calls.duplicates, env.calls.missing) == (5, 3, 2, 2)
    env.offline_data()
    assert env.calls.total == 5


def test_long_sequences_are_counted_too():
    env = Ehrlich()
    x = env.initial_solution(3)
    env.evaluate(x[[0, 1, 1, 2, 0]])
    assert (env.calls.total, env.calls.duplicates) == (5, 2)


@pytest.mark.parametrize(
    ("missing", "status", "error"), [("zero", "ok", ""), ("invalid", "invalid", "CC was not measured")]
)
def test_missing_sequences(tmp_path, missing, status, error):
    env = GB1(path=csv(tmp_path, "sequence,score\nAA,1\nAC,2\n"), value="score", missing=missing)
    evaluation = env.evaluate(env.designs(["AC", "CC"]))
    assert evaluation.objectives[0, 0] == 2
    assert (evaluation.status[1], evaluation.errors[1]) == (status, error)
    assert evaluation.metrics["missing"].tolist() == [0, 1]
    assert missing != "zero" or evaluation.objectives[1, 0] == 0


def test_nan_is_invalid_without_naming_the_sequence(tmp_path):
    env = GB1(path=csv(tmp_path, "sequence,fitness\nAA,1\n"), missing="nan")
    evaluation = env.evaluate(env.designs(["CC"]))
    assert np.isnan(evaluation.objectives[0, 0])
    assert evaluation.errors[0] == "NaN or inf in an objective or constraint"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sequence,fitness\nAA,1\nAAA,2\n", "sequence 1: 'AAA' has 3 letters; every sequence must have 2"),
        ("sequence,fitness\nAA,1\nAB,2\n", "sequence 1: letter 'B' at position 2 of 'AB'"),
        ("sequence,fitness\nAA,1\nA\U0001f600,2\n", "at position 2 of"),
        ("sequence,fitness\nAA,1\nAC,2\nAA,3\n", "'AA' is listed twice, as sequences 0 and 2; 1 of 3 rows"),
        ("sequence,fitnes\nAA,1\n", "no column 'fitness'; did you mean 'fitnes'"),
        ("sequence,fitness\nAA,x\n", "fitness 0 = 'x'; it must be a finite number"),
        ("sequence,fitness\nAA,inf\n", "fitness 0 = 'inf'"),
        ("sequence,fitness\nAA\n", "line 2: 1 values; the header has 2 columns"),
        ("sequence,fitness\n", "holds no sequences"),
    ],
)
def test_a_bad_table_is_refused_naming_the_place(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        GB1(path=csv(tmp_path, text))


def test_absent_and_wrong_data_are_named(tmp_path, monkeypatch):
    monkeypatch.setenv("DESIGNOPT_DATA", str(tmp_path))
    monkeypatch.setattr(data, "folders", lambda: [tmp_path])
    with pytest.raises(
        data.DataMissing, match=r"gb1_wu2016.*eLife.*designopt data add protein/gb1_wu2016\.csv\.gz FILE"
    ):
        GB1()
    (tmp_path / "protein").mkdir()
    (tmp_path / "protein/gb1_wu2016.csv.gz").write_bytes(b"nothing")
    with pytest.raises(data.DataCorrupt, match="expected 5bf59baf"):
        GB1()


# Separation ------------------------------------------------------------------------------------------------------


def landscape():
    """All pairs of 20 letters: 280 bad ones known, 100 good ones, the best last."""
    codes = np.indices((20, 20), dtype=np.uint8).reshape(2, -1).T.copy()
    values = np.concatenate([np.full(280, 5e-4), np.full(100, 0.15), np.linspace(1.0, 4.0, 20)])
    values[:380] *= 4.0
    return TableLandscape(Table("ACDEFGHIKLMNPQRSTVWY", codes, values, "made"))


@pytest.mark.parametrize("length", [1, 3, 8])
def test_tags_put_good_sequences_on_an_island(length):
    env = separated(landscape(), length, 0.2, n_low=200)
    assert env.length == length + 2
    designs, values = env.measured()
    strings = env.sequences(designs)
    good = values >= 1e-3
    assert len({s[:length] for s, g in zip(strings, good, strict=True) if g}) == 1
    assert all((s[length - 1] == "V") == g for s, g in zip(strings, good, strict=True))
    assert env.evaluate(designs).objectives[:, 0] == pytest.approx(values)
    assert values.max() == env.reference.value == 1.0
    # The support holds each variant behind its own tag and nothing else.
    swapped = np.concatenate([designs[~good][:100, :length], designs[good][:100, length:]], axis=1)
    assert not env.evaluate(swapped).objectives.any()
    assert env.calls.missing == 100


def test_longer_tags_are_farther_apart():
    distances = []
    for length in (3, 8):
        designs, values = separated(landscape(), length, 0.2, n_low=200).measured()
        tags, good = designs[:, :length], values >= 1e-3
        distances.append((tags[~good] != tags[good][0]).sum(axis=1).mean())
    assert distances[0] > 2.5
    assert distances[1] > 7


def test_the_initial_data_have_the_numbers_asked_for():
    env = separated(landscape(), 3, 0.05, n_low=200)
    assert isinstance(env, OfflineData)
    designs, evaluation = env.offline_data()
    values = evaluation.objectives[:, 0]
    assert len(np.unique(designs, axis=0)) == len(designs) == 210
    assert ((values >= 1e-4) & (values < 1e-3)).sum() == 200
    assert ((values >= 0.1) & (values <= 0.2)).sum() == 10
    assert np.array_equal(designs, separated(landscape(), 3, 0.05, n_low=200).offline_data()[0])
    assert not np.array_equal(designs, env.offline_data(1)[0])
    assert env.calls.total == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"length": 3, "n_low": 1000}, "1000 bad and 100 good designs are wanted; available: 280 bad and 100 good"),
        ({"length": 3, "n_low": 200, "imbalance": 0.8}, "available: 280 bad and 100 good, so .* imbalance up to 0.5"),
        ({"length": 3, "n_low": 200, "imbalance": 0.001}, "no good design for 200 bad ones; at least 0.005"),
        ({"length": 0}, "a tag has at least 1 letter"),
    ],
)
def test_empty_classes_are_refused_saying_what_there_is(arguments, message):
    with pytest.raises(ValueError, match=message):
        separated(landscape(), **arguments)


def test_any_landscape_can_be_separated():
    env = separated(Ehrlich(4, 6, 1, 3, seed=1), 2, 0.1, n_low=10, low=(0.0, 1e-3), high=(0.1, 0.9))
    assert env.alphabet == "ACDE"
    assert env.reference.value == 1.0
    with pytest.raises(ValueError, match=r"has 32\^32 sequences; at most"):
        separated(Ehrlich(), 3)


@needs_data
@pytest.mark.parametrize("name", ["GB1", "PhoQ", "AAV"])
def test_the_first_and_last_separation_of_the_paper_can_be_built(name):
    levels, lengths = (5, [28] * 5) if name == "AAV" else (4, [7, 8, 9 if name == "GB1" else 10, 12])
    for separation in (0, levels - 1):
        env = do.make(f"designopt/{name}-v0", separation=separation, imbalance=0.8)
        assert env.length == lengths[separation]
        assert len(env.offline_data()[0]) == 1800
    with pytest.raises(ValueError, match=f"separation = {levels}; allowed levels: 0 "):
        do.make(f"designopt/{name}-v0", separation=levels)


# Real-valued designs, computed landscapes ------------------------------------------------------------------------


def test_gaussian_mixture_is_the_papers():
    env = GaussianMixture(separation=4, imbalance=0.05)
    assert env.reference.value == pytest.approx(2.5)
    designs, evaluation = env.offline_data()
    assert designs.shape == (210, 1)
    high = evaluation.objectives[200:, 0]
    assert ((designs[200:] >= 12.5) & (designs[200:] <= 13)).all()
    assert high.min() >= 2.5 * np.exp(-0.5)
    assert high.max() <= 2.5 * np.exp(-0.125)
    assert env.evaluate(np.array([[0.0], [0.25]])).objectives[:, 0] == pytest.approx([1, np.exp(-0.5)])
    assert len(GaussianMixture().offline_data()[0]) == 0


def test_poisson_fields_solve_the_equation_away_from_the_charges():
    env = PoissonField(size=64)
    u = env.exact.reshape(64, 64)
    laplacian = u[2:, 1:-1] + u[:-2, 1:-1] + u[1:-1, 2:] + u[1:-1, :-2] - 4 * u[1:-1, 1:-1]
    axis = (np.arange(64) + 0.5)[1:-1] / 64
    grid = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1)
    far = (np.linalg.norm(grid[:, :, None] - env._places, axis=-1) > 0.2).all(axis=-1)
    assert np.abs(laplacian[far]).max() < 1e-4
    # Gauss: around a charge the five-point Laplacian sums to -q.
    near = np.linalg.norm(grid - env._places[0], axis=-1) < 0.05
    assert abs(laplacian[~far].sum() + env._charges.sum()) < 0.05 * abs(env._charges.sum())
    assert near.any()
    assert env.evaluate(env.exact[None]).objectives[0, 0] == env.reference.value == 12


def test_poisson_data_have_a_band_of_good_fields_among_the_worst():
    env = PoissonField(size=16, separation=2, imbalance=0.2)
    designs, evaluation = env.offline_data()
    library = np.sort(env.evaluate(env.solutions(env.library)).objectives[:, 0])
    values = evaluation.objectives[:, 0]
    assert designs.shape == (1000, 256)
    assert values[:800].max() <= library[int(0.15 * 8000)]
    assert library[4000] <= values[800:].min() <= values[800:].max() <= library[4800]
    assert np.abs(designs.mean(axis=1)).max() < 1e-9


def test_fuji_optimum_is_the_best_of_all_sequences():
    env = RoughMtFuji(length=10, seed=4)
    everything = np.indices((2,) * 10).reshape(10, -1).T.astype(float)
    values = env.evaluate(everything).objectives[:, 0]
    assert values.max() == pytest.approx(env.reference.value)
    expected = everything @ env.slopes - 0.25 * np.abs(everything - env.centre).sum(axis=1)
    assert values == pytest.approx(expected)


def test_rna_folding_is_the_published_tools():
    pytest.importorskip("RNA")
    env = do.make("designopt/RNAFolding-v0", length=14)
    fitness = env.evaluate(env.designs(["GGGGGAAAACCCCC", "AAAAAAAAAAAAAA"])).objectives[:, 0]
    assert fitness[0] > 0.5
    assert fitness[1] == 0
    assert np.array_equal(
        pickle.loads(pickle.dumps(env)).evaluate(env.designs(["GGGGGAAAACCCCC"])).objectives[:, 0], fitness[:1]
    )


@pytest.mark.parametrize(
    "make",
    [Ehrlich, RoughMtFuji, GaussianMixture, lambda: PoissonField(size=8), landscape],
    ids=["Ehrlich", "RoughMtFuji", "GaussianMixture", "PoissonField", "table"],
)
def test_conformance(make):
    check_env(make())


def test_read_table_reads_other_alphabets(tmp_path):
    table = read_table(csv(tmp_path, "sequence,y\nNA,1\nAN,2\n"), "y", "NA")
    assert (table.codes.tolist(), table.values.tolist()) == ([[0, 1], [1, 0]], [1, 2])
