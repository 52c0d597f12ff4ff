"""Pictures of the report page and of `designopt watch`: docs/report.png and docs/watch.png. Needs Chromium.

python docs/pictures/report.py
"""

import io
import shutil
import tempfile
from pathlib import Path

from PIL import Image
from rich.console import Console

import designopt as do
from designopt.report import write_report
from designopt.watch import Watch

DOCS = Path(__file__).parents[1]
WIDTH = 1400


def beam(folder):
    """The report of docs/report.md."""
    result = do.optimize("designopt/WeldedBeam-v0", search="de", budget=2000, seed=3)
    result.command = "designopt run designopt/WeldedBeam-v0 --search de --budget 2000 --seed 3 --report runs"
    return write_report(result, folder / "report.html")


def frame(folder):
    """What `designopt watch` shows of four studies, as a picture in SVG."""
    with do.Store(folder / "runs.db") as store:
        for search, env in (("de", "WeldedBeam"), ("tpe", "SpeedReducer"), ("nsga2", "DiscBrake")):
            do.optimize(f"designopt/{env}-v0", search=search, budget=120, seed=0, store=store)
        env = do.make("designopt/PressureVessel-v0")
        searcher = do.backend("gp")(env, None, seed=0)
        searcher.name = "gp"
        study = do.Study(env, searcher, budget=60, store=store)
        for _ in range(20):
            study.step()
        console = Console(record=True, width=150, file=io.StringIO())
        console.print(Watch(store).frame())
        study.close("interrupted")
    path = folder / "watch.svg"
    path.write_text(console.export_svg(title="designopt watch runs.db").replace(f"sqlite:///{folder}/", "sqlite:///"))
    return path


def main():
    """Screenshots in Chromium."""
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        pages = {"report": beam(Path(name)), "watch": frame(Path(name))}
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=["--no-sandbox", "--disable-gpu", "--enable-unsafe-swiftshader"],
        )
        for picture, path in pages.items():
            page = browser.new_page(viewport={"width": WIDTH, "height": 204 if picture == "watch" else 900})
            page.set_default_timeout(120_000)
            page.goto(path.as_uri())
            if picture == "report":
                drawn = "[...document.querySelectorAll('.plotly-graph-div')].every((f) => f._fullLayout)"
                page.wait_for_function(drawn)
                page.add_style_tag(content="nav { position: static !important } .modebar { display: none !important }")
            page.wait_for_timeout(2000)
            target = DOCS / f"{picture}.png"
            page.screenshot(path=target, full_page=picture == "report")
            Image.open(target).convert("RGB").quantize(128).save(target, optimize=True)  # a third of the size
        browser.close()


if __name__ == "__main__":
    main()
