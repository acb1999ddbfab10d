"""Layers as students write them, in NumPy: right ones, and ones with a fault each."""

import numpy as np

from nncore import nn

# ---- a student's layers, right


class Dense:
    """The notes' fully connected layer: y = x W + b, W of shape (in, out)."""

    def __init__(self, inputs=5, outputs=5):
        self.weights = np.zeros((inputs, outputs))
        self.bias = np.zeros(outputs)
        self.w_gradient = np.zeros_like(self.weights)
        self.b_gradient = np.zeros_like(self.bias)

    def forward(self, x):
        self.x = x
        return x @ self.weights + self.bias

    def backward(self, eta):
        self.w_gradient += self.x.T @ eta
        self.b_gradient += eta.sum(axis=0)
        return eta @ self.weights.T

    def gradient(self, alpha=0.05, weight_decay=0.0):
        self.weights = self.weights - alpha * (self.w_gradient + weight_decay * self.weights)
        self.bias = self.bias - alpha * self.b_gradient


class Pool:
    """Max pooling by loops."""

    def __init__(self, k=3, s=2):
        self.k, self.s = k, s

    def cells(self, x):
        rows, columns = ((size - self.k) // self.s + 1 for size in x.shape[2:])
        for n, c, i, j in np.ndindex(*x.shape[:2], rows, columns):
            yield (n, c, i, j), x[n, c, i * self.s :, j * self.s :][: self.k, : self.k]

    def fresh(self, shape):
        return []

    def forward(self, x):
        windows = dict(self.cells(x))
        y = np.zeros(tuple(np.max(list(windows), axis=0) + 1))
        self.shape, self.mask = x.shape, self.fresh(x.shape)
        for at, window in windows.items():
            y[at] = window.max()
            for place in self.places(window):
                h, w = self.where(place)
                self.mask.append((at, (*at[:2], at[2] * self.s + h, at[3] * self.s + w)))
        return y

    def places(self, window):
        return [int(window.argmax())]

    def where(self, place):
        return place // self.k, place % self.k

    def backward(self, eta):
        dx = np.zeros(self.shape)
        for at, winner in self.mask:
            if all(i < size for i, size in zip(winner, self.shape, strict=True)):
                self.give(dx, winner, eta[at])
        return dx

    def give(self, dx, winner, value):
        dx[winner] += value


class Average:
    """Average pooling of stride 1 through an integral image."""

    k = 3

    def top(self, i):
        return i

    def divisor(self):
        return self.k**2

    def forward(self, x):
        total = np.zeros((*x.shape[:2], x.shape[2] + 1, x.shape[3] + 1))
        total[:, :, 1:, 1:] = x.cumsum(axis=2).cumsum(axis=3)
        rows, columns = (size - self.k + 1 for size in x.shape[2:])
        y = np.zeros((*x.shape[:2], rows, columns))
        for i, j in np.ndindex(rows, columns):
            top, low = self.top(i), i + self.k
            right = j + self.k
            y[:, :, i, j] = (
                total[:, :, low, right]
                - total[:, :, top, right]
                - total[:, :, low, j]
                + total[:, :, top, j]
            )
        return y / self.divisor()


# ---- the faults of the framework behind the notes


class BiasForGradient(Dense):
    def gradient(self, alpha=0.05, weight_decay=0.0):
        super().gradient(alpha, weight_decay)
        self.bias = self.bias + alpha * self.b_gradient
        self.bias = self.bias - alpha * self.bias


class DecayWithoutRate(Dense):
    def gradient(self, alpha=0.05, weight_decay=0.0):
        self.weights = self.weights * (1 - weight_decay) - alpha * self.w_gradient
        self.bias = self.bias - alpha * self.b_gradient


class BiasAsGradient(Dense):
    def backward(self, eta):
        dx = super().backward(eta)
        self.b_gradient = self.bias.copy()
        return dx


class MaskNotCleared(Pool):
    def fresh(self, shape):
        return list(dict.fromkeys(getattr(self, "mask", [])))

    def backward(self, eta):
        self.mask = list(dict.fromkeys(self.mask))
        return super().backward(eta)


class StrideForKernel(Pool):
    def where(self, place):
        return place // self.s, place % self.s


class HardCodedRow(Average):
    def top(self, i):
        return 1


class FrozenBatch(Dense):
    def forward(self, x):
        if not hasattr(self, "out"):
            self.out = np.zeros((len(x), self.weights.shape[1]))
        self.out[...] = super().forward(x)
        return self.out.copy()


class Dropout(nn.Module):
    """Stands for the layer: its p, and its name."""

    p = 0.25


class MyDropout:
    forward_keep, backward_keep, seed, drop = 0.75, 0.75, 1, 0.25

    def forward(self, x):
        self.mask = np.random.default_rng(self.seed).uniform(size=x.shape) >= self.drop
        return x * self.mask / self.forward_keep

    def backward(self, eta):
        return eta * self.mask / self.backward_keep


class ScaledBackwardOnly(MyDropout):
    forward_keep = 1


class KeepForDrop(MyDropout):
    drop = 0.75


# ---- others


class Overwritten(Dense):
    def backward(self, eta):
        self.w_gradient[...] = 0
        return super().backward(eta)


class Transposed(Dense):
    def backward(self, eta):
        super().backward(eta)
        return eta @ self.weights


class LastSample(Dense):
    def backward(self, eta):
        self.w_gradient -= np.outer(self.x[-1], eta[-1])
        return super().backward(eta)


class WrongSign(Dense):
    def backward(self, eta):
        return -super().backward(eta)


class MeanOverBatch(Dense):
    def backward(self, eta):
        self.b_gradient -= eta.sum(axis=0) - eta.mean(axis=0)
        return super().backward(eta)


class NoBiasGradient(Dense):
    def backward(self, eta):
        self.b_gradient -= eta.sum(axis=0)
        return super().backward(eta)


class WrongShape(Dense):
    def backward(self, eta):
        return super().backward(eta).T


class LastOfTies(Pool):
    def places(self, window):
        return [int(np.flatnonzero(window == window.max())[-1])]


class AllOfTies(Pool):
    def places(self, window):
        flat = np.flatnonzero(window == window.max())
        rows = flat // window.shape[1] * self.k + flat % window.shape[1]
        return rows.tolist()


class Overlapping(Pool):
    def give(self, dx, winner, value):
        dx[winner] = value


class NoDivisor(Average):
    def divisor(self):
        return 1
