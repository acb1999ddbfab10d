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
from nncore.nn.branches import Concat, Residual
from nncore.nn.container import ModuleDict, ModuleList, Sequential
from nncore.nn.conv import Conv1d, Conv2d
from nncore.nn.conv_transpose import ConvTranspose2d
from nncore.nn.dropout import Dropout, Dropout2d, load_random_state, random_state
from nncore.nn.embedding import Embedding
from nncore.nn.flatten import Flatten, Identity, Unflatten
from nncore.nn.hard_activation import Hardsigmoid, Hardswish, Hardtanh, ReLU6
from nncore.nn.linear import Linear
from nncore.nn.max_pooling import MaxPool1d, MaxPool2d
from nncore.nn.module import Module
from nncore.nn.normalization import BatchNorm1d, BatchNorm2d, GroupNorm, LayerNorm, RMSNorm
from nncore.nn.parameter import Parameter
from nncore.nn.prelu import PReLU
from nncore.nn.resize import Resize2d
from nncore.nn.smooth_activation import CELU, SELU, LogSigmoid, Mish, Softsign
from nncore.nn.softmax import LogSoftmax, Softmax

# Losses live a floor above; people look for them here. Last, because they need parts of nn.
from nncore.losses import (  # isort: skip
    BCELoss,
    BCEWithLogitsLoss,
    CrossEntropyLoss,
    HingeLoss,
    HuberLoss,
    KLDivLoss,
    L1Loss,
    MSELoss,
    NLLLoss,
    SmoothL1Loss,
)

__all__ = [
    "CELU",
    "ELU",
    "GELU",
    "SELU",
    "AdaptiveAvgPool1d",
    "AdaptiveAvgPool2d",
    "AdaptiveMaxPool1d",
    "AdaptiveMaxPool2d",
    "AvgPool1d",
    "AvgPool2d",
    "BCELoss",
    "BCEWithLogitsLoss",
    "BatchNorm1d",
    "BatchNorm2d",
    "Concat",
    "Conv1d",
    "Conv2d",
    "ConvTranspose2d",
    "CrossEntropyLoss",
    "Dropout",
    "Dropout2d",
    "Embedding",
    "Flatten",
    "GlobalAvgPool2d",
    "GroupNorm",
    "Hardsigmoid",
    "Hardswish",
    "Hardtanh",
    "HingeLoss",
    "HuberLoss",
    "Identity",
    "KLDivLoss",
    "L1Loss",
    "LayerNorm",
    "LeakyReLU",
    "Linear",
    "LogSigmoid",
    "LogSoftmax",
    "MSELoss",
    "MaxPool1d",
    "MaxPool2d",
    "Mish",
    "Module",
    "ModuleDict",
    "ModuleList",
    "NLLLoss",
    "PReLU",
    "Parameter",
    "RMSNorm",
    "ReLU",
    "ReLU6",
    "Residual",
    "Resize2d",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "SmoothL1Loss",
    "Softmax",
    "Softplus",
    "Softsign",
    "Tanh",
    "Unflatten",
    "init",
    "load_random_state",
    "random_state",
    "utils",
]
