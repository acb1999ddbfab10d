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
    amsgrad: bool = False,
) -> None:
    """Update param in place: w -= lr m' / (sqrt(v') + eps), m' = m / (1 - beta1^t), v' likewise.

    m = beta1 m + (1 - beta1) g and v = beta2 v + (1 - beta2) g^2 at step t. Weight decay adds
    weight_decay w to g or, decoupled (AdamW), takes lr weight_decay w off w. amsgrad takes the
    largest v so far in place of v. ``state`` is {} at first and keeps t, m and v. Sources: Kingma
    and Ba, "Adam" (2015); Loshchilov and Hutter, "Decoupled weight decay regularization" (2019);
    Reddi, Kale and Kumar, "On the convergence of Adam and beyond" (2018).
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
    if amsgrad:
        largest = state.setdefault("max_exp_avg_sq", np.zeros_like(param))
        v = np.maximum(largest, v, out=largest)
    mean = m / (1 - beta1 ** state["step"])
    mean_square = v / (1 - beta2 ** state["step"])
    param -= lr * mean / (np.sqrt(mean_square) + eps)


@silent
def rmsprop_step(
    param: Array,
    grad: Array,
    state: dict[str, Any],
    lr: float,
    alpha: float = 0.99,
    eps: float = 1e-8,
    weight_decay: float = 0,
    momentum: float = 0,
    centered: bool = False,
) -> None:
    """Update param in place: w -= lr d, d = g / (sqrt(v) + eps), v = alpha v + (1 - alpha) g^2.

    g = grad + weight_decay w. Centered, v - c^2 stands for v, with c the running mean of g. With
    momentum, b = momentum b + d stands for d. ``state`` is {} at first and keeps v, b, c. Source:
    Tieleman and Hinton, lecture 6.5 of "Neural networks for machine learning" (2012).
    """
    if weight_decay:
        grad = grad + weight_decay * param
    state["step"] = state.get("step", 0) + 1
    v = state.setdefault("square_avg", np.zeros_like(param))
    v *= alpha
    v += (1 - alpha) * grad * grad
    if centered:
        c = state.setdefault("grad_avg", np.zeros_like(param))
        c += (1 - alpha) * (grad - c)
        v = v - c * c
    d = grad / (np.sqrt(v) + eps)
    if momentum:
        b = state.setdefault("momentum_buffer", np.zeros_like(param))
        b *= momentum
        b += d
        d = b
    param -= lr * d


@silent
def adagrad_step(
    param: Array,
    grad: Array,
    state: dict[str, Any],
    lr: float,
    lr_decay: float = 0,
    weight_decay: float = 0,
    initial_accumulator_value: float = 0,
    eps: float = 1e-10,
) -> None:
    """Update param in place: w -= lr / (1 + (t - 1) lr_decay) g / (sqrt(s) + eps), s += g^2.

    g = grad + weight_decay w. ``state`` is {} at first and keeps t and s. Source: Duchi, Hazan and
    Singer, "Adaptive subgradient methods" (2011).
    """
    if weight_decay:
        grad = grad + weight_decay * param
    if not state:
        state.update(step=0, sum=np.full_like(param, initial_accumulator_value))
    state["sum"] += grad * grad
    param -= lr / (1 + state["step"] * lr_decay) * grad / (np.sqrt(state["sum"]) + eps)
    state["step"] += 1


@silent
def lion_step(
    param: Array,
    grad: Array,
    state: dict[str, Any],
    lr: float,
    betas: tuple[float, float] = (0.9, 0.99),
    weight_decay: float = 0,
) -> None:
    """Update param in place: w -= lr (sign(beta1 m + (1 - beta1) g) + weight_decay w).

    Then m = beta2 m + (1 - beta2) g. ``state`` is {} at first and keeps m. Source: Chen et al.,
    "Symbolic discovery of optimization algorithms" (2023).
    """
    m = state.setdefault("exp_avg", np.zeros_like(param))
    direction = np.sign(betas[0] * m + (1 - betas[0]) * grad)
    param -= lr * (direction + weight_decay * param)
    m *= betas[1]
    m += (1 - betas[1]) * grad
