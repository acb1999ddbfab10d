"""The engine's mathematics in plain, vectorised NumPy: its definition, test oracle and baseline.

Every operation stands beside its backward. Arrays are float32 or float64, and results keep that
dtype. ``grad`` is always the gradient of the loss with respect to the operation's output;
``dx``, ``dweight``, ... are its gradients with respect to the inputs. N is the batch, C channels,
H x W an image, O outputs, KH x KW a window, OH x OW an output image. A window's sizes are an int or
a pair (height, width). NaN and inf follow IEEE arithmetic silently, as in the engine: no function
here raises a NumPy warning.
"""

from ._activations import (
    elu,
    elu_backward,
    exp,
    exp_backward,
    flatten,
    flatten_backward,
    gelu,
    gelu_backward,
    leaky_relu,
    leaky_relu_backward,
    log,
    log_backward,
    relu,
    relu_backward,
    sigmoid,
    sigmoid_backward,
    silu,
    silu_backward,
    softplus,
    softplus_backward,
    tanh,
    tanh_backward,
)
from ._arithmetic import (
    add,
    add_backward,
    concatenate,
    concatenate_backward,
    multiply,
    multiply_backward,
    reshape,
    reshape_backward,
    scale,
    scale_backward,
    subtract,
    subtract_backward,
)
from ._avg_pool2d import (
    avg_pool2d,
    avg_pool2d_backward,
    global_avg_pool2d,
    global_avg_pool2d_backward,
)
from ._conv2d import conv2d, conv2d_backward
from ._linear import linear, linear_backward, linear_backward_per_sample
from ._losses import cross_entropy, cross_entropy_backward, mse, mse_backward
from ._max_pool2d import max_pool2d, max_pool2d_backward, pool_output_size
from ._optimizers import adagrad_step, adam_step, lion_step, rmsprop_step, sgd_step

__all__ = [
    "adagrad_step",
    "adam_step",
    "add",
    "add_backward",
    "avg_pool2d",
    "avg_pool2d_backward",
    "concatenate",
    "concatenate_backward",
    "conv2d",
    "conv2d_backward",
    "cross_entropy",
    "cross_entropy_backward",
    "elu",
    "elu_backward",
    "exp",
    "exp_backward",
    "flatten",
    "flatten_backward",
    "gelu",
    "gelu_backward",
    "global_avg_pool2d",
    "global_avg_pool2d_backward",
    "leaky_relu",
    "leaky_relu_backward",
    "linear",
    "linear_backward",
    "linear_backward_per_sample",
    "lion_step",
    "log",
    "log_backward",
    "max_pool2d",
    "max_pool2d_backward",
    "mse",
    "mse_backward",
    "multiply",
    "multiply_backward",
    "pool_output_size",
    "relu",
    "relu_backward",
    "reshape",
    "reshape_backward",
    "rmsprop_step",
    "scale",
    "scale_backward",
    "sgd_step",
    "sigmoid",
    "sigmoid_backward",
    "silu",
    "silu_backward",
    "softplus",
    "softplus_backward",
    "subtract",
    "subtract_backward",
    "tanh",
    "tanh_backward",
]
