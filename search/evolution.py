"""Evolutionary algorithms of pymoo as search backends: a genetic algorithm, differential evolution and NSGA-II."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np
from pymoo.algorithms.moo.nsga2 import NSGA2, binary_tournament
from pymoo.algorithms.soo.nonconvex.de import DE
from pymoo.algorithms.soo.nonconvex.ga import GA, comp_by_cv_and_fitness
from pymoo.core.duplicate import DuplicateElimination
from pymoo.core.evaluator import Evaluator
from pymoo.core.individual import Individual
from pymoo.core.mixed import MixedVariableMating
from pymoo.core.population import Population
from pymoo.core.problem import Problem
from pymoo.core.termination import NoTermination
from pymoo.core.variable import Choice
from pymoo.core.variable import Integer as IntegerVariable
from pymoo.core.variable import Real as RealVariable
from pymoo.operators.crossover.sbx import SBX
from pymoo.operators.crossover.ux import UX
from pymoo.operators.mutation.pm import PM
from pymoo.operators.mutation.rm import ChoiceRandomMutation
from pymoo.operators.repair.rounding import RoundingRepair
from pymoo.operators.selection.tournament import TournamentSelection
from pymoo.problems.static import StaticProblem

from designopt import Categorical, Evaluation, Integer, Real, Searcher, tunable
from designopt.env import DesignEnv
from designopt.parameters import Array
from designopt.search.seen import Seen, keys

MATINGS = 10
"""How often mating is repeated when its offspring are known designs, before random ones take their place."""


class Evolution(Searcher):
    """What the three algorithms share: pymoo's algorithm object, driven by ask and tell without a barrier.

    A queue holds the offspring of one mating of the whole population. ``ask`` hands out what the queue holds; when it
    is empty, everything told so far goes through pymoo's survival and the survivors are mated again. Designs still in
    evaluation then are not waited for: they enter the next survival. When there are none, as in a serial run, this is
    pymoo's generational algorithm, design by design, however few each ask takes.

    The first population is random; mating starts once ``population`` designs have values. Designs without values are
    not admitted. Infeasible ones are, ranked by pymoo's feasibility rules on scaled constraints. Designs proposed by
    others take part in the survival like any. No design is proposed twice before mating and random draws give no new.
    """

    config: Any

    def __init__(self, env: DesignEnv, config: Any = None, *, seed: int = 0, device: str = "cpu") -> None:
        super().__init__(env, config, seed=seed, device=device)
        self.batch = self.config.population
        self._seen = Seen(self.space)
        self._queue: deque[tuple[Array, Individual]] = deque()
        self._asked: dict[bytes, Individual] = {}  # and not yet told
        self._told: list[Individual] = []  # and not yet through survival
        self._scale = np.array([c.scale for c in self.constraints])
        self._problem = Problem(n_obj=len(self.objectives), n_ieq_constr=len(self.constraints), **self._variables())
        self._algorithm = self._make_algorithm()
        self._algorithm.setup(self._problem, seed=int(self.rng.integers(2**31)), termination=NoTermination())

    def _variables(self) -> dict[str, Any]:
        return {"vars": self.space.pymoo()}

    def _to_x(self, designs: Array) -> Any:
        """(n, d) designs -> n pymoo genomes."""
        return self.space.to_pymoo(designs)

    def _to_designs(self, x: Any) -> Array:
        return self.space.from_pymoo(x)

    def _make_algorithm(self) -> Any:
        raise NotImplementedError

    def ask(self, n: int, pending: Array) -> Array:
        """-> (<= n, d) designs, at most those that one mating gave."""
        if not self._queue:
            self._fill(n, len(pending))
        taken = [self._queue.popleft() for _ in range(min(n, len(self._queue)))]
        designs = np.array([design for design, _ in taken])
        self._asked.update(zip(keys(designs), (individual for _, individual in taken), strict=True))
        return designs

    def tell(self, designs: Array, evaluation: Evaluation) -> None:
        """Results in any order, batch size and status; they count at the next mating."""
        self._seen.add(designs)
        x = self._to_x(designs)
        told = [self._asked.pop(key, None) or Individual(X=x[i]) for i, key in enumerate(keys(designs))]
        ok = np.flatnonzero(evaluation.status == "ok")
        if not len(ok):
            return
        population = Population.create(*[told[i] for i in ok])
        values = StaticProblem(
            self._problem, F=evaluation.losses(self.objectives)[ok], G=evaluation.constraints[ok] / self._scale
        )
        Evaluator().eval(values, population)
        self._told += list(population)

    def _fill(self, n: int, in_evaluation: int) -> None:
        size = self.config.population
        if not self._algorithm.is_initialized:
            if len(self._told) < size:
                missing = max(size - len(self._told) - in_evaluation, n)
                return self._enqueue(self._seen.sample(missing, self.rng))
            first, self._told = self._told[:size], self._told[size:]
            self._algorithm.tell(infills=Population.create(*first))
        told, self._told = self._told, []
        self._survive(told)
        offspring = self._mate()
        if len(offspring):
            self._enqueue(self._to_designs(offspring.get("X")), offspring)
        else:
            self._enqueue(self._seen.sample(n, self.rng))

    def _enqueue(self, designs: Array, individuals: Any = None) -> None:
        if individuals is None:
            individuals = [Individual(X=x) for x in self._to_x(designs)]
        self._seen.add(designs)
        self._queue.extend(zip(designs, individuals, strict=True))

    def _survive(self, told: list[Individual]) -> None:
        if told:
            self._algorithm.tell(infills=Population.create(*told))

    def _mate(self) -> Population:
        """Up to ``population`` offspring, each a new design."""
        a = self._algorithm
        return a.mating.do(self._problem, a.pop, self.config.population, algorithm=a, random_state=a.random_state)

    def _unseen(self, offspring: Population) -> Population:
        return offspring[self._seen.fresh(self._to_designs(offspring.get("X")))]


class Unseen(DuplicateElimination):  # type: ignore[misc]
    """Drops offspring that are designs proposed or told before; a parent is one of them."""

    def __init__(self, searcher: Evolution) -> None:
        super().__init__()
        self._searcher = searcher

    def do(self, pop: Population, *others: Population, **kwargs: Any) -> Population:
        """Population -> those of it that are new, also with respect to the offspring made just before."""
        earlier = others[-1] if len(others) > 1 else []
        both = Population.merge(Population.create(*earlier), pop) if len(earlier) else pop
        return self._searcher._unseen(both)[len(earlier) :]


@dataclass(frozen=True)
class GeneticConfig:
    """Hyper-parameters of the genetic algorithms (defaults of pymoo where it has one)."""

    population: int = tunable(20, Integer(10, 200, log=True), "designs per generation")
    crossover: float = tunable(0.9, Real(0.5, 1.0), "probability that two parents are crossed")
    crossover_eta: float = tunable(15.0, Real(3.0, 30.0), "distribution index of simulated binary crossover")
    mutations: float = tunable(1.0, Real(0.5, 3.0), "expected number of columns that mutate")
    mutation_eta: float = tunable(20.0, Real(3.0, 30.0), "distribution index of polynomial mutation")

    def __post_init__(self) -> None:
        _at_least(self, population=4)
        _within(self, crossover=(0, 1))
        for name in ("crossover_eta", "mutations", "mutation_eta"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} = {getattr(self, name)}; it must be positive")


class GeneticSearch(Evolution):
    """Mating over mixed variables: each kind of column has pymoo's crossover and mutation for it."""

    def _mating(self, selection: Any) -> MixedVariableMating:
        c: GeneticConfig = self.config
        # pymoo gives each categorical column a rate of its own, 1/2, whatever the number of columns; ours is shared.
        rate = min(0.5, c.mutations / self.space.dim)
        rounded = {"vtype": float, "repair": RoundingRepair()}
        return MixedVariableMating(
            selection=selection,
            crossover={
                RealVariable: SBX(prob=c.crossover, eta=c.crossover_eta),
                IntegerVariable: SBX(prob=c.crossover, eta=c.crossover_eta, **rounded),
                Choice: UX(prob=c.crossover),
            },
            mutation={
                RealVariable: PM(prob_var=rate, eta=c.mutation_eta),
                IntegerVariable: PM(prob_var=rate, eta=c.mutation_eta, **rounded),
                Choice: ChoiceRandomMutation(prob_var=rate),
            },
            eliminate_duplicates=Unseen(self),
            n_max_iterations=MATINGS,
        )


class GASearch(GeneticSearch):
    """Genetic algorithm of pymoo: tournaments, crossover, mutation, survival of the fittest of parents and offspring.

    Good for rugged, mixed and categorical problems with cheap evaluations (hundreds to many thousands). See
    ``Evolution`` for the asynchronous form.
    """

    @dataclass(frozen=True)
    class Config(GeneticConfig):
        """Hyper-parameters."""

    def _make_algorithm(self) -> GA:
        selection = TournamentSelection(func_comp=comp_by_cv_and_fitness)
        return GA(pop_size=self.config.population, mating=self._mating(selection))


class NSGA2Search(GeneticSearch):
    """NSGA-II [Deb2002] of pymoo: non-dominated sorting and crowding, for two or three objectives.

    Good for mapping a whole Pareto front when hundreds of evaluations and more are affordable. See ``Evolution`` for
    the asynchronous form.
    """

    multi_objective = True

    @dataclass(frozen=True)
    class Config(GeneticConfig):
        """Hyper-parameters; the population is also the number of points that the front is spread over."""

        population: int = tunable(40, Integer(10, 200, log=True), "designs per generation")

    def _make_algorithm(self) -> NSGA2:
        selection = TournamentSelection(func_comp=binary_tournament)
        return NSGA2(pop_size=self.config.population, mating=self._mating(selection))


class DESearch(Evolution):
    """Differential evolution [Storn1997] of pymoo, over the unit coding; a category is the highest of its scores.

    Good for real parameters, many local optima and cheap evaluations. An offspring competes with the one member of the
    population that it was made for; a design proposed by others competes with the worst. See ``Evolution`` for the
    asynchronous form.
    """

    @dataclass(frozen=True)
    class Config:
        """Hyper-parameters (defaults of pymoo but for ``crossover``)."""

        population: int = tunable(20, Integer(10, 200, log=True), "designs per generation")
        base: str = tunable("best", Categorical(["best", "rand", "target-to-best"]), "the vector that is changed")
        weight: float = tunable(0.5, Real(0.4, 0.9), "factor F of the difference vector")
        crossover: float = tunable(0.7, Real(0.1, 0.9), "probability CR that a coordinate is taken from the donor")

        def __post_init__(self) -> None:
            _at_least(self, population=5)
            _within(self, crossover=(0, 1), weight=(0, 2))
            if self.base not in ("best", "rand", "target-to-best"):
                raise ValueError(f"base = {self.base!r}; allowed: 'best', 'rand', 'target-to-best'")

    def _variables(self) -> dict[str, Any]:
        width = int(np.where(self.space.categorical, self.space.choices, 1).sum())
        return {"n_var": width, "xl": 0.0, "xu": 1.0}

    def _to_x(self, designs: Array) -> Array:
        return self.space.one_hot(designs)

    def _to_designs(self, x: Any) -> Array:
        return self.space.from_one_hot(x)

    def _make_algorithm(self) -> DE:
        c = self.config
        return DE(pop_size=c.population, variant=f"DE/{c.base}/1/bin", F=c.weight, CR=c.crossover)

    def _mate(self) -> Population:
        for _ in range(MATINGS):
            offspring = super()._mate()
            offspring.set("index", np.arange(len(offspring)))  # the member each was made for
            new = self._unseen(offspring)
            if len(new):
                return new
        return Population.create()

    def _survive(self, told: list[Individual]) -> None:
        while told:
            worst = int(self._algorithm.pop.get("rank").argmax())
            this: list[Individual] = []
            later: list[Individual] = []
            taken: set[int] = set()
            for individual in told:  # each member meets one rival at a time
                slot = individual.get("index")
                if slot is None:
                    slot = worst
                    if slot not in taken:
                        individual.set("index", slot)
                (later if slot in taken else this).append(individual)
                taken.add(slot)
            self._algorithm.tell(infills=Population.create(*this))
            told = later


def _at_least(config: Any, **least: int) -> None:
    for name, low in least.items():
        if getattr(config, name) < low:
            raise ValueError(f"{name} = {getattr(config, name)}; it must be at least {low}")


def _within(config: Any, **bounds: tuple[float, float]) -> None:
    for name, (low, high) in bounds.items():
        if not low <= getattr(config, name) <= high:
            raise ValueError(f"{name} = {getattr(config, name)}; it must be in [{low}, {high}]")
