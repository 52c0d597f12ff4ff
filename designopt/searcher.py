"""Search backends: ask for designs, be told what they were worth."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from designopt.env import DesignEnv
from designopt.evaluation import Evaluation
from designopt.parameters import Array, Categorical, Parameter, suggest


def tunable(default: Any, candidates: Parameter, doc: str = "") -> Any:
    """A hyper-parameter field of a ``Config``: its default, and the range from which a sweep may draw."""
    return dataclasses.field(default=default, metadata={"range": candidates, "doc": doc})


class Searcher:
    """Ask / tell over one environment.

    Subclasses define ``ask`` and, when they learn, ``tell``; hyper-parameters live in a frozen dataclass ``Config``.

    Attributes:
        requires: protocols that the environment must offer.
        multi_objective: whether several objectives are searched for a Pareto front; one objective always works.
        batch: how many designs it likes to be asked for at once; None: as many as can be evaluated at once.
        memoryless: what ``ask`` returns depends only on the seed, the number of designs asked before, the history told
            and ``pending``. A resumed study then need not repeat past asks, only tell the history.
        space, objectives, constraints: the environment's.
        rng: numpy Generator seeded with the study's seed.
        name: the registered name under which it was made; empty for a class used directly.
        deadline: when the study's time is over (``time.monotonic()``), for searches whose ask takes long.
        bound: proved bound on the objective, in its own sign: no design is better. None: nothing is proved.
        trace: rows of what a search wants to say about its course, shown in reports.
    """

    requires: ClassVar[tuple[type, ...]] = (DesignEnv,)
    multi_objective: ClassVar[bool] = False
    memoryless: ClassVar[bool] = False

    @dataclass(frozen=True)
    class Config:
        """No hyper-parameters."""

    def __init__(self, env: DesignEnv, config: Any = None, *, seed: int = 0, device: str = "cpu") -> None:
        check_compatible(type(self), env)
        self.env = env
        self.space = env.design_space
        self.objectives = env.objectives
        self.constraints = env.constraints
        self.config = type(self).Config() if config is None else config
        self.seed = seed
        self.rng = np.random.default_rng(np.random.SeedSequence(seed))
        self.device = device
        self.batch: int | None = 1
        self.name = ""
        self.deadline = float("inf")
        self.trace: list[dict[str, Any]] = []

    @property
    def bound(self) -> float | None:
        """See the class."""
        return None

    def ask(self, n: int, pending: Array) -> Array:
        """At most n new designs, (<= n, d); none says that there is nothing more to ask.

        Args:
            n: how many are wanted.
            pending: (p, d) designs asked before and not yet told.
        """
        raise NotImplementedError(f"{type(self).__name__} must define ask(n, pending)")

    def tell(self, designs: Array, evaluation: Evaluation) -> None:
        """Results of (n, d) designs in any order, batch size and status; searchers that do not learn ignore it."""


class History:
    """Everything a searcher was told, as arrays that grow in place.

    Attributes (all views of what was told so far, N rows):
        designs (N, d), unit (N, d), losses (N, m) minimised objectives, constraints (N, k), ok (N,), feasible (N,),
        violation (N,) scaled sum of violations (inf where not ok).
    """

    def __init__(self, env: DesignEnv) -> None:
        self._env = env
        self._size = 0
        m, k, d = len(env.objectives), len(env.constraints), env.design_space.dim
        self._columns: dict[str, np.ndarray[Any, Any]] = {
            "designs": np.empty((64, d)),
            "unit": np.empty((64, d)),
            "losses": np.empty((64, m)),
            "constraints": np.empty((64, k)),
            "ok": np.empty(64, dtype=bool),
            "feasible": np.empty(64, dtype=bool),
            "violation": np.empty(64),
        }

    def __len__(self) -> int:
        return self._size

    def __getattr__(self, name: str) -> Any:
        columns = self.__dict__.get("_columns", {})
        if name not in columns:
            raise AttributeError(name)
        return columns[name][: self._size]

    def append(self, designs: Array, evaluation: Evaluation) -> None:
        """Add n told designs."""
        stop = self._size + len(designs)
        if stop > len(self._columns["ok"]):
            extra = max(stop, 2 * self._size) - self._size
            for name, column in self._columns.items():
                grown = np.empty((self._size + extra, *column.shape[1:]), dtype=column.dtype)
                grown[: self._size] = column[: self._size]
                self._columns[name] = grown
        rows = slice(self._size, stop)
        self._size = stop
        self._columns["designs"][rows] = designs
        self._columns["unit"][rows] = self._env.design_space.to_unit(designs)
        self._columns["losses"][rows] = evaluation.losses(self._env.objectives)
        self._columns["constraints"][rows] = evaluation.constraints
        self._columns["ok"][rows] = evaluation.status == "ok"
        self._columns["feasible"][rows] = evaluation.feasible
        self._columns["violation"][rows] = evaluation.violation(self._env.constraints)


def check_compatible(searcher: type[Searcher], env: DesignEnv) -> None:
    """Raises ValueError when the backend cannot search this environment, saying why."""
    for protocol in searcher.requires:
        if not isinstance(env, protocol):
            needed = protocol.__name__
            raise ValueError(f"{searcher.__name__} needs an environment that offers {needed}; {env.id} does not")
    if len(env.objectives) > 1 and not searcher.multi_objective:
        raise ValueError(
            f"{searcher.__name__} searches one objective; {env.id} has {len(env.objectives)}: "
            f"{', '.join(o.name for o in env.objectives)}. `designopt backends` lists the multi-objective ones"
        )


def make_config(searcher: type[Searcher], hyperparameters: dict[str, Any]) -> Any:
    """A backend's Config from keyword values; text (from a command line) is read as the field's type.

    Raises:
        ValueError: unknown name (nearest ones suggested) or a value that does not fit its field.
    """
    known = {f.name: f for f in dataclasses.fields(searcher.Config)}
    values = {}
    for name, value in hyperparameters.items():
        if name not in known:
            raise ValueError(f"{searcher.__name__} has no hyper-parameter {name!r}; {suggest(name, known)}")
        candidates = known[name].metadata.get("range")
        listed = isinstance(value, str) and isinstance(candidates, Categorical) and value in candidates.choices
        values[name] = value if listed else read_as(name, value, known[name].default)  # choices may differ in type
    return searcher.Config(**values)


def read_as(name: str, value: Any, like: Any) -> Any:
    """Text as the type of ``like``; other values pass, a whole number where a float is wanted becomes one.

    Raises:
        ValueError: text that does not read as that type, or a value of another type.
    """
    if like is None or like is dataclasses.MISSING:
        return literal(value)
    kind = type(like)
    if isinstance(value, str) and kind is not str:
        value = literal(value)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise ValueError(f"{name} = {value!r} must be {kind.__name__}, such as {like!r}")
    return value


def literal(value: Any) -> Any:
    """Text as the Python literal it spells (true, false, none in any case), or the text itself; other values pass."""
    if not isinstance(value, str):
        return value
    import ast

    named = {"true": True, "false": False, "none": None}
    if value.lower() in named:
        return named[value.lower()]
    try:
        return ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return value
