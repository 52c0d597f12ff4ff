"""The adapters package imports a peer library only when its adapter is used."""

import subprocess
import sys

import pytest

import designopt.adapters

PEERS = {
    "to_botorch": "botorch",
    "to_pymoo": "pymoo",
    "to_optuna": "optuna",
    "OptunaSampler": "optuna",
    "TuneSearcher": "ray",
    "to_tune": "ray",
}


def test_importing_the_package_imports_no_peer():
    code = f"import sys, designopt.adapters; print(sorted({set(PEERS.values())} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


@pytest.mark.parametrize("name", designopt.adapters.__all__)
def test_every_public_name_is_there_and_brings_its_peer(name):
    adapter = getattr(designopt.adapters, name)
    assert callable(adapter)
    assert PEERS[name] in sys.modules


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="to_nowhere"):
        _ = designopt.adapters.to_nowhere
