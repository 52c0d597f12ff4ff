import csv
import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import designopt as do
from designopt import data
from designopt.envs.hardware.enumeration import enumerate_designs, optimum
from designopt.envs.hardware.layers import COLUMNS, NETWORKS, layer_table
from designopt.envs.hardware.systolic import GOALS, SystolicArray

REFERENCE = "archgym/reference/scalesim_reference.csv"
FLOWS = ("ws", "os", "is")
SRAMS = [2.0**k for k in range(3, 12)]

# Runs of SCALE-Sim 2.0.2 (InterfaceBandwidth CALC, 64 KB each): layer as in COLUMNS, rows, columns, dataflow, and its
# total cycles, ifmap and filter SRAM reads, OFMAP SRAM writes. Strides that leave a rest, arrays that are not square.
SCALESIM = [
    ((17, 15, 3, 5, 6, 10, 2), 8, 16, "ws", (935, 4320, 900, 5760)),
    ((17, 15, 3, 5, 6, 10, 2), 16, 4, "os", (971, 12960, 2700, 660)),
    ((18, 16, 3, 3, 4, 20, 2), 4, 4, "is", (4859, 2592, 12960, 12960)),
    ((18, 16, 3, 3, 4, 20, 2), 16, 4, "ws", (1589, 12960, 720, 4320)),
    ((12, 9, 5, 2, 3, 7, 1), 4, 4, "os", (1151, 3840, 3360, 704)),
    ((12, 9, 5, 2, 3, 7, 1), 8, 16, "is", (591, 1920, 840, 1792)),
    ((31, 27, 11, 7, 3, 9, 4), 4, 4, "ws", (8003, 24948, 2079, 18792)),
    ((31, 27, 11, 7, 3, 9, 4), 8, 16, "os", (1264, 8316, 10395, 444)),
    ((31, 27, 11, 7, 3, 9, 4), 16, 4, "is", (5804, 8316, 18711, 4860)),
    ((1, 1, 1, 1, 100, 37, 1), 8, 16, "ws", (1208, 300, 3700, 481)),
    ((1, 1, 1, 1, 100, 37, 1), 16, 4, "os", (1179, 1000, 3700, 237)),
    ((20, 13, 2, 4, 5, 33, 3), 4, 4, "is", (3009, 1120, 9240, 9240)),
    ((20, 13, 2, 4, 5, 33, 3), 16, 4, "ws", (1673, 10080, 1320, 2772)),
]


def conv(*sizes, **more):
    return dict(zip(COLUMNS, sizes, strict=True)) | more


def design(rows, columns, flow, ifmap=64, filters=64, ofmap=64, bandwidth=8):
    return [rows, columns, FLOWS.index(flow), ifmap, filters, ofmap, bandwidth]


def evaluate(env, *designs):
    return env.evaluate(np.array(designs, dtype=float))


def counted(evaluation, row=0):
    names = ("cycles", "ifmap_sram_reads", "filter_sram_reads", "ofmap_sram_writes")
    return tuple(int(evaluation.metrics[name][row]) for name in names)


# The counts ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("layer", "rows", "columns", "flow", "expected"), SCALESIM)
def test_counts_are_those_of_scalesim(layer, rows, columns, flow, expected):
    env = SystolicArray(layers=[conv(*layer)])
    assert counted(evaluate(env, design(rows, columns, flow))) == expected


@pytest.mark.skipif(not data.available(REFERENCE), reason="the reference runs are not on this machine")
def test_every_reference_run_of_scalesim_is_met_exactly():
    with data.find(REFERENCE).open(newline="") as file:
        runs = list(csv.DictReader(file))
    assert len(runs) == 11
    tool = ("Total Cycles", "SRAM IFMAP Reads", "SRAM Filter Reads", "SRAM OFMAP Writes")
    for run in runs:
        env = SystolicArray(layers=[{column: run[column] for column in COLUMNS}])
        evaluation = evaluate(env, design(int(run["array_h"]), int(run["array_w"]), run["dataflow"]))
        assert counted(evaluation) == tuple(int(run[name]) for name in tool), run["layer"]
        unique = env.layers.ifmap[0], env.layers.window[0] * env.layers.num_filters[0]
        counts = env.counts(np.array([design(int(run["array_h"]), int(run["array_w"]), run["dataflow"])]))
        fetched = counts.dram_ifmap_reads[0, 0], counts.dram_filter_reads[0, 0]
        assert fetched == unique == (int(run["DRAM IFMAP Reads"]), int(run["DRAM Filter Reads"])), "64 KB hold it all"


def by_folds(M, K, N, rows, columns, flow):
    """The array fold by fold: what each shifts in, streams through and puts out."""
    down, across, time = {"ws": (K, N, M), "os": (M, N, K), "is": (K, M, N)}[flow]
    cycles = ifmap = filters = outputs = 0
    for c, r in itertools.product(range(0, across, columns), range(0, down, rows)):
        height, width = min(rows, down - r), min(columns, across - c)
        # One operand enters skewed over the rows and leaves over the columns; what stays is shifted in before.
        cycles += (rows + time - 1) + (columns - 1) + (0 if flow == "os" else rows)
        ifmap += {"ws": height * time, "os": height * time, "is": height * width}[flow]
        filters += {"ws": height * width, "os": width * time, "is": height * time}[flow]
        outputs += height * width + rows + columns if flow == "os" else width * time
    return cycles - 1, ifmap, filters, outputs


@settings(max_examples=60, deadline=None)
@given(
    size=st.tuples(*[st.integers(5, 24)] * 2, *[st.integers(1, 5)] * 2, *[st.integers(1, 40)] * 2, st.integers(1, 4)),
    rows=st.sampled_from([4, 8, 16]),
    columns=st.sampled_from([4, 8, 16]),
    flow=st.sampled_from(FLOWS),
)
def test_the_closed_form_is_the_sum_over_folds(size, rows, columns, flow):
    h, w, r, s, channels, filters, stride = size
    pixels = math.ceil((h - r + stride) / stride) * math.ceil((w - s + stride) / stride)
    expected = by_folds(pixels, channels * r * s, filters, rows, columns, flow)
    assert counted(evaluate(SystolicArray(layers=[conv(*size)]), design(rows, columns, flow))) == expected


def test_a_network_costs_the_sum_of_its_layers_and_repeats():
    layers = [conv(9, 9, 3, 3, 4, 8, 1), conv(7, 7, 1, 1, 8, 5, 2, repeat=3), conv(9, 9, 3, 3, 4, 8, 1)]
    designs = SystolicArray.design_space.sample(50, seed=1)
    alone = [SystolicArray(layers=[{**layer, "repeat": 1}]).evaluate(designs) for layer in layers]
    together = SystolicArray(layers=layers).evaluate(designs)
    for name in ("cycles", "ifmap_sram_reads", "filter_sram_reads", "ofmap_sram_writes", "dram_reads", "dram_writes"):
        parts = [evaluation.metrics[name] for evaluation in alone]
        assert np.array_equal(together.metrics[name], parts[0] + 3 * parts[1] + parts[2])
    latencies = [evaluation.objectives[:, 0] for evaluation in alone]
    assert np.array_equal(together.objectives[:, 0], latencies[0] + 3 * latencies[1] + latencies[2])
    energies = [evaluation.metrics["energy_uj"] for evaluation in alone]
    assert together.metrics["energy_uj"] == pytest.approx(energies[0] + 3 * energies[1] + energies[2], rel=1e-12)


def test_a_batch_is_the_designs_one_by_one_bit_for_bit():
    env = SystolicArray("mobilenet_v2", goal="pareto")
    designs = env.design_space.sample(600, seed=3)  # more than are worked on at once
    batch = env.evaluate(designs)
    single = do.Evaluation.concatenate([env.evaluate(row[None]) for row in designs])
    assert batch.objectives.tobytes() == single.objectives.tobytes()
    assert batch.constraints.tobytes() == single.constraints.tobytes()
    assert all(batch.metrics[name].tobytes() == single.metrics[name].tobytes() for name in batch.metrics)


# Off-chip traffic, energy, area, constraints ---------------------------------------------------------------------


def traffic(layer, *args, **kwargs):
    counts = SystolicArray(layers=[conv(*layer)]).counts(np.array([design(*args, **kwargs)]))
    names = ("dram_ifmap_reads", "dram_filter_reads", "dram_sum_reads", "dram_writes")
    return tuple(int(getattr(counts, name)[0, 0]) for name in names)


def test_operands_that_fit_half_their_sram_are_fetched_once():
    # 64 x 64 x 1 map of 4096 words, half of 8 KB; M = 4096, K = 1, N = 40
    assert traffic((64, 64, 1, 1, 1, 40, 1), 4, 4, "ws", 8)[0] == 4096
    assert traffic((65, 64, 1, 1, 1, 40, 1), 4, 4, "ws", 8)[0] == 10 * 65 * 64  # ten column folds
    assert traffic((65, 64, 1, 1, 1, 40, 1), 4, 4, "os", 8)[0] == 10 * 65 * 64
    assert traffic((65, 64, 1, 1, 1, 40, 1), 4, 4, "is", 8)[0] == 65 * 64


def test_filters_are_fetched_again_by_the_dataflow_that_streams_them():
    fc = (1, 1, 1, 1, 1024, 8, 1)  # K N = 8192 words, M = 1
    small = (6, 1, 1, 1, 1024, 8, 1)  # M = 6
    assert traffic(fc, 4, 4, "ws", 64, 8)[1] == 8192
    assert traffic(small, 4, 4, "is", 64, 16)[1] == 8192
    assert traffic(small, 4, 4, "is", 64, 8)[1] == 2 * 8192  # M in two column folds
    assert traffic(small, 4, 4, "os", 64, 8)[1] == 8192  # one column fold of filters, 4096 words, stays
    assert traffic(small, 4, 8, "os", 64, 8)[1] == 2 * 8192  # 8192 words do not; M in two row folds


def test_partial_sums_that_do_not_fit_go_off_chip_and_come_back():
    layer = (64, 32, 1, 1, 12, 4, 1)  # M = 2048, K = 12 in three row folds, N = 4
    assert traffic(layer, 4, 4, "ws", ofmap=16)[2:] == (0, 8192)
    assert traffic(layer, 4, 4, "ws", ofmap=8)[2:] == (2 * 8192, 3 * 8192)
    assert traffic(layer, 4, 4, "os", ofmap=8)[2:] == (0, 8192)


def test_a_layer_takes_the_longer_of_cycles_and_transfers():
    env = SystolicArray(layers=[conv(1, 1, 1, 1, 1000, 16, 1)])
    slow, fast = design(32, 16, "ws", bandwidth=1), design(32, 16, "ws", bandwidth=64)
    evaluation = evaluate(env, slow, fast)
    assert evaluation.objectives[0, 0] == 1000 + 16000 + 16  # every word once, one byte a cycle
    assert evaluation.objectives[1, 0] == evaluation.metrics["cycles"][1] == 32 * (64 + 16 + 1 - 2) - 1


def test_energy_and_area_of_a_design_by_hand():
    env = SystolicArray(layers=[conv(4, 4, 1, 1, 4, 4, 1)], goal="energy")
    evaluation = evaluate(env, design(4, 4, "os", 8, 32, 128))
    # M = 16, K = N = 4: four row folds. Input map 64 words, read 64 times and once filled; filters 16 words, read in
    # every fold; 64 outputs written and drained.
    sram = (64 + 64) * 1.25 + (64 + 16) * 2.5 + (64 + 64) * 5.0
    assert evaluation.objectives[0, 0] == pytest.approx((256 * 0.3 + sram + (64 + 16 + 64) * 162.5) / 1e6, rel=1e-12)
    assert evaluation.metrics["area_mm2"][0] == pytest.approx(16 * 282e-6 + 168 * 8192 * 0.086e-6, rel=1e-12)
    assert evaluation.metrics["utilization"][0] == pytest.approx(256 / 16 / (4 * (4 + 4 + 4 - 2) - 1))


def test_accumulating_partial_sums_reads_them():
    env = SystolicArray(layers=[conv(4, 4, 1, 1, 8, 4, 1)], goal="energy")
    evaluation = evaluate(env, design(4, 4, "ws", 8, 8, 8))
    ifmap, filters = 16 * 8 + 128, 32 + 32  # read and filled
    sums = 2 * 64 + 64 + 64  # two row folds write, the second also reads; then drained
    energy = 128 * 4 * 0.3 + (ifmap + filters + sums) * 1.25 + (128 + 32 + 64) * 162.5
    assert evaluation.objectives[0, 0] == pytest.approx(energy / 1e6, rel=1e-12)


@pytest.mark.parametrize(("flow", "held"), [("ws", "filters"), ("os", "ofmap"), ("is", "ifmap")])
def test_the_tile_that_stays_must_fit_half_of_its_sram(flow, held):
    env = SystolicArray(area_budget_mm2=100)
    too_small = evaluate(env, design(128, 128, flow, **{held: 16}))
    fits = evaluate(env, design(128, 128, flow, **{held: 32}))
    assert too_small.constraints[0, 1] == 16 - 8
    assert (too_small.status[0], too_small.feasible[0], fits.feasible[0]) == ("ok", False, True)
    assert fits.constraints[0, 1] == 0


def test_the_area_budget_is_a_constraint():
    designs = SystolicArray.design_space.sample(100, seed=0)
    evaluation = SystolicArray(area_budget_mm2=1.5).evaluate(designs)
    assert evaluation.constraints[:, 0] == pytest.approx(evaluation.metrics["area_mm2"] - 1.5)


def test_goals_choose_the_objectives():
    designs = SystolicArray.design_space.sample(20, seed=0)
    found = {goal: SystolicArray("alexnet", goal).evaluate(designs).objectives for goal in GOALS}
    assert np.array_equal(found["pareto"], np.hstack([found["latency"], found["energy"]]))
    assert np.array_equal(found["edp"], found["latency"] * found["energy"])


def test_info_names_the_cost_model():
    env = do.make("designopt/SystolicArray-v0")
    env.reset(seed=0)
    env.action_space.seed(0)
    assert "SCALE-Sim 2.0.2" in env.step(env.action_space.sample())[-1]["cost_model"]


# The optimum -----------------------------------------------------------------------------------------------------


def test_all_designs_are_enumerated_once():
    space = do.DesignSpace(a=do.Integer(2, 4), b=do.Ordinal([1, 10]), c=do.Categorical("xy"), s=do.Sequence("uv", 2))
    designs = np.concatenate(list(enumerate_designs(space, chunk=7)))
    assert len(designs) == len(np.unique(designs, axis=0)) == 3 * 2 * 2 * 4
    space.validate(designs)
    assert designs[:3].tolist() == [[2, 1, 0, 0, 0], [2, 1, 0, 0, 1], [2, 1, 0, 1, 0]]


def test_only_discrete_spaces_can_be_enumerated():
    with pytest.raises(ValueError, match="parameter 'x' is real"):
        next(enumerate_designs(do.DesignSpace(x=do.Real(0, 1))))


def test_the_stored_optimum_is_found_again_by_enumeration():
    env = SystolicArray("alexnet", "latency")
    assert optimum(env) == env.reference


@pytest.mark.slow
@pytest.mark.parametrize("goal", ["latency", "energy", "edp"])
@pytest.mark.parametrize("network", NETWORKS)
def test_every_stored_optimum_is_found_again_by_enumeration(network, goal):
    env = SystolicArray(network, goal)
    assert optimum(env) == env.reference


def test_nothing_feasible_has_no_optimum():
    @do.design_env(do.DesignSpace(x=do.Integer(0, 3)), minimize=["y"], constraints={"y": "<= -1"})
    def never(x):
        return {"y": x}

    assert optimum(never) is None


def test_an_optimum_needs_one_objective():
    with pytest.raises(ValueError, match="has 2 objectives"):
        optimum(SystolicArray(goal="pareto"))


def test_an_unknown_optimum_is_not_claimed():
    assert SystolicArray(area_budget_mm2=3).reference is None
    assert SystolicArray(NETWORKS["resnet18"]).reference is None
    assert SystolicArray(goal="pareto").reference is None
    assert SystolicArray().reference.value == 601872


# Layers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("network", "layers", "macs"),
    [
        ("alexnet", 8, 714_188_480),
        ("mobilenet_v2", 53, 300_774_272),
        ("resnet18", 21, 1_814_073_344),
        ("resnet50", 54, 4_089_184_256),
        ("vgg16", 16, 15_470_264_320),
    ],
)
def test_networks_have_their_published_multiplications(network, layers, macs):
    table = layer_table(network)
    assert (len(table), table.macs, table.distinct.macs) == (layers, macs, macs)


@pytest.mark.parametrize("name", ["alexnet", "resnet18", "vgg16"])
@pytest.mark.skipif(not data.available("archgym/dnn_layers/vgg16.csv"), reason="layer tables are not on this machine")
def test_networks_have_the_published_channels_and_filters(name):
    with data.find(f"archgym/dnn_layers/{name}.csv").open(newline="") as file:
        published = [(row["K"], row["C"], row["R"], row["S"]) for row in csv.DictReader(file)]
    published = [tuple(map(int, row)) for row in published]
    table = layer_table(name)
    ours = list(
        zip(*(getattr(table, c).tolist() for c in ("num_filters", "channels", "filter_h", "filter_w")), strict=True)
    )
    dense = {"alexnet": 3, "vgg16": 3, "resnet18": 1}[name]
    assert sorted(ours[:-dense]) == sorted(published)


def test_layers_come_from_a_csv_file(tmp_path):
    path = tmp_path / "net.csv"
    path.write_text("name, ifmap_h, ifmap_w,filter_h,filter_w,channels,num_filters,stride\nfirst,8,9,3,2,4,5,1\n")
    table = layer_table(str(path))
    assert (table.names, table.pixels[0], table.window[0], table.repeat[0]) == (("first",), 6 * 8, 24, 1)
    env = do.make("designopt/SystolicArray-v0", layers=str(path))
    assert env.layers.macs == 6 * 8 * 24 * 5


CSV_HEADER = ",".join(COLUMNS)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "ifmap_h,ifmap_w,filter_h\n1,1,1\n",
            "missing columns: filter_w, channels, num_filters, stride; needed",
        ),
        ("", "missing columns: ifmap_h"),
        (CSV_HEADER + "\n", "it has no layers"),
        (CSV_HEADER + "\n8,8,3,3,1,1,1\n8,8,x,3,1,1,1\n", "net.csv line 3: filter_h = 'x'; it must be a whole number"),
        (CSV_HEADER + "\n8,8,3,3,1,1\n", "net.csv line 2: stride = None; it must be a whole number"),
        (CSV_HEADER + "\n8,8,3,3,1,1.5,1\n", "num_filters = '1.5'"),
        (CSV_HEADER + "\n8,8,3,3,0,1,1\n", "channels = '0'"),
        (CSV_HEADER + "\n8,8,3,3,nan,1,1\n", "channels = 'nan'"),
        (CSV_HEADER + "\n8,8,3,3,1e9,1,1\n", "channels = '1e9'"),
        (CSV_HEADER + "\n2,8,3,3,1,1,1\n", "line 2: filter_h = 3 is larger than ifmap_h = 2"),
        (CSV_HEADER + "\n8,2,3,3,1,1,1\n", "line 2: filter_w = 3 is larger than ifmap_w = 2"),
    ],
)
def test_a_bad_layer_file_is_refused_naming_the_place(tmp_path, text, message):
    path = tmp_path / "net.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        SystolicArray(layers=path)


def test_a_layer_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"nowhere\.csv: No such file"):
        SystolicArray(layers=tmp_path / "nowhere.csv")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"layers": "resnet81"}, "layers = 'resnet81'; did you mean 'resnet18'"),
        ({"layers": []}, "layers: it has no layers"),
        ({"layers": [{"ifmap_h": 1}]}, r"layers\[0\]: missing columns: ifmap_w"),
        ({"layers": ["conv1"]}, r"layers\[0\]: 'conv1' is not a dictionary"),
        ({"goal": "speed"}, "goal = 'speed'; "),
        ({"area_budget_mm2": 0.0}, "area_budget_mm2 = 0.0; it must be positive"),
        ({"area_budget_mm2": math.nan}, "area_budget_mm2 = nan; it must be positive"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        SystolicArray(**arguments)
