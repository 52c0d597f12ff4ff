"""The network of sharpDARTS' HyperCuboid: every width of every layer beside every other one.

Reference: [Hundt2019] sharpDARTS, arXiv 1903.09900, and its code release ("multi-channel" search).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
from torch import Tensor, nn

from designopt.envs.nas.sharp import ResizablePool, SharpSepConv, normalisation

OPERATIONS = ("pool", "sharp_sep_conv")
"""Primitives of a grid cell: ResizablePool, SharpSepConv."""
MIXTURE = "grid"
"""Name of the one tensor of decisions."""


class HyperCuboidNetwork(nn.Module):
    """Nodes (stage, width); a node is the weighted sum over all widths of the stage before, by both primitives.

    Each width has a stem of its own; each final width is brought to ``head`` channels by a SharpSepConv, and these are
    added, pooled and classified. The stages of a layer have stride 1, then 2. A group of the mixture is a stage, and
    its choices are (width in, width out, operation), the last running fastest.

    Args:
        channels_in: of the images.
        widths: channels to choose from.
        layers: pairs of stages.
        classes: of the labels.
        head: channels before the classifier.
        path: (stages,) the choices that exist, one a stage, for the network of a single path; None: all.
        least: choices of a smaller weight are left out of a forward pass (capacity pruning); 0: only those whose weight
            is zero and needs no gradient.
    """

    def __init__(
        self,
        channels_in: int,
        widths: Sequence[int],
        layers: int,
        classes: int,
        *,
        head: int = 64,
        path: Collection[int] | None = None,
        least: float = 0.0,
    ) -> None:
        super().__init__()
        s, p = len(widths), len(OPERATIONS)
        self.least = least
        self.shape = (2 * layers, s, s, p)
        every = range(s * s * p)
        stages = [every] * (2 * layers) if path is None else [[choice] for choice in path]
        first = {choice // p // s for choice in stages[0]}
        last = {choice // p % s for choice in stages[-1]}
        self.stems = nn.ModuleDict(
            {
                str(i): nn.Sequential(
                    nn.Conv2d(channels_in, widths[i], 3, padding=1, bias=False), normalisation(widths[i], False)
                )
                for i in sorted(first)
            }
        )
        self.stages = nn.ModuleList(
            nn.ModuleDict({str(c): self._operation(c, widths, 1 + stage % 2) for c in choices})
            for stage, choices in enumerate(stages)
        )
        self.heads = nn.ModuleDict({str(j): SharpSepConv(widths[j], head) for j in sorted(last)})
        self.classify = nn.Linear(head, classes)

    @staticmethod
    def _operation(choice: int, widths: Sequence[int], stride: int) -> nn.Module:
        pair, op = divmod(choice, len(OPERATIONS))
        c_in, c_out = (widths[i] for i in divmod(pair, len(widths)))
        kind = (ResizablePool, SharpSepConv)[op]
        return kind(c_in, c_out, stride=stride)

    def forward(self, images: Tensor, mixture: dict[str, Tensor]) -> Tensor:
        """(n, channels_in, h, w), {"grid": (stages, S S P)} -> (n, classes) logits."""
        _, s, _, p = self.shape
        nodes = {int(i): stem(images) for i, stem in self.stems.items()}
        for stage, weights in zip(self.stages, mixture[MIXTURE], strict=True):
            sums: dict[int, Tensor] = {}
            assert isinstance(stage, nn.ModuleDict)
            for name, op in stage.items():
                weight, (c_in, c_out) = weights[int(name)], divmod(int(name) // p, s)
                if c_in not in nodes or self._negligible(weight):
                    continue
                term = weight * op(nodes[c_in])
                sums[c_out] = sums[c_out] + term if c_out in sums else term
            nodes = sums
        heads = [head(nodes[int(j)]) for j, head in self.heads.items() if int(j) in nodes]
        if not heads:
            raise ValueError("the mixture leaves no path from a stem to the classifier")
        stacked = torch.stack(heads)
        y: Tensor = self.classify(stacked.sum(0).mean((2, 3)))
        return y

    def _negligible(self, weight: Tensor) -> bool:
        """Whether a choice is left out of this forward pass."""
        value = float(weight.detach())
        return value < self.least or (value == 0 and not weight.requires_grad)
