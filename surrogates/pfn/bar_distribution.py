"""The bar (Riemann) distribution: a histogram density with half-normal tails, and what optimisation asks of it.

Every quantity is a closed form over the bars. Maximisation is meant throughout; ``-bars`` is the distribution of the
negated variable, so that ``(-bars).log_expected_improvement(-best)`` is what a minimisation needs.

References: [Müller2023] PFNs4BO: in-context learning for Bayesian optimization, ICML. [Ament2023] Unexpected
improvements to expected improvement, NeurIPS (logarithms that keep a gradient).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from botorch.acquisition.analytic import _log_ei_helper
from botorch.utils.probability.utils import log_ndtr  # torch's has wrong gradients far below zero
from torch import Tensor
from torch.special import ndtr, ndtri

HALF_MASS = 0.6744897501960817
"""Half of a half-normal lies within so many of its scales: the width of the outermost bars."""
HALF_MEAN = math.sqrt(2 / math.pi)
"""Mean of |N(0, 1)|."""


@dataclass(frozen=True)
class BarDistribution:
    """location + scale * z, z with probability softmax(logits)_k uniform in bar k of ``borders``.

    The first and last bar are half-normals that fall away from their inner border; half of their mass lies within the
    width that ``borders`` gives them.

    Attributes:
        logits: (..., B).
        borders: (B + 1,) ascending, B >= 3.
        location, scale: (...), or broadcastable to it; scale > 0.
    """

    logits: Tensor
    borders: Tensor
    location: Tensor
    scale: Tensor

    def __neg__(self) -> BarDistribution:
        return BarDistribution(self.logits.flip(-1), -self.borders.flip(-1), -self.location, self.scale)

    def __getitem__(self, index: object) -> BarDistribution:
        """Index the batch dimensions, the leading ones as for a tensor of shape (...)."""
        shape = self.logits.shape[:-1]
        rows = torch.arange(shape.numel(), device=self.logits.device).reshape(shape)[index]  # type: ignore[index]
        flat = self.logits.reshape(-1, self.logits.shape[-1])[rows]
        location, scale = (v.expand(shape).reshape(-1)[rows] for v in (self.location, self.scale))
        return BarDistribution(flat, self.borders, location, scale)

    @cached_property
    def log_mass(self) -> Tensor:
        """(..., B) log probability of each bar."""
        return self.logits.log_softmax(-1)

    @cached_property
    def mass(self) -> Tensor:
        """(..., B) probability of each bar."""
        return self.log_mass.exp()

    @property
    def _tails(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Inner border and scale of the left and of the right tail."""
        b = self.borders
        return b[1], (b[1] - b[0]) / HALF_MASS, b[-2], (b[-1] - b[-2]) / HALF_MASS

    def _coded(self, y: Tensor | float) -> Tensor:
        """Values in the coordinates of the borders, at least of the batch shape."""
        value = torch.as_tensor(y, dtype=self.logits.dtype, device=self.logits.device)
        coded: Tensor = (value - self.location) / self.scale
        return coded.expand(torch.broadcast_shapes(coded.shape, self.logits.shape[:-1]))

    def _bar(self, z: Tensor) -> Tensor:
        """Index of the bar that holds z."""
        return torch.searchsorted(self.borders[1:-1].contiguous(), z.detach().contiguous())

    def log_prob(self, y: Tensor | float) -> Tensor:
        """Log density of y (...)."""
        z = self._coded(y)
        bar = self._bar(z)
        left, left_scale, right, right_scale = self._tails
        log_mass = self.log_mass.expand(*z.shape, -1).gather(-1, bar[..., None])[..., 0]
        inside = -self.borders.diff()[bar].log()
        constant = math.log(2) - 0.5 * math.log(2 * math.pi)
        below = constant - left_scale.log() - 0.5 * ((z - left) / left_scale) ** 2
        above = constant - right_scale.log() - 0.5 * ((z - right) / right_scale) ** 2
        density = torch.where(bar == 0, below, torch.where(bar == len(self.borders) - 2, above, inside))
        return log_mass + density - torch.log(self.scale)

    @property
    def mean(self) -> Tensor:
        """(...)."""
        return self.location + self.scale * (self.mass @ self._centres)

    @property
    def variance(self) -> Tensor:
        """(...)."""
        _, left_scale, _, right_scale = self._tails
        within = self.borders.diff() ** 2 / 12
        tail = 1 - HALF_MEAN**2
        within = torch.cat([(tail * left_scale**2)[None], within[1:-1], (tail * right_scale**2)[None]])
        spread = (self._centres - (self.mass @ self._centres)[..., None]) ** 2
        return self.scale**2 * (self.mass * (within + spread)).sum(-1)

    @property
    def _centres(self) -> Tensor:
        """(B,) mean within each bar."""
        left, left_scale, right, right_scale = self._tails
        middle = (self.borders[1:-2] + self.borders[2:-1]) / 2
        return torch.cat(
            [(left - HALF_MEAN * left_scale)[None], middle, (right + HALF_MEAN * right_scale)[None]],
        )

    def cdf(self, y: Tensor | float) -> Tensor:
        """P(Y <= y), (...)."""
        return self.log_cdf(y).exp()

    def log_cdf(self, y: Tensor | float) -> Tensor:
        """Log P(Y <= y), (...): where Y is a constraint that holds when <= y, the log probability that it does."""
        return (-self).log_probability_of_improvement(-y)

    def log_probability_of_improvement(self, best: Tensor | float) -> Tensor:
        """Log P(Y > best), (...)."""
        z = self._coded(best)
        left, left_scale, right, right_scale = self._tails
        low, high = self.borders[1:-2], self.borders[2:-1]
        share = ((high - z[..., None]) / (high - low)).clamp(0.0, 1.0)
        log_share = torch.where(share > 0, share, 1.0).log().masked_fill(share <= 0, -torch.inf)
        depth = ((left - z) / left_scale).clamp_min(0.0)
        in_left = 2 * ndtr(depth) - 1
        log_left = torch.where(in_left > 0, in_left, 1.0).log().masked_fill(in_left <= 0, -torch.inf)
        log_right = math.log(2) + log_ndtr(-((z - right) / right_scale).clamp_min(0.0))
        logs = torch.cat([log_left[..., None], log_share, log_right[..., None]], dim=-1)
        return (self.log_mass + logs).logsumexp(-1).clamp_max(0.0)

    def probability_of_improvement(self, best: Tensor | float) -> Tensor:
        """P(Y > best), (...)."""
        return self.log_probability_of_improvement(best).exp()

    def log_expected_improvement(self, best: Tensor | float) -> Tensor:
        """Log E[max(Y - best, 0)], (...)."""
        z = self._coded(best)
        left, left_scale, right, right_scale = self._tails
        low, high = self.borders[1:-2], self.borders[2:-1]
        cut = torch.minimum(torch.maximum(z[..., None], low), high)
        gain = (high - cut) * ((high + cut) / 2 - z[..., None]) / (high - low)
        t = ((left - z) / left_scale).clamp_min(0.0)
        phi0 = 1 / math.sqrt(2 * math.pi)
        left_gain = 2 * left_scale * (t * (ndtr(t) - 0.5) - phi0 * -torch.expm1(-0.5 * t**2))
        finite = torch.cat([left_gain[..., None], gain], dim=-1)
        log_finite = torch.where(finite > 0, finite, 1.0).log().masked_fill(finite <= 0, -torch.inf)
        inside = right + HALF_MEAN * right_scale - z  # the whole tail improves
        u = ((right - z) / right_scale).clamp_max(0.0)
        log_beyond = math.log(2) + right_scale.log() + _log_ei_helper(u)
        log_right = torch.where(z < right, inside.clamp_min(1e-30).log(), log_beyond)
        logs = torch.cat([log_finite, log_right[..., None]], dim=-1)
        return torch.log(self.scale) + (self.log_mass + logs).logsumexp(-1)

    def expected_improvement(self, best: Tensor | float) -> Tensor:
        """E[max(Y - best, 0)], (...)."""
        return self.log_expected_improvement(best).exp()

    def upper_confidence_bound(self, beta: float = 1.0) -> Tensor:
        """The quantile that a normal distribution has ``beta`` deviations above its mean, (...)."""
        return self.quantile(ndtr(torch.as_tensor(beta, dtype=self.logits.dtype)))

    def quantile(self, p: Tensor | float) -> Tensor:
        """The y with P(Y <= y) = p, for p (...) in (0, 1); differentiable in the logits."""
        level = torch.as_tensor(p, dtype=self.logits.dtype, device=self.logits.device)
        level = level.expand(torch.broadcast_shapes(level.shape, self.logits.shape[:-1]))
        tiny = torch.finfo(level.dtype).tiny
        upper = self.mass.cumsum(-1)
        upper = upper.expand(*level.shape, upper.shape[-1]).contiguous()
        bar = torch.searchsorted(upper[..., :-1].detach().contiguous(), level.detach()[..., None].contiguous())
        mass = self.mass.expand_as(upper).gather(-1, bar)[..., 0].clamp_min(tiny)
        below = upper.gather(-1, bar)[..., 0] - mass
        bar = bar[..., 0]
        left, left_scale, right, right_scale = self._tails
        share = ((level - below) / mass).clamp(0.0, 1.0)
        inside = self.borders[bar] + share * self.borders.diff()[bar]
        eps = torch.finfo(level.dtype).eps
        # torch.where sends a zero gradient through the branch not taken, which an infinite slope would turn into NaN.
        first, last = bar == 0, bar == len(self.borders) - 2
        z_left = left + left_scale * ndtri((0.5 * torch.where(first, share, 0.5)).clamp_min(tiny))
        z_right = right - right_scale * ndtri((0.5 * (1 - torch.where(last, share, 0.5))).clamp_min(0.25 * eps))
        z = torch.where(first, z_left, torch.where(last, z_right, inside))
        return self.location + self.scale * z

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """(n, ...) independent draws."""
        shape = torch.broadcast_shapes(self.logits.shape[:-1], self.location.shape)
        eps = torch.finfo(self.logits.dtype).eps
        level = torch.rand(n, *shape, dtype=self.logits.dtype, device=self.logits.device, generator=generator)
        return self.quantile(level.clamp(eps, 1 - eps))


def sinh_borders(bars: int, reach: float, centre: float) -> Tensor:
    """(bars + 1,) borders on [-reach, reach], of width ``centre`` in the middle and growing outwards."""
    from scipy.optimize import brentq

    # reach * sinh(a t) / sinh(a), t on a grid of step 2 / bars: the middle width fixes a.
    a = brentq(lambda a: 2 / bars * reach * a / math.sinh(a) - centre, 1e-6, 50.0)
    return reach * torch.sinh(a * torch.linspace(-1, 1, bars + 1, dtype=torch.double)) / math.sinh(a)


def normal_mass(borders: Tensor, mean: Tensor, deviation: Tensor) -> Tensor:
    """Probability that N(mean, deviation^2), (...), gives to each bar of the borders -> (..., B)."""
    z = (borders[1:-1] - mean[..., None]) / deviation[..., None]
    # Of each border the smaller side: differences of what is close to 1 would lose the upper tail, and ndtr both.
    outside = 0.5 * torch.erfc(z.abs() * math.sqrt(0.5))
    above = z > 0
    below = torch.where(above, 1 - outside, outside)
    inside = torch.where(above[..., :-1], -outside.diff(), below.diff())
    first = below[..., :1]
    last = torch.where(above[..., -1:], outside[..., -1:], 1 - outside[..., -1:])
    return torch.cat([first, inside, last], dim=-1)
