"""The bicycle frame and the two-dimensional example."""

import numpy as np
import pytest

import designopt as do
from designopt import data
from designopt.envs.engineering.bike_frame import DATA, section
from designopt.testing import check_env

FRAME = do.make("designopt/BikeFrame-v0", source="synthetic")


def middle(**values):
    space = FRAME.design_space
    design = space.decode(space.from_unit([[0.5] * space.dim]))[0] | {"Material": "Steel", "SSB_Include": 0}
    return space.encode([design | values])


def test_the_valid_share_of_the_example_is_the_published_one():
    env = do.make("designopt/ArcsAndDisc-v0")
    valid = env.evaluate(env.design_space.sample(200_000, 0)).metrics["valid"]
    assert valid.mean() == pytest.approx(0.084, abs=0.002)


def test_the_example_on_its_axis_begins_where_the_closed_form_says():
    edge = (1 - 0.99**0.25 / 2**0.5) ** (1 / 6)
    evaluation = do.make("designopt/ArcsAndDisc-v0").evaluate(
        np.array([[edge - 1e-6, 0], [edge + 1e-6, 0], [0.3, 0.3], [0.0, 0.0]])
    )
    assert evaluation.metrics["valid"].tolist() == [0, 1, 1, 0]
    assert (evaluation.constraints[:, 0] < 0).tolist() == [False, True, True, False]
    assert evaluation.objectives[2].tolist() == [0.3, 0.3]


def test_sections_are_those_of_round_tubes():
    area, modulus = section(np.array([0.04, 0.04]), np.array([0.001, 0.02]))
    assert area == pytest.approx([np.pi / 4 * (0.04**2 - 0.038**2), np.pi / 4 * 0.04**2])
    assert modulus == pytest.approx([np.pi / 32 * (0.04**4 - 0.038**4) / 0.04, np.pi / 32 * 0.04**3])


def test_masses_go_with_density_and_bridges_weigh_something():
    steel, titanium = (FRAME.evaluate(middle(Material=m)).objectives[0] for m in ("Steel", "Titanium"))
    assert titanium[0] / steel[0] == pytest.approx(4480 / 7850)
    assert titanium[1] / steel[1] == pytest.approx(483 / 460)
    bridged = FRAME.evaluate(middle(SSB_Include=1)).objectives[0]
    assert 0 < bridged[0] - steel[0] < 0.1
    assert bridged[1] == steel[1]


def test_thicker_tubes_are_heavier_and_stronger():
    thin, thick = (FRAME.evaluate(middle(**{"DT Thickness": t})).objectives[0] for t in (0.001, 0.004))
    assert (thick > thin).all()


def test_frames_that_cannot_be_built_are_infeasible():
    constraints = FRAME.evaluate(middle(**{"SS OD": 0.0101, "SS Thickness": 0.009})).constraints[0]
    assert constraints[0] == pytest.approx(0.009 - 0.0101 / 2)
    assert (constraints[1:] < 0).all()
    narrow = middle(**{"SS Z": 0.015, "SS OD": 0.01, "ST OD": 0.027})
    assert FRAME.evaluate(narrow).constraints[0, 2] == pytest.approx(0.03 - 0.037)


def test_another_source_is_refused():
    with pytest.raises(ValueError, match=r"source = 'fem'; allowed: 'framed', 'synthetic', None"):
        do.make("designopt/BikeFrame-v0", source="fem")


def test_without_the_data_the_synthetic_model_is_the_default(monkeypatch, tmp_path):
    monkeypatch.setattr(data, "folders", lambda: [tmp_path])
    assert do.make("designopt/BikeFrame-v0").source == "synthetic"
    with pytest.raises(data.DataMissing):
        do.make("designopt/BikeFrame-v0", source="framed")


def test_the_synthetic_frame_conforms():
    check_env(FRAME)


@pytest.mark.skipif(not data.available(DATA), reason="needs FRAMED")
def test_the_framed_model_conforms_and_knows_its_frames():
    import pandas as pd

    env = do.make("designopt/BikeFrame-v0")
    assert env.source == "framed"
    check_env(env)
    frame = pd.read_csv(data.find(DATA))
    designs = env.design_space.encode(frame[env.design_space.names].assign(
        **{n: np.clip(frame[n], env.design_space[n].low, env.design_space[n].high) for n in env.design_space.names
           if n != "Material"}
    ))  # fmt: skip
    mass, sf1 = env.evaluate(designs).objectives.T
    assert np.corrcoef(mass, frame["Model Mass"])[0, 1] > 0.93
    assert np.corrcoef(np.log(sf1), np.log(frame["Sim 1 Safety Factor"]))[0, 1] > 0.8
    synthetic = FRAME.evaluate(designs).objectives[:, 0]
    assert np.corrcoef(synthetic, frame["Model Mass"])[0, 1] > 0.9
