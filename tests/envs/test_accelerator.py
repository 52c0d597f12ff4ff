import csv

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import designopt as do
from designopt import data
from designopt.envs.hardware.accelerator.env import BASELINE, DNNAccelerator
from designopt.envs.hardware.accelerator.fixed_mapping import DIMENSIONS, analyse
from designopt.envs.hardware.accelerator.technology import DRAM_PJ, LEAKAGE_PJ_PER_CYCLE_MM2, MAC_PJ
from designopt.envs.hardware.layers import COLUMNS

REFERENCE = "archgym/reference/zigzag_fixedmap_reference.csv"
LAYER = {"K": 8, "C": 4, "OY": 6, "OX": 6, "FY": 3, "FX": 3, "stride": 2}
SPATIAL = "D1 K 4;D2 C 2"
ALLOCATION = {
    "W": "FX 3;FY 3|OX 6;OY 6;C 2|K 2",
    "I": "FX 3;FY 3|OX 6;OY 6;C 2;K 2|",
    "O": "FX 3;FY 3|OX 6;OY 6;C 2||K 2",
}


def conv(*sizes, **more):
    return dict(zip(COLUMNS, sizes, strict=True)) | more


def baseline(**changes):
    return DNNAccelerator.design_space.encode([BASELINE | changes])


def outcome(env, designs):
    evaluation = env.evaluate(designs)
    named = {o.name: evaluation.objectives[:, i] for i, o in enumerate(env.objectives)}
    return evaluation.metrics | named


# The given mapping -----------------------------------------------------------------------------------------------


@pytest.mark.skipif(not data.available(REFERENCE), reason="the reference runs are not on this machine")
def test_words_and_energies_of_every_reference_run_of_zigzag_are_met_exactly():
    with data.find(REFERENCE).open(newline="") as file:
        runs = list(csv.DictReader(file))
    assert len(runs) == 48
    for run in runs:
        layer = {name: int(run[name]) for name in (*DIMENSIONS, "stride")}
        found = analyse(layer, run["spatial"], {operand: run[f"alloc_{operand}"] for operand in "WIO"})
        for operand, traffics in found.words.items():
            for level, t in enumerate(traffics):
                words = f"{t.read_up}/{t.write_from_above}/{t.read_down}/{t.write_from_below}"
                assert words == run[f"{operand}{level}_words"], (run["id"], operand, level)
                assert found.energies[operand][level] == pytest.approx(
                    float(run[f"{operand}{level}_energy"]), rel=1e-12
                )
        assert found.energy_total == pytest.approx(float(run["energy_total"]), rel=1e-12)
        assert found.cycles == float(run["ideal_temporal_cycle"])
        assert found.mac_energy == float(run["mac_energy"])


def test_strided_windows_by_hand():
    found = analyse(LAYER, SPATIAL, ALLOCATION)
    # A pad holds one 3 x 3 window: 9 words, anew for each of 6 x 6 x 2 x 2 passes, in 8 elements.
    assert found.words["I"][0].write_from_above == 9 * 144 * 8
    # The whole map of 13 x 13 x 4 bytes comes once from the DRAM.
    assert found.words["I"][2].read_down == -(-13 * 13 * 4 // 8)
    assert found.cycles == found.macs // 8


def test_windows_that_do_not_overlap_leave_out_what_the_stride_skips():
    found = analyse(
        {"K": 1, "C": 1, "OY": 1, "OX": 4, "FY": 1, "FX": 2, "stride": 3}, "",
        {"W": "FX 2|OX 4|", "I": "FX 2;OX 4||", "O": "FX 2|OX 4||"},
    )  # fmt: skip
    assert found.words["I"][0].write_from_above == 8
    # One filter column at a time: 4 columns of the map, whatever the stride.
    columns = {"W": "OX 4|FX 2|", "I": "OX 4|FX 2|", "O": "OX 4|FX 2||"}
    layer = {"K": 1, "C": 1, "OY": 1, "OX": 4, "FY": 1, "FX": 2, "stride": 1}
    assert analyse(layer, "", columns).words["I"][0].write_from_above == 4 * 2


def test_permuting_loops_that_do_not_touch_an_operand_changes_nothing_of_it():
    swapped = {operand: text.replace("OX 6;OY 6", "OY 6;OX 6") for operand, text in ALLOCATION.items()}
    assert analyse(LAYER, SPATIAL, swapped) == analyse(LAYER, SPATIAL, ALLOCATION)


@pytest.mark.parametrize(
    ("layer", "spatial", "allocation", "message"),
    [
        (LAYER, "D1 Z 4", ALLOCATION, "is not a loop"),
        (LAYER | {"K": 9}, SPATIAL, ALLOCATION, "cover K = 8; the layer has 9"),
        (LAYER | {"C": 0}, SPATIAL, ALLOCATION, "C = 0"),
        (LAYER, SPATIAL, ALLOCATION | {"W": "FX 3"}, "has 1 memories; 3 are needed"),
        (LAYER, SPATIAL, {"W": "", "I": ""}, "it needs O, W and I"),
        ({"K": 500}, "K 500", {"W": "||", "I": "||", "O": "|||"}, "there are 168"),
    ],
)
def test_a_wrong_mapping_is_named(layer, spatial, allocation, message):
    with pytest.raises(ValueError, match=message):
        analyse(layer, spatial, allocation)


# The environment -------------------------------------------------------------------------------------------------


def test_the_space_has_the_published_number_of_designs():
    sizes = [len(getattr(p, "choices", None) or p.values) for p in DNNAccelerator.design_space.parameters.values()]
    assert np.prod(sizes, dtype=float) == pytest.approx(2.15e18, rel=0.01)


@settings(max_examples=40, deadline=None)
@given(
    size=st.tuples(*[st.integers(8, 40)] * 2, *[st.integers(1, 5)] * 2, *[st.integers(1, 70)] * 2, st.integers(1, 4)),
    seed=st.integers(0, 10**6),
)
def test_nothing_is_computed_or_moved_less_than_there_is(size, seed):
    h, w, r, s, c, k, stride = size
    env = DNNAccelerator(layers=[conv(*size)], goal="pareto")
    designs = env.design_space.sample(20, seed=seed)
    found = outcome(env, designs)
    counts = env.counts(designs)
    p, q = -(-(h - r) // stride) + 1, -(-(w - s) // stride) + 1
    macs, weights, outputs = k * c * p * q * r * s, k * c * r * s, k * p * q
    maps = ((p - 1) * min(stride, r) + r) * w * c
    assert (found["macs"] == macs).all()
    assert (found["dram_reads"] >= weights + maps).all()
    assert (found["dram_writes"] >= outputs).all()
    assert (counts["weight_reads"] >= weights).all()
    assert (counts["ifmap_reads"] >= maps * (1 if stride >= r else 0)).all()
    assert (found["energy_uj"] * 1e6 >= macs * MAC_PJ + (weights + maps + outputs) * DRAM_PJ).all()
    assert (found["latency_cycles"] * designs[:, 0] >= macs).all()
    assert (found["latency_cycles"] >= (weights + maps + outputs) / 4).all()
    assert (found["utilization"] <= 1).all()


@pytest.mark.parametrize(
    "name", [name for name in DNNAccelerator.design_space.parameters if name.endswith("bandwidth")]
)
def test_more_bandwidth_is_never_slower(name):
    env = DNNAccelerator(goal="latency")
    designs = env.design_space.sample(100, seed=3)
    column = list(env.design_space.parameters).index(name)
    latencies = []
    for width in (2, 4, 8, 16):
        designs[:, column] = width
        latencies.append(env.evaluate(designs).objectives[:, 0])
    assert (np.diff(latencies, axis=0) <= 0).all()


def test_more_dram_bandwidth_is_never_slower_and_sometimes_faster():
    designs = DNNAccelerator.design_space.sample(200, seed=4)
    slow, fast = (DNNAccelerator(goal="latency", dram_bandwidth=b).evaluate(designs).objectives[:, 0] for b in (1, 16))
    assert (fast <= slow).all()
    assert (fast < slow).any()


def test_an_unused_block_adds_area_and_its_leakage_only():
    env = DNNAccelerator(goal="pareto")
    small, large = (outcome(env, baseline(dummy_depth=depth)) for depth in (2, 65536))
    area, energy = large.pop("area_mm2") - small.pop("area_mm2"), large.pop("energy_uj") - small.pop("energy_uj")
    assert area == pytest.approx(14 * (65536 - 2) * 95.7 / 16 / 1e6)
    assert energy == pytest.approx(LEAKAGE_PJ_PER_CYCLE_MM2 * area * small["latency_cycles"] / 1e6, rel=1e-6)
    small.pop("edp"), large.pop("edp")
    assert {name: value.tolist() for name, value in small.items()} == {n: v.tolist() for n, v in large.items()}


def test_a_layer_that_fits_is_moved_once():
    env = DNNAccelerator(layers=[conv(10, 10, 3, 3, 4, 8, 1)], goal="latency")
    found = outcome(env, baseline(buffer_depth=65536))
    assert found["dram_reads"] == 8 * 4 * 9 + 10 * 10 * 4
    assert found["dram_writes"] == 8 * 8 * 8


def test_pads_too_small_for_a_filter_row_are_infeasible_by_what_is_missing():
    env = DNNAccelerator(layers=[conv(20, 20, 3, 7, 1, 1, 1)])
    short = env.evaluate(np.vstack([baseline(ifmap_depth=d, weights_depth=w) for d, w in ((8, 8), (4, 8), (4, 2))]))
    assert short.constraints[:, 0].tolist() == [0, 3, 8]
    assert np.isfinite(short.objectives).all()


def test_what_is_beyond_the_space_is_graded_or_invalid():
    env = DNNAccelerator()
    designs = np.repeat(baseline(), 5, axis=0)
    designs[0, 0], designs[1, 0], designs[2, 0], designs[3, 2], designs[4, 3] = 100, 3, np.nan, 7, 0
    evaluation = env.evaluate(designs)
    assert evaluation.constraints[:2, 1].tolist() == [2, 11]
    assert evaluation.status.tolist() == ["ok", "ok", "invalid", "invalid", "invalid"]
    assert evaluation.errors[4] == "a size below 1, or an unknown class"


def test_a_network_costs_the_sum_of_its_layers_and_repeats():
    layers = [conv(9, 9, 3, 3, 4, 8, 1), conv(7, 7, 1, 1, 8, 5, 2, repeat=3)]
    designs = DNNAccelerator.design_space.sample(30, seed=1)
    one, two = (outcome(DNNAccelerator([{**each, "repeat": 1}]), designs) for each in layers)
    both = outcome(DNNAccelerator(layers), designs)
    for name in ("macs", "dram_reads", "dram_writes", "buffer_reads", "buffer_writes"):
        assert np.array_equal(both[name], one[name] + 3 * two[name])


def test_dense_layers_are_left_out_unless_asked_for():
    assert DNNAccelerator().names == ("conv1", "conv2", "conv3", "conv4", "conv5")
    assert DNNAccelerator(dense=True).names[-3:] == ("fc6", "fc7", "fc8")
    with pytest.raises(ValueError, match="all dense"):
        DNNAccelerator([conv(1, 1, 1, 1, 10, 10, 1)])


def test_compat_gives_the_published_cost():
    designs = np.vstack([baseline(), DNNAccelerator.design_space.sample(200, seed=0)])
    raw = outcome(DNNAccelerator(goal="pareto"), designs)
    excess = {
        "energy": np.maximum(raw["energy_uj"] / 20444.2 - 1, 0),
        "area": np.maximum(raw["area_mm2"] / 1.7255 - 1, 0),
        "latency": np.maximum(raw["latency_cycles"] / 6308563.2 - 1, 0),
    }
    feasible = DNNAccelerator().evaluate(designs).feasible
    assert 0 < feasible.sum() < len(designs)
    for goal, expected in [*excess.items(), ("joint", sum(excess.values()) + 1e-3)]:
        cost = DNNAccelerator(goal=goal, compat="archgym").evaluate(designs).objectives[:, 0]
        assert cost[feasible] == pytest.approx(np.where(expected == 0, 1e-5, expected)[feasible], rel=1e-9)
        assert (cost[~feasible] == (1500 if goal == "joint" else 500)).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"goal": "joint"}, "goal = 'joint'"),
        ({"goal": "edp", "compat": "archgym"}, "goal = 'edp'"),
        ({"compat": "timeloop"}, "compat = 'timeloop'"),
        ({"dram_bandwidth": 0}, "dram_bandwidth = 0"),
        ({"layers": "alexnt"}, "alexnet"),
    ],
)
def test_a_wrong_argument_is_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        DNNAccelerator(**arguments)


def test_step_names_the_cost_model():
    env = do.make("designopt/DNNAccelerator-v0")
    env.reset(seed=0)
    *_, info = env.step(env.action_space.sample())
    assert info["cost_model"] == env.unwrapped.cost_model
