"""Tables of trained architectures: one row a code, one column a measurement, read from CSV and checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from designopt.envs.nas.cells import check_digits, digits
from designopt.parameters import Array, suggest

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Table:
    """A CSV file with a column ``code`` (a digit for each place) and columns of numbers.

    Attributes:
        path: of the file, compressed or not.
        places: what the digits of a code stand for, in order.
        operations: what a digit says.

    Raises:
        ValueError: no such file, no column ``code``, a code that is no architecture, or one that stands there twice.
    """

    path: Path
    places: tuple[str, ...]
    operations: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.path.is_file():
            raise ValueError(f"table = {str(self.path)!r}: no such file")
        self._read()

    def _read(self) -> tuple[pd.DataFrame, NDArray[np.int64]]:
        stat = self.path.stat()
        return _read(self.path, stat.st_size, stat.st_mtime_ns, self.places, self.operations)

    @property
    def names(self) -> list[str]:
        """Columns other than the code."""
        return [str(name) for name in self._read()[0].columns if name != "code"]

    def column(self, name: str) -> Array:
        """-> one value for every number that a code can be, NaN where the table has no such row.

        Raises:
            ValueError: no column of this name, or a value in it that is no finite number.
        """
        frame, numbers = self._read()
        if name not in self.names:
            raise ValueError(f"{self.path}: no column {name!r}; {suggest(name, self.names)}")
        import pandas as pd

        values = pd.to_numeric(frame[name], errors="coerce").to_numpy(dtype=np.float64)
        broken = np.flatnonzero(~np.isfinite(values))
        if len(broken):
            row = broken[0]
            value = frame[name].iloc[row]
            raise ValueError(f"{self.path}, line {row + 2}, column {name}: {value!r} is no finite number")
        column = np.full(len(self.operations) ** len(self.places), np.nan)
        column[numbers] = values
        return column

    def numbers(self, designs: ArrayLike) -> NDArray[np.int64]:
        """(n, d) designs -> (n,) their codes read as numbers.

        Raises:
            ValueError: a value that is no operation, naming design and place.
        """
        whole = check_digits(designs, self.places, self.operations)
        return whole @ _powers(len(self.places), len(self.operations))

    def all_designs(self) -> Array:
        """Every design of the space, in the order of the numbers."""
        sizes = (len(self.operations),) * len(self.places)
        return np.indices(sizes).reshape(len(sizes), -1).T.astype(np.float64)


def open_table(path: str | PathLike[str], places: Sequence[str], operations: Sequence[str]) -> Table:
    """The table in that file; see ``Table`` for what is refused."""
    return Table(Path(path), tuple(places), tuple(operations))


def _powers(places: int, operations: int) -> NDArray[np.int64]:
    return np.asarray(operations ** np.arange(places)[::-1])


@lru_cache(maxsize=8)
def _read(
    path: Path, size: int, modified: int, places: tuple[str, ...], operations: tuple[str, ...]
) -> tuple[pd.DataFrame, NDArray[np.int64]]:
    """Rows, and the number of each code; size and time of change are in the key, so a changed file is read again."""
    import pandas as pd

    try:
        frame = pd.read_csv(path, dtype={"code": str}, keep_default_na=False)
    except (ValueError, OSError) as error:  # pandas' own errors for malformed text are ValueErrors
        raise ValueError(f"{path} cannot be read as CSV: {error}") from None
    if "code" not in frame.columns:
        raise ValueError(f"{path}: no column 'code'; it has {', '.join(map(str, frame.columns))}")
    rows = []
    for line, code in enumerate(frame["code"], 2):
        try:
            rows.append(digits(code, places, operations))
        except ValueError as error:
            raise ValueError(f"{path}, line {line}: {error}") from None
    numbers = np.array(rows, dtype=np.int64).reshape(-1, len(places)) @ _powers(len(places), len(operations))
    _, first, inverse = np.unique(numbers, return_index=True, return_inverse=True)
    again = np.flatnonzero(first[inverse] != np.arange(len(numbers)))
    if len(again):
        row, code = again[0], frame["code"].iloc[again[0]]
        raise ValueError(f"{path}, line {row + 2}: architecture {code!r} stands in line {first[inverse][row] + 2} too")
    return frame, numbers
