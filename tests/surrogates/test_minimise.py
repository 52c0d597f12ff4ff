import pytest
import torch

from designopt.surrogates.device import resolve_device
from designopt.surrogates.minimise import minimise


def test_every_row_finds_its_own_minimum_within_the_bounds():
    target = torch.tensor([[0.3, -0.2], [5.0, 0.1], [-5.0, -5.0]], dtype=torch.double)

    def bowl(x, rows):
        return ((x - target[rows]) ** 4).sum(dim=-1)

    found = minimise(bowl, torch.zeros(3, 2, dtype=torch.double), [(-1.0, 1.0)] * 2, iterations=100, tolerance=1e-12)
    assert torch.allclose(found, target.clamp(-1, 1), atol=0.02)


def test_rows_do_not_see_each_other():
    def banana(x, rows):
        return (1 - x[:, 0]) ** 2 + 100 * (x[:, 1] - x[:, 0] ** 2) ** 2

    start = torch.tensor([[-1.0, 1.0], [0.0, 0.0], [1.5, -0.5]], dtype=torch.double)
    together = minimise(banana, start, [(-2.0, 2.0)] * 2, iterations=200, tolerance=1e-12)
    alone = torch.cat([minimise(banana, s[None], [(-2.0, 2.0)] * 2, iterations=200, tolerance=1e-12) for s in start])
    assert torch.equal(together, alone)
    assert torch.allclose(together, torch.ones(3, 2, dtype=torch.double), atol=1e-3)


def test_few_iterations_stop_early():
    def banana(x, rows):
        return (1 - x[:, 0]) ** 2 + 100 * (x[:, 1] - x[:, 0] ** 2) ** 2

    start = torch.tensor([[-1.0, 1.0]], dtype=torch.double)
    assert (minimise(banana, start, [(-2.0, 2.0)] * 2, iterations=3, tolerance=1e-12) - 1).abs().max() > 0.1


def test_values_that_are_not_finite_turn_the_search_back():
    def cliff(x, rows):
        return torch.where(x[:, 0] > 0.5, torch.nan, (x[:, 0] - 0.4) ** 2 * 100)

    found = minimise(cliff, torch.zeros(1, 1, dtype=torch.double), [(-1.0, 1.0)], iterations=50, tolerance=1e-12)
    assert float(found) == pytest.approx(0.4, abs=1e-3)


def test_devices():
    assert resolve_device("cpu") == torch.device("cpu")
    assert resolve_device("auto").type in ("cpu", "cuda")
    with pytest.raises(ValueError, match="device = 'tpu'; allowed: 'auto', 'cpu', 'cuda'"):
        resolve_device("tpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_missing_gpu_is_named():
    with pytest.raises(ValueError, match="finds no CUDA device"):
        resolve_device("cuda")
