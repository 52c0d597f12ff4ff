import json
import os
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest

import designopt as do
from designopt.envs.hardware.layers import COLUMNS
from designopt.envs.hardware.simulators import dramsys, maestro, scalesim
from designopt.envs.hardware.simulators.tool import SimulatorError, Tool

RESOURCES = {"memspec": '{"memspec": {}}', "addressmapping": "{}", "simconfig": "{}"}


@pytest.fixture
def stub(tmp_path):
    """Writes an executable that runs the given Python and counts its runs in a file beside it."""

    def make(code):
        path = tmp_path / "tool"
        counting = f"open({str(tmp_path / 'runs')!r}, 'a').write('x')\n"
        path.write_text(f"#!{sys.executable}\nimport json, os, sys, time\n{counting}{code}\n")
        path.chmod(0o755)
        return path

    return make


def runs(tool):
    return len((Path(tool.command).parent / "runs").read_text())


# Running a program -----------------------------------------------------------------------------------------------


def test_an_equal_run_is_not_repeated_and_another_one_is(stub):
    tool = Tool(stub("print(open('in').read(), sys.argv[1])"))
    assert tool.run({"in": "a"}, ["1"]).text == "a 1\n"
    assert tool.run({"in": "a"}, ["1"]).text == "a 1\n"
    assert runs(tool) == 1
    assert tool.run({"in": "b"}, ["1"]).text == "b 1\n"
    assert tool.run({"in": "b"}, ["2"]).text == "b 2\n"
    assert runs(tool) == 3


def test_every_run_has_an_empty_folder_that_goes_away(stub):
    tool = Tool(stub("print(os.listdir('.'), os.getcwd()); open('left', 'w').write(sys.argv[1])"))
    for argument in "ab":
        output = tool.run({}, [argument], ["le*"])
        assert output.files == {"le*": argument}
        listing, folder = output.text.split()
        assert listing == "[]"
        assert not os.path.exists(folder)


def test_a_copy_in_another_process_has_a_folder_and_results_of_its_own(stub):
    tool = Tool(stub("print(os.path.dirname(os.getcwd()))"))
    copy = pickle.loads(pickle.dumps(tool))
    assert tool.run({}, []).text != copy.run({}, []).text
    assert runs(tool) == 2


def test_a_run_that_takes_too_long_is_ended_with_all_that_it_started(stub, tmp_path):
    child = f"import time; time.sleep(1.5); open({str(tmp_path / 'alive')!r}, 'w')"
    tool = Tool(stub(f"import subprocess; subprocess.run([sys.executable, '-c', {child!r}])"), timeout_seconds=0.7)
    with pytest.raises(TimeoutError, match=r"tool ran longer than 0\.7 s"):
        tool.run({}, [])
    import time

    time.sleep(1.5)
    assert not (tmp_path / "alive").exists()


def test_an_error_of_the_program_is_its_last_line(stub):
    with pytest.raises(SimulatorError, match="tool ended with 3: no such bank"):
        Tool(stub("print('well\\nno such bank', file=sys.stderr); sys.exit(3)")).run({}, [])


def test_a_missing_output_is_named(stub):
    with pytest.raises(SimulatorError, match=r"wrote 0 files '\*.csv'"):
        Tool(stub("")).run({}, [], ["*.csv"])


def test_the_version_changes_with_the_executable(stub):
    first = Tool(stub("print(1)")).version
    assert Tool(stub("print(1)")).version == first
    assert Tool(stub("print(2)")).version != first
    assert first.startswith("sha256 ")


def test_a_wrong_command_or_time_is_named():
    with pytest.raises(ValueError, match="'/no/such/tool'; it is not an executable"):
        Tool("/no/such/tool")
    with pytest.raises(ValueError, match="timeout_seconds = 0"):
        Tool(sys.executable, timeout_seconds=0)


# DRAMSys ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("printed", "nanoseconds"), [("50025 ns", 50025), ("50026250 ps", 50026.25), ("50 us", 50000), ("0.1 ms", 1e5)]
)
def test_total_time_is_read_with_its_unit(printed, nanoseconds):
    text = f"  DRAM  Total Time:     {printed}\n  DRAM Total Energy: 85109250.00 pJ\n DRAM Average Power: 1701.33 mW\n"
    assert dramsys.parse(text) == dramsys.Report(pytest.approx(nanoseconds), 85109250.0, 1701.33)


def test_a_report_without_energy_or_with_channels():
    assert dramsys.parse("Total Time: 7 ns") == dramsys.Report(7.0, None, None)
    two = "Total Energy: 2 nJ\nTotal Energy: 500 pJ\nAverage Power: 1 W\nTotal Time: 1500 ps\nTotal Time: 1 ns"
    assert dramsys.parse(two) == dramsys.Report(1.5, 2500.0, 1000.0)


@pytest.mark.parametrize(("text", "message"), [("done", "no 'Total Time'"), ("Total Time: 5 min", "5 min; its unit")])
def test_a_report_that_cannot_be_read_is_named(text, message):
    with pytest.raises(SimulatorError, match=message):
        dramsys.parse(text)


def test_dramsys_behind_its_environment(stub):
    # Every second buffer size prints picoseconds, as the tool does for times that are not whole nanoseconds.
    code = """
assert sys.argv[2] == '.'
setup = json.load(open(sys.argv[1]))['simulation']
mc = json.load(open('configs/mcconfigs/' + setup['mcconfig']))['mcconfig']
assert json.load(open('configs/memspecs/' + setup['memspec'])) == {'memspec': {}}
assert setup['tracesetup'][0]['clkMhz'] == 800
lines = open('traces/' + setup['tracesetup'][0]['name']).read().splitlines()
assert all(line.split('\\t')[1] in ('read', 'write') for line in lines)
size = mc['RequestBufferSize']
print('Total Energy:', 1000 * len(lines), 'pJ')
print('Average Power: 10 mW')
print('Total Time:', f'{size * 1000} ns' if size % 2 else f'{size * 1000000} ps')
assert mc['PagePolicy'] == 'Open' and mc['CmdMux'] == 'Oldest'
"""
    tool = Tool(stub(code))
    env = do.make("designopt/DRAMController-v0", requests=20, simulator="dramsys", tool=tool, resources=RESOURCES)
    designs = np.array([[0, 2, 0, size, 0, 1, 8, 8, 0, 128] for size in (1, 2, 3, 2)], dtype=float)
    evaluation = env.evaluate(designs)
    assert evaluation.objectives[:, 0].tolist() == [1000, 2000, 3000, 2000]
    assert evaluation.metrics["energy_pj"].tolist() == [20000] * 4
    assert runs(tool) == 3
    env.reset(seed=0)
    assert tool.version in env.unwrapped.cost_model


def test_dramsys_needs_its_files():
    with pytest.raises(ValueError, match="needs tool, and resources"):
        do.make("designopt/DRAMController-v0", simulator="dramsys", tool=Tool(sys.executable))
    with pytest.raises(ValueError, match="simulator = 'dramsim'"):
        do.make("designopt/DRAMController-v0", simulator="dramsim")


# SCALE-Sim -------------------------------------------------------------------------------------------------------

SCALESIM = """
import configparser
config = configparser.ConfigParser(); config.read(sys.argv[sys.argv.index('-c') + 1])
array = config['architecture_presets']
layer = open(sys.argv[sys.argv.index('-t') + 1]).read().splitlines()[1].split(',')
out = os.path.join(sys.argv[sys.argv.index('-p') + 1], 'run'); os.makedirs(out)
cycles = int(array['ArrayHeight']) * 1000 + int(layer[6])
with open(out + '/COMPUTE_REPORT.csv', 'w') as f:
    f.write('LayerID, Total Cycles, Stall Cycles, Overall Util %,\\n0, ' + str(cycles) + '.0, 0, 10.0,\\n')
with open(out + '/DETAILED_ACCESS_REPORT.csv', 'w') as f:
    f.write('LayerID, SRAM IFMAP Start Cycle, SRAM IFMAP Reads, SRAM Filter Reads, SRAM OFMAP Writes,\\n')
    f.write('0, 5, 11, 22, %s,\\n' % {'ws': 33, 'os': 44, 'is': 55}[array['Dataflow']])
"""


def test_scalesim_behind_its_environment(stub):
    tool = Tool(stub(SCALESIM))
    layers = [dict(zip(COLUMNS, (6, 6, 3, 3, 2, filters, 1), strict=True)) for filters in (4, 7)]
    env = do.make("designopt/SystolicArray-v0", layers=layers, simulator="scalesim", tool=tool)
    evaluation = env.evaluate(np.array([[4, 8, 0, 64, 64, 64, 64], [16, 8, 1, 64, 64, 64, 64]], dtype=float))
    assert evaluation.metrics["cycles"].tolist() == [8011, 32011]
    assert evaluation.metrics["ifmap_sram_reads"].tolist() == [22, 22]
    assert evaluation.metrics["ofmap_sram_writes"].tolist() == [66, 88]
    assert runs(tool) == 4
    assert env.unwrapped.cost_model.startswith(f"SCALE-Sim, {tool.version}")


def test_a_report_of_scalesim_without_a_column_is_named(stub):
    tool = Tool(stub(SCALESIM.replace("SRAM Filter Reads", "Filter Reads")))
    layer = dict(zip(COLUMNS, (6, 6, 3, 3, 2, 4, 1), strict=True))
    with pytest.raises(SimulatorError, match="no number 'SRAM Filter Reads'"):
        scalesim.run(tool, layer, 4, 4, "ws", (8, 8, 8))


def test_scalesim_needs_its_tool():
    with pytest.raises(ValueError, match="needs its tool"):
        do.make("designopt/SystolicArray-v0", simulator="scalesim")
    with pytest.raises(ValueError, match="simulator = 'timeloop'"):
        do.make("designopt/SystolicArray-v0", simulator="timeloop")


# MAESTRO ---------------------------------------------------------------------------------------------------------

LAYER = {"K": 4, "C": 2, "Y": 6, "X": 6, "R": 3, "S": 3, "stride": 1, "type": "CONV"}
MAPPING = "S K 1 1;T C 2 2|2|S C 1 1;T R 3 3"


def maestro_report():
    names = [" Runtime (Cycles)", " Num MACs", " Activity count-based Energy (nJ)", " Area (um^2)", " Power (mW)"]
    counts = [
        f" {tensor} {level} {kind}"
        for tensor in ("input", "filter", "output")
        for level in ("l1", "l2")
        for kind in ("size", "read", "write")
    ]
    values = [1234, 5678, 0.5, 7.5, 2.25, *range(100, 118)]
    return ",".join([*names, *counts]) + "\n" + ",".join(map(str, values)) + "\n"


def test_maestro_gets_its_mapping_and_is_read_by_name(stub):
    code = f"text = {maestro_report()!r}\n" + (
        "mapping = open('mapping.m').read()\n"
        "assert '--num_pes=8' in sys.argv and '--noc_bw_cstr=3' in sys.argv\n"
        "assert 'SpatialMap(1,1) K;\\nTemporalMap(2,2) C;\\nCluster(2, P);\\nSpatialMap(1,1) C;' in mapping\n"
        "open('mapping.csv', 'w').write(text)"
    )
    report = maestro.run(Tool(stub(code)), LAYER, MAPPING, 8, noc_bw=3, offchip_bw=5)
    assert (report.runtime, report.macs) == (1234, 5678)
    assert (report.energy_nj, report.area_um2, report.power_mw) == (0.5, 7.5, 2.25)
    assert report.accesses["input_l1_size"] == 100
    assert report.accesses["output_l2_wr"] == 117
    assert len(report.accesses) == 18


def test_maestro_behind_its_environment(stub):
    code = f"text = {maestro_report()!r}\n" + (
        "pes = next(a for a in sys.argv if a.startswith('--num_pes=')).split('=')[1]\n"
        "mapping = open('mapping.m').read()\n"
        "assert mapping.count('Map(') == 12 and 'Cluster(4, P);' in mapping\n"
        "open('mapping.csv', 'w').write(text.replace('1234', pes))"
    )
    tool = Tool(stub(code))
    env = do.make("designopt/Mapping-v0", layer=LAYER, model="maestro", simulator="maestro", tool=tool)
    design = {"outer_parallel": "K", "inner_parallel": "C", "cluster_size": 4}
    design |= {f"{level}_order": 0 for level in ("outer", "inner")}
    design |= {f"{level}_tile_{d}": 1 for level in ("outer", "inner") for d in "KCYX"}
    evaluation = env.evaluate(env.unwrapped.design_space.encode([design | {"num_pes": n} for n in (8, 12)]))
    assert evaluation.objectives[:, 0].tolist() == [8, 12]
    assert evaluation.metrics["output_l2_wr"].tolist() == [117, 117]
    assert evaluation.metrics["macs"].tolist() == [5678, 5678]
    assert tool.version in env.unwrapped.cost_model
    with pytest.raises(ValueError, match="needs its tool and model"):
        do.make("designopt/Mapping-v0", layer=LAYER, simulator="maestro", tool=tool)


def test_a_report_of_maestro_without_a_column_or_layer_is_named():
    with pytest.raises(SimulatorError, match="no number 'Num MACs'"):
        maestro.parse(maestro_report().replace("Num MACs", "MACs"))
    with pytest.raises(SimulatorError, match="0 layers"):
        maestro.parse(maestro_report().splitlines()[0])


# ZigZag ----------------------------------------------------------------------------------------------------------


def test_zigzag_behind_its_environment_by_a_program_that_speaks_as_it_does(stub):
    code = """
import yaml
request = json.load(open('request.json'))
hardware = yaml.safe_load(open('accelerator.yaml'))
assert hardware['operational_array']['sizes'] == [12, 14]
sizes = dict(zip(request['workload'][0]['loop_dims'], request['workload'][0]['loop_sizes']))
mapping = yaml.safe_load(open('mapping.yaml'))[0]
assert mapping['spatial_mapping'] == {'D1': ['FY, 3'], 'D2': ['OY, 8']}
print(json.dumps({'energy': 2e6 * sizes['K'], 'latency': 1000.0, 'words': {}, 'allocation': {}}))
"""
    from designopt.envs.hardware.accelerator.env import BASELINE

    tool = Tool(stub(code))
    layers = [dict(zip(COLUMNS, (10, 10, 3, 3, 4, 5, 1), strict=True), repeat=3)]
    env = do.make("designopt/DNNAccelerator-v0", layers=layers, goal="pareto", simulator="zigzag", tool=tool)
    latency, energy, area = env.evaluate(env.unwrapped.design_space.encode([BASELINE])).objectives[0]
    assert latency == 3000
    assert energy == pytest.approx(30 + 100 * area * 3000 / 1e6)
    assert runs(tool) == 1
    assert env.unwrapped.cost_model.startswith(f"ZigZag, {tool.version}")


@pytest.mark.slow
def test_zigzag_itself_counts_strided_windows_as_we_do():
    zigzag_dse = pytest.importorskip("zigzag", reason="the extra simulators is not installed")
    assert zigzag_dse
    from designopt.envs.hardware.accelerator.fixed_mapping import analyse
    from designopt.envs.hardware.simulators import zigzag

    tool = zigzag.tool(timeout_seconds=200)
    for layer, spatial, order in [
        (
            {"K": 8, "C": 4, "OY": 6, "OX": 6, "FY": 3, "FX": 3, "stride": 2},
            {"D1": [("K", 4)], "D2": [("C", 2)]},
            [("OX", 6), ("FX", 3), ("FY", 3), ("C", 2), ("OY", 6), ("K", 2)],
        ),
        (
            {"K": 32, "C": 16, "OY": 14, "OX": 14, "FY": 3, "FX": 3, "stride": 2},
            {"D1": [("OY", 14)], "D2": [("FX", 3)]},
            [("C", 4), ("OX", 7), ("FY", 3), ("K", 32), ("OX", 2), ("C", 4)],
        ),
    ]:
        theirs = zigzag.run(tool, layer, zigzag.bundled("eyeriss_like"), spatial, order=order)
        ours = analyse(layer, [loop for loops in spatial.values() for loop in loops], theirs.allocation)
        assert ours.energy_total == pytest.approx(theirs.energy_pj, rel=1e-12)
        for operand, traffics in ours.words.items():
            for t, words in zip(traffics, theirs.words[operand], strict=True):
                assert words == {
                    "rd_out_to_high": t.read_up, "wr_in_by_high": t.write_from_above,
                    "rd_out_to_low": t.read_down, "wr_in_by_low": t.write_from_below,
                }  # fmt: skip


@pytest.mark.slow
def test_zigzag_itself_runs_a_design():
    pytest.importorskip("zigzag", reason="the extra simulators is not installed")
    from designopt.envs.hardware.accelerator.env import BASELINE

    layers = [dict(zip(COLUMNS, (10, 10, 3, 3, 4, 8, 1), strict=True))]
    env = do.make("designopt/DNNAccelerator-v0", layers=layers, goal="pareto", simulator="zigzag")
    evaluation = env.evaluate(env.unwrapped.design_space.encode([BASELINE]))
    assert evaluation.status.tolist() == ["ok"]
    assert evaluation.objectives[0, 0] >= 8 * 8 * 9 * 4 * 8 / 24
    assert json.dumps(env.unwrapped.cost_model).startswith('"ZigZag, zigzag-dse 3')
