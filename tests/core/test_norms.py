"""Normalisations: against the reference in float64 and PyTorch, in every memory order and mode."""

import numpy as np
import pytest
from layouts import LAYOUTS
from tolerance import assert_same_bits

import nncore as nc
from nncore import nn, reference
from nncore._core import engine

SHAPES = {
    "BatchNorm1d": [(4, 5), (3, 5, 4), (2, 5, 1)],
    "BatchNorm2d": [(3, 5, 4, 6), (2, 19, 1, 3)],
    "GroupNorm": [(3, 6, 4, 5), (3, 6, 4), (4, 12), (2, 6, 2, 3, 2)],
    "LayerNorm": [(3, 6, 4, 5), (3, 4, 5), (1, 5)],
    "RMSNorm": [(3, 6, 4, 5), (3, 4, 5), (1, 5)],
}
CASES = [(kind, shape) for kind, shapes in SHAPES.items() for shape in shapes]


def arguments(kind, shape):
    """Those that the layer and PyTorch's share."""
    if kind.startswith("Batch"):
        return (shape[1],)
    if kind == "GroupNorm":
        return 3, shape[1]
    return (shape[2:] if len(shape) == 4 else shape[-1:],)


def made(kind, shape, dtype, rng, **options):
    layer = getattr(nn, kind)(*arguments(kind, shape), dtype=dtype, **options)
    for parameter in layer.parameters():
        parameter.data[...] = rng.normal(1, 0.5, parameter.shape)
    return layer


def definition(kind, layer, x, grad):
    """(y, dx, dweight, dbias or None) in float64."""
    x, grad = x.astype(np.float64), grad.astype(np.float64)
    weight, bias = (
        None if p is None else p.data.astype(np.float64) for p in (layer.weight, layer.bias)
    )
    if kind.startswith("Batch"):
        y, _, _ = reference.batch_norm(x, weight, bias)
        return (y, *reference.batch_norm_backward(grad, x, weight))
    if kind == "GroupNorm":
        y = reference.group_norm(x, 3, weight, bias)
        return (y, *reference.group_norm_backward(grad, x, 3, weight))
    shape = layer.normalized_shape
    if kind == "LayerNorm":
        y = reference.layer_norm(x, shape, weight, bias)
        return (y, *reference.layer_norm_backward(grad, x, shape, weight))
    eps = float(np.finfo(layer.weight.dtype).eps)
    y = reference.rms_norm(x, shape, weight, eps)
    return (y, *reference.rms_norm_backward(grad, x, shape, weight, eps), None)


@pytest.mark.parametrize(("kind", "shape"), CASES)
def test_agrees_with_the_reference(kind, shape, dtype, isa, rng):
    layer = made(kind, shape, dtype, rng)
    x, grad = rng.normal(3, 2, shape).astype(dtype), rng.normal(size=shape).astype(dtype)
    y = layer(x)
    dx = layer.backward(grad)
    expected = definition(kind, layer, x, grad)
    gradients = [layer.weight.grad, None if layer.bias is None else layer.bias.grad]
    for actual, wanted in zip([y, dx, *gradients], expected, strict=True):
        if wanted is not None:
            tolerance = 40 * np.finfo(dtype).eps
            np.testing.assert_allclose(actual, wanted, tolerance, tolerance * 10)


@pytest.mark.parametrize(("kind", "shape"), CASES)
@pytest.mark.parametrize("options", [{}, {"affine": False}], ids=["affine", "plain"])
def test_agrees_with_torch(kind, shape, options, dtype, rng):
    torch = pytest.importorskip("torch")
    if "Norm" in kind and kind[:5] not in ("Batch", "Group"):
        options = {"elementwise_affine": False} if options else {}
    layer = made(kind, shape, dtype, rng, **options)
    theirs = getattr(torch.nn, kind)(
        *arguments(kind, shape), dtype=getattr(torch, np.dtype(dtype).name), **options
    )
    theirs.load_state_dict({n: torch.tensor(v) for n, v in layer.state_dict().items()})
    assert list(layer.state_dict()) == list(theirs.state_dict())
    for training in (True, True, False):
        layer.train(training)
        theirs.train(training)
        x, grad = rng.normal(3, 2, shape).astype(dtype), rng.normal(size=shape).astype(dtype)
        tx = torch.tensor(x, requires_grad=True)
        ty = theirs(tx)
        ty.backward(torch.tensor(grad))
        with nc.recording(layer):
            y = layer(x)
            dx = layer.backward(grad)
        tolerance = 1e-4 if dtype is np.float32 else 1e-9
        np.testing.assert_allclose(y, ty.detach().numpy(), tolerance, tolerance)
        np.testing.assert_allclose(dx, tx.grad.numpy(), tolerance, tolerance)
        for own, other in zip(layer.parameters(), theirs.parameters(), strict=True):
            np.testing.assert_allclose(own.grad, other.grad.numpy(), tolerance, tolerance)
        for (name, value), (other_name, other) in zip(
            layer.state_dict().items(), theirs.state_dict().items(), strict=True
        ):
            assert name == other_name
            np.testing.assert_allclose(value, other.numpy(), tolerance, tolerance)


@pytest.mark.parametrize(
    "options",
    [
        {"momentum": None},
        {"momentum": 0.3, "eps": 0.1},
        {"track_running_stats": False},
        {"affine": False, "track_running_stats": False},
    ],
    ids=str,
)
def test_options_of_batch_norm(options, rng):
    torch = pytest.importorskip("torch")
    layer, theirs = (
        nn.BatchNorm2d(3, dtype=np.float64, **options),
        torch.nn.BatchNorm2d(3, dtype=torch.float64, **options),
    )
    for training in (True, True, False):
        layer.train(training)
        theirs.train(training)
        x = rng.normal(2, 3, (4, 3, 2, 5))
        np.testing.assert_allclose(layer(x), theirs(torch.tensor(x)).detach().numpy(), 1e-9)
    assert list(layer.state_dict()) == list(theirs.state_dict())
    for name, value in theirs.state_dict().items():
        np.testing.assert_allclose(layer.state_dict()[name], value.numpy(), 1e-9)


@pytest.mark.parametrize("kind", SHAPES)
def test_any_memory_order_and_threads(kind, rng):
    shape = {"BatchNorm1d": (9, 5, 300)}.get(kind, (5, 6, 30, 41))
    layer = made(kind, shape, np.float32, rng)
    x, grad = rng.normal(3, 2, shape).astype(np.float32), rng.normal(size=shape).astype(np.float32)
    y, dx = layer(x), layer.backward(grad)
    wanted = [layer.weight.grad.copy(), None if layer.bias is None else layer.bias.grad.copy()]
    before = engine.threads_get(), engine.threads_threshold_get()
    try:
        engine.threads_set(2)
        engine.threads_threshold_set(0)
        seen = engine.threads_pieces_by_workers()
        for arrange in LAYOUTS.values():
            layer.zero_grad()
            given = arrange(x)
            assert_same_bits(layer(given), y)
            assert_same_bits(layer.backward(arrange(grad)), dx)
            assert_same_bits(given, x)
            for parameter, gradient in zip((layer.weight, layer.bias), wanted, strict=True):
                if gradient is not None:
                    assert_same_bits(parameter.grad, gradient)
        assert engine.threads_pieces_by_workers() > seen
    finally:
        engine.threads_set(before[0])
        engine.threads_threshold_set(before[1])


@pytest.mark.parametrize("kind", SHAPES)
def test_a_large_mean_costs_no_digits(kind, dtype, rng):
    shape = {"BatchNorm1d": (700, 5)}.get(kind, (30, 6, 7, 9))
    x = (rng.normal(size=shape) + (1 if kind == "RMSNorm" else 1e4)).astype(dtype)
    layer = getattr(nn, kind)(*arguments(kind, shape), dtype=dtype)
    grad = rng.normal(size=shape).astype(dtype)
    wide = x.astype(np.longdouble)
    zero = np.zeros((), np.longdouble)
    if kind.startswith("Batch"):
        expected, _, _ = reference.batch_norm(wide)
    elif kind == "GroupNorm":
        expected = reference.group_norm(wide, 3)
    elif kind == "LayerNorm":
        expected = reference.layer_norm(wide, layer.normalized_shape)
    else:
        expected = reference.rms_norm(wide, layer.normalized_shape, None, np.finfo(dtype).eps)
    y = layer(x)
    assert np.isfinite(layer.backward(grad)).all()
    worst = np.max(np.abs(y - expected) / np.maximum(np.abs(expected), 1 + zero))
    # Of float32 the sums are in double; of float64 there is nothing wider.
    assert worst <= (4 if dtype == np.float32 else 5) * np.finfo(dtype).eps


@pytest.mark.parametrize("kind", ["LayerNorm", "RMSNorm"])
def test_a_row_does_not_depend_on_the_rows_beside_it(kind, dtype, isa, rng):
    """Rows near zero and far from it are summed up in different ways, several at a time."""
    x = rng.normal(size=(11, 77)).astype(dtype)
    x += np.array([0, 50, 0, 0, 1, -3, 0, 0, 1e4, 0, 0.9], dtype)[:, None]
    grad = rng.normal(size=x.shape).astype(dtype)
    layer = getattr(nn, kind)(77, dtype=dtype)
    y, dx = layer(x), layer.backward(grad)
    for n in range(len(x)):
        row = slice(n, n + 1)
        assert_same_bits(layer(x[row]), y[row])
        assert_same_bits(layer.backward(grad[row]), dx[row])


@pytest.mark.parametrize("kind", SHAPES)
def test_an_empty_batch(kind, rng):
    shape = (0, *SHAPES[kind][0][1:])
    layer = made(kind, shape, np.float32, rng)
    before = layer.state_dict()
    y = layer(np.empty(shape, np.float32))
    assert y.shape == shape
    assert layer.backward(y).shape == shape
    assert not any(p.grad.any() for p in layer.parameters())
    for name, value in layer.state_dict().items():
        assert_same_bits(value, before[name])


def test_a_single_value_is_refused_and_nothing_moves(rng):
    model = nn.Sequential(nn.BatchNorm2d(3), nn.Dropout(0.5), nn.Flatten(), nn.BatchNorm1d(12))
    x = rng.normal(size=(1, 3, 2, 2)).astype(np.float32)
    before = model.state_dict()
    with pytest.raises(ValueError, match=r"BatchNorm1d: values per channel is 1, expected .* 2"):
        model(x)
    for name, value in model.state_dict().items():
        assert_same_bits(value, before[name])  # those of the first layer went back
    assert nn.random_state(model)["1"]["calls"] == 0
    assert model.eval()(x).shape == (1, 12)


def test_frozen_means_statistics_too(rng):
    model = nn.Sequential(nn.BatchNorm2d(3), nn.BatchNorm2d(3, affine=False)).freeze()
    frozen, plain = model
    x = rng.normal(2, 3, (4, 3, 5, 5)).astype(np.float32)
    y = frozen(x)
    np.testing.assert_allclose(y, x / np.sqrt(np.float32(1 + 1e-5)), 1e-6)
    np.testing.assert_allclose(frozen.backward(x), y, 1e-6)
    assert frozen.num_batches_tracked == 0
    assert not frozen.running_mean.any()
    plain(x)  # nothing to freeze in it
    assert plain.num_batches_tracked == 1
    frozen.bias.requires_grad = True
    frozen(x)
    assert frozen.num_batches_tracked == 1


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: nn.BatchNorm2d(0), ValueError, "BatchNorm2d: num_features must be positive"),
        (lambda: nn.BatchNorm1d(2.0), TypeError, "BatchNorm1d: num_features must be an integer"),
        (lambda: nn.BatchNorm1d(2, eps=-1), ValueError, "eps must not be negative"),
        (lambda: nn.BatchNorm1d(2, momentum="a"), TypeError, "momentum must be a number"),
        (lambda: nn.BatchNorm1d(2, affine=2), TypeError, "affine must be True or False"),
        (lambda: nn.GroupNorm(4, 6), ValueError, "num_groups must divide num_channels, got 4"),
        (lambda: nn.GroupNorm(0, 6), ValueError, "num_groups must be positive"),
        (lambda: nn.LayerNorm(()), ValueError, "normalized_shape must have one size"),
        (lambda: nn.RMSNorm((3, 0)), ValueError, "normalized_shape must be positive"),
        (lambda: nn.LayerNorm(3, dtype=np.int32), TypeError, "dtype must be float32 or float64"),
        (lambda: nn.BatchNorm2d(3)(np.ones((2, 4, 2, 2))), ValueError, "x has 4 channels"),
        (lambda: nn.BatchNorm2d(3)(np.ones((2, 3))), ValueError, r"expected \(N, C, H, W\)"),
        (lambda: nn.BatchNorm1d(3)(np.ones(3)), ValueError, r"expected \(N, C\)"),
        (lambda: nn.GroupNorm(1, 3)(np.ones((2, 4))), ValueError, r"expected \(N, 3, ...\)"),
        (lambda: nn.LayerNorm(3)(np.ones((2, 4))), ValueError, r"expected \(N, ..., 3\)"),
        (lambda: nn.RMSNorm(3)(np.ones(3)), ValueError, r"expected \(N, ..., 3\)"),
        (lambda: nn.LayerNorm(3)(np.ones((2, 3), int)), TypeError, "x has dtype int64"),
    ],
)
def test_wrong_arguments(make, error, message):
    with pytest.raises(error, match=message):
        make()
