"""Where tensors live, and on how many threads small ones are worked on."""

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import torch
from threadpoolctl import threadpool_limits

P = ParamSpec("P")
R = TypeVar("R")


def resolve_device(device: str) -> torch.device:
    """The torch device of "auto" (a GPU when there is one), "cpu" or "cuda".

    Raises:
        ValueError: another name, or "cuda" where there is none.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise ValueError(f"device = {device!r}; allowed: 'auto', 'cpu', 'cuda'")
    available = torch.cuda.is_available()
    if device == "cuda" and not available:
        raise ValueError("device = 'cuda', but torch finds no CUDA device; use 'auto' or 'cpu'")
    return torch.device("cuda" if available and device != "cpu" else "cpu")


def one_thread(function: Callable[P, R]) -> Callable[P, R]:
    """Decorator: the linear algebra of a function runs on one thread.

    Matrices of some hundred rows gain nothing from more, and threads that wait for each other on a busy machine made a
    proposal many times slower (OpenMP and OpenBLAS together; limiting torch alone gives back a fraction).
    """

    @functools.wraps(function)
    def limited(*args: P.args, **kwargs: P.kwargs) -> R:
        with threadpool_limits(limits=1):  # looks at every loaded library, which takes about a millisecond
            return function(*args, **kwargs)

    return limited
