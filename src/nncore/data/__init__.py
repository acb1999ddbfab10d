"""Data to train on: the 8x8 digits inside the package, MNIST from its files, and the IDX reader.

Every loader returns ``(x_train, y_train), (x_test, y_test)``: images as ``(N, channels, height,
width)``, the layout of the layers, and labels as int64.
"""

from nncore.data.digits import load_digits
from nncore.data.idx import read_idx
from nncore.data.mnist import load_mnist

__all__ = ["load_digits", "load_mnist", "read_idx"]
