import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_info, threadpool_limits

import designopt as do
from designopt.launch import make_searcher
from designopt.surrogates.device import one_thread, resolve_device


def threads():
    return {library["num_threads"] for library in threadpool_info()} | {torch.get_num_threads()}


def test_linear_algebra_is_on_one_thread_inside_and_as_before_outside():
    with threadpool_limits(2):
        before = threads()
        assert one_thread(threads)() == {1}
        assert threads() == before == {2}


@pytest.mark.parametrize("search", ["gp", "scbo"])
def test_model_based_searches_ask_on_one_thread(search):
    seen = []

    class Watched(do.DesignSpace):
        def from_unit(self, unit):
            seen.append(threads())
            return super().from_unit(unit)

    space = Watched(x=do.Real(0, 1), y=do.Real(0, 1))
    env = do.design_env(space, minimize=["z"], vectorized=True)(lambda x, y: {"z": x + y})
    with threadpool_limits(2):
        searcher = make_searcher(env, search, seed=0)
        designs = space.sample(12, 0)
        searcher.tell(designs, env.evaluate(designs))
        seen.clear()
        searcher.ask(1, np.empty((0, 2)))
    assert seen
    assert all(counts == {1} for counts in seen)


def test_devices_are_resolved_or_refused_by_name():
    assert resolve_device("cpu") == torch.device("cpu")
    assert resolve_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    with pytest.raises(ValueError, match="device = 'gpu'; allowed: 'auto', 'cpu', 'cuda'"):
        resolve_device("gpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_a_missing_gpu_is_named():
    with pytest.raises(ValueError, match="torch finds no CUDA device; use 'auto' or 'cpu'"):
        resolve_device("cuda")
