"""Every public layer: PyTorch's values, gradients and errors, a gradient check, bits that depend on
nothing but dtype, shape and instruction set, by hand and compiled. The layers are in
tests/every_layer.py; families have tests of their own, with the reference and special values."""

import inspect

import numpy as np
import pytest
from every_layer import CASES, NO_LAYERS, RANDOM
from hypothesis import given, settings
from hypothesis import strategies as st
from layouts import LAYOUTS
from tolerance import assert_same_bits

import nncore as nc
from nncore import nn
from nncore._core import engine

pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")


@pytest.fixture(scope="module", autouse=True)
def one_thread_of_pytorch(torch):
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # these shapes take it longer to share out
    yield
    torch.set_num_threads(before)


@pytest.fixture(params=CASES, ids=str)
def case(request):
    return request.param


def test_no_layer_is_missing():
    public = {
        name
        for name in nn.__all__
        if inspect.isclass(getattr(nn, name)) and issubclass(getattr(nn, name), nn.Module)
    }
    assert public - NO_LAYERS == {case.kind for case in CASES}


def both(layer, x, grad=None):
    """y, dx and the gradients of parameters, of this call alone."""
    layer.zero_grad()
    y = layer(x)
    grad = gradient(y.shape, y.dtype) if grad is None else grad
    dx = layer.backward(grad, input_grad=True)
    return [y, dx, *(parameter.grad.copy() for parameter in layer.parameters())]


def compiled(layer, dtype):
    """A step in this dtype, which a layer without parameters would not tell."""
    if layer.dtype is None:
        layer.register_buffer("of_this_dtype", np.zeros(1, dtype), persistent=False)
    return nc.compile(layer, None)


def gradient(shape, dtype):
    return np.asarray(np.random.default_rng(7).standard_normal(shape), dtype)


def theirs_of(torch, twin, x):
    for parameter in twin.parameters() if isinstance(twin, torch.nn.Module) else ():
        parameter.grad = None
    leaf = torch.tensor(x, requires_grad=x.dtype.kind == "f")
    y = twin(leaf)
    grad = torch.tensor(gradient(tuple(y.shape), y.detach().numpy().dtype))
    if y.requires_grad:
        y.backward(grad)
    dx = None if leaf.grad is None else leaf.grad.numpy()
    return [y.detach().numpy(), dx, *(p.grad.numpy() for p in twin.parameters())]


def assert_close(ours, theirs, dtype, kind=""):
    # PyTorch's own 1/6 and 1/alpha are float32's.
    bound = 1e-4 if dtype == np.float32 else 1e-6 if kind in ("Hardsigmoid", "CELU") else 1e-10
    for own, other in zip(ours, theirs, strict=True):
        if own is None or other is None:
            assert own is None
            continue
        assert own.shape == other.shape
        assert own.dtype == dtype
        scale = max(np.abs(other).max(initial=0), 1)
        np.testing.assert_allclose(own, other, rtol=bound, atol=bound * scale)


def every_isa():
    """Each instruction set of this machine by turns; afterwards the one it was."""
    before = engine.isa_active()
    try:
        for name in engine.isa_available():
            engine.isa_select(name)
            yield name
    finally:
        engine.isa_select(before)


def test_equals_pytorch(case, dtype, torch):
    """On every instruction set, in training and evaluation, buffers included."""
    twin = case.twin(torch, case.build(dtype), dtype)
    runs = []
    for seed, training in ((3, True), (4, True), (5, False)):
        twin.train(training)
        x = case.draw(dtype, seed=seed)
        runs.append((training, x, theirs_of(torch, twin, x)))
    for _ in every_isa():
        layer = case.build(dtype)
        for training, x, expected in runs:
            layer.train(training)
            with nc.recording(layer):
                assert_close(both(layer, x), expected, dtype, case.kind)
        for name, value in twin.state_dict().items():
            own = layer.state_dict()[name]
            np.testing.assert_allclose(own, value.numpy(), rtol=1e-5, atol=1e-6)


@settings(max_examples=6)
@given(data=st.data())
def test_any_size_is_pytorchs_or_an_error_there_too(case, data, torch):
    """Batches of one sample, height 1, width beyond height, inputs below the window."""
    channels, axes = case.shape[1:2], len(case.shape) - 2
    if not axes > 0 or case.kind in ("LayerNorm", "RMSNorm", "Embedding"):
        axes = 0
        channels = case.shape[1:]
    sizes = tuple(data.draw(st.integers(1, 9)) for _ in range(axes))
    shape = (data.draw(st.integers(1, 3)), *channels, *sizes)
    layer = case.build(np.float64)
    twin = case.twin(torch, layer, np.float64)
    x = case.draw(np.float64, shape)
    try:
        expected = theirs_of(torch, twin, x)
    except (RuntimeError, ValueError) as error:
        if case.kind == "GroupNorm" and "more than 1 value" in str(error):
            return  # alone in its group a value is its own mean: y = bias
        before = layer.state_dict()
        with pytest.raises(ValueError, match=case.kind):
            layer(x)
        for name, value in layer.state_dict().items():
            assert_same_bits(value, before[name])
        return
    assert_close(both(layer, x), expected, np.float64, case.kind)
    if case.compiles:
        y = compiled(layer.eval(), np.float64).predict(x)
        assert_same_bits(y, layer(x))


def test_the_gradient_check(case):
    if case.kind == "Embedding":
        pytest.importorskip("torch")  # the gradient of its table is beside PyTorch's, above
        return
    layer = case.build(np.float64)
    assert nc.gradcheck(layer, case.draw(np.float64), max_elements=25)


def same(ours, expected):
    for own, other in zip(ours, expected, strict=True):
        assert (own is None) == (other is None)
        if own is not None:
            assert_same_bits(own, other)


def test_any_memory_layout(case, dtype):
    x, expected = case.draw(dtype), None
    bits = x.tobytes()
    for layout in LAYOUTS.values():
        layer = case.build(dtype)
        taken = layout(x)
        y = layer(taken)
        found = both(layer, taken, layout(gradient(y.shape, y.dtype)))
        expected = expected or found
        same(found, expected)
        assert np.ascontiguousarray(taken).tobytes() == bits


def test_one_thread_and_two_by_hand_and_compiled(case, dtype):
    """Enough samples that the work is shared; the step gives what the layer gives, twice alike."""
    x = case.draw(dtype, (70, *case.shape[1:]))
    before = engine.threads_get(), engine.threads_threshold_get()
    try:
        for _ in every_isa():
            results = []
            for threads in (1, 2):
                engine.threads_set(threads)
                engine.threads_threshold_set(0)
                results += ways(case, x, dtype)
            for result in results[1:]:
                same(result, results[0])
    finally:
        engine.threads_set(before[0])
        engine.threads_threshold_set(before[1])


def ways(case, x, dtype):
    """What `both` gives by hand and from a compiled step, whose buffers and predictions agree."""
    layer = case.build(dtype)
    results = [both(layer, x)]
    if case.compiles:
        twin = case.build(dtype)
        step = compiled(twin, dtype)
        y = step.forward(x)
        dx = step.backward(gradient(y.shape, dtype), input_grad=True)
        results.append([y, dx, *(parameter.grad for parameter in twin.parameters())])
        for name, value in layer.state_dict().items():
            assert_same_bits(twin.state_dict()[name], value)
        assert_same_bits(step.predict(x[:3]), twin.eval()(x[:3]))
    return results


def test_an_empty_batch(case, dtype):
    layer = case.build(dtype)
    x = case.draw(dtype, (0, *case.shape[1:]))
    before, like = layer.state_dict(), case.build(dtype).eval()(case.draw(dtype))
    y, dx, *grads = both(layer, x)
    assert y.shape == (0, *like.shape[1:])
    assert dx is None or dx.shape == x.shape
    assert not any(grad.any() for grad in grads)
    for name, value in layer.state_dict().items():
        assert_same_bits(value, before[name])
    if case.compiles:
        assert compiled(layer, dtype).forward(x).shape == y.shape


def test_what_is_no_array_of_floats(case):
    layer = case.build(np.float32)
    floats = case.draw(np.float32).astype(np.float32)
    bad = [None, "abc", floats.astype(complex), floats.astype(object), floats.astype(np.float16),
           floats > 0, np.ma.masked_array(floats, floats > 0)]  # fmt: skip
    bad += [floats] if case.kind == "Embedding" else [floats.astype(np.int64)]
    for x in bad:
        with pytest.raises(TypeError, match=r"\bx\b"):
            layer(x)
    with pytest.raises(RuntimeError, match="no recorded forward"):
        layer.backward(floats)
    y = layer(case.draw(np.float32))
    with pytest.raises(ValueError, match=r"grad has shape"):
        layer.backward(np.ones((len(y) + 1, *y.shape[1:]), np.float32))


def test_random_layers_by_hand_and_compiled(threads, dtype):
    """Those whose values are drawn: the same draw both ways, call by call."""
    for kind in RANDOM:
        layer, twin = (getattr(nn, kind)(0.4) for _ in range(2))
        layer.reset_parameters(5), twin.reset_parameters(5)
        step = compiled(twin, dtype)
        x = np.random.default_rng(0).standard_normal((70, 4, 6, 9)).astype(dtype)
        for _ in range(2):
            y, dx = both(layer, x)
            assert_same_bits(step.forward(x), y)
            assert_same_bits(step.backward(gradient(y.shape, dtype), input_grad=True), dx)
            assert 0.2 < (y == 0).mean() < 0.6


WINDOWS = {
    "Conv2d": (3, 4), "Conv1d": (3, 4), "ConvTranspose2d": (3, 4), "AvgPool2d": (), "AvgPool1d": (),
    "MaxPool2d": (), "MaxPool1d": (),
}  # fmt: skip


@pytest.mark.parametrize("kind", WINDOWS)
def test_windows_refuse(kind):
    """At construction, then at the call, naming the layer and the argument."""
    make, channels = getattr(nn, kind), WINDOWS[kind]
    names = ["kernel_size", "stride", "padding"] + ["dilation"] * ("Avg" not in kind)
    good = {"kernel_size": 3, "stride": 1, "padding": 0}
    shape = (2, 3, 8) if "1d" in kind else (2, 3, 8, 5)
    for name in names:
        wrong = [(True, TypeError), (1.5, TypeError), ([], (TypeError, ValueError)),
                 (-1, ValueError), ((1, 1, 1), ValueError), (2**40, ValueError),
                 (2**62, ValueError), (np.float64(2), TypeError)]  # fmt: skip
        wrong += [] if kind.startswith("Conv") and name == "padding" else [("3", TypeError)]
        wrong += [] if name == "padding" else [(0, ValueError)]
        for value, error in wrong:
            if name == "kernel_size" and channels and value in (2**40, 2**62):
                error = (MemoryError, ValueError)  # of the weight
            with pytest.raises(error, match=rf"^({kind}|Parameter): .*"):
                # Sizes beyond reason: at the call at the latest.
                make(*channels, **{**good, name: value})(np.zeros((1, *shape[1:]), np.float32))
    layer = make(*channels, **good)
    assert layer(np.zeros(shape, np.float32)).ndim == len(shape)
    bad = [shape[:1], (*shape, 1), (0, *shape[1:-1], 0), (*shape[:-1], 0)]
    bad += [] if kind == "ConvTranspose2d" else [(*shape[:-1], 2)]  # the kernel is larger
    bad += [(2, 4, *shape[2:])] if channels else [(2, 0, *shape[2:])]
    for wrong_shape in bad:
        with pytest.raises(ValueError, match=kind):
            layer(np.zeros(wrong_shape, np.float32))
        with pytest.raises(ValueError, match=kind):
            nc.compile(layer, None).predict(np.zeros(wrong_shape, np.float32))


def test_layers_that_depend_on_the_mode_say_so(case):
    layer, x = case.build(np.float32), case.draw(np.float32)
    by_mode = [layer.train(mode)(x).tobytes() for mode in (True, False)]
    described = layer._reads_mode or any(each._reads_mode for each in layer.children())
    assert described or by_mode[0] == by_mode[1]
    assert not type(layer).__module__.startswith("nncore.") or type(layer)._reads_mode == (
        case.kind in ("Dropout", "Dropout2d", "BatchNorm1d", "BatchNorm2d")
    )
