"""The memory controller against recorded runs of DRAMSys, closed forms, and its own identities."""

import csv
import itertools
import threading

import cloudpickle
import numpy as np
import pytest

import designopt as do
from designopt import data
from designopt.envs.hardware.dram.env import BASE, canonical, dram_space

READ = "archgym/reference/dramsys_reference.csv"
MIXED = "archgym/reference/dramsys_mixed_reference.csv"
TRACES = [f"archgym/dram/traces/{name}.stl" for name in ("stream", "random", "cloud-1")]
needs_references = pytest.mark.skipif(
    not all(map(data.available, [READ, MIXED, *TRACES])), reason="recorded runs of DRAMSys are not on this machine"
)


def make(workload="synthetic-mixed", **settings):
    return do.make("designopt/DRAMController-v0", workload=str(workload), **settings)


def row(**values):
    """BASE with other values, categories by name."""
    names, space = dram_space().names, dram_space()
    design = BASE.copy()
    for name, value in values.items():
        parameter = space[name]
        design[names.index(name)] = parameter.choices.index(value) if isinstance(value, str) else value
    return design


def recorded(name):
    """-> {(memory, trace, clock): (designs (n, 10), time_ns (n,), energy_pj (n,), power_mw (n,))}."""
    groups = {}
    with data.find(name).open() as file:
        for line in csv.DictReader(file):
            power = line.get("avg_power_mw", line.get("avg_power_mW"))
            key = line["memory"], line["trace"], float(line["trace_clk_mhz"])
            values = {n: line[n] if not line[n].isdigit() else int(line[n]) for n in dram_space().names}
            numbers = [float(value or "nan") for value in (line["total_time_ns"], line["energy_pJ"], power)]
            groups.setdefault(key, []).append((row(**values), numbers))
    return {key: (np.array([d for d, _ in lines]), *np.array([n for _, n in lines]).T) for key, lines in groups.items()}


def compare(name, every=1):
    """Rows, exact times, rows with energy, energies within 1 pJ, and the largest relative errors of both."""
    rows = exact = with_energy = exact_energy = 0
    worst_time = worst_energy = worst_power = 0.0
    for (memory, trace, clock), (designs, time, energy, power) in recorded(name).items():
        folder = "traces_mixed" if trace.startswith("syn") else "traces"
        path = data.find(f"archgym/dram/{folder}/{trace}")
        env = make(path, memory=memory, trace_clock_mhz=clock, wrap_addresses=True)
        pick = slice(None, None, every)
        ours = env.outcome(designs[pick])
        time, energy, power = time[pick], energy[pick], power[pick]
        rows += len(time)
        exact += int((np.abs(ours["time_ns"] - time) <= 0.001).sum())
        worst_time = max(worst_time, np.abs(ours["time_ns"] / time - 1).max())
        known = np.isfinite(energy)
        with_energy += int(known.sum())
        close = np.abs(ours["energy_pj"] - energy)[known] <= 1
        exact_energy += int(close.sum())
        if known.any():
            worst_energy = max(worst_energy, np.abs(ours["energy_pj"] / energy - 1)[known].max())
            worst_power = max(worst_power, np.abs(ours["power_mw"] - power)[known][close].max())
    return rows, exact, with_energy, exact_energy, worst_time, worst_energy, worst_power


# Against DRAMSys ------------------------------------------------------------------------------------------------------


@needs_references
def test_times_and_energies_of_a_sample_of_recorded_runs_are_those_of_dramsys():
    rows, exact, with_energy, exact_energy, *_ = compare(READ, every=9)
    assert rows > 75
    assert (exact, exact_energy) == (rows, with_energy)


@needs_references
@pytest.mark.slow
def test_all_recorded_runs_that_only_read():
    rows, exact, with_energy, exact_energy, _, worst_energy, worst_power = compare(READ)
    assert (rows, with_energy) == (727, 687)
    assert exact >= 726
    assert exact_energy >= 680
    assert worst_energy <= 5e-4
    assert worst_power <= 0.006


@needs_references
def test_all_recorded_runs_with_writes_and_idle_gaps():
    rows, exact, with_energy, exact_energy, worst_time, worst_energy, _ = compare(MIXED)
    assert rows == with_energy == 48
    assert exact >= 0.95 * rows
    assert worst_time <= 0.01
    assert exact_energy >= 0.95 * rows
    assert worst_energy <= 0.01


@needs_references
def test_the_energy_of_the_base_design_on_the_stream_is_its_closed_form():
    outcome = make("stream").outcome(BASE[None])
    counts = [outcome[name][0] for name in ("activates", "precharges", "reads", "writes", "refreshes")]
    assert counts == [79, 71, 10_000, 0, 0]
    assert outcome["time_ns"][0] == 50_025
    assert outcome["energy_pj"][0] == 540 * 50_025 + 10_000 * 5_700 + 79 * 10_500 + 71 * 3_750 == 85_109_250


@needs_references
def test_random_reads_without_refresh_activate_and_precharge_as_often_as_in_dramsys():
    outcome = make("random").outcome(row(RefreshPolicy="NoRefresh")[None])
    assert (outcome["activates"][0], outcome["precharges"][0]) == (9_997, 9_989)
    assert outcome["energy_pj"][0] == 242_868_225


@needs_references
@pytest.mark.parametrize("postponed", range(1, 9))
def test_each_refresh_that_the_stream_cannot_postpone_costs_its_time_and_energy(postponed):
    outcome = make("stream").outcome(np.array([BASE, row(RefreshMaxPostponed=postponed)]))
    change = {name: values[1] - values[0] for name, values in outcome.items()}
    extra = max(0, 6 - postponed)
    assert change["refreshes"] == change["activates"] == extra
    assert change["time_ns"] == pytest.approx(extra * 137.5)
    each = extra * (165_000 + 10_500 + 540 * 137.5)
    assert change["energy_pj"] == pytest.approx(each + 3_750 * change["precharges"])


@needs_references
def test_a_longer_buffer_never_slows_a_trace_by_more_than_a_thousandth():
    designs = np.array([row(RequestBufferSize=n, Scheduler=s) for s in ("Fifo", "FrFcfs") for n in range(1, 9)])
    for workload in ("random", "cloud-1"):
        time = make(workload).outcome(designs)["time_ns"].reshape(2, 8)
        assert (time[:, 1:] <= time[:, :-1] * 1.001).all()


# Closed forms of single requests --------------------------------------------------------------------------------------


def run(tmp_path, text, memory="ddr3", clock=800, **values):
    path = tmp_path / "trace.stl"
    path.write_text(text)
    outcome = make(path, memory=memory, trace_clock_mhz=clock).outcome(row(**values)[None])
    return {name: value[0] for name, value in outcome.items()}


def cycles(*args, memory="ddr3", **kwargs):
    clock = {"ddr3": 1.25, "ddr4": 0.833, "lpddr4": 0.625}[memory]
    return round(run(*args, memory=memory, **kwargs)["time_ns"] / clock, 6)


@pytest.mark.parametrize(
    ("memory", "read", "write"),
    # ACT, RCD, then the latency to the end of the data (LPDDR4: + DQSCK or DQSS + DQS2DQ, and 3 for the last edge).
    [
        ("ddr3", 10 + 10 + 4, 10 + 8 + 4),
        ("ddr4", 16 + 16 + 4, 16 + 16 + 4),
        ("lpddr4", 29 + 28 + 6 + 8 + 3, 29 + 14 + 1 + 2 + 8 + 3),
    ],
)
def test_one_request_takes_activation_and_latency(tmp_path, memory, read, write):
    assert cycles(tmp_path, "0: read 0x0\n", memory=memory) == read
    assert cycles(tmp_path, "0: write 0x0\n", memory=memory) == write


def test_a_request_is_not_served_before_its_time_rounded_up_to_the_controllers_clock(tmp_path):
    assert cycles(tmp_path, "100: read 0x0\n", clock=1000) == 80 + 24
    assert cycles(tmp_path, "101: read 0x0\n", clock=1000) == 81 + 24


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0: read 0x0\n1: read 0x40\n", 24 + 4),  # row hit: CCD
        ("0: read 0x0\n1: read 0x2000\n", 24 + 5),  # another bank: RRD
        ("0: read 0x0\n1: read 0x10000\n", 38 + 24),  # another row of the bank: RAS + RP = RC
        ("0: write 0x0\n1: read 0x40\n", 10 + 8 + 4 + 6 + 14),  # WL + B + WTR between write and read
        ("0: read 0x0\n1: write 0x40\n", 10 + 8 + 12),  # RL + B + 2 - WL between read and write
        ("0: write 0x0\n1: read 0x10000\n", 10 + 24 + 10 + 24),  # RCD + WL + B + WR, RP, then a read
    ],
)
def test_two_requests_keep_the_distance_of_their_commands(tmp_path, text, expected):
    assert cycles(tmp_path, text) == expected


def test_a_fifth_activation_waits_for_the_four_activation_window(tmp_path):
    text = "".join(f"{i}: read {i << 13:#x}\n" for i in range(5))
    assert cycles(tmp_path, text) == 24 + 24


def test_page_policies_differ_in_who_precharges(tmp_path):
    text = "0: read 0x0\n1: read 0x40\n2: read 0x10000\n"
    pre = {policy: run(tmp_path, text, PagePolicy=policy)["precharges"] for policy in ("Open", "Closed")}
    assert pre == {"Open": 1, "Closed": 3}
    assert run(tmp_path, text, PagePolicy="ClosedAdaptive")["precharges"] == 2
    assert run(tmp_path, text, PagePolicy="ClosedAdaptive")["activates"] == 2
    assert run(tmp_path, text, PagePolicy="OpenAdaptive")["precharges"] == 1


def test_first_ready_scheduling_serves_a_row_hit_before_an_older_miss(tmp_path):
    text = "0: read 0x0\n1: read 0x10000\n2: read 0x40\n"
    assert run(tmp_path, text, Scheduler="FrFcfs")["activates"] == 2
    assert run(tmp_path, text, Scheduler="Fifo")["activates"] == 3


def test_grouping_scheduler_prefers_the_direction_of_the_bus_unless_the_address_was_asked_before(tmp_path):
    text = "0: read 0x0\n1: write 0x40\n2: read 0x80\n3: write 0xc0\n4: read 0x100\n"
    grouped, plain = (run(tmp_path, text, Scheduler=s)["time_ns"] for s in ("FrFcfsGrp", "FrFcfs"))
    assert grouped < plain
    hazard = text.replace("0x80", "0x40").replace("0x100", "0xc0")
    assert run(tmp_path, hazard, Scheduler="FrFcfsGrp")["time_ns"] > grouped


def test_one_active_transaction_makes_every_request_wait_for_the_response_before(tmp_path):
    text = "0: read 0x0\n1: read 0x40\n2: read 0x80\n"
    assert cycles(tmp_path, text, Arbiter="Fifo", MaxActiveTransactions=1) == 24 + 14 + 14
    assert cycles(tmp_path, text, Arbiter="Fifo", MaxActiveTransactions=128) == 24 + 4 + 4


def test_ordered_responses_leave_one_a_cycle_behind_a_late_first(tmp_path):
    # The row hit 0x40 overtakes 0x10000, whose data are last; in order it answers one cycle after that.
    text = "0: read 0x0\n1: read 0x10000\n2: read 0x40\n"
    assert cycles(tmp_path, text, RespQueue="Reorder") == cycles(tmp_path, text) + 1
    assert cycles(tmp_path, text, Arbiter="Reorder") == cycles(tmp_path, text) + 1


def test_idle_time_is_used_to_refresh_ahead(tmp_path):
    # Due four times before the second request. Each due time repeats until as many are pulled in as allowed.
    text = "0: read 0x0\n30000: read 0x0\n"
    counts = [run(tmp_path, text, RefreshMaxPulledin=p)["refreshes"] for p in (1, 4, 8)]
    assert counts == [5, 8, 12]
    assert run(tmp_path, text, RefreshPolicy="NoRefresh")["refreshes"] == 0


# Identities -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workload", ["synthetic-mixed", "synthetic-bursty", "synthetic-pointer-chase"])
@pytest.mark.parametrize("memory", ["ddr3", "ddr4", "lpddr4"])
def test_designs_with_the_same_canonical_form_give_the_same_counts(workload, memory):
    env = make(workload, memory=memory, requests=300, memoise=False)
    designs = dram_space().sample(60, 1).astype(np.int64)
    same = canonical(designs, read_only=not env.trace.writes.any())
    assert (same != designs).any()
    assert np.array_equal(env.simulate(designs), env.simulate(same))


def test_the_canonical_form_is_its_own_canonical_form_and_leaves_64736_of_the_published_list():
    space = dram_space("rl")
    lists = [p.values if hasattr(p, "values") else range(len(p.choices)) for p in space.parameters.values()]
    designs = np.array(list(itertools.product(*lists)), dtype=np.int64)
    assert len(designs) == 442_368
    distinct = np.unique(canonical(designs, read_only=True), axis=0)
    assert len(distinct) == 64_736
    assert np.array_equal(canonical(distinct, read_only=True), distinct)


def test_the_ranges_have_the_published_numbers_of_designs():
    def size(ranges):
        sizes = [
            len(getattr(p, "values", ())) or len(getattr(p, "choices", ())) or p.high - p.low + 1
            for p in dram_space(ranges).parameters.values()
        ]
        return int(np.prod(sizes))

    assert [size(r) for r in ("full", "aco", "rl")] == [28_311_552, 1_769_472, 442_368]


def test_a_batch_equals_its_designs_one_by_one_to_the_last_bit_with_and_without_memory():
    designs = dram_space().sample(40, 2)
    designs = np.r_[designs, designs[:5]]
    batch = make(requests=500).evaluate(designs)
    for memoise in (True, False):
        env = make(requests=500, memoise=memoise)
        for k, design in enumerate(designs):
            one = env.evaluate(design[None])
            assert one.objectives[0, 0] == batch.objectives[k, 0]
            assert {n: v[0] for n, v in one.metrics.items()} == {n: v[k] for n, v in batch.metrics.items()}


def test_threads_that_share_an_environment_get_the_results_of_one():
    env, designs = make(requests=500), dram_space().sample(24, 3)
    expected = make(requests=500).evaluate(designs).metrics["energy_pj"]
    found = {}

    def work(k):
        order = np.random.default_rng(k).permutation(len(designs))
        found[k] = env.evaluate(designs[order]).metrics["energy_pj"][np.argsort(order)]

    threads = [threading.Thread(target=work, args=(k,)) for k in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 6
    assert all(np.array_equal(values, expected) for values in found.values())


def test_a_copy_for_another_process_agrees_and_carries_no_memory():
    env, designs = make(requests=200), dram_space().sample(5, 4)
    fresh = cloudpickle.dumps(env)
    before = env.evaluate(designs).objectives
    assert cloudpickle.dumps(env) == fresh
    copy = cloudpickle.loads(fresh)
    assert np.array_equal(copy.evaluate(designs).objectives, before)


@pytest.mark.parametrize("workload", ["synthetic-strided", "synthetic-random", "synthetic-bursty", "synthetic-mixed"])
def test_every_request_is_served_once_and_every_activation_is_closed_or_open_at_the_end(workload):
    outcome = make(workload, requests=400).outcome(dram_space().sample(50, 5).astype(np.int64))
    trace = make(workload, requests=400).trace
    assert (outcome["writes"] == trace.writes.sum()).all()
    assert (outcome["reads"] == (~trace.writes).sum()).all()
    still_open = outcome["activates"] - outcome["precharges"]
    assert ((still_open >= 0) & (still_open <= 8)).all()
    assert (outcome["time_ns"] >= 400 * 4 * 1.25).all()  # the data bus carries one burst in four cycles


# Goals ----------------------------------------------------------------------------------------------------------------


def test_goals_are_functions_of_the_metrics():
    designs = dram_space().sample(20, 6)
    metrics = make(requests=300).evaluate(designs).metrics
    time, energy, power = metrics["time_ns"], metrics["energy_pj"], metrics["power_mw"]
    expected = {"latency": time, "energy": energy, "power": power, "edp": energy * time}
    for goal, values in expected.items():
        assert np.array_equal(make(requests=300, goal=goal).evaluate(designs).objectives[:, 0], values)
    raw = make(requests=300, goal="raw")
    assert [o.name for o in raw.objectives] == ["time_ns", "energy_pj"]
    assert np.array_equal(raw.evaluate(designs).objectives, np.stack([time, energy], axis=1))


def test_joint_goal_adds_relative_excesses_over_both_targets_and_is_zero_when_both_are_met():
    designs = dram_space().sample(20, 6)
    env = make(requests=300, goal="joint", target_power_mw=2000.0, target_time_ns=5000.0)
    evaluation = env.evaluate(designs)
    power, time = evaluation.metrics["power_mw"], evaluation.metrics["time_ns"]
    excess = np.maximum(power / 2000 - 1, 0) + np.maximum(time / 5000 - 1, 0)
    assert evaluation.objectives[:, 0] == pytest.approx(excess)
    easy = make(requests=300, goal="joint", target_power_mw=1e6, target_time_ns=1e9)
    assert (easy.evaluate(designs).objectives == 0).all()


def test_the_default_time_target_is_five_percent_above_the_base_design():
    env = make(requests=300, goal="joint")
    assert env.target_time_ns == pytest.approx(1.05 * env.outcome(BASE[None])["time_ns"][0])


@pytest.mark.parametrize("goal", ["latency", "power", "joint"])
def test_the_published_reward_is_maximised_and_finite_at_its_target(goal):
    design = dram_space().sample(1, 7)
    metrics = make(requests=300).evaluate(design).metrics
    time, power = metrics["time_ns"][0], metrics["power_mw"][0]
    env = make(requests=300, goal=goal, compat="archgym", target_power_mw=900.0)
    assert env.objectives[0].sense == "max"
    rewards = {"latency": 1e8 / abs(1e8 - time), "power": 900 / abs(900 - power)}
    rewards["joint"] = rewards["latency"] * rewards["power"]
    assert env.evaluate(design).objectives[0, 0] == pytest.approx(rewards[goal])
    at_target = make(requests=300, goal=goal, compat="archgym", target_power_mw=power, target_time_ns=time)
    assert np.isfinite(at_target.evaluate(design).objectives).all()


def test_a_reliable_memory_refuses_no_refresh_as_a_violated_constraint():
    env = make(requests=200, reliable=True)
    evaluation = env.evaluate(np.array([BASE, row(RefreshPolicy="NoRefresh")], dtype=float))
    assert evaluation.feasible.tolist() == [True, False]
    assert (evaluation.status == "ok").all()
    assert make(requests=200).constraints == ()


def test_a_step_says_which_model_its_numbers_are_of():
    env = make(requests=100)
    *_, info = env.step(env.action_space.sample())
    assert info["cost_model"].startswith("designopt DRAM")
    assert info["metrics"]["time_ns"] > 0
