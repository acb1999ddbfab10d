"""Layers, containers and losses, under PyTorch's names."""

from nncore.nn import init, utils
from nncore.nn.activation import ELU, GELU, LeakyReLU, ReLU, Sigmoid, SiLU, Softplus, Tanh
from nncore.nn.adaptive_pooling import (
    AdaptiveAvgPool1d,
    AdaptiveAvgPool2d,
    AdaptiveMaxPool1d,
    AdaptiveMaxPool2d,
)
from nncore.nn.average_pooling import AvgPool1d, AvgPool2d, GlobalAvgPool2d
from nncore.nn.container import Sequential
from nncore.nn.conv import Conv1d, Conv2d
from nncore.nn.conv_transpose import ConvTranspose2d
from nncore.nn.flatten import Flatten
from nncore.nn.linear import Linear
from nncore.nn.max_pooling import MaxPool1d, MaxPool2d
from nncore.nn.module import Module
from nncore.nn.parameter import Parameter
from nncore.nn.resize import Resize2d

# Losses live a floor above; people look for them here. Last, because losses.py needs parts of nn.
from nncore.losses import CrossEntropyLoss, MSELoss  # isort: skip

__all__ = [
    "ELU",
    "GELU",
    "AdaptiveAvgPool1d",
    "AdaptiveAvgPool2d",
    "AdaptiveMaxPool1d",
    "AdaptiveMaxPool2d",
    "AvgPool1d",
    "AvgPool2d",
    "Conv1d",
    "Conv2d",
    "ConvTranspose2d",
    "CrossEntropyLoss",
    "Flatten",
    "GlobalAvgPool2d",
    "LeakyReLU",
    "Linear",
    "MSELoss",
    "MaxPool1d",
    "MaxPool2d",
    "Module",
    "Parameter",
    "ReLU",
    "Resize2d",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Softplus",
    "Tanh",
    "init",
    "utils",
]
