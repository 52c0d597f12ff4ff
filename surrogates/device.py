"""Where tensors live."""

import torch


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
