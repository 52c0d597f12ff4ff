import warnings

import numpy as np
import pytest
import torch
from sklearn.tree import DecisionTreeClassifier

from designopt.surrogates import FeasibilityClassifier
from designopt.surrogates.classifier import (
    ConstantClassifier,
    FittedClassifier,
    baselines,
    representative,
    tabpfn,
)
from designopt.surrogates.pfn.prior import labelled


def points(n, d, seed=0):
    return torch.as_tensor(np.random.default_rng(seed).random((n, d)))


def ball(X):
    """Inside a ball around the middle, in the first two dimensions."""
    return (((X[:, :2] - 0.5) ** 2).sum(-1) < 0.1).double()


@pytest.fixture(scope="module")
def classifier():
    return FeasibilityClassifier.load()


@pytest.fixture(scope="module")
def conditioned(classifier):
    X = points(80, 2)
    return classifier.condition_on(X, ball(X))


def test_finds_a_region_without_fitting(conditioned):
    new = points(500, 2, seed=1)
    p = conditioned.probability(new)
    assert ((p > 0.5) == (ball(new) == 1)).double().mean() > 0.93
    assert conditioned.probability(torch.tensor([[0.5, 0.5]], dtype=torch.double)) > 0.9
    assert conditioned.probability(torch.tensor([[0.02, 0.02]], dtype=torch.double)) < 0.1


def test_probabilities_are_frequencies(classifier):
    """Of designs given 10 to 30 % about so many are feasible, and so on."""
    announced, happened = [], []
    rng = torch.Generator().manual_seed(5)
    for d, n in ((2, 20), (4, 40), (8, 80)):
        X, labels = labelled(12, n + 100, d, rng)
        for Z, y in zip(X, labels, strict=True):
            announced.append(classifier.condition_on(Z[:n], y[:n]).probability(Z[n:]))
            happened.append(y[n:])
    p, y = torch.cat(announced), torch.cat(happened)
    for low in (0.1, 0.3, 0.5, 0.7):
        alike = (p > low) & (p < low + 0.2)
        assert float(p[alike].mean()) == pytest.approx(float(y[alike].mean()), abs=0.1)


def test_does_as_well_as_fitted_classifiers_on_few_designs(classifier):
    def accuracy(any_classifier):
        rates = []
        for seed in range(6):
            X, new = points(60, 5, seed), points(300, 5, seed + 50)
            p = any_classifier.condition_on(X, ball(X)).probability(new)
            rates.append(float(((p > 0.5) == (ball(new) == 1)).double().mean()))
        return np.mean(rates)

    ours = accuracy(classifier)
    assert ours > 0.85
    assert all(ours > accuracy(other) for name, other in baselines().items() if name != "random forest")


def test_probability_is_differentiable(conditioned):
    x = torch.tensor([[0.75, 0.5]], dtype=torch.double, requires_grad=True)
    gradient = torch.autograd.grad(conditioned.log_probability(x).sum(), x)[0]
    assert float(gradient[0, 0]) < 0  # outwards, away from the ball
    step = torch.tensor([[1e-2, 0.0]], dtype=torch.double)
    difference = (conditioned.log_probability(x + step) - conditioned.log_probability(x - step)) / 2e-2
    assert float(gradient[0, 0]) == pytest.approx(float(difference), rel=0.1)


def test_log_probability_is_that_of_probability(conditioned):
    X = points(20, 2, seed=3)
    assert torch.allclose(conditioned.log_probability(X).exp(), conditioned.probability(X), rtol=1e-5)


def test_the_order_of_designs_and_parameters_does_not_matter(classifier, conditioned):
    X, new = points(80, 2), points(9, 2, seed=4)
    rows = torch.as_tensor(np.random.default_rng(0).permutation(80))
    shuffled = classifier.condition_on(X[rows].flip(-1), ball(X)[rows])
    assert torch.allclose(shuffled.probability(new.flip(-1)), conditioned.probability(new), atol=0.02)


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_alone_follows_the_rule_of_succession(classifier, label):
    X = points(8, 3)
    alone = classifier.condition_on(X, torch.full((8,), label))
    assert isinstance(alone, ConstantClassifier)
    x = X[:2].clone().requires_grad_()
    expected = 9 / 10 if label else 1 / 10
    assert torch.allclose(alone.probability(x), torch.full((2,), expected).double())
    assert torch.equal(torch.autograd.grad(alone.log_probability(x).sum(), x)[0], torch.zeros(2, 3).double())


def test_booleans_are_labels(classifier):
    X = points(20, 2)
    ours = classifier.condition_on(X, ball(X) == 1).probability(X)
    assert torch.equal(ours, classifier.condition_on(X, ball(X)).probability(X))


@pytest.mark.parametrize(
    ("X", "labels", "message"),
    [
        (torch.rand(4, 2), torch.tensor([0, 1, 2, 1]), r"labels\[2\] = 2.0; allowed: 0 and 1"),
        (torch.rand(4, 2), torch.tensor([0.0, torch.nan, 1, 1]), r"labels\[1\] = nan; allowed: 0 and 1"),
        (torch.rand(4, 2), torch.zeros(3), r"allowed: \(n, d\) and \(n,\) with n >= 1"),
        (torch.rand(0, 2), torch.zeros(0), "with n >= 1"),
        (torch.full((4, 2), torch.inf), torch.zeros(4), r"X\[0, 0\] = inf; must be finite"),
    ],
)
def test_bad_input_is_refused(classifier, X, labels, message):
    with pytest.raises(ValueError, match=message):
        classifier.condition_on(X, labels)
    with pytest.raises(ValueError, match=message):
        FittedClassifier(DecisionTreeClassifier).condition_on(X, labels)


def test_more_than_in_training_warns_once_and_thousands_are_thinned():
    classifier, X = FeasibilityClassifier.load(), points(1200, 2)
    with pytest.warns(UserWarning, match="1200 designs, but the classifier was trained on at most 200"):
        model = classifier.condition_on(X, ball(X))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        classifier.condition_on(X[:210], ball(X[:210]))
    assert model.context.exact.X.shape[-2] == 1000
    new = points(300, 2, seed=5)
    assert ((model.probability(new) > 0.5) == (ball(new) == 1)).double().mean() > 0.96
    with pytest.warns(UserWarning, match="50 dimensions, but the classifier was trained on at most 40"):
        classifier.condition_on(points(20, 50), ball(points(20, 2)))


def test_of_thousands_the_rare_class_is_kept_and_stays_rare(classifier):
    X = points(3000, 2)
    labels = (X.sum(-1) < 0.25).double()  # 3 % of all
    with warnings.catch_warnings(action="ignore"):
        model = classifier.condition_on(X, labels)
    kept = representative(X, labels)
    assert len(kept) == len(kept.unique()) == 1000
    assert labels[kept].sum() == labels.sum()
    p = model.probability(points(2000, 2, seed=7))
    assert float(p.mean()) == pytest.approx(float(labels.mean()), abs=0.01)
    many = torch.cat([labels[:100], torch.ones(2900)]).double()  # few are 0 now
    assert (many[representative(X, many)] == 0).sum() == (many == 0).sum()


def test_other_weights_are_refused(tmp_path):
    file = tmp_path / "w.safetensors"
    with pytest.raises(ValueError, match="no weights file"):
        FeasibilityClassifier.load(file)
    file.write_bytes(b"nonsense")
    with pytest.raises(ValueError, match="not a safetensors file"):
        FeasibilityClassifier.load(file)


def test_a_margin_classifier_has_probabilities_too():
    X = points(60, 2)
    p = baselines()["support vectors"].condition_on(X, ball(X)).probability(points(20, 2, seed=1))
    assert ((p > 0) & (p < 1)).all()


def test_tabpfn_needs_its_weights_and_its_package(tmp_path):
    with pytest.raises(ValueError, match="no weights file"):
        tabpfn(tmp_path / "tabpfn.ckpt")
    file = tmp_path / "tabpfn.ckpt"
    file.write_bytes(b"")
    with pytest.raises(ValueError, match="package tabpfn is not installed"):
        tabpfn(file)
