"""A sweep file (TOML or YAML) or the same as a mapping, checked and spread out into studies; docs/sweep.md."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from designopt.env import DesignEnv
from designopt.registry import backend, make
from designopt.runs import RunInfo
from designopt.searcher import check_compatible
from designopt.store import run_name
from designopt.store_text import to_json
from designopt.sweep import tables
from designopt.sweep.configurations import configurations
from designopt.sweep.tables import Table

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Planned:
    """One study of a sweep.

    Attributes:
        info: what it sets out to do.
        distinct: end of its id: the same for the same sweep, environment, backend, hyper-parameters and seed.
        env: position of its environment in ``Plan.envs``.
    """

    info: RunInfo
    distinct: str
    env: int

    @property
    def run_id(self) -> str:
        """Its id in the store."""
        return run_name(self.info, self.distinct)


@dataclass(frozen=True)
class Limits:
    """Of one evaluation, see ``designopt.executors.make_executor``."""

    timeout: float | None
    memory_mb: float | None
    retries: int

    @property
    def guarded(self) -> bool:
        """Whether a limit has to be enforced by killing, which needs a process of its own."""
        return self.timeout is not None or self.memory_mb is not None


@dataclass(frozen=True)
class Asha:
    """Early stopping: at ``grace``, ``grace * reduction``, ... evaluations the best 1 / ``reduction`` go on."""

    grace: int
    reduction: int


@dataclass(frozen=True)
class Plan:
    """A sweep: its studies, and what they share.

    Attributes:
        name: of the sweep; it belongs to one file, for studies are found again by it.
        envs: the environments.
        store: path or URL.
        resources: ``num_cpus`` and ``num_gpus`` that Ray reserves for a study.
        asha: None for no early stopping.
    """

    name: str
    studies: list[Planned]
    envs: list[DesignEnv]
    store: str
    resources: dict[str, float]
    limits: Limits
    asha: Asha | None

    @property
    def frame(self) -> pd.DataFrame:
        """One row per study: run_id, env, env_arguments, backend, config, seed, budget and the hyper-parameters."""
        import pandas as pd

        rows = [
            {
                "run_id": study.run_id,
                "env": study.info.env,
                "env_arguments": study.info.env_arguments,
                "backend": study.info.backend,
                "config": study.info.configuration,
                "seed": study.info.seed,
                "budget": study.info.budget,
                "hyperparameters": study.info.hyperparameters,
            }
            for study in self.studies
        ]
        return pd.DataFrame(rows)


def read_plan(source: str | os.PathLike[str] | Mapping[str, Any], store: str | None = None) -> Plan:
    """The plan in a file or mapping; ``store`` replaces the one named there.

    Raises:
        ValueError: one line that names the file, the table, the key and what is allowed.
    """
    if isinstance(source, Mapping):
        return _plan("sweep:", source, store)
    return _plan(f"{os.fspath(source)}:", _parsed(Path(source)), store)


def _parsed(path: Path) -> Any:
    if path.suffix not in (".toml", ".yaml", ".yml"):
        raise ValueError(f"{path}: a sweep file is FILE.toml or FILE.yaml")
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from None
    if path.suffix == ".toml":
        try:
            return tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise ValueError(f"{path}: not valid TOML: {error}") from None
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None


def _plan(where: str, values: Any, store: str | None) -> Plan:
    top = Table(where, values)
    sweep = Table(f"{where} [sweep]", top.take("sweep", tables.MAPPING))
    resources = Table(f"{where} [resources]", top.take("resources", tables.MAPPING, {}))
    evaluation = Table(f"{where} [evaluation]", top.take("evaluation", tables.MAPPING, {}))
    asha = top.take("asha", tables.MAPPING, None)
    envs = list(_entries(top, "env"))
    backends = list(_entries(top, "backend"))
    top.close()

    name = sweep.take("name", tables.TEXT)
    seeds = sweep.take("seeds", tables.SEEDS, 1)
    budget = sweep.take("budget", tables.COUNT)
    batch = sweep.take("batch", tables.COUNT, None)
    seconds = sweep.take("seconds", tables.POSITIVE, None)
    named_store = sweep.take("store", tables.TEXT, "designopt.db")
    sweep.close()
    limits = Limits(
        timeout=evaluation.take("timeout", tables.POSITIVE, None),
        memory_mb=evaluation.take("memory_mb", tables.POSITIVE, None),
        retries=evaluation.take("retries", tables.COUNT_FROM_0, 2),
    )
    evaluation.close()
    reserved = {
        "num_cpus": resources.take("num_cpus", tables.POSITIVE, 1.0),
        "num_gpus": resources.take("num_gpus", tables.GPUS, 0.0),
    }
    resources.close()

    made = [_env(table) for table in envs]
    described = {to_json([env.id, arguments]) for env, arguments in made}
    if len(described) < len(made):
        raise ValueError(f"{where} [[env]] names the same environment with the same arguments twice")
    searchers = _searchers(backends)
    shared: dict[str, Any] = {
        "budget": budget,
        "batch": batch,
        "seconds": seconds,
        "executor": "process" if limits.guarded else "serial",
        "limits": dataclasses.asdict(limits),
        "sweep": name,
    }
    studies = []
    for position, (env, arguments) in enumerate(made):
        for backend_name, table, configs in searchers:
            _check(table, check_compatible, backend(backend_name), env)
            for label, config in configs.items():
                for seed in range(seeds) if isinstance(seeds, int) else seeds:
                    info = RunInfo(
                        env=env.id,
                        env_arguments=arguments,
                        space=env.design_space,
                        objectives=env.objectives,
                        constraints=env.constraints,
                        backend=backend_name,
                        hyperparameters=dataclasses.asdict(config),
                        seed=seed,
                        configuration=label,
                        **shared,
                    )
                    studies.append(Planned(info, _distinct(info), position))
    return Plan(
        name=name,
        studies=studies,
        envs=[env for env, _ in made],
        store=store or named_store,
        resources=reserved,
        limits=limits,
        asha=None if asha is None else _asha(Table(f"{where} [asha]", asha), budget, [env for env, _ in made]),
    )


def _entries(top: Table, key: str) -> Iterator[Table]:
    """The tables of an array ``[[key]]``."""
    kind: tables.Kind = (
        f"one or more tables, each under [[{key}]]",
        lambda value: isinstance(value, list) and len(value) > 0,
    )
    for position, values in enumerate(top.take(key, kind), start=1):
        name = next((values[k] for k in ("id", "name") if isinstance(values, Mapping) and k in values), None)
        yield Table(f"{top.where} [[{key}]] {position}" + (f" ({name})" if isinstance(name, str) else ""), values)


def _env(table: Table) -> tuple[DesignEnv, dict[str, Any]]:
    """The environment of an ``[[env]]`` table, and the arguments that made it."""
    env = table.take("id", ("the id of an environment, FILE.py:NAME or MODULE:NAME", _env_like))
    arguments = table.take("arguments", tables.MAPPING, {})
    table.close()
    if isinstance(env, DesignEnv):
        if arguments:
            raise ValueError(f"{table.where} arguments = {arguments!r}; an environment that is made takes none")
        return env, dict(env.spec.kwargs) if env.spec is not None else {}
    if ":" not in env:
        return _check(table, make, env, **arguments), dict(arguments)
    from designopt.cli.environments import env_of

    return _check(table, env_of, env, dict(arguments)), dict(arguments)


def _env_like(value: Any) -> bool:
    return isinstance(value, DesignEnv) or tables.TEXT[1](value)


def _searchers(entries: list[Table]) -> list[tuple[str, Table, dict[str, Any]]]:
    """Name, table and label -> Config of every backend."""
    found: dict[str, tuple[str, Table, dict[str, Any]]] = {}
    for table in entries:
        name = table.take("name", tables.TEXT)
        fixed = table.take("fixed", tables.MAPPING, None)
        grid = table.take("grid", tables.LISTS, None)
        draws = table.take("draws", tables.COUNT, None)
        table.close()
        if name in found:
            raise ValueError(f"{table.where}: {name} is named twice; give all its configurations in one table")
        searcher = _check(table, backend, name)
        found[name] = name, table, _check(table, configurations, searcher, fixed=fixed, grid=grid, draws=draws)
    return list(found.values())


def _asha(table: Table, budget: int, envs: list[DesignEnv]) -> Asha:
    asha = Asha(table.take("grace", tables.COUNT), table.take("reduction", tables.COUNT_FROM_2, 3))
    table.close()
    if asha.grace >= budget:
        raise ValueError(f"{table.where} grace = {asha.grace}; it must be below the budget of {budget} evaluations")
    for env in envs:
        if len(env.objectives) > 1:
            raise ValueError(f"{table.where} compares one objective; {env.id} has {len(env.objectives)}")
    return asha


def _check(table: Table, function: Any, *arguments: Any, **named: Any) -> Any:
    """What a function returns; its complaint gets the place in the file."""
    try:
        return function(*arguments, **named)
    except ValueError as error:
        raise ValueError(f"{table.where}: {error}") from None


def _distinct(info: RunInfo) -> str:
    """48 bits that tell the studies of all sweeps apart."""
    identity = (info.sweep, info.env, info.env_arguments, info.backend, info.hyperparameters, info.seed)
    text = json.dumps(json.loads(to_json(identity)), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
