"""Figures of searches over sequences and by autoencoders: a logo of what is proposed, and the latent space behind it.

Searches by an autoencoder leave in the last row of ``Result.trace`` what they trained on: ``codes`` (n, latent) means,
``fitness`` (n,) and ``proposed`` (k, latent), the codes that the last proposals were decoded from.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from designopt.parameters import Array, Sequence
from designopt.report import style
from designopt.report.style import clean

if TYPE_CHECKING:
    from designopt.result import Result

LAST = 100
"""How many of the latest sequences the logo shows."""
PRIOR = {"1 standard deviation": 1.0, "99 % of the prior": 3.0349}
"""Radii of circles of the standard normal prior in a plane: sqrt(chi2_2) at 99 % is the larger."""
COLOURS = {"A": "AVLIPMFW", "G": "GSTCYNQ", "K": "KRH", "D": "DE"}
"""One-letter amino acids: non-polar, polar, basic, acidic; any other alphabet takes its colours by turns."""
PALETTE = (style.LINE, style.REFERENCE, style.VIOLATED, style.INFEASIBLE)


def drawings(result: Result) -> dict[str, tuple[str, Any]]:
    """Heading -> (id, figure): what this result has to show of sequences and latent spaces; mostly nothing."""
    drawn: dict[str, tuple[str, Any]] = {}
    if letters(result) and len(result.designs):
        drawn["Sequence logo"] = "sequence-logo", logo(result)
    if result.trace and "codes" in result.trace[-1]:
        drawn["Latent space"] = "latent-space", latent_space(result)
    return drawn


def letters(result: Result) -> str:
    """The alphabet, where a design is one sequence of single characters; else nothing."""
    parameters = list(result.space.parameters.values())
    if len(parameters) != 1 or not isinstance(parameters[0], Sequence):
        return ""
    alphabet = [*map(str, parameters[0].alphabet)]
    return "".join(alphabet) if all(len(letter) == 1 for letter in alphabet) else ""


def information(designs: Array, size: int) -> Array:
    """(n, L) letters as numbers below ``size`` -> (L, size) heights: frequency times the bits that a column tells.

    Bits: log2(size) minus the entropy of the column, see [Schneider1990] Sequence logos, Nucleic Acids Research 18.
    """
    share = (designs[:, :, None] == np.arange(size)).mean(axis=0)
    logs = np.log2(share, out=np.zeros_like(share), where=share > 0)
    return np.asarray(share * (np.log2(size) + (share * logs).sum(axis=1))[:, None])


def glyph(letter: str, x: float, y: float, width: float, height: float) -> str:
    """The outline of a letter, stretched over a box from (x, y), as the path of an SVG."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    path = TextPath((0, 0), letter, size=1, prop=FontProperties(family="DejaVu Sans", weight="bold"))
    box = path.get_extents()
    scale = np.array([width / max(box.width, 0.3), height / max(box.height, 1e-9)])
    offset = np.array([x + (width - scale[0] * box.width) / 2, y]) - scale * [box.x0, box.y0]
    parts = []
    for points, code in path.iter_segments(curves=True, simplify=False):
        place = (points.reshape(-1, 2) * scale + offset).round(4)
        corners = " ".join(f"{a:g},{b:g}" for a, b in place.tolist())
        parts.append({1: f"M {corners}", 2: f"L {corners}", 3: f"Q {corners}", 4: f"C {corners}", 79: "Z"}[int(code)])
    return " ".join(parts)


def logo(result: Result) -> Any:
    """Letters of the latest sequences, their heights in bits; below it the best sequence found, and the optimum.

    Raises:
        ValueError: a design is not one sequence of single characters, or nothing was evaluated.
    """
    import plotly.graph_objects as go

    alphabet = letters(result)
    if not alphabet or not len(result.designs):
        raise ValueError(f"{result.env_id}: a logo needs designs that are one sequence of single characters")
    latest = result.designs[-LAST:].astype(int)
    heights = information(latest, len(alphabet))
    caption = f"the last {len(latest)} sequences evaluated, {len(np.unique(latest, axis=0))} of them distinct"
    figure = go.Figure(layout=style.layout(result, caption))
    for i, column in enumerate(heights):
        floor = 0.0
        for k in np.argsort(column, kind="stable"):
            if column[k] < 0.02:  # a line that nobody can read
                continue
            path = glyph(alphabet[k], i + 0.55, floor, 0.9, float(column[k]))
            figure.add_shape(type="path", path=path, fillcolor=_colour(alphabet, k), fillrule="evenodd", line_width=0)
            floor += float(column[k])
    names, rows = ["proposed most often"], [heights.argmax(axis=1)]
    if result.best_row is not None:
        names, rows = [*names, "best found"], [*rows, result.designs[result.best_row].astype(int)]
    known = result.reference.design if result.reference is not None else None
    if known is not None:
        names, rows = [*names, "optimum"], [*rows, np.asarray(known, dtype=int)]
    unit = 0.075 * np.log2(len(alphabet))
    places = [-unit * (2 * j + 1.6) for j in range(len(rows))]
    for row, y in zip(rows, places, strict=True):
        same = np.ones(len(row), dtype=bool) if known is None else row == np.asarray(known, dtype=int)
        for x, (letter, agrees) in enumerate(zip(row, same, strict=True), start=1):
            text = escape(alphabet[letter])
            colour = style.REFERENCE if agrees else style.SHADE
            figure.add_annotation(
                x=x, y=y, text=f"<b>{text}</b>" if agrees else text, showarrow=False, font={"size": 14, "color": colour}
            )
    top = float(np.log2(len(alphabet)))
    ticks = np.arange(0, top + 1e-9, 1 if top > 1.5 else 0.5).tolist()
    figure.add_scatter(x=[1, len(heights)], y=[0, top], mode="markers", marker={"opacity": 0}, hoverinfo="skip")
    figure.update_xaxes(title="position", range=[0.4, len(heights) + 0.6], dtick=1 if len(heights) <= 40 else 5)
    figure.update_yaxes(
        range=[places[-1] - unit, top], showgrid=False,
        tickvals=[*reversed(places), *ticks], ticktext=[*reversed(names), *(f"{t:g} bits" for t in ticks)],
    )  # fmt: skip
    return figure.update_layout(height=380 + 26 * len(rows), showlegend=False, margin={"l": 150})


def _colour(alphabet: str, k: int) -> str:
    kinds = [i for i, group in enumerate(COLOURS.values()) if alphabet[k] in group]
    protein = len(alphabet) >= 20 and kinds
    return PALETTE[kinds[0] if protein else k % len(PALETTE)]


def plane(codes: Array) -> Array:
    """(n, d) codes -> (d, 2) the two directions of greatest variance; their span keeps the origin where it is."""
    if codes.shape[1] == 1:
        return np.array([[1.0, 0.0]])
    return np.asarray(np.linalg.svd(codes - codes.mean(axis=0), full_matrices=True)[2][:2].T)


def latent_space(result: Result) -> Any:
    """Codes of what the last autoencoder was trained on, coloured by fitness; its proposals; circles of the prior.

    Raises:
        ValueError: the trace of the result has no codes.
    """
    import plotly.graph_objects as go

    if not result.trace or "codes" not in result.trace[-1]:
        raise ValueError(f"{result.env_id}: the trace of {result.search} has no codes of an autoencoder")
    row = result.trace[-1]
    codes, fitness = (np.asarray(row[name], dtype=np.float64) for name in ("codes", "fitness"))
    proposed = np.asarray(row["proposed"], dtype=np.float64)
    axes = plane(codes)
    caption = f"{len(codes):,} distinct designs known to the last model, {codes.shape[1]} latent dimensions"
    if codes.shape[1] > 2:
        total = codes.var(axis=0).sum()
        caption += f"; the plane has {100 * (codes @ axes).var(axis=0).sum() / total:.0f} % of their variance"
    figure = go.Figure(layout=style.layout(result, caption))
    order = np.argsort(fitness, kind="stable")  # good ones are few: drawn last
    (x, y), value = (codes[order] @ axes).T, fitness[order]
    figure.add_scattergl(
        x=x, y=y, mode="markers", name="known before", text=[style.number(v, 4) for v in value],
        hovertemplate="fitness %{text}<extra></extra>",
        marker={"color": value, "colorscale": "Viridis", "size": 6, "opacity": 0.8,
                "colorbar": {"title": "fitness", "thickness": 12}},
    )  # fmt: skip
    x, y = (proposed @ axes).T
    figure.add_scatter(
        x=x, y=y, mode="markers", name="proposed", hoverinfo="skip",
        marker={"symbol": "x-thin", "size": 7, "line": {"color": style.VIOLATED, "width": 1.2}},
    )  # fmt: skip
    turn = np.linspace(0, 2 * np.pi, 121)
    for (name, radius), dash in zip(PRIOR.items(), ("solid", "dash"), strict=True):
        figure.add_scatter(
            x=radius * np.cos(turn), y=radius * np.sin(turn), mode="lines", name=clean(name), hoverinfo="skip",
            line={"color": style.SHADE, "width": 1.5, "dash": dash},
        )  # fmt: skip
    figure.update_xaxes(title="first principal axis")
    figure.update_yaxes(title="second principal axis", scaleanchor="x")
    return figure.update_layout(height=600)
