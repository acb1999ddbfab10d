"""Optimisers: one step of one parameter, in place."""

from typing import Any

import numpy as np

from ._arrays import Array, silent


@silent
def sgd_step(
    param: Array,
    grad: Array,
    state: dict[str, Any],
    lr: float,
    momentum: float = 0,
    dampening: float = 0,
    nesterov: bool = False,
    weight_decay: float = 0,
) -> None:
    """Update param in place: w -= lr v, v = momentum v + (1 - dampening) g, v = g the first time.

    g = grad + weight_decay w. Nesterov steps along g + momentum v instead of v. ``state`` is {} at
    first and keeps v. Source: Sutskever et al., "On the importance of initialization and momentum
    in deep learning" (2013), with the learning rate outside v.
    """
    if weight_decay:
        grad = grad + weight_decay * param
    if momentum:
        if "momentum_buffer" in state:
            state["momentum_buffer"] *= momentum
            state["momentum_buffer"] += (1 - dampening) * grad
        else:
            state["momentum_buffer"] = grad.copy()
        velocity = state["momentum_buffer"]
        grad = grad + momentum * velocity if nesterov else velocity
    param -= lr * grad


@silent
def adam_step(
    param: Array,
    grad: Array,
    state: dict[str, Any],
    lr: float,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0,
    decoupled: bool = False,
) -> None:
    """Update param in place: w -= lr m' / (sqrt(v') + eps), m' = m / (1 - beta1^t), v' likewise.

    m = beta1 m + (1 - beta1) g and v = beta2 v + (1 - beta2) g^2 at step t. Weight decay adds
    weight_decay w to g or, decoupled (AdamW), takes lr weight_decay w off w. ``state`` is {} at
    first and keeps t, m and v. Sources: Kingma and Ba, "Adam" (2015); Loshchilov and Hutter,
    "Decoupled weight decay regularization" (2019).
    """
    if weight_decay and decoupled:
        param *= 1 - lr * weight_decay
    elif weight_decay:
        grad = grad + weight_decay * param
    if not state:
        state.update(step=0, exp_avg=np.zeros_like(param), exp_avg_sq=np.zeros_like(param))
    state["step"] += 1
    m, v, (beta1, beta2) = state["exp_avg"], state["exp_avg_sq"], betas
    m += (1 - beta1) * (grad - m)
    v *= beta2
    v += (1 - beta2) * grad * grad
    mean = m / (1 - beta1 ** state["step"])
    mean_square = v / (1 - beta2 ** state["step"])
    param -= lr * mean / (np.sqrt(mean_square) + eps)
