"""Data sets are found where they are, checked, and never fetched."""

import hashlib

import pytest

from designopt import data

NAME = "protein/ehrlich_fixtures.json.gz"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty user's folder, and no other."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("DESIGNOPT_DATA", raising=False)
    return tmp_path / "cache" / "designopt"


@pytest.fixture
def known(monkeypatch):
    """A catalogue with one data set of which we know the bytes."""
    content = b"sequence,fitness\nAA,1\n"
    entry = data.DataSet("toy/table.csv", hashlib.sha256(content).hexdigest(), "a colleague", "CC0")
    monkeypatch.setattr(data, "catalogue", lambda: {entry.name: entry})
    return content


def test_catalogue_states_source_licence_and_checksum_of_everything():
    assert NAME in data.catalogue()
    for name, entry in data.catalogue().items():
        assert entry.name == name
        assert entry.source
        assert entry.licence
        assert len(entry.sha256) == 64
        assert set(entry.sha256) <= set("0123456789abcdef")


def test_missing_data_says_where_it_comes_from_and_what_to_do(folder):
    assert not data.available(NAME)
    with pytest.raises(data.DataMissing) as error:
        data.find(NAME)
    message = str(error.value)
    assert data.catalogue()[NAME].source in message
    assert f"designopt data add {NAME} FILE" in message
    assert "\n" not in message


def test_added_data_is_found(folder, known, tmp_path):
    file = tmp_path / "download.csv"
    file.write_bytes(known)
    path = data.add("toy/table.csv", file)
    assert path == folder / "toy" / "table.csv"
    assert data.find("toy/table.csv") == path
    assert path.read_bytes() == known
    assert [p.name for p in path.parent.iterdir()] == ["table.csv"]


def test_the_variables_folders_come_first_in_their_order(folder, known, tmp_path, monkeypatch):
    (tmp_path / "download.csv").write_bytes(known)
    data.add("toy/table.csv", tmp_path / "download.csv")
    for name in ("b", "c"):
        (tmp_path / name / "toy").mkdir(parents=True)
        (tmp_path / name / "toy" / "table.csv").write_bytes(known)
    monkeypatch.setenv("DESIGNOPT_DATA", f"{tmp_path / 'a'}:{tmp_path / 'b'}:{tmp_path / 'c'}")
    assert data.find("toy/table.csv") == tmp_path / "b" / "toy" / "table.csv"


def test_wrong_bytes_are_refused_and_not_added(folder, known, tmp_path):
    file = tmp_path / "other.csv"
    file.write_bytes(b"something else")
    with pytest.raises(data.DataCorrupt, match=r"is not the data set toy/table\.csv"):
        data.add("toy/table.csv", file)
    assert not data.available("toy/table.csv")


def test_a_file_that_changed_is_checked_again(folder, known, tmp_path):
    file = tmp_path / "download.csv"
    file.write_bytes(known)
    path = data.add("toy/table.csv", file)
    data.find("toy/table.csv")
    path.write_bytes(known + b"CC,2\n")
    with pytest.raises(data.DataCorrupt):
        data.find("toy/table.csv")


def test_unknown_names_are_answered_with_the_nearest(folder, tmp_path):
    for call in (data.find, data.available, lambda name: data.add(name, tmp_path)):
        with pytest.raises(ValueError, match="ehrlich_fixtures"):
            call("protein/ehrlich_fixture.json.gz")


def test_adding_no_file_is_one_line(folder, known, tmp_path):
    with pytest.raises(ValueError, match="no file"):
        data.add("toy/table.csv", tmp_path / "absent.csv")


@pytest.mark.skipif(not data.available(NAME), reason="real data sets are not on this machine")
@pytest.mark.parametrize("name", data.catalogue())
def test_real_files_are_what_the_catalogue_says(name):
    if not data.available(name):
        pytest.skip(f"{name} is not on this machine")
    assert data.find(name).is_file()
