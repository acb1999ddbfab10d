"""Adagrad."""

from typing import Any, Unpack

from nncore.optim.optimizer import Group, Optimizer, Options


class Adagrad(Optimizer):
    """Adagrad: steps scaled by the sum of the squares of all gradients of a weight so far.

    With g = dC/dw + weight_decay w and t counting steps from 0: s <- s + g^2;
    w <- w - lr / (1 + t lr_decay) g / (sqrt(s) + eps).

    Parameters
    ----------
    params : iterable of Parameter, of (name, Parameter), or of parameter groups
        What to train; names appear in messages, ``model.parameters()`` knows them.
    lr : float
        Learning rate.
    lr_decay, weight_decay : float
        See above.
    initial_accumulator_value : float
        What s begins with.
    eps : float
        Keeps the denominator from zero.
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
    Rules and names are PyTorch's. Source: Duchi, Hazan and Singer, "Adaptive subgradient methods
    for online learning and stochastic optimization" (2011).
    """

    _kind = "adagrad"
    _state_names = ("sum",)

    def __init__(
        self,
        params: Any,
        lr: float = 1e-2,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
        *,
        maximize: bool = False,
        **options: Unpack[Options],
    ) -> None:
        defaults = {
            "lr": lr,
            "lr_decay": lr_decay,
            "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value,
            "eps": eps,
            "maximize": maximize,
        }
        super().__init__(params, defaults, **options)

    def _hyper(self, group: Group) -> dict[str, Any]:
        numbers = super()._hyper(group)
        del numbers["initial_accumulator_value"]
        return numbers

    def _initial(self, group: Group) -> float:
        return float(group["initial_accumulator_value"])
