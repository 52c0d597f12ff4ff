import re
from pathlib import Path

import pytest

import designopt as do
from designopt.testing import MixedProblem, check_searcher

# Backends that need a structured environment are checked beside that environment.
GENERAL = {name for name in do.backends() if do.backend(name).requires == (do.DesignEnv,)}
AUTOENCODERS = {"cbas", "cempi", "dbas", "pgvae", "rwr", "weighted_retraining"}  # a thousand epochs for every ask
EXPENSIVE = {"agp", "gp", "pfn", "scbo"} | AUTOENCODERS  # an ask fits models, which takes a good part of a second


@pytest.mark.parametrize("name", sorted(GENERAL - EXPENSIVE))
def test_backend_conforms(name):
    check_searcher(do.backend(name))


@pytest.mark.parametrize("name", sorted(GENERAL & EXPENSIVE - AUTOENCODERS))
def test_expensive_backend_conforms_on_one_problem(name):
    check_searcher(do.backend(name), MixedProblem(), rounds=1, batch=2, history=24)


@pytest.mark.parametrize("name", sorted(AUTOENCODERS))
def test_autoencoder_conforms_with_few_epochs(name):
    kind = do.backend(name)
    check_searcher(lambda env, seed: kind(env, kind.Config(epochs=4, n_initial=8), seed=seed), rounds=2)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(GENERAL & EXPENSIVE))
def test_expensive_backend_conforms(name):
    check_searcher(do.backend(name), rounds=2)


def test_the_example_in_the_documentation_conforms():
    text = (Path(__file__).parents[2] / "docs" / "backends.md").read_text()
    for code in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(compile(code, "docs/backends.md", "exec"), {"__name__": "example"})


def test_the_documentation_lists_every_backend():
    text = (Path(__file__).parents[2] / "docs" / "backends.md").read_text()
    assert set(do.backends()) <= set(re.findall(r"^\| `(\w+)`", text, re.MULTILINE))
