"""Data to train on: sets, loaders of batches, transforms.

Every set's loader returns ``(x_train, y_train), (x_test, y_test)``: images as ``(N, channels,
height, width)``, the layout of the layers, and labels as int64.
"""

from nncore.data import transforms
from nncore.data.cifar10 import load_cifar10
from nncore.data.dataset import ArrayDataset
from nncore.data.digits import load_digits
from nncore.data.generated import make_circles, make_moons, make_spirals, make_xor
from nncore.data.idx import read_idx
from nncore.data.loader import DataLoader
from nncore.data.mnist import load_fashion_mnist, load_kmnist, load_mnist
from nncore.data.tables import from_frame, load_csv, load_npz

__all__ = [
    "ArrayDataset",
    "DataLoader",
    "from_frame",
    "load_cifar10",
    "load_csv",
    "load_digits",
    "load_fashion_mnist",
    "load_kmnist",
    "load_mnist",
    "load_npz",
    "make_circles",
    "make_moons",
    "make_spirals",
    "make_xor",
    "read_idx",
    "transforms",
]
