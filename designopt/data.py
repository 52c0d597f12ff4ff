"""Public data sets: found on the user's machine, checked against their SHA-256, never fetched behind the user's back.

A data set's name is its path below a data folder, such as ``protein/gb1_wu2016.csv.gz``. Folders are searched in this
order: those in the environment variable ``DESIGNOPT_DATA`` (separated like ``PATH``), then the user's own folder, which
``designopt data add NAME FILE`` fills. ``datasets.toml`` says where each comes from and under which licence.
"""

from __future__ import annotations

import os
import shutil
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from designopt.parameters import suggest

VARIABLE = "DESIGNOPT_DATA"


class DataMissing(ValueError):  # noqa: N818 - reads as the fact that it states
    """A data set is not on this machine."""


class DataCorrupt(ValueError):  # noqa: N818 - reads as the fact that it states
    """A file is not the data set that its name says."""


@dataclass(frozen=True)
class DataSet:
    """One file: its name, the SHA-256 of its bytes, who published it, and on which terms."""

    name: str
    sha256: str
    source: str
    licence: str


@cache
def catalogue() -> dict[str, DataSet]:
    """Every data set that designopt knows, by name."""
    text = Path(__file__).with_name("datasets.toml").read_text(encoding="utf-8")
    return {
        name: DataSet(name, sha256, collection["source"], collection["licence"])
        for collection in tomllib.loads(text)["collection"]
        for name, sha256 in collection["files"].items()
    }


def folders() -> list[Path]:
    """Where data sets are looked for, in this order; the last is the user's own."""
    import pooch

    given = [Path(folder) for folder in os.environ.get(VARIABLE, "").split(os.pathsep) if folder]
    return [*given, Path(pooch.os_cache("designopt"))]


def available(name: str) -> bool:
    """Whether a known data set is on this machine; its bytes are not looked at."""
    return _locate(_known(name)) is not None


def find(name: str) -> Path:
    """Path of a data set on this machine.

    Raises:
        ValueError: no data set has this name; the nearest are suggested.
        DataMissing: it is not on this machine; the message says where it comes from and how to add it.
        DataCorrupt: a file of this name is there and holds something else.
    """
    data_set = _known(name)
    path = _locate(data_set)
    if path is None:
        raise DataMissing(
            f"data set {name} is not on this machine; it comes from {data_set.source} (licence: {data_set.licence}); "
            f"add it with: designopt data add {name} FILE, or name its folder in {VARIABLE}"
        )
    _check(data_set, path)
    return path


def add(name: str, file: str | os.PathLike[str]) -> Path:
    """Copy a file into the user's data folder under a known name, if it is that data set. -> its new path.

    Raises:
        ValueError: unknown name, or no such file.
        DataCorrupt: the file holds something else.
    """
    data_set, source = _known(name), Path(file)
    if not source.is_file():
        raise ValueError(f"no file {source}")
    _check(data_set, source)
    target = folders()[-1] / name
    target.parent.mkdir(parents=True, exist_ok=True)
    # Renamed into place, so that nobody ever reads half a file.
    part = target.with_name(f"{target.name}.{os.getpid()}.part")
    shutil.copyfile(source, part)
    part.replace(target)
    return target


def _known(name: str) -> DataSet:
    if name not in catalogue():
        raise ValueError(f"unknown data set {name!r}; {suggest(name, catalogue())}")
    return catalogue()[name]


def _locate(data_set: DataSet) -> Path | None:
    return next((path for folder in folders() if (path := folder / data_set.name).is_file()), None)


def _check(data_set: DataSet, path: Path) -> None:
    stat = path.stat()
    digest = _sha256(str(path), stat.st_size, stat.st_mtime_ns)
    if digest != data_set.sha256:
        raise DataCorrupt(
            f"{path} is not the data set {data_set.name}: its SHA-256 is {digest}, expected {data_set.sha256}"
        )


@cache
def _sha256(path: str, size: int, modified: int) -> str:
    """Hash of a file; size and time of change are in the key, so that a changed file is hashed again."""
    import pooch

    return str(pooch.file_hash(path, alg="sha256"))
