"""The store on a real PostgreSQL server, started here as an unprivileged user."""

import os
import shutil
import socket
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa

from designopt import Categorical, Constraint, DesignSpace, Evaluation, Objective, Real
from designopt.store import Ask, RunInfo, Store, StoreError

pytestmark = pytest.mark.postgres

PASSWORD = "c0rrect/horse"

INFO = RunInfo(
    env="designopt/WeldedBeam-v0",
    env_arguments={"name": "größe\0"},
    space=DesignSpace(width=Real(0.0, 1.0), material=Categorical(["steel", 7])),
    objectives=(Objective("cost"), Objective("life", "max")),
    constraints=(Constraint("stress"),),
    backend="gp",
    hyperparameters={"beta": float("inf")},
    seed=2**62,
)


@dataclass
class Part:
    """What an executor returns."""

    orders: np.ndarray
    designs: np.ndarray
    evaluation: Evaluation
    worker: str = "w0"


def part(first, n):
    rng = np.random.default_rng(first)
    values = rng.normal(size=(n, 2))
    values[0] = np.nan, np.inf
    metrics = {"mass%": values[:, 0], "note": np.array(["a\0b"] * n)}
    evaluation = Evaluation(values, rng.normal(size=(n, 1)), metrics, errors=["bad\0mesh"] + [""] * (n - 1))
    return Part(np.arange(first, first + n), INFO.space.sample(n, rng), evaluation)


def initdb():
    """Path of initdb, which Debian keeps outside PATH; None where PostgreSQL is not installed."""
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[4]))
    found = str(installed[-1]) if installed else shutil.which("initdb")
    return found and Path(found)


class Server:
    """A server in a directory of its own."""

    def __init__(self, programs, directory):
        self.programs, self.directory = programs, directory
        self.user = "postgres" if os.geteuid() == 0 else None  # the server refuses to run as root
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        if self.user:
            shutil.chown(directory, self.user)
        password = directory / "password"
        password.write_text(PASSWORD)
        password.chmod(0o644)
        options = ("--auth=scram-sha-256", "--username=me", f"--pwfile={password}", "--encoding=UTF8", "--locale=C")
        self.run("initdb", "-D", directory / "data", "--no-sync", *options)
        self.start()

    def run(self, program, *arguments):
        command = [str(self.programs / program), *map(str, arguments)]
        subprocess.run(command, check=True, user=self.user, cwd=self.directory, stdout=subprocess.DEVNULL, timeout=60)

    def start(self):
        options = f"-p {self.port} -k {self.directory} -c listen_addresses=127.0.0.1 -c fsync=off"
        self.run("pg_ctl", "-D", self.directory / "data", "-l", self.directory / "log", "-w", "-o", options, "start")

    def stop(self):
        self.run("pg_ctl", "-D", self.directory / "data", "-m", "immediate", "-w", "stop")

    def url(self, database="postgres", password=PASSWORD):
        return f"postgresql://me:{password.replace('/', '%2F')}@127.0.0.1:{self.port}/{database}"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    programs = initdb()
    if programs is None:
        pytest.skip("PostgreSQL is not installed (no initdb)")
    # pytest's own directory may be closed to other users; a short path, for the socket's name is limited.
    directory = Path(subprocess.run(["mktemp", "-d"], check=True, capture_output=True, text=True).stdout.strip())
    directory.chmod(0o755)
    try:
        server = Server(programs.parent, directory)
        yield server
        server.stop()
    finally:
        shutil.rmtree(directory)


@pytest.fixture
def url(server, request):
    """A new database."""
    name = request.node.name[:40].lower()
    admin = sa.create_engine(server.url().replace("postgresql:", "postgresql+psycopg:"), isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.exec_driver_sql(f'CREATE DATABASE "{name}"')
    admin.dispose()
    return server.url(name)


def test_a_run_comes_back(url):
    with Store(url) as store:
        run_id = store.create_run(INFO)
        store.record(run_id, [Ask(0, 7, 0, 8)], [part(3, 4), part(0, 3)], 0)
        store.record(run_id, [Ask(7, 1, 7, 1)], [part(7, 1)], 7)
        store.finish_run(run_id, "finished", search_seconds=1.25)
    with Store(url.replace("postgresql:", "postgresql+psycopg:"), read_only=True) as store:
        run = store.load(run_id[:-2])
    for name in RunInfo.__dataclass_fields__:
        assert getattr(run.info, name) == getattr(INFO, name), name
    assert (run.info.state, run.info.search_seconds, run.info.evaluations) == ("finished", 1.25, 8)
    assert run.asks == [Ask(0, 7, 0, 8), Ask(7, 1, 7, 1)]
    assert run.sequence.tolist() == [4, 5, 6, 0, 1, 2, 3, 7]
    expected = [part(0, 3), part(3, 4), part(7, 1)]
    assert np.array_equal(run.designs, np.concatenate([p.designs for p in expected]))
    evaluation = Evaluation.concatenate(p.evaluation for p in expected)
    assert np.array_equal(run.evaluation.objectives, evaluation.objectives, equal_nan=True)
    assert np.array_equal(run.evaluation.metrics["mass%"], evaluation.metrics["mass%"], equal_nan=True)
    assert run.evaluation.metrics["note"][0] == "a\0b"
    assert run.evaluation.errors[0] == "bad\\x00mesh"


def test_a_run_that_another_process_continues_is_noticed(url):
    with Store(url) as store, Store(url) as other:
        run_id = store.create_run(INFO)
        store.record(run_id, [], [part(0, 2)], 0)
        with pytest.raises(StoreError, match="already holds these orders: another process is continuing this run"):
            other.record(run_id, [Ask(0, 3, 0, 3)], [part(1, 2)], 0)
        assert other.load(run_id).asks == []
        with pytest.raises(StoreError, match="unknown run 'beam'"):
            other.record("beam", [], [part(1, 2)], 0)


def test_processes_open_one_new_store_and_write_their_own_runs_at_once(url):
    code = f"""
        import importlib.util, sys
        spec = importlib.util.spec_from_file_location("tests_postgres", {__file__!r})
        sys.modules["tests_postgres"] = here = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(here)
        with here.Store(sys.argv[1]) as store:
            run_id = store.create_run(here.INFO)
            for first in range(0, 200, 10):
                store.record(run_id, [here.Ask(first, 10, first, 10)], [here.part(first, 10)], first)
            print(run_id)
    """
    command = [sys.executable, "-c", textwrap.dedent(code), url]
    writers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    ids = [writer.communicate()[0].strip() for writer in writers]
    with Store(url) as store:
        assert sorted(run.id for run in store.runs()) == sorted(ids)
        for run_id in ids:
            assert store.load(run_id).orders.tolist() == list(range(200))


def test_a_store_outlives_a_restart_of_the_server(server, url):
    with Store(url) as store:
        run_id = store.create_run(INFO)
        store.record(run_id, [], [part(0, 2)], 0)
        server.stop()
        try:
            with pytest.raises(StoreError, match=r"refused.*; check host and port, and that the server runs"):
                store.record(run_id, [], [part(2, 2)], 2)
        finally:
            server.start()
        store.record(run_id, [], [part(2, 2)], 2)
        assert store.load(run_id).orders.tolist() == [0, 1, 2, 3]


def test_a_server_that_cannot_be_used_is_refused_without_naming_the_password(server, url):
    with socket.socket() as silent:  # takes connections and never answers
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        address = f"postgresql://me:hunter2@127.0.0.1:{silent.getsockname()[1]}/db?connect_timeout=2"
        bad = {
            server.url(password="hunter2"): "password authentication failed .* check user and password",
            server.url("postgres") + "?password=hunter2": "password authentication failed",
            server.url("nowhere"): 'database "nowhere" does not exist',
            "postgresql://me:hunter2@127.0.0.1:1/db": "refused.*; check host and port",
            address: "timeout expired",
        }
        for wrong, message in bad.items():
            with pytest.raises(StoreError, match=message) as caught:
                Store(wrong)
            assert "hunter2" not in str(caught.value) + str(caught.value.__cause__)
            assert PASSWORD not in str(caught.value)
            assert "\n" not in str(caught.value)


def test_tables_of_another_program_and_an_empty_database_are_refused(url):
    with pytest.raises(StoreError, match="holds no store"):
        Store(url, read_only=True)
    engine = sa.create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE runs (a INTEGER)")
    engine.dispose()
    with pytest.raises(StoreError, match="belong to another program"):
        Store(url)


def test_a_database_that_may_only_be_read_is_refused_at_opening(server, url):
    with Store(url) as store:
        run_id = store.create_run(INFO)
    read = url + "?options=-c%20default_transaction_read_only%3Don"
    with pytest.raises(StoreError, match="read-only transaction"):
        Store(read)
    with Store(read, read_only=True) as store:
        assert store.run(run_id).id == run_id
