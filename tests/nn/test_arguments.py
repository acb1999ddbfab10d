"""Arguments of layers, checked when a layer is built; inputs, checked when it is called."""

import numpy as np
import pytest

from nncore import nn

MANY = "must be one or two integers"
INTEGERS = "must be an integer or two of them"

BUILDS = [
    (lambda: nn.Linear(-1, 2), ValueError, "Linear: in_features must be at least 0, got -1"),
    (lambda: nn.Linear(2, 1.5), TypeError, "Linear: out_features must be an integer, got 1.5"),
    (lambda: nn.Linear(True, 2), TypeError, "Linear: in_features must be an integer, got True"),
    (lambda: nn.Linear("4", 2), TypeError, "Linear: in_features must be an integer, got '4'"),
    (lambda: nn.Linear(2**63, 1), ValueError, r"Linear: in_features must be below 2\*\*63"),
    (lambda: nn.Linear(2, 2, bias="no"), TypeError, "Linear: bias must be True or False, got 'no'"),
    (lambda: nn.Linear(2, 2, dtype=int), TypeError, "Linear: dtype must be float32 or float64"),
    (lambda: nn.Linear(2, 2, dtype=None), TypeError, "Linear: dtype must be float32 or float64"),
    (lambda: nn.Conv2d(0, 2, 3), ValueError, "Conv2d: in_channels must be positive, got 0"),
    (lambda: nn.Conv2d(2, 0, 3), ValueError, "Conv2d: out_channels must be positive, got 0"),
    (lambda: nn.Conv2d(1, 2, 0), ValueError, "Conv2d: kernel_size must be positive, got 0"),
    (lambda: nn.Conv2d(1, 2, (3, -1)), ValueError, r"kernel_size must be positive, got \(3, -1\)"),
    (lambda: nn.Conv2d(1, 2, 3, stride=0), ValueError, "Conv2d: stride must be positive, got 0"),
    (lambda: nn.Conv2d(1, 2, 3, padding=-1), ValueError, "padding must be at least 0, got -1"),
    (lambda: nn.Conv2d(1, 2, 3, dilation=0), ValueError, "dilation must be positive, got 0"),
    (lambda: nn.Conv2d(1, 2, 3, groups=0), ValueError, "Conv2d: groups must be positive, got 0"),
    (
        lambda: nn.Conv2d(1, 2, 3, padding="full"),
        ValueError,
        "Conv2d: padding must be 'same', 'valid' or sizes, got 'full'",
    ),
    (
        lambda: nn.Conv2d(1, 2, 3, (1, 2), padding="same"),
        ValueError,
        r"Conv2d: stride must be 1 for padding 'same', got \(1, 2\)",
    ),
    (lambda: nn.Conv2d(1, 2, 3, padding=None), TypeError, f"Conv2d: padding {INTEGERS}"),
    (lambda: nn.Conv1d(1, 2, (3, 3)), ValueError, "Conv1d: kernel_size must be one integer, got"),
    (lambda: nn.Conv1d(1, 2, 1.5), TypeError, "Conv1d: kernel_size must be an integer, got 1.5"),
    (lambda: nn.Conv1d(3, 4, 3, groups=2), ValueError, "Conv1d: in_channels must be divisible"),
    (
        lambda: nn.ConvTranspose2d(1, 2, 3, stride=2, output_padding=(1, 2)),
        ValueError,
        r"output_padding must be smaller than stride or dilation, got \(1, 2\)",
    ),
    (lambda: nn.ConvTranspose2d(1, 2, 3, output_padding=-1), ValueError, "must be at least 0"),
    (lambda: nn.ConvTranspose2d(1, 2, 3, padding="same"), TypeError, f"padding {INTEGERS}"),
    (lambda: nn.ConvTranspose2d(2, 3, 1, groups=2), ValueError, "out_channels must be divisible"),
    (lambda: nn.MaxPool1d(3, padding=2), ValueError, "whose extent is 3, got 2"),
    (lambda: nn.MaxPool1d((2, 2)), ValueError, "MaxPool1d: kernel_size must be one integer"),
    (lambda: nn.AvgPool1d(0), ValueError, "AvgPool1d: kernel_size must be positive, got 0"),
    (lambda: nn.AvgPool1d(2, padding=2), ValueError, "padding must be at most half the window"),
    (lambda: nn.AdaptiveAvgPool2d(0), ValueError, "Pool2d: output_size must be positive, got 0"),
    (lambda: nn.AdaptiveAvgPool2d((2, 2, 2)), ValueError, f"output_size {MANY}"),
    (
        lambda: nn.AdaptiveMaxPool2d((2, "3")),
        TypeError,
        f"AdaptiveMaxPool2d: output_size {INTEGERS}",
    ),
    (lambda: nn.AdaptiveMaxPool2d(True), TypeError, "AdaptiveMaxPool2d: output_size must be an in"),
    (lambda: nn.AdaptiveMaxPool2d(2, 3), TypeError, "return_indices must be True or False, got 3"),
    (lambda: nn.Resize2d(), ValueError, "Resize2d: exactly one of size and scale_factor"),
    (lambda: nn.Resize2d(2, 2.0), ValueError, "got size=2, scale_factor=2.0"),
    (lambda: nn.Resize2d(0), ValueError, "Resize2d: size must be positive, got 0"),
    (lambda: nn.Resize2d(2.0), TypeError, f"Resize2d: size {INTEGERS}, got 2.0"),
    (lambda: nn.Resize2d(None, 0), ValueError, "Resize2d: scale_factor must be positive, got 0"),
    (lambda: nn.Resize2d(None, float("nan")), ValueError, "scale_factor must be finite, got nan"),
    (lambda: nn.Resize2d(None, (1, 2, 3)), ValueError, "scale_factor must be one or two numbers"),
    (lambda: nn.Resize2d(None, "2"), TypeError, "scale_factor must be a number, got '2'"),
    (lambda: nn.Resize2d(2, mode="bicubic"), ValueError, "mode must be 'nearest' or 'bilinear'"),
    (
        lambda: nn.Resize2d(2, align_corners=False),
        ValueError,
        "align_corners must be None for mode",
    ),
    (lambda: nn.Resize2d(2, recompute_scale_factor=True), ValueError, "recompute_scale_factor"),
    (
        lambda: nn.Conv2d(3, 4, 3, groups=2),
        ValueError,
        "Conv2d: in_channels must be divisible by groups, got in_channels=3, groups=2",
    ),
    (
        lambda: nn.Conv2d(4, 3, 3, groups=2),
        ValueError,
        "Conv2d: out_channels must be divisible by groups, got out_channels=3, groups=2",
    ),
    (
        lambda: nn.Conv2d(1, 1, 3, padding_mode="reflect"),
        ValueError,
        "Conv2d: padding_mode must be 'zeros', got 'reflect'",
    ),
    (
        lambda: nn.MaxPool2d((0, 1)),
        ValueError,
        r"MaxPool2d: kernel_size must be positive, got \(0, 1\)",
    ),
    (lambda: nn.MaxPool2d(2.0), TypeError, f"MaxPool2d: kernel_size {INTEGERS}, got 2.0"),
    (lambda: nn.MaxPool2d(True), TypeError, f"MaxPool2d: kernel_size {INTEGERS}, got True"),
    (lambda: nn.MaxPool2d(np.True_), TypeError, f"MaxPool2d: kernel_size {INTEGERS}"),
    (lambda: nn.MaxPool2d(()), ValueError, rf"MaxPool2d: kernel_size {MANY}, got \(\)"),
    (lambda: nn.MaxPool2d((1, 2, 3)), ValueError, f"MaxPool2d: kernel_size {MANY}"),
    (lambda: nn.MaxPool2d((2, None)), TypeError, f"MaxPool2d: kernel_size {INTEGERS}"),
    (lambda: nn.MaxPool2d(2, 0), ValueError, "MaxPool2d: stride must be positive, got 0"),
    (lambda: nn.MaxPool2d(2, (1, 2.5)), TypeError, f"MaxPool2d: stride {INTEGERS}"),
    (lambda: nn.MaxPool2d(2, dilation=-2), ValueError, "dilation must be positive, got -2"),
    (lambda: nn.MaxPool2d(2, padding=-1), ValueError, "padding must be at least 0, got -1"),
    (
        lambda: nn.MaxPool2d(3, padding=2),
        ValueError,
        "MaxPool2d: padding must be at most half the window, whose extent is 3 x 3, got 2",
    ),
    (lambda: nn.MaxPool2d((4, 1), padding=(2, 1)), ValueError, r"4 x 1, got \(2, 1\)"),
    (lambda: nn.MaxPool2d(2, return_indices=2), TypeError, "return_indices must be True or False"),
    (lambda: nn.MaxPool2d(2, ceil_mode=2), TypeError, "ceil_mode must be True or False, got 2"),
    (lambda: nn.MaxPool2d(2**64), ValueError, r"kernel_size must be below 2\*\*63"),
    (lambda: nn.AvgPool2d(0), ValueError, "AvgPool2d: kernel_size must be positive, got 0"),
    (lambda: nn.AvgPool2d(2.0), TypeError, f"AvgPool2d: kernel_size {INTEGERS}, got 2.0"),
    (lambda: nn.AvgPool2d(2, stride=0), ValueError, "AvgPool2d: stride must be positive, got 0"),
    (
        lambda: nn.AvgPool2d(3, padding=2),
        ValueError,
        "AvgPool2d: padding must be at most half the window, which is 3 x 3, got 2",
    ),
    (lambda: nn.AvgPool2d(2, ceil_mode=2), TypeError, "ceil_mode must be True or False, got 2"),
    (lambda: nn.AvgPool2d(2, count_include_pad=None), TypeError, "count_include_pad must be True"),
    (lambda: nn.AvgPool2d(2, divisor_override=0), ValueError, "divisor_override must be positive"),
    (lambda: nn.AvgPool2d(2, divisor_override=1.5), TypeError, "divisor_override must be an int"),
    (lambda: nn.AvgPool2d(2, divisor_override=True), TypeError, "divisor_override must be an int"),
    (lambda: nn.AvgPool2d(2, divisor_override=2**64), ValueError, r"must be below 2\*\*63"),
    (lambda: nn.LeakyReLU("0.1"), TypeError, "LeakyReLU: negative_slope must be a number, got '0"),
    (lambda: nn.LeakyReLU(True), TypeError, "LeakyReLU: negative_slope must be a number, got Tru"),
    (lambda: nn.LeakyReLU([1, 2]), TypeError, "LeakyReLU: negative_slope must be a number"),
    (lambda: nn.ELU(float("nan")), ValueError, "ELU: alpha must be finite, got nan"),
    (lambda: nn.ELU(None), TypeError, "ELU: alpha must be a number, got None"),
    (lambda: nn.GELU("erf"), ValueError, "GELU: approximate must be 'none' or 'tanh', got 'erf'"),
    (lambda: nn.Softplus(0), ValueError, "Softplus: beta must not be 0, got 0"),
    (lambda: nn.Softplus(float("inf")), ValueError, "Softplus: beta must be finite, got inf"),
    (lambda: nn.Softplus(1, "20"), TypeError, "Softplus: threshold must be a number, got '20'"),
    (lambda: nn.Flatten(1.0), TypeError, "Flatten: start_dim must be an integer, got 1.0"),
    (lambda: nn.Flatten(1, None), TypeError, "Flatten: end_dim must be an integer, got None"),
]


@pytest.mark.parametrize(("build", "error", "message"), BUILDS, ids=[c[2][:48] for c in BUILDS])
def test_construction(build, error, message):
    with pytest.raises(error, match=message):
        build()


def test_integers_of_numpy_and_lists_are_taken():
    pool = nn.MaxPool2d([np.int64(2), np.uint8(3)], stride=(2,))
    assert pool.kernel_size == (2, 3)
    assert pool.stride == (2, 2)
    assert {type(size) for size in (*pool.kernel_size, *pool.stride)} == {int}
    assert nn.MaxPool2d(3, padding=1, dilation=2).dilation == (2, 2)
    assert nn.MaxPool2d((2, 3)).stride == (2, 3)
    assert nn.Linear(np.int32(2), 3).weight.shape == (3, 2)


def images(*shape):
    return np.ones(shape, np.float32)


CALLS = [
    (nn.Linear(4, 2), images(3), "^Linear: x has 3 features, weight expects 4"),
    (nn.Linear(4, 2), images(2, 5), "^Linear: x has 5 features, weight expects 4"),
    (nn.Linear(4, 2), images(), "^Linear: x has no features, weight expects 4"),
    (nn.Conv2d(3, 2, 3), images(2, 4, 8, 8), "^Conv2d: x has 4 channels, weight expects 3"),
    (
        nn.Conv2d(1, 2, 3),
        images(10, 28, 28),
        r"^Conv2d: x has shape \(10, 28, 28\), expected \(N, 1, H, W\).*write x\[:, None\]",
    ),
    (
        nn.Conv2d(1, 2, 3),
        images(10, 784),
        r"^Conv2d: x has shape \(10, 784\), expected \(N, C, H, W\) or \(C, H, W\)",
    ),
    (nn.Conv2d(1, 2, 3), images(2, 1, 2, 8), "^Conv2d: "),
    (nn.Conv2d(1, 2, 3), images(2, 1, 0, 8), "^Conv2d: "),
    (nn.MaxPool2d(2), images(2, 1, 8), "^MaxPool2d: "),
    (nn.MaxPool2d(2), images(2, 8), r"^MaxPool2d: x has shape \(2, 8\), expected \(N, C, H, W\)"),
    (nn.MaxPool2d(2), images(2, 0, 8, 8), "^MaxPool2d: "),
    (nn.MaxPool2d(2, 1, 1, 2), images(1, 1, 1, 1), "^MaxPool2d: "),
    (nn.MaxPool2d(2**40), images(1, 1, 4, 4), "^MaxPool2d: "),
    (nn.Conv1d(3, 2, 3), images(2, 4, 8), "^Conv1d: x has 4 channels, weight expects 3"),
    (nn.Conv1d(4, 2, 3, groups=2), images(2, 2, 8), r"expects 4 \(2 in each of 2 groups\)"),
    (
        nn.Conv1d(1, 2, 3),
        images(10, 28),
        r"expected \(N, 1, L\): for a batch of lines",
    ),
    (
        nn.Conv1d(1, 2, 3),
        images(1, 2, 3, 4),
        r"^Conv1d: x has shape \(1, 2, 3, 4\), exp",
    ),
    (nn.Conv1d(2, 2, 3), images(1, 2, 2), "^Conv1d: kernel_size"),
    (nn.Conv1d(2, 2, 3), images(1, 2, 0), "^Conv1d: "),
    (nn.ConvTranspose2d(3, 2, 3), images(2, 4, 8, 8), "^ConvTranspose2d: x has 4 channels"),
    (nn.ConvTranspose2d(1, 2, 1, padding=2), images(2, 1, 4, 4), r"^ConvTranspose2d: padding\[0\]"),
    (nn.ConvTranspose2d(1, 2, 1), images(2, 1, 0, 4), "^ConvTranspose2d: height is 0"),
    (nn.ConvTranspose2d(1, 1, 1, 2**62), images(1, 1, 4, 4), "^ConvTranspose2d: "),
    (nn.MaxPool1d(2), images(2, 3, 4, 5), r"^MaxPool1d: x has shape .*\(N, C, L\) or \(C, L\)"),
    (nn.Conv1d(1, 1, 1, 1, 2**62), images(2, 1, 4), r"^Conv1d: padding\[1\] is"),
    (nn.MaxPool1d(2), images(2, 3, 1), "^MaxPool1d: kernel_size"),
    (nn.AvgPool1d(2), images(2, 0, 4), "^AvgPool1d: channels"),
    (nn.AdaptiveAvgPool2d(2), images(2, 3, 0, 4), "^AdaptiveAvgPool2d: height is 0"),
    (nn.AdaptiveAvgPool2d(2), images(2, 0, 4, 4), "^AdaptiveAvgPool2d: channels is 0"),
    (nn.AdaptiveMaxPool2d((None, 2)), images(2, 3, 0, 4), "^AdaptiveMaxPool2d: height is 0"),
    (nn.AdaptiveMaxPool2d(2**62), images(2, 3, 4, 4), r"^AdaptiveMaxPool2d: output_size\[0\] is"),
    (
        nn.Resize2d(None, 0.2),
        images(2, 3, 4, 8),
        "^Resize2d: x has .*0.2 would leave nothing",
    ),
    (nn.Resize2d(None, 2), images(2, 3, 0, 8), "^Resize2d: output_size|^Resize2d: height"),
    (nn.Resize2d(2**62), images(2, 3, 4, 8), "^Resize2d: output_size"),
    (nn.Resize2d(None, 1e300), images(2, 3, 4, 8), "^Resize2d: output_size"),
    (nn.Resize2d(2), images(3, 4), r"^Resize2d: x has shape \(3, 4\), expected"),
    (nn.MaxPool2d(2**62, 2**62), images(1, 1, 4, 4), "^MaxPool2d: "),
    (nn.Conv2d(1, 1, 1, stride=2**62, padding=2**62), images(1, 1, 4, 4), "^Conv2d: "),
    (nn.AvgPool2d(2), images(2, 1, 8), "^AvgPool2d: "),
    (nn.AvgPool2d(2), images(2, 8), r"^AvgPool2d: x has shape \(2, 8\), expected \(N, C, H, W\)"),
    (nn.AvgPool2d(2), images(2, 0, 8, 8), "^AvgPool2d: "),
    (nn.AvgPool2d(9), images(2, 1, 8, 8), r"^AvgPool2d: kernel_size\[0\] is 9, expected at most 8"),
    (nn.AvgPool2d(2**62, 2**62), images(1, 1, 4, 4), "^AvgPool2d: "),
    (nn.GlobalAvgPool2d(), images(2, 8), "^GlobalAvgPool2d: x has shape"),
    (nn.GlobalAvgPool2d(), images(2, 0, 8, 8), "^GlobalAvgPool2d: channels is 0"),
    (nn.GlobalAvgPool2d(), images(2, 3, 0, 8), "^GlobalAvgPool2d: height is 0"),
    (
        nn.Flatten(),
        images(3),
        r"^Flatten: start_dim must be an axis of x, got 1 for x of shape \(3,\)",
    ),
    (nn.Flatten(0, 4), images(3, 2), "^Flatten: end_dim must be an axis of x, got 4"),
    (
        nn.Flatten(2, 1),
        images(3, 2, 2),
        r"^Flatten: start_dim must not come after end_dim, got 2 and 1 for x of shape \(3, 2, 2\)",
    ),
]


@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize(("layer", "x", "message"), CALLS)
def test_wrong_shapes(layer, x, message, mode):
    getattr(layer, mode)()
    with pytest.raises(ValueError, match=message):
        layer(x)


LAYERS = [
    nn.Linear(4, 2),
    nn.Conv2d(1, 1, 2),
    nn.MaxPool2d(2),
    nn.AvgPool2d(2),
    nn.GlobalAvgPool2d(),
    nn.LeakyReLU(),
    nn.ELU(),
    nn.GELU(),
    nn.SiLU(),
    nn.Softplus(),
    nn.ReLU(),
    nn.Sigmoid(),
    nn.Tanh(),
    nn.Flatten(),
    nn.Sequential(nn.Flatten(), nn.Linear(16, 2)),
]


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: type(layer).__name__)
@pytest.mark.parametrize(
    ("x", "message"),
    [
        (images(1, 1, 4, 4).astype(np.uint8), r"x has dtype uint8.*x\.astype\(np\.float32\) / 255"),
        (images(1, 1, 4, 4).astype(int), r"x has dtype int64.*x\.astype"),
        (images(1, 1, 4, 4).astype(bool), "x has dtype bool"),
        (images(1, 1, 4, 4).astype(np.float16), "x has dtype float16"),
        (images(1, 1, 4, 4).astype(complex), "x has dtype complex128"),
        (images(1, 1, 4, 4).astype(object), "x has dtype object"),
        (images(1, 1, 4, 4).astype(str), "x has dtype <U32"),
        (np.ma.masked_array(images(1, 1, 4, 4)), "x is a masked array"),
        (None, "x is None"),
    ],
)
def test_wrong_dtypes(layer, x, message):
    with pytest.raises(TypeError, match=f"^{type(layer).__name__}: {message}"):
        layer(x)


@pytest.mark.parametrize("layer", LAYERS[:-1], ids=lambda layer: type(layer).__name__)
def test_floats_of_any_kind_are_converted(layer, rng):
    x = rng.standard_normal((2, 1, 4, 4)).astype(np.float32)
    y = layer(x)
    assert y.dtype == np.float32
    np.testing.assert_array_equal(layer(x.astype(">f4")), y)
    np.testing.assert_array_equal(layer(x.tolist()), y)
    wide = layer(x.astype(np.float64))
    # Without parameters a layer computes in the dtype of what it is given.
    assert wide.dtype == (np.float32 if layer.dtype else np.float64)
    np.testing.assert_allclose(wide, y, rtol=1e-6)


def test_tensors_of_pytorch_are_converted(dtype):
    torch = pytest.importorskip("torch")
    x = np.linspace(-2, 2, 12).reshape(3, 4).astype(dtype)
    for layer in (nn.Tanh(), nn.Linear(4, 2, dtype=dtype)):
        y = layer(torch.from_numpy(x))
        assert type(y) is np.ndarray
        assert y.dtype == dtype
        np.testing.assert_array_equal(y, layer(x))


def test_data_frames_are_converted():
    class Frame:
        """What a data frame is to NumPy."""

        def __array__(self, dtype=None, copy=None):
            return np.array([[1.0, 0.5], [2.0, 0.25]], dtype=dtype)

    layer = nn.Linear(2, 3)
    np.testing.assert_array_equal(layer(Frame()), layer(np.asarray(Frame())))
