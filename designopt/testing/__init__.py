"""Conformance kits: what holds for every design environment and every search backend.

A plug-in's tests call the same functions as ours::

    def test_environment():
        check_env(MyEnv())

    def test_backend():
        check_searcher(MySearch)

Each raises AssertionError with a sentence that says what is wrong and where.
"""

from designopt.testing.environments import check_env
from designopt.testing.problems import BiObjectiveProblem, MixedProblem, TinyProblem
from designopt.testing.searchers import check_searcher

__all__ = ["BiObjectiveProblem", "MixedProblem", "TinyProblem", "check_env", "check_searcher"]
