"""Task graphs: FARSI's tables with their quirks, mappings, and what is refused."""

import numpy as np
import pytest

import designopt as do
from designopt import data
from designopt.envs.hardware.soc.designs import unrolled
from designopt.envs.hardware.soc.tables import TABLES
from designopt.envs.hardware.soc.workload import PUBLISHED, stereo_depth, workload_of

FILES = [f"archgym/farsi/{w}_database - {sheet}.csv" for w in set(PUBLISHED.values()) for sheet in TABLES.values()]
needs_tables = pytest.mark.skipif(not all(map(data.available, FILES)), reason="FARSI's tables are not on this machine")

OWN = {
    "Task Data Movement": "Task Name,source,a,b,siink\nsouurce,,1000,,\na,,5,2000,\nb,,,,30\nsiink,,,,\n",
    "Task PE Performance": "Task Name,A53,IP0\nsouurce,0,\na,500,100\nb,4000,\nsiink,0,\n",
    "Task PE Energy": "Task Name,A53,IP0\nsource,0,\na,,7\nb,,\nsink,0,\n",
    "Task PE Area": "Task Name,A53,IP0\nsouurce,0,\na,,90\nb,,\nsiink,0,\n",
    "Task Itr Count": "Task Name,number of iterations\nsource,1\na,6\nb,10\nsiink,1\n",
}


@pytest.fixture
def folder(tmp_path):
    """A function that writes the tables, some changed (None: left out), and gives their folder."""

    def write(start="", **changed):
        for sheet, text in OWN.items():
            text = changed.get(sheet.replace(" ", "_"), text)
            if text is not None:
                (tmp_path / f"{start}{sheet}.csv").write_text(text)
        return tmp_path

    return write


def test_tables_of_ones_own_are_read_whatever_the_spelling_of_source(folder):
    work = workload_of(folder())
    assert work.tasks == ("souurce", "a", "b", "siink")
    assert work.work.tolist() == [0, 1000, 8000, 0]
    assert work.dummy.tolist() == [True, False, False, True]
    edges = [(work.tasks[p], work.tasks[c], s) for p, c, s in zip(work.parent, work.child, work.size, strict=True)]
    assert edges == [("souurce", "a", 1000), ("a", "b", 2000), ("b", "siink", 30)], "a keeps a state of its own"
    assert work.ip_seconds[1] == 1e-6
    assert (work.ip_energy[1], work.ip_area_m2[1]) == (7, 90e-12)
    assert np.isnan(work.ip_seconds[[0, 2, 3]]).all()
    assert work.iterations.tolist() == [1, 6, 10, 1]
    assert work.tasks[work.last] == "siink"


def test_a_folder_of_tables_makes_an_environment(folder):
    env = do.make("designopt/SoC-v0", workload=folder(), model="farsi", goal="latency")
    design = env.initial_design()
    # 400 MB/s: a reads 1000 B in 2.5 us and writes 2000 B in 5 us; b computes 8000 instructions in 4 us, reads in 5.
    assert env.evaluate(design[None]).objectives[0, 0] == pytest.approx(10e-6)
    design[list(env.design_space.parameters).index("pe0")] = 2
    assert env.evaluate(design[None]).constraints[0].tolist() == [0, 1, 0], "b has no accelerator"


def test_one_of_several_workloads_in_a_folder_is_named(folder, tmp_path):
    folder("one_database - ")
    assert workload_of(tmp_path).name == "one"
    folder("two_database - ")
    assert workload_of(tmp_path / "two").name == "two"
    with pytest.raises(ValueError, match=r"it holds 2 workloads; give .*/NAME with allowed: one, two"):
        workload_of(tmp_path)
    with pytest.raises(ValueError, match="is neither a folder nor a known name"):
        workload_of(tmp_path / "three")


def test_a_table_of_last_tasks_says_whose_end_farsi_reports(folder, tmp_path):
    folder("one_database - ")
    table = tmp_path / "misc_database - Last Tasks.csv"
    table.write_text("workload,last_task\ntwo,siink\none,a\n")
    work = workload_of(tmp_path)
    assert work.tasks[work.last] == "a"
    table.write_text("workload,last_task\none,aa\n")
    with pytest.raises(ValueError, match="'one' names the unknown last_task 'aa'; did you mean 'a'"):
        workload_of(tmp_path)


def test_iterations_default_to_one(folder):
    assert workload_of(folder(Task_Itr_Count=None)).iterations.tolist() == [1, 1, 1, 1]


@pytest.mark.parametrize(
    ("sheet", "text", "message"),
    [
        (
            "Task_Data_Movement",
            "Task Name,a,b\nsource,,\na,,5\nb,7,\nsink,,\n",
            "the task graph has a cycle: a -> b -> a",
        ),
        ("Task_Data_Movement", "Task Name,a,x\na,,5\n", "column 'x' names an unknown task; allowed: a"),
        ("Task_Data_Movement", "Task Name,a\na,\na,\n", "task 'a' has two rows"),
        ("Task_Data_Movement", "Task Name,a,b\na,,many\nb,,\n", "'a' -> 'b' = 'many'; it must be a number"),
        ("Task_Data_Movement", "Task Name,a,b\na,,-1\nb,,\n", "'a' -> 'b' = '-1'; it must be a number that is not"),
        ("Task_Data_Movement", "Task Name,souurce,siink\nsouurce,,1\nsiink,,\n", "names an unknown task"),
        ("Task_Data_Movement", "Task Name\n", "it has no rows"),
        ("Task_Data_Movement", None, "no file that ends in 'Task Data Movement.csv'"),
        ("Task_PE_Performance", "Task Name,IP0\na,100\n", "missing column 'A53'; it has IP0"),
        ("Task_PE_Performance", "Task Name,A53\na,100\n", "task 'b' has no cycles in column 'A53'"),
        ("Task_PE_Performance", "Task Name,A53\na,100\nb,0\n", "work of 'b' is 0; it must be positive"),
        ("Task_PE_Performance", "Task Name,A53\na,1\nbb,1\n", "row 'bb' names an unknown task; did you mean 'b'"),
        ("Task_PE_Performance", None, "Task PE Performance.csv: No such file"),
        ("Task_PE_Energy", "Task Name,A53\na,\n", "Task PE Energy.csv: missing column 'IP0'; it has A53"),
        ("Task_PE_Energy", "Task Name,A53,IP0\na,,\n", "task 'a' has cycles on an accelerator but no entry"),
        ("Task_PE_Area", "Task Name,A53\na,\n", "Task PE Area.csv: missing column 'IP0'"),
        ("Task_Itr_Count", "Task Name,n\na,1\n", "missing column 'number of iterations'"),
        ("Task_Itr_Count", "Task Name,number of iterations\nc,1\n", "row 'c' names an unknown task"),
    ],
)
def test_bad_tables_are_refused_with_the_file_and_the_place(folder, sheet, text, message):
    with pytest.raises(ValueError, match=message):
        do.make("designopt/SoC-v0", workload=folder(**{sheet: text}))


@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        ({}, "it has no tasks"),
        ({"a": {"work": 1, "children": {"b": 1}}}, "'a' -> 'b' names the unknown task 'b'"),
        ({"a": {"work": 1, "children": {"a": 1}}}, "cycle: a -> a"),
        (
            {
                "s": {"work": 1, "children": {"a": 1, "c": 1}},
                "a": {"work": 1, "children": {"b": 1}},
                "b": {"work": 1, "children": {"c": 1}},
                "c": {"work": 1, "children": {"a": 1}},
            },
            "cycle: a -> b -> c -> a",
        ),
        ({"a": {"children": {}}}, "task 'a' is .* it must be {'work'"),
        ({"a": {"work": float("nan")}}, "work of 'a' = nan"),
        ({"a": {"work": 0}}, "work of 'a' is 0"),
        ({"souurce": {"work": 0}}, "it has no task that does any work"),
        ({3: {"work": 1}}, "3 is no name of a task"),
    ],
)
def test_bad_mappings_are_refused(tasks, message):
    with pytest.raises(ValueError, match=message):
        workload_of(tasks)


def test_a_workload_is_taken_as_it_is_and_a_diamond_is_no_cycle():
    diamond = {
        "a": {"work": 1, "children": {"b": 1, "c": 1}},
        "b": {"work": 1, "children": {"d": 1}},
        "c": {"work": 1, "children": {"d": 1}},
        "d": {"work": 1},
    }
    work = workload_of(diamond)
    assert workload_of(work) is work
    assert work.tasks[work.last] == "d"
    ends = {"siink": {"work": 0}} | diamond | {"e": {"work": 1}}
    assert workload_of(ends).tasks[workload_of(ends).last] == "siink"


def test_burst_units_cut_a_task_by_its_smallest_input():
    tasks = {
        "s": {"work": 1e6, "children": {"t": 2560, "u": 5120}},
        "t": {"work": 1e6, "children": {"u": 4}},
        "u": {"work": 1e6, "children": {"v": 100}},
        "v": {"work": 1e6},
    }
    work = workload_of(tasks)
    _, _, _, _, _, writes, reads, *_ = work.arrays
    # t would be cut in 10 and write 0.4 bytes a piece, so it is not; u reads at least 4 bytes: one piece; s reads none.
    assert reads.tolist() == [2560, 5120, 4, 100]
    assert writes.tolist() == [2560, 5120, 4, 100]
    tasks["t"]["children"]["u"] = 40
    assert workload_of(tasks).arrays[6].tolist() == [256, 5120, 40, 100]
    assert workload_of(tasks).arrays[5].tolist() == [2560, 5120, 4, 100]


def test_variants_of_an_accelerator():
    assert unrolled(1) == [1]
    assert unrolled(8) == [1, 2, 4, 8]
    assert unrolled(151) == [1, 2, 4, 8, 16, 32, 64, 128, 151]
    many = unrolled(1638400)
    assert len(many) == 17
    assert many[-2:] == [2**15, 1638400]


@needs_tables
@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_published_workloads_parse(name):
    work = workload_of(name)
    assert work.dummy[[0, -1]].all()
    real = {"audio_decoder": 15, "edge_detection": 6, "hpvm_cava": 7}
    assert len(work.real) == real.get(work.name, 1)
    last = {"audio_decoder": "dummy_last", "edge_detection": "rejectZeroCrossings", "hpvm_cava": "descale_fxp_cloned"}
    assert work.tasks[work.last] == last.get(work.name, "siink")


def test_a_published_workload_that_is_not_here_says_where_it_comes_from(monkeypatch, tmp_path):
    monkeypatch.setenv(data.VARIABLE, str(tmp_path))
    monkeypatch.setattr(data, "folders", lambda: [tmp_path])
    with pytest.raises(data.DataMissing, match="is not on this machine; it comes from"):
        workload_of("cava")


def test_the_workload_of_our_own_needs_no_data():
    work = stereo_depth()
    assert len(work.real) == 8
    assert work.work.sum() == (2 * 60 + 2 * 180 + 3000 + 900 + 240 + 40) * 640 * 480
    assert np.isfinite(work.ip_seconds[work.real]).all()
