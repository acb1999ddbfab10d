"""Dropout, whose mask is given, and rows of a table."""

import numpy as np

from ._arrays import Array


def dropout(x: Array, kept: Array, p: float) -> Array:
    """Return x / (1 - p) where kept, else 0; dx from grad is the same. kept is of booleans."""
    return np.where(kept, x / x.dtype.type(1 - p) if p < 1 else x, 0).astype(x.dtype)


def embedding(indices: Array, weight: Array) -> Array:
    """Return rows of weight (K, D), (..., D), for indices (...) of whole numbers."""
    rows: Array = weight[indices]
    return rows


def embedding_backward(
    grad: Array, indices: Array, num_embeddings: int, padding_idx: int | None = None
) -> Array:
    """Return dweight (num_embeddings, D): each grad (..., D) added to its row, one by one."""
    dweight = np.zeros((num_embeddings, grad.shape[-1]), grad.dtype)
    np.add.at(dweight, indices, grad)
    if padding_idx is not None:
        dweight[padding_idx] = 0
    return dweight
