"""Every example and every code block of the README and of docs/extending.md runs."""

import re
import runpy
from pathlib import Path

import numpy as np
import pytest

import designopt as do

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"


def load(name):
    return runpy.run_path(str(EXAMPLES / name))["main"]


def blocks(page, language="python"):
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)


def test_welded_beam(tmp_path):
    result = load("welded_beam.py")(budget=20, folder=tmp_path)
    assert len(result.designs) == 20
    assert (tmp_path / "welded_beam.html").stat().st_size > 1_000_000


def test_own_problem():
    result = load("own_problem.py")(budget=60, search="tpe")
    assert result.best is not None
    assert "the bolts do not fit" in result.evaluation.errors


def test_pareto_front():
    result = load("pareto_front.py")(budget=300)
    assert len(result.pareto) > 3
    assert result.hypervolume() > 0.5 * result.reference.hypervolume


def test_compare_backends():
    found = load("compare_backends.py")(budget=40, seeds=1)
    assert set(found) == {"random", "sobol", "local", "ga", "de", "tpe"}
    assert 6059.7 <= np.nanmin([values[0] for values in found.values()]) < 40_000


def test_parallel():
    result = load("parallel.py")(budget=24)
    status = result.summary()["status"]
    assert status.get("timeout", 0) == (result.designs[:, 0] > 0.8).sum()
    assert result.best_value < 0.3


def test_dram():
    result = load("dram.py")(budget=60, requests=300)
    assert len(result.pareto) > 0
    assert result.evaluation.feasible.any()


def test_bayesian():
    results = load("bayesian.py")(budget=12)
    assert [len(result.designs) for result in results.values()] == [12, 12, 12]


def test_amortized_gp(capsys):
    runpy.run_path(str(EXAMPLES / "amortized_gp.py"))
    drag = float(re.search(r"drag ([\d.]+)", capsys.readouterr().out)[1])
    assert 0.1 <= drag < 0.15


def test_resume(tmp_path):
    first, result = load("resume.py")(store=tmp_path / "runs.db")
    assert np.array_equal(result.designs[:40], first.designs)
    assert len(result.designs) == 80


def test_nasbench():
    regret = load("nasbench.py")(budget=60)
    assert set(regret) == {"random", "regularised_evolution"}
    assert all(0 <= value < 30 for value in regret.values())


def test_accelerator():
    result, traffic = load("accelerator.py")(budget=60)
    assert result.best_value > 0
    assert traffic.cycles == traffic.macs // 64


def test_systolic():
    result, small = load("systolic.py")(budget=200)
    assert 1 <= result.best_value / 2403102729.015853 < 3
    assert small.best is not None


def test_soc():
    result, small = load("soc.py")(budget=200)
    assert result.best_value < 3e-3
    assert small.best is not None


def test_sharpdarts(tmp_path):
    result = load("sharpdarts.py")(epochs=1, budget=1, folder=tmp_path)
    assert result.best_value > 20  # chance: 10
    assert "Weights of operations" in (tmp_path / "sharpdarts.html").read_text()


def test_proxy_model():
    evaluation, result, confirmed = load("proxy_model.py")(known=200, budget=100)
    assert len(result.designs) == 100
    assert confirmed.objectives.min() < 1.05 * evaluation.objectives.min()


def printed(name, pattern, capsys):
    """Run a script -> the numbers that the pattern finds in what it prints."""
    runpy.run_path(str(EXAMPLES / name), run_name="__main__")
    return [float(number) for number in re.findall(pattern, capsys.readouterr().out)]


def test_bib_finds_better_designs_than_it_knows(capsys):
    known, found = printed("bib.py", r"(?:beforehand|of 64): ([\d.]+)", capsys)
    assert found > known


def test_pgvae_goes_further_than_a_plain_autoencoder(capsys):
    known, pgvae, plain = printed("pgvae.py", r"(?:beforehand|best):? ([\d.]+)", capsys)
    assert pgvae > max(known, plain)


def test_protein_landscapes(capsys):
    ehrlich, known, tagged = printed("protein_landscapes.py", r"(?:[A-Z]{15}|best|[ACGT]{7}) ([\d.]+)", capsys)
    assert ehrlich > 0
    assert tagged > known


def test_mapping(capsys):
    random, gamma = printed("mapping.py", r"(?:random|gamma) +(\S+) MAC", capsys)
    assert gamma < random


def test_robust_knapsack(capsys):
    low, high, bound = printed("robust_knapsack.py", r"(?:profit:|to|than) ([\d.]+)", capsys)
    assert low <= high <= bound


def test_the_readmes_own_problem_runs_and_is_short():
    (code,) = blocks("README.md")
    assert len(code.splitlines()) < 15
    names = {"__name__": "__main__"}
    exec(compile(code.replace("budget=30", "budget=14"), "bracket.py", "exec"), names)
    result = names["result"]
    assert len(result.designs) == 14
    assert set(result.best or result.least_infeasible) == {"width", "bolts", "metal"}


def test_every_command_of_the_readme_exists():
    from typer.main import get_command

    from designopt.cli import app

    commands = get_command(app).commands
    for block in blocks("README.md", "sh"):
        for name in re.findall(r"^designopt (\w+)", block, re.MULTILINE):
            assert name in commands


def test_every_link_of_the_readme_leads_somewhere():
    for target in re.findall(r"\]\(([^)#]+)\)", (ROOT / "README.md").read_text()):
        assert (ROOT / target).exists(), target


@pytest.mark.parametrize(("index", "name"), [(0, "Cone"), (1, "Jitter")])
def test_the_classes_of_the_extension_page_pass_the_conformance_kits(index, name):
    from designopt.testing import check_env, check_searcher

    names = {}
    exec(compile(blocks("docs/extending.md")[index], "extending.py", "exec"), names)
    if name == "Cone":
        check_env(names[name]())
        assert do.optimize(names[name](), search="random", budget=50).best_value > 0
    else:
        check_searcher(names[name])
