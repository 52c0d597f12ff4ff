from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.gaussian_process.kernels import RBF, Matern

from designopt.surrogates import heldout, kernels
from designopt.surrogates.priors import HEBO_PLUS, WIDE, GaussianProcessPrior, Tasks, kumaraswamy


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def tasks(X, **given):
    b, n, d = X.shape
    ones = torch.ones(b, dtype=torch.double)
    fields = {
        "Y": torch.zeros(b, n, dtype=torch.double),
        "lengthscale": torch.ones(b, d, dtype=torch.double),
        "outputscale": ones,
        "noise": 0.0 * ones,
        "kernel": torch.zeros(b, dtype=torch.long),
        "warp": torch.ones(b, d, 2, dtype=torch.double),
        "tilt": torch.zeros(b, 2, dtype=torch.double),
        "categorical": torch.zeros(d, dtype=torch.bool),
    }
    return Tasks(X, **(fields | given))


def test_hyperparameters_follow_the_published_distributions():
    drawn = HEBO_PLUS.sample(4000, 2, 6, rng())
    used = torch.isfinite(drawn.lengthscale)
    assert float(used.double().mean()) == pytest.approx(0.7, abs=0.01)
    assert used.any(dim=1).all()
    lengthscale = drawn.lengthscale[used]
    assert float(lengthscale.mean()) == pytest.approx(1.2106559584 / 1.5212245993, rel=0.03)
    assert float(lengthscale.std()) == pytest.approx(1.2106559584**0.5 / 1.5212245993, rel=0.04)
    assert float(drawn.outputscale.mean()) == pytest.approx(0.8452312503 / 0.3993553246, rel=0.06)
    assert float(drawn.noise.log().mean()) == pytest.approx(-4.63, abs=0.03)
    assert float(drawn.noise.log().std()) == pytest.approx(0.5, abs=0.02)
    assert (drawn.kernel == 0).all()
    assert (drawn.warp == 1).all()
    assert (drawn.tilt == 0).all()


def test_one_parameter_is_never_dropped():
    assert torch.isfinite(HEBO_PLUS.sample(500, 2, 1, rng()).lengthscale).all()


@pytest.mark.parametrize("prior", [HEBO_PLUS, WIDE], ids=["hebo+", "wide"])
def test_outputs_have_the_covariance_of_their_hyperparameters(prior):
    drawn = prior.sample(2000, 6, 2, rng())
    white = torch.linalg.solve_triangular(torch.linalg.cholesky(drawn.covariance()), drawn.Y[..., None], upper=False)[
        ..., 0
    ]
    np.testing.assert_allclose(white.mT @ white / len(white), np.eye(6), atol=0.1)


@pytest.mark.parametrize(("kernel", "reference"), [(0, Matern(nu=1.5)), (1, Matern(nu=2.5)), (2, RBF())])
def test_kernels_are_those_of_the_textbook(kernel, reference):
    X = torch.rand(1, 7, 3, generator=rng(), dtype=torch.double)
    lengthscale = torch.tensor([[0.3, 1.2, torch.inf]], dtype=torch.double)
    drawn = tasks(X, lengthscale=lengthscale, kernel=torch.tensor([kernel]))
    np.testing.assert_allclose(drawn.covariance()[0], reference(X[0] / lengthscale[0]), rtol=1e-6)


def test_noise_scale_and_trend_enter_the_covariance():
    X = torch.rand(1, 5, 2, generator=rng(), dtype=torch.double)
    plain = tasks(X).covariance()
    two, half = torch.full((1,), 2.0, dtype=torch.double), torch.full((1,), 0.5, dtype=torch.double)
    tilt = torch.tensor([[0.7, 0.2]], dtype=torch.double)
    inner = (X - 0.5) @ (X - 0.5).mT * 6
    expected = 2 * plain + 0.5 * torch.eye(5) + 0.49 * inner + 0.04 * inner**2
    torch.testing.assert_close(tasks(X, outputscale=two, noise=half, tilt=tilt).covariance(), expected)


def test_categories_are_compared_by_equality_only():
    drawn = GaussianProcessPrior(categorical=1.0, trend=1.0, warped=1.0).sample(8, 30, 9, rng(1))
    assert 0 < drawn.categorical.sum() < 9
    choices = drawn.X[..., drawn.categorical]
    assert set(choices.unique().tolist()) == {0.0, 1.0, 2.0, 3.0, 4.0, 5.0}
    renamed = torch.where(drawn.categorical, 10 - 3 * drawn.X, drawn.X)
    torch.testing.assert_close(replace(drawn, X=renamed).covariance(), drawn.covariance())
    assert not torch.allclose(replace(drawn, X=0.5 * drawn.X).covariance(), drawn.covariance())


def test_categories_differ_by_a_lengthscale():
    X = torch.tensor([[[0.0], [2.0]]], dtype=torch.double)
    drawn = tasks(X, categorical=torch.tensor([True]), lengthscale=torch.full((1, 1), 0.5, dtype=torch.double))
    assert float(drawn.covariance()[0, 0, 1]) == pytest.approx(float(Matern(nu=1.5)([[0.0], [2.0]])[0, 1]))


def test_the_wide_prior_has_what_its_fields_say():
    drawn = WIDE.sample(2000, 12, 4, rng())
    for kernel, share in enumerate(WIDE.kernels):
        assert float((drawn.kernel == kernel).double().mean()) == pytest.approx(share, abs=0.04)
    assert float((drawn.noise.log() < -6.8).double().mean()) == pytest.approx(0.5, abs=0.04)
    assert float((drawn.tilt > 0).all(dim=1).double().mean()) == pytest.approx(0.25, abs=0.04)
    assert float((drawn.warp != 1).all(dim=2).all(dim=1).double().mean()) == pytest.approx(0.25, abs=0.04)
    longest = drawn.lengthscale.nan_to_num(posinf=0.0).amax(dim=1)
    assert float(longest.median()) > 1.15 * float(_longest(HEBO_PLUS).median())
    gaps = torch.cdist(drawn.X, drawn.X).flatten(1).kthvalue(13).values  # the first dozen are zeros
    assert float(gaps.quantile(0.1)) < 0.3 * float(gaps.median())
    assert drawn.X.min() >= 0
    assert drawn.X.max() <= 1


def _longest(prior):
    return prior.sample(2000, 2, 4, rng()).lengthscale.nan_to_num(posinf=0.0).amax(dim=1)


def test_the_same_seed_draws_the_same():
    first, second, other = (WIDE.sample(3, 8, 2, rng(seed)) for seed in (5, 5, 6))
    assert torch.equal(first.Y, second.Y)
    assert not torch.equal(first.Y, other.Y)


def test_nearly_equal_designs_of_smooth_functions_can_be_drawn():
    smooth = GaussianProcessPrior(kernels=(0.0, 0.0, 1.0), near_noiseless=1.0, stretched=1.0, clustered=1.0)
    assert torch.isfinite(smooth.sample(64, 200, 1, rng()).Y).all()


def test_outputs_are_standardised_by_the_context_alone():
    drawn = HEBO_PLUS.sample(5, 30, 2, rng())
    y = drawn.standardised(20, limit=2.0)
    full = drawn.standardised(20)
    np.testing.assert_allclose(full[:, :20].mean(dim=1), 0, atol=1e-9)
    np.testing.assert_allclose(full[:, :20].std(dim=1, correction=0), 1, atol=1e-9)
    assert torch.equal(y, full.clamp(-2, 2))


@pytest.mark.parametrize(("a", "b"), [(0.2, 0.2), (0.3, 4.0), (5.0, 0.5), (2.0, 2.0)])
def test_warping_increases_from_0_to_1(a, b):
    X = torch.linspace(0, 1, 50, dtype=torch.double).reshape(1, 50, 1)
    Z = kumaraswamy(X, torch.tensor([[[a, b]]], dtype=torch.double))
    assert float(Z[0, 0, 0]) == 0
    assert float(Z[0, -1, 0]) == 1
    assert (Z.diff(dim=1) >= 0).all()
    torch.testing.assert_close(kumaraswamy(X, torch.ones(1, 1, 2)), X)


def test_mixtures_and_their_gradients_agree_with_the_sum_of_kernels():
    r2 = torch.rand(2, 3, 4, generator=rng(), dtype=torch.double) * 4
    factors = torch.rand(2, 4, generator=rng(1), dtype=torch.double)
    expected = sum(f[:, None, None] * k for f, k in zip(factors.T, kernels.correlations(r2), strict=True))
    torch.testing.assert_close(kernels.mixture(r2, factors), expected)
    parts = kernels.mixture_in_parts(r2, factors)
    torch.testing.assert_close(parts.covariance, expected)
    assert torch.autograd.gradcheck(kernels.mixture, (r2.requires_grad_(), factors.requires_grad_()))
    slope = torch.autograd.grad(kernels.mixture(r2, factors).sum(), r2)[0]
    torch.testing.assert_close(parts.slope, slope)


def test_gradients_are_finite_at_distance_0():
    r2 = torch.zeros(1, 2, 2, dtype=torch.double, requires_grad=True)
    kernels.mixture(r2, torch.ones(1, 4, dtype=torch.double)).sum().backward()
    assert torch.isfinite(r2.grad).all()


def test_the_slow_kernel_has_four_times_the_lengthscale():
    r2 = torch.tensor([0.3, 5.0])
    torch.testing.assert_close(kernels.correlations(r2)[3], kernels.correlations(r2 / 16)[2])


def test_squared_distances_are_those_of_euclid():
    A, B = torch.rand(2, 5, 3, dtype=torch.double) + 100, torch.rand(2, 4, 3, dtype=torch.double) + 100
    torch.testing.assert_close(kernels.squared_distances(A, B), torch.cdist(A, B) ** 2)
    assert (kernels.squared_distances(A, A) >= 0).all()


@pytest.mark.parametrize(("d", "n"), heldout.CELLS)
def test_the_oracle_gains_and_a_normal_does_not(d, n):
    cell = heldout.cell(d, n)
    assert cell.oracle < cell.normal - 0.15
    assert cell.share(cell.oracle) == 1
    assert cell.share(cell.normal) == 0


def test_the_oracle_is_the_exact_gaussian_process():
    cell = heldout.cell(1, 10)
    context, (X, _) = cell.tasks.Y[:, :10], cell.queries
    covariance = cell.tasks.covariance()
    nll = []
    for i in range(40):
        K, k = covariance[i, :10, :10], covariance[i, 10:, :10]
        gain = torch.linalg.solve(K, k.T).T
        mean, variance = gain @ context[i], covariance[i, 10:, 10:].diagonal() - (gain * k).sum(1)
        unit = context[i].std(correction=0)
        observed = (cell.tasks.Y[i, 10:] - context[i].mean()) / unit
        expected = torch.distributions.Normal((mean - context[i].mean()) / unit, variance.sqrt() / unit)
        nll.append(-expected.log_prob(observed))
    assert X.shape == (256, 32, 1)
    few = heldout.Cell(cell.tasks, 10, cell.y, cell.normal, float(torch.stack(nll).mean()))
    assert few.oracle == pytest.approx(float(heldout.oracle_nll(cell.tasks, 10)[:40].mean()))
