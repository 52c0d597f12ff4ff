"""Sweeps on a Ray cluster of several nodes (on this machine) while workers, nodes, the writer and the driver die.

After every fault the store must hold just the (study, order) pairs that the plan asks for, told in an order without
gaps, with the designs of a run that nothing disturbed.
"""

import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import cloudpickle
import numpy as np
import psutil
import pytest

import designopt as do
from designopt import DesignEnv, DesignSpace, Evaluation, Objective, Real
from designopt.store import Store
from designopt.sweep import run as running
from designopt.sweep.plan import read_plan
from designopt.sweep.run import sweep

pytestmark = pytest.mark.ray
cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import test modules

DEADLINE = 60.0


class Bowl(DesignEnv):
    """A bowl whose evaluator tells in a directory who it is, and meets its fate where ``trouble`` says so."""

    design_space = DesignSpace(x=Real(0, 1), y=Real(0, 1))
    objectives = (Objective("f"),)

    def __init__(self, directory, trouble="", seconds=0.01):
        super().__init__()
        self.directory, self.trouble, self.seconds = Path(directory), trouble, seconds

    def evaluate(self, designs):
        (self.directory / f"pid-{os.getpid()}").touch()
        time.sleep(self.seconds * len(designs))
        result = Evaluation(((designs - (0.3, 0.4)) ** 2).sum(axis=1, keepdims=True))
        for x in designs[:, 0]:
            if self.trouble and x > 0.8:
                getattr(self, self.trouble)(result)
        return result

    def crash(self, _):
        os._exit(7)

    def hang_on_the_bad_node(self, _):
        if "DESIGNOPT_TEST_BAD_NODE" in os.environ:
            time.sleep(3600)

    def devour(self, _):
        hoard = np.ones(int(2e9) // 8)
        time.sleep(0.001 * hoard[0] + 30)

    def devour_once(self, _):
        if not (self.directory / "devoured").exists():
            (self.directory / "devoured").touch()
            hoard = np.ones(int(5e9) // 8)
            time.sleep(0.001 * hoard[0] + 60)

    def leave_what_cannot_be_sent(self, result):
        if not (self.directory / "repaired").exists():
            result.metrics = {"lock": np.array([threading.Lock()] * len(result), dtype=object)}


class Broken(Bowl):
    """A bowl with a name of its own."""


class NoSimulator(Bowl):
    """Cannot be loaded by a worker."""

    def __reduce__(self):
        return exec, ("raise ImportError('no simulator here')",)


def plan_of(tmp_path, *envs, backends=("local", "ga"), seeds=2, budget=60, **tables):
    settings = {"name": "night", "seeds": seeds, "budget": budget, "store": str(tmp_path / "runs.db")}
    backend = [{"name": name, "fixed": {"population": 8} if name == "ga" else {}} for name in backends]
    return read_plan({"sweep": settings, "env": [{"id": env} for env in envs], "backend": backend, **tables})


def assert_complete(plan, undisturbed=True):
    """Every study has its budget, each order once, told without gaps, and the designs of a run that met no fault."""
    with Store(plan.store, read_only=True) as store:
        assert {run.id for run in store.runs(plan.name)} == {study.run_id for study in plan.studies}
        for study in plan.studies:
            run = store.load(study.run_id)
            assert (run.info.state, run.info.error) == ("finished", "")
            assert run.orders.tolist() == list(range(study.info.budget))
            assert sorted(run.sequence.tolist()) == list(range(study.info.budget))
            if undisturbed:
                info = study.info
                expected = do.optimize(Calm(), info.backend, info.budget, seed=info.seed, **info.hyperparameters)
                assert np.array_equal(run.designs, expected.designs), study.run_id
                assert np.array_equal(run.evaluation.objectives, expected.evaluation.objectives)
                assert set(run.evaluation.status) == {"ok"}


class Calm(Bowl):
    """The same function in this process, at once."""

    def __init__(self):
        DesignEnv.__init__(self)

    def evaluate(self, designs):
        return Evaluation(((designs - (0.3, 0.4)) ** 2).sum(axis=1, keepdims=True))


class Faults:
    """A progress callback that does something once so many evaluations are recorded, and again and again if wished."""

    def __init__(self, *actions, first=40, then=40):
        self.actions, self.next, self.then = list(actions), first, then

    def __call__(self, outcomes, evaluations):
        if self.actions and evaluations >= self.next:
            self.next = evaluations + self.then
            self.actions.pop(0)()


def kill_a_worker(directory, rng):
    alive = [pid for path in sorted(directory.glob("pid-*")) if psutil.pid_exists(pid := int(path.name[4:]))]
    if alive:
        os.kill(rng.choice(alive), signal.SIGKILL)
    return bool(alive)


@pytest.fixture(scope="module")
def cluster():
    """A head for the driver and the writer, and two nodes with one CPU each."""
    import ray
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    for _ in range(2):
        cluster.add_node(num_cpus=1)
    ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
    yield cluster
    ray.shutdown()
    cluster.shutdown()


@pytest.fixture
def writer(monkeypatch):
    """Handles of the writers that the sweep starts."""
    handles = []

    def start(url):
        handles.append(started(url))
        return handles[-1]

    started = running.start_writer
    monkeypatch.setattr(running, "start_writer", start)
    return handles


def kill_the_writer(handles):
    import ray

    os.kill(ray.get(handles[0].__ray_call__.remote(lambda _: os.getpid())), signal.SIGKILL)


def test_a_killed_worker_costs_nothing_that_was_recorded(cluster, tmp_path):
    plan = plan_of(tmp_path, Bowl(tmp_path))
    rng = random.Random(0)
    faults = Faults(*[lambda: kill_a_worker(tmp_path, rng)] * 2)
    sweep(plan, progress=faults)
    assert not faults.actions
    assert_complete(plan)


def test_a_writer_that_dies_is_started_again_and_nobody_notices(cluster, tmp_path, writer):
    plan = plan_of(tmp_path, Bowl(tmp_path))
    faults = Faults(lambda: kill_the_writer(writer))
    sweep(plan, progress=faults)
    assert not faults.actions
    assert_complete(plan)


def test_studies_of_a_node_that_goes_away_go_on_elsewhere(cluster, tmp_path):
    node = cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    plan = plan_of(tmp_path, Bowl(tmp_path, seconds=0.02), seeds=3)
    faults = Faults(lambda: cluster.remove_node(node, allow_graceful=False), first=60)
    sweep(plan, progress=faults)
    assert not faults.actions
    assert_complete(plan)
    with Store(plan.store, read_only=True) as store:
        workers = {worker.split("/")[0] for study in plan.studies for worker in store.load(study.run_id).workers}
    assert f"node-{node.node_id[:8]}" in workers


DRIVER = """
    import importlib.util, sys
    from pathlib import Path
    spec = importlib.util.spec_from_file_location("tests_sweep_faults", {file!r})
    sys.modules["tests_sweep_faults"] = here = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(here)
    directory = Path({directory!r})
    plan = here.plan_of(directory, here.Bowl(directory, seconds=0.02))
    here.sweep(plan, address={address!r}, cpus=2, progress=lambda *_: (directory / "on").touch())
"""


def wait_until(condition):
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def recorded(plan):
    with Store(plan.store) as store:
        return sum(store.count(study.run_id) for study in plan.studies)


def kill_a_driver_midway(tmp_path, address):
    code = textwrap.dedent(DRIVER.format(file=__file__, directory=str(tmp_path), address=address))
    plan = plan_of(tmp_path, Bowl(tmp_path, seconds=0.02))
    driver = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
    try:
        wait_until((tmp_path / "on").exists)
        wait_until(lambda: recorded(plan) > 50)
    finally:
        driver.kill()
        driver.wait()
    assert recorded(plan) < 240
    return plan


@pytest.mark.slow
def test_a_sweep_whose_driver_was_killed_is_run_again_to_its_end(cluster, tmp_path):
    plan = kill_a_driver_midway(tmp_path, cluster.address)
    before = recorded(plan)
    first = []
    sweep(plan, progress=lambda _, evaluations: first.append(evaluations))
    assert_complete(plan)
    assert first[-1] <= 240 - before  # the rest only


@pytest.mark.slow
def test_a_killed_driver_takes_its_own_ray_with_it(cluster, tmp_path):
    plan = kill_a_driver_midway(tmp_path, None)
    pids = [int(path.name[4:]) for path in tmp_path.glob("pid-*")]
    wait_until(lambda: not any(map(psutil.pid_exists, pids)))
    sweep(plan)
    assert_complete(plan)


@pytest.mark.slow
def test_an_evaluator_that_hangs_on_one_node_costs_its_time_limit_there_only(cluster, tmp_path):
    node = cluster.add_node(num_cpus=1, env_vars={"DESIGNOPT_TEST_BAD_NODE": "1"})
    cluster.wait_for_nodes()
    try:
        env = Bowl(tmp_path, "hang_on_the_bad_node", seconds=0.05)
        plan = plan_of(tmp_path, env, backends=["random"], seeds=6, budget=15, evaluation={"timeout": 2.0})
        result = sweep(plan)
    finally:
        cluster.remove_node(node)
    assert_complete(plan, undisturbed=False)
    timeouts = 0
    for run_id in result.frame["run_id"]:
        frame = result.load(run_id).frame
        here = frame["worker"].str.startswith(f"node-{node.node_id[:8]}/")
        assert (frame["status"] == np.where(here & (frame["x"] > 0.8), "timeout", "ok")).all()
        timeouts += (frame["status"] == "timeout").sum()
    assert timeouts


def test_a_design_that_kills_its_worker_every_time_is_lost_and_the_study_goes_on(cluster, tmp_path):
    plan = plan_of(tmp_path, Bowl(tmp_path, "crash"), backends=["random"], seeds=1, budget=15)
    result = sweep(plan, progress=lambda *_: None)
    assert_complete(plan, undisturbed=False)
    frame = result.load(plan.studies[0].run_id).frame
    assert (frame["status"] == np.where(frame["x"] > 0.8, "lost", "ok")).all()
    assert set(frame.loc[frame["status"] == "lost", "attempts"]) == {3}


@pytest.mark.slow
def test_a_design_beyond_the_memory_limit_costs_itself(cluster, tmp_path):
    plan = plan_of(
        tmp_path, Bowl(tmp_path, "devour"), backends=["random"], seeds=1, budget=10, evaluation={"memory_mb": 1500}
    )
    result = sweep(plan)
    assert_complete(plan, undisturbed=False)
    frame = result.load(plan.studies[0].run_id).frame
    assert (frame["status"] == np.where(frame["x"] > 0.8, "failed", "ok")).all()
    assert frame["error"].str.contains("the memory limit is 1500 MB").sum() == (frame["x"] > 0.8).sum() > 0


def test_an_exception_ends_its_study_only_and_is_in_the_store(cluster, tmp_path):
    broken = Broken(tmp_path, "leave_what_cannot_be_sent")
    plan = plan_of(tmp_path, Bowl(tmp_path), broken, NoSimulator(tmp_path), backends=["random"])
    frame = sweep(plan).frame.set_index("env")
    assert set(frame.loc["Bowl", "state"]) == {"finished"}
    assert set(frame.loc["NoSimulator", "error"]) == {"ImportError: no simulator here"}
    assert frame.loc["Broken", "error"].str.startswith("TypeError: ").all()
    with Store(plan.store, read_only=True) as store:
        for run in store.runs("night"):
            assert (run.state == "finished") == (run.env == "Bowl") == (run.error == "")
            assert run.evaluations == 60 or run.error in set(frame["error"])
    # Once it is repaired, the same plan goes on where the study broke off.
    (tmp_path / "repaired").touch()
    frame = sweep(plan).frame.set_index("env")
    assert set(frame.loc["Broken", "state"]) == {"finished"}
    assert set(frame.loc["Broken", "evaluations"]) == {60}


@pytest.mark.slow
def test_twenty_random_kills_of_workers_writers_and_nodes_leave_a_complete_store(cluster, tmp_path, writer):
    rng, killed = random.Random(3), []

    def kill():
        victim = rng.choice(["worker"] * 8 + ["writer", "node"])
        if victim == "worker" and kill_a_worker(tmp_path, rng):
            killed.append(victim)
        elif victim == "writer":
            kill_the_writer(writer)
            killed.append(victim)
        elif victim == "node":
            node = rng.choice(sorted(cluster.worker_nodes, key=lambda node: node.node_id))
            cluster.remove_node(node, allow_graceful=False)
            cluster.add_node(num_cpus=1)
            killed.append(victim)

    def faults(_, evaluations):
        if len(killed) < 20 and evaluations > 20 * len(killed):
            kill()

    plan = plan_of(
        tmp_path, Bowl(tmp_path, seconds=0.02), backends=["local", "ga", "random", "tpe"], seeds=4, budget=100
    )
    sweep(plan, progress=faults)
    assert len(killed) == 20
    assert set(killed) == {"worker", "writer", "node"}
    assert_complete(plan)


OOM = """
    import importlib.util, sys
    from pathlib import Path
    import ray
    spec = importlib.util.spec_from_file_location("tests_sweep_faults", {file!r})
    sys.modules["tests_sweep_faults"] = here = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(here)
    directory = Path({directory!r})
    ray.init(address="local", num_cpus=1, include_dashboard=False)
    first_line = here.running.first_line  # tells why a worker is gone
    here.running.first_line = lambda error: (print(first_line(error)), first_line(error))[1]
    env = here.Bowl(directory, "devour_once")
    here.sweep(here.plan_of(directory, env, seeds=1, budget=40, backends=["local", "random"]))
"""


@pytest.mark.slow
def test_a_worker_that_ray_kills_for_its_memory_goes_on_and_nothing_is_lost(tmp_path):
    memory = psutil.virtual_memory()
    threshold = (memory.total - memory.available + 3e9) / memory.total
    if threshold > 0.9:
        pytest.skip("too little memory is free to have some eaten up")
    code = textwrap.dedent(OOM.format(file=__file__, directory=str(tmp_path)))
    limits = {"RAY_memory_usage_threshold": f"{threshold:.3f}", "RAY_memory_monitor_refresh_ms": "100"}
    done = subprocess.run([sys.executable, "-c", code], env=os.environ | limits, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "devoured").exists()
    assert done.stdout.startswith("OutOfMemoryError: ")
    assert_complete(plan_of(tmp_path, Bowl(tmp_path), seeds=1, budget=40, backends=["local", "random"]))
