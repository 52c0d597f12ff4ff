"""What all sequence landscapes share: letters and their codes, and the account of oracle calls."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Sequence as Seq
from typing import Any

import numpy as np
from numpy.typing import NDArray

from designopt import DesignEnv, DesignSpace, Evaluation, Objective, Sequence
from designopt.parameters import Array

AMINO_ACIDS = "ACDEFGHIKLMNPQRSTVWY"

Codes = NDArray[np.uint8]
"""Sequences as (n, L) indices of letters."""

DENSE = 2**24
"""Up to so many sequences a space is indexed by one array."""


def encode(sequences: Seq[str], alphabet: str, length: int, where: str = "sequence") -> Codes:
    """Strings -> (n, length) codes.

    Raises:
        ValueError: a sequence of another length, or with a letter that is not in the alphabet; its place is named.
    """
    lengths = np.fromiter(map(len, sequences), dtype=np.int64, count=len(sequences))
    if (lengths != length).any():
        row = int(np.flatnonzero(lengths != length)[0])
        raise ValueError(
            f"{where} {row}: {sequences[row]!r} has {lengths[row]} letters; every sequence must have {length}"
        )
    code_of = np.full(2**16, 255, dtype=np.uint8)
    code_of[[ord(letter) for letter in alphabet]] = np.arange(len(alphabet))
    points = np.frombuffer("".join(sequences).encode("utf-16-le"), dtype=np.uint16)
    if len(points) != length * len(sequences):
        points = np.array([min(ord(letter), 2**16 - 1) for s in sequences for letter in s], dtype=np.uint16)
    codes = code_of[points].reshape(-1, length)
    if (codes == 255).any():
        row, position = np.argwhere(codes == 255)[0]
        raise ValueError(
            f"{where} {row}: letter {sequences[row][position]!r} at position {position + 1} of {sequences[row]!r} "
            f"is not in the alphabet {alphabet}"
        )
    return codes


def decode(codes: NDArray[np.integer], alphabet: str) -> list[str]:
    """(n, L) codes -> n strings."""
    letters = np.array(list(alphabet))[codes]
    length = codes.shape[1]
    return np.ascontiguousarray(letters).view(f"<U{length}")[:, 0].tolist() if len(codes) else []


def enumerable(alphabet: str, length: int) -> bool:
    """Whether all sequences can be indexed by one array."""
    return bool(len(alphabet) ** length <= DENSE)


def index(codes: Codes, letters: int) -> NDArray[np.int64]:
    """(n, L) codes -> (n,) numbers of the sequences, the first position counting most."""
    number = codes[:, 0].astype(np.int64)
    for column in codes.T[1:]:
        number *= letters
        number += column
    return number


class Calls:
    """Exact account of the oracle calls of one environment object; each process has its own.

    Attributes:
        total: sequences evaluated.
        missing: of them, how many have no measured value.
    """

    def __init__(self, letters: int, length: int) -> None:
        self._letters = letters
        self._dense = letters**length <= DENSE
        self._size = letters**length if self._dense else 0
        self.clear()

    def clear(self) -> None:
        """Forget all calls."""
        self.total = self.missing = 0
        self._flags = np.zeros(self._size, dtype=bool)
        self._rows: set[bytes] = set()

    def add(self, codes: Codes, missing: int = 0) -> None:
        """Count (n, L) evaluated sequences."""
        self.total += len(codes)
        self.missing += missing
        if self._dense:
            self._flags[index(codes, self._letters)] = True
        elif len(codes):
            packed = np.ascontiguousarray(codes)
            self._rows.update(packed.view(f"V{codes.shape[1]}")[:, 0].tolist())

    @property
    def distinct(self) -> int:
        """Different sequences evaluated."""
        return int(np.count_nonzero(self._flags)) + len(self._rows)

    @property
    def duplicates(self) -> int:
        """Calls that asked for a sequence again."""
        return self.total - self.distinct


class SequenceLandscape(DesignEnv):
    """Fitness of sequences of one length, to maximise.

    Subclasses define ``_evaluate`` on codes, and ``_known`` when something is known beforehand.

    Attributes:
        alphabet: the letters, in the order of their codes.
        length: letters of a sequence.
        calls: account of what was evaluated.
    """

    objectives = (Objective("fitness", "max"),)
    data_seed = 0

    def __init__(self, alphabet: str, length: int, render_mode: str | None = None) -> None:
        super().__init__(render_mode)
        self.alphabet, self.length = alphabet, length
        self.design_space = DesignSpace(sequence=Sequence(alphabet, length))
        self.calls = Calls(len(alphabet), length)

    def evaluate(self, designs: Array) -> Evaluation:
        """designs: (n, L) codes -> fitness (n, 1); counted in ``calls``."""
        codes = np.asarray(designs).astype(np.uint8)
        evaluation = self._evaluate(codes)
        self.calls.add(codes, int(np.sum(evaluation.metrics.get("missing", 0))))
        return evaluation

    def _evaluate(self, codes: Codes) -> Evaluation:
        raise NotImplementedError

    def _known(self, rng: np.random.Generator) -> Array:
        """(n, L) designs whose values are known beforehand."""
        return np.empty((0, self.length))

    def offline_data(self, seed: int | None = None) -> tuple[Array, Evaluation]:
        """See ``designopt.offline.OfflineData``; not counted as calls."""
        designs = self._known(np.random.default_rng(self.data_seed if seed is None else seed))
        return designs, self._evaluate(designs.astype(np.uint8))

    def sequences(self, designs: NDArray[Any]) -> list[str]:
        """designs: (n, L) -> n strings."""
        return decode(np.asarray(designs).astype(np.int64), self.alphabet)

    def designs(self, sequences: Iterable[str]) -> Array:
        """Strings -> (n, L) designs.

        Raises:
            ValueError: a sequence of another length or with an unknown letter; its place is named.
        """
        return encode(list(sequences), self.alphabet, self.length).astype(np.float64)
