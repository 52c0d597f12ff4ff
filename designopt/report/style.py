"""The house style: colours and layout of every picture, and how numbers and names are written everywhere."""

from __future__ import annotations

import re
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from designopt.result import Result

# Okabe & Ito's palette, told apart by colour-blind readers and legible on white and on near-black.
LINE = "#0072B2"
FEASIBLE = "#56B4E9"
INFEASIBLE = "#E69F00"
VIOLATED = "#D55E00"
REFERENCE = "#009E73"
SHADE = "#808080"

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Liberation Sans', Arial, sans-serif"
INK = {False: "#20262d", True: "#e3e7eb"}
GRID = {False: "#e4e8ec", True: "#333b44"}


def template(dark: bool = False) -> Any:
    """The Plotly template of all our figures; transparent, so it suits any page of that brightness."""
    import plotly.graph_objects as go

    ink, grid, clear = INK[dark], GRID[dark], "rgba(0,0,0,0)"
    axis = {"gridcolor": grid, "zeroline": False, "linecolor": ink, "ticks": "outside", "tickcolor": grid}
    axis["title"] = {"font": {"size": 13}}
    axis["exponentformat"] = "e"
    scene = axis | {"showbackground": False, "zeroline": False}
    return go.layout.Template(
        layout={
            "font": {"family": FONT, "size": 13, "color": ink},
            "title": {
                "x": 0,
                "xref": "paper",
                "xanchor": "left",
                "font": {"size": 16},
                "subtitle": {"font": {"size": 12}},
            },
            "paper_bgcolor": clear,
            "plot_bgcolor": clear,
            "margin": {"l": 72, "r": 24, "t": 72, "b": 104},
            "legend": {"orientation": "h", "x": 0, "yref": "container", "y": 0, "xanchor": "left", "yanchor": "bottom"},
            "modebar": {"bgcolor": clear, "color": SHADE, "activecolor": ink},
            "hovermode": "closest",
            "xaxis": axis,
            "yaxis": axis | {"automargin": True},
            "scene": {"xaxis": scene, "yaxis": scene, "zaxis": scene},
        }
    )


def layout(result: Result, subtitle: str) -> dict[str, Any]:
    """Layout of a figure about a run: its title names environment and backend."""
    title = f"{escape(clean(result.env_id))} · {escape(clean(result.search))}"
    return {"template": template(), "title": {"text": title, "subtitle": {"text": subtitle}}, "height": 520}


def number(value: float, digits: int = 6) -> str:
    """Significant digits without padding: 0.0126652, 25000, 1234570, 2.5e8."""
    text = f"{value:.{digits}g}"
    if "e" not in text:
        return text
    mantissa, exponent = text.split("e")
    return f"{float(text):.0f}" if 0 < int(exponent) < 7 else f"{mantissa}e{int(exponent)}"


def duration(seconds: float) -> str:
    """Seconds in the two units that a reader wants: 350 ms, 12.3 s, 3 min 20 s, 2 h 05 min."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 99.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def clean(text: object) -> str:
    """Text from a user or a simulator with control characters made visible; a terminal would obey them."""
    return re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", "\N{REPLACEMENT CHARACTER}", str(text))


def label(name: str, unit: str) -> str:
    """An axis or column title: ``weight (kg)``."""
    return clean(f"{name} ({unit})" if unit else name)
