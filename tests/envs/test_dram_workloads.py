"""Traces: what parses, what is refused and how it is said, and the generated ones."""

import numpy as np
import pytest

import designopt as do
from designopt import data
from designopt.envs.hardware.dram.memory import MEMORIES
from designopt.envs.hardware.dram.trace import read_trace
from designopt.envs.hardware.dram.workloads import GENERATORS, PUBLISHED, generate

GOOD = "0:\tread\t0x40\n\n3: write 0xFF80  # a comment\n3: read 0x0\n"


def write(folder, text):
    path = folder / "some.stl"
    path.write_text(text)
    return path


def test_a_trace_is_read_with_tabs_blanks_comments_and_empty_lines(tmp_path):
    trace = read_trace(write(tmp_path, GOOD))
    assert trace.cycles.tolist() == [0, 3, 3]
    assert trace.writes.tolist() == [False, True, False]
    assert trace.addresses.tolist() == [0x40, 0xFF80, 0]
    assert trace.lines.tolist() == [1, 3, 4]


@pytest.mark.parametrize(
    "line", ["5 read 0x40", "5: load 0x40", "5: read 40", "-5: read 0x40", "5: read 0x40 0x1", "x", "5: read"]
)
def test_a_line_that_does_not_parse_is_named_with_its_file_and_number(tmp_path, line):
    path = write(tmp_path, f"0: read 0x0\n\n{line}\n")
    with pytest.raises(ValueError, match=r"some\.stl, line 3: .* is not of the form") as caught:
        do.make("designopt/DRAMController-v0", workload=str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "the trace has no request"),
        ("# nothing\n", "the trace has no request"),
        ("5: read 0x0\n4: read 0x0\n", "line 2: cycle 4 comes after 5"),
        ("9999999999999: read 0x0\n", "line 1: .* too large"),
        ("0: read 0xFFFFFFFFFFFFFFFF\n", "line 1: .* too large"),
    ],
)
def test_other_broken_traces_are_refused_in_a_sentence(tmp_path, text, sentence):
    with pytest.raises(ValueError, match=sentence):
        read_trace(write(tmp_path, text))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"absent\.stl: No such file"):
        read_trace(tmp_path / "absent.stl")


def test_an_address_beyond_the_memory_is_refused_with_its_line_unless_it_is_to_wrap(tmp_path):
    path = write(tmp_path, f"0: read 0x0\n\n1: read {(1 << 30) + 0x12340:#x}\n")
    with pytest.raises(ValueError, match=r"some\.stl, line 3: address 0x40012340 is beyond the 1073741824 bytes"):
        do.make("designopt/DRAMController-v0", workload=str(path))
    wrapped = do.make("designopt/DRAMController-v0", workload=str(path), wrap_addresses=True)
    assert wrapped.place["row"].tolist() == [0, 1]
    assert do.make("designopt/DRAMController-v0", workload=str(path), memory="ddr4") is not None


def test_an_address_is_cut_into_bank_and_row_by_the_map_of_the_memory(tmp_path):
    trace = read_trace(write(tmp_path, f"0: read {5 << 16 | 3 << 13 | 0x1FC0:#x}\n0: read {2 << 28 | 9 << 13:#x}\n"))
    ddr3 = trace.place(MEMORIES["ddr3"])
    assert (ddr3["row"][0], ddr3["bank"][0]) == (5, 3)
    ddr4 = trace.place(MEMORIES["ddr4"])
    assert (ddr4["row"][1], ddr4["bank"][1]) == (9, 2 * 4)
    lpddr4 = trace.place(MEMORIES["lpddr4"])
    assert (lpddr4["row"][1], lpddr4["bank"][1]) == (9 << 2, 4)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"memory": "ddr5"}, "memory = 'ddr5'; did you mean"),
        ({"workload": "strem"}, "workload = 'strem' is neither a file nor a known name; did you mean 'stream'"),
        ({"goal": "speed"}, "goal = 'speed'"),
        ({"goal": "edp", "compat": "archgym"}, "goal = 'edp' with compat='archgym'"),
        ({"compat": "gym"}, "compat = 'gym'"),
        ({"ranges": "all"}, "ranges = 'all'"),
        ({"trace_clock_mhz": 0}, "trace_clock_mhz = 0"),
        ({"trace_clock_mhz": float("nan")}, "trace_clock_mhz = nan"),
        ({"target_time_ns": -1.0}, "target_time_ns = -1"),
        ({"requests": 0}, "requests = 0; at least 1"),
    ],
)
def test_arguments_that_are_not_allowed_are_named(settings, sentence):
    with pytest.raises(ValueError, match=sentence):
        do.make("designopt/DRAMController-v0", **settings)


def test_a_published_trace_that_is_not_there_says_where_it_comes_from(monkeypatch, tmp_path):
    monkeypatch.setenv(data.VARIABLE, str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(data.DataMissing, match="designopt data add"):
        do.make("designopt/DRAMController-v0", workload="stream")


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_traces_only_read(name):
    if not data.available(f"archgym/dram/traces/{PUBLISHED[name]}"):
        pytest.skip("published traces are not on this machine")
    env = do.make("designopt/DRAMController-v0", workload=name)
    assert not env.trace.writes.any()
    assert len(env.trace) == {"aes": 1383, "jpeg": 3248, "sha": 1503}.get(name.removeprefix("chstone-"), 10_000)


@pytest.mark.parametrize("memory", MEMORIES.values(), ids=MEMORIES)
@pytest.mark.parametrize("name", GENERATORS)
def test_generated_traces_are_the_same_for_a_seed_fit_the_memory_and_keep_time(name, memory):
    trace, again, other = (generate(name, memory, 1000, seed) for seed in (1, 1, 2))
    assert np.array_equal(trace.addresses, again.addresses)
    assert np.array_equal(trace.cycles, again.cycles)
    assert not np.array_equal(trace.addresses, other.addresses)
    assert len(trace) == 1000
    assert (np.diff(trace.cycles) >= 0).all()
    assert ((trace.addresses >= 0) & (trace.addresses < memory.size)).all()
    assert (trace.addresses % memory.request_bytes == 0).all()
    share = trace.writes.mean()
    assert share == 0 if name == "synthetic-pointer-chase" else 0.25 < share < 0.35


def test_generated_traces_differ_in_what_their_names_say():
    memory = MEMORIES["ddr3"]
    traces = {name.removeprefix("synthetic-"): generate(name, memory, 2000, 0) for name in GENERATORS}

    def hits(trace):
        """Share of requests that find the row of their bank as the last one left it."""
        place, rows, found = trace.place(memory), {}, 0
        for bank, row in zip(place["bank"].tolist(), place["row"].tolist(), strict=True):
            found += rows.get(bank) == row
            rows[bank] = row
        return found / len(trace)

    share = {name: hits(trace) for name, trace in traces.items()}
    assert share["random"] < 0.01
    assert share["pointer-chase"] < 0.01
    assert share["bursty"] > 0.9
    assert 0.8 < share["strided"] < 0.95
    assert 0.2 < share["mixed"] < 0.8
    assert np.diff(traces["pointer-chase"].cycles).min() >= 40
    assert np.diff(traces["bursty"].cycles).max() >= 100
    assert (np.diff(traces["random"].cycles) == 1).all()
