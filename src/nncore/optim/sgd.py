"""Stochastic gradient descent."""

from typing import Any, Unpack

from nncore.optim.optimizer import Group, Optimizer, Options


class SGD(Optimizer):
    """Gradient descent: w <- w - lr g, with momentum, Nesterov's form of it, and weight decay.

    With g = dC/dw + weight_decay w: without momentum w <- w - lr g. With momentum m the buffer b
    is g at the first step and m b + (1 - dampening) g afterwards, and w <- w - lr b; Nesterov's
    takes g + m b in place of b.

    Parameters
    ----------
    params : iterable of Parameter, of (name, Parameter), or of parameter groups
        What to train; names appear in messages, ``model.parameters()`` knows them.
    lr : float
        Learning rate.
    momentum, dampening, weight_decay : float
        See above; weight decay is scaled by the learning rate with the gradient.
    nesterov : bool
        Needs momentum, and no dampening.
    maximize : bool
        Whether to go up the gradient.
    **options
        `max_grad_norm`, `max_grad_value`, `error_if_nonfinite`: see `Optimizer`.

    Raises
    ------
    TypeError, ValueError
        A number is negative or not finite, `params` is empty or holds something else.

    Notes
    -----
    Rules and names are PyTorch's. Source: Sutskever et al., "On the importance of initialization
    and momentum in deep learning" (2013).
    """

    _kind = "sgd"
    _state_names = ("momentum_buffer",)

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        **options: Unpack[Options],
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "maximize": maximize,
        }
        super().__init__(params, defaults, **options)

    def _check(self, group: Group) -> None:
        super()._check(group)
        momentum, dampening = group["momentum"], group["dampening"]
        if group["nesterov"] and (momentum == 0 or dampening != 0):
            raise ValueError(
                "SGD: nesterov needs momentum and no dampening,"
                f" got momentum={momentum:g}, dampening={dampening:g}"
            )

    def _needed(self, group: Group) -> tuple[str, ...]:
        return self._state_names if group["momentum"] else ()
