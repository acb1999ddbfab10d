"""What the tests of layers and models share."""

from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pytest

from nncore import nn
from nncore._core import engine


@pytest.fixture(scope="session")
def torch():
    return pytest.importorskip("torch")


@pytest.fixture(scope="session")
def tolerance():
    """How far traces may be from PyTorch's: by dtype, relative to the largest element."""
    return {np.dtype(np.float32): 1e-4, np.dtype(np.float64): 1e-9}


@pytest.fixture(scope="session")
def close(tolerance):
    """Compare arrays of equal shape and dtype within `tolerance`, or within a given one."""

    def check(actual, expected, bound=None):
        actual, expected = np.asarray(actual), np.asarray(expected)
        assert actual.shape == expected.shape
        assert actual.dtype == expected.dtype
        bound = bound or tolerance[actual.dtype]
        scale = np.abs(expected).max(initial=0.0) or 1.0
        np.testing.assert_allclose(actual, expected, rtol=bound, atol=bound * scale)

    return check


@pytest.fixture
def mlp(dtype):
    """A small network of both kinds of layers, with and without parameters."""
    model = nn.Sequential(nn.Linear(4, 8, dtype=dtype), nn.ReLU(), nn.Linear(8, 3, dtype=dtype))
    model.reset_parameters(7)
    return model


@pytest.fixture(scope="session")
def twins(torch):
    """Builds the same network here and in PyTorch, with our weights in both."""

    def build(layers, dtype):
        ours, theirs = [], []
        for name, *args in layers:
            keywords = args.pop() if args and isinstance(args[-1], dict) else {}
            typed = name in ("Linear", "Conv1d", "Conv2d", "ConvTranspose2d")
            ours.append(getattr(nn, name)(*args, **keywords, **({"dtype": dtype} if typed else {})))
            theirs.append(getattr(torch.nn, name)(*args, **keywords))
        model = nn.Sequential(*ours)
        model.reset_parameters(3)
        other = torch.nn.Sequential(*theirs).to(getattr(torch, np.dtype(dtype).name))
        other.load_state_dict({k: torch.from_numpy(v) for k, v in model.state_dict().items()})
        return SimpleNamespace(ours=model, theirs=other)

    return build


@pytest.fixture
def using_threads():
    """A block with so many threads, whatever the work; gives a count of the others' pieces."""

    @contextmanager
    def block(threads):
        before = engine.threads_get(), engine.threads_threshold_get()
        engine.threads_set(threads)
        engine.threads_threshold_set(0)
        start = engine.threads_pieces_by_workers()
        try:
            yield lambda: engine.threads_pieces_by_workers() - start
        finally:
            engine.threads_set(before[0])
            engine.threads_threshold_set(before[1])

    return block


@pytest.fixture(scope="session")
def numerical_gradient():
    """d(sum(grad * f(x)))/dx by central differences; changes x, float64, in place and back."""

    def gradient(f, x, grad, step=1e-6):
        dx = np.zeros_like(x)
        for i in np.ndindex(x.shape):
            value = x[i]
            x[i] = value + step
            up = np.sum(grad * f())
            x[i] = value - step
            dx[i] = (up - np.sum(grad * f())) / (2 * step)
            x[i] = value
        return dx

    return gradient
