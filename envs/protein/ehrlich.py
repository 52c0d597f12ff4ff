"""Ehrlich functions: closed-form landscapes with epistasis and infeasible sequences, of any length and alphabet.

Reference: Stanton, Alberstein, Frey, Watkins, Cho 2024, arXiv 2407.00236. Instances and values equal those of
pytorch-holo 0.0.5, whose random numbers (torch, CPU) are drawn in the same order.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from designopt import Constraint, Evaluation, Reference
from designopt.envs.protein.sequences import AMINO_ACIDS, Codes, SequenceLandscape
from designopt.parameters import Array

SYMBOLS = AMINO_ACIDS + "BJOUXZ" + "abcdefghijklmnopqrstuvwxyz" + "0123456789"
"""One letter a state: the amino acids first."""

CELLS = 2**17
"""Letters worked on at once, so that the intermediate arrays stay in the cache."""


@dataclass(frozen=True)
class EhrlichInstance:
    """What a seed generates.

    Attributes:
        transitions: (v, v) probabilities; a pair of adjacent letters with probability 0 is banned.
        stationary: (v,) distribution of the first letter of generated chains.
        motifs: (c, k) letters.
        spacings: (c, k) offsets of the letters from the first one of their motif.
    """

    transitions: Array
    stationary: Array
    motifs: NDArray[np.int64]
    spacings: NDArray[np.int64]


def generate_ehrlich(num_states: int, dim: int, num_motifs: int, motif_length: int, seed: int) -> EhrlichInstance:
    """The instance of a seed.

    Raises:
        ValueError: the banned transitions of this seed cut the states apart.
    """
    import torch

    v = num_states
    generator = torch.Generator().manual_seed(seed)
    transitions = torch.softmax(torch.randn(v, v, generator=generator) / 0.5, dim=-1)
    mask = torch.zeros(v, v)
    band = int(0.4 * v)
    for i in range(v):
        mask[i, [j % v for j in range(i - band, i + band + 1)]] = 1
    mask = mask[torch.randperm(v, generator=generator)]
    mask.fill_diagonal_(1)
    transitions = transitions * mask
    transitions = transitions / transitions.sum(dim=-1, keepdim=True)
    reachable = np.linalg.matrix_power((transitions.numpy() > 0).astype(np.float64) / v, (v - 1) ** 2 + 1)
    if not (reachable > 0).all():
        raise ValueError(f"seed = {seed}: the banned transitions cut the {v} states apart; take another seed")
    system = torch.cat([torch.eye(v) - transitions.T, torch.ones(1, v)])
    stationary = torch.linalg.lstsq(system, torch.cat([torch.zeros(v), torch.ones(1)])[:, None]).solution[:, 0]
    stationary = stationary.clamp(min=0)
    chain = _chains(1, num_motifs * motif_length, stationary, transitions, generator)[0]
    slack = (dim - num_motifs * motif_length) // num_motifs
    spacings = np.zeros((num_motifs, motif_length), dtype=np.int64)
    for offsets in spacings:
        share = torch.rand(motif_length - 1, generator=generator)
        gaps = 1 + torch.floor(slack * (share / share.sum())).long()
        offsets[1:] = np.cumsum(gaps.numpy())
    motifs = chain.reshape(num_motifs, motif_length)
    return EhrlichInstance(transitions.double().numpy(), stationary.double().numpy(), motifs, spacings)


def _chains(n: int, length: int, stationary: Any, transitions: Any, generator: Any) -> NDArray[np.int64]:
    """(n, length) Markov chains."""
    import torch

    states = [torch.multinomial(stationary, n, replacement=True, generator=generator)]
    for _ in range(length - 1):
        states.append(torch.multinomial(transitions[states[-1]], 1, generator=generator)[:, 0])
    return np.stack([state.numpy() for state in states], axis=1)


class Ehrlich(SequenceLandscape):
    """Product of how completely each of several spaced motifs is present; some pairs of neighbours are banned.

    Fitness from 0 to 1, maximise, in single precision as in pytorch-holo; 1 is attained. A sequence with a banned pair
    is infeasible, its fitness 0 (in pytorch-holo minus infinity); the constraint ``banned_transitions`` counts the
    pairs. Known beforehand: one feasible sequence, where the published searches start.

    Args:
        num_states: letters of the alphabet.
        dim: length of a sequence.
        num_motifs: how many motifs.
        motif_length: letters of a motif.
        quantization: how many levels the presence of a motif has; None: one a letter.
        epistasis_factor: how much a motif in part is worth less than its share.
        seed: of the instance.
        render_mode: None or "ansi".

    Raises:
        ValueError: an argument out of range, or motifs that do not fit the length.
    """

    constraints = (Constraint("banned_transitions"),)

    def __init__(
        self,
        num_states: int = 32,
        dim: int = 32,
        num_motifs: int = 4,
        motif_length: int = 4,
        quantization: int | None = None,
        epistasis_factor: float = 0.0,
        seed: int = 0,
        render_mode: str | None = None,
    ) -> None:
        quantization = motif_length if quantization is None else quantization
        lowest = {"num_states": 2, "dim": 1, "num_motifs": 1, "motif_length": 2, "quantization": 1, "seed": 0}
        for name, least in lowest.items():
            value = locals()[name]
            if not isinstance(value, int) or value < least:
                raise ValueError(f"{name} = {value!r}; it must be a whole number of at least {least}")
        if num_states > len(SYMBOLS):
            raise ValueError(f"num_states = {num_states}; at most {len(SYMBOLS)}")
        if quantization > motif_length:
            raise ValueError(f"quantization = {quantization}; at most motif_length = {motif_length}")
        if not 0 <= epistasis_factor < math.inf:
            raise ValueError(f"epistasis_factor = {epistasis_factor}; it must be finite and not negative")
        if num_motifs * motif_length > dim:
            raise ValueError(f"{num_motifs} motifs of {motif_length} letters do not fit dim = {dim}")
        super().__init__(SYMBOLS[:num_states], dim, render_mode)
        self.instance = generate_ehrlich(num_states, dim, num_motifs, motif_length, seed)
        self.seed = seed
        self._banned = self.instance.transitions == 0
        step = math.ceil(motif_length / quantization)  # letters to the next level
        share = (np.arange(motif_length + 1) // step).astype(np.float32) / np.float32(motif_length / step)
        self._response = (share * (1 + np.float32(epistasis_factor) * share * (share - 1))).astype(np.float32)
        best = self.optimal_solution()
        self.reference = Reference(
            "by construction", float(self.evaluate(best[None]).objectives[0, 0]), tuple(best.tolist())
        )
        self.calls.clear()

    def _evaluate(self, codes: Codes) -> Evaluation:
        n, length = codes.shape
        fitness, banned = np.empty(n, dtype=np.float32), np.empty(n)
        rows = max(CELLS // length, 1)
        for start in range(0, n, rows):
            part = slice(start, start + rows)
            # One row a position: comparing a motif's letter then reads whole rows.
            letters = np.ascontiguousarray(codes[part].T)
            banned[part] = self._banned[letters[:-1], letters[1:]].sum(axis=0)
            fitness[part] = self._presence(letters)
        fitness[banned > 0] = 0.0
        return Evaluation(fitness.astype(np.float64)[:, None], banned[:, None])

    def _presence(self, letters: Codes) -> NDArray[np.float32]:
        """(length, n) letters -> (n,) product over motifs, banned pairs or not."""
        length, n = letters.shape
        product = np.ones(n, dtype=np.float32)
        for motif, spacing in zip(self.instance.motifs, self.instance.spacings, strict=True):
            starts = length - int(spacing[-1])
            matches = np.zeros((starts, n), dtype=np.uint8)
            for letter, offset in zip(motif.tolist(), spacing.tolist(), strict=True):
                matches += letters[offset : offset + starts] == letter
            product *= self._response[matches.max(axis=0)]
        return product

    def optimal_solution(self) -> Array:
        """(dim,) a sequence that holds every motif: each gap repeats the letter before it, so does the end."""
        best: list[int] = []
        for motif, spacing in zip(self.instance.motifs.tolist(), self.instance.spacings, strict=True):
            gaps = [*np.diff(spacing).tolist(), 1]
            for letter, gap in zip(motif, gaps, strict=True):
                best += [letter] * gap
        best += [best[-1]] * (self.length - len(best))
        return np.array(best, dtype=np.float64)

    def initial_solution(self, n: int = 1) -> Array:
        """(n, dim) feasible sequences, chains of the instance's transition probabilities."""
        import torch

        generator = torch.Generator().manual_seed(self.seed)
        stationary, transitions = (
            torch.from_numpy(p).float() for p in (self.instance.stationary, self.instance.transitions)
        )
        return _chains(n, self.length, stationary, transitions, generator).astype(np.float64)

    def _known(self, rng: np.random.Generator) -> Array:
        return self.initial_solution(1)
