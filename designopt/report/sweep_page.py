"""The report of a sweep as one HTML file: backends compared, the lottery of their configurations, what failed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from designopt import lottery
from designopt.ranking import CHOICES, block_losses, ran_everywhere, rank_backends
from designopt.report import offline_figures
from designopt.report import sweep_figures as figures
from designopt.report.content import value_text
from designopt.report.html import Plot, plot, render
from designopt.report.style import clean, number

if TYPE_CHECKING:
    import pandas as pd

    from designopt.store import Store

FAILED = 200
"""How many failed studies the page lists at most."""

TERMS = {
    "median": "objective value of the median study: half of all configurations and seeds end better. A study without a "
    "feasible design is worse than any with one.",
    "gap closed": "share of the way from the baseline to the best known value that the median study went, at the equal "
    "budget. The baseline is the median of random search; where random search was not run, or found nothing feasible "
    "in half of its studies, it is the worst study with a feasible design. No better than the baseline, or infeasible: "
    "0 %.",
    "IQR configurations": "interquartile range, in points of gap closed, of the configurations' means over seeds: how "
    "much the choice of configuration matters.",
    "IQR seeds": "interquartile range over the seeds of the typical (median) configuration: how much luck matters.",
    "variance": "components of a two-way random-effects analysis of variance: due to configuration, to seed, and the "
    "rest, which is their interaction.",
    "reach 95 %": "share of studies that closed at least 95 % of the gap, with a 95 % bootstrap interval over "
    "configurations and seeds.",
    "default's rank": "of the backend's own default among its configurations by mean over seeds; ties share a rank.",
}


@dataclass(frozen=True)
class Table:
    """Cells as text."""

    columns: list[str]
    rows: list[list[str]]


@dataclass(frozen=True)
class Problem:
    """One environment of the sweep."""

    id: str
    name: str
    sentence: str
    race: Plot
    table: Table
    draws: Plot


@dataclass(frozen=True)
class Offline:
    """Improvement on the initial data of one environment, at each of its arguments."""

    name: str
    rounds: Plot
    table: Table


@dataclass(frozen=True)
class Ranks:
    """Backends over all environments."""

    sentence: str
    line: Plot
    table: Table


def write_sweep_report(store: Store, sweep: str, path: str | Path) -> Path:
    """Write the report of a sweep as one self-contained HTML file and return its path.

    Args:
        store: where its studies are.
        sweep: its name.
        path: file to write.

    Raises:
        StoreError: no sweep of that name.
        OSError: the file cannot be written.
    """
    runs = store.runs(sweep=sweep)
    table = lottery.studies(store, sweep)
    compared = lottery.compare(table)
    colour = figures.colours(list(table["backend"].unique()))
    spread = lottery.spread(compared) if len(compared) else compared
    page: dict[str, Any] = {}
    if len(compared):
        page = {
            "problems": [_problem(i, part, spread, colour) for i, (_, part) in enumerate(compared.groupby("env"), 1)],
            "tries": plot(figures.tries(compared, colour), "tries", width=560),
            "ranks": _ranks(compared, colour),
            "winners": _winners(compared),
            "offline": _offline(offline_figures.courses(compared, runs), colour),
        }
    failed = table[table["state"] == "failed"]
    return render(
        "sweep.html.jinja",
        path,
        sweep=sweep,
        compared=bool(page),
        backends=list(colour),
        headline=_headline(table, spread),
        facts=_facts(table, compared),
        timeline=plot(figures.study_timeline(table), "timeline"),
        failed=_failed(failed),
        failed_note=f"{len(failed):,} failed, {min(len(failed), FAILED):,} listed. What they evaluated before that is "
        "in the store and counts in the comparison.",
        commands=list(dict.fromkeys(run.command for run in runs if run.command)),
        libraries=runs[-1].versions,
        terms=TERMS,
        **({"problems": [], "offline": []} | page),
    )


def _headline(table: pd.DataFrame, spread: pd.DataFrame) -> str:
    """Who did best where, in a sentence."""
    if not len(spread):
        return f"None of {len(table):,} studies has spent its budget yet."
    best = spread.groupby("env", sort=False).first()
    wins = best["backend"].value_counts()
    parts = [
        f"{name} on {', '.join(figures.short(env) for env in best.index[best['backend'] == name])}"
        for name in wins.index
    ]
    return f"The typical study did best with {'; '.join(parts)}."


def _facts(table: pd.DataFrame, compared: pd.DataFrame) -> dict[str, str]:
    states = table["state"].value_counts()
    facts = {"studies": f"{len(table):,}"}
    facts |= {str(state): f"{count:,}" for state, count in states.items()}
    facts["evaluations"] = f"{table['evaluations'].sum():,}"
    repeats = table["repeats"].sum() / max(table["evaluations"].sum(), 1)
    if repeats >= 0.001:
        facts["of a design evaluated before"] = f"{number(100 * repeats, 2)} %"
    if len(compared):
        budgets = sorted(compared["equal_budget"].unique())
        facts["equal budget"] = " to ".join(f"{b:,}" for b in dict.fromkeys([budgets[0], budgets[-1]]))
        facts["compared"] = f"{len(compared):,}"
    return facts


def _problem(place: int, part: pd.DataFrame, spread: pd.DataFrame, colour: dict[str, str]) -> Problem:
    first = part.iloc[0]
    rows = spread[spread["env"] == first["env"]]
    known, baseline = (number(float(lottery.own_sign(first[n], first["sense"])), 6) for n in ("best_known", "baseline"))
    unit = f" {first['unit']}" if first["unit"] else ""
    goal = "minimised" if first["sense"] == "min" else "maximised"
    sentence = f"{first['objective']}{unit and f' ({unit.strip()})'}, {goal}. Best known {known}{unit}"
    own = part["loss"].min()
    if np.isfinite(own):
        best = part.iloc[int(part["loss"].to_numpy().argmin())]
        value = number(float(lottery.own_sign(own, first["sense"])), 6)
        sentence += f"; best found {value}{unit} by {best['backend']} ({best['configuration']}, seed {best['seed']})"
    sentence += f". The gap begins at {baseline}{unit}, the {first['baseline_is']}."
    name = figures.short(first["env"])
    return Problem(
        f"problem-{place}",
        name,
        clean(sentence),
        plot(figures.race(part, colour), f"race-{place}"),
        lottery_table(rows, first["sense"]),
        plot(figures.draws(part, colour), f"draws-{place}", width=90 * part["backend"].nunique()),
    )


def _offline(courses: list[offline_figures.Course], colour: dict[str, str]) -> list[Offline]:
    found = []
    for i, env in enumerate(dict.fromkeys(course.env for course in courses), 1):
        own = [course for course in courses if course.env == env]
        figure = plot(offline_figures.improvement(own, colour), f"rounds-{i}")
        found.append(Offline(env, figure, Table(*offline_figures.thresholds(own))))
    return found


def lottery_table(rows: pd.DataFrame, sense: str) -> Table:
    """The lottery of one environment for people, from rows of ``lottery.spread``."""
    columns = ["", "configurations × seeds", "median", "gap closed", "IQR configurations", "IQR seeds"]
    columns += ["variance: configuration / seed / rest", "reach 95 %", "default's rank", "without feasible design"]
    cells = []
    for row in rows.to_dict("records"):
        split = [row["configuration"], row["seed"], row["residual"]]
        low, high = 100 * row["reach_low"], 100 * row["reach_high"]
        cells.append(
            [
                clean(row["backend"]),
                f"{row['configurations']} × {row['seeds']}",
                number(float(lottery.own_sign(row["loss"], sense)), 5) if np.isfinite(row["loss"]) else "none feasible",
                _percent(row["closed"]),
                _percent(row["iqr_configurations"], ""),
                _percent(row["iqr_seeds"], ""),
                "–" if np.isnan(split).any() else " / ".join(_percent(share, "") for share in split) + " %",
                f"{_percent(row['reach'])} ({low:.0f} to {high:.0f})",
                "–"
                if np.isnan(row["default_rank"])
                else f"{number(row['default_rank'], 3)} of {row['configurations']}",
                f"{row['infeasible']} of {row['studies']}",
            ]
        )
    return Table(columns, cells)


def _rank(rank: float, of: int) -> str:
    return "–" if np.isnan(rank) else f"{number(rank, 3)} of {of}"


def _percent(share: float, unit: str = " %") -> str:
    return "–" if np.isnan(share) else f"{100 * share:.0f}{unit}"


def _ranks(compared: pd.DataFrame, colour: dict[str, str]) -> Ranks | None:
    """None where no backend ran on every environment."""
    missing = set(compared["backend"])
    compared = ran_everywhere(compared)
    if not len(compared):
        return None
    missing -= set(compared["backend"])
    ranking = rank_backends(block_losses(compared))
    envs = rank_backends(block_losses(compared, blocks=["env"]))
    others = {choice: rank_backends(block_losses(compared, choice)) for choice in CHOICES}
    sentence = (
        f"Every pair of environment and seed with a result of all backends is a block ({ranking.blocks:,} of them); in "
        "it, backends are ranked by the median over their configurations. "
    )
    if np.isfinite(ranking.p):
        sentence += (
            f"Friedman's test that all are alike: χ² = {number(ranking.statistic, 3)}, p = {number(ranking.p, 2)}. "
            "Grey bars join backends that Nemenyi's test at 5 % does not tell apart. Seeds on the same environment are "
            "not new environments: this speaks of these environments, not of others."
        )
    if np.isfinite(envs.p):
        sentence += f" Over the {envs.blocks} environments alone, p = {number(envs.p, 2)}."
    if missing:
        sentence += f" Not ranked, because not run on every environment: {', '.join(map(clean, sorted(missing)))}."
    found = {choice: dict(zip(r.backends, r.mean_ranks, strict=True)) for choice, r in others.items()}
    rows = [[clean(name), *(_mean_rank(found[c].get(name, np.nan)) for c in CHOICES)] for name in ranking.backends]
    rows.append(["Friedman's p", *(number(others[c].p, 2) if np.isfinite(others[c].p) else "–" for c in CHOICES)])
    columns = ["mean rank", *(f"{choice} configuration" for choice in CHOICES)]
    return Ranks(sentence, plot(figures.rank_line(ranking, colour), "rank-line", width=480), Table(columns, rows))


def _mean_rank(rank: float) -> str:
    return "–" if np.isnan(rank) else f"{rank:.2f}"


def _winners(compared: pd.DataFrame) -> Table:
    rows = []
    best = lottery.best_configurations(compared).sort_values(["env", "worth"], ascending=[True, False])
    for row in best.to_dict("records"):
        settings = ", ".join(f"{k} = {value_text(v, 3)}" for k, v in row["hyperparameters"].items()) or "none"
        names = [figures.short(row["env"]), row["backend"], row["configuration"]]
        rows.append([*map(clean, names), _percent(row["worth"]), settings])
    return Table(["environment", "backend", "configuration", "mean gap closed", "hyper-parameters"], rows)


def _failed(failed: pd.DataFrame) -> Table:
    rows = []
    for row in failed[:FAILED].to_dict("records"):
        names = [figures.short(row["env"]), row["backend"], row["configuration"]]
        rows.append([*map(clean, names), str(row["seed"]), f"{row['evaluations']:,}", row["run"], _line(row["error"])])
    return Table(["environment", "backend", "configuration", "seed", "evaluations", "run", "error"], rows)


def _line(error: str) -> str:
    return clean(re.sub(r"\s+", " ", error))[:500]
