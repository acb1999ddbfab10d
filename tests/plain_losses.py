"""Cross-entropy and squared error without options, as functions of arrays around the engine's."""

import numpy as np

from nncore import nn
from nncore._core import engine


def cross_entropy_forward(logits, target):
    """(loss, probabilities)"""
    logits = engine.floating(logits, logits.dtype, "test")
    loss, (_, kept, _) = nn.CrossEntropyLoss()._forward(logits, target)
    saved = kept[2]
    return loss, saved.view(logits.dtype).reshape(logits.shape)


def cross_entropy_backward(probabilities, target, grad=1.0):
    p = engine.row_major(probabilities)
    operation = nn.CrossEntropyLoss()._operation(p.shape, p.dtype)
    kept = (None, engine.labels(target), p.reshape(-1).view(np.uint8), p.dtype.num)
    return engine.loss_backward(operation, kept, grad)


def mse_forward(pred, target):
    return nn.MSELoss()._forward(engine.floating(pred, pred.dtype, "test"), target)[0]


def mse_backward(pred, target, grad=1.0):
    loss_fn = nn.MSELoss()
    pred = engine.floating(pred, pred.dtype, "test")
    return loss_fn._backward(loss_fn._forward(pred, target)[1], grad)
