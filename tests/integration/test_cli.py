"""The command line as a user meets it: real processes, exit codes, one-line errors, kill -9 and resume."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from designopt import Store, data
from designopt.cli import main

COMMAND = [sys.executable, "-m", "designopt"]
PROBLEM = """
import os, time
import designopt as do

space = do.DesignSpace(
    width=do.Real(0.01, 0.1, unit="m"), bolts=do.Integer(2, 8), material=do.Categorical(["steel", "al"])
)

@do.design_env(space, minimize=["mass"], constraints={"stress": "<= 250e6"}, units={"mass": "kg"})
def bracket(width, bolts, material):
    with open(os.environ["CALLS"], "a") as calls:
        calls.write(f"{width!r} {bolts} {material}\\n")
    time.sleep(float(os.environ.get("SECONDS_EACH", 0)))
    return {"mass": (7800 if material == "steel" else 2700) * width**2 * bolts, "stress": 1e7 / width / bolts}
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "problem.py").write_text(PROBLEM)
    monkeypatch.setenv("CALLS", str(tmp_path / "calls.txt"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments, code=0):
    done = subprocess.run([*COMMAND, *map(str, arguments)], capture_output=True, text=True, timeout=120)
    assert done.returncode == code, done.stderr
    return done


def inside(capsys, monkeypatch, *arguments):
    """The command in this process, which saves its start: exit code, standard output, standard error."""
    monkeypatch.setattr(sys, "argv", ["designopt", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code, *capsys.readouterr()


def calls(folder):
    return (folder / "calls.txt").read_text().splitlines()


def test_json_output_is_one_object_with_the_promised_keys(folder):
    done = run("run", "designopt/WeldedBeam-v0", "--search", "random", "--budget", 50, "--seed", 3, "--json")
    answer = json.loads(done.stdout)
    promised = "run_id env search seed evaluations feasible best best_value search_seconds evaluation_seconds"
    assert set(promised.split()) <= set(answer)
    assert (answer["env"], answer["search"], answer["seed"]) == ("designopt/WeldedBeam-v0", "random", 3)
    assert answer["evaluations"] == 50
    assert set(answer["best"]) == {"weld_thickness", "weld_length", "bar_thickness", "bar_width"}
    assert answer["best_value"] > 2.381
    with Store(folder / "designopt.db") as store:
        assert store.run(answer["run_id"]).evaluations == 50


def test_json_of_a_multi_objective_run_has_the_front(folder):
    done = run("run", "designopt/WeldedBeamMO-v0", "--search", "nsga2", "--budget", 60, "--json")
    answer = json.loads(done.stdout)
    assert answer["best"] is None
    assert answer["pareto"]
    assert answer["hypervolume"] >= 0


def test_the_table_shows_the_best_design_beside_the_known_optimum_and_names_the_files(folder):
    done = run("run", "designopt/WeldedBeam-v0", "--search", "sobol", "--budget", 64, "--report", "out")
    assert "known optimum" in done.stdout
    assert "2.38113" in done.stdout
    paths = [line.split(": ")[1] for line in done.stdout.splitlines() if line.startswith(("report: ", "picture: "))]
    assert len(paths) == 2
    assert all((folder / path).stat().st_size > 10_000 for path in paths)


def test_a_users_file_is_an_environment(folder):
    done = run("run", "problem.py:bracket", "--search", "random", "--budget", 5, "--store", "mine.db", "--json")
    assert json.loads(done.stdout)["env"] == "bracket"
    assert len(calls(folder)) == 5


def test_a_users_file_runs_in_worker_processes(folder):
    done = run("run", "problem.py:bracket", "--search", "random", "--budget", 6, "--workers", 2, "--json")
    assert json.loads(done.stdout)["status"] == {"ok": 6}


@pytest.mark.parametrize("option", ["--seconds", "--time"])
def test_a_run_ends_when_its_time_is_over(folder, capsys, monkeypatch, option):
    code, out, _ = inside(
        capsys,
        monkeypatch,
        "run",
        "problem.py:bracket",
        "--search",
        "random",
        "--budget",
        "10000000",
        option,
        "1",
        "--json",
    )
    assert code == 0
    assert json.loads(out)["evaluations"] < 10_000_000  # none, if the machine is that busy


def test_hyperparameters_and_arguments_are_set_by_name(folder):
    arguments = ("run", "designopt/Ackley-v0", "--env-set", "dim=3", "--search", "ga", "--budget", 8, "--json")
    answer = json.loads(run(*arguments, "--set", "population=4").stdout)
    assert len(answer["best"] or answer["least_infeasible"]) == 3
    with Store(folder / "designopt.db") as store:
        record = store.run(answer["run_id"])
    assert record.hyperparameters["population"] == 4
    assert record.env_arguments["dim"] == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("run designopt/WeldBeam-v0", "unknown environment 'designopt/WeldBeam-v0'; did you mean 'designopt/Welded"),
        ("run designopt/WeldedBeam-v0 --search rndom", "unknown backend 'rndom'; did you mean 'random'"),
        ("run designopt/WeldedBeam-v0 --budgt 5", "--budgt"),
        ("run designopt/WeldedBeam-v0 --budget many", "--budget"),
        ("run designopt/WeldedBeam-v0 --search random --budget 0", "budget = 0; it must be positive"),
        ("run designopt/WeldedBeam-v0 --search random --workers 0", "workers = 0"),
        ("run designopt/WeldedBeam-v0 --search random --executor cloud", "cloud"),
        ("run designopt/WeldedBeam-v0 --search ga --set popsize=3", "no hyper-parameter 'popsize'"),
        ("run designopt/WeldedBeam-v0 --search ga --set population=some", "population = 'some' must be int"),
        ("run designopt/WeldedBeam-v0 --search ga --set population", "write --set KEY=VALUE"),
        ("run designopt/WeldedBeam-v0 --env-set colour=3", "has no argument 'colour'"),
        ("run designopt/WeldedBeam-v0 --search random --store missing/runs.db", "missing"),
        ("run designopt/WeldedBeam-v0 --search random --report problem.py", "--report problem.py: File exists"),
        ("run missing.py:bracket --search random", "no file missing.py"),
        ("run problem.py:brackt --search random", "problem.py has no 'brackt'; did you mean 'bracket'"),
        ("run problem.py:space --search random", "must be a DesignEnv"),
        ("run no.such.module:env --search random", "cannot import 'no.such.module'"),
        ("run", "ENV"),
        ("walk", "walk"),
        ("resume nothing --store missing.db", "missing.db"),
        ("export nothing -o out.csv --store missing.db", "missing.db"),
    ],
)  # fmt: skip
def test_bad_arguments_exit_with_2_and_one_line(folder, capsys, monkeypatch, arguments, message):
    code, out, err = inside(capsys, monkeypatch, *arguments.split())
    assert (code, out) == (2, "")
    assert message in err
    assert len(err.strip().splitlines()) == 1
    assert not (folder / "calls.txt").exists()


def test_a_run_that_fails_exits_with_1_and_says_how_to_go_on(folder):
    code = (
        "import designopt as do\n"
        "class Quits(do.Searcher):\n"
        "    def ask(self, n, pending):\n"
        "        if self.seen: raise RuntimeError('no more ideas')\n"
        "        self.seen = True\n"
        "        return self.space.sample(n, 0)\n"
        "    seen = False\n"
        "do.register_backend('quits', 'quits:Quits')\n"
        "from designopt.cli import main; main()"
    )
    (folder / "quits.py").write_text(code.replace("from designopt.cli import main; main()", ""))
    arguments = ["run", "designopt/WeldedBeam-v0", "--search", "quits", "--json"]
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=120)
    assert done.returncode == 1, done.stderr
    assert done.stdout == ""
    last = done.stderr.strip().splitlines()[-1]
    assert last.endswith(" --store sqlite:///designopt.db")
    assert "failed: RuntimeError: no more ideas; continue with: designopt resume weldedbeam-quits-0-" in last
    with Store("designopt.db") as store:
        (record,) = store.runs()
    assert (record.state, record.evaluations) == ("failed", 1)


def started(folder, *arguments, evaluations):
    """A run as its own process, once it has evaluated so many designs."""
    process = subprocess.Popen(
        [*COMMAND, "run", "problem.py:bracket", "--store", "runs.db", "--json", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"SECONDS_EACH": "0.05"},
        # Whoever started the tests in the background may have had interrupts ignored, which children inherit.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 60
    while not (folder / "calls.txt").exists() or len(calls(folder)) < evaluations:
        assert time.monotonic() < deadline, "the run did not start"
        assert process.poll() is None, "the run ended early"
        time.sleep(0.01)
    return process


@pytest.mark.parametrize("search", ["random", "ga"])
def test_a_run_killed_hard_resumes_as_if_nothing_had_happened(folder, search):
    process = started(folder, "--search", search, "--budget", 30, "--seed", 7, evaluations=8)
    process.send_signal(signal.SIGKILL)
    process.wait()
    with Store("runs.db") as store:
        (record,) = store.runs()
    assert record.state == "running"
    assert 0 < record.evaluations < 30
    before = len(calls(folder))
    answer = json.loads(
        run("resume", record.id[:12], "--store", "runs.db", "--env", "problem.py:bracket", "--json").stdout
    )
    assert answer["evaluations"] == 30
    # At most the one design that was in flight, whose result never arrived, is evaluated again.
    assert len(calls(folder)) - before == 30 - record.evaluations
    run("run", "problem.py:bracket", "--store", "whole.db", "--search", search, "--budget", 30, "--seed", 7)
    with Store("runs.db") as store, Store("whole.db") as whole:
        a, b = store.load(answer["run_id"]), whole.load(whole.runs()[0].id)
    assert a.info.state == "finished"
    assert a.orders.tolist() == list(range(30))
    assert np.array_equal(a.designs, b.designs)
    assert np.array_equal(a.evaluation.objectives, b.evaluation.objectives)


def test_an_interrupted_run_says_so_and_keeps_its_evaluations(folder):
    process = started(folder, "--search", "random", "--budget", 100, evaluations=5)
    process.send_signal(signal.SIGINT)
    process.wait(timeout=30)
    assert process.returncode == 130
    with Store("runs.db") as store:
        (record,) = store.runs()
    assert record.state == "interrupted"
    assert record.evaluations >= 4


def test_two_processes_share_one_store(folder):
    processes = [started(folder, "--search", "random", "--budget", 20, "--seed", s, evaluations=1) for s in (1, 2)]
    answers = [json.loads(p.communicate(timeout=60)[0]) for p in processes]
    assert answers[0]["run_id"] != answers[1]["run_id"]
    listed = json.loads(run("runs", "--store", "runs.db", "--json").stdout)
    assert {(row["run"], row["evaluations"], row["state"]) for row in listed} == {
        (answer["run_id"], 20, "finished") for answer in answers
    }


def test_report_and_export_work_from_the_store(folder):
    answer = json.loads(run("run", "designopt/ThreeTruss-v0", "--search", "random", "--budget", 12, "--json").stdout)
    run("report", answer["run_id"], "-o", "page.html")
    assert "designopt/ThreeTruss-v0" in (folder / "page.html").read_text()
    assert run("export", answer["run_id"], "-o", "table.csv").stdout == "table.csv: 12 evaluations\n"
    assert len((folder / "table.csv").read_text().splitlines()) == 13
    run("export", answer["run_id"], "-o", "optuna:sqlite:///optuna.db")
    assert (folder / "optuna.db").exists()


def test_environments_and_backends_are_listed():
    envs = json.loads(run("envs", "--json").stdout)
    beam = next(row for row in envs if row["env"] == "designopt/WeldedBeam-v0")
    assert beam["parameters"] == 4
    assert beam["constraints"] == 5
    assert beam["known optimum"] == pytest.approx(2.381134)
    backends = {row["backend"]: row for row in json.loads(run("backends", "--json").stdout)}
    assert {"random", "sobol", "local", "ga", "de", "nsga2", "tpe", "cmaes", "gp", "scbo"} <= set(backends)
    assert backends["nsga2"]["objectives"] == "several"
    table = run("envs").stdout
    assert all(row["env"] in table for row in envs), "a name is cut short"


def test_help_is_the_answer_to_no_command():
    done = run()
    assert "Usage:" in done.stdout
    assert "resume" in done.stdout


def test_data_sets_are_listed_and_added(folder, capsys, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    monkeypatch.delenv("DESIGNOPT_DATA", raising=False)
    code, out, _ = inside(capsys, monkeypatch, "data", "list", "--json")
    entries = {entry["name"]: entry for entry in json.loads(out)}
    assert code == 0
    assert entries["protein/gb1_wu2016.csv.gz"]["licence"] == "CC BY 4.0"
    assert not any(entry["here"] for entry in entries.values())
    (folder / "wrong.gz").write_bytes(b"")
    code, out, err = inside(capsys, monkeypatch, "data", "add", "protein/gb1_wu2016.csv.gz", "wrong.gz")
    assert (code, out) == (2, "")
    assert "wrong.gz is not the data set protein/gb1_wu2016.csv.gz" in err
    (folder / "right.gz").write_bytes(b"right")
    known = data.DataSet("toy/right.gz", hashlib.sha256(b"right").hexdigest(), "us", "CC0")
    monkeypatch.setattr(data, "catalogue", lambda: {known.name: known})
    code, out, _ = inside(capsys, monkeypatch, "data", "add", "toy/right.gz", "right.gz")
    assert code == 0
    assert data.find("toy/right.gz").read_bytes() == b"right"
    assert out.strip() == str(data.find("toy/right.gz"))


def test_runs_are_exported_as_one_data_set_and_as_episodes(folder, capsys, monkeypatch):
    for seed in (0, 1):
        inside(capsys, monkeypatch, "run", "designopt/ThreeTruss-v0", "--search", "random", "--budget", "4",
               "--seed", str(seed), "--json")  # fmt: skip
    with Store(folder / "designopt.db") as store:
        ids = [run.id for run in store.runs()]
    code, out, _ = inside(capsys, monkeypatch, "export", *ids, "-o", "all.csv", "--schema", "archgym")
    assert (code, out.strip()) == (0, "all.csv: 8 evaluations")
    lines = (folder / "all.csv").read_text().splitlines()
    assert len(lines) == 9
    assert lines[0].startswith("env,env_version,cost_model,workload,agent")
    code, out, _ = inside(capsys, monkeypatch, "export", *ids, "-o", "all.jsonl")
    assert (code, out.strip()) == (0, "all.jsonl: 8 steps")
    assert len((folder / "all.jsonl").read_text().splitlines()) == 2
    code, _, err = inside(capsys, monkeypatch, "export", *ids, "-o", "all.csv")
    assert code == 2
    assert "2 runs in one file need --schema archgym" in err
    code, _, err = inside(capsys, monkeypatch, "export", ids[0], "-o", "a.csv", "--schema", "rlds")
    assert code == 2
    assert "--schema rlds; allowed: run, archgym" in err
