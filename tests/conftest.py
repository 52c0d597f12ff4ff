"""Real data sets, where a checkout has them beside it, are found by the tests; without them those tests skip."""

import os
from pathlib import Path

SHARED = Path(__file__).parents[2] / "shared" / "data"

if SHARED.is_dir():
    os.environ.setdefault("DESIGNOPT_DATA", str(SHARED))
