"""The ``designopt`` command."""

from typing import Any


def __getattr__(name: str) -> Any:
    """Assembled when first used, for commands elsewhere import parts of this package."""
    if name not in ("app", "main"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from designopt.cli import assembly

    return getattr(assembly, name)
