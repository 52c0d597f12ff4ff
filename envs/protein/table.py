"""Measured fitness landscapes: a table of sequences and what each was worth."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Callable
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from designopt import Evaluation, Reference
from designopt.envs.protein.sequences import AMINO_ACIDS, Codes, SequenceLandscape, decode, encode, enumerable, index
from designopt.parameters import Array, suggest

Missing = Literal["zero", "invalid", "nan"]


@dataclass(frozen=True)
class Table:
    """n measured sequences.

    Attributes:
        codes: (n, L) letters, all rows different.
        values: (n,) finite.
        source: where they come from, for messages.
    """

    alphabet: str
    codes: Codes
    values: Array
    source: str


def read_table(
    path: str | PathLike[str], value: str, alphabet: str = AMINO_ACIDS, *, columns: tuple[str, ...] = ("sequence",)
) -> Table:
    """A CSV file, gzipped or not, with sequences and a column of values.

    Args:
        path: of the file.
        value: name of the column of values.
        alphabet: allowed letters.
        columns: of sequences; a row that has several different ones gives each its value.

    Raises:
        ValueError: a file that cannot be read, a missing column, a value that is no finite number, a sequence of wrong
            length or alphabet, or one that is listed twice; the place is named.
    """
    path = Path(path)
    opener: Callable[..., object] = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rt", newline="", encoding="utf-8") as file:  # type: ignore[attr-defined]
            reader = csv.reader(file)
            header = [name.strip() for name in next(reader, [])]
            for name in (*columns, value):
                if name not in header:
                    raise ValueError(f"{path} has no column {name!r}; {suggest(name, header)}")
            rows = [row for row in reader if row]
    except (OSError, UnicodeDecodeError, EOFError) as error:
        raise ValueError(f"{path}: {getattr(error, 'strerror', None) or error}") from None
    if not rows:
        raise ValueError(f"{path} holds no sequences")
    for line, row in enumerate(rows, 2):
        if len(row) != len(header):
            raise ValueError(f"{path} line {line}: {len(row)} values; the header has {len(header)} columns")
    table = list(zip(*rows, strict=True))
    values = _numbers(table[header.index(value)], f"{path}: {value}")
    strings = [table[header.index(name)] for name in columns]
    length = len(strings[0][0])
    parts = [encode(column, alphabet, length, f"{path}: {name}") for name, column in zip(columns, strings, strict=True)]
    if not length:
        raise ValueError(f"{path}: sequence 0 is empty")
    codes, all_values = parts[0], values
    for part in parts[1:]:
        other = (part != parts[0]).any(axis=1)  # a palindrome is its own reverse complement
        codes, all_values = np.concatenate([codes, part[other]]), np.concatenate([all_values, values[other]])
    _check_distinct(codes, alphabet, str(path))
    return Table(alphabet, codes, all_values, str(path))


def _numbers(texts: tuple[str, ...], where: str) -> Array:
    try:
        values = np.array(texts, dtype=np.float64)
    except ValueError:
        values = np.array([_number(text) for text in texts])
    if not np.isfinite(values).all():
        row = int(np.flatnonzero(~np.isfinite(values))[0])
        raise ValueError(f"{where} {row} = {texts[row]!r}; it must be a finite number")
    return values


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return np.nan


def _check_distinct(codes: Codes, alphabet: str, where: str) -> None:
    packed = np.ascontiguousarray(codes).view(f"V{codes.shape[1]}")[:, 0]
    keys = index(codes, len(alphabet)) if enumerable(alphabet, codes.shape[1]) else packed
    _, first, count = np.unique(keys, return_index=True, return_counts=True)
    if len(first) < len(codes):
        row = int(first[count > 1].min())
        again = int(np.flatnonzero((codes == codes[row]).all(axis=1))[1])
        raise ValueError(
            f"{where}: sequence {decode(codes[row : row + 1], alphabet)[0]!r} is listed twice, as sequences {row} and "
            f"{again}; {len(codes) - len(first)} of {len(codes)} rows are duplicates"
        )


class TableLandscape(SequenceLandscape):
    """Looks sequences up in a table.

    Metric ``missing``: 1 for a sequence that is not in the table, else 0.

    Args:
        table: what was measured.
        missing: what a sequence is worth that was not: "zero"; "invalid" (status ``invalid``, the message names the
            sequence); "nan" (the same without a message).
        known: ``(generator) -> (n, L)`` codes of what is known beforehand; None: nothing is.
        tags: (n, e) codes that must precede the table's sequences, see ``separated``; None: none.
        data_seed: of what is known beforehand.
        render_mode: None or "ansi".
    """

    def __init__(
        self,
        table: Table,
        *,
        missing: Missing = "zero",
        known: Callable[[np.random.Generator], Codes] | None = None,
        tags: Codes | None = None,
        data_seed: int = 12345,
        render_mode: str | None = None,
    ) -> None:
        if missing not in get_args(Missing):
            raise ValueError(f"missing = {missing!r}; {suggest(missing, get_args(Missing))}")
        if not isinstance(data_seed, int) or data_seed < 0:
            raise ValueError(f"data_seed = {data_seed!r}; it must be a whole number, not negative")
        self.table, self.missing, self.tags, self.data_seed = table, missing, tags, data_seed
        self._tag_length = 0 if tags is None else tags.shape[1]
        variant = table.codes.shape[1]
        super().__init__(table.alphabet, self._tag_length + variant, render_mode)
        self._known_codes = known
        self._row_of: dict[bytes, int] = {}
        if enumerable(table.alphabet, variant):
            self._rows = np.full(len(table.alphabet) ** variant, -1, dtype=np.int32)
            self._rows[index(table.codes, len(table.alphabet))] = np.arange(len(table.codes))
        else:
            self._row_of = {code.tobytes(): row for row, code in enumerate(table.codes)}
        best = int(table.values.argmax())
        self.reference = Reference(
            "the best measured",
            float(table.values[best]),
            tuple(self._full(np.array([best]))[0].astype(float).tolist()),
        )

    def rows(self, codes: Codes) -> NDArray[np.int64]:
        """(n, L) codes -> (n,) rows of the table, -1 where there is none."""
        codes = np.ascontiguousarray(codes)
        variants = codes[:, self._tag_length :]
        if self._row_of:
            found = (self._row_of.get(variant.tobytes(), -1) for variant in variants)
            row = np.fromiter(found, dtype=np.int64, count=len(codes))
        else:
            row = self._rows[index(variants, len(self.alphabet))].astype(np.int64)
        if self.tags is not None:
            row[(codes[:, : self._tag_length] != self.tags[row]).any(axis=1)] = -1
        return row

    def _full(self, rows: NDArray[np.int64]) -> Codes:
        """Rows of the table -> (n, L) codes, tags included."""
        variants = self.table.codes[rows]
        return variants if self.tags is None else np.concatenate([self.tags[rows], variants], axis=1)

    def _evaluate(self, codes: Codes) -> Evaluation:
        row = self.rows(codes)
        absent = row < 0
        fitness = np.where(absent, 0.0 if self.missing == "zero" else np.nan, self.table.values[row])
        errors: NDArray[np.object_] = np.full(len(codes), "", dtype=object)
        if self.missing == "invalid":
            errors[absent] = [f"{s} was not measured" for s in decode(codes[absent], self.alphabet)]
        return Evaluation(fitness[:, None], metrics={"missing": absent.astype(np.float64)}, errors=errors)

    def _known(self, rng: np.random.Generator) -> Array:
        if self._known_codes is None:
            return np.empty((0, self.length))
        return self._known_codes(rng).astype(np.float64)

    def measured(self) -> tuple[Array, Array]:
        """All designs in the table, (n, L), and their fitness (n,)."""
        return self._full(np.arange(len(self.table.codes))).astype(np.float64), self.table.values
