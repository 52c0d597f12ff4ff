"""Checkpoints of the published architecture, read without running anything in them."""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor


def read_checkpoint(file: Path) -> dict[str, Tensor]:
    """Parameters by name, from a safetensors file or a plain state dictionary saved by torch.

    Raises:
        ValueError: the file is missing, damaged or something else, such as a pickled network. Nothing of it was run.
    """
    if not file.is_file():
        raise ValueError(f"no weights file {file}")
    if file.suffix == ".safetensors":
        try:
            return load_file(file)
        except (SafetensorError, OSError) as error:
            raise ValueError(f"{file} is not a safetensors file: {error}") from None
    try:
        with warnings.catch_warnings(action="ignore"):  # of what it is about to refuse
            state = torch.load(file, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError, AttributeError, OSError):
        raise ValueError(
            f"{file} is not a plain state dictionary of tensors (nothing in it was run); of a pickled network that you "
            "trust, save network.state_dict()"
        ) from None
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) and isinstance(k, str) for k, v in state.items()):
        raise ValueError(f"{file} is not a plain state dictionary: it must map names to tensors and hold nothing else")
    return state
