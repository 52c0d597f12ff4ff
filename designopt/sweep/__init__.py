"""Many studies at once on Ray: ``designopt.sweep(FILE)``. Importing this package imports nothing heavy."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from os import PathLike
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from designopt.sweep.result import SweepResult


class _Sweep(ModuleType):
    """Importing this package binds it as ``designopt.sweep``, over the function of that name: so it answers as one."""

    def __call__(self, plan: str | PathLike[str] | Mapping[str, Any], **options: Any) -> SweepResult:
        from designopt.sweep.run import sweep

        return sweep(plan, **options)


sys.modules[__name__].__class__ = _Sweep
