import csv

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import designopt as do
from designopt import data
from designopt.envs.hardware.mapping import analyse, parse
from designopt.envs.hardware.mapping.analysis import Analysis
from designopt.envs.hardware.mapping.env import MappingEnv

REFERENCE = "archgym/reference/maestro_reference.csv"
COUNTS = [
    f"{t}_{level}_{what}"
    for t in ("input", "filter", "output")
    for level in ("l1", "l2")
    for what in ("rd", "wr", "size")
]
LAYER = {"K": 12, "C": 6, "Y": 14, "X": 14, "R": 3, "S": 3}
MAP = "S K 2 2;T C 6 6;T R 3 3;T S 3 3;T Y' 3 3;T X' 4 4|3|S C 2 2;T K 1 1;T R 3 3;T S 3 3;T Y' 1 1;T X' 2 2"


def runs():
    with data.find(REFERENCE).open(newline="") as file:
        return list(csv.DictReader(file))


def of_row(row):
    layer = {name: row[name] for name in ("K", "C", "Y", "X", "R", "S", "stride", "type")}
    bandwidths = {"noc_bw": int(row["noc_bw"]), "offchip_bw": int(row["offchip_bw"])}
    return analyse(layer, row["mapping"], int(row["num_pes"]), **bandwidths)


needs_data = pytest.mark.skipif(not data.available(REFERENCE), reason="the reference runs of MAESTRO are not here")


# MAESTRO ---------------------------------------------------------------------------------------------------------


@needs_data
def test_every_integer_is_that_of_maestro():
    rows = runs()
    assert len(rows) == 150
    for row in rows:
        found = of_row(row)
        ours = [found.runtime, found.macs, *(getattr(found, name) for name in COUNTS)]
        assert ours == [int(row[name]) for name in ("runtime_cycles", "macs_counted", *COUNTS)], row["id"]
        assert found.l2_total_size == int(row["l2_total_size"])
        assert found.l1_total_size == int(row["l1_total_size"])
        assert found.energy == pytest.approx(float(row["energy_mac_units"]), rel=1e-5)


@needs_data
def test_the_archgym_energy_of_two_levels_is_l2_only():
    for row in runs():
        if "|" in row["mapping"]:
            assert of_row(row).l2_energy * 0.00023 == pytest.approx(float(row["csv_energy_nJ"]), rel=1e-5)


def test_a_reference_run_without_the_file():
    layer = {"K": 64, "C": 3, "Y": 224, "X": 224, "R": 7, "S": 7, "stride": 2}
    text = "S K 1 1;T C 32 32;T R 7 7;T S 7 7;T Y 7 1;T X 7 1|32|S C 1 1;T Y 7 1;T X 7 1;T R 7 7;T S 7 7"
    found = analyse(layer, text, 1024, noc_bw=8, offchip_bw=8)
    assert (found.runtime, found.macs, found.input_l2_rd, found.filter_l2_rd) == (14399859, 111776448, 1020747, 9408)
    assert found == analyse(layer, parse(text), 1024, noc_bw=8, offchip_bw=8)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("S K 1", "S K 1"),
        ("S Q 1 1", "'Q'"),
        ("Z K 1 1", "'Z'"),
        ("S K 0 1", "'0'"),
        ("S K 1 1;T K 1 1", "given twice"),
        ("T Y' 1 1", "needs R"),
        ("S K 1 1|2000|S C 1 1", "cluster of 2000"),
        ("S K 1 1|2|S C 1 1|2|S Y 3 3", "3 levels"),
    ],
)
def test_bad_mappings_are_named(text, message):
    with pytest.raises(ValueError, match=message):
        analyse(LAYER, text, 64, noc_bw=8, offchip_bw=8)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"K": 0}, "K = 0"),
        ({"R": 15}, "R = 15"),
        ({"type": "GEMMY"}, "GEMMY"),
        ({"type": "DSCONV"}, "K = 12"),
        ({"k": 1}, "'k'"),
    ],
)
def test_bad_layers_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        do.make("designopt/Mapping-v0", layer=LAYER | change)


# The corrected model ---------------------------------------------------------------------------------------------

SIZES = st.fixed_dictionaries(
    {"K": st.integers(1, 9), "C": st.integers(1, 9), "R": st.integers(1, 3), "S": st.integers(1, 3),
     "Y": st.integers(3, 14), "X": st.integers(3, 14), "stride": st.integers(1, 2)}
)  # fmt: skip


def unique(layer):
    """Elements of input, filter and output that a convolution uses."""
    used = []
    for side, window in ((layer.rows, layer.R), (layer.columns, layer.S)):
        used.append(len({o * layer.stride + r for o in range(side) for r in range(window)}))
    outputs = layer.rows * layer.columns * (layer.C if layer.depthwise else layer.K)
    return layer.C * used[0] * used[1], layer.K * layer.C * layer.R * layer.S, outputs


@given(SIZES, st.booleans(), st.integers(0, 2**31))
@settings(max_examples=60, deadline=None)
def test_conservation(sizes, depthwise, seed):
    if depthwise:
        sizes = sizes | {"K": 1, "type": "DSCONV"}
    env = MappingEnv(sizes, noc_bw=4, offchip_bw=2)
    designs = env.design_space.sample(16, seed)
    metrics = env.evaluate(designs).metrics
    inputs, filters, outputs = unique(env.layer)
    assert (metrics["macs"] == env.layer.macs).all()
    assert (metrics["input_l2_rd"] >= inputs).all()
    assert (metrics["filter_l2_rd"] >= filters).all()
    assert (metrics["output_l2_wr"] >= outputs).all()
    assert (metrics["input_l1_wr"] >= metrics["input_l2_rd"]).all()
    assert (metrics["offchip_rd"] >= inputs + filters).all()
    assert (metrics["offchip_wr"] >= outputs).all()
    assert (metrics["energy"] >= env.layer.macs + 200.0 * (inputs + filters + outputs)).all()
    assert (metrics["runtime"] * designs[:, 13].clip(min=designs[:, 12]) >= env.layer.macs).all()
    wider = MappingEnv(sizes, noc_bw=8, offchip_bw=4).evaluate(designs).metrics
    assert (wider["runtime"] <= metrics["runtime"]).all()


def both(text, pes=24, layer=LAYER):
    return tuple(analyse(layer, text, pes, noc_bw=8, offchip_bw=4, model=m) for m in ("maestro", "corrected"))


def test_permuting_loops_that_do_not_matter_changes_nothing():
    # One step each: R, S at both levels; and C of the inner level, which three units cover at once.
    other = "T S 3 3;T C 6 6;S K 2 2;T R 3 3;T Y' 3 3;T X' 4 4|3|T K 1 1;T S 3 3;T Y' 1 1;S C 2 2;T X' 2 2;T R 3 3"
    assert both(MAP)[1] == both(other)[1]
    # Neighbouring loops over K and R x S leave the input alone: K outside or inside S.
    a = analyse(
        LAYER, "T K 1 1;T Y' 12 12;T X' 12 12;T C 6 6;T R 3 3;T S 3 3", 1, noc_bw=8, offchip_bw=4, model="corrected"
    )
    assert a.input_l2_rd == 14 * 14 * 6  # the whole map stays while K turns


def test_a_wrap_around_is_paid():
    # Each of 12 filters reads all six channels in turn: the map is fetched 12 times, of which the tool charges one.
    tool, paid = both("T K 1 1;T C 1 1;T Y' 12 12;T X' 12 12;T R 3 3;T S 3 3", pes=1)
    assert paid.input_l2_rd == 12 * 6 * 14 * 14
    assert tool.input_l2_rd < paid.input_l2_rd


def test_partial_sums_that_leave_come_back():
    # Six channels outside the map: every output is written six times and read back five.
    found = both("T C 1 1;T Y' 4 4;T X' 4 4;T K 12 12;T R 3 3;T S 3 3", pes=1)[1]
    assert found.output_l2_wr == 6 * 12 * 144 + 5 * 12 * 144  # half of the traffic off the chip, too
    kept = both("T Y' 4 4;T X' 4 4;T C 1 1;T K 12 12;T R 3 3;T S 3 3", pes=1)[1]
    assert kept.output_l2_wr == 12 * 144
    assert kept.output_l1_wr == kept.macs


def test_one_unit_that_holds_everything_moves_each_element_once():
    found = both("T K 12 12;T C 6 6;T Y' 12 12;T X' 12 12;T R 3 3;T S 3 3", pes=1)[1]
    assert (found.input_l2_rd, found.filter_l2_rd, found.output_l2_wr) == (6 * 196, 12 * 54, 12 * 144)
    assert (found.offchip_rd, found.offchip_wr) == (6 * 196 + 12 * 54, 12 * 144)
    assert (found.input_l1_size, found.filter_l1_size, found.output_l1_size) == (2 * 6 * 196, 2 * 648, 2 * 1728)
    assert found.runtime == found.macs + -(-(6 * 196 + 648) // 4)


# The environment -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["maestro", "corrected"])
def test_designs_are_analysed_as_their_directives_say(model):
    env = MappingEnv(LAYER | {"stride": 2}, model=model)
    designs = env.design_space.sample(40, 1)
    evaluation = env.evaluate(designs)
    for i, design in enumerate(designs):
        if design[12] <= design[13]:
            found = analyse(env.layer, env.directives(design), int(design[13]), noc_bw=64, offchip_bw=16, model=model)
            for name in Analysis.__dataclass_fields__:
                assert evaluation.metrics[name][i] == getattr(found, name)


@pytest.mark.parametrize("model", ["maestro", "corrected"])
def test_every_gene_matters(model):
    env = MappingEnv(model=model)
    designs = env.design_space.sample(400, 0)
    before = env.evaluate(designs)
    for column in range(env.design_space.dim):
        changed = designs.copy()
        changed[:, column] = env.design_space.sample(400, 1)[:, column]
        after = env.evaluate(changed)
        assert any((before.metrics[name] != after.metrics[name]).any() for name in ("runtime", "energy"))


def test_excess_is_graded_and_never_an_exception():
    env = MappingEnv(LAYER)
    fits = [0, 0, 12, 6, 12, 12, 0, 1, 1, 1, 1, 1, 4, 16]
    rows = [fits, fits.copy(), fits.copy(), fits.copy(), fits.copy(), fits.copy()]
    rows[1][2] = 15  # K by 3
    rows[2][3], rows[2][9] = 2, 6  # the inner tile by 4
    rows[3][12] = 5  # 16 = 3 * 5 + 1
    rows[4][12] = 20  # four missing
    rows[5][2] = 0
    result = env.evaluate(np.array(rows, dtype=float))
    assert result.constraints[:5, 0].tolist() == [0, 3, 4, 0, 0]
    assert result.constraints[:5, 1].tolist() == [0, 0, 0, 1, 4]
    assert result.status.tolist() == ["ok"] * 5 + ["invalid"]
    assert "below 1" in result.errors[5]
    assert env.evaluate(np.full((1, 14), np.nan)).status[0] == "invalid"


def test_buffers_limit_the_corrected_model():
    env = MappingEnv(LAYER, l1_capacity=100, l2_capacity=1000)
    result = env.evaluate(env.design_space.sample(50, 0))
    assert np.array_equal(result.constraints[:, 2], result.metrics["l1_size"] - 100)
    assert np.array_equal(result.constraints[:, 3], result.metrics["l2_size"] - 1000)


def test_miscounting_is_infeasible_for_maestro():
    env = MappingEnv(model="maestro")
    result = env.evaluate(env.design_space.sample(200, 0))
    wrong = result.metrics["macs"] != env.layer.macs
    assert wrong.any()
    assert not result.feasible[wrong].any()


def test_compat_gives_the_published_rewards():
    designs = MappingEnv().design_space.sample(5, 0)
    values = MappingEnv(model="maestro").analyse(designs.astype(np.int64))
    latency = do.make("designopt/Mapping-v0", model="maestro", compat="archgym").evaluate(designs)
    assert latency.objectives[:, 0] == pytest.approx(1 / values.runtime)
    energy = MappingEnv(model="maestro", goal="energy", compat="archgym").evaluate(designs)
    assert energy.objectives[:, 0] == pytest.approx(1 / (values.runtime * values.l2_energy * 0.00023 * 1e4))
    with pytest.raises(ValueError, match="corrected"):
        MappingEnv(compat="archgym")
