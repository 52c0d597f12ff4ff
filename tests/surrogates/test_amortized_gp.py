import math
import warnings

import numpy as np
import pytest
import torch
from botorch.acquisition import qLogExpectedImprovement, qLogNoisyExpectedImprovement
from botorch.models.model import Model
from botorch.optim import optimize_acqf
from scipy.stats import norm

from designopt.surrogates import AmortizedGP, heldout
from designopt.surrogates.amortized_gp import STEPS, WEIGHTS, ConditionedGP
from designopt.surrogates.gp import amortized_hyperparameters, as_mask, fit_gp
from designopt.surrogates.pfn.classical import FUNCTIONS
from designopt.surrogates.training import read_weights, write_weights

GATES = {(1, 10): 0.78, (1, 30): 0.95, (3, 30): 0.84, (6, 30): 0.65, (10, 60): 0.50}
MISSED = {(6, 30): 0.637}


@pytest.fixture(scope="module")
def agp():
    return AmortizedGP.load()


def data(n=25, d=3, m=2, seed=0):
    """Smooth functions of a few parameters."""
    rng = torch.Generator().manual_seed(seed)
    X = torch.rand(n, d, generator=rng, dtype=torch.double)
    return X, outputs(X, m)


def outputs(X, m=2):
    columns = [torch.sin(5 * X[:, 0]) + X[:, -1] ** 2, torch.exp(X[:, 0] * X[:, 1]), (X - 0.5).square().sum(1)]
    return torch.stack(columns[:m], dim=1)


# How well it predicts ----------------------------------------------------------------------------------------------


def predicted(agp, cell):
    """NLL and standardised residuals of the queries, (b, q)."""
    categorical = torch.zeros(cell.tasks.X.shape[-1], dtype=torch.bool)
    with torch.no_grad():
        fit = agp.network(*cell.context, categorical, STEPS)[-1]
        mean, variance = fit.predict(cell.queries[0])
    z = (cell.queries[1] - mean) / variance.sqrt()
    return 0.5 * (z**2 + variance.log() + math.log(2 * math.pi)), z


@pytest.mark.parametrize(
    ("d", "n"),
    [
        pytest.param(*key, marks=[pytest.mark.xfail(reason=f"measured {MISSED[key]}")] if key in MISSED else [])
        for key in GATES
    ],
)
def test_share_of_the_available_gain(agp, d, n):
    cell = heldout.cell(d, n)
    assert cell.share(float(predicted(agp, cell)[0].mean())) >= GATES[d, n]


@pytest.mark.parametrize(("d", "n"), heldout.CELLS)
def test_90_percent_intervals_cover(agp, d, n):
    _, z = predicted(agp, heldout.cell(d, n))
    assert 0.87 <= float((z.abs() < norm.ppf(0.95)).double().mean()) <= 0.93


def test_noise_free_functions_of_the_literature(agp):
    """BoTorch's default fit has .964 on the same designs (docs/benchmarks/amortized_gp.md)."""
    nll = []
    for function in FUNCTIONS.values():
        X, y = function.tasks()
        with torch.no_grad():
            fit = agp.network(X[:, : function.n], y[:, : function.n], torch.zeros(function.d, dtype=torch.bool), STEPS)[
                -1
            ]
            nll.append(-float(fit.log_density(X[:, function.n :], y[:, function.n :]).mean()))
    assert np.mean(nll) <= 0.85


def test_a_smooth_function_is_all_but_known(agp):
    X, Y = data(n=40)
    test, truth = data(n=100, seed=1)
    posterior = agp.condition_on(X, Y).posterior(test[:, None])
    error = (posterior.mean[:, 0] - truth) / Y.std(dim=0)
    assert float(error.square().mean().sqrt()) < 0.1
    z = (posterior.mean[:, 0] - truth) / posterior.variance[:, 0].sqrt()
    assert float(z.square().mean()) < 4


# As a BoTorch model ------------------------------------------------------------------------------------------------


def test_it_is_a_botorch_model(agp):
    model = agp.condition_on(*data())
    assert isinstance(model, Model)
    assert model.num_outputs == 2
    assert model.batch_shape == torch.Size()
    posterior = model.posterior(torch.rand(4, 5, 3, dtype=torch.double))
    assert posterior.mean.shape == posterior.variance.shape == (4, 5, 2)
    assert posterior.rsample(torch.Size([7])).shape == (7, 4, 5, 2)
    single = agp.condition_on(*data(m=1)).posterior(torch.rand(4, 5, 3, dtype=torch.double))
    assert single.mean.shape == (4, 5, 1)


@pytest.mark.parametrize("noisy", [False, True])
def test_the_posterior_is_that_of_the_joint_normal_distribution(agp, noisy):
    X, Y = data(n=10)
    model = agp.condition_on(X, Y)
    new = torch.rand(3, 4, 3, generator=torch.Generator().manual_seed(3), dtype=torch.double)
    posterior = model.posterior(new, observation_noise=noisy)
    joint = posterior.distribution.covariance_matrix
    theta = model.theta
    for group in range(3):
        both = torch.cat([X, new[group]])[None].expand(2, -1, -1)
        K = theta.covariance(theta.distances(both, both))
        data_covariance = K[:, :10, :10] + theta.noise[:, None, None] * torch.eye(10)
        gain = torch.linalg.solve(data_covariance, K[:, :10, 10:]).mT
        y = (Y - Y.mean(0)) / Y.std(0, correction=0)
        mean = theta.mean[:, None] + (gain @ (y.T - theta.mean[:, None])[..., None])[..., 0]
        expected = (Y.mean(0)[:, None] + Y.std(0, correction=0)[:, None] * mean).T
        torch.testing.assert_close(posterior.mean[group], expected, rtol=1e-5, atol=1e-6)
        covariance = K[:, 10:, 10:] - gain @ K[:, :10, 10:]
        if noisy:
            covariance = covariance + theta.noise[:, None, None] * torch.eye(4)
        covariance = covariance * Y.var(0, correction=0)[:, None, None]
        for output in range(2):
            block = joint[group, output::2, output::2]
            torch.testing.assert_close(block, covariance[output], rtol=1e-3, atol=1e-6)
        assert float(joint[group, ::2, 1::2].abs().max()) == 0


@pytest.mark.parametrize("m", [1, 2])
@pytest.mark.parametrize("noisy", [False, True])
def test_designs_one_by_one_have_the_margins_of_the_joint_posterior(agp, m, noisy):
    model = agp.condition_on(*data(m=m))
    X = torch.rand(6, 3, dtype=torch.double)
    joint = model.posterior(X, observation_noise=noisy)
    single = model.posterior(X[:, None], observation_noise=noisy)
    torch.testing.assert_close(single.mean[:, 0], joint.mean)
    torch.testing.assert_close(single.variance[:, 0], joint.variance, rtol=1e-4, atol=1e-6)


def test_equal_designs_have_equal_draws(agp):
    X = torch.full((1, 3, 3), 0.4, dtype=torch.double)
    posterior = agp.condition_on(*data(n=5)).posterior(X)
    draws = posterior.rsample(torch.Size([200]))
    spread = draws.std(dim=2).mean()
    assert float(spread) < 0.01 * float(draws.std(dim=0).mean())


def test_predictions_are_differentiable_in_the_designs(agp):
    model = agp.condition_on(*data(n=8))
    X = torch.rand(2, 2, 3, dtype=torch.double, requires_grad=True)
    for q in (1, 2):
        assert torch.autograd.gradcheck(
            lambda x: (model.posterior(x).mean, model.posterior(x).variance), (X[:, :q].detach().requires_grad_(),)
        )


def test_derivatives_leave_categories_and_settled_variances_alone(agp):
    X, Y = data()
    X[:, 1] = (2 * X[:, 1]).round() / 2
    model = agp.condition_on(X, Y, [False, True, False])
    x = torch.tensor([[0.3, 0.5, 0.6]], dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(model.marginals, (x,), eps=1e-7, atol=1e-4)
    for moment in model.marginals(x):
        assert torch.autograd.grad(moment.sum(), x, retain_graph=True)[0][0, 1] == 0
    dense = torch.linspace(0, 1, 200, dtype=torch.double)[:, None]
    certain = agp.condition_on(dense, dense**2)
    between = torch.tensor([[0.4999]], dtype=torch.double, requires_grad=True)
    variance = certain.marginals(between)[1]
    assert variance.item() == pytest.approx(float(1e-8 * certain.theta.scale * certain.unit**2))
    assert torch.autograd.grad(variance.sum(), between)[0] == 0


def test_many_designs_are_predicted_as_few_are(agp):
    model = agp.condition_on(*data())
    X = torch.rand(300, 3, dtype=torch.double)
    for whole, parts in zip(model.marginals(X), zip(*map(model.marginals, X.split(7)), strict=True), strict=True):
        torch.testing.assert_close(whole, torch.cat(parts))


def test_inference_goes_on_from_where_it_was_left(agp):
    X, Y = data(m=3)
    whole = agp.condition_on(X, Y)
    part = agp.condition_on(X, Y, steps=STEPS - 2)
    assert (part.state.steps, whole.state.steps) == (STEPS - 2, STEPS)
    rest = agp.condition_on(X, Y[:, [2, 0]], steps=2, after=part.state.rows([2, 0]))
    torch.testing.assert_close(rest.evidence, whole.evidence[[2, 0]])
    assert (part.evidence - whole.evidence).abs().max() > 1e-3


def test_stock_acquisition_functions_find_the_optimum(agp):
    rng = torch.Generator().manual_seed(0)
    X = torch.rand(12, 2, generator=rng, dtype=torch.double)
    peak = torch.tensor([0.3, 0.6], dtype=torch.double)
    box = torch.tensor([[0.0, 0.0], [1.0, 1.0]], dtype=torch.double)
    torch.manual_seed(0)
    for _ in range(6):
        Y = -(X - peak).square().sum(dim=1, keepdim=True)
        acquisition = qLogExpectedImprovement(agp.condition_on(X, Y), best_f=Y.max())
        X = torch.cat([X, optimize_acqf(acquisition, box, q=1, num_restarts=2, raw_samples=64)[0]])
    assert float((X - peak).square().sum(dim=1).min()) < 1e-3


def test_noisy_batch_improvement_takes_it(agp):
    X, Y = data(n=8, m=1)
    acquisition = qLogNoisyExpectedImprovement(agp.condition_on(X, Y), X_baseline=X, prune_baseline=False)
    values = acquisition(torch.rand(3, 2, 3, dtype=torch.double))
    assert torch.isfinite(values).all()


def test_evidence_is_the_log_density_of_the_data(agp):
    X, Y = data(n=10)
    model = agp.condition_on(X, Y)
    theta = model.theta
    K = theta.covariance(theta.distances(X[None], X[None])) + theta.noise[:, None, None] * torch.eye(10)
    unit = Y.std(0, correction=0)
    for i in range(2):
        mean = Y[:, i].mean() + unit[i] * theta.mean[i]
        normal = torch.distributions.MultivariateNormal(mean.expand(10), unit[i] ** 2 * K[i])
        assert float(model.evidence[i]) == pytest.approx(float(normal.log_prob(Y[:, i])), rel=1e-5)


def test_some_of_the_outputs(agp):
    model = agp.condition_on(*data(m=3))
    X = torch.rand(4, 2, 3, dtype=torch.double)
    whole, part = model.posterior(X), model.posterior(X, output_indices=[2, 0])
    torch.testing.assert_close(part.mean, whole.mean[..., [2, 0]])
    torch.testing.assert_close(part.variance, whole.variance[..., [2, 0]])
    assert model.subset_output([1]).num_outputs == 1


def test_more_designs_under_the_same_hyperparameters(agp):
    X, Y = data(n=20)
    model = agp.condition_on(X[:15], Y[:15])
    longer = model.condition_on_observations(X[15:], Y[15:])
    assert longer.theta is model.theta
    torch.testing.assert_close(longer.X, X)
    torch.testing.assert_close(longer.Y, Y)
    at_data = longer.posterior(X[15:, None])
    assert (at_data.variance < model.posterior(X[15:, None]).variance).all()
    new = torch.rand(5, 1, 3, dtype=torch.double)
    unmoved = model.condition(new[:, 0], model.posterior(new).mean[:, 0])
    torch.testing.assert_close(
        unmoved.posterior(X[:3, None]).mean, model.posterior(X[:3, None]).mean, atol=1e-3, rtol=0
    )


def test_noise_for_single_designs_is_refused(agp):
    with pytest.raises(ValueError, match="observation_noise is a tensor"):
        agp.condition_on(*data()).posterior(torch.rand(1, 1, 3), observation_noise=torch.ones(1, 1, 2))


# What data may be like ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [0.1, 1e9, -3.0, 1e200])
@pytest.mark.parametrize("shift", [0.0, 1e3])
def test_scale_and_shift_of_outputs_carry_over(agp, scale, shift):
    X, Y = data()
    new = torch.rand(5, 1, 3, dtype=torch.double)
    plain = agp.condition_on(X, Y).posterior(new)
    if scale > 0:
        scaled = agp.condition_on(X, scale * (Y + shift)).posterior(new)
        torch.testing.assert_close(scaled.mean / scale - shift, plain.mean, rtol=1e-4, atol=1e-4)
        if scale < 1e100:  # the square of larger ones is no double
            torch.testing.assert_close(scaled.variance.sqrt() / scale, plain.variance.sqrt(), rtol=1e-2, atol=1e-4)
    else:
        mirrored = agp.condition_on(X, scale * Y).posterior(new)
        assert torch.isfinite(mirrored.mean).all()


def test_outputs_do_not_influence_each_other(agp):
    X, Y = data(m=3)
    new = torch.rand(5, 1, 3, dtype=torch.double)
    together = agp.condition_on(X, Y).posterior(new)
    for i in range(3):
        alone = agp.condition_on(X, Y[:, [i]]).posterior(new)
        torch.testing.assert_close(together.mean[..., [i]], alone.mean, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("constant", [0.0, 5.0, -1e9])
def test_constant_outputs_are_expected_to_stay_so(agp, constant):
    X, _ = data()
    posterior = agp.condition_on(X, torch.full((25, 1), constant)).posterior(torch.rand(9, 1, 3, dtype=torch.double))
    size = abs(constant) or 1.0
    assert float((posterior.mean - constant).abs().max()) < 0.1 * size
    assert 0 < float(posterior.variance.sqrt().max()) < size


def test_a_single_design(agp):
    posterior = agp.condition_on(torch.full((1, 3), 0.5), torch.tensor([[2.0]])).posterior(torch.rand(4, 3))
    assert torch.isfinite(posterior.mean).all()
    assert (posterior.variance > 0).all()


def test_equal_designs_with_equal_and_different_outputs(agp):
    X, Y = data(n=12)
    again = agp.condition_on(X.repeat(4, 1), Y.repeat(4, 1)).posterior(X[:, None])
    assert float(((again.mean[:, 0] - Y) / Y.std(dim=0)).abs().max()) < 0.2
    conflicting = agp.condition_on(X[:1].expand(20, -1), torch.arange(20.0)[:, None]).posterior(X[:1, None])
    assert float(conflicting.mean) == pytest.approx(9.5, abs=1.0)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(agp, value):
    X, Y = data()
    Y[3, 1] = value
    with pytest.raises(ValueError, match=rf"Y\[3, 1\] = {value}; must be finite"):
        agp.condition_on(X, Y)
    with pytest.raises(ValueError, match=r"X\[3, 1\] = "):
        agp.condition_on(Y, X)


@pytest.mark.parametrize(("X", "Y"), [((0, 2), (0, 1)), ((3, 2), (4, 1)), ((3, 2), (3,)), ((3, 0), (3, 1))])
def test_shapes_that_do_not_fit_are_refused(agp, X, Y):
    with pytest.raises(ValueError, match=r"allowed: \(n, d\) and \(n, m\)"):
        agp.condition_on(torch.zeros(X), torch.zeros(Y))


def test_beyond_the_trained_range_it_works_and_says_so_once(recwarn):
    agp = AmortizedGP.load()
    X, Y = data(n=230, d=25)
    model = agp.condition_on(X, Y)
    agp.condition_on(X, Y)
    assert [str(w.message) for w in recwarn if "trained" in str(w.message)] == [
        "230 designs; the network was trained on at most 200",
        "25 parameters; the network was trained on at most 18",
    ]
    error = (model.posterior(X[:, None]).mean[:, 0] - Y) / Y.std(dim=0)
    assert float(error.square().mean()) < 0.1
    new = torch.rand(100, 25, dtype=torch.double)
    gain = (model.posterior(new[:, None]).mean[:, 0] - outputs(new)) / outputs(new).std(dim=0)
    assert float(gain[:, 0].square().mean()) < 0.3


def test_within_the_trained_range_there_is_no_warning(agp):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        agp.condition_on(*data())


def test_categories_have_no_order(agp):
    rng = torch.Generator().manual_seed(0)
    X = torch.rand(60, 2, generator=rng, dtype=torch.double)
    X[:, 1] = (X[:, 1] * 4).floor() / 3
    names = torch.tensor([0.0, 1.0, -0.5, 0.4], dtype=torch.double)  # of the choices: far from linear

    def truth(X):
        return (names[(X[:, 1] * 3).round().long()] + 0.3 * torch.sin(4 * X[:, 0]))[:, None]

    new = torch.rand(40, 2, generator=rng, dtype=torch.double)
    new[:, 1] = (new[:, 1] * 4).floor() / 3
    model = agp.condition_on(X, truth(X), categorical=[False, True])
    error = model.posterior(new[:, None]).mean[:, 0] - truth(new)
    assert float(error.abs().max()) < 0.15
    renamed, renamed_new = X.clone(), new.clone()
    order = torch.tensor([2.0, 0.0, 3.0, 1.0], dtype=torch.double) / 3
    for part in (renamed, renamed_new):
        part[:, 1] = order[(part[:, 1] * 3).round().long()]
    other = agp.condition_on(renamed, truth(X), categorical=[False, True]).posterior(renamed_new[:, None])
    torch.testing.assert_close(other.mean, model.posterior(new[:, None]).mean, rtol=1e-4, atol=1e-5)


# The file ----------------------------------------------------------------------------------------------------------


def test_shipped_weights_are_small_and_say_how_they_came_about():
    assert WEIGHTS.stat().st_size < 500_000
    _, facts = read_weights(WEIGHTS)
    assert facts["command"].startswith("designopt train-pfn agp")
    assert facts["curve"][-1]["step"] == facts["config"]["steps"]


def test_a_file_of_another_model_is_refused(agp, tmp_path):
    file = tmp_path / "other.safetensors"
    write_weights(file, agp.network, {"model": "pfn"})
    with pytest.raises(ValueError, match="holds the model 'pfn'; allowed: 'agp'"):
        AmortizedGP.load(file)


def test_a_damaged_file_is_refused(tmp_path):
    (tmp_path / "cut.safetensors").write_bytes(WEIGHTS.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"cut.safetensors is not a safetensors file"):
        AmortizedGP.load(tmp_path / "cut.safetensors")


def test_loaded_from_a_path_it_predicts_the_same(agp, tmp_path):
    _, facts = read_weights(WEIGHTS)
    write_weights(tmp_path / "copy.safetensors", agp.network, facts)
    X, Y = data()
    first, second = agp.condition_on(X, Y), AmortizedGP.load(str(tmp_path / "copy.safetensors")).condition_on(X, Y)
    assert isinstance(second, ConditionedGP)
    torch.testing.assert_close(first.posterior(X).mean, second.posterior(X).mean)


# As the start of a fit ---------------------------------------------------------------------------------------------


def test_the_fit_begins_where_the_network_ends(agp):
    X, Y = data(n=30)
    y = ((Y - Y.mean(0)) / Y.std(0)).mT
    start = amortized_hyperparameters(X, y, as_mask(None, X))
    theta = agp.infer(X, y, as_mask(None, X))
    torch.testing.assert_close(start[:, :3].exp(), theta.lengthscale)
    torch.testing.assert_close(start[:, 3:], torch.stack([theta.log_scale, theta.log_noise, theta.mean], dim=1))
    warm, cold = fit_gp(X, Y, warm_start="agp"), fit_gp(X, Y)
    new = torch.rand(50, 1, 3, dtype=torch.double)
    torch.testing.assert_close(warm.posterior(new).mean, cold.posterior(new).mean, atol=0.1, rtol=0)


def test_other_starts_are_refused():
    with pytest.raises(ValueError, match="warm_start = 'pfn'; allowed: None, 'agp'"):
        fit_gp(*data(), warm_start="pfn")
