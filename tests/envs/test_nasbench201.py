import numpy as np
import pandas as pd
import pytest

import designopt as do
from designopt import data
from designopt.envs.nas import cells
from designopt.envs.nas.nasbench201 import DATA
from designopt.metrics import hypervolume, non_dominated
from designopt.testing import check_env

ID = "designopt/NASBench201-v0"
EVERY = np.indices((5,) * 6).reshape(6, -1).T.astype(float)
needs_table = pytest.mark.skipif(not data.available(DATA), reason=f"{DATA} is not on this machine")


@pytest.fixture
def table(tmp_path):
    """A whole table with values of our own: accuracy grows with convolutions, truth is another order."""
    counts = cells.counts(EVERY)
    frame = pd.DataFrame({"code": cells.codes_of(EVERY), "c10_val_12": 10.0 + 9 * counts[:, 3] + counts[:, 2]})
    frame["c10_test_200"] = 20.0 + 5 * counts[:, 1]
    frame["lat_x"] = 1.0 + counts[:, 3]
    frame.sample(frac=1, random_state=0).to_csv(tmp_path / "own.csv", index=False)
    return tmp_path / "own.csv"


def test_conforms_in_each_form(table):
    for extra in ({}, {"latency_column": "lat_x"}, {"latency_column": "lat_x", "max_latency_ms": 3.0}):
        check_env(do.make(ID, table=str(table), **extra))


def test_objective_truth_and_metrics_come_from_their_columns(table):
    env = do.make(ID, table=table)
    designs = cells.designs_of(["333132", "111111", "024000"])
    evaluation = env.evaluate(designs)
    assert evaluation.objectives[:, 0].tolist() == [47.0, 10.0, 11.0]
    assert env.truth(designs).tolist() == [25.0, 50.0, 20.0]
    assert env.truth([[3, 3, 3, 1, 3, 2]]).tolist() == [25.0]
    assert evaluation.metrics["params"].tolist() == [73306 + 4 * 243040 + 28000, 73306, 101306]
    assert evaluation.metrics["macs"][0] == 7783050 + 4 * 35389440 + 3932160
    assert evaluation.metrics["train_seconds"][2] == pytest.approx(12 * (7.18 + 3.45 + 1.64))
    assert evaluation.metrics["train_seconds"][1] == pytest.approx(12 * (7.18 - 6 * 0.38))
    assert env.reference.value == 64.0
    assert env.reference.design == (3,) * 6


def test_nothing_that_a_search_is_told_depends_on_the_truth(table, tmp_path):
    frame = pd.read_csv(table, dtype={"code": str})
    frame["c10_test_200"] = frame["c10_test_200"].to_numpy()[::-1]
    frame.to_csv(tmp_path / "other.csv", index=False)
    one, other = do.make(ID, table=table), do.make(ID, table=tmp_path / "other.csv")
    a, b = one.evaluate(EVERY), other.evaluate(EVERY)
    assert np.array_equal(a.objectives, b.objectives)
    assert all(np.array_equal(values, b.metrics[name]) for name, values in a.metrics.items())
    assert (one.reference, one.observation_space) == (other.reference, other.observation_space)
    assert not np.array_equal(one.truth(EVERY), other.truth(EVERY))


def test_latency_is_a_second_objective_or_a_limit(table):
    designs = cells.designs_of(["333000", "330000"])
    both = do.make(ID, table=table, latency_column="lat_x")
    assert [o.name for o in both.objectives] == ["accuracy", "latency"]
    assert both.evaluate(designs).objectives.tolist() == [[37.0, 4.0], [28.0, 3.0]]
    limited = do.make(ID, table=table, latency_column="lat_x", max_latency_ms=3)
    evaluation = limited.evaluate(designs)
    assert evaluation.constraints[:, 0].tolist() == [1.0, 0.0]
    assert evaluation.feasible.tolist() == [False, True]
    assert limited.reference.value == 10 + 2 * 9 + 4
    assert both.latencies(designs)["lat_x"].tolist() == [4.0, 3.0]


def test_a_query_costs_the_epochs_of_its_column(table):
    env = do.make(ID, table=table, search_column="c10_test_200")
    assert env.evaluate(cells.designs_of("000000")).metrics["train_seconds"][0] == pytest.approx(200 * 7.18)
    assert do.make(ID, table=table, search_column="lat_x").epochs == 12


def test_a_cell_that_the_table_lacks_is_invalid_and_has_no_truth(tmp_path):
    (tmp_path / "part.csv").write_text("code,c10_val_12,c10_test_200\n000123,50,60\n333333,70,80\n")
    env = do.make(ID, table=tmp_path / "part.csv")
    evaluation = env.evaluate(cells.designs_of(["000123", "000124"]))
    assert evaluation.status.tolist() == ["ok", "invalid"]
    assert evaluation.errors.tolist() == ["", "architecture 000124 is not in the table"]
    assert env.reference.value == 70
    with pytest.raises(ValueError, match="architecture 000124 is not in the table"):
        env.truth(cells.designs_of(["000123", "000124"]))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("c10_val_12\n1\n", "no column 'code'"),
        ("code,c10_val_12\n000123,1\n", "no column 'c10_test_200'"),
        ("code,c10_val_12,c10_test_200\n000123,1,2\n111111,1,2\n000123,1,2\n", "line 4: .*stands in line 2 too"),
        ("code,c10_val_12,c10_test_200\n000153,1,2\n", r"line 2: architecture '000153': 1->3 has operation '5'"),
        ("code,c10_val_12,c10_test_200\n123,1,2\n", "line 2: architecture '123' has 3 digits; needed: 6"),
        ("code,c10_val_12,c10_test_200\n000123,,2\n", "line 2, column c10_val_12: '' is no finite number"),
    ],
)  # fmt: skip
def test_flawed_tables_are_refused_with_the_place(tmp_path, text, message):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        do.make(ID, table=tmp_path / "t.csv")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dataset": "cifar1000"}, "did you mean 'cifar100'"),
        ({"table": "nowhere.csv"}, "table = 'nowhere.csv': no such file"),
        ({"search_column": "c10_val12"}, "no column 'c10_val12'; did you mean 'c10_val_12'"),
        ({"max_latency_ms": 3.0}, "needs a latency_column"),
        ({"latency_column": "lat_x", "max_latency_ms": -1.0}, "must be positive"),
    ],
)
def test_wrong_arguments_are_refused(table, arguments, message):
    with pytest.raises(ValueError, match=message):
        do.make(ID, **{"table": table} | arguments)


@pytest.mark.parametrize(
    ("design", "message"),
    [
        ([0, 0, 5, 0, 0, 0], "design 0: 1->2 has operation 5; allowed: 0 none, 1 skip_connect"),
        ([0, 0, 0, 0, 0, 1.5], "2->3 has operation 1.5"),
        ([np.nan, 0, 0, 0, 0, 0], "0->1 has operation nan"),
        ([-1, 0, 0, 0, 0, 0], "0->1 has operation -1"),
        ([0] * 5, r"shape \(n, 6\)"),
    ],
)
def test_invalid_designs_are_refused_by_edge(table, design, message):
    with pytest.raises(ValueError, match=message):
        do.make(ID, table=table).evaluate(np.array([design], dtype=float))


def test_without_data_the_message_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setenv(data.VARIABLE, "")
    monkeypatch.setattr(data, "folders", lambda: [tmp_path])
    with pytest.raises(data.DataMissing, match=r"designopt data add nas/nb201\.csv\.gz"):
        do.make(ID)


def test_codes_and_texts_round_trip_on_all_cells():
    codes = cells.codes_of(EVERY)
    assert len(set(codes)) == 15625
    assert np.array_equal(cells.designs_of(map(cells.text_of, codes)), EVERY)
    assert cells.text_of("012340") == "|none~0|+|skip_connect~0|nor_conv_1x1~1|+|nor_conv_3x3~0|avg_pool_3x3~1|none~2|"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("|none~0|+|skip~0|none~1|+|none~0|none~1|none~2|", "0->2 has operation 'skip'"),
        ("|none~0|+|none~1|none~1|+|none~0|none~1|none~2|", "where 0->2 stands, 'none~1' comes from node 1"),
        ("|none~0|+|none~0|+|none~0|none~1|none~2|", "has not the form"),
    ],
)
def test_texts_that_are_no_cell_are_refused_by_edge(text, message):
    with pytest.raises(ValueError, match=message):
        cells.designs_of(text)


def test_cells_that_compute_the_same_have_one_representative(table):
    assert len(set(cells.representatives().tolist())) == 6466
    env = do.make(ID, table=table)
    # Node 1 is dead, so what leaves it does not matter; node 2 renamed to node 1 is the same cell.
    same = env.representative(cells.designs_of(["003100", "003140", "003102"]))
    assert np.array_equal(same[0], same[1])
    dead = env.representative(cells.designs_of(["000000", "303000", "033000"]))
    assert (dead == dead[0]).all()
    assert not cells.connected(cells.designs_of(["000000", "303000", "033000", "030010"])).any()
    assert cells.connected(cells.designs_of(["100010", "010001", "101001", "000100"])).all()


def test_closed_forms_equal_a_built_network():
    torch = pytest.importorskip("torch")
    from designopt.envs.nas.nasbench_network import network

    for code in cells.codes_of(np.random.default_rng(0).integers(5, size=(20, 6))):
        with torch.device("meta"):
            built = network(code)
            total = []

            def count(module, inputs, output, total=total):
                weights = module.weight.numel() // (module.out_channels if output.ndim == 4 else 1)
                total.append(output[0].numel() * weights if output.ndim == 4 else weights + len(module.bias))

            for module in built.modules():
                if isinstance(module, torch.nn.Conv2d | torch.nn.Linear):
                    module.register_forward_hook(count)
            assert built(torch.empty(2, 3, 32, 32)).shape == (2, 10)
        design = cells.designs_of(code)
        assert sum(p.numel() for p in built.parameters()) == cells.parameters(design)[0], code
        assert sum(total) == cells.macs(design)[0], code


@needs_table
def test_published_facts_of_the_table():
    ten, hundred = (do.make(ID, dataset=name) for name in ("cifar10", "cifar100"))
    frame = pd.read_csv(data.find(DATA), dtype={"code": str})
    designs = cells.designs_of(frame["code"])
    assert np.array_equal(cells.parameters(designs), frame["params"])
    assert np.array_equal(cells.macs(designs), frame["macs"])
    truth = ten.truth(designs)
    assert truth.max() == pytest.approx(94.373, abs=1e-3)
    assert {frame["code"][i] for i in np.flatnonzero(truth == truth.max())} == {"333132", "333123"}
    assert hundred.truth(cells.designs_of("333133"))[0] == pytest.approx(73.513, abs=1e-3)
    assert hundred.truth(designs).max() == hundred.truth(cells.designs_of("333133"))[0]
    classes = frame.assign(ours=cells.representatives()[ten._table.numbers(designs)])
    assert classes.groupby("uid")["ours"].nunique().max() == classes.groupby("ours")["uid"].nunique().max() == 1
    # The trap: on CIFAR-10 the best of the short training is the best of the long one.
    assert ten.truth([ten.reference.design])[0] == truth.max()
    assert hundred.truth(designs).max() - hundred.truth([hundred.reference.design])[0] == pytest.approx(1.23, abs=5e-3)


@needs_table
@pytest.mark.parametrize(
    ("device", "size"),
    [("1080ti_1", 32), ("2080ti_32", 34), ("gold_6240", 39), ("silver_4114", 37), ("raspi4", 43), ("fpga", 13),
     ("pixel3", 43)],
)  # fmt: skip
def test_true_fronts_of_truth_and_latency_have_their_known_sizes(device, size):
    env = do.make(ID, search_column="c10_test_200", latency_column=f"lat_{device}")
    losses = env.evaluate(EVERY).losses(env.objectives)
    front = np.unique(losses[non_dominated(losses)], axis=0)
    assert len(front) == size
    x, y = front[np.argsort(front[:, 0])].T
    # Of a staircase, by hand: each point adds a rectangle up to the accuracy of the next one.
    widths = np.append(x[1:], 0.0) - x
    area = (widths * (env.reference.reference_point[1] - y)).sum()
    assert env.reference.hypervolume == pytest.approx(area)
    assert hypervolume(losses, env.reference.reference_point) == pytest.approx(area)


@needs_table
def test_latency_limit_excludes_the_slow_cells():
    env = do.make(ID, dataset="cifar100", latency_column="lat_raspi4", max_latency_ms=10.0)
    evaluation = env.evaluate(EVERY)
    latency = env.latencies(EVERY)["lat_raspi4"]
    assert np.array_equal(evaluation.feasible, latency <= 10)
    assert env.reference.value == evaluation.objectives[latency <= 10].max()
    assert len(env.latencies(EVERY[:2])) == 7
