"""Names to factories: environments and search backends, ours and those of plug-ins.

A plug-in is a module named in the entry-point group ``designopt.envs`` or ``designopt.backends``; importing it calls
``register_env`` or ``register_backend``. What is registered is text (``module:Class``), imported when first used.
"""

from __future__ import annotations

import importlib
import inspect
import warnings
from functools import cache
from importlib.metadata import entry_points
from typing import Any

import gymnasium
from gymnasium.envs.registration import load_env_creator

from designopt.env import DesignEnv
from designopt.parameters import suggest
from designopt.searcher import Searcher

_backends: dict[str, str] = {}
_envs: set[str] = set()


def register_env(id: str, entry_point: str, **kwargs: Any) -> None:
    """Register a DesignEnv as ``namespace/Name-vN``; also with Gymnasium, so ``gymnasium.make(id)`` works."""
    gymnasium.register(id=id, entry_point=entry_point, kwargs=kwargs)
    _envs.add(id)


def register_backend(name: str, entry_point: str) -> None:
    """Register a Searcher class ``module:Class`` under a name."""
    _backends[name] = entry_point


@cache
def _load(group: str) -> None:
    """Import every module named in an entry-point group, once; a broken plug-in warns and spoils nothing else."""
    for point in entry_points(group=group):
        try:
            point.load()
        except Exception as error:  # whatever a third party's module raises
            warnings.warn(f"plug-in {point.name!r} ({point.value}) failed to load: {error!r}", stacklevel=2)


def envs() -> list[str]:
    """Ids of all registered design environments."""
    _load("designopt.envs")
    return sorted(_envs)


def backends() -> list[str]:
    """Names of all registered search backends."""
    _load("designopt.backends")
    return sorted(_backends)


def make(id: str, **kwargs: Any) -> DesignEnv:
    """The environment of that id, without wrappers.

    Raises:
        ValueError: unknown id (the nearest are suggested), or an argument that it does not take.
    """
    if id not in envs():
        raise ValueError(f"unknown environment {id!r}; {suggest(id, _envs)}")
    known = inspect.signature(load_env_creator(str(gymnasium.spec(id).entry_point))).parameters
    for name in kwargs:
        if name not in known:
            raise ValueError(f"{id} has no argument {name!r}; {suggest(name, known)}")
    env = gymnasium.make(id, disable_env_checker=True, **kwargs).unwrapped
    assert isinstance(env, DesignEnv), f"{id} is registered but is no DesignEnv"
    return env


def backend(name: str) -> type[Searcher]:
    """The Searcher class registered under a name.

    Raises:
        ValueError: unknown name; the nearest are suggested.
    """
    if name not in backends():
        raise ValueError(f"unknown backend {name!r}; {suggest(name, _backends)}")
    module, _, attribute = _backends[name].partition(":")
    searcher: type[Searcher] = getattr(importlib.import_module(module), attribute)
    return searcher
