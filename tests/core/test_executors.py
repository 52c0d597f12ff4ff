"""Executors against real processes that raise, hang, crash, eat memory, flood their output and are killed."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import cloudpickle
import numpy as np
import psutil
import pytest

from designopt import Categorical, Constraint, DesignEnv, DesignSpace, Evaluation, InvalidDesign, Objective, Real
from designopt.executors import ProcessExecutor, RayExecutor, SerialExecutor, evaluate_safely, make_executor
from designopt.executors.base import CHUNK_ROWS, Pace
from designopt.executors.pool import Schedule, Trouble

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import test modules

DEADLINE = 60.0


class Sphere(DesignEnv):
    """Pure; its metric tells how many designs came together."""

    design_space = DesignSpace(x=Real(-5, 5), y=Real(-5, 5))
    objectives = (Objective("f"),)
    constraints = (Constraint("g"),)

    def evaluate(self, designs):
        f = (designs**2).sum(axis=1)
        return Evaluation(f[:, None], (f - 10)[:, None], metrics={"together": np.full(len(designs), len(designs))})


FAULTS = (
    "fine",
    "raises",
    "invalid",
    "nan",
    "exits_politely",
    "wrong_type",
    "wrong_objectives",
    "wrong_constraints",
    "unpicklable",
    "hangs",
    "hogs_memory",
    "floods",
    "reads_input",
    "dies",
    "kills_its_group",
)
DEADLY = ("hangs", "hogs_memory", "floods", "reads_input", "dies", "kills_its_group", "unpicklable")


class Faulty(DesignEnv):
    """Goes wrong as the design says; leaves the pids of the processes that it started in ``directory``."""

    design_space = DesignSpace(fault=Categorical(FAULTS), x=Real(0, 1))
    objectives = (Objective("f"),)

    def __init__(self, directory):
        super().__init__()
        self.directory = directory

    def evaluate(self, designs):
        faults = [FAULTS[int(i)] for i in designs[:, 0]]
        f = designs[:, 1].copy()[:, None]
        result = Evaluation(f, metrics={"pid": np.full(len(f), os.getpid()), "together": np.full(len(f), len(f))})
        for i, fault in enumerate(faults):
            if fault == "raises":
                raise KeyError("broken")
            if fault == "invalid":
                raise InvalidDesign("beam thicker than long")
            if fault == "exits_politely":
                sys.exit(3)
            if fault == "nan":
                f[i] = np.nan
                result = Evaluation(f)
            if fault == "wrong_type":
                return {"f": f}
            if fault == "wrong_objectives":
                return Evaluation(np.zeros((len(f), 3)))
            if fault == "wrong_constraints":
                return Evaluation(f, np.zeros((len(f), 2)))
            if fault == "unpicklable":
                result.metrics = {"lock": np.array([threading.Lock()] * len(f), dtype=object)}
            if fault == "hangs":
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
                self.start_grandchildren(stubborn=True)
                while True:
                    time.sleep(1)
            if fault == "hogs_memory":
                hoard = []
                while True:
                    hoard.append(np.ones(2_000_000))
                    time.sleep(0.01)
            if fault == "floods":
                for _ in range(200):
                    os.write(1, b"x" * 10_000 + b"\n")
                    print("y" * 10_000)
            if fault == "reads_input":
                f[i] = len(sys.stdin.read())
            if fault == "dies":
                self.start_grandchildren()
                os._exit(7)
            if fault == "kills_its_group":
                self.start_grandchildren()
                os.killpg(0, signal.SIGKILL)
        return result

    def start_grandchildren(self, stubborn=False):
        """One in the evaluator's group, one that left it and may ignore SIGTERM, one whose parent is gone."""
        plain = subprocess.Popen(["sleep", "600"])
        ignore = "trap '' TERM; " if stubborn else ""
        left = subprocess.Popen(["sh", "-c", f"{ignore}exec sleep 600"], start_new_session=True)
        orphan = int(subprocess.check_output("sleep 600 >/dev/null 2>&1 & echo $!", shell=True))
        pids = f"{plain.pid} {left.pid} {orphan}"
        (Path(self.directory) / f"{os.getpid()}.pids").write_text(pids)


class Waits(DesignEnv):
    """x > 0 waits until a file is there; every call leaves a file of its own."""

    design_space = DesignSpace(x=Real(-1, 1))
    objectives = (Objective("f"),)

    def __init__(self, directory):
        super().__init__()
        self.directory = Path(directory)

    def evaluate(self, designs):
        (self.directory / f"call-{os.getpid()}-{time.monotonic_ns()}").touch()
        while (designs > 0).any() and not (self.directory / "go").exists():
            time.sleep(0.01)
        return Evaluation(designs.copy())


class Naps(Sphere):
    """Every evaluation takes longer than a chunk should."""

    def evaluate(self, designs):
        time.sleep(0.12 * len(designs))
        return super().evaluate(designs)


class BadLoad(Sphere):
    """Runs a statement when it is loaded by a worker."""

    def __init__(self, statement):
        super().__init__()
        self.statement = statement

    def __reduce__(self):
        return exec, (self.statement,)


def faults(*names):
    return np.array([[FAULTS.index(name), 0.5] for name in names])


def collect(executor, n):
    """-> order -> (row of the evaluation, worker), once n designs are back; an order that comes twice is an error."""
    rows, deadline = {}, time.monotonic() + DEADLINE
    while len(rows) < n and time.monotonic() < deadline:
        for finished in executor.wait(1.0):
            for i, order in enumerate(finished.orders):
                assert order not in rows
                rows[int(order)] = finished.evaluation[i], finished.worker
    assert len(rows) == n
    return rows


def wait_until(condition):
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def running(pid):
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


def pids_in(directory):
    return [int(pid) for path in Path(directory).glob("*.pids") for pid in path.read_text().split()]


def pid_of(worker):
    return int(re.search(r"\((\d+)\)", worker)[1])


# The guarded call and the serial executor ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "status", "error"),
    [
        ("raises", "failed", "KeyError: 'broken'"),
        ("invalid", "invalid", "beam thicker than long"),
        ("exits_politely", "failed", "SystemExit: 3"),
        ("nan", "invalid", "NaN or inf in an objective or constraint"),
        ("wrong_type", "failed", "TypeError: Faulty.evaluate returned dict; it must return an Evaluation"),
        (
            "wrong_objectives",
            "failed",
            "ValueError: Faulty.evaluate returned objectives of shape (1, 3); wanted (1, 1)",
        ),
        (
            "wrong_constraints",
            "failed",
            "ValueError: Faulty.evaluate returned constraints of shape (1, 2); wanted (1, 0)",
        ),
    ],
)
def test_blame_falls_on_the_guilty_row_of_a_batch(tmp_path, fault, status, error):
    result = evaluate_safely(Faulty(tmp_path), faults("fine", fault, "fine"))
    assert list(result.status) == ["ok", status, "ok"]
    assert list(result.errors) == ["", error, ""]
    assert list(result.objectives[[0, 2], 0]) == [0.5, 0.5]
    assert (result.seconds > 0).all()


def test_seconds_of_a_batch_are_spread_over_its_rows():
    started = time.perf_counter()
    result = evaluate_safely(Naps(), np.zeros((2, 2)))
    assert result.seconds.sum() <= time.perf_counter() - started
    assert (result.seconds >= 0.12).all()
    assert result.seconds[0] == result.seconds[1]


def test_an_evaluator_may_work_in_place_and_keep_its_result():
    class InPlace(Sphere):
        kept = Evaluation([[1.0]], [[0.0]])

        def evaluate(self, designs):
            designs[:] = 0
            return self.kept

    designs = np.ones((1, 2))
    with SerialExecutor(InPlace()) as executor:
        executor.submit([0, 1], np.ones((2, 2)))
        (first,) = executor.wait()
        seconds = first.evaluation.seconds.copy()
        (second,) = executor.wait()
    assert (evaluate_safely(InPlace(), designs).objectives == 1).all()
    assert (designs == 1).all()
    assert (first.designs == 1).all()
    assert (first.evaluation.seconds == seconds).all()
    assert (second.evaluation.seconds != seconds).all()


def test_serial_evaluates_in_the_order_of_submission():
    designs = Sphere.design_space.sample(70, seed=0)
    executor = SerialExecutor(Sphere())
    executor.submit(np.arange(0, 140, 2), designs)
    executor.submit([7], designs[:1])
    executor.submit([], np.zeros((0, 2)))
    parts = []
    while finished := executor.wait():
        parts += finished
    assert [order for part in parts for order in part.orders] == [*range(0, 140, 2), 7]
    assert np.concatenate([p.designs for p in parts]) == pytest.approx(np.concatenate([designs, designs[:1]]))
    got = Evaluation.concatenate(p.evaluation for p in parts)
    assert got.objectives[:70] == pytest.approx(Sphere().evaluate(designs).objectives)
    assert {p.worker for p in parts} == {"serial"}
    assert executor.capacity == executor.workers == 1


def test_serial_evaluates_short_designs_together_and_long_ones_alone():
    executor = SerialExecutor(Sphere())
    executor.submit(np.arange(64), np.zeros((64, 2)))
    assert len(executor.wait()[0].orders) == 1
    assert len(executor.wait()[0].orders) == 2
    slow = SerialExecutor(Naps())
    slow.submit(np.arange(3), np.zeros((3, 2)))
    assert [len(slow.wait()[0].orders) for _ in range(3)] == [1, 1, 1]


def test_chunks_double_at_most_shrink_at_once_and_are_bounded():
    pace = Pace()
    sizes = []
    for _ in range(12):
        sizes.append(pace.chunk)
        pace.measured(1e-6)
    assert sizes[:6] == [1, 2, 4, 8, 16, 32]
    assert sizes[-1] == CHUNK_ROWS
    pace.measured(0.02)
    assert pace.chunk == 5
    pace.measured(30.0)
    assert pace.chunk == 1


def test_a_chunk_leaves_time_to_spare_before_the_time_limit():
    pace = Pace(timeout=0.05)
    for _ in range(8):
        pace.measured(0.005)
    assert pace.chunk == 5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"workers": 0}, "workers = 0; at least 1 is needed"),
        ({"timeout": 0}, "timeout = 0; it must be positive"),
        ({"timeout": float("nan")}, "timeout = nan; it must be positive"),
        ({"memory_mb": -5}, "memory_mb = -5; it must be positive"),
        ({"retries": -1}, "retries = -1; it must be 0 or more"),
        ({"kind": "threads"}, "kind = 'threads'; allowed: auto, serial, process, ray"),
        ({"kind": "serial", "timeout": 1}, "kind = 'serial' evaluates one design at a time without limits"),
        ({"kind": "serial", "memory_mb": 1}, "kind = 'serial' evaluates one design at a time without limits"),
        ({"kind": "serial", "workers": 2}, "kind = 'serial' evaluates one design at a time without limits"),
        ({"kind": "process", "address": "a:1"}, "address = 'a:1' is of a Ray cluster, but kind = 'process'"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        make_executor(Sphere(), **arguments)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        ({}, SerialExecutor),
        ({"workers": 2}, ProcessExecutor),
        ({"timeout": 9.0}, ProcessExecutor),
        ({"memory_mb": 900}, ProcessExecutor),
        ({"kind": "process"}, ProcessExecutor),
        ({"address": "host:6379"}, RayExecutor),
        ({"kind": "ray"}, RayExecutor),
    ],
)
def test_auto_picks_the_simplest_executor_that_can(monkeypatch, arguments, kind):
    made = []
    for each in (ProcessExecutor, RayExecutor):
        monkeypatch.setattr(each, "__init__", lambda self, *args, **kwargs: made.append((args[1], kwargs)))
    executor = make_executor(Sphere(), **arguments)
    assert type(executor) is kind
    for workers, passed in made:
        given = {"workers": workers, **passed}
        assert given == {"workers": 1, "timeout": None, "memory_mb": None, "retries": 2} | (
            {"address": None} if kind is RayExecutor else {}
        ) | {name: value for name, value in arguments.items() if name != "kind"}


def test_an_executor_says_how_to_make_its_like():
    serial = make_executor(Sphere())
    assert (serial.kind, serial.workers, dict(serial.limits)) == ("serial", 1, {})
    limits = {"timeout": 9.0, "memory_mb": 900.0, "retries": 5}
    with make_executor(Sphere(), workers=2, **limits) as executor:
        assert (executor.kind, executor.workers, dict(executor.limits)) == ("process", 2, limits)


def test_an_environment_that_cannot_be_sent_is_refused():
    env = Sphere()
    env.lock = threading.Lock()
    with pytest.raises(ValueError, match="Sphere cannot be sent to workers: TypeError: cannot pickle"):
        make_executor(env, workers=2)


# The schedule: who gets what, and what happens after trouble --------------------------------------------------------


def schedule(workers=1, retries=2, chunk=1, rows=0):
    pace = Pace()
    while pace.chunk < chunk:
        pace.measured(0.1 / chunk)
    plan = Schedule(Sphere(), workers, retries, pace)
    plan.add(np.arange(rows), np.zeros((rows, 2)))
    return plan


def orders(rows):
    return [row.order for row in rows]


def test_a_chunk_is_not_more_than_a_fair_share_of_what_waits():
    plan = schedule(workers=4, chunk=16, rows=12)
    assert [orders(plan.take()) for _ in range(3)] == [[0, 1, 2], [3, 4, 5], [6, 7]]
    plan = schedule(workers=2, chunk=4, rows=100)
    assert orders(plan.take()) == [0, 1, 2, 3]


@pytest.mark.parametrize("status", ["lost", "timeout", "failed"])
def test_a_chunk_that_came_to_nothing_is_tried_one_by_one_without_charge(status):
    plan = schedule(chunk=4, rows=6)
    chunk = plan.take()
    assert plan.settle(chunk, Trouble(status, "why", 0.1), "w") is None
    assert [orders(plan.take()) for _ in range(4)] == [[0], [1], [2], [3]]
    assert [row.attempts for row in chunk] == [1, 1, 1, 1]
    assert orders(plan.take()) == [4, 5][: plan.pace.chunk]
    assert plan.unfinished == 6


def test_a_lost_design_is_retried_and_then_reported():
    plan = schedule(retries=2, rows=1)
    for _ in range(2):
        assert plan.settle(plan.take(), Trouble("lost", "crash", 0.1), "w") is None
    finished = plan.settle(plan.take(), Trouble("lost", "crash", 0.25), "w")
    assert finished.evaluation.status[0] == "lost"
    assert finished.evaluation.attempts[0] == 3
    assert finished.evaluation.seconds[0] == 0.25
    assert finished.evaluation.errors[0] == "crash"
    assert finished.evaluation.constraints.shape == (1, 1)
    assert plan.unfinished == 0


@pytest.mark.parametrize("status", ["timeout", "failed"])
def test_limits_are_not_retried(status):
    plan = schedule(rows=1)
    assert plan.settle(plan.take(), Trouble(status, "limit", 1.0), "w").evaluation.status[0] == status


def test_a_timeout_ends_chunking():
    plan = schedule(chunk=8, rows=8)
    plan.settle(plan.take(), Trouble("timeout", "limit", 1.0), "w")
    assert plan.pace.chunk == 1


# Worker processes ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def aftermath(tmp_path_factory):
    """Every fault but hunger evaluated: fault -> evaluation, all pids left behind, those still alive."""
    directory = tmp_path_factory.mktemp("pids")
    with make_executor(Faulty(directory), workers=2, timeout=2.0, retries=1) as executor:
        chosen = [fault for fault in FAULTS if fault != "hogs_memory"]
        executor.submit(np.arange(len(chosen)), faults(*chosen))
        rows = collect(executor, len(chosen))
        left = pids_in(directory)
        alive = [pid for pid in left if running(pid)]
    return {fault: rows[i][0] for i, fault in enumerate(chosen)}, left, alive


def test_what_serial_survives_has_the_same_outcome_in_a_process(aftermath, tmp_path):
    for fault, got in aftermath[0].items():
        if fault not in DEADLY:
            wanted = evaluate_safely(Faulty(tmp_path), faults(fault))
            assert got.status == wanted.status
            assert got.errors == wanted.errors
            assert got.attempts[0] == 1


def test_a_hanging_simulator_is_killed_at_the_time_limit(aftermath):
    got = aftermath[0]["hangs"]
    assert got.status[0] == "timeout"
    assert got.errors[0] == "killed after the time limit of 2 s"
    assert got.seconds[0] >= 2.0


def test_a_memory_hog_is_killed_and_told_its_limit(tmp_path):
    with make_executor(Faulty(tmp_path), memory_mb=300) as executor:
        executor.submit([0, 1], faults("hogs_memory", "fine"))
        rows = collect(executor, 2)
    assert rows[1][0].status[0] == "ok"
    got = rows[0][0]
    assert got.attempts[0] == 1
    assert got.status[0] == "failed"
    used = re.fullmatch(r"killed at (\d+) MB; the memory limit is 300 MB", got.errors[0])
    assert int(used[1]) >= 300  # rounded


def test_a_flood_of_output_blocks_and_corrupts_nothing(aftermath):
    assert aftermath[0]["floods"].status[0] == "ok"
    assert aftermath[0]["floods"].objectives[0, 0] == 0.5


def test_a_simulator_that_reads_standard_input_finds_it_empty(aftermath):
    assert aftermath[0]["reads_input"].status[0] == "ok"
    assert aftermath[0]["reads_input"].objectives[0, 0] == 0


@pytest.mark.parametrize(("fault", "how"), [("dies", "exited with code 7"), ("kills_its_group", "killed by signal 9")])
def test_a_design_that_kills_its_worker_is_lost_after_its_retries(aftermath, fault, how):
    got = aftermath[0][fault]
    assert got.status[0] == "lost"
    assert got.attempts[0] == 2
    assert how in got.errors[0]


def test_a_result_that_cannot_be_sent_is_a_failure(aftermath):
    got = aftermath[0]["unpicklable"]
    assert got.status[0] == "failed"
    assert got.errors[0].startswith("the result cannot be sent back: TypeError: cannot pickle")


def test_nothing_that_a_killed_or_crashed_simulator_started_is_left(aftermath):
    _, left, alive = aftermath
    assert len(left) >= 3 * 5  # once for hanging, twice for each of two crashes; more when they came in a chunk
    assert alive == []


def test_processes_give_the_results_of_serial_evaluation_in_fewer_messages():
    designs = Sphere.design_space.sample(300, seed=1)
    wanted = evaluate_safely(Sphere(), designs)
    with make_executor(Sphere(), workers=2) as executor:
        assert executor.capacity == executor.workers == 2
        executor.submit(np.arange(300), designs)
        rows = collect(executor, 300)
        assert executor.capacity > 8
        assert executor.wait() == []
    together = [rows[i][0].metrics["together"][0] for i in range(300)]
    assert max(together) > 8
    for i in range(300):
        assert rows[i][0].objectives == wanted.objectives[i]
        assert rows[i][0].constraints == wanted.constraints[i]


def test_slow_evaluations_travel_alone():
    with make_executor(Naps(), workers=2) as executor:
        executor.submit(np.arange(8), np.zeros((8, 2)))
        rows = collect(executor, 8)
        assert executor.capacity == 2
    assert {row.metrics["together"][0] for row, _ in rows.values()} == {1}
    assert {worker.split()[0] for _, worker in rows.values()} == {"process-0", "process-1"}


def test_a_slow_design_does_not_hold_up_quick_ones(tmp_path):
    with make_executor(Waits(tmp_path), workers=2) as executor:
        executor.submit(np.arange(6), np.array([[1.0], [-1], [-1], [-1], [-1], [-1]]))
        assert set(collect(executor, 5)) == {1, 2, 3, 4, 5}
        assert executor.wait(0) == []
        (tmp_path / "go").touch()
        assert set(collect(executor, 1)) == {0}


@pytest.mark.parametrize(("fault", "status", "attempts"), [("dies", "lost", 2), ("hangs", "timeout", 1)])
def test_neighbours_of_a_fatal_design_in_a_chunk_are_not_charged(tmp_path, fault, status, attempts):
    with make_executor(Faulty(tmp_path), kind="process", timeout=1.0, retries=1) as executor:
        executor.submit(np.arange(31), faults(*["fine"] * 31))
        collect(executor, 31)
        executor.submit(np.arange(8), faults("fine", "fine", "fine", fault, "fine", "fine", "fine", "fine"))
        rows = collect(executor, 8)
    assert rows[3][0].status == status
    assert rows[3][0].attempts == attempts
    assert {row.attempts[0] for i, (row, _) in rows.items() if i != 3} == {1}
    assert {row.status[0] for i, (row, _) in rows.items() if i != 3} == {"ok"}
    runs = {pid_file.stem for pid_file in tmp_path.glob("*.pids")}
    assert len(runs) == attempts + 1  # once in a chunk, then alone


@pytest.mark.parametrize("victim", ["evaluator", "keeper"])
def test_a_worker_killed_from_outside_is_replaced_and_its_design_tried_again(tmp_path, victim):
    with make_executor(Waits(tmp_path), kind="process") as executor:
        executor.submit([5], [[1.0]])
        wait_until(lambda: list(tmp_path.glob("call-*")))
        (call,) = tmp_path.glob("call-*")
        first = int(call.name.split("-")[1])
        os.kill(first if victim == "evaluator" else psutil.Process(first).ppid(), signal.SIGKILL)
        wait_until(lambda: not running(first))
        (tmp_path / "go").touch()
        row, worker = collect(executor, 1)[5]
    assert row.status[0] == "ok"
    assert row.attempts[0] == 2
    assert pid_of(worker) != first


def test_every_design_comes_back_exactly_once_while_workers_are_killed():
    designs = Sphere.design_space.sample(400, seed=2)
    rows, kills, killed = {}, 0, set()
    with make_executor(Sphere(), workers=2, retries=100) as executor:
        executor.submit(np.arange(200), designs[:200])
        submitted = 200
        deadline = time.monotonic() + DEADLINE
        while (len(rows) < submitted or kills < 20) and time.monotonic() < deadline:
            for finished in executor.wait(1.0):
                for i, order in enumerate(finished.orders):
                    assert order not in rows
                    rows[int(order)] = finished.evaluation[i]
                pid = pid_of(finished.worker)
                if kills < 20 and pid not in killed:
                    os.kill(pid, signal.SIGKILL)
                    killed.add(pid)
                    kills += 1
                    fresh = np.arange(submitted, submitted + 10)
                    executor.submit(fresh, designs[fresh])
                    submitted += 10
    assert kills == 20
    assert sorted(rows) == list(range(submitted))
    wanted = Sphere().evaluate(designs).objectives
    assert all(rows[i].status[0] == "ok" and rows[i].objectives == wanted[i] for i in rows)


def test_close_ends_a_hanging_evaluation_and_leaves_no_process(tmp_path):
    before = {p.pid for p in psutil.Process().children(recursive=True)}
    executor = make_executor(Faulty(tmp_path), workers=2)
    executor.submit([0, 1], faults("hangs", "hangs"))
    wait_until(lambda: len(pids_in(tmp_path)) == 6)
    executor.close()
    assert {p.pid for p in psutil.Process().children(recursive=True)} <= before
    assert not any(map(running, pids_in(tmp_path)))
    with pytest.raises(RuntimeError, match="submit after close"):
        executor.submit([2], faults("fine"))


def test_an_environment_that_cannot_be_loaded_is_reported():
    with make_executor(BadLoad("raise ImportError('no simulator here')"), workers=2) as executor:
        executor.submit([0], np.zeros((1, 2)))
        with pytest.raises(RuntimeError, match="cannot load the environment: ImportError: no simulator here"):
            executor.wait(DEADLINE)


def test_workers_that_die_while_starting_are_given_up():
    with make_executor(BadLoad("import os; os._exit(9)"), kind="process") as executor:
        executor.submit([0], np.zeros((1, 2)))
        with pytest.raises(RuntimeError, match=r"died 3 times in a row while starting: .* exited with code 9"):
            executor.wait(DEADLINE)


# Drivers: scripts without a main guard ------------------------------------------------------------------------------

DRIVER = """
import os, signal, subprocess, sys
import designopt as do
from designopt.executors import make_executor

unit = 2.0

@do.design_env(do.DesignSpace(x=do.Real(0, 1)), minimize=["f"])
def simulator(x):
    if x > 0.5:
        child = subprocess.Popen(["sleep", "600"], start_new_session=True)
        print("simulator", os.getpid(), child.pid, os.environ["OMP_NUM_THREADS"], file=sys.stderr, flush=True)
        while True:
            pass
    print("noise")
    return {"f": unit * x}

executor = make_executor(simulator, kind="process")
executor.submit([0], [[0.25]])
print(executor.wait()[0].evaluation.objectives[0, 0], flush=True)
"""


def test_functions_of_a_script_read_from_standard_input_reach_the_workers():
    done = subprocess.run(
        [sys.executable, "-"], input=DRIVER + "executor.close()", capture_output=True, text=True, timeout=DEADLINE
    )
    assert done.stdout == "0.5\n"
    assert done.stderr == "noise\n"


# A process that the driver forked has copies of all its pipes.
FORK = """
helper = os.fork()
if helper == 0:
    os.closerange(0, 3)
    signal.pause()
print(helper, flush=True)
"""


@pytest.mark.parametrize("end", ["kill", "exit"])
def test_no_process_outlives_its_driver(tmp_path, end):
    script = tmp_path / "driver.py"
    last = FORK + "executor.wait()" if end == "kill" else "sys.stdin.read()"
    script.write_text(DRIVER + "executor.submit([1], [[0.75]])\n" + last)
    driver = subprocess.Popen(
        [sys.executable, str(script)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "4"},
    )
    helper = None
    try:
        line = next(line for line in driver.stderr if line.startswith("simulator"))
        _, evaluator, grandchild, threads = line.split()
        pids = [int(evaluator), psutil.Process(int(evaluator)).ppid(), int(grandchild)]
        assert threads == "1"
        assert all(map(running, pids))
        if end == "kill":
            assert driver.stdout.readline() == "0.5\n"
            helper = int(driver.stdout.readline())
            driver.kill()
        else:
            driver.stdin.close()
        wait_until(lambda: not any(map(running, pids)))
    finally:
        with driver:
            driver.kill()
        if helper:
            os.kill(helper, signal.SIGKILL)
