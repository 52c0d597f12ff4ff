"""The hyper-parameter lottery of a finished sweep as tables and pictures for the gallery.

    designopt sweep benchmarks/lottery.toml --store lottery.db
    python benchmarks/lottery.py lottery.db lottery

Writes docs/gallery/SWEEP.md, and with Chromium (apt-get install chromium) docs/gallery/SWEEP.png, the report's lottery
section of one environment, and SWEEP-ranks.png. The HTML report itself goes where --html says.
"""

import argparse
import shutil
import tempfile
from pathlib import Path

import pandas as pd

from designopt import lottery
from designopt.metrics import expected_best
from designopt.ranking import CHOICES, block_losses, ran_everywhere, rank_backends
from designopt.report import write_sweep_report
from designopt.report.style import number
from designopt.report.sweep_figures import short
from designopt.report.sweep_page import lottery_table
from designopt.store import Store

FOLDER = Path(__file__).parents[1] / "docs" / "gallery"
WIDTH = 1200


def markdown(columns, rows):
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def environment(part, spread):
    """A heading, the scale of the gap and the lottery of one environment."""
    first = part.iloc[0]
    sense, unit = first["sense"], first["unit"] and f" {first['unit']}"
    known, baseline = (number(float(lottery.own_sign(first[n], sense)), 6) for n in ("best_known", "baseline"))
    table = lottery_table(spread[spread["env"] == first["env"]], sense)
    goal = "minimised" if sense == "min" else "maximised"
    return f"""## {short(first["env"])}

`{first["objective"]}`{unit and f" in{unit}"}, {goal}; {first["equal_budget"]:,} evaluations. Best known {known};
the gap begins at {baseline}, the {first["baseline_is"]}.

{markdown(table.columns, table.rows)}
"""


def tries(compared):
    """Expected best of k configurations, in percent of the gap closed."""
    ks = [1, 2, 4, 8, 16]
    rows = []
    for (env, backend), part in compared.groupby(["env", "backend"]):
        best = 100 * expected_best(part.groupby("configuration")["closed"].mean())
        rows.append([short(env), backend, *(f"{best[k - 1]:.0f}" if k <= len(best) else "" for k in ks)])
    return markdown(["environment", "backend", *(f"k = {k}" for k in ks)], rows)


def measured(value, digits):
    return "–" if pd.isna(value) else number(value, digits)


def larger(table, compared):
    """The same at the larger budget that the other backends had; nothing when all had the same."""
    rest = table[table["budget"] > compared["equal_budget"].max()]
    if rest.empty:
        return ""
    again = lottery.compare(rest)
    spread = lottery.spread(again)
    parts = "\n".join(environment(part, spread) for _, part in again.groupby("env")).replace("## ", "### ")
    left_out = ", ".join(f"`{name}`" for name in sorted(set(table["backend"]) - set(rest["backend"])))
    return f"""
## At the larger budget, without {left_out}

{parts}
### Ranks at the larger budget

{ranks(again)}
"""


def ranks(compared):
    """Mean ranks by choice of configuration, with the tests."""
    compared = ran_everywhere(compared)
    found = {choice: rank_backends(block_losses(compared, choice)) for choice in CHOICES}
    alone = {choice: rank_backends(block_losses(compared, choice, ["env"])) for choice in CHOICES}
    rank = {c: dict(zip(r.backends, r.mean_ranks, strict=True)) for c, r in found.items()}
    rows = [[name, *(f"{rank[c].get(name, float('nan')):.2f}" for c in CHOICES)] for name in found["typical"].backends]
    rows.append(["blocks", *(str(found[c].blocks) for c in CHOICES)])
    rows.append(["Friedman's p", *(measured(found[c].p, 2) for c in CHOICES)])
    rows.append(["over environments alone", *(measured(alone[c].p, 2) for c in CHOICES)])
    rows.append(["critical difference, 5 %", *(measured(found[c].critical_difference, 3) for c in CHOICES)])
    return markdown(["mean rank", *CHOICES], rows)


def page(table, compared, sweep, versions):
    spread = lottery.spread(compared)
    states = ", ".join(f"{count} {state}" for state, count in table["state"].value_counts().items())
    parts = "\n".join(environment(part, spread) for _, part in compared.groupby("env"))
    libraries = ", ".join(f"{name} {versions[name]}" for name in ("designopt", "pymoo", "optuna", "botorch", "python"))
    began, ended = (pd.to_datetime(table[name]) for name in ("started", "ended"))
    hours = (ended - began).sum().total_seconds() / 3600
    return f"""# The hyper-parameter lottery: {sweep}

Sweep `{sweep}`: {len(table):,} studies ({states}), {table["evaluations"].sum():,} evaluations of which
{table["repeats"].sum():,} of a design evaluated before; all studies together took {hours:.1f} hours, two at a
time on two shared cores. What the numbers mean, and the rules for ties and studies without feasible design:
[lottery](../lottery.md).

![The lottery]({sweep}.png)

{parts}
## Expected best of k configurations

Percent of the gap closed by the best of k configurations drawn at random, each judged by its mean over seeds.

{tries(compared)}

## Ranks

{ranks(compared)}

![Mean ranks]({sweep}-ranks.png)
{larger(table, compared)}
Made with {libraries} by `python benchmarks/lottery.py`.
"""


def pictures(html, name, first):
    """Screenshots of the report: the section of one environment, and the ranks."""
    from playwright.sync_api import sync_playwright

    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        print("no Chromium: the pictures are as they were")
        return
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox", "--disable-gpu"])
        page = chromium.new_page(viewport={"width": WIDTH, "height": 900})
        page.set_default_timeout(120_000)
        page.goto(html.resolve().as_uri())
        page.wait_for_function("[...document.querySelectorAll('.plotly-graph-div')].every((f) => f._fullLayout)")
        page.add_style_tag(content="nav, .modebar { display: none !important }")
        page.wait_for_timeout(1000)
        draws = f"draws-{first.rpartition('-')[2]}"
        sections = {name: (first, draws), f"{name}-ranks": ("ranks", "rank-line")}
        for picture, section in sections.items():
            boxes = [page.locator(f"#{id}").first.bounding_box() for id in section]
            top, bottom = boxes[0]["y"] - 12, boxes[1]["y"] + boxes[1]["height"] + 8
            clip = {"x": 0, "y": top, "width": WIDTH, "height": bottom - top}
            page.screenshot(path=FOLDER / f"{picture}.png", full_page=True, clip=clip)
        chromium.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("store")
    parser.add_argument("sweep")
    parser.add_argument("--html", type=Path, help="where to keep the report; default: nowhere")
    parser.add_argument("--show", type=int, default=1, help="number of the environment whose section is pictured")
    arguments = parser.parse_args()
    FOLDER.mkdir(parents=True, exist_ok=True)
    with Store(arguments.store, read_only=True) as store, tempfile.TemporaryDirectory() as folder:
        table = lottery.studies(store, arguments.sweep)
        compared = lottery.compare(table)
        versions = store.runs(sweep=arguments.sweep)[-1].versions
        (FOLDER / f"{arguments.sweep}.md").write_text(page(table, compared, arguments.sweep, versions))
        html = write_sweep_report(store, arguments.sweep, arguments.html or Path(folder) / "lottery.html")
        pictures(html, arguments.sweep, f"problem-{arguments.show}")
        print(f"{FOLDER / arguments.sweep}.md; report {html.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
