"""What importing costs and who may import whom."""

import ast
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = {
    "torch",
    "ray",
    "botorch",
    "gpytorch",
    "optuna",
    "pymoo",
    "pandas",
    "sqlalchemy",
    "plotly",
    "scipy",
    "matplotlib",
}
PARTS = {"envs": ROOT / "envs", "surrogates": ROOT / "surrogates", "search": ROOT / "search"}


def modules_after(code):
    code += "\nimport sys; print(' '.join(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def imports_of(file):
    tree = ast.parse(file.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize(
    "code",
    [
        "import designopt",
        "import designopt; designopt.envs(); designopt.backends()",
        "import designopt.envs, designopt.search, designopt.surrogates, designopt.adapters, designopt.testing",
        "import designopt.cli",
    ],
)
def test_importing_pulls_nothing_heavy(code):
    assert not HEAVY & modules_after(code)


def test_the_loop_over_random_search_needs_neither_torch_nor_ray():
    code = "import designopt; designopt.optimize('designopt/WeldedBeam-v0', search='random', budget=3)"
    assert not {"torch", "ray", "botorch", "optuna", "pymoo"} & modules_after(code)


def test_no_second_copy_of_the_parts_is_importable_by_accident():
    names = modules_after(
        "import designopt.envs, designopt.search, designopt.surrogates; designopt.envs(); designopt.backends()"
    )
    assert not {"envs", "search", "surrogates"} & names


def forbidden(file):
    part = file.relative_to(ROOT).parts[0]
    return {
        "designopt": ("designopt.envs", "designopt.surrogates", "designopt.search", "envs", "surrogates", "search"),
        "envs": ("designopt.surrogates", "designopt.search", "envs", "surrogates", "search"),
        "surrogates": ("designopt.envs", "designopt.search", "envs", "surrogates", "search"),
        "search": ("designopt.envs", "envs", "surrogates", "search"),
    }[part]


FILES = [
    file
    for part in ("designopt", "envs", "surrogates", "search")
    for file in sorted((ROOT / part).rglob("*.py"))
    if not any(link.is_symlink() for link in file.parents)
]


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(ROOT)))
def test_parts_import_only_what_they_may(file):
    for name in imports_of(file):
        for root in forbidden(file):
            assert not f"{name}.".startswith(f"{root}."), f"{file.relative_to(ROOT)} imports {name}"


def test_the_parts_are_relative_links_inside_the_package():
    for name in PARTS:
        link = ROOT / "designopt" / name
        assert link.is_symlink(), f"{link} became a plain file or folder"
        assert link.readlink() == Path("..") / name


def test_the_wheel_holds_every_module(tmp_path):
    pytest.importorskip("hatchling")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    done = subprocess.run(build, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    for file in FILES:
        relative = file.relative_to(ROOT)
        inside = relative if relative.parts[0] == "designopt" else Path("designopt") / relative
        assert str(inside) in names
    assert "designopt/py.typed" in names
    assert not any(name.startswith(("tests/", "envs/", "search/")) for name in names)

    done = subprocess.run(
        [sys.executable, "-c", "import designopt, designopt.search, designopt.envs; print(designopt.__file__)"],
        env={"PYTHONPATH": str(wheel), "PATH": "/usr/bin:/bin"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(wheel))
