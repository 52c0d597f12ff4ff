"""The report page in a real browser: figures are drawn, light and dark, without errors and without the network."""

import html
import json
import re
import shutil
import subprocess

import numpy as np
import pytest

import designopt as do
from designopt.report import style, write_report

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(BROWSER is None, reason="needs Chromium (apt-get install chromium)")

PROBE = """<script>
const seen = [];
addEventListener("error", (event) => seen.push("error: " + event.message));
addEventListener("unhandledrejection", (event) => seen.push("rejection: " + event.reason));
addEventListener("securitypolicyviolation", (event) => seen.push("blocked: " + event.blockedURI));
console.error = console.warn = (...what) => seen.push("console: " + what.join(" "));
addEventListener("load", () => setTimeout(() => {
  for (const entry of performance.getEntriesByType("resource"))
    if (!/^(data|blob):/.test(entry.name)) seen.push("loaded: " + entry.name);
  document.documentElement.dataset.seen = JSON.stringify(seen);
}, 1500));
</script>"""


@do.design_env(
    do.DesignSpace(width=do.Real(0.01, 0.1, unit="m"), height=do.Real(0.01, 0.2, unit="m")),
    minimize=["mass"],
    constraints={"stress": "<= 2e6"},
    units={"mass": "kg", "stress": "Pa"},
)
def bracket(width, height):
    if width > 0.095:
        raise RuntimeError("mesh <failed> & stopped")
    return {"mass": 7800 * width * height, "stress": 6 * 1e2 / (width * height**2)}


@do.design_env(do.DesignSpace(x=do.Real(0, 1), y=do.Real(0, 1), z=do.Real(0, 1)), minimize=["a", "b"])
def pair(x, y, z):
    return {"a": x + z, "b": 1 - np.sqrt(x) + y}


@do.design_env(do.DesignSpace(x=do.Real(0, 1), y=do.Real(0, 1)), minimize=["a", "b"], maximize=["c"])
def triple(x, y):
    return {"a": x, "b": y, "c": x * y}


def render(page, folder, *options):
    """-> (DOM after all scripts ran, without them; what the probe saw)."""
    probed = folder / "probed.html"
    probed.write_text(page.read_text(encoding="utf-8").replace("<head>", "<head>" + PROBE, 1), encoding="utf-8")
    quiet = ["--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", *quiet, f"--user-data-dir={folder / 'profile'}"]
    command += ["--window-size=1100,2400", "--virtual-time-budget=10000", *options, "--dump-dom", probed.as_uri()]
    dom = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    (seen,) = re.findall(r'data-seen="([^"]*)"', dom)
    return re.sub(r"<script.*?</script>", "", dom, flags=re.DOTALL), json.loads(html.unescape(seen))


@pytest.mark.parametrize(
    ("env", "dark", "figures", "mark"),
    [
        (bracket, False, ["convergence", "constraint-slacks"], '<g class="point"'),
        (pair, True, ["convergence", "pareto-front"], '<path class="point'),
        (triple, False, ["convergence", "pareto-front"], "<canvas"),
    ],
)
def test_page_of_a_run_draws_its_figures_in_the_brightness_of_the_reader(tmp_path, env, dark, figures, mark):
    result = do.optimize(env, search="random", budget=60, seed=1)
    page = write_report(result, tmp_path / "report.html")
    brightness = f"--blink-settings=preferredColorScheme={0 if dark else 1}"
    dom, seen = render(page, tmp_path, brightness, "--enable-unsafe-swiftshader")
    assert seen == []
    assert re.findall(r'<div id="([a-z-]+)"[^>]*class="plotly-graph-div js-plotly-plot"', dom) == figures
    first, second = dom.split('id="convergence"')[1].split(f'id="{figures[1]}"')
    assert 'class="js-line"' in first  # the best so far
    assert "evaluation</text>" in first
    assert mark in second
    assert "WebGL is not supported" not in second
    ink, other = (f"fill: rgb({', '.join(map(str, bytes.fromhex(style.INK[d][1:])))})" for d in (dark, not dark))
    assert ink in first
    assert other not in first
