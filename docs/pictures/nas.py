"""Draw docs/nas.png: where bilevel searches go on the problem that can be solved on paper."""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

import designopt as do
from designopt.search.nas.darts import DARTSSearch
from designopt.search.nas.rarts import RARTSSearch

SEARCHES = [
    ("DARTS, first order", DARTSSearch, {"order": 1}),
    ("DARTS, xi = 0.1", DARTSSearch, {"order": "exact", "xi": 0.1}),
    ("DARTS, xi = 0.5", DARTSSearch, {"order": "exact", "xi": 0.5}),
    ("RARTS, 5 and 5", RARTSSearch, {"lam": 5.0, "beta": 5.0}),
    ("RARTS, 100 and 100", RARTSSearch, {"lam": 100.0, "beta": 100.0}),
]


def path(kind: type[DARTSSearch] | type[RARTSSearch], settings: dict[str, object], steps: int) -> np.ndarray:
    """(steps + 1, 2) a and w after every step."""
    search = kind(do.make("designopt/BilevelToy-v0"), kind.Config(**settings))
    batch = search.losses.validation
    points = [search.design()]
    for _ in range(steps):
        search.step(batch, batch)
        points.append(search.design())
    return np.array(points)


figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4))
for name, kind, settings in SEARCHES:
    points = path(kind, settings, 20000)
    left.plot(*points.T, label=name, lw=1.5)
    left.plot(*points[-1], "o", color=left.lines[-1].get_color(), ms=5)
    right.loglog(np.arange(1, len(points)), np.abs(points[1:, 0] - 1), color=left.lines[-2].get_color(), lw=1.5)
left.plot(1, 1, "k*", ms=12, label="solution", zorder=0)
left.set(xlabel="a", ylabel="w", title="Path of (a, w)")
left.legend(fontsize=8)
right.set(xlabel="step", ylabel="|a - 1|", title="Distance from the solution")
right.set_ylim(1e-3, 3)
figure.tight_layout()
figure.savefig(Path(__file__).parents[1] / "nas.png", dpi=110)
