"""Systems on a chip against recorded runs of FARSI, closed forms, and conservation in the corrected model."""

import copy
import dataclasses
import json

import cloudpickle
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import designopt as do
from designopt import data
from designopt.envs.hardware.soc import simulate
from designopt.envs.hardware.soc.simulation import run

REFERENCE = "archgym/reference/farsi_reference.json"
TABLES = [f"archgym/farsi/{w}_database - Task PE Area.csv" for w in ("edge_detection", "audio_decoder", "hpvm_cava")]
needs_reference = pytest.mark.skipif(
    not data.available(REFERENCE), reason="recorded runs of FARSI are not on this machine"
)
needs_tables = pytest.mark.skipif(not all(map(data.available, TABLES)), reason="FARSI's tables are not on this machine")


def pe(rate=1e9, **values):
    return {"type": "pe", "subtype": "gpp", "peak_rate": rate, "work_per_J": 1e10, "work_per_m2": 2e6, **values}


def ip(rate=1e9, **values):
    return pe(rate, subtype="ip", work_per_J=1e13, work_per_m2=1e15, clock_hz=4e8) | values


def mem(rate=1e9, **values):
    return {"type": "mem", "subtype": "sram", "peak_rate": rate, "work_per_J": 1e6, "work_per_m2": 10.0} | values


def bus(rate=1e9, **values):
    return {"type": "ic", "subtype": "ic", "peak_rate": rate, "work_per_J": 1e5, "width_bytes": 4.0} | values


def graph(*edges, **work):
    """Tasks with their work and edges (parent, child, bytes)."""
    tasks = {name: {"work": amount, "children": {}} for name, amount in work.items()}
    for parent, child, size in edges:
        tasks[parent]["children"][child] = size
    return tasks


def system(tasks, pes=None, links=(), place=None, store=None, **blocks):
    """Everything on p, b and m, unless said otherwise."""
    blocks = {"p": pe(), "b": bus(1e15), "m": mem(1e15)} | blocks
    edges = [f"{parent}->{child}" for parent, entry in tasks.items() for child in entry["children"]]
    linked = {name for link in links for name in link}
    return {
        "blocks": blocks,
        "links": [*links, *([name, "b"] for name in blocks if name != "b" and name not in linked)],
        "task_to_pe": dict.fromkeys(tasks, "p") | (place or {}),
        "edge_to_mem": dict.fromkeys(edges, "m") | (store or {}),
    }


FORK = graph(("s", "a", 100), ("s", "c", 100), s=1, a=1e6, c=1e6)
MODELS = pytest.mark.parametrize("model", ["farsi", "corrected"])


# Against FARSI --------------------------------------------------------------------------------------------------------


@needs_reference
def test_all_recorded_designs_have_the_times_energies_power_and_area_of_farsi():
    recorded = json.loads(data.find(REFERENCE).read_text())
    assert len(recorded["runs"]) == 86
    for design in recorded["runs"]:
        known = design["result"]
        ours = simulate(design, recorded["workloads"][design["workload"]], model="farsi")
        close = lambda value: pytest.approx(value, rel=1e-9, abs=0)  # noqa: E731
        assert ours.latency == close(known["latency_s"]), design["id"]
        assert ours.task_end_times == {t: close(times["end_s"]) for t, times in known["tasks"].items()}, design["id"]
        assert ours.energy_pe == close(known["energy_by_type_J"]["pe"]), design["id"]
        assert ours.energy == close(known["energy_J"]), design["id"]
        assert ours.energy_by_block == {b: close(e) for b, e in known["energy_by_block_J"].items()}, design["id"]
        assert ours.area == close(known["area_m2"]), design["id"]
        assert ours.area_by_block == {b: close(a) for b, a in known["area_by_block_m2"].items()}, design["id"]
        assert ours.power == close(known["power_W"]), design["id"]
        assert ours.mem_peak_bytes == {m: close(b) for m, b in known["mem_peak_bytes"].items()}, design["id"]
        assert ours.work_by_block == {b: close(w) for b, w in known["work_by_block"].items()}, design["id"]


@needs_reference
@needs_tables
def test_workloads_read_from_farsis_tables_give_the_same_as_those_recorded():
    recorded = json.loads(data.find(REFERENCE).read_text())
    by_workload = {design["workload"]: design for design in recorded["runs"]}
    assert len(by_workload) == 5
    for name, design in by_workload.items():
        assert simulate(design, name) == simulate(design, recorded["workloads"][name])
        assert simulate(design) == simulate(design, name)


@needs_tables
def test_edge_detection_on_one_narrow_core_takes_its_known_time():
    env = do.make("designopt/SoC-v0", workload="edge_detection", model="farsi", goal="latency")
    assert env.evaluate(env.initial_design()[None]).objectives[0, 0] == pytest.approx(3.29646, abs=5e-6)


@needs_reference
@needs_tables
@pytest.mark.parametrize(
    ("id", "workload", "level"),
    [
        ("edge_detection-ip-u0f1", "edge_detection", 0),
        ("edge_detection-ip-umax-w0", "edge_detection", 16),
        ("hpvm_cava-ip-umax-w5", "cava", 16),
    ],
)
def test_accelerators_of_the_design_space_are_those_of_farsis_library(id, workload, level):
    design = next(r for r in json.loads(data.find(REFERENCE).read_text())["runs"] if r["id"] == id)
    env = do.make("designopt/SoC-v0", workload=workload, model="farsi", goal="latency", buses=1, memories=1)
    blocks = design["blocks"]
    (memory,), (wire,) = ([b for b in blocks.values() if b["type"] == t] for t in ("mem", "ic"))
    values = {
        "mem0": memory["subtype"], "mem0_width": memory["width_bytes"], "mem0_clock": memory["clock_hz"] / 1e6,
        "bus0_width": wire["width_bytes"], "bus0_clock": wire["clock_hz"] / 1e6, "bus0_up": "none", "mem0_bus": 0,
    }  # fmt: skip
    for i, t in enumerate(env.graph.real):
        task = env.graph.tasks[t]
        block = blocks[design["task_to_pe"][task]]
        values |= {
            f"pe{i}": "accelerator", f"pe{i}_unroll": level, f"pe{i}_clock": block["clock_hz"] / 1e6, f"pe{i}_bus": 0,
            f"{task}_pe": i,
        }  # fmt: skip
    values |= {f"{env.graph.tasks[t]}_data": 0 for t in env.coding.writers}
    evaluation = env.evaluate(env.design_space.encode([values]))
    assert evaluation.objectives[0, 0] == pytest.approx(design["result"]["latency_s"], rel=1e-9)
    assert evaluation.metrics["energy_pe_j"][0] == pytest.approx(design["result"]["energy_by_type_J"]["pe"], rel=1e-9)
    chips = env.simulate(env.design_space.encode([values]))[2].area[0].sum()
    expected = sum(a for b, a in design["result"]["area_by_block_m2"].items() if blocks[b]["subtype"] == "ip")
    assert chips == pytest.approx(expected, rel=1e-9)


# Rules by hand --------------------------------------------------------------------------------------------------------


@MODELS
def test_one_task_with_infinite_memory_takes_work_over_rate(model):
    tasks = graph(("souurce", "a", 100), ("a", "siink", 100), souurce=0, a=3e6, siink=0)
    result = simulate(system(tasks), tasks, model=model)
    assert result.latency == pytest.approx(3e-3)
    assert result.task_end_times == pytest.approx({"souurce": 0.0, "a": 3e-3, "siink": 3e-3})


@MODELS
def test_reads_and_writes_overlap_and_the_slower_of_bus_and_memory_limits(model):
    tasks = graph(("souurce", "a", 1000), ("a", "siink", 600), souurce=0, a=10, siink=0)
    assert simulate(system(tasks, m=mem(1e6)), tasks, model=model).latency == pytest.approx(1e-3)
    assert simulate(system(tasks, b=bus(5e5)), tasks, model=model).latency == pytest.approx(2e-3)


@MODELS
def test_serialising_two_equal_tasks_doubles_the_makespan(model):
    apart = simulate(system(FORK, q=pe(), place={"c": "q"}), FORK, model=model)
    together = simulate(system(FORK), FORK, model=model)
    start = apart.task_end_times["s"]
    assert together.latency - start == pytest.approx(2 * (apart.latency - start))


@MODELS
def test_two_running_tasks_share_a_memory(model):
    tasks = graph(("souurce", "a", 1000), ("souurce", "c", 1000), souurce=0, a=10, c=10)
    shared = simulate(system(tasks, q=pe(), place={"c": "q"}, m=mem(1e6)), tasks, model=model)
    alone = simulate(
        system(tasks, q=pe(), n=mem(1e6), place={"c": "q"}, store={"souurce->c": "n"}, m=mem(1e6)), tasks, model=model
    )
    assert shared.latency == pytest.approx(2e-3)
    assert alone.latency == pytest.approx(1e-3)


def test_farsi_lets_a_new_task_overtake_a_waiting_one_and_fifo_does_not():
    # x and y become ready together on p; z becomes ready when x ends, while y still waits.
    tasks = graph(("s", "x", 1), ("s", "y", 1), ("x", "z", 1), s=1, x=1e6, y=1e6, z=1e6)
    overtaken = simulate(system(tasks), tasks, model="farsi").task_end_times
    fifo = simulate(system(tasks), tasks, model="corrected").task_end_times
    assert overtaken["z"] < overtaken["y"]
    assert fifo["y"] < fifo["z"]
    assert simulate(system(tasks), tasks, model="farsi", fifo=True).task_end_times == pytest.approx(fifo)
    assert simulate(system(tasks), tasks, model="corrected", fifo=False).task_end_times == pytest.approx(overtaken)


@MODELS
def test_tasks_that_become_ready_together_start_in_launch_order(model):
    ends = simulate(system(FORK) | {"launch_order": ["c", "s", "a"]}, FORK, model=model).task_end_times
    assert ends["c"] < ends["a"]
    assert simulate(system(FORK), FORK, model=model).task_end_times["a"] == pytest.approx(ends["c"])


def test_farsi_releases_only_the_first_of_several_parents_and_never_the_source():
    # c has the parents a and b; when it ends, a's bytes are released and it is struck from the list, so b's stay.
    tasks = graph(
        ("souurce", "a", 1), ("souurce", "b", 1), ("a", "c", 100), ("b", "c", 1000), ("c", "d", 10), ("d", "e", 5000),
        souurce=0, a=1e3, b=1e3, c=1e3, d=1e3, e=1e3,
    )  # fmt: skip
    assert simulate(system(tasks), tasks, model="farsi").mem_peak_bytes["m"] == 2 + 1000 + 10 + 5000
    assert simulate(system(tasks), tasks, model="corrected").mem_peak_bytes["m"] == 10 + 5000


def test_farsi_looks_at_tasks_that_end_together_one_after_the_other():
    # x and y end together. When x is looked at, y is not on the list yet, so a stays; then y releases b and is struck.
    edges = [("souurce", "b", 1), ("souurce", "a", 1), ("b", "y", 1000), ("a", "x", 100), ("a", "y", 100)]
    tasks = graph(
        *edges, ("x", "z", 10), ("y", "z", 10), ("z", "e", 5000), souurce=0, b=1e3, a=1e3, x=1e3, y=1e3, z=1e3, e=1
    )
    chips = system(tasks, q=pe(), place={"y": "q"}) | {"launch_order": ["souurce", "b", "a", "x", "y", "z", "e"]}
    assert simulate(chips, tasks, model="farsi").mem_peak_bytes["m"] == 2 + 200 + 20 + 5000


def test_farsi_counts_a_bus_once_for_every_pipe_that_leaves_it():
    tasks = graph(("s", "a", 1000), ("t", "a", 1000), s=1e6, t=1e6, a=1e6)
    twice = system(tasks, n=mem(1e15), store={"t->a": "n"})
    # s and t write 1000 each; a reads 2000, which FARSI sends through both pipes.
    assert simulate(twice, tasks, model="farsi").work_by_block["b"] == pytest.approx(2000 + 2 * 2000)
    assert simulate(twice, tasks, model="corrected").work_by_block["b"] == pytest.approx(2000 + 2000)


def test_farsis_power_windows_slip_by_phases_of_no_length_and_true_peak_power_does_not():
    # 20 ms on a frugal core, then 1 ms on a hungry one: the last millisecond is at full power.
    tasks = graph(("souurce", "a", 1), ("a", "c", 1), ("c", "siink", 1), souurce=0, a=2e7, c=1e6, siink=0)
    hungry = system(tasks, q=pe(work_per_J=1e6), place={"c": "q"})
    calm = simulate(system(tasks), tasks, model="corrected")
    result = simulate(hungry, tasks, model="corrected")
    lowest = calm.power - 1e9 / 1e10
    leak = 5e-3 / 6.5e-7 * 5e-7
    assert result.power == pytest.approx(0.9 * 0.1 + 0.1 * 1e3 + lowest + leak, rel=1e-6)
    # FARSI: the first window is closed by the 20 ms and holds the two phases of no length before them; what is left is
    # one window of 20 + 1 ms.
    assert simulate(hungry, tasks, model="farsi").power == pytest.approx(
        (2e7 / 1e10 + 1e6 / 1e6 + 4 / 1e5 + 4 / 1e6) / 21e-3, rel=1e-9
    )


def test_farsi_reports_the_end_of_the_named_last_task_and_the_corrected_model_the_end_of_all():
    tasks = graph(("rejectZeroCrossings", "b", 1), rejectZeroCrossings=1e6, b=1e6)
    described = system(tasks) | {"workload": "edge_detection"}
    assert simulate(described, tasks, model="farsi").latency == pytest.approx(1e-3)
    assert simulate(described, tasks, model="corrected").latency == pytest.approx(2e-3)


def test_a_task_is_done_for_farsi_at_99_percent_and_for_the_corrected_model_at_all_of_its_work():
    tasks = graph(("s", "a", 1), ("s", "c", 1), s=1, a=1e6, c=1.005e6)
    both = system(tasks, q=pe(), place={"c": "q"})
    farsi, corrected = (simulate(both, tasks, model=m) for m in ("farsi", "corrected"))
    assert farsi.task_end_times["c"] == farsi.task_end_times["a"]
    assert corrected.task_end_times["c"] == pytest.approx(1e-9 + 1.005e-3)
    assert corrected.work_by_block["q"] == pytest.approx(1.005e6)
    assert farsi.work_by_block["q"] == pytest.approx(1e6)


# Conservation in the corrected model ----------------------------------------------------------------------------------


def test_an_unused_block_adds_area_and_leakage_only():
    base = simulate(system(FORK), FORK, model="corrected")
    extra = {
        "q": pe(), "i": ip(lib="a_IP0_1_1"), "n": mem(), "d": mem(subtype="dram"), "w": bus(),
    }  # fmt: skip
    for name, block in extra.items():
        links = [["w", "b"]] if name == "w" else []
        more = simulate(system(FORK, links=links, **{name: block}), FORK, model="corrected")
        assert more.task_end_times == base.task_end_times
        assert more.area > base.area
        assert more.area - base.area == pytest.approx(more.area_by_block[name])
        leakage = (more.energy - base.energy) / base.latency
        assert leakage > 0
        assert more.power - base.power == pytest.approx(leakage)
        assert more.work_by_block[name] == 0


@needs_tables
@pytest.mark.parametrize("workload", ["stereo_depth", "edge_detection", "audio", "cava"])
def test_all_work_is_done_and_every_byte_is_written_and_read_once(workload):
    env = do.make("designopt/SoC-v0", workload=workload)
    system, outcome, cost = env.simulate(env.sample_feasible(200, 1))
    work, dummy = env.graph.work.sum(), env.graph.dummy
    size = env.graph.size
    moved = size[~dummy[env.graph.parent]].sum() + size[~dummy[env.graph.child]].sum()
    assert outcome.pe_work.sum(axis=1) == pytest.approx(np.full(200, work), rel=1e-9)
    assert outcome.mem_work.sum(axis=1) == pytest.approx(np.full(200, moved), rel=1e-9)
    assert (outcome.bus_work.sum(axis=1) >= moved * (1 - 1e-9)).all()
    traffic = moved * (0.3e-12 * 8 + 0.08e-12 * 8 * 2)
    assert (np.concatenate(cost.energy, axis=1).sum(axis=1) >= traffic).all()
    lone = (env.graph.work / np.take_along_axis(system.pe_rate, system.task_pe, axis=1)).max(axis=1)
    assert (outcome.ends.max(axis=1) >= lone * (1 - 1e-9)).all()
    parent, child = outcome.ends[:, env.graph.parent], outcome.ends[:, env.graph.child]
    assert (child >= parent).all()


@MODELS
@settings(max_examples=30, deadline=None)
@given(rates=st.lists(st.floats(1e3, 1e9), min_size=3, max_size=3), factor=st.floats(1.0, 10.0))
def test_a_chain_is_never_slower_on_faster_buses_and_memories(model, rates, factor):
    tasks = graph(("s", "a", 500), ("a", "c", 70), ("c", "d", 9000), s=10, a=1e5, c=100, d=2e4)

    def latency(b, w, m):
        blocks = {"b": bus(b), "w": bus(w), "m": mem(m)}
        links = [["w", "b"], ["m", "w"]]
        return simulate(system(tasks, links=links, **blocks), tasks, model=model).latency

    base = latency(*rates)
    for i in range(3):
        faster = [rate * (factor if i == k else 1) for k, rate in enumerate(rates)]
        assert latency(*faster) <= base * (1 + 1e-12)


def test_more_bandwidth_hardly_ever_slows_a_graph_that_is_no_chain():
    # Tasks that are done earlier may meet others on a third block, as in any schedule of fixed order.
    env = make()
    system = env.coding.system(env.sample_feasible(1000, 8))
    wider = dataclasses.replace(system, bus_rate=2 * system.bus_rate, mem_rate=2 * system.mem_rate)
    ratio = run(env.graph, wider, "corrected").ends.max(axis=1) / run(env.graph, system, "corrected").ends.max(axis=1)
    assert (ratio > 1 + 1e-12).mean() < 0.005
    assert ratio.max() < 1.01
    assert ratio.min() < 0.9


def test_a_higher_clock_costs_energy_and_unrolling_costs_area_but_no_energy_of_its_own():
    tasks = graph(("souurce", "a", 1), souurce=0, a=1e6)

    def one(**values):
        chip = system(tasks, p=ip(**values))
        result = simulate(chip, tasks, model="corrected")
        leakage = result.area_by_block["p"] * 5e-3 / 6.5e-7 * result.latency
        return result, result.energy_pe - leakage * (0.5 + 4e-10 * (chip["blocks"]["p"]["clock_hz"] - 1e8)) / 0.5

    slow, fast = one(rate=1e9, clock_hz=1e8)[1], one(rate=8e9, clock_hz=8e8)[1]
    assert fast == pytest.approx(slow * (0.78 / 0.5) ** 2)
    (plain, energy), (unrolled, same) = one(rate=1e9, work_per_m2=1e15), one(rate=4e9, work_per_m2=1e15 / 4)
    assert same == pytest.approx(energy)
    assert unrolled.area_by_block["p"] == pytest.approx(4 * plain.area_by_block["p"])


def test_physical_energies_by_hand():
    tasks = graph(("s", "a", 1e6), s=1e6, a=1e6)
    result = simulate(system(tasks, m=mem(1e15, subtype="dram"), b=bus(1e15, clock_hz=8e8)), tasks, model="corrected")
    t = result.latency
    assert result.energy_by_block["m"] == pytest.approx(2e6 * 64e-12 + 50e-3 * t)
    area = 2e-3 * 2 * 8 * 4 * 80e-9
    leak = area * 5e-3 / 6.5e-7 * (0.78 / 0.5)
    assert result.energy_by_block["b"] == pytest.approx(2e6 * 0.64e-9 * 2e-3 * (0.78 / 0.5) ** 2 + leak * t)
    assert result.area_by_block["b"] == pytest.approx(area)
    assert result.area_by_block["m"] == pytest.approx(1e-6)
    sram = simulate(system(tasks), tasks, model="corrected")
    capacity = 16 * 65536
    assert sram.area_by_block["m"] == pytest.approx(capacity * 8 * 0.035e-12)
    assert sram.energy_by_block["m"] == pytest.approx(2e6 * 2.4e-12 + capacity / 1024 * 10e-6 * sram.latency)


# Bad descriptions -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d["task_to_pe"].pop("a"), "task 'a' is on no processor"),
        (lambda d: d["task_to_pe"].update(a="m"), "task 'a' is on 'm', which is no processor"),
        (lambda d: d["task_to_pe"].update(aa="p"), "unknown task 'aa'; did you mean 'a'"),
        (lambda d: d["edge_to_mem"].pop("s->a"), "edge 's->a' is in no memory"),
        (lambda d: d["edge_to_mem"].update({"s->a": "p"}), "edge 's->a' is in 'p', which is no memory"),
        (lambda d: d["edge_to_mem"].update({"a->s": "m"}), "unknown edge 'a->s'"),
        (lambda d: d["links"].remove(["m", "b"]), "'m' is linked to no bus"),
        (lambda d: d["links"].append(["p", "m"]), "must join two buses, or a bus and another block"),
        (lambda d: d["links"].append(["p", "x"]), "unknown block 'x'"),
        (lambda d: d["blocks"].update(w=bus()) or d["links"].append(["p", "w"]), "'p' is linked to two buses"),
        (lambda d: d["blocks"]["p"].update(peak_rate=0), "block 'p': peak_rate = 0; it must be a positive number"),
        (lambda d: d["blocks"]["b"].update(peak_rate=float("inf")), "block 'b': peak_rate = inf; it must be"),
        (lambda d: d["blocks"]["p"].update(type="cpu"), "block 'p': type = 'cpu'"),
        (lambda d: d["blocks"]["m"].update(subtype="flash"), "block 'm': subtype = 'flash'"),
        (lambda d: d["blocks"]["m"].pop("work_per_m2"), "block 'm': work_per_m2 = None"),
        (lambda d: d["blocks"].update(p=ip()), "accelerator 'p' runs both 's' and 'a'"),
        (lambda d: d.pop("links"), "missing 'links'"),
        (lambda d: d.update(launch_order=["s", "a"]), "launch_order must name every task once; look at 'c'"),
        (lambda d: d.update(launch_order=["s", "a", "c", "c"]), "look at 'c'"),
    ],
)
def test_a_bad_description_is_refused_with_what_is_wrong(change, message):
    description = copy.deepcopy(system(FORK))
    change(description)
    with pytest.raises(ValueError, match=message):
        simulate(description, FORK)


def test_a_memory_that_no_bus_leads_to_is_named():
    lost = system(FORK, links=[["m", "w"]], w=bus())
    lost["links"] = [link for link in lost["links"] if link != ["w", "b"]]
    with pytest.raises(ValueError, match="task 's' has no way over buses to memory 'm'"):
        simulate(lost, FORK)


def test_an_accelerator_runs_only_the_task_in_its_name():
    own = system(FORK, i=ip(lib="a_IP0_4_8"), place={"a": "i"})
    assert simulate(own, FORK).area_by_block["i"] == pytest.approx(1e6 / 1e15)
    with pytest.raises(ValueError, match=r"accelerator 'i' \(a_IP0_4_8\) cannot run 'c'"):
        simulate(system(FORK, i=ip(lib="a_IP0_4_8"), place={"c": "i"}), FORK)


def test_a_workload_must_be_given_or_named():
    with pytest.raises(ValueError, match="it names no workload; give one"):
        simulate(system(FORK))


def test_an_unknown_model_is_refused():
    with pytest.raises(ValueError, match="model = 'farsy'; did you mean 'farsi'"):
        simulate(system(FORK), FORK, model="farsy")


# The environment ------------------------------------------------------------------------------------------------------


def make(**settings):
    return do.make("designopt/SoC-v0", **settings)


@MODELS
def test_a_batch_is_its_designs_one_by_one_and_a_copy_agrees(model):
    env = make(model=model)
    designs = np.concatenate([env.design_space.sample(20, 2), env.sample_feasible(20, 3)])
    batch = env.evaluate(designs)
    assert (batch.status == "ok").all()
    for i, design in enumerate(designs):
        one = env.evaluate(design[None])
        assert np.array_equal(one.objectives[0], batch.objectives[i])
        assert np.array_equal(one.constraints[0], batch.constraints[i])
    copied = cloudpickle.loads(cloudpickle.dumps(env))
    assert np.array_equal(copied.evaluate(designs).objectives, batch.objectives)


@pytest.mark.parametrize("pes", [1, 3, None])
def test_repair_gives_valid_designs_and_leaves_valid_ones_alone(pes):
    env = make(pes=pes)
    designs = env.design_space.sample(500, 4)
    repaired = env.repair(designs)
    env.design_space.validate(repaired)
    assert (env.coding.violations(repaired) == 0).all()
    assert np.array_equal(env.repair(repaired), repaired)
    assert (env.coding.violations(designs) > 0).any(axis=1).mean() > 0.5


def test_invalid_designs_are_graded_and_have_the_metrics_of_the_repaired_one():
    env = make(pes=3, buses=2, memories=2)
    valid = env.initial_design()
    names = list(env.design_space.parameters)

    def changed(**values):
        design = valid.copy()
        for name, value in values.items():
            design[names.index(name)] = value
        return design

    designs = np.array([
        valid,
        changed(match_pe=1),  # nothing there
        changed(match_pe=1, median_pe=2),
        changed(match_data=1),
        changed(pe0_bus=1),  # a used block on a bus that is not there
        changed(pe0=2),  # an accelerator for all eight tasks
        changed(pe1=2, match_pe=1, median_pe=1),
        changed(mem1=1, mem1_bus=1, bus1_width=32, match_data=1),  # match writes it, aggregate reads it
        changed(mem1=1, mem1_bus=1, bus1_width=32, bus1_up=1, match_data=1),
    ])  # fmt: skip
    evaluation = env.evaluate(designs)
    structure = evaluation.constraints[:, :3].tolist()
    assert structure == [
        [0, 0, 0], [1, 0, 0], [2, 0, 0], [1, 0, 0], [1, 0, 0], [0, 7, 0], [0, 1, 0], [0, 0, 2], [0, 0, 0],
    ]  # fmt: skip
    again = env.evaluate(env.repair(designs))
    assert np.array_equal(again.objectives, evaluation.objectives)
    whole = make(pes=3, buses=2, memories=2, repair=True).evaluate(designs)
    assert np.array_equal(whole.objectives, evaluation.objectives)
    assert [c.name for c in make(repair=True).constraints] == ["latency", "power", "area"]


def test_budgets_are_constraints_in_their_units_and_scale():
    env = make(latency_budget_s=0.02, power_budget_w=0.1, area_budget_m2=1e-5, goal="latency")
    evaluation = env.evaluate(env.sample_feasible(50, 5))
    limits = {"latency": 0.02, "power": 0.1, "area": 1e-5}
    assert {c.name: c.scale for c in env.constraints[3:]} == limits
    metrics = evaluation.metrics
    expected = [evaluation.objectives[:, 0] - 0.02, metrics["power_w"] - 0.1, metrics["area_m2"] - 1e-5]
    assert np.allclose(evaluation.constraints[:, 3:].T, expected, rtol=1e-12, atol=0)
    assert [c.name for c in make(model="farsi").constraints] == ["unplaced", "unfit", "unreachable", "latency"]


def test_goals_are_functions_of_the_metrics():
    designs = make().sample_feasible(30, 6)
    latency = make(goal="latency").evaluate(designs)
    time, energy = latency.objectives[:, 0], latency.metrics["energy_j"]
    assert np.array_equal(make(goal="energy").evaluate(designs).objectives[:, 0], energy)
    assert np.array_equal(make(goal="edp").evaluate(designs).objectives[:, 0], energy * time)
    assert np.array_equal(make(goal="pareto").evaluate(designs).objectives, np.stack([time, energy], axis=1))
    budget = make(goal="budget", latency_budget_s=0.3, power_budget_w=0.2, area_budget_m2=4e-6)
    assert [c.name for c in budget.constraints] == ["unplaced", "unfit", "unreachable"]
    pairs = (time, 0.3), (latency.metrics["power_w"], 0.2), (latency.metrics["area_m2"], 4e-6)
    expected = sum(np.where(v <= b, 1e-9, np.abs(v - b) / b) for v, b in pairs)
    assert budget.evaluate(designs).objectives[:, 0] == pytest.approx(expected)
    assert latency.metrics["average_power_w"] == pytest.approx(energy / time)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"model": "gem5"}, "model = 'gem5'; allowed: corrected, farsi"),
        ({"goal": "speed"}, "goal = 'speed'"),
        ({"pes": 0}, "pes = 0; it must be from 1 to 32"),
        ({"power_budget_w": -1.0}, "power_budget_w = -1.0; it must be positive and finite"),
        (
            {"workload": "edge_detecton"},
            "'edge_detecton' is neither a folder nor a known name; did you mean 'edge_dete",
        ),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        make(**arguments)


def test_a_step_names_the_cost_model():
    env = make(model="farsi")
    *_, info = env.step(env.action_space.sample())
    assert info["cost_model"].startswith("FARSI")


# What a guided search asks --------------------------------------------------------------------------------------------


def test_the_blame_of_the_smallest_design_is_on_what_limits_it():
    env = make()
    blame = env.bottlenecks(env.initial_design())
    assert set(blame) == {"latency"}, "only the deadline is missed"
    weight, shares = blame["latency"]
    latency = env.evaluate(env.initial_design()[None]).metrics["latency_s"][0]
    assert weight == pytest.approx(latency / 0.033 - 1)
    assert shares.sum() == pytest.approx(1)
    assert env.graph.tasks[shares.sum(axis=1).argmax()] == "match"
    assert shares.sum(axis=0).argmax() == 0, "the core"


def test_blame_of_energy_adds_up_to_where_it_went():
    env = make(latency_budget_s=10.0, power_budget_w=10.0, area_budget_m2=1.0)
    design = env.sample_feasible(1, 7)
    _, _, cost = env.simulate(design)
    energy = np.concatenate(cost.energy, axis=1)[0]
    blame = env.bottlenecks(design[0])
    assert set(blame) == {"latency", "energy"}
    used = blame["energy"][1].sum(axis=0)
    assert used[used > 0] == pytest.approx((energy / energy[used > 0].sum())[used > 0])


def test_moves_are_valid_and_change_the_design_and_the_first_helps():
    env = make()
    design = env.initial_design()
    match = env.graph.tasks.index("match")
    before = env.evaluate(design[None]).metrics["latency_s"][0]
    for block in (0, 8, 11):
        moves = env.moves(design, "latency", match, block)
        assert set(moves) == {"swap", "split", "migrate"}
        for designs in moves.values():
            assert (env.coding.violations(designs) == 0).all()
            assert (designs != design).any(axis=1).all()
    split = env.moves(design, "latency", match, 0)["split"]
    assert env.evaluate(split).metrics["latency_s"].min() < 0.7 * before
    wider = env.moves(design, "latency", match, 8)["swap"]
    assert (wider[:, list(env.design_space.parameters).index("bus0_width")] >= 4).all()
    assert len(env.moves(design, "area", match, 8)["swap"]) == 0, "nothing is smaller than the smallest"
