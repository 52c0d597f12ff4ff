"""The state of a search on disk: one safetensors file with JSON facts in its header."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import Tensor

from designopt.surrogates.training import read_weights

FILE = "search.safetensors"


def write(folder: Path, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
    """Write the state; a crash meanwhile leaves the previous one."""
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = folder / f"{FILE}.part"
    contiguous = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    unfinished.write_bytes(save(contiguous, metadata={"facts": json.dumps(facts)}))
    os.replace(unfinished, folder / FILE)


def read(folder: Path, identity: dict[str, Any]) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """Tensors and facts; None when nothing was written there.

    Args:
        folder: where.
        identity: what the search must have been started with.

    Raises:
        ValueError: the file is damaged, or the search was started with something else, which is named.
    """
    file = folder / FILE
    if not file.exists():
        return None
    tensors, facts = read_weights(file)
    written = facts.get("identity", {})
    wanted = json.loads(json.dumps(identity))
    for name in [*wanted, *written]:
        if written.get(name) != wanted.get(name):
            raise ValueError(
                f"{file} was written by a search with {name} = {written.get(name)!r}; this one has "
                f"{name} = {wanted.get(name)!r}. Use the same settings or another folder"
            )
    return tensors, facts


def under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Those whose name begins so, without that beginning."""
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
