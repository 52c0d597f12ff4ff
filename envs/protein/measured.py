"""The measured landscapes: four sites of two proteins, 28 of a viral capsid, and DNA that binds transcription factors.

References: [Wu2016] eLife 5:e16965; [Podgornaia2015] Science 347:673; [Bryant2021] Nat. Biotechnol. 39:691;
[Barrera2016] Science 351:1450; docs/environments/protein.md.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from os import PathLike

import numpy as np
from numpy.typing import NDArray

from designopt import data
from designopt.envs.protein.pools import check_pools, draw, good_count, level_of
from designopt.envs.protein.sequences import AMINO_ACIDS, Codes, encode
from designopt.envs.protein.table import Missing, Table, TableLandscape, read_table
from designopt.envs.protein.tags import TAG_LENGTHS, separated
from designopt.parameters import Array, suggest

AAV_MUTATIONS = (6, 8, 10, 12, 15)
"""Mutations that the bad sequences have more than, at each level of separation."""

N_LOW = 1000
"""Bad sequences in an initial data set."""

FACTORS = ("SIX6_REF_R1", "CRX_REF_R1", "PAX6_REF_R1")

Known = Callable[[np.random.Generator], Codes]


def published(file: str, value: str, alphabet: str = AMINO_ACIDS, columns: tuple[str, ...] = ("sequence",)) -> Table:
    """A published table, see ``read_table``; read once a process, for reports make the environment of every study."""
    return _parsed(str(data.find(file)), value, alphabet, columns)  # its checksum says that it is still the same


@functools.lru_cache(maxsize=8)
def _parsed(path: str, value: str, alphabet: str, columns: tuple[str, ...]) -> Table:
    table = read_table(path, value, alphabet, columns=columns)
    table.codes.flags.writeable = table.values.flags.writeable = False  # environments share it
    return table


class _FourSites(TableLandscape):
    """What GB1 and PhoQ share."""

    file, wild_type = "", ""

    def __init__(
        self,
        path: str | PathLike[str] | None = None,
        value: str = "fitness",
        missing: Missing = "zero",
        separation: int | None = None,
        imbalance: float | None = None,
        data_seed: int = 12345,
        render_mode: str | None = None,
    ) -> None:
        name = type(self).__name__
        table = published(self.file, value) if path is None else read_table(path, value)
        if separation is None and imbalance is None:
            known = _wild_type(self.wild_type, table)
            super().__init__(table, missing=missing, known=known, data_seed=data_seed, render_mode=render_mode)
            return
        length = int(level_of(separation, TAG_LENGTHS[name]))
        tagged = separated(
            TableLandscape(table, data_seed=data_seed),
            length,
            0.1 if imbalance is None else imbalance,
            n_low=N_LOW,
            seed=data_seed,
        )
        super().__init__(
            tagged.table,
            missing=missing,
            known=tagged._known_codes,
            tags=tagged.tags,
            data_seed=data_seed,
            render_mode=render_mode,
        )


def _wild_type(wild_type: str, table: Table) -> Known | None:
    """Where nothing else is known beforehand: the wild type, if the table has it."""
    if len(wild_type) != table.codes.shape[1]:
        return None
    codes = encode([wild_type], table.alphabet, len(wild_type))
    return (lambda _: codes) if (table.codes == codes).all(axis=1).any() else None


class GB1(_FourSites):
    """Binding of protein G, domain B1, at sites 39, 40, 41 and 54: 149 361 of 160 000 variants measured.

    Fitness, maximise, relative to the wild type VDGV (1), which is known beforehand; the best measured is FWAA.

    Args:
        path: a CSV file of the same form, gzipped or not, in place of the published data.
        value: its column of values.
        missing: "zero", "invalid" or "nan": what variants are worth that were not measured, see TableLandscape.
        separation: level 0 to 3: tags of 3, 4, 5 or 8 letters before the four sites, see
            ``designopt.envs.protein.separated``; fitness is then relative to the largest.
        imbalance: good sequences over bad ones (1000) in the initial data set; separation alone means 0.1, imbalance
            alone means level 0.
        data_seed: of the tags and the initial data set.
        render_mode: None or "ansi".

    Raises:
        DataMissing: the data set is not on this machine; it says how to add it.
        DataCorrupt: it is there and has another checksum.
        ValueError: a file or an argument that is not as described; the place is named.
    """

    file, wild_type = "protein/gb1_wu2016.csv.gz", "VDGV"


class PhoQ(_FourSites):
    """Signalling of the kinase PhoQ at sites 284, 285, 288 and 289: 140 517 of 160 000 variants measured.

    Fitness, maximise; the wild type AVST (3.29) is known beforehand; the best measured is TEMH.

    Args:
        path: a CSV file of the same form, gzipped or not, in place of the published data.
        value: its column of values.
        missing: "zero", "invalid" or "nan": what variants are worth that were not measured, see TableLandscape.
        separation: level 0 to 3: tags of 3, 4, 6 or 8 letters, as for GB1.
        imbalance: good sequences over bad ones in the initial data set, as for GB1.
        data_seed: of the tags and the initial data set.
        render_mode: None or "ansi".

    Raises:
        DataMissing, DataCorrupt, ValueError: as for GB1.
    """

    file, wild_type = "protein/phoq_podgornaia2015.csv.gz", "AVST"


class AAV(TableLandscape):
    """Viability of an adeno-associated virus, capsid positions 561 to 588: 42 340 variants of 28 letters measured.

    Fitness, maximise: log2 of viral selection + 10; above 10 is viable. The wild type (9.08) is known beforehand.

    Args:
        path: a CSV file of the same form, gzipped or not, in place of the published data.
        value: its column of values.
        missing: "zero", "invalid" or "nan": what variants are worth that were not measured, see TableLandscape.
        separation: level 0 to 4: the bad sequences known beforehand have more than 6, 8, 10, 12 or 15 mutations and are
            not viable. The good ones are viable, between the 5th and the 10th percentile of those that are. Fitness is
            then relative to the largest.
        imbalance: good sequences over bad ones (1000) in the initial data set; separation alone means 0.1, imbalance
            alone means level 0.
        data_seed: of the initial data set.
        render_mode: None or "ansi".

    Raises:
        DataMissing, DataCorrupt, ValueError: as for GB1.
    """

    file, wild_type = "protein/aav_bryant2021_len28.csv.gz", "DEEEIRTTNPVATEQYGSVSTNLQRGNR"

    def __init__(
        self,
        path: str | PathLike[str] | None = None,
        value: str = "score",
        missing: Missing = "zero",
        separation: int | None = None,
        imbalance: float | None = None,
        data_seed: int = 12345,
        render_mode: str | None = None,
    ) -> None:
        table = published(self.file, value) if path is None else read_table(path, value)
        if separation is None and imbalance is None:
            known = _wild_type(self.wild_type, table)
        else:
            known = _far_and_few(table, self.wild_type, separation, imbalance)
            table = Table(table.alphabet, table.codes, table.values / table.values.max(), table.source)
        super().__init__(table, missing=missing, known=known, data_seed=data_seed, render_mode=render_mode)


def _far_and_few(table: Table, wild_type: str, separation: int | None, imbalance: float | None) -> Known:
    mutations = level_of(separation, AAV_MUTATIONS)
    n_high = good_count(imbalance, N_LOW)
    distance = (table.codes != encode([wild_type], table.alphabet, table.codes.shape[1])).sum(axis=1)
    viable = table.values > 10
    first, last = np.percentile(table.values[viable], [5, 10]) if viable.any() else (np.inf, -np.inf)
    bad = np.flatnonzero(~viable & (distance > mutations))
    good = np.flatnonzero(viable & (table.values >= first) & (table.values <= last))
    check_pools(len(bad), len(good), N_LOW, n_high, f"{table.source}: more than {mutations:g} mutations")
    return lambda rng: table.codes[draw(bad, good, N_LOW, n_high, rng)]


class TFBind8(TableLandscape):
    """Binding of a transcription factor to all 65 536 DNA sequences of length 8, both strands of equal value.

    Fitness, maximise: the E-score of protein-binding microarrays, from -0.5 to 0.5.

    Args:
        factor: "SIX6_REF_R1", "CRX_REF_R1" or "PAX6_REF_R1".
        path: a CSV file of the same form, gzipped or not, in place of the published data; without a column
            ``reverse_complement``, one strand a row.
        value: its column of values.
        missing: "zero", "invalid" or "nan", see TableLandscape; the published tables are complete.
        offline: share of the sequences, the worst, that is known beforehand: 0.5 is the split of offline optimisation.
            Both strands stay together.
        render_mode: None or "ansi".

    Raises:
        DataMissing, DataCorrupt, ValueError: as for GB1.
    """

    def __init__(
        self,
        factor: str = "SIX6_REF_R1",
        path: str | PathLike[str] | None = None,
        value: str = "e_score",
        missing: Missing = "zero",
        offline: float = 0.0,
        render_mode: str | None = None,
    ) -> None:
        if factor not in FACTORS:
            raise ValueError(f"factor = {factor!r}; {suggest(factor, FACTORS)}")
        if not 0 <= offline <= 1:
            raise ValueError(f"offline = {offline!r}; a share is from 0 to 1")
        if path is None:
            table = published(f"protein/tf8_{factor}.csv.gz", value, "ACGT", ("sequence", "reverse_complement"))
        else:
            table = read_table(path, value, "ACGT")
        worst = table.codes[_worst(table.values, offline)]
        super().__init__(table, missing=missing, known=lambda _: worst, render_mode=render_mode)


def _worst(values: Array, share: float) -> NDArray[np.int64]:
    """Rows of the worst share; of equal values all or none."""
    count = int(len(values) * share)
    if not count:
        return np.empty(0, dtype=np.int64)
    order = np.argsort(values, kind="stable")
    limit = values[order[count]] if count < len(values) else np.inf
    return order[:count][values[order[:count]] < limit] if limit < np.inf else order
