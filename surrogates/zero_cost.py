"""Scores of a network before any training: cheap hints at which architecture will be accurate.

References: [Tanaka2020] "Pruning neural networks without any data by iteratively conserving synaptic flow", NeurIPS;
[Mellor2021] "Neural architecture search without training", ICML; [Abdelfattah2021] zero-cost proxies, ICLR.
Beside them always look at the number of parameters: a score that orders no better has shown nothing.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from designopt.nas import Supernet
from designopt.parameters import Array

SCORES = ("synflow", "nwot")
NORMALISATIONS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def synflow(network: nn.Module, shape: Sequence[int]) -> float:
    """Logarithm of the synaptic flow: sum over weights of |w dR/dw|, R the output for ones under absolute weights.

    Data-free and deterministic given the weights. Normalisation is left out, which would undo the scale that is
    measured. -inf for a network whose input does not reach its output.

    Args:
        network: its own weights stay as they are.
        shape: of one input, without the batch axis.
    """
    copied = copy.deepcopy(network).double().eval()
    for module in copied.modules():
        if isinstance(module, NORMALISATIONS):
            module.register_forward_hook(lambda module, inputs, output: inputs[0])
    weights = []
    for parameter in copied.parameters():
        parameter.data.abs_()
    for module in copied.modules():
        if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.Linear):
            weights.append(module.weight)
    output = copied(torch.ones(1, *shape, dtype=torch.float64)).sum()
    gradients = torch.autograd.grad(output, weights, allow_unused=True)
    flow = sum(float((w.detach() * g).abs().sum()) for w, g in zip(weights, gradients, strict=True) if g is not None)
    return float(torch.tensor(flow, dtype=torch.float64).log())


def nwot(network: nn.Module, inputs: Tensor) -> float:
    """Log-determinant of how often two inputs agree in which ReLUs they switch on; more is more expressive.

    -inf when two inputs switch on the same ReLUs, or nothing depends on the input.

    Args:
        network: in training mode, so that normalisation sees this batch; running statistics stay as they are.
        inputs: (n, ...) different inputs, such as a few tens of images.
    """
    copied = copy.deepcopy(network).train()
    agreement = torch.zeros(len(inputs), len(inputs), dtype=torch.float64)

    def count(module: nn.Module, _: tuple[Tensor, ...], output: Tensor) -> None:
        active = (output.detach().flatten(1) > 0).double()
        agreement.add_(active @ active.T + (1 - active) @ (1 - active).T)

    for module in copied.modules():
        if isinstance(module, nn.ReLU):
            module.register_forward_hook(count)
    with torch.no_grad():
        copied(inputs)
    sign, value = torch.linalg.slogdet(agreement)
    return float(value) if sign > 0 else float("-inf")


class _OneDesign(nn.Module):
    def __init__(self, network: nn.Module, mixture: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.network, self.mixture = network, mixture

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.network(x, {name: value.to(x.dtype) for name, value in self.mixture.items()})
        return output


def zero_cost_scores(
    env: Supernet, designs: Array, score: str = "synflow", *, seed: int = 0, inputs: int = 64
) -> Array:
    """Scores of architectures inside a supernet that nobody has trained: a fidelity that costs milliseconds.

    Args:
        env: offers the supernet.
        designs: (n, d).
        score: "synflow" or "nwot".
        seed: of the supernet's weights, and of the data of ``nwot``.
        inputs: training inputs that ``nwot`` looks at.

    Returns:
        (n,) scores, the greater the better; -inf where inputs do not reach the output.

    Raises:
        ValueError: another score.
    """
    if score not in SCORES:
        raise ValueError(f"score = {score!r}; allowed: {', '.join(SCORES)}")
    network, batch = env.build_supernet(seed), env.search_data(seed).train_inputs[:inputs]
    values = []
    for design in designs:
        single = _OneDesign(network, {n: torch.as_tensor(m) for n, m in env.mixture_of(design).items()})
        values.append(synflow(single, batch.shape[1:]) if score == "synflow" else nwot(single, batch))
    return np.array(values)
