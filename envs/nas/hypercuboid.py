"""HyperCuboid: how wide each layer of a network should be, and of what kind, as a path through a grid.

Reference: [Hundt2019] sharpDARTS, arXiv 1903.09900, and its code release: a differentiable grid search over channel
counts. Images are the 1 797 handwritten digits of scikit-learn (8 x 8 pixels), so a path is trained in a second.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from designopt import Categorical, DesignEnv, DesignSpace, Evaluation, Objective, Ordinal
from designopt.nas import SearchData
from designopt.parameters import Array

if TYPE_CHECKING:
    from torch import Tensor, nn

OPERATIONS = ("pool", "sharp_sep_conv")
CLASSES, SIDE = 10, 8
TEST = 597
"""Digits that judge and that no search ever sees; the other 1 200 are split in two for training and validation."""
BATCH, RATE, MOMENTUM, DECAY = 50, 0.1, 0.9, 3e-4
"""How a path is trained: stochastic gradient descent with Nesterov momentum, cosine to zero."""


class HyperCuboid(DesignEnv):
    """Widths and operations of a small image classifier, found by real training.

    A network is a stem convolution and ``2 layers`` stages, of stride 1 and 2 in turn; a stage has a primitive (3 x 3
    max pooling or a SharpSepConv) and a number of channels out. Objective: accuracy (%) on the validation half of the
    1 200 digits for a search after training on the other half; ``truth`` judges on digits that no search sees.

    Offers ``Supernet``: in it all widths of a stage stand side by side, and all (width in, width out, operation) of a
    stage compete in one softmax. A mixture is discretised to the path of the largest total weight.

    Args:
        layers: pairs of stages.
        steps: widths to choose from.
        channels: the smallest width, rounded down to a power of two; every other one is twice the one before.
        epochs: for which a path is trained; 8 bring the widest to about 97 %.
        seed: of the split in two, and of a path's initial weights and order of batches.
        always_apply_ops: whether the supernet computes operations of negligible weight (below the square of the uniform
            one) as well; the release leaves them out.

    Raises:
        ValueError: an argument out of its range.
    """

    objectives = (Objective("accuracy", "max", unit="%"),)

    def __init__(
        self,
        layers: int = 2,
        steps: int = 3,
        channels: int = 4,
        epochs: int = 4,
        seed: int = 0,
        always_apply_ops: bool = False,
        render_mode: str | None = None,
    ) -> None:
        super().__init__(render_mode)
        least = {"layers": (layers, 1), "steps": (steps, 2), "channels": (channels, 1), "epochs": (epochs, 1)}
        for name, (value, low) in least.items():
            if value < low:
                raise ValueError(f"HyperCuboid {name} = {value}; it must be at least {low}")
        if layers > 3:
            raise ValueError(f"HyperCuboid layers = {layers}; an image of 8 x 8 can be halved 3 times")
        self.layers, self.steps, self.epochs, self.seed = layers, steps, epochs, seed
        self.always_apply_ops = always_apply_ops
        self.widths = tuple(2 ** int(np.log2(channels)) * 2**i for i in range(steps))
        self.stages = 2 * layers
        parameters: dict[str, Any] = {"stem_width": Ordinal(self.widths)}
        for stage in range(self.stages):
            name = f"layer{stage // 2 + 1}_stride{stage % 2 + 1}"
            parameters |= {f"{name}_operation": Categorical(OPERATIONS), f"{name}_width": Ordinal(self.widths)}
        self.design_space = DesignSpace(**parameters)
        self._trained: dict[tuple[bytes, int, bool], tuple[float, float]] = {}

    def __getstate__(self) -> dict[str, Any]:
        """A copy trains for itself."""
        return self.__dict__ | {"_trained": {}}

    # Evaluation -------------------------------------------------------------------------------------------------

    def evaluate(self, designs: Array) -> Evaluation:
        """designs: (n, d) -> Evaluation with accuracy (n, 1) and the metrics ``params`` (n,)."""
        found = [self._train(design, self.seed, judged=False) for design in designs]
        accuracy, params = np.array(found, dtype=np.float64).reshape(-1, 2).T
        return Evaluation(accuracy[:, None], metrics={"params": params})

    def truth(self, designs: Array, seeds: int = 3) -> Array:
        """(n, d) designs -> (n,) test accuracy (%) after training on all 1 200 digits, mean of so many seeds."""
        return np.array(
            [np.mean([self._train(d, self.seed + i, judged=True)[0] for i in range(seeds)]) for d in designs]
        )

    def _train(self, design: Array, seed: int, judged: bool) -> tuple[float, float]:
        """-> accuracy (%) and number of parameters of a path; the same training is never repeated."""
        key = (np.asarray(design, dtype=np.float64).tobytes(), seed, judged)
        if key not in self._trained:
            data = self.search_data(self.seed)
            train = data.train_inputs, data.train_labels
            test = data.validation_inputs, data.validation_labels
            if judged:
                import torch

                train = tuple(torch.cat(pair) for pair in zip(train, test, strict=True))  # type: ignore[assignment]
                test = self._test_data
            network = self._network(seed, path=self._path(design))
            mixture = {"grid": torch_tensor(self.mixture_of(design)["grid"])}
            accuracy = fit(network, mixture, *train, *test, epochs=self.epochs, seed=seed)
            self._trained[key] = accuracy, float(sum(p.numel() for p in network.parameters()))
        return self._trained[key]

    # Supernet ---------------------------------------------------------------------------------------------------

    def mixture_shapes(self) -> dict[str, tuple[int, int]]:
        """-> one group a stage; its choices are (width in, width out, operation), the last running fastest."""
        return {"grid": (self.stages, self.steps**2 * len(OPERATIONS))}

    def choice_names(self) -> dict[str, tuple[str, ...]]:
        """-> such as "4>8 pool"."""
        pairs = [(a, b, op) for a in self.widths for b in self.widths for op in OPERATIONS]
        return {"grid": tuple(f"{a}>{b} {op}" for a, b, op in pairs)}

    def build_supernet(self, seed: int = 0) -> nn.Module:
        """-> the network of all paths."""
        return self._network(seed, path=None)

    def search_data(self, seed: int = 0) -> SearchData:
        """-> 600 digits to train on and 600 to validate on, (n, 1, 8, 8), of mean 0 and deviation 1."""
        images, labels = _digits()
        order = np.random.default_rng([self.seed, seed]).permutation(len(labels) - TEST)
        train, validation = (torch_tensor(part) for part in np.array_split(order, 2))
        return SearchData(images[train], labels[train], images[validation], labels[validation])

    def operation_costs(self) -> dict[str, Array]:
        """Nothing but the loss counts."""
        return {}

    def discretise(self, mixture: Mapping[str, Array]) -> Array:
        """-> (d,) the design of the longest path."""
        s = self.steps
        widths, operations = longest_path(mixture["grid"].reshape(self.stages, s, s, len(OPERATIONS)))
        design = np.empty(self.design_space.dim)
        design[0::2] = np.array(self.widths)[widths]
        design[1::2] = operations
        return design

    def mixture_of(self, design: Array) -> dict[str, Array]:
        """-> one weight of one in each stage."""
        mixture = np.zeros(self.mixture_shapes()["grid"])
        mixture[np.arange(self.stages), self._path(design)] = 1.0
        return {"grid": mixture}

    def _path(self, design: Array) -> NDArray[np.int64]:
        """(d,) -> (stages,) the choice of each stage."""
        widths = np.searchsorted(self.widths, design[0::2])
        return np.asarray(
            (widths[:-1] * self.steps + widths[1:]) * len(OPERATIONS) + design[1::2].astype(np.int64), dtype=np.int64
        )

    # Data and networks ------------------------------------------------------------------------------------------

    def _network(self, seed: int, path: NDArray[np.int64] | None) -> nn.Module:
        """The supernet, or the network of one path, with the initial weights of a seed."""
        import torch

        from designopt.envs.nas.hypercuboid_network import HyperCuboidNetwork

        uniform = 1 / (self.steps**2 * len(OPERATIONS))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = HyperCuboidNetwork(
                1,
                self.widths,
                self.layers,
                CLASSES,
                path=None if path is None else path.tolist(),
                least=0.0 if self.always_apply_ops else uniform**2,
            )
        return network

    @property
    def _test_data(self) -> tuple[Tensor, Tensor]:
        images, labels = _digits()
        return images[-TEST:], labels[-TEST:]


def longest_path(weights: Array) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The path through the grid with the largest sum of weights, by dynamic programming from the last stage back.

    Args:
        weights: (stages, S, S, P) of (width in, width out, operation).

    Returns:
        (stages + 1,) indices of widths, the stem's first, and (stages,) of operations. Of equal paths, the first in the
        order of indices.
    """
    step, operation = weights.max(axis=3), weights.argmax(axis=3)
    stages = len(weights)
    ahead = np.zeros(weights.shape[1])  # best sum from a width on to the end
    following = np.empty((stages, weights.shape[1]), dtype=np.int64)
    for stage in reversed(range(stages)):
        total = step[stage] + ahead
        following[stage] = total.argmax(axis=1)
        ahead = total.max(axis=1)
    widths = [int(ahead.argmax())]
    for stage in range(stages):
        widths.append(int(following[stage, widths[-1]]))
    chosen = operation[np.arange(stages), widths[:-1], widths[1:]]
    return np.array(widths), np.asarray(chosen)


def fit(
    network: nn.Module,
    mixture: dict[str, Tensor],
    inputs: Tensor,
    labels: Tensor,
    test_inputs: Tensor,
    test_labels: Tensor,
    *,
    epochs: int,
    seed: int,
) -> float:
    """Train in place -> accuracy (%) on the other data, with statistics of that whole batch."""
    import torch

    n = len(labels)
    optimiser = torch.optim.SGD(network.parameters(), RATE, MOMENTUM, nesterov=True, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, epochs * (n // BATCH))
    rng = np.random.default_rng(seed)
    for _ in range(epochs):
        for rows in torch_tensor(rng.permutation(n)[: n // BATCH * BATCH]).split(BATCH):
            optimiser.zero_grad()
            torch.nn.functional.cross_entropy(network(inputs[rows], mixture), labels[rows]).backward()
            optimiser.step()
            schedule.step()
    with torch.no_grad():
        return float((network(test_inputs, mixture).argmax(1) == test_labels).double().mean() * 100)


def torch_tensor(array: NDArray[Any]) -> Tensor:
    """An array as a tensor; real numbers in single precision, as the images are."""
    import torch

    tensor = torch.as_tensor(array)
    return tensor.float() if tensor.is_floating_point() else tensor


@cache
def _digits() -> tuple[Tensor, Tensor]:
    """All digits in a fixed order, (n, 1, 8, 8) of mean 0 and deviation 1; all but the last ``TEST`` are to search."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.target))
    images = digits.images[order].astype(np.float32)[:, None]
    images = (images - images.mean()) / images.std()
    return torch_tensor(images), torch_tensor(digits.target[order].astype(np.int64))
