import itertools
import json

import numpy as np
import pandas as pd
import pytest

import designopt as do
from designopt.export_dataset import LEADING, TRAILING, export_dataset, export_episodes
from designopt.store import Store


@pytest.fixture
def store(tmp_path):
    path = tmp_path / "runs.db"
    for search, seed in (("random", 0), ("ga", 1)):
        env = do.make("designopt/SystolicArray-v0", layers="alexnet")
        do.optimize(env, search=search, budget=30, seed=seed, store=path)
    with Store(path, read_only=True) as opened:
        yield opened


def ids(store):
    return [run.id for run in store.runs()]


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_runs_become_one_flat_table(store, tmp_path, suffix):
    path = tmp_path / f"data.{suffix}"
    assert export_dataset(store, ids(store), path) == 60
    table = pd.read_parquet(path) if suffix == "parquet" else pd.read_csv(path)
    env = do.make("designopt/SystolicArray-v0", layers="alexnet")
    assert tuple(table.columns[:8]) == LEADING
    assert tuple(table.columns[-4:]) == TRAILING
    assert set(env.design_space.names) | {"latency_cycles", "area", "cycles", "dram_reads"} <= set(table.columns)
    assert table["agent"].tolist() == ["random"] * 30 + ["ga"] * 30
    assert table["step"].tolist() == [*range(30), *range(30)]
    assert table["seed"].tolist() == [0] * 30 + [1] * 30
    assert set(table["workload"]) == {"alexnet"}
    assert set(table["cost_model"]) == {env.cost_model}
    assert set(table["env_version"]) == {0}
    assert json.loads(table["hyper_json"].iloc[-1])["population"] == 20
    designs = env.design_space.encode(table[env.design_space.names])
    again = env.evaluate(designs)
    assert table["latency_cycles"].to_numpy() == pytest.approx(again.objectives[:, 0])
    assert table["cycles"].to_numpy() == pytest.approx(again.metrics["cycles"])
    assert table["reward"].to_numpy() == pytest.approx(env.reward(env, again))
    assert table["feasible"].tolist() == again.feasible.tolist()
    assert (table["wall_s"] >= 0).all()
    assert not list(tmp_path.glob("*.part"))


def test_runs_become_episodes_of_steps(store, tmp_path):
    path = tmp_path / "data.jsonl"
    assert export_episodes(store, ids(store), path) == 60
    episodes = [json.loads(line) for line in path.read_text().splitlines()]
    assert [episode["metadata"]["agent"] for episode in episodes] == ["random", "ga"]
    env = do.make("designopt/SystolicArray-v0", layers="alexnet")
    steps = episodes[0]["steps"]
    assert len(steps) == 31
    assert [step["is_first"] for step in steps] == [True] + [False] * 30
    assert [step["is_last"] for step in steps] == [False] * 30 + [True]
    assert steps[0]["observation"] == [0, 0, 0]
    assert (steps[-1]["action"], steps[-1]["reward"]) == (None, None)
    for before, after in itertools.pairwise(steps):
        evaluation = env.evaluate(env.design_space.encode([before["action"]]))
        assert after["observation"] == pytest.approx([*evaluation.objectives[0], *evaluation.constraints[0]])
        assert before["reward"] == pytest.approx(env.reward(env, evaluation)[0])


def test_designs_without_values_are_kept_with_their_status(tmp_path):
    @do.design_env(do.DesignSpace(x=do.Integer(0, 9)), minimize=["y"])
    def broken(x):
        return {"y": float("nan") if x > 4 else x}

    do.optimize(broken, search="random", budget=20, seed=0, store=tmp_path / "runs.db")
    with Store(tmp_path / "runs.db", read_only=True) as store:
        export_dataset(store, ids(store), tmp_path / "data.parquet", env=broken)
        export_episodes(store, ids(store), tmp_path / "data.jsonl", env=broken)
        with pytest.raises(ValueError, match=r"run .*; pass the environment"):
            export_dataset(store, ids(store), tmp_path / "data.parquet")
        with pytest.raises(ValueError, match="has another space"):
            export_dataset(store, ids(store), tmp_path / "data.parquet", env=do.make("designopt/Ackley-v0"))
    table = pd.read_parquet(tmp_path / "data.parquet")
    assert (table["status"] == "invalid").tolist() == (table["x"] > 4).tolist() == table["y"].isna().tolist()
    assert np.isfinite(table["reward"]).all()
    assert (table["workload"] == "").all()
    steps = json.loads((tmp_path / "data.jsonl").read_text())["steps"]
    after_invalid = [after for before, after in itertools.pairwise(steps) if before["action"]["x"] > 4]
    assert after_invalid
    assert all(step["observation"] == [0.0] for step in after_invalid)


def test_bad_requests_are_refused(store, tmp_path):
    with pytest.raises(ValueError, match=r"data\.txt: a data set is written as FILE\.parquet or FILE\.csv"):
        export_dataset(store, ids(store), tmp_path / "data.txt")
    with pytest.raises(ValueError, match=r"data\.csv: episodes are written as FILE\.jsonl"):
        export_episodes(store, ids(store), tmp_path / "data.csv")
    with pytest.raises(ValueError, match="no runs to export"):
        export_dataset(store, [], tmp_path / "data.csv")


def test_runs_on_different_spaces_and_names_used_twice_are_refused(tmp_path):
    @do.design_env(do.DesignSpace(reward=do.Integer(0, 9)), minimize=["y"])
    def clash(reward):
        return {"y": reward}

    do.optimize(clash, search="random", budget=3, seed=0, store=tmp_path / "runs.db")
    do.optimize("designopt/Ackley-v0", search="random", budget=3, seed=0, store=tmp_path / "runs.db")
    with Store(tmp_path / "runs.db", read_only=True) as store:
        with pytest.raises(ValueError, match="are not all on one design space"):
            export_dataset(store, ids(store), tmp_path / "data.csv")
        mine = [run.id for run in store.runs() if run.env == "clash"]
        with pytest.raises(ValueError, match="two columns are named 'reward'"):
            export_dataset(store, mine, tmp_path / "data.csv", env=clash)
