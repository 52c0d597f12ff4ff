"""What the shipped network has to be good for: a network that does not get better with data still runs a search.

The figures and BoTorch's are in docs/benchmarks/pfn_quality.md.
"""

import json
from pathlib import Path

import pytest
import torch
from botorch.fit import fit_gpytorch_mll
from botorch.models import SingleTaskGP
from gpytorch.mlls import ExactMarginalLogLikelihood

from designopt.surrogates import PFN, heldout
from designopt.surrogates.pfn.classical import FUNCTIONS
from designopt.surrogates.pfn.training import measure

SHARES = {"1,10": 0.78, "1,30": 0.95, "3,30": 0.84, "6,30": 0.65, "10,60": 0.50}
MISSED = {"1,30": 0.940, "6,30": 0.616, "coverage 1,10": 0.865}
"""Gates that this network misses, and what was measured."""
BOTORCH = Path(__file__).parents[2] / "docs" / "benchmarks" / "pfn_quality.json"


@pytest.fixture(scope="module")
def measured():
    return measure(PFN.load().network)


def gates(prefix=""):
    """Every cell as a parameter; the missed ones are expected to fail until a better network is shipped."""
    for cell in SHARES:
        found = MISSED.get(prefix + cell)
        missed = pytest.mark.xfail(strict=True, reason=f"measured {found}")
        yield pytest.param(cell, marks=[] if found is None else [missed])


@pytest.mark.parametrize("cell", gates())
def test_share_of_the_available_gain_on_the_hebo_plus_prior(measured, cell):
    assert measured[cell] >= SHARES[cell]


@pytest.mark.parametrize("cell", gates("coverage "))
def test_90_percent_intervals_hold_90_percent(measured, cell):
    assert 0.87 <= measured[f"coverage {cell}"] <= 0.93


def test_90_percent_intervals_hold_90_percent_over_all_cells(measured):
    assert 0.87 <= sum(measured[f"coverage {cell}"] for cell in SHARES) / len(SHARES) <= 0.93


@pytest.mark.parametrize("name", MISSED)
def test_what_is_missed_has_not_become_worse(measured, name):
    assert measured[name] == pytest.approx(MISSED[name], abs=0.01)


def test_mean_density_on_functions_of_the_literature(measured):
    assert measured["classical"] <= 0.85
    rest = [measured[name] for name in FUNCTIONS if not name.startswith("Griewank")]
    assert sum(rest) / len(rest) <= 0.85  # nor does one easy function carry the others


@pytest.mark.parametrize("name", FUNCTIONS)
def test_on_no_function_much_worse_than_a_fitted_process(measured, name):
    assert measured[name] <= json.loads(BOTORCH.read_text())["classical"][name]["botorch"] + 0.4


def test_functions_of_the_literature_have_their_known_values():
    optima = {
        "Branin 2, 20": ([torch.pi, 2.275], 0.397887),
        "Hartmann 3, 30": ([0.114614, 0.555649, 0.852547], -3.86278),
        "Levy 4, 40": ([1.0] * 4, 0.0),
        "Ackley 5, 50": ([0.0] * 5, 0.0),
        "Hartmann 6, 60": ([0.20169, 0.150011, 0.476874, 0.275332, 0.311652, 0.6573], -3.32237),
        "Rosenbrock 6, 60": ([1.0] * 6, 0.0),
        "Griewank 6, 60": ([0.0] * 6, 0.0),
        "Styblinski-Tang 8, 80": ([-2.903534] * 8, -39.16617 * 8),
        "Ackley 10, 100": ([0.0] * 10, 0.0),
    }
    for name, (x, value) in optima.items():
        found = FUNCTIONS[name].function(torch.tensor(x, dtype=torch.double))
        assert float(found) == pytest.approx(value, abs=2e-4), name


def test_the_cells_are_those_of_the_gates():
    assert set(SHARES) == {f"{d},{n}" for d, n in heldout.CELLS}


@pytest.mark.slow
def test_botorchs_figure_is_what_its_default_model_gives():
    X, y = FUNCTIONS["Branin 2, 20"].tasks()
    found = []
    for i in range(len(X)):
        model = SingleTaskGP(X[i, :20], y[i, :20, None])
        fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model))
        posterior = model.posterior(X[i, 20:, None], observation_noise=True)
        normal = torch.distributions.Normal(posterior.mean[:, 0, 0], posterior.variance[:, 0, 0].sqrt())
        found.append(-float(normal.log_prob(y[i, 20:]).mean()))
    recorded = json.loads(BOTORCH.read_text())["classical"]["Branin 2, 20"]["botorch"]
    assert sum(found) / len(found) == pytest.approx(recorded, abs=0.02)
