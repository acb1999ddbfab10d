"""Lion."""

from typing import Any, Unpack

from nncore.optim.optimizer import Optimizer, Options


class Lion(Optimizer):
    """Lion: every weight goes the same way, lr, by the sign of a mean of its gradients.

    With g = dC/dw: c = b1 m + (1 - b1) g; w <- w - lr (sign(c) + weight_decay w);
    m <- b2 m + (1 - b2) g. One state array, half of Adam's; learning rates are three to ten times
    smaller than Adam's, weight decay as much larger.

    Parameters
    ----------
    params : iterable of Parameter, of (name, Parameter), or of parameter groups
        What to train; names appear in messages, ``model.parameters()`` knows them.
    lr : float
        Learning rate.
    betas : (float, float)
        b1 and b2, in [0, 1).
    weight_decay : float
        See above: decoupled.
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
    PyTorch has none. Source: Chen et al., "Symbolic discovery of optimization algorithms" (2023),
    algorithm 2, with its defaults.
    """

    _kind = "lion"
    _state_names = ("exp_avg",)

    def __init__(
        self,
        params: Any,
        lr: float = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
        **options: Unpack[Options],
    ) -> None:
        defaults = {"lr": lr, "betas": betas, "weight_decay": weight_decay, "maximize": maximize}
        super().__init__(params, defaults, **options)
