"""Cross-entropy and squared error without options, as functions of arrays around the engine's."""

import numpy as np

from nncore import nn
from nncore._core import engine


def cross_entropy_forward(logits, target):
    """(loss, probabilities)"""
    logits = engine.floating(logits, logits.dtype, "test")
    loss, (_, kept, *_) = nn.CrossEntropyLoss()._forward(logits, target)
    return loss, kept[2].view(logits.dtype).reshape(logits.shape)


def cross_entropy_backward(probabilities, target, grad=1.0):
    p = engine.row_major(probabilities)
    plan = nn.CrossEntropyLoss()._planned(p.shape, p.dtype)
    return plan.backward((None, engine.labels(target), p.reshape(-1).view(np.uint8)), grad)


def mse_forward(pred, target):
    return nn.MSELoss()._forward(engine.floating(pred, pred.dtype, "test"), target)[0]


def mse_backward(pred, target, grad=1.0):
    loss_fn = nn.MSELoss()
    pred = engine.floating(pred, pred.dtype, "test")
    return loss_fn._backward(loss_fn._forward(pred, target)[1], grad)
