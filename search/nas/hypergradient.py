"""Gradient of L_val(w'(alpha), alpha) with w' one step of gradient descent away: the second order of DARTS.

w' = w - xi (momentum buffer part + decay w + grad_w L_train(w, alpha)), so that

    d L_val / d alpha = grad_alpha L_val(w', alpha) - xi (d2 L_train / d alpha d w) v,    v = grad_w' L_val(w', alpha).

References: [Liu2019] DARTS: Differentiable Architecture Search, ICLR, equations 6 to 8.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.func import grad

Tensors = dict[str, Tensor]
Loss = Callable[[Tensors, Tensors], Tensor]
"""(weights, alpha) -> scalar."""

EPSILON = 0.01
"""Length of the finite difference, as a norm over all weights [Liu2019]."""


def exact(train_loss: Loss, validation_loss: Loss, w: Tensors, alpha: Tensors, xi: float, drift: Tensors) -> Tensors:
    """The hyper-gradient by differentiating through the step.

    Args:
        train_loss: of weights and alpha.
        validation_loss: likewise.
        w: weights where it is taken.
        alpha: likewise.
        xi: length of the virtual step.
        drift: what the step adds to the gradient: momentum and weight decay.
    """

    def after_step(alpha: Tensors) -> Tensor:
        slope = grad(train_loss)(w, alpha)
        return validation_loss({n: w[n] - xi * (slope[n] + drift[n]) for n in w}, alpha)

    return dict(grad(after_step)(alpha))


def finite_difference(
    train_loss: Loss,
    validation_loss: Loss,
    w: Tensors,
    alpha: Tensors,
    xi: float,
    drift: Tensors,
    epsilon: float = EPSILON,
) -> Tensors:
    """The hyper-gradient with the mixed derivative as a central difference over ``epsilon`` along v; see ``exact``."""
    slope = grad(train_loss)(w, alpha)
    ahead = {n: w[n] - xi * (slope[n] + drift[n]) for n in w}
    v, direct = grad(validation_loss, argnums=(0, 1))(ahead, alpha)
    norm = torch.sqrt(torch.stack([(part**2).sum() for part in v.values()]).sum())
    if norm == 0:
        return dict(direct)
    length = epsilon / norm
    plus, minus = (
        grad(train_loss, argnums=1)({n: w[n] + sign * length * v[n] for n in w}, alpha) for sign in (1.0, -1.0)
    )
    return {n: direct[n] - xi * (plus[n] - minus[n]) / (2 * length) for n in alpha}
