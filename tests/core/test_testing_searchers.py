from dataclasses import dataclass, field

import numpy as np
import pytest

from designopt import DesignEnv, DesignSpace, Evaluation, Integer, Objective, Real, Searcher, Sequence, tunable
from designopt.testing import TinyProblem, check_searcher


class Good(Searcher):
    """Random search that remembers what it was told, so that it has something to get wrong."""

    multi_objective = True

    @dataclass(frozen=True)
    class Config:
        share: float = tunable(0.5, Real(0.0, 1.0))

    def __init__(self, env, config=None, *, seed=0, device="cpu"):
        super().__init__(env, config, seed=seed, device=device)
        self.told = []

    def ask(self, n, pending):
        return self.space.sample(n, self.rng)

    def tell(self, designs, evaluation):
        self.told += [(design.copy(), loss) for design, loss in zip(designs, evaluation.objectives[:, 0], strict=True)]


def test_a_sound_searcher_passes():
    check_searcher(Good)


def test_a_factory_of_searchers_is_checked_like_a_class():
    check_searcher(lambda env, seed: Good(env, Good.Config(share=0.1), seed=seed))


class OutOfBounds(Good):
    def ask(self, n, pending):
        return self.space.sample(n, self.rng) + 0.5


class Flat(Good):
    def ask(self, n, pending):
        return self.space.sample(n, self.rng)[0]


class SinglePrecision(Good):
    def ask(self, n, pending):
        return self.space.snap(self.space.sample(n, self.rng)).astype(np.float32)


class Lists(Good):
    def ask(self, n, pending):
        return self.space.sample(n, self.rng).tolist()


class TooMany(Good):
    def ask(self, n, pending):
        return self.space.sample(n + 1, self.rng)


class Barrier(Good):
    def ask(self, n, pending):
        return self.space.sample(0 if len(pending) >= 20 else n, self.rng)


class ChangesPending(Good):
    def ask(self, n, pending):
        pending[:] = 0
        return self.space.sample(n, self.rng)


class ChangesDesigns(Good):
    def tell(self, designs, evaluation):
        designs[:] = 0


class ChangesEvaluation(Good):
    def tell(self, designs, evaluation):
        evaluation.objectives[:] = np.nan_to_num(evaluation.objectives, nan=1e9)


class ChangesStatus(Good):
    def tell(self, designs, evaluation):
        evaluation.status[:] = "ok"


class KeepsDesigns(Good):
    def tell(self, designs, evaluation):
        self.last = designs

    def ask(self, n, pending):
        designs = self.space.sample(n, self.rng)
        designs[0] = getattr(self, "last", designs)[0]
        return designs


class KeepsValues(Good):
    def tell(self, designs, evaluation):
        self.values = evaluation.constraints

    def ask(self, n, pending):
        unlike = np.nan_to_num(getattr(self, "values", np.zeros((1, 1)))).sum() == 0
        return self.space.sample(n, self.rng)[: n - 1 if unlike and n > 1 else n]


class KeepsAsked(Good):
    def ask(self, n, pending):
        self.asked = self.space.sample(n, self.rng) if not hasattr(self, "asked") or n > len(self.asked) else self.asked
        return self.asked[:n]


class GlobalGenerator(Good):
    def ask(self, n, pending):
        return self.space.sample(n, np.random.randint(1000))  # noqa: NPY002


class Clock(Good):
    def ask(self, n, pending):
        return self.space.sample(n)


class Unseeded(Good):
    def __init__(self, env, config=None, *, seed=0, device="cpu"):
        super().__init__(env, config, seed=0, device=device)


class CountsCalls(Good):
    calls = 0

    def tell(self, designs, evaluation):
        self.calls += 1

    def ask(self, n, pending):
        return self.space.sample(n, self.calls + self.seed)


class NotMemoryless(Good):
    memoryless = True


class OnlyItsOwn(Good):
    def ask(self, n, pending):
        self.waiting = {row.tobytes() for row in self.space.sample(n, 1)}
        return self.space.sample(n, self.rng)

    def tell(self, designs, evaluation):
        if not all(row.tobytes() in self.waiting for row in designs):
            raise KeyError("a design that was never asked for")


class Forgetful(Good):
    def tell(self, designs, evaluation):
        if len({row.tobytes() for row in designs}) < len(designs):
            raise IndexError("told twice")


class NoValues(Good):
    def tell(self, designs, evaluation):
        if not np.isfinite(evaluation.objectives).any():
            raise FloatingPointError("nothing to learn from")


class NoTimeouts(Good):
    def tell(self, designs, evaluation):
        if "timeout" in evaluation.status:
            raise KeyError("timeout")


class NeedsFeasible(Good):
    def tell(self, designs, evaluation):
        super().tell(designs, evaluation)
        self.hopeless = (evaluation.status == "ok").any() and not evaluation.feasible.any() and len(designs) > 20

    def ask(self, n, pending):
        if getattr(self, "hopeless", False):
            raise ValueError("no feasible design to start from")
        return self.space.sample(n, self.rng)


class NeverTwice(Good):
    def ask(self, n, pending):
        known = {row.tobytes() for row, _ in self.told} | {row.tobytes() for row in pending}
        new = [row for row in self.space.sample(500, self.rng) if row.tobytes() not in known]
        return np.array(new[:n]).reshape(-1, self.space.dim)


class BatchOfZero(Good):
    def __init__(self, env, config=None, *, seed=0, device="cpu"):
        super().__init__(env, config, seed=seed, device=device)
        self.batch = 0


class Plain(Good):
    class Config:
        share = 0.5


class Thawed(Good):
    @dataclass
    class Config:
        share: float = tunable(0.5, Real(0.0, 1.0))


class Undeclared(Good):
    @dataclass(frozen=True)
    class Config:
        share: float = field(default=0.5)


class WideRange(Good):
    @dataclass(frozen=True)
    class Config:
        workers: int = tunable(1, Integer(0, 4))

        def __post_init__(self):
            if self.workers < 1:
                raise ValueError("workers must be at least 1")


class OddRange(Good):
    @dataclass(frozen=True)
    class Config:
        name: str = tunable("AA", Sequence("AB", 2))


class Boastful(Good):
    multi_objective = False

    def __init__(self, env, config=None, *, seed=0, device="cpu"):
        self.env, self.space, self.rng, self.told = env, env.design_space, np.random.default_rng(seed), []
        self.batch = 1


@pytest.mark.parametrize(
    ("searcher", "error", "sentence"),
    [
        (OutOfBounds, AssertionError, "outside the space: design 0"),
        (Flat, AssertionError, r"must return a float64 array \(n, 11\), not float64 array \(11,\)"),
        (SinglePrecision, AssertionError, "not float32 array"),
        (Lists, AssertionError, "not list"),
        (TooMany, AssertionError, "returned 2 designs; at least 1 and at most 1"),
        (Barrier, AssertionError, "24 pending.* returned 0 designs"),
        (ChangesPending, AssertionError, "changed the array of pending designs"),
        (ChangesDesigns, AssertionError, "tell changed the arrays"),
        (ChangesEvaluation, AssertionError, "tell changed the arrays"),
        (ChangesStatus, AssertionError, "tell changed the arrays"),
        (KeepsDesigns, AssertionError, "keeps an array"),
        (KeepsValues, AssertionError, "keeps an array"),
        (KeepsAsked, AssertionError, "keeps an array"),
        (GlobalGenerator, AssertionError, "asked for different designs"),
        (Clock, AssertionError, "asked for different designs"),
        (Unseeded, AssertionError, "seeds 0 and 1 asked for the same designs"),
        (CountsCalls, AssertionError, "one by one, not together"),
        (NotMemoryless, AssertionError, "says it is memoryless"),
        (OnlyItsOwn, KeyError, "never asked for"),
        (Forgetful, IndexError, "told twice"),
        (NoValues, FloatingPointError, "nothing to learn from"),
        (NoTimeouts, KeyError, "timeout"),
        (NeedsFeasible, ValueError, "no feasible design"),
        (NeverTwice, AssertionError, "TinyProblem.* returned 0 designs"),
        (BatchOfZero, AssertionError, "batch = 0"),
        (Plain, AssertionError, "must be a dataclass"),
        (Thawed, AssertionError, "must be a frozen dataclass"),
        (Undeclared, AssertionError, "share must be declared by tunable"),
        (WideRange, AssertionError, "workers: 0 is in its range but refused"),
        (OddRange, AssertionError, "must be a parameter of one column"),
        (Boastful, AssertionError, "is not multi_objective but accepts"),
    ],
)
def test_a_flaw_is_named(searcher, error, sentence):
    with pytest.raises(error, match=sentence):
        check_searcher(searcher)


def test_a_method_without_randomness_may_ignore_the_seed():
    check_searcher(Unseeded, stochastic=False)


def test_only_the_given_environment_is_searched():
    check_searcher(NeverTwice, _Wide())  # it has trouble with tiny spaces only
    with pytest.raises(AssertionError, match="TinyProblem"):
        check_searcher(NeverTwice, TinyProblem())


class _Wide(DesignEnv):
    design_space = DesignSpace(x=Real(0, 1), y=Real(0, 1))
    objectives = (Objective("f"),)

    def evaluate(self, designs):
        return Evaluation(designs[:, :1])
