"""RMSprop."""

from typing import Any, Unpack

from nncore.optim.optimizer import Group, Optimizer, Options


class RMSprop(Optimizer):
    """RMSprop: steps scaled by a running mean of the square of each weight's gradient.

    With g = dC/dw + weight_decay w: v <- alpha v + (1 - alpha) g^2; w <- w - lr g / (sqrt(v) +
    eps). `centered` takes v - c^2 in place of v, where c is the running mean of g. With momentum m
    the buffer b <- m b + g / (sqrt(v) + eps), and w <- w - lr b.

    Parameters
    ----------
    params : iterable of Parameter, of (name, Parameter), or of parameter groups
        What to train; names appear in messages, ``model.parameters()`` knows them.
    lr : float
        Learning rate.
    alpha : float
        Decay of the running means.
    eps : float
        Keeps the denominator from zero.
    weight_decay, momentum : float
        See above.
    centered : bool
        See above.
    maximize : bool
        Whether to go up the gradient.
    **options
        `max_grad_norm`, `max_grad_value`, `error_if_nonfinite`: see `Optimizer`.

    Raises
    ------
    TypeError, ValueError
        A number is out of range, `params` is empty or holds something else.

    Notes
    -----
    Rules and names are PyTorch's. Source: Tieleman and Hinton, lecture 6.5 of "Neural networks for
    machine learning" (2012).
    """

    _kind = "rmsprop"
    _state_names = ("square_avg", "momentum_buffer", "grad_avg")

    def __init__(
        self,
        params: Any,
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
        *,
        maximize: bool = False,
        **options: Unpack[Options],
    ) -> None:
        defaults = {
            "lr": lr,
            "alpha": alpha,
            "eps": eps,
            "weight_decay": weight_decay,
            "momentum": momentum,
            "centered": centered,
            "maximize": maximize,
        }
        super().__init__(params, defaults, **options)

    def _hyper(self, group: Group) -> dict[str, Any]:
        numbers = super()._hyper(group)
        numbers["beta2"] = numbers.pop("alpha")
        return numbers

    def _needed(self, group: Group) -> tuple[str, ...]:
        wanted = (True, bool(group["momentum"]), bool(group["centered"]))
        return tuple(name for name, on in zip(self._state_names, wanted, strict=True) if on)
