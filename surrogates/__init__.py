"""Models that stand in for an expensive evaluation.

Importing this package imports none of them: names are looked up when used, for torch is heavy.
"""

import importlib
from typing import Any

_HOMES = {
    "AmortizedGP": "designopt.surrogates.amortized_gp",
    "Ensemble": "designopt.surrogates.ensemble",
    "FeasibilityClassifier": "designopt.surrogates.classifier",
    "PFN": "designopt.surrogates.pfn.pfn",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
