"""What holds for every search backend."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from designopt.env import DesignEnv
from designopt.evaluation import STATUSES
from designopt.parameters import Categorical, Integer, Ordinal, Real
from designopt.searcher import Searcher
from designopt.testing.environments import require
from designopt.testing.problems import BiObjectiveProblem, MixedProblem, TinyProblem
from designopt.testing.trial import Factory, Trial


def check_searcher(
    searcher: type[Searcher] | Factory,
    env: DesignEnv | None = None,
    *,
    rounds: int = 3,
    batch: int = 4,
    history: int = 48,
    seed: int = 0,
    stochastic: bool = True,
) -> None:
    """Check a search backend against the contract of ``Searcher``.

    Without ``env`` it searches small problems that hold every kind of parameter, constraints, several objectives (when
    it says that it can) and fewer designs than evaluations. That takes about 100 + 20 rounds asks, with ``env``
    40 + 10 rounds, and more when asks return fewer designs than wanted.

    Args:
        searcher: the class, or a function (environment, seed) -> searcher.
        env: search this environment only, for backends that need what the built-in problems do not offer.
        rounds: how often each check asks.
        batch: for how many designs at once.
        history: designs told at the start of most checks, enough to be past a backend's initial design.
        seed: of everything.
        stochastic: whether another seed must give other designs.

    Raises:
        AssertionError: what is wrong, in a sentence.
    """
    if isinstance(searcher, type):
        _check_config(searcher)
    make = _constructor(searcher) if isinstance(searcher, type) else searcher
    main = Trial(make, env or MixedProblem(), rounds, batch, history, seed)
    for check in (
        _check_sizes,
        _check_seed,
        _check_aliasing,
        _check_grouping,
        _check_foreign,
        *_MEETS_TROUBLE,
    ):
        check(main)
    if stochastic:
        _check_seeds_differ(main)
    if env is not None:
        return
    others: list[DesignEnv] = [TinyProblem()]
    if main.searcher().multi_objective:
        others.append(BiObjectiveProblem())
    elif isinstance(searcher, type):
        _check_one_objective(searcher)
    for other in others:
        for check in (_check_sizes, _check_grouping, *_MEETS_TROUBLE):
            check(dataclasses.replace(main, env=other))


def _constructor(searcher: type[Searcher]) -> Factory:
    return lambda env, seed: searcher(env, searcher.Config(), seed=seed, device="cpu")


# Checks that use the contract as it is meant ----------------------------------------------------------------------


def _check_sizes(t: Trial) -> None:
    """Any number may be asked for, before and after results; what it likes is a number or None."""
    for told in (False, True):
        searcher = t.searcher(told=told)
        liked = searcher.batch
        require(
            liked is None or (isinstance(liked, int) and liked >= 1),
            f"{type(searcher).__name__}: batch = {liked!r}; it must be None or at least 1",
        )
        for n in (1, 2, 3 * t.batch):
            t.tell(searcher, t.ask(searcher, n))


def _check_seed(t: Trial) -> None:
    """The same seed and the same calls give the same designs, whatever other code draws from global generators."""
    searcher = t.searcher(told=True)
    record = [designs.copy() for designs in t.run(searcher)]
    state = np.random.get_state()  # noqa: NPY002 - the point is what others do to the global generator
    try:
        np.random.seed(t.seed + 12345)  # noqa: NPY002
        again = [designs.copy() for designs in t.run(t.searcher(told=True))]
    finally:
        np.random.set_state(state)  # noqa: NPY002
    name = f"{type(searcher).__name__} on {t.env.id}"
    require(
        all(np.array_equal(a, b) for a, b in zip(record, again, strict=True)),
        f"{name}: two searchers with seed {t.seed} and the same asks and tells asked for different designs",
    )
    if searcher.memoryless:
        _check_memoryless(t)


def _check_memoryless(t: Trial) -> None:
    """What a memoryless searcher asks for next depends on the history told, not on past asks."""
    searcher = t.searcher(told=True)
    history = []
    for _ in range(t.rounds):
        designs = t.ask(searcher, t.batch)
        t.tell(searcher, designs)
        history.append(designs.copy())
    resumed = t.searcher(told=True)
    for designs in history:
        t.tell(resumed, designs)
    require(
        np.array_equal(t.ask(searcher, t.batch), t.ask(resumed, t.batch)),
        f"{type(searcher).__name__} on {t.env.id} says it is memoryless, but after the same tells without the asks "
        "it asked for other designs",
    )


def _check_seeds_differ(t: Trial) -> None:
    for told in (False, True):
        first, second = t.searcher(told=told), t.searcher(seed=t.seed + 1, told=told)
        pairs = zip(t.run(first), t.run(second), strict=True)
        require(
            not all(np.array_equal(a, b) for a, b in pairs),
            f"{type(first).__name__} on {t.env.id}: seeds {t.seed} and {t.seed + 1} asked for the same designs",
        )


def _check_aliasing(t: Trial) -> None:
    """Arrays that went in or came out belong to the caller afterwards."""
    searcher, twin = t.searcher(), t.searcher()
    designs = t.env.design_space.sample(t.history, t.seed + 1)
    for _ in range(t.rounds):
        t.tell(twin, designs)
        given, evaluation = designs.copy(), t.env.evaluate(designs)
        searcher.tell(given, evaluation)
        given[:] = t.env.design_space.low  # valid, so that what is noticed is the change
        for values in (evaluation.objectives, evaluation.constraints):
            values[:] = 0.0
        asked, designs = t.ask(searcher, t.batch), t.ask(twin, t.batch)
        require(
            np.array_equal(asked, designs),
            f"{type(searcher).__name__} on {t.env.id} keeps an array that the caller changed after the call; copy it",
        )
        asked[:] = t.env.design_space.low


def _check_grouping(t: Trial) -> None:
    """Results told one by one or together lead to the same next designs."""
    together, single = t.searcher(told=True), t.searcher(told=True)
    for _ in range(t.rounds):
        designs, same = t.ask(together, t.batch), t.ask(single, t.batch)
        require(
            np.array_equal(designs, same),
            f"{type(together).__name__} on {t.env.id}: results told one by one, not together, changed the next ask",
        )
        evaluation = t.with_failure(t.env.evaluate(designs))
        t.tell(together, designs, evaluation)
        for i in range(len(designs)):
            t.tell(single, designs[i : i + 1], evaluation[i])


def _check_foreign(t: Trial) -> None:
    """Designs that it never asked for, and the same design twice, are welcome at any time."""
    searcher = t.searcher(told=True)
    for i in range(t.rounds):
        designs = t.ask(searcher, t.batch)
        foreign = t.env.design_space.sample(t.batch, t.seed + 2 + i)
        t.tell(searcher, np.concatenate([foreign, designs, designs[:1], foreign[:1]]))
    t.ask(searcher, t.batch)


# Checks that bring trouble ----------------------------------------------------------------------------------------


def _check_pending(t: Trial) -> None:
    """Results may be late or never come: ask is no barrier."""
    for told in (False, True):
        searcher = t.searcher(told=told)
        pending = np.empty((0, t.env.design_space.dim))
        while len(pending) < t.history:
            pending = np.concatenate([pending, t.ask(searcher, max(t.history // 4, 1), pending)])
        order = np.random.default_rng(t.seed).permutation(len(pending))
        t.tell(searcher, pending[order[::2]])
        t.ask(searcher, t.batch, pending[order[1::2]])


def _check_statuses(t: Trial) -> None:
    """Rows of every status are digested, among good ones and when there are no good ones at all."""
    mixed = t.searcher(told=True)
    for status in STATUSES:
        designs = t.ask(mixed, t.batch)
        t.tell(mixed, designs, t.failure(len(designs), status) if status != "ok" else None)
    t.ask(mixed, t.batch)
    for status in ("invalid", "failed"):
        hopeless = t.searcher()
        foreign = t.env.design_space.sample(t.history, t.seed + 1)
        t.tell(hopeless, foreign, t.failure(len(foreign), status))
        designs = t.ask(hopeless, t.batch)
        t.tell(hopeless, designs, t.failure(len(designs), status))
        t.tell(hopeless, t.ask(hopeless, t.batch))
        t.ask(hopeless, t.batch)


def _check_infeasible(t: Trial) -> None:
    """No feasible design so far, by far, is no reason to stop."""
    if not t.env.constraints:
        return
    searcher = t.searcher()
    designs = t.env.design_space.sample(t.history, t.seed + 1)
    for _ in range(t.rounds):
        evaluation = t.env.evaluate(designs)
        t.tell(searcher, designs, dataclasses.replace(evaluation, constraints=np.abs(evaluation.constraints) + 1e6))
        designs = t.ask(searcher, t.batch)


def _check_in_flight(t: Trial) -> None:
    """From nothing, with evaluations in flight, told backwards; more designs than a tiny space has."""
    for _ in t.run(t.searcher(), 2 * t.rounds):
        pass


_MEETS_TROUBLE = (_check_pending, _check_statuses, _check_infeasible, _check_in_flight)


# Checks of the class ----------------------------------------------------------------------------------------------


def _check_config(searcher: type[Searcher]) -> None:
    """Hyper-parameters are frozen, and a sweep may draw each from its whole range."""
    config = searcher.Config
    name = f"{searcher.__name__}.Config"
    require(dataclasses.is_dataclass(config), f"{name} must be a dataclass")
    require(config.__dataclass_params__.frozen, f"{name} must be a frozen dataclass")  # type: ignore[attr-defined]
    for field in dataclasses.fields(config):
        candidates = field.metadata.get("range")
        require(candidates is not None, f"{name}.{field.name} must be declared by tunable(default, range)")
        values: list[Any]
        match candidates:
            case Real() | Integer():
                values = [candidates.low, candidates.high]
            case Ordinal():
                values = list(candidates.values)
            case Categorical():
                values = list(candidates.choices)
            case _:
                raise AssertionError(f"{name}.{field.name}: range = {candidates!r} must be a parameter of one column")
        for value in values:
            try:
                config(**{field.name: value})
            except ValueError as error:
                raise AssertionError(f"{name}.{field.name}: {value!r} is in its range but refused: {error}") from error


def _check_one_objective(searcher: type[Searcher]) -> None:
    try:
        searcher(BiObjectiveProblem(), searcher.Config(), seed=0, device="cpu")
    except ValueError:
        return
    raise AssertionError(
        f"{searcher.__name__} is not multi_objective but accepts an environment with two objectives; "
        "call super().__init__, which refuses it"
    )
