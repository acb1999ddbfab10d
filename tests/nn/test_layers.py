"""Each layer beside PyTorch's and numerical gradients: values, shapes, gradients."""

import numpy as np
import pytest

from nncore import nn

# (layer, its arguments, shape of x)
CASES = [
    ("Linear", (5, 3), (4, 5)),
    ("Linear", (5, 3, {"bias": False}), (4, 5)),
    ("Linear", (1, 1), (1, 1)),
    ("Linear", (5, 3), (2, 4, 5)),
    ("Linear", (5, 3), (5,)),
    ("Linear", (33, 17), (19, 33)),
    ("Conv2d", (3, 4, 3), (2, 3, 7, 6)),
    ("Conv2d", (3, 4, (2, 3), {"bias": False}), (2, 3, 7, 6)),
    ("Conv2d", (2, 4, (3, 2), {"stride": (2, 1), "padding": (1, 2)}), (2, 2, 8, 5)),
    ("Conv2d", (2, 4, 3, {"dilation": (1, 2), "padding": 2}), (1, 2, 6, 9)),
    ("Conv2d", (4, 6, 3, {"groups": 2}), (2, 4, 5, 6)),
    ("Conv2d", (4, 4, 3, {"groups": 4, "padding": 1}), (2, 4, 5, 6)),
    ("Conv2d", (1, 5, 1), (3, 1, 4, 4)),
    ("Conv2d", (3, 2, 3), (3, 5, 6)),
    ("Conv2d", (1, 2, 3), (1, 5, 6)),
    ("Conv2d", (2, 3, (4, 3), {"padding": "same", "dilation": (1, 2)}), (2, 2, 5, 6)),
    ("Conv2d", (2, 4, 2, {"padding": "same", "groups": 2}), (2, 2, 5, 4)),
    ("Conv2d", (2, 3, 3, {"padding": "valid", "stride": 2}), (2, 2, 5, 6)),
    ("Conv1d", (3, 4, 3), (2, 3, 7)),
    ("Conv1d", (4, 6, 2, {"stride": 2, "padding": 3, "dilation": 2, "groups": 2}), (2, 4, 7)),
    ("Conv1d", (2, 3, 4, {"padding": "same"}), (3, 2, 6)),
    ("Conv1d", (2, 3, (3,), {"bias": False}), (2, 6)),
    ("ConvTranspose2d", (3, 4, 3), (2, 3, 4, 5)),
    ("ConvTranspose2d", (4, 6, (3, 2), (2, 3), 1, (1, 2), 2), (2, 4, 3, 2)),
    ("ConvTranspose2d", (3, 3, 2, 1, 0, 1, 3, False, 2), (1, 3, 4, 3)),
    ("ConvTranspose2d", (2, 3, 2, {"stride": 2}), (2, 3, 4)),
    ("MaxPool1d", (2,), (2, 3, 7)),
    ("MaxPool1d", (3, 2, 1, 2, {"ceil_mode": True}), (2, 3, 8)),
    ("MaxPool1d", (2,), (3, 8)),
    ("AvgPool1d", (3, 2, 1), (2, 3, 8)),
    ("AvgPool1d", (3, 2, 1, True, False), (2, 3, 8)),
    ("AvgPool1d", (2,), (3, 8)),
    ("AdaptiveAvgPool2d", ((3, 2),), (2, 3, 7, 6)),
    ("AdaptiveAvgPool2d", (2,), (3, 6, 6)),
    ("AdaptiveAvgPool2d", ((None, 5),), (2, 3, 4, 3)),
    ("AdaptiveMaxPool2d", ((3, 2),), (2, 3, 7, 6)),
    ("AdaptiveMaxPool2d", ((None, 5),), (2, 3, 4, 3)),
    ("AdaptiveAvgPool1d", (3,), (2, 3, 7)),
    ("AdaptiveMaxPool1d", (3,), (3, 8)),
    ("MaxPool2d", (2,), (2, 3, 6, 4)),
    ("MaxPool2d", ((3, 2), {"stride": (2, 1)}), (2, 3, 7, 6)),
    ("MaxPool2d", (3, {"stride": 1, "padding": 1}), (2, 2, 5, 6)),
    ("MaxPool2d", (3, {"stride": 2, "ceil_mode": True}), (2, 2, 6, 8)),
    ("MaxPool2d", (2, {"dilation": 2, "stride": 1}), (1, 2, 6, 5)),
    ("MaxPool2d", (2,), (3, 6, 4)),
    ("AvgPool2d", (2,), (2, 3, 6, 4)),
    ("AvgPool2d", ((3, 2), {"stride": (2, 1)}), (2, 3, 7, 6)),
    ("AvgPool2d", (3, {"stride": 2, "padding": 1}), (2, 9, 6, 7)),
    ("AvgPool2d", (3, {"stride": 2, "padding": 1, "count_include_pad": False}), (2, 2, 6, 7)),
    ("AvgPool2d", (3, {"stride": 2, "ceil_mode": True}), (2, 2, 6, 8)),
    ("AvgPool2d", (2, {"divisor_override": 3}), (2, 2, 5, 4)),
    ("AvgPool2d", (2,), (3, 6, 4)),
    ("ReLU", (), (3, 4)),
    ("ReLU", (), (2, 3, 4, 5)),
    ("Sigmoid", (), (3, 4)),
    ("Tanh", (), (2, 3, 4, 5)),
    ("Tanh", (), (7,)),
    ("LeakyReLU", (), (3, 4)),
    ("LeakyReLU", (0.3,), (2, 3, 4, 5)),
    ("LeakyReLU", (-0.3,), (3, 4)),
    ("ELU", (), (3, 4)),
    ("ELU", (2.5,), (2, 3, 4, 5)),
    ("ELU", (-0.5,), (3, 4)),
    ("GELU", (), (2, 3, 4, 5)),
    ("GELU", ({"approximate": "tanh"},), (3, 4)),
    ("SiLU", (), (2, 3, 4, 5)),
    ("Softplus", (), (3, 4)),
    ("Softplus", (2.0, 3.0), (2, 3, 4, 5)),
    ("Softplus", (-1.5,), (3, 4)),
    ("Flatten", (), (2, 3, 4, 5)),
    ("Flatten", (), (2, 3)),
    ("Flatten", (2,), (2, 3, 4, 5)),
    ("Flatten", (0,), (2, 3, 4)),
    ("Flatten", (0, 1), (2, 3, 4)),
    ("Flatten", (1, 2), (2, 3, 4, 5)),
    ("Flatten", (-2, -1), (2, 3, 4, 5)),
]
IDS = [f"{name}{args}{shape}".replace(" ", "") for name, args, shape in CASES]


@pytest.fixture(params=CASES, ids=IDS)
def case(request):
    name, args, shape = request.param
    return (name, *args), shape


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
def test_equals_pytorch(case, dtype, twins, torch, rng, close):
    layer, shape = case
    pair = twins([layer], dtype)
    ours, theirs = pair.ours, pair.theirs
    x = rng.standard_normal(shape).astype(dtype)
    leaf = torch.from_numpy(x.copy()).requires_grad_()
    expected = theirs(leaf)
    y = ours(x)
    close(y, expected.detach().numpy())
    assert expected.shape == y.shape
    grad = rng.standard_normal(y.shape).astype(dtype)
    expected.backward(torch.from_numpy(grad))
    close(ours.backward(grad, input_grad=True), leaf.grad.numpy())
    for p, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        close(p.grad, other.grad.numpy())
    with torch.no_grad():
        np.testing.assert_array_equal(ours.eval()(x), y)


def test_numerical_gradients(case, rng, numerical_gradient, twins):
    layer, shape = case
    model = twins([layer], np.float64).ours
    # Values far enough from each other and from 0 that no step crosses a kink or a tie.
    x = rng.permutation(np.prod(shape)).reshape(shape) / 7.0 - 3.05
    y = model(x)
    grad = rng.standard_normal(y.shape)
    dx = model.backward(grad, input_grad=True)
    model.eval()
    scale = 1 + np.abs(dx).max()
    expected = numerical_gradient(lambda: model(x), x, grad)
    np.testing.assert_allclose(dx, expected, rtol=1e-5, atol=1e-6 * scale)
    for p in model.parameters():
        expected = numerical_gradient(lambda: model(x), p.data, grad)
        scale = 1 + np.abs(expected).max()
        np.testing.assert_allclose(p.grad, expected, rtol=1e-5, atol=1e-6 * scale)


def test_without_input_gradient_the_parameters_get_the_same(case, dtype, twins, rng):
    layer, shape = case
    model = twins([layer], dtype).ours[0]
    x = rng.standard_normal(shape).astype(dtype)
    grad = rng.standard_normal(model(x).shape).astype(dtype)
    assert model.backward(grad).shape == x.shape
    first = [p.grad.copy() for p in model.parameters()]
    model.zero_grad()
    model(x)
    assert model.backward(grad, input_grad=False) is None
    for p, g in zip(model.parameters(), first, strict=True):
        np.testing.assert_array_equal(p.grad, g)


def test_frozen_parts_stay_zero_and_the_rest_is_the_same(case, dtype, twins, rng):
    layer, shape = case
    model = twins([layer], dtype).ours[0]
    x = rng.standard_normal(shape).astype(dtype)
    grad = rng.standard_normal(model(x).shape).astype(dtype)
    dx = model.backward(grad)
    first = {name: p.grad.copy() for name, p in model.named_parameters()}
    for frozen in first:
        model.zero_grad()
        getattr(model, frozen).requires_grad = False
        model(x)
        np.testing.assert_array_equal(model.backward(grad), dx)
        for name, p in model.named_parameters():
            expected = first[name] if p.requires_grad else np.zeros_like(p.grad)
            np.testing.assert_array_equal(p.grad, expected)
        model.unfreeze()


def test_an_empty_batch_gives_empty_outputs_and_zero_gradients(case, dtype, twins):
    layer, shape = case
    line = layer[0].endswith("1d")
    single = len(shape) in ((2,) if line else (1, 3)) and layer[0] != "Flatten"
    model = twins([layer], dtype).ours
    x = np.ones((0, *shape) if single else (0, *shape[1:]), dtype)
    y = model(x)
    assert y.size == 0
    if layer[0] != "Flatten":
        assert y.shape[0] == 0
    dx = model.backward(y, input_grad=True)
    assert dx.shape == x.shape
    for p in model.parameters():
        assert not p.grad.any()
    assert model.eval()(x).shape == y.shape


def test_the_input_is_left_alone_in_any_layout(case, dtype, twins, rng):
    layer, shape = case
    model = twins([layer], dtype).ours
    x = rng.standard_normal(shape).astype(dtype)
    y = model(x)
    grad = rng.standard_normal(y.shape).astype(dtype)
    dx = model.backward(grad, input_grad=True)
    first = [p.grad.copy() for p in model.parameters()]
    model.zero_grad()
    strange = np.asfortranarray(x)[..., ::-1].copy("F")[..., ::-1]
    before = strange.tobytes()
    strange.flags.writeable = False
    np.testing.assert_array_equal(model(strange), y)
    strange_grad = np.asfortranarray(grad)
    np.testing.assert_array_equal(model.backward(strange_grad, input_grad=True), dx)
    for p, g in zip(model.parameters(), first, strict=True):
        np.testing.assert_array_equal(p.grad, g)
    assert strange.tobytes() == before


def test_linear_of_no_features(dtype, rng):
    bias_only = nn.Linear(0, 3, dtype=dtype)
    bias_only.bias.data[...] = [1, 2, 3]
    np.testing.assert_array_equal(bias_only(np.ones((2, 0))), [[1, 2, 3]] * 2)
    assert bias_only.backward(np.ones((2, 3))).shape == (2, 0)
    np.testing.assert_array_equal(bias_only.bias.grad, [2, 2, 2])
    none = nn.Linear(3, 0, dtype=dtype)
    assert none(np.ones((2, 3))).shape == (2, 0)
    np.testing.assert_array_equal(none.backward(np.ones((2, 0))), np.zeros((2, 3)))


def test_global_average_equals_pytorchs(dtype, torch, rng, close):
    layer, theirs = nn.GlobalAvgPool2d(), torch.nn.AdaptiveAvgPool2d(1)
    for shape in ((2, 3, 4, 5), (2, 33, 7, 6), (3, 4, 5), (0, 3, 4, 5)):
        x = rng.standard_normal(shape).astype(dtype)
        leaf = torch.from_numpy(x.copy()).requires_grad_()
        y = layer(x)
        assert y.shape == (*shape[:-2], 1, 1)
        if not x.size:
            assert layer.backward(y).shape == shape
            continue
        expected = theirs(leaf)
        close(y, expected.detach().numpy())
        grad = rng.standard_normal(y.shape).astype(dtype)
        expected.backward(torch.from_numpy(grad))
        close(layer.backward(grad), leaf.grad.numpy())


def test_global_average_numerical_gradients(rng, numerical_gradient):
    layer = nn.GlobalAvgPool2d()
    x, grad = rng.standard_normal((2, 3, 4, 5)), rng.standard_normal((2, 3, 1, 1))
    layer(x)
    dx = layer.backward(grad)
    layer.eval()
    expected = numerical_gradient(lambda: layer(x), x, grad)
    np.testing.assert_allclose(dx, expected, rtol=1e-5, atol=1e-8)


def test_one_image_equals_a_batch_of_one(dtype, rng):
    model = nn.Sequential(nn.Conv2d(2, 3, 3, dtype=dtype), nn.ReLU(), nn.MaxPool2d(2))
    x = rng.standard_normal((2, 8, 9)).astype(dtype)
    batch = model(x[None])
    grad = rng.standard_normal(batch.shape).astype(dtype)
    dx = model.backward(grad, input_grad=True)
    first = [p.grad.copy() for p in model.parameters()]
    model.zero_grad()
    np.testing.assert_array_equal(model(x), batch[0])
    np.testing.assert_array_equal(model.backward(grad[0], input_grad=True), dx[0])
    for p, g in zip(model.parameters(), first, strict=True):
        np.testing.assert_array_equal(p.grad, g)
    # One image of one channel is not mistaken for a batch without channels.
    assert nn.Conv2d(1, 2, 3)(np.ones((1, 5, 5))).shape == (2, 3, 3)


def test_tanh_and_sigmoid_saturate_quietly(dtype):
    x = np.array([-1000, -40, 0, 40, 1000], dtype)
    np.testing.assert_array_equal(nn.Sigmoid()(x)[[0, 2, 4]], [0, 0.5, 1])
    np.testing.assert_array_equal(nn.Tanh()(x)[[0, 2, 4]], [-1, 0, 1])
    np.testing.assert_array_equal(nn.ReLU()(x), [0, 0, 0, 40, 1000])
