"""What Ray costs: sweeps against their ideal wall time, short simulators, the single writer, Ray Tune in comparison.

    python benchmarks/ray_sweeps.py

Simulators sleep, so they need no core and the ideal is known; everything else does need the cores. About six minutes on
two idle cores. Writes docs/benchmarks/ray.md.
"""

import os
import platform
import statistics
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import psutil

from designopt import DesignEnv, DesignSpace, Evaluation, Objective, Real
from designopt.executors import Finished, RayExecutor
from designopt.executors.ray_executor import join
from designopt.runs import Ask
from designopt.store import RunInfo, Store
from designopt.sweep.plan import read_plan
from designopt.sweep.run import sweep
from designopt.sweep.writer import RemoteStore, start_writer

OUTPUT = Path(__file__).parents[1] / "docs" / "benchmarks" / "ray.md"
WORKERS = 2
STUDIES, BUDGET, SECONDS = 64, 200, 0.02


class Sleeper(DesignEnv):
    """A bowl whose evaluation takes so many seconds of sleep."""

    design_space = DesignSpace({name: Real(-5, 5) for name in ("x1", "x2", "x3", "x4")})
    objectives = (Objective("y"),)

    def __init__(self, seconds=SECONDS):
        super().__init__()
        self.seconds = seconds

    def evaluate(self, designs):
        """designs: (n, 4) -> objectives (n, 1)."""
        time.sleep(self.seconds * len(designs))
        return Evaluation((designs**2).sum(axis=1, keepdims=True))


def rss_mb(process=None):
    return (process or psutil.Process()).memory_info().rss / 1e6


def timed(run):
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def per_call():
    """Median milliseconds of one empty task and one empty actor call, and per task of many at once."""
    import ray

    @ray.remote
    def nothing():
        return None

    @ray.remote
    class Nobody:
        def nothing(self):
            return None

    actor = Nobody.remote()
    ray.get([actor.nothing.remote()] + [nothing.remote() for _ in range(20)])
    task = statistics.median(timed(lambda: ray.get(nothing.remote())) for _ in range(300))
    call = statistics.median(timed(lambda: ray.get(actor.nothing.remote())) for _ in range(300))
    many = timed(lambda: ray.get([nothing.remote() for _ in range(2000)])) / 2000
    ray.kill(actor)
    return [1e3 * value for value in (task, call, many)]


def throughput(seconds):
    """Evaluations per second of the Ray executor: chunked by itself, and held to one design per call; largest chunk."""
    env = Sleeper(seconds)
    n = round(6 * WORKERS / max(seconds, 0.002))
    designs = env.design_space.sample(n, seed=0)
    with RayExecutor(env, WORKERS, num_cpus=1) as executor:
        executor.submit(range(WORKERS), designs[:WORKERS])
        warm = 0
        while warm < WORKERS:
            warm += sum(len(finished.orders) for finished in executor.wait())

        singles = max(WORKERS, n // 4)
        started, sent, back = time.perf_counter(), 0, 0
        while back < singles:
            while sent < singles and sent - back < WORKERS:
                executor.submit([sent], designs[sent, None])
                sent += 1
            back += sum(len(finished.orders) for finished in executor.wait())
        alone = singles / (time.perf_counter() - started)

        started, back, largest = time.perf_counter(), 0, 0
        executor.submit(range(n), designs)
        while back < n:
            for finished in executor.wait():
                back += len(finished.orders)
                largest = max(largest, len(finished.orders))
        return alone, n / (time.perf_counter() - started), largest


def main_sweep(folder):
    """The share of the ideal wall time after start-up, start-up in seconds, and memory of the driver and the writer."""
    plan = read_plan(
        {
            "sweep": {"name": "ray", "seeds": STUDIES // 2, "budget": BUDGET, "store": f"{folder}/sweep.db"},
            "env": [{"id": Sleeper()}],
            "backend": [{"name": "local"}, {"name": "ga"}],
        }
    )
    seen = []  # time, evaluations, MB of the driver, MB of the writer
    writers = []

    def progress(_, evaluations):
        if not writers and evaluations:
            children = psutil.Process().children(recursive=True)
            writers.extend(p for p in children if p.name().startswith("ray::Writer"))
        if evaluations:
            seen.append((time.perf_counter(), evaluations, rss_mb(), rss_mb(writers[0]) if writers else np.nan))

    started = time.perf_counter()
    result = sweep(plan, progress=progress)
    frame = result.frame
    assert (frame["evaluations"] == BUDGET).all()
    first, last = seen[0], seen[-1]
    ideal = (STUDIES * BUDGET - first[1]) * SECONDS / WORKERS
    wall = last[0] - first[0]
    tenth = next(row for row in seen if row[1] > STUDIES * BUDGET / 10)
    return ideal / wall, wall, first[0] - started, tenth, last


def writer_rate(folder, clients, rows, calls):
    """Evaluations per second that the writer enters, and milliseconds of a call, for clients that call all the time."""
    import ray

    info = RunInfo(
        env="Sleeper",
        env_arguments={},
        space=Sleeper.design_space,
        objectives=Sleeper.objectives,
        constraints=(),
        backend="random",
        hyperparameters={},
        seed=0,
    )
    path = f"{folder}/writer-{clients}-{rows}.db"
    with Store(path) as store:
        ids = [store.create_run(info) for _ in range(clients)]
    writer = start_writer(path)

    def client(run_id):
        store = RemoteStore(writer, path)
        evaluation = Evaluation(np.zeros((rows, 1)))
        designs = np.zeros((rows, 4))
        store.load(run_id)
        started = time.perf_counter()
        for first in range(0, rows * calls, rows):
            part = Finished(np.arange(first, first + rows), designs, evaluation, "node-01234567/serial (1)")
            store.record(run_id, [Ask(first, rows, first, rows)], [part], first)
        return started, time.perf_counter()

    spans = ray.get([ray.remote(client).options(num_cpus=0).remote(run_id) for run_id in ids])
    ray.kill(writer)
    wall = max(stop for _, stop in spans) - min(start for start, _ in spans)
    return clients * rows * calls / wall, 1e3 * statistics.mean((stop - start) / calls for start, stop in spans)


def cost_of_a_study(folder):
    """Milliseconds per study of one evaluation that takes no time, all included, and driver kB per study."""
    plan = read_plan(
        {
            "sweep": {"name": "many", "seeds": 400, "budget": 1, "store": f"{folder}/many.db"},
            "env": [{"id": Sleeper(0.0)}],
            "backend": [{"name": "random"}],
        }
    )
    times = []
    sweep(plan, progress=lambda _, evaluations: times.append((time.perf_counter(), evaluations)))
    begun = [(at, n) for at, n in times if n]
    each = (begun[-1][0] - begun[0][0]) / (begun[-1][1] - begun[0][1])
    before = rss_mb()
    large = read_plan(
        {
            "sweep": {"name": "large", "seeds": 20_000, "budget": 1},
            "env": [{"id": Sleeper(0.0)}],
            "backend": [{"name": "random"}],
        }
    )
    return 1e3 * each, 1e3 * (rss_mb() - before) / len(large.studies)


def tune_or_tasks(folder):
    """Wall seconds of eight studies of 50 evaluations of 20 ms: plain tasks, Tune, Tune that keeps its actors."""
    import ray
    from ray import tune

    studies = range(8)

    def study(seed):
        import designopt

        return designopt.optimize(Sleeper(), "local", 50, seed=seed).best_value

    def trial(config):
        tune.report({"best": study(config["seed"])})

    task = ray.remote(study).options(num_cpus=1)
    ray.get([task.remote(seed) for seed in range(WORKERS)])
    found = {"plain tasks": timed(lambda: ray.get([task.remote(seed) for seed in studies]))}
    for name, keep in (("Ray Tune", False), ("Ray Tune, `reuse_actors=True`", True)):
        tuner = tune.Tuner(
            tune.with_resources(trial, {"cpu": 1}),
            param_space={"seed": tune.grid_search(list(studies))},
            tune_config=tune.TuneConfig(reuse_actors=keep),
            run_config=tune.RunConfig(storage_path=f"{folder}/tune-{keep}", verbose=0),
        )
        found[name] = timed(tuner.fit)
    return found


def main():
    load, began = os.getloadavg()[0], time.perf_counter()
    join(None, cpus=WORKERS)
    with tempfile.TemporaryDirectory() as folder:
        share, wall, start, tenth, last = main_sweep(folder)
        print(f"sweep {share:.1%}", flush=True)
        task, call, many = per_call()
        rows = {seconds: throughput(seconds) for seconds in (0.001, 0.01, 0.1)}
        print(rows, flush=True)
        rates = {
            (c, r): writer_rate(folder, c, r, n) for c, r, n in ((1, 1, 1000), (2, 1, 1000), (8, 1, 400), (2, 100, 200))
        }
        print(rates, flush=True)
        each, kilobytes = cost_of_a_study(folder)
        walls = tune_or_tasks(folder)
    ideal = 8 * 50 * SECONDS / WORKERS
    verdict = "held" if share >= 0.9 else "missed"
    flat = last[2] - tenth[2]
    lines = [
        "# Ray: sweeps, short simulators, the writer",
        "",
        f"Command: `python benchmarks/ray_sweeps.py`, on {os.cpu_count()} cores ({platform.machine()}), Python "
        f"{platform.python_version()}, Ray {version('ray')}; load average {load:.1f} before it "
        f"began and {os.getloadavg()[0]:.1f} at the end; it took {(time.perf_counter() - began) / 60:.0f} minutes.",
        "Simulators sleep: they leave the cores to designopt and Ray, and whatever else runs on the machine.",
        "",
        "## A sweep against its ideal",
        "",
        f"{STUDIES} studies of {BUDGET} evaluations of {1e3 * SECONDS:.0f} ms on {WORKERS} CPUs, half of them `local` "
        "(one design at a time), half `ga`, into one sqlite file.",
        "",
        "| | |",
        "|---|---|",
        f"| start-up, to the first recorded evaluation (Ray runs already) | {start:.1f} s |",
        f"| wall time from there | {wall:.1f} s |",
        f"| ideal for the same evaluations | {share * wall:.1f} s |",
        f"| share of the ideal (target: at least 90 %, {verdict}) | {100 * share:.1f} % |",
        f"| memory of the driver after a tenth, at the end | {tenth[2]:.0f} MB, {last[2]:.0f} MB ({flat:+.1f}) |",
        f"| memory of the writer after a tenth, at the end | {tenth[3]:.0f} MB, {last[3]:.0f} MB |",
        "",
        "## Short simulators on the Ray executor",
        "",
        f"An empty Ray task costs {task:.2f} ms there and back, {many:.2f} ms when many are sent at once; a call of an "
        f"actor {call:.2f} ms. `RayExecutor` with {WORKERS} workers makes chunks of about 0.1 s of short evaluations.",
        "",
        "| simulator | one per call, evaluations/s | of ideal | in chunks, evaluations/s | of ideal | largest chunk |",
        "|---|---|---|---|---|---|",
    ]
    for seconds, (alone, chunked, largest) in rows.items():
        best = WORKERS / seconds
        lines.append(
            f"| {1e3 * seconds:.0f} ms | {alone:.0f} | {100 * alone / best:.0f} % "
            f"| {chunked:.0f} | {100 * chunked / best:.0f} % | {largest} |"
        )
    lines += [
        "",
        "## The single writer",
        "",
        "Studies that do nothing but record; all processes share the cores.",
        "",
        "| studies at once | evaluations per call | evaluations/s | µs per evaluation | one call, ms |",
        "|---|---|---|---|---|",
    ]
    for (clients, count), (rate, milliseconds) in rates.items():
        lines.append(f"| {clients} | {count} | {rate:,.0f} | {1e6 / rate:.0f} | {milliseconds:.2f} |")
    lines += [
        "",
        "## Studies",
        "",
        f"A study of one evaluation that takes no time costs {each:.0f} ms on {WORKERS} CPUs, from the queue to its "
        f"end in the store. A planned study takes {kilobytes:.1f} kB of the driver's memory.",
        "",
        "## Ray Tune or plain tasks",
        "",
        f"Eight studies of 50 evaluations of {1e3 * SECONDS:.0f} ms on {WORKERS} CPUs; the ideal is {ideal:.0f} s. "
        "Workers of the tasks were started before.",
        "",
        "| | wall, s | per study beyond the ideal, s |",
        "|---|---|---|",
        *[f"| {name} | {s:.1f} | {(s - ideal) * WORKERS / 8:.2f} |" for name, s in walls.items()],
    ]
    OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    OUTPUT.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
