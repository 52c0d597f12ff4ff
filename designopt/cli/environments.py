"""Arguments of the command line as environments and settings."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from designopt.env import DesignEnv


def pairs(option: str, texts: list[str] | None) -> dict[str, Any]:
    """KEY=VALUE texts of a repeatable option as a mapping; dashes in keys become underscores."""
    found = {}
    for text in texts or []:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise ValueError(f"{option} {text!r} is not understood; write {option} KEY=VALUE")
        found[key.replace("-", "_")] = value
    return found


def env_of(name: str, settings: dict[str, Any]) -> DesignEnv:
    """An environment by registered id, FILE.py:NAME or MODULE:NAME."""
    import designopt
    from designopt.env import DesignEnv
    from designopt.searcher import literal

    arguments = {key: literal(value) for key, value in settings.items()}
    if ":" not in name:
        return designopt.make(name, **arguments)
    place, _, attribute = name.rpartition(":")
    module = _module(place)
    if not hasattr(module, attribute):
        raise ValueError(f"{place} has no {attribute!r}; {designopt.parameters.suggest(attribute, vars(module))}")
    env = getattr(module, attribute)
    if isinstance(env, type) and issubclass(env, DesignEnv):
        env = env(**arguments)
    if not isinstance(env, DesignEnv):
        raise ValueError(f"{name} is {type(env).__name__}; it must be a DesignEnv, made by a class or by @design_env")
    return env


def _module(place: str) -> Any:
    """A module by import name or by path; a file's module is importable under its stem, as when it is run."""
    if not place.endswith(".py"):
        try:
            return importlib.import_module(place)
        except ModuleNotFoundError as error:
            raise ValueError(f"cannot import {place!r}: {error}; write FILE.py:NAME or MODULE:NAME") from None
    import cloudpickle

    path = Path(place).resolve()
    if not path.is_file():
        raise ValueError(f"no file {place}")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None, place
    assert spec.loader is not None, place
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    cloudpickle.register_pickle_by_value(module)  # worker processes cannot import it by name
    spec.loader.exec_module(module)
    return module
