"""The convergence picture as a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from designopt.report import style
from designopt.report.curves import Curve, curve
from designopt.report.figures import NO_FEASIBLE, POINTS, convergence, has_share, without_feasible
from designopt.report.style import clean

if TYPE_CHECKING:
    from designopt.result import Result

CONFIG = {"displaylogo": False, "responsive": True}


def save_convergence(result: Result, path: str | Path) -> Path:
    """Write the convergence figure, as a picture (``.png``, 1600 x 1000 pixels) or interactive (``.html``).

    Raises:
        ValueError: another suffix.
    """
    path = Path(path)
    if path.suffix == ".html":
        convergence(result).write_html(path, include_plotlyjs=True, config=CONFIG)
    elif path.suffix == ".png":
        _draw(result, curve(result)).savefig(path, dpi=200)
    else:
        raise ValueError(f"picture {str(path)!r}: suffix {path.suffix!r} is not understood; allowed: .png, .html")
    return path


def _draw(result: Result, c: Curve) -> Any:
    """The figure that ``convergence`` draws, in Matplotlib, because a browser should not be needed for a picture."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    rows, heights = (2, [4, 1]) if has_share(c) else (1, [1])
    main, *lower = figure.subplots(rows, 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    figure.suptitle(_plain(f"{result.env_id} · {result.search}"), x=0.01, ha="left", size=13, color=style.INK[False])
    for kind, (x, y) in c.points.items():
        colour, _, marker = POINTS[kind]
        face = colour if kind == "feasible" else "none"
        name = f"{kind} ({c.counts[kind]:,})"
        look = {"marker": marker, "edgecolors": colour, "alpha": 0.4 if c.crowded else 0.65, "lw": 0.8}
        main.scatter(x, c.clipped(y), 6 if c.crowded else 16, facecolors=face, label=name, **look)
    if len(c.steps[0]):
        main.step(*c.steps, where="post", color=style.LINE, lw=2, label="best so far")
        main.plot(c.steps[0][-1], c.steps[1][-1], "o", color=style.LINE, ms=4)
    if c.reference is not None:
        name = f"{c.reference_name} {style.number(c.reference)}"
        main.axhline(c.reference, color=style.REFERENCE, ls="--", lw=1.2, label=name)
    stretch = without_feasible(c)
    if stretch is not None:
        main.axvspan(*stretch, color=style.SHADE, alpha=0.14, lw=0, label=NO_FEASIBLE)
    main.set(yscale="log" if c.log else "linear", ylim=c.view, ylabel=_plain(c.title))
    if c.log:
        main.yaxis.set_major_formatter(lambda value, _: style.number(value))
    main.set_title(c.subtitle, loc="left", size=9, color=style.INK[False])
    for axes in lower:
        axes.plot(*c.share, color=style.FEASIBLE, lw=1.6)
        for status, x in c.not_ok.items():
            axes.plot(x, np.zeros(len(x)), "x", color=style.VIOLATED, ms=4, label=f"{status} ({c.counts[status]:,})")
        axes.set(ylim=(-12, 108), yticks=[0, 50, 100], ylabel="feasible (%)")
    for axes in (main, *lower):
        axes.grid(color=style.GRID[False], lw=0.8)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    figure.axes[-1].set(xlabel="evaluation", xlim=(1 - 0.02 * c.n, max(1.02 * c.n, 2)))
    if c.n:
        figure.legend(loc="outside lower left", ncols=4, frameon=False, fontsize=8)
    return figure


def _plain(text: str) -> str:
    """Text that Matplotlib does not read as a formula."""
    return clean(text).replace("$", r"\$")
