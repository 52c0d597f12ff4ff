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
    slope, _ = _gradients(train_loss, w, alpha, of_alpha=False)
    ahead = {n: w[n] - xi * (slope[n] + drift[n]) for n in w}
    v, direct = _gradients(validation_loss, ahead, alpha)
    norm = torch.sqrt(torch.stack([(part**2).sum() for part in v.values()]).sum())
    if norm == 0:
        return direct
    length = epsilon / norm
    plus, minus = (
        _gradients(train_loss, {n: w[n] + sign * length * v[n] for n in w}, alpha, of_w=False)[1] for sign in (1, -1)
    )
    return {n: direct[n] - xi * (plus[n] - minus[n]) / (2 * length) for n in alpha}


def _gradients(
    loss: Loss, w: Tensors, alpha: Tensors, of_w: bool = True, of_alpha: bool = True
) -> tuple[Tensors, Tensors]:
    """Gradients in w and in alpha in one pass; empty where not wanted, which is cheaper than ``torch.func``."""
    w = {n: part.detach().requires_grad_(of_w) for n, part in w.items()}
    alpha = {n: part.detach().requires_grad_(of_alpha) for n, part in alpha.items()}
    wanted = [*w.values()] * of_w + [*alpha.values()] * of_alpha
    found = iter(torch.autograd.grad(loss(w, alpha), wanted, materialize_grads=True))
    return {n: next(found) for n in w if of_w}, {n: next(found) for n in alpha if of_alpha}
