"""Searches that begin with a data set, side by side: what each round adds to the best of it, calls to thresholds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Sequence as Seq
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from designopt.offline import OfflineData
from designopt.parameters import Array
from designopt.registry import make
from designopt.report import style
from designopt.report.style import clean

if TYPE_CHECKING:
    import pandas as pd

    from designopt.runs import RunRecord

SHARES = (0.25, 0.5, 0.75, 0.95)
"""Of the way from the best of the initial data to the optimum."""
RESAMPLES = 1000
INTERVAL = (0.05, 0.95)
"""Quantiles of the bootstrapped means, as in [Ghaffari2024]."""
ROUNDS = 20
"""Points of a curve where a study has no batch of its own."""


@dataclass(frozen=True)
class Course:
    """One study.

    Attributes:
        env: name of the environment; cell: its arguments, such as "separation 4, imbalance 0.05".
        search: backend; seed: of the study.
        best: (calls + 1,) best value so far, larger is better; first that of the initial data.
        batch: calls in a round.
        optimum: the best known value, NaN without one.
    """

    env: str
    cell: str
    search: str
    seed: int
    best: Array
    batch: int
    optimum: float = float("nan")

    @property
    def gains(self) -> Array:
        """(rounds + 1,) improvement on the initial data after each round."""
        return np.asarray(self.best[:: self.batch] - self.best[0])


def cell_name(arguments: Mapping[str, Any]) -> str:
    """Arguments of an environment as text."""
    return clean(", ".join(f"{name} {value}" for name, value in arguments.items())) or "default"


def courses(compared: pd.DataFrame, runs: Iterable[RunRecord]) -> list[Course]:
    """The studies of a sweep whose environments offer initial data, those of one objective; sorted.

    Args:
        compared: rows of ``lottery.compare``.
        runs: of the sweep, which know the arguments of the environments.
    """
    records = {run.id: run for run in runs}
    starts: dict[str, float | None] = {}
    found = []
    for row in compared.to_dict("records"):
        run, sign = records[row["run"]], 1.0 if row["sense"] == "min" else -1.0
        if row["env"] not in starts:
            starts[row["env"]] = _start(run, sign)
        start, n = starts[row["env"]], int(row["equal_budget"])
        if start is None or len(run.objectives) > 1 or len(row["curve"]) < n:
            continue
        found.append(
            Course(
                env=run.env.rpartition("/")[2].rsplit("-v", 1)[0],
                cell=cell_name(run.env_arguments),
                search=row["backend"],
                seed=row["seed"],
                best=-np.minimum(start, np.append(start, row["curve"][:n])),
                batch=run.batch or max(1, n // ROUNDS),
                optimum=-float(row["reference"]),
            )
        )
    return sorted(found, key=lambda c: (c.env, c.cell, c.search, c.seed))


def _start(run: RunRecord, sign: float) -> float | None:
    """Least loss of what is known beforehand; None where nothing feasible is, or the environment is not at hand."""
    try:
        env = make(run.env, **run.env_arguments)
    except ValueError:
        return None
    if not isinstance(env, OfflineData):
        return None
    evaluation = env.offline_data()[1]
    losses = sign * evaluation.objectives[evaluation.feasible, 0]
    return float(losses.min()) if len(losses) else None


def band(gains: Seq[Array]) -> tuple[Array, Array, Array]:
    """(seeds) curves (rounds + 1,) -> their mean, and the 5 % and 95 % quantiles of means of 1000 bootstrap resamples.

    Curves of different length are cut to the shortest.
    """
    length = min(map(len, gains))
    values = np.stack([g[:length] for g in gains])
    rows = np.random.default_rng(0).integers(len(values), size=(RESAMPLES, len(values)))
    low, high = np.quantile(values[rows].mean(axis=1), INTERVAL, axis=0)
    return values.mean(axis=0), low, high


def grouped(courses: Iterable[Course]) -> dict[str, dict[str, list[Course]]]:
    """Cell -> search -> studies, in the order met."""
    cells: dict[str, dict[str, list[Course]]] = {}
    for course in courses:
        cells.setdefault(course.cell, {}).setdefault(course.search, []).append(course)
    return cells


def improvement(courses: Seq[Course], colour: Mapping[str, str]) -> Any:
    """Mean improvement on the best of the initial data after every round, a panel a cell, with bands over seeds.

    Args:
        courses: studies on one environment, not none.
        colour: of each search.
    """
    from plotly.subplots import make_subplots

    cells = grouped(courses)
    across = min(2, len(cells))
    down = -(-len(cells) // across)
    titles = [escape(cell) for cell in cells]
    figure = make_subplots(
        down, across, shared_yaxes=True, subplot_titles=titles, vertical_spacing=0.28 / down, horizontal_spacing=0.05
    )
    caption = "best so far minus best of the initial data: mean over seeds, 90 % bootstrap bands"
    title = {"text": escape(courses[0].env), "subtitle": {"text": caption}}
    figure.update_layout(template=style.template(), title=title, height=160 + 260 * down, margin={"t": 64})
    named = set()
    for place, searches in enumerate(cells.values()):
        row, col = place // across + 1, place % across + 1
        for name, studies in searches.items():
            mean, low, high = band([s.gains for s in studies])
            x = studies[0].batch * np.arange(len(mean))
            look = {"legendgroup": name, "mode": "lines", "row": row, "col": col}
            figure.add_scatter(
                x=np.concatenate([x, x[::-1]]), y=np.concatenate([high, low[::-1]]), fill="toself", opacity=0.15,
                fillcolor=colour[name], line={"width": 0}, hoverinfo="skip", showlegend=False, **look,
            )  # fmt: skip
            figure.add_scatter(
                x=x, y=mean, name=escape(clean(name)), showlegend=name not in named,
                line={"color": colour[name], "width": 2.5}, customdata=np.stack([low, high], axis=1),
                hovertemplate="%{x:,} calls: %{y:.4g} (%{customdata[0]:.4g} to %{customdata[1]:.4g})"
                "<extra>%{fullData.name}</extra>", **look,
            )  # fmt: skip
            named.add(name)
    figure.update_xaxes(title="oracle calls", row=down)
    figure.update_yaxes(rangemode="tozero")
    return figure.update_yaxes(title="improvement", col=1)


def calls_to_reach(course: Course, share: float, goal: float) -> float:
    """Oracle calls until that share of the way from the initial data to the goal; inf when it was not reached."""
    target = course.best[0] + share * (goal - course.best[0])
    reached = np.flatnonzero(course.best >= target - 1e-12 * abs(target))
    return float(reached[0]) if len(reached) else np.inf


def thresholds(courses: Seq[Course]) -> tuple[list[str], list[list[str]]]:
    """Header and rows of a table for people: median oracle calls to each share, and how many seeds reached it.

    The way ends at the known optimum; where none is known, at the best that any of the studies of the cell found.
    """
    rows = []
    for cell, searches in grouped(courses).items():
        studies = [s for group in searches.values() for s in group]
        known = studies[0].optimum
        goal = known if np.isfinite(known) else max(float(s.best[-1]) for s in studies)
        for name, group in searches.items():
            cells = []
            for share in SHARES:
                calls = np.array([calls_to_reach(s, share, goal) for s in group])
                reached = np.isfinite(calls)
                middle = np.median(calls) if reached.sum() > len(calls) / 2 else np.inf
                text = f"{middle:,.0f}" if np.isfinite(middle) else "–"
                cells.append(f"{text} ({reached.sum()} of {len(calls)})")
            rows.append([cell, clean(name), *cells])
    return ["", "", *(f"{100 * share:.0f} % of the way" for share in SHARES)], rows
