"""What the robust backends have to reach on published knapsacks: the recorded sample, and a part of it live."""

import csv
import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

import designopt as do
from designopt import data

ROWS = Path(__file__).parents[2] / "docs" / "benchmarks" / "robust.jsonl"
INSTANCES, KNOWN = "robust/kp_instances.zip", "robust/kp_best_known.csv"


@pytest.fixture(scope="module")
def recorded():
    rows = [json.loads(line) for line in ROWS.read_text().splitlines()]
    return lambda arm, seconds: [row for row in rows if row["arm"] == arm and row["seconds"] == seconds]


def errors(rows):
    return np.array([100 * (row["best_known"] - row["value"]) / row["best_known"] for row in rows])


def test_relaxed_recourse_is_better_than_published_and_proves_it(recorded):
    rows = recorded("relaxed_recourse", 10.0)
    assert len(rows) == 84
    found = errors(rows)
    assert found.mean() <= -0.2
    assert found.max() <= 0.5
    gaps = [100 * (row["bound"] - row["value"]) / row["value"] for row in rows]
    assert np.mean(gaps) <= 0.5


@pytest.mark.xfail(strict=True, reason="measured: 10.8 CPU s on one of 84, whose last programme ends late")
def test_relaxed_recourse_keeps_to_ten_cpu_seconds(recorded):
    assert max(row["cpu_seconds"] for row in recorded("relaxed_recourse", 10.0)) <= 10.0


def test_neur2ro_is_better_than_published(recorded):
    found = errors(recorded("neur2ro", 30.0))
    assert len(found) == 84
    assert found.mean() <= 1.0
    assert found.max() <= 6.0


@pytest.mark.xfail(strict=True, reason="measured: mean error -0.353 %, relaxed_recourse -0.363 % on the same instances")
def test_residual_and_polished_neur2ro_is_no_worse_than_relaxed_recourse(recorded):
    learned = {row["instance"]: row for row in recorded("neur2ro, residual, polished", 10.0)}
    relaxed = {row["instance"]: row for row in recorded("relaxed_recourse", 10.0)}
    assert len(learned) >= 28
    assert errors(learned.values()).mean() <= errors([relaxed[name] for name in learned]).mean() + 1e-3


def test_no_recorded_value_exceeds_a_proved_optimum_or_a_bound(recorded):
    for line in ROWS.read_text().splitlines():
        row = json.loads(line)
        assert row["value"] <= row["upper"] <= row["value"] * (1 + 1e-5) + 1e-6
        if row["proved"]:
            assert row["value"] <= row["best_known"] * (1 + 1e-5), row["instance"]
        if row["bound"] is not None:
            assert row["bound"] >= max(row["value"], row["best_known"]) * (1 - 1e-5), row["instance"]


@pytest.mark.slow
@pytest.mark.skipif(
    not (data.available(INSTANCES) and data.available(KNOWN)), reason=f"{INSTANCES} is not on this machine"
)
@pytest.mark.parametrize(("search", "most"), [("relaxed_recourse", 0.5), ("neur2ro", 6.0)])
def test_published_instances_of_every_correlation(search, most, tmp_path):
    known = {row["instance"]: row for row in csv.DictReader(io.StringIO(data.find(KNOWN).read_text()))}
    found = []
    with zipfile.ZipFile(data.find(INSTANCES)) as archive:
        for correlation in ("UN", "WC", "ASC", "SC"):
            name = next(name for name, row in sorted(known.items()) if row["corr"] == correlation and row["n"] == "30")
            member = next(member for member in archive.namelist() if member.endswith(name))
            (tmp_path / name).write_bytes(archive.read(member))
            env = do.make("designopt/RobustKnapsack-v0", instance=str(tmp_path / name))
            result = do.optimize(env, search=search, budget=10_000, seconds=10.0, seed=0)
            best = float(known[name]["best_known"])
            found.append(100 * (best - result.best_value) / best)
            if result.bound is not None:
                assert result.bound >= best * (1 - 1e-5)
    assert max(found) <= most
