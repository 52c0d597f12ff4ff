"""The Ray executor on a local Ray: same results, and the same answer to crashes and time limits."""

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

from designopt import DesignEnv, DesignSpace, Evaluation, Objective, Real
from designopt.executors import evaluate_safely, make_executor

pytestmark = pytest.mark.ray
cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import test modules

DEADLINE = 60.0


class Study(DesignEnv):
    """f = x^2 up to 1; beyond it the simulator waits for a file, hangs with a grandchild, dies, or answers badly."""

    design_space = DesignSpace(x=Real(-1, 5))
    objectives = (Objective("f"),)

    def __init__(self, directory):
        super().__init__()
        self.directory = Path(directory)

    def evaluate(self, designs):
        result = Evaluation(designs**2, metrics={"together": np.full(len(designs), len(designs))})
        for x in designs[:, 0]:
            if x == 2:
                (self.directory / "waiting").write_text(str(os.getpid()))
                while not (self.directory / "go").exists():
                    time.sleep(0.01)
            if x == 3:
                child = subprocess.Popen(["sleep", "600"], start_new_session=True)
                (self.directory / "grandchild").write_text(str(child.pid))
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
                while True:
                    time.sleep(1)
            if x == 4:
                os._exit(7)
            if x == 5:
                result.metrics = {"lock": np.array([threading.Lock()] * len(designs), dtype=object)}
        return result


class BadLoad(Study):
    def __reduce__(self):
        return exec, ("raise ImportError('no simulator here')",)


@pytest.fixture(scope="module", autouse=True)
def address():
    import ray

    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield ray.get_runtime_context().gcs_address
    ray.shutdown()


def collect(executor, n):
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


def test_results_are_those_of_serial_evaluation_in_chunks_from_every_actor(tmp_path):
    designs = np.linspace(-1, 1, 300)[:, None]
    with make_executor(Study(tmp_path), workers=2, kind="ray") as executor:
        executor.submit(np.arange(300), designs)
        rows = collect(executor, 300)
        assert executor.capacity > 8
        assert (executor.kind, dict(executor.limits)) == ("ray", {"timeout": None, "memory_mb": None, "retries": 2})
    wanted = evaluate_safely(Study(tmp_path), designs).objectives
    assert all(rows[i][0].objectives == wanted[i] for i in range(300))
    assert max(row.metrics["together"][0] for row, _ in rows.values()) > 8
    assert all(re.fullmatch(r"node-\w{8}/\w{8} \(\d+\)", worker) for _, worker in rows.values())


def test_a_killed_actor_is_replaced_and_its_design_tried_again(tmp_path):
    with make_executor(Study(tmp_path), workers=2, kind="ray") as executor:
        executor.submit([0, 1, 2], [[2.0], [0.5], [0.25]])
        assert set(collect(executor, 2)) == {1, 2}  # the slow one holds up nobody
        wait_until(lambda: (tmp_path / "waiting").exists() and (tmp_path / "waiting").read_text())
        os.kill(int((tmp_path / "waiting").read_text()), signal.SIGKILL)
        (tmp_path / "go").touch()
        row, _ = collect(executor, 1)[0]
    assert row.status[0] == "ok"
    assert row.attempts[0] == 2


def test_a_design_that_kills_its_actor_is_lost_after_its_retries(tmp_path):
    with make_executor(Study(tmp_path), kind="ray", retries=1) as executor:
        executor.submit([0, 1, 2], [[4.0], [0.5], [5.0]])
        rows = collect(executor, 3)
    assert rows[0][0].status[0] == "lost"
    assert rows[0][0].attempts[0] == 2
    assert "\n" not in rows[0][0].errors[0]
    assert rows[1][0].status[0] == "ok"
    assert rows[2][0].status[0] == "failed"
    assert rows[2][0].errors[0].startswith("the result cannot be sent back: TypeError: cannot pickle")


def test_limits_kill_the_simulator_and_what_it_started(tmp_path):
    with make_executor(Study(tmp_path), kind="ray", timeout=1.0, retries=0) as executor:
        executor.submit([0, 1, 2], [[3.0], [4.0], [0.5]])
        rows = collect(executor, 3)
        grandchild = int((tmp_path / "grandchild").read_text())
        assert not psutil.pid_exists(grandchild)
    assert [rows[i][0].status[0] for i in range(3)] == ["timeout", "lost", "ok"]
    assert rows[0][0].seconds[0] >= 1.0
    assert rows[0][0].errors[0] == "killed after the time limit of 1 s"
    assert "exited with code 7" in rows[1][0].errors[0]


def test_closing_ends_a_running_simulator_but_not_the_callers_ray(tmp_path):
    import ray

    executor = make_executor(Study(tmp_path), kind="ray", timeout=600)
    executor.submit([0], [[3.0]])
    wait_until(lambda: (tmp_path / "grandchild").exists() and (tmp_path / "grandchild").read_text())
    executor.close()
    wait_until(lambda: not psutil.pid_exists(int((tmp_path / "grandchild").read_text())))
    assert ray.is_initialized()


@pytest.mark.parametrize("limit", [None, 600])
def test_an_environment_that_cannot_be_loaded_is_reported(tmp_path, limit):
    with make_executor(BadLoad(tmp_path), kind="ray", timeout=limit) as executor:
        executor.submit([0], [[0.5]])
        with pytest.raises(RuntimeError, match=r"^a worker cannot load the environment: ImportError: no simulator"):
            executor.wait(DEADLINE)


DRIVER = """
import sys
import ray
import designopt as do
from designopt.executors import make_executor

unit = 2.0

@do.design_env(do.DesignSpace(x=do.Real(0, 1)), minimize=["f"])
def simulator(x):
    return {"f": unit * x}

if __name__ == "__main__":
    with make_executor(simulator, kind="ray", address=sys.argv[1] if len(sys.argv) > 1 else None) as executor:
        executor.submit([0], [[0.25]])
        print(executor.wait()[0].evaluation.objectives[0, 0], len(ray.nodes()), int(ray.cluster_resources()["CPU"]))
    print(ray.is_initialized())
"""


@pytest.mark.parametrize(("joins", "cpus"), [(True, 2), (False, 1)])
def test_a_script_joins_a_cluster_or_starts_its_own_and_leaves_it_quietly(tmp_path, address, joins, cpus):
    script = tmp_path / "driver.py"
    script.write_text(DRIVER)
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    done = subprocess.run(
        [sys.executable, str(script), *([address] if joins else [])],
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        env=environment,
    )
    assert done.stdout == f"0.5 1 {cpus}\nFalse\n", done.stderr
