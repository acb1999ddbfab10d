"""What a layer computes, said once: eagerly and in a compiled step the same description is run.

A layer that is one operation of the engine derives from `Layer` and defines `_operation(shape)`,
nothing else: calling it runs the operation on fresh arrays, `nncore.compile` puts it on the step's
list.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from nncore._core import engine
from nncore.nn import structure
from nncore.nn.arrays import Array
from nncore.nn.module import Module
from nncore.nn.parameter import Parameter

Shape = tuple[int, ...]
Pair = tuple[int, int]

# What becomes of the losses of a batch, as the engine numbers it.
REDUCTIONS = ("mean", "sum", "batchmean", "none")


@dataclass
class Operation:
    """One operation of the engine and its arrays; shapes are logical, sample axis first."""

    label: str  # the layer as error messages and tables name it
    kind: str  # the engine's name of the operation
    x_shape: Shape
    y_shape: Shape
    more_shapes: tuple[Shape, ...] = ()  # of the inputs after the first
    # In a step, the values that it reads: the batch's arrays are the first, then the outputs of all
    # operations in order. Empty: the output of the operation before it.
    inputs: tuple[int, ...] = ()
    channels: int = 0
    groups: int = 1
    kernel_size: Pair = (1, 1)
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    ceil_mode: bool = False
    extra: Pair = (0, 0)  # more padding at the end, or output_padding, as nncore.h says
    adaptive: bool = False  # kernel_size is the number of windows
    mode: int = 0  # of Resize2d
    parameter: tuple[float, float] = (0.0, 0.0)  # numbers of the operation, as nncore.h says
    count_include_pad: bool = True
    divisor: int = 0  # 0: the number of cells
    reduction: int = 0  # of a loss: an index of REDUCTIONS
    ignore_index: int | None = None  # of a loss of labels
    weight: NDArray[Any] | None = None
    bias: NDArray[Any] | None = None
    weight_grad: NDArray[Any] | None = None  # None: frozen
    bias_grad: NDArray[Any] | None = None
    target_shape: Shape | None = None  # of a loss; None: labels (batch,), or the shape of x
    training: bool = False  # the layer is in training mode
    buffers: tuple[NDArray[Any], ...] = ()  # changed by forward in training
    stream: tuple[int, str] | None = None  # seed and name of its random numbers
    calls: NDArray[Any] | None = None  # one 64-bit integer: forwards in training so far
    entries: int | None = None  # of Embedding's weight: x is its indices
    padding_entry: int = -1
    parameters: list[Parameter] = field(default_factory=list)

    def hold(self, shape: Shape, weight: Parameter | None, bias: Parameter | None) -> Operation:
        """Take a layer's weights, of `shape`; a frozen one gets no gradient."""
        if weight is not None and weight.shape != shape:
            raise ValueError(f"{self.label}: weight has shape {weight.shape}, expected {shape}")
        outputs = (self.channels,) if self.channels else shape[:1]
        if bias is not None and bias.shape != outputs:
            raise ValueError(f"{self.label}: bias has shape {bias.shape}, expected {outputs}")
        if weight is not None:
            self.weight, self.weight_grad = weight.data, weight.target
            self.parameters.append(weight)
        if bias is not None:
            self.bias, self.bias_grad = bias.data, bias.target
            self.parameters.append(bias)
        return self


class Layer(Module):
    """A layer that is one operation of the engine: a subclass defines `_operation`."""

    def _operation(self, shape: Shape) -> Operation:
        """The operation for inputs of `shape`, or the error that says why there is none."""
        raise NotImplementedError(f"{type(self).__name__}: define _operation(shape)")

    def _planned(self, shape: Shape) -> Operation:
        """The same, kept while neither the shape nor anybody's structure changes."""
        seen = self.__dict__.get("_operation_seen")
        version = structure.version()
        if seen is not None and seen[0] == version and seen[1] == shape:
            return seen[2]  # type: ignore[no-any-return]
        operation = self._operation(shape)
        self.__dict__["_operation_seen"] = (version, shape, operation)
        return operation

    def _forward(self, x: Array) -> tuple[Array, Any]:
        operation = self._planned(x.shape)
        y, kept = engine.operation_forward(operation, x)
        return y, (operation, kept)

    def _forward_only(self, x: Array) -> Array:
        y, _ = engine.operation_forward(self._planned(x.shape), x, save=False)
        return y

    def _backward(self, saved: Any, grad: Array) -> Array:
        operation, kept = saved
        dx, _ = engine.operation_backward(operation, kept, grad)
        return dx  # type: ignore[return-value]

    def _backward_last(self, saved: Any, grad: Array) -> None:
        operation, kept = saved
        if operation.weight_grad is not None or operation.bias_grad is not None:
            engine.operation_backward(operation, kept, grad, input_grad=False)
