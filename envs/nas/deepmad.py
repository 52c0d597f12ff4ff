"""DeepMAD: the entropy of a convolutional network as a mathematical program, without any training.

References: [Shen2023] DeepMAD, CVPR; the authors' released program; docs/environments/nas_tabular.md.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from designopt import Constraint, DesignEnv, DesignSpace, Evaluation, Integer, Objective, Ordinal
from designopt.parameters import Array, suggest

STRIDES = (2, 2, 2, 1, 2)
"""Of the five blocks; with the stem's stride the last works at a 32nd of the resolution."""

ENDS = (1, 2, 4, 5)
"""How many blocks are done when a stage ends; the stem is a stage of its own, and the third has two blocks."""

WEIGHTS = (1.0, 1.0, 1.0, 1.0, 8.0)
DEPTH_PENALTY = 10.0
EFFECTIVENESS = 0.3
GROWTH = 4.0
LEAST_BOTTLENECK = 0.1
IMAGE_CHANNELS, STEM_KERNEL, STEP = 3, 3, 8


@dataclass(frozen=True)
class Budget:
    """Limits of a program, and the structure published for them: stem, then (out, bottleneck, kernel, depth) each."""

    flops: float
    params: float
    published: tuple[int, ...]


BUDGETS = {
    "R18": Budget(1.82e9, 11.69e6,
        (32, 96, 40, 5, 1, 384, 40, 5, 6, 384, 64, 5, 9, 1024, 104, 3, 10, 672, 104, 5, 12)),
    "R34": Budget(3.68e9, 21.8e6,
        (24, 128, 24, 5, 1, 512, 48, 5, 10, 896, 88, 5, 13, 1024, 104, 5, 11, 616, 128, 5, 14)),
    "R50": Budget(4.13e9, 25.55e6,
        (32, 128, 40, 5, 1, 512, 48, 5, 11, 872, 88, 5, 12, 1024, 104, 5, 13, 1232, 120, 5, 15)),
}  # fmt: skip


def _space() -> DesignSpace:
    channels = Ordinal([float(c) for c in range(STEP, 2048 + 1, STEP)])
    parameters: dict[str, Ordinal | Integer] = {"stem": Ordinal([float(c) for c in range(STEP, 128 + 1, STEP)])}
    for i in range(1, 6):
        parameters |= {
            f"out{i}": channels,
            f"bottleneck{i}": channels,
            f"kernel{i}": Ordinal([3.0, 5.0]),
            f"depth{i}": Integer(1, 3 if i == 1 else 30),
        }
    return DesignSpace(parameters)


class DeepMAD(DesignEnv):
    """Entropy of a network of five bottleneck blocks under limits of work, size and effectiveness.

    Design: channels of the stem (3x3, stride 2); for each block its output channels, its bottleneck, kernel and depth
    (how often 1x1, kxk, 1x1 is repeated, with a residual). Channels are multiples of 8. 21 columns.

    Objective: ``score``, maximise: sum over stages of weight times log(resolution^2 channels) times the sum of the
    log-widths up to there, minus 10 exp(spread of the depths), the first block left out. Constraints:
    ``flops`` (multiply-accumulates of convolutions) and ``params`` (convolutions and normalisation, no classifier)
    above the budget; ``effectiveness`` rho, depth over geometric mean width, above 0.3; ``narrowing``, the largest loss
    of channels between two blocks, the last excepted (the published structures narrow there); ``growth`` above four
    times between blocks; ``bottleneck`` outside of a tenth (as a multiple of 8) to the whole of the output channels.

    The functions also hold between the levels of the space: ``relaxed`` takes real numbers.

    Args:
        budget: "R18", "R34" or "R50": limits of those ResNets.
        form: "code": entropy of half the log-widths, rho the largest over stages, spread a standard deviation, as in
            the authors' program. "paper": whole log-widths, rho of the whole network, spread a variance.
        flops: another limit of work.
        params: another limit of size.
        resolution: of the input image, pixels; a multiple of 32.
        render_mode: None or "ansi".

    Raises:
        ValueError: an unknown budget or form, a limit that is not positive, or another resolution.
    """

    design_space = _space()
    objectives = (Objective("score", "max"),)

    def __init__(
        self,
        budget: str = "R18",
        form: str = "code",
        flops: float | None = None,
        params: float | None = None,
        resolution: int = 224,
        render_mode: str | None = None,
    ) -> None:
        super().__init__(render_mode)
        if budget not in BUDGETS:
            raise ValueError(f"budget = {budget!r}; {suggest(budget, BUDGETS)}")
        if form not in ("code", "paper"):
            raise ValueError(f"form = {form!r}; allowed: 'code', 'paper'")
        if resolution < 32 or resolution % 32:
            raise ValueError(f"resolution = {resolution}; it must be a multiple of 32")
        self.budget, self.form, self.resolution = BUDGETS[budget], form, resolution
        self.max_flops = self.budget.flops if flops is None else flops
        self.max_params = self.budget.params if params is None else params
        for name, limit in (("flops", self.max_flops), ("params", self.max_params)):
            if not (np.isfinite(limit) and limit > 0):
                raise ValueError(f"{name} = {limit}; it must be positive")
        self.constraints = (
            Constraint("flops", scale=self.max_flops),
            Constraint("params", scale=self.max_params),
            Constraint("effectiveness", scale=EFFECTIVENESS),
            Constraint("narrowing", unit="channels", scale=64.0),
            Constraint("growth", scale=GROWTH),
            Constraint("bottleneck", unit="channels", scale=64.0),
        )

    @property
    def published(self) -> Array:
        """(1, 21) the structure that the authors found for this budget."""
        return np.array([self.budget.published], dtype=np.float64)

    def evaluate(self, designs: Array) -> Evaluation:
        """designs: (n, 21) -> score (n, 1), constraints (n, 6), metrics flops, params, effectiveness, layers."""
        return self.relaxed(designs)

    def relaxed(self, designs: ArrayLike) -> Evaluation:
        """As ``evaluate``, for real numbers of channels, kernel and depth within the bounds of the space."""
        designs = np.asarray(designs, dtype=np.float64)
        stem = designs[:, 0]
        out, inner, kernel, depth = np.moveaxis(designs[:, 1:].reshape(-1, 5, 4), 2, 0)
        before = np.column_stack([stem, out[:, :-1]])
        resolution = self.resolution / 2 / np.cumprod(STRIDES)
        flops, params = self._work(stem, before, out, inner, kernel, depth, resolution)
        score, effectiveness = self._score(stem, before, out, inner, kernel, depth, resolution)
        least = STEP * np.floor(LEAST_BOTTLENECK * out / STEP + 0.5)
        constraints = np.column_stack(
            [
                flops - self.max_flops,
                params - self.max_params,
                effectiveness - EFFECTIVENESS,
                (before - out)[:, :4].max(axis=1),
                (out / before)[:, 1:].max(axis=1) - GROWTH,
                np.maximum(least - inner, inner - out).max(axis=1),
            ]
        )
        metrics = {
            "flops": flops,
            "params": params,
            "effectiveness": effectiveness,
            "layers": 1 + 3 * depth.sum(axis=1),
        }
        return Evaluation(score[:, None], constraints, metrics)

    def _work(
        self, stem: Array, before: Array, out: Array, inner: Array, kernel: Array, depth: Array, resolution: Array
    ) -> tuple[Array, Array]:
        """-> (n,) multiply-accumulates and (n,) weights, those of normalisation (two a channel) included."""
        strides = np.array(STRIDES)
        middle = inner**2 * kernel**2
        # The first layer of a block reads its input at full resolution; its residual is pooled, then projected.
        first = before * inner * strides**2 + middle + inner * out
        projected = (before != out) * before * out
        later = (depth - 1) * (2 * out * inner + middle)
        stem_flops = (self.resolution / 2) ** 2 * IMAGE_CHANNELS * STEM_KERNEL**2 * stem
        flops = stem_flops + ((first + projected + later) * resolution**2).sum(axis=1)
        stem_params = IMAGE_CHANNELS * STEM_KERNEL**2 * stem + 2 * stem
        weights = before * inner + middle + inner * out + projected + later
        normalisation = 2 * depth * (2 * inner + out) + 2 * (before != out) * out
        return flops, stem_params + (weights + normalisation).sum(axis=1)

    def _score(
        self, stem: Array, before: Array, out: Array, inner: Array, kernel: Array, depth: Array, resolution: Array
    ) -> tuple[Array, Array]:
        """-> (n,) score and (n,) rho."""
        # Widths of the three convolutions of a layer: c, b k^2 and b, where c enters the block only once.
        inside = 2 * np.log(inner) + 2 * np.log(kernel)
        widths = depth * inside + np.log(before) + (depth - 1) * np.log(out)
        stem_width = np.full_like(stem, np.log(IMAGE_CHANNELS * STEM_KERNEL**2))
        ends = np.array(ENDS) - 1
        log_widths = np.column_stack([stem_width, stem_width[:, None] + np.cumsum(widths, axis=1)[:, ends]])
        layers = np.column_stack([np.ones_like(stem), 1 + 3 * np.cumsum(depth, axis=1)[:, ends]])
        features = np.column_stack([np.log(stem), np.log(out[:, ends])])
        features = features + 2 * np.log(np.concatenate([[self.resolution / 2], resolution[ends]]))
        halved = 0.5 if self.form == "code" else 1.0
        entropy = (features * halved * log_widths) @ np.array(WEIGHTS)
        rho = np.exp(np.log(layers) - log_widths / layers)
        spread = depth[:, 1:].std(axis=1) if self.form == "code" else depth[:, 1:].var(axis=1)
        return entropy - DEPTH_PENALTY * np.exp(spread), rho.max(axis=1) if self.form == "code" else rho[:, -1]
