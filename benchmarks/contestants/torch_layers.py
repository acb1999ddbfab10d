"""PyTorch's layers, any of them, in inference mode.

Backward is the operator below autograd where there is one for the layer, else autograd over a graph
that is kept.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

from benchmarks.contestants.contestant import Runner

if TYPE_CHECKING:
    import numpy as np

    from benchmarks.case import Arrays, Case

Tensor = torch.Tensor
Function = Callable[[Tensor, Tensor, Tensor], Tensor]
aten = torch.ops.aten
SELU = (1.6732632423543772, 1.0507009873554805)

# dx of (grad, x, y)
BACKWARD: dict[str, Function] = {
    "ReLU": lambda g, x, y: aten.threshold_backward(g, y, 0),
    "LeakyReLU": lambda g, x, y: aten.leaky_relu_backward(g, x, 0.01, False),
    "ELU": lambda g, x, y: aten.elu_backward(g, 1, 1, 1, True, y),
    "SELU": lambda g, x, y: aten.elu_backward(g, *SELU, 1, True, y),
    "CELU": lambda g, x, y: aten.elu_backward(g, 1, 1, 1, True, y),
    "GELU": lambda g, x, y: aten.gelu_backward(g, x),
    "SiLU": lambda g, x, y: aten.silu_backward(g, x),
    "Mish": lambda g, x, y: aten.mish_backward(g, x),
    "Softplus": lambda g, x, y: aten.softplus_backward(g, x, 1, 20),
    "Sigmoid": lambda g, x, y: aten.sigmoid_backward(g, y),
    "Tanh": lambda g, x, y: aten.tanh_backward(g, y),
    "Hardtanh": lambda g, x, y: aten.hardtanh_backward(g, x, -1, 1),
    "ReLU6": lambda g, x, y: aten.hardtanh_backward(g, x, 0, 6),
    "Hardswish": lambda g, x, y: aten.hardswish_backward(g, x),
    "Hardsigmoid": lambda g, x, y: aten.hardsigmoid_backward(g, x),
    "Softmax": lambda g, x, y: aten._softmax_backward_data(g, y, -1, g.dtype),
    "LogSoftmax": lambda g, x, y: aten._log_softmax_backward_data(g, y, -1, g.dtype),
}


def tensors_of(arrays: Arrays, layout: torch.memory_format) -> dict[str, Tensor]:
    tensors = {name: torch.from_numpy(array).clone() for name, array in arrays.items()}
    return {
        name: tensor.contiguous(memory_format=layout) if tensor.dim() == 4 else tensor
        for name, tensor in tensors.items()
    }


def forward_of(case: Case, t: dict[str, Tensor]) -> tuple[Callable[..., Tensor], list[Tensor]]:
    """The layer as a function of x, and its parameters."""
    name, arguments = case.options["layer"], case.options["arguments"]
    if name == "Add":
        return lambda x: torch.add(x, t["other"]), []
    if name == "Resize2d":
        return lambda x: functional.interpolate(x, **arguments), []
    if name == "GlobalAvgPool2d":
        name, arguments = "AdaptiveAvgPool2d", {"output_size": 1}
    if name == "RMSNorm":
        arguments = arguments | {"eps": 1e-5}
    layer = getattr(torch.nn, name)(**arguments).train(case.options.get("training", True))
    parameters = [getattr(layer, name) for name in ("weight", "bias") if name in t]
    with torch.no_grad():
        for name in ("weight", "bias"):
            if name in t:
                getattr(layer, name).copy_(t[name])
    return layer.forward, parameters


def layer_forward(case: Case, arrays: Arrays, layout: torch.memory_format) -> Runner | None:
    if layout is torch.channels_last and arrays["x"].ndim != 4:
        return None
    forward, _ = forward_of(case, tensors_of(arrays, layout))
    with torch.inference_mode():
        x = tensors_of(arrays, layout)["x"]

    def result() -> dict[str, np.ndarray]:
        with torch.inference_mode():
            return _compared(case, x, forward(x))

    return Runner(lambda: forward(x), result, surroundings=torch.inference_mode)


def layer_backward(case: Case, arrays: Arrays, layout: torch.memory_format) -> Runner | None:
    if layout is torch.channels_last and arrays["x"].ndim != 4:
        return None
    t = tensors_of(arrays, layout)
    forward, parameters = forward_of(case, t)
    x, grad, name = t["x"], t["grad"], case.options["layer"]
    operator = None if case.options["arguments"].get("approximate") else BACKWARD.get(name)
    names = ["dx", *(f"d{n}" for n in ("weight", "bias") if n in t)]
    if operator is not None:
        y = forward(x).detach()
        return _runner(case, grad, ["dx"], lambda: [operator(grad, x, y)])
    if x.is_floating_point():
        wanted: list[Tensor] = [x.requires_grad_(), *parameters]
    else:
        wanted, names = parameters, names[1:]
    y = forward(x)
    return _runner(
        case, grad, names, lambda: torch.autograd.grad(y, wanted, grad, retain_graph=True)
    )


def _runner(case: Case, grad: Tensor, names: list[str], run: Callable[[], Any]) -> Runner:
    def result() -> dict[str, np.ndarray]:
        found = run()
        if case.options["layer"] == "Dropout":
            return _compared(case, grad, found[0])
        return {name: each.detach().numpy() for name, each in zip(names, found, strict=True)}

    return Runner(run, result)


def _compared(case: Case, x: Tensor, y: Tensor) -> dict[str, np.ndarray]:
    """As nncore's: of random zeros the factor on what is kept."""
    if case.options["layer"] != "Dropout":
        return {"y": y.numpy()}
    kept = y != 0
    return {"factor": (y[kept] / x[kept]).median().reshape(1).numpy()}
