"""All seeds of an experiment in step, their autoencoders trained as one network: ten seeds cost about one."""

from __future__ import annotations

from collections.abc import Sequence as Seq
from dataclasses import dataclass
from typing import Any

import numpy as np

from designopt import Evaluation
from designopt.env import DesignEnv
from designopt.offline import OfflineData
from designopt.parameters import Array
from designopt.search.sequence.fitness import unique_rows
from designopt.search.sequence.pgvae import PGVAESearch, propose_together
from designopt.surrogates.device import one_thread


@dataclass(frozen=True)
class SeedRun:
    """What one seed evaluated: (rounds * batch, d) designs in order, their Evaluation, and a row of facts a round."""

    seed: int
    designs: Array
    evaluation: Evaluation
    trace: list[dict[str, Any]]


@one_thread
def run_seeds(
    env: DesignEnv, seeds: Seq[int], rounds: int, batch: int = 100, *, device: str = "cpu", **hyperparameters: Any
) -> list[SeedRun]:
    """PGVAE from the environment's initial data, ``rounds`` batches for each seed.

    Raises:
        ValueError: the environment knows fewer than two designs beforehand, or a hyper-parameter is not allowed.
    """
    from designopt.searcher import make_config

    config = make_config(PGVAESearch, hyperparameters)
    known = env.offline_data() if isinstance(env, OfflineData) else (np.empty((0, env.design_space.dim)), None)
    if known[1] is None or len(known[0]) < 2:
        raise ValueError(f"{env.id} knows {len(known[0])} designs beforehand; at least 2 are needed")
    searchers = [PGVAESearch(env, config, seed=seed, device=device) for seed in seeds]
    for searcher in searchers:
        searcher.tell(env.design_space.validate(known[0]), known[1])
    told: list[list[tuple[Array, Evaluation]]] = [[] for _ in seeds]
    for _ in range(rounds):
        rngs = [s._generator(len(s.history)) for s in searchers]
        rows = [unique_rows(s.history) for s in searchers]
        for i, designs in enumerate(propose_together(searchers, [batch] * len(seeds), rows, rngs)):
            searchers[i].note(designs, len(searchers[i].history))
            evaluation = env.evaluate(designs)
            searchers[i].tell(designs, evaluation)
            told[i].append((designs, evaluation))
    return [
        SeedRun(seed, np.concatenate([d for d, _ in t]), Evaluation.concatenate([e for _, e in t]), searcher.trace)
        for seed, t, searcher in zip(seeds, told, searchers, strict=True)
    ]
