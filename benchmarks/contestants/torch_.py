"""PyTorch, in both memory formats.

A forward or backward row calls the one operator that does the work, in inference mode and without
autograd around it; a forward+backward row goes through autograd, because there a user has no other
way. Training steps and optimisers are in ``torch_training``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

from benchmarks.contestants import torch_mnist
from benchmarks.contestants.contestant import Operations, Runner
from benchmarks.contestants.torch_layers import layer_backward, layer_forward
from benchmarks.contestants.torch_training import (
    optimizer_step,
    prediction,
    training_step,
)

if TYPE_CHECKING:
    import numpy as np

    from benchmarks.case import Arrays, Case

Tensors = dict[str, torch.Tensor]
Function = Callable[..., Any]
Maker = Callable[..., Runner | None]
aten = torch.ops.aten


def open_contestant(variant: str, threads: int) -> Operations:
    torch.set_num_threads(threads)
    torch.set_num_interop_threads(1)
    if variant == "compiled":
        contiguous = torch.contiguous_format
        return Operations(
            torch.__version__,
            {
                "activation.forward": _activation_compiled,
                "step.train": partial(training_step, layout=contiguous, prepare=torch.compile),
            },
        )
    if variant == "channels_last":
        return Operations(torch.__version__, _image_makers(torch.channels_last))
    makers = _image_makers(torch.contiguous_format) | {
        "linear.forward": _linear_forward,
        "linear.dx": _linear_dx,
        "linear.dW+db": _linear_dw_db,
        "linear.forward+backward": _linear_forward_backward,
        "activation.forward": _activation_forward,
        "activation.backward": _activation_backward,
        "activation.layer": _activation_layer,
        "optim.step": optimizer_step,
        "step.predict": prediction,
    }
    return Operations(torch.__version__, makers)


def _image_makers(layout: torch.memory_format) -> dict[str, Maker]:
    """The operations on images, for which the memory format matters."""
    return {
        "pool.forward": partial(_pool_forward, layout=layout),
        "pool.backward": partial(_pool_backward, layout=layout),
        "pool.forward+backward": partial(_pool_forward_backward, layout=layout),
        "average.forward": partial(_average_forward, layout=layout),
        "average.backward": partial(_average_backward, layout=layout),
        "conv.forward": partial(_conv_forward, layout=layout),
        "conv.backward data": partial(_conv_backward, layout=layout, mask=[True, False, False]),
        "conv.backward weights": partial(_conv_backward, layout=layout, mask=[False, True, True]),
        "layer.forward": partial(layer_forward, layout=layout),
        "layer.backward": partial(layer_backward, layout=layout),
        "step.train": partial(training_step, layout=layout),
        "mnist.fit": partial(torch_mnist.run, layout=layout, recipe=False),
        "mnist.recipe": partial(torch_mnist.run, layout=layout, recipe=True),
    }


def _tensors(arrays: Arrays, layout: torch.memory_format = torch.contiguous_format) -> Tensors:
    """Copies in PyTorch's own, aligned memory; images in the memory format asked for."""
    tensors = {name: torch.from_numpy(array).clone() for name, array in arrays.items()}
    return {
        name: tensor.contiguous(memory_format=layout) if tensor.dim() == 4 else tensor
        for name, tensor in tensors.items()
    }


def _arrays(names: tuple[str, ...], outputs: object) -> dict[str, np.ndarray]:
    tensors = outputs if isinstance(outputs, tuple) else (outputs,)
    return {name: tensor.detach().numpy() for name, tensor in zip(names, tensors, strict=True)}


def _kernel(
    arrays: Arrays,
    names: tuple[str, ...],
    make: Callable[[Tensors], Callable[[], object]],
    layout: torch.memory_format = torch.contiguous_format,
) -> Runner:
    """A runner in inference mode; ``make`` gets the inputs and returns what to call.

    The inputs are made in that mode too: operators look at ordinary tensors longer.
    """
    with torch.inference_mode():
        compute = make(_tensors(arrays, layout))

    def result() -> dict[str, np.ndarray]:
        with torch.inference_mode():
            return _arrays(names, compute())

    return Runner(compute, result, surroundings=torch.inference_mode)


def _through_autograd(names: tuple[str, ...], compute: Callable[[], object]) -> Runner:
    return Runner(compute, lambda: _arrays(names, compute()))


# Linear. Outputs go to arrays that are there already: faster than the module's own way.


def _linear_forward(_case: Case, arrays: Arrays) -> Runner:
    def make(t: Tensors) -> Callable[[], object]:
        x, bias, transposed = t["x"], t["bias"], t["weight"].t()
        y = torch.empty(x.shape[0], bias.shape[0])
        return lambda: torch.addmm(bias, x, transposed, out=y)

    return _kernel(arrays, ("y",), make)


def _linear_dx(_case: Case, arrays: Arrays) -> Runner:
    def make(t: Tensors) -> Callable[[], object]:
        grad, weight = t["grad"], t["weight"]
        dx = torch.empty(grad.shape[0], weight.shape[1])
        return lambda: torch.mm(grad, weight, out=dx)

    return _kernel(arrays, ("dx",), make)


def _linear_dw_db(_case: Case, arrays: Arrays) -> Runner:
    def make(t: Tensors) -> Callable[[], object]:
        grad, transposed, x = t["grad"], t["grad"].t(), t["x"]
        dw, db = torch.empty(grad.shape[1], x.shape[1]), torch.empty(grad.shape[1])

        def compute() -> tuple[torch.Tensor, torch.Tensor]:
            torch.mm(transposed, x, out=dw)
            torch.sum(grad, 0, out=db)
            return dw, db

        return compute

    return _kernel(arrays, ("dw", "db"), make)


def _linear_forward_backward(_case: Case, arrays: Arrays) -> Runner:
    t = _tensors(arrays)
    layer = torch.nn.Linear(*reversed(t["weight"].shape))
    with torch.no_grad():
        layer.weight.copy_(t["weight"])
        layer.bias.copy_(t["bias"])
    x, grad = t["x"].requires_grad_(), t["grad"]
    wanted = [x, layer.weight, layer.bias]

    def compute() -> tuple[torch.Tensor, ...]:
        y = layer(x)
        # Faster than y.backward(): nothing is stored in .grad and cleared again.
        return y, *torch.autograd.grad(y, wanted, grad)

    return _through_autograd(("y", "dx", "dw", "db"), compute)


# Max pooling


def _pool_arguments(case: Case) -> tuple[list[int], list[int], list[int], list[int], bool]:
    kernel, stride, padding = (case.options[n] for n in ("kernel_size", "stride", "padding"))
    return [kernel] * 2, [stride] * 2, [padding] * 2, [1, 1], False


def _pool_forward(case: Case, arrays: Arrays, layout: torch.memory_format) -> Runner:
    def make(t: Tensors) -> Callable[[], object]:
        x, arguments = t["x"], _pool_arguments(case)
        return lambda: aten.max_pool2d_with_indices(x, *arguments)[0]

    return _kernel(arrays, ("y",), make, layout)


def _pool_backward(case: Case, arrays: Arrays, layout: torch.memory_format) -> Runner:
    def make(t: Tensors) -> Callable[[], object]:
        x, grad, arguments = t["x"], t["grad"], _pool_arguments(case)
        _, index = aten.max_pool2d_with_indices(x, *arguments)
        return lambda: aten.max_pool2d_with_indices_backward(grad, x, *arguments, index)

    return _kernel(arrays, ("dx",), make, layout)


def _pool_forward_backward(case: Case, arrays: Arrays, layout: torch.memory_format) -> Runner:
    t = _tensors(arrays, layout)
    x, grad = t["x"].requires_grad_(), t["grad"]
    kernel, stride, padding, _, _ = _pool_arguments(case)

    def compute() -> tuple[torch.Tensor, ...]:
        y = functional.max_pool2d(x, kernel, stride, padding)
        return y, *torch.autograd.grad(y, x, grad)

    return _through_autograd(("y", "dx"), compute)


# Average pooling


def _average_arguments(case: Case) -> tuple[list[int], list[int], list[int], bool, bool, None]:
    kernel, stride, padding, _, _ = _pool_arguments(case)
    return kernel, stride, padding, False, True, None


def _average_forward(case: Case, arrays: Arrays, layout: torch.memory_format) -> Runner:
    def make(t: Tensors) -> Callable[[], object]:
        x, arguments = t["x"], _average_arguments(case)
        return lambda: aten.avg_pool2d(x, *arguments)

    return _kernel(arrays, ("y",), make, layout)


def _average_backward(case: Case, arrays: Arrays, layout: torch.memory_format) -> Runner:
    def make(t: Tensors) -> Callable[[], object]:
        x, grad, arguments = t["x"], t["grad"], _average_arguments(case)
        return lambda: aten.avg_pool2d_backward(grad, x, *arguments)

    return _kernel(arrays, ("dx",), make, layout)


# Convolution


def _conv_forward(case: Case, arrays: Arrays, layout: torch.memory_format) -> Runner:
    def make(t: Tensors) -> Callable[[], object]:
        padding = case.options["padding"]
        return lambda: functional.conv2d(t["x"], t["weight"], t["bias"], padding=padding)

    return _kernel(arrays, ("y",), make, layout)


def _conv_backward(
    case: Case, arrays: Arrays, layout: torch.memory_format, mask: list[bool]
) -> Runner:
    """``mask``: which of dx, dW, db are wanted."""

    def make(t: Tensors) -> Callable[[], object]:
        grad, x, weight = t["grad"], t["x"], t["weight"]
        padding = [case.options["padding"]] * 2
        geometry = ([1, 1], padding, [1, 1], False, [0, 0], 1)
        biases = [weight.shape[0]]

        def compute() -> tuple[torch.Tensor, ...]:
            gradients = aten.convolution_backward(grad, x, weight, biases, *geometry, mask)
            return tuple(gradient for gradient in gradients if gradient is not None)

        return compute

    names = tuple(n for n, wanted in zip(("dx", "dw", "db"), mask, strict=True) if wanted)
    return _kernel(arrays, names, make, layout)


# Activations, into outputs that are there already as well

_FORWARD: dict[str, Function] = {
    "relu": lambda x, out: torch.clamp_min(x, 0, out=out),
    "sigmoid": lambda x, out: torch.sigmoid(x, out=out),
    "tanh": lambda x, out: torch.tanh(x, out=out),
    "leaky_relu": lambda x, out: aten.leaky_relu.out(x, out=out),
    "elu": lambda x, out: aten.elu.out(x, out=out),
    "gelu": lambda x, out: aten.gelu.out(x, out=out),
    "gelu_tanh": lambda x, out: aten.gelu.out(x, approximate="tanh", out=out),
    "silu": lambda x, out: aten.silu.out(x, out=out),
    "softplus": lambda x, out: aten.softplus.out(x, out=out),
    "exp": lambda x, out: torch.exp(x, out=out),
    "log": lambda x, out: torch.log(x, out=out),
}
_BACKWARD: dict[str, Function] = {
    "relu": lambda grad, y, out: aten.threshold_backward.grad_input(grad, y, 0, grad_input=out),
    "sigmoid": lambda grad, y, out: aten.sigmoid_backward.grad_input(grad, y, grad_input=out),
    "tanh": lambda grad, y, out: aten.tanh_backward.grad_input(grad, y, grad_input=out),
    "leaky_relu": lambda grad, x, out: aten.leaky_relu_backward.grad_input(
        grad, x, 0.01, False, grad_input=out
    ),
    "elu": lambda grad, y, out: aten.elu_backward.grad_input(
        grad, 1, 1, 1, True, y, grad_input=out
    ),
    "gelu": lambda grad, x, out: aten.gelu_backward.grad_input(grad, x, grad_input=out),
    "gelu_tanh": lambda grad, x, out: aten.gelu_backward.grad_input(
        grad, x, approximate="tanh", grad_input=out
    ),
    "silu": lambda grad, x, out: aten.silu_backward.grad_input(grad, x, grad_input=out),
    "softplus": lambda grad, x, out: aten.softplus_backward.grad_input(
        grad, x, 1, 20, grad_input=out
    ),
    "exp": lambda grad, y, out: torch.mul(grad, y, out=out),
    "log": lambda grad, x, out: torch.div(grad, x, out=out),
}
_FROM_OUTPUT = ("relu", "sigmoid", "tanh", "elu", "exp")
_PLAIN: dict[str, Function] = {
    "relu": torch.relu,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "leaky_relu": functional.leaky_relu,
    "elu": functional.elu,
    "gelu": functional.gelu,
    "gelu_tanh": partial(functional.gelu, approximate="tanh"),
    "silu": functional.silu,
    "softplus": functional.softplus,
    "exp": torch.exp,
    "log": torch.log,
}
_LAYERS = {"relu": torch.nn.ReLU, "tanh": torch.nn.Tanh, "gelu": torch.nn.GELU}


def _activation_forward(case: Case, arrays: Arrays) -> Runner:
    function = _FORWARD[case.options["function"]]

    def make(t: Tensors) -> Callable[[], object]:
        x, y = t["x"], torch.empty_like(t["x"])
        return lambda: function(x, y)

    return _kernel(arrays, ("y",), make)


def _activation_compiled(case: Case, arrays: Arrays) -> Runner:
    function = torch.compile(_PLAIN[case.options["function"]])
    return _kernel(arrays, ("y",), lambda t: lambda: function(t["x"]))


def _activation_backward(case: Case, arrays: Arrays) -> Runner:
    name = case.options["function"]

    def make(t: Tensors) -> Callable[[], object]:
        x, grad, dx, backward = t["x"], t["grad"], torch.empty_like(t["x"]), _BACKWARD[name]
        kept = _FORWARD[name](x, torch.empty_like(x)) if name in _FROM_OUTPUT else x
        return lambda: backward(grad, kept, dx)

    return _kernel(arrays, ("dx",), make)


def _activation_layer(case: Case, arrays: Arrays) -> Runner:
    layer = _LAYERS[case.options["function"]]().eval()
    return _kernel(arrays, ("y",), lambda t: lambda: layer(t["x"]))
