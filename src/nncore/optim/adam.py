"""Adam and AdamW."""

from typing import Any, Unpack

from nncore.optim.optimizer import Group, Optimizer, Options


class Adam(Optimizer):
    """Adam: steps scaled by running means of each weight's gradient and of its square.

    With g = dC/dw + weight_decay w and t counting steps from 1: m <- b1 m + (1 - b1) g;
    v <- b2 v + (1 - b2) g^2; w <- w - lr (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps).

    Parameters
    ----------
    params : iterable of Parameter, of (name, Parameter), or of parameter groups
        What to train; names appear in messages, ``model.parameters()`` knows them.
    lr : float
        Learning rate.
    betas : (float, float)
        b1 and b2, in [0, 1).
    eps : float
        Keeps the denominator from zero.
    weight_decay : float
        See above.
    amsgrad : bool
        Whether the largest v so far divides in place of v.
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
    Rules and names are PyTorch's. Sources: Kingma and Ba, "Adam: a method for stochastic
    optimization" (2015); Reddi, Kale and Kumar, "On the convergence of Adam and beyond" (2018).
    """

    _kind = "adam"
    _state_names = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq")
    _decoupled = False

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        **options: Unpack[Options],
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
            "maximize": maximize,
        }
        super().__init__(params, defaults, **options)

    def _needed(self, group: Group) -> tuple[str, ...]:
        return self._state_names[: 3 if group["amsgrad"] else 2]

    def _hyper(self, group: Group) -> dict[str, Any]:
        return {**super()._hyper(group), "decoupled": self._decoupled}


class AdamW(Adam):
    """Adam with decoupled weight decay: w <- w - lr weight_decay w, then the step by dC/dw alone.

    Parameters and errors are those of `Adam`; the default of `weight_decay` is PyTorch's for AdamW.

    Notes
    -----
    Source: Loshchilov and Hutter, "Decoupled weight decay regularization" (2019).
    """

    _decoupled = True

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(
            params, lr, betas, eps, weight_decay, amsgrad, maximize=maximize, **options
        )
