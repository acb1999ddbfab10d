"""Layers, containers and losses, under PyTorch's names."""

from nncore.nn import init, utils
from nncore.nn.activation import ELU, GELU, LeakyReLU, ReLU, Sigmoid, SiLU, Softplus, Tanh
from nncore.nn.container import Sequential
from nncore.nn.conv import Conv2d
from nncore.nn.flatten import Flatten
from nncore.nn.linear import Linear
from nncore.nn.module import Module
from nncore.nn.parameter import Parameter
from nncore.nn.pooling import AvgPool2d, GlobalAvgPool2d, MaxPool2d

# Losses live a floor above; people look for them here. Last, because losses.py needs parts of nn.
from nncore.losses import CrossEntropyLoss, MSELoss  # isort: skip

__all__ = [
    "ELU",
    "GELU",
    "AvgPool2d",
    "Conv2d",
    "CrossEntropyLoss",
    "Flatten",
    "GlobalAvgPool2d",
    "LeakyReLU",
    "Linear",
    "MSELoss",
    "MaxPool2d",
    "Module",
    "Parameter",
    "ReLU",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Softplus",
    "Tanh",
    "init",
    "utils",
]
