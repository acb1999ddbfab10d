"""Records: who remembers what, for how long, in which thread."""

import gc
import threading
import weakref

import numpy as np
import pytest

import nncore
from nncore import nn

NO_RECORD = r"backward has no recorded forward: call the model first"


def record_count(model):
    return len(model.__dict__.get("_records") or ())


@pytest.fixture
def x(dtype, rng):
    return rng.standard_normal((5, 4)).astype(dtype)


@pytest.fixture
def grad(dtype, rng):
    return rng.standard_normal((5, 3)).astype(dtype)


def test_backward_before_forward(mlp, grad):
    with pytest.raises(RuntimeError, match=f"Sequential: {NO_RECORD}"):
        mlp.backward(grad)


def test_a_record_serves_one_backward(mlp, x, grad):
    mlp(x)
    mlp.backward(grad)
    before = [p.grad.copy() for p in mlp.parameters()]
    with pytest.raises(RuntimeError, match="each record serves one backward"):
        mlp.backward(grad)
    for p, g in zip(mlp.parameters(), before, strict=True):
        np.testing.assert_array_equal(p.grad, g)


def test_a_forward_replaces_the_last_record(mlp, x, grad):
    mlp(np.zeros_like(x))
    mlp(x)
    assert record_count(mlp) == 1
    mlp.backward(grad)
    assert mlp[0].weight.grad.any()
    with pytest.raises(RuntimeError):
        mlp.backward(grad)


def test_a_forward_that_fails_leaves_no_old_record_to_go_back_by(mlp, x, grad):
    mlp(x)
    with pytest.raises(ValueError, match="Linear: x has 3 features, weight expects 4"):
        mlp(x[:, :3])
    with pytest.raises(RuntimeError):
        mlp.backward(grad)


def test_eval_mode_remembers_nothing(mlp, x, grad):
    mlp.eval()
    y = mlp(x)
    assert y.flags.writeable
    assert record_count(mlp) == 0
    with pytest.raises(RuntimeError, match=r"in train\(\) mode or within nncore\.recording"):
        mlp.backward(grad)


def test_eval_mode_keeps_nothing_alive(dtype):
    model = nn.Sequential(nn.Linear(4, 4, dtype=dtype), nn.ReLU()).eval()
    x = np.ones((2, 4), dtype)
    alive = weakref.ref(x)
    model(x)
    del x
    gc.collect()
    assert alive() is None


def test_only_the_called_module_keeps_a_record(mlp, x, grad):
    mlp(x)
    assert record_count(mlp) == 1
    assert all(record_count(layer) == 0 for layer in mlp)
    with pytest.raises(RuntimeError):
        mlp[2].backward(grad)


def test_recording_overrides_eval(mlp, x, grad):
    mlp(x)
    dx = mlp.backward(grad, input_grad=True)
    mlp.eval()
    with nncore.recording(mlp):
        mlp(x)
    np.testing.assert_array_equal(mlp.backward(grad, input_grad=True), dx)
    assert not mlp.training


def test_recording_is_for_one_model(mlp, x, grad):
    mlp.eval()
    with nncore.recording(nn.ReLU()):
        mlp(x)
    with pytest.raises(RuntimeError):
        mlp.backward(grad)


def test_keep_goes_back_in_reverse_order(mlp, x, grad):
    expected = []
    for factor in (1, 2, 3):
        mlp(factor * x)
        expected.append(mlp.backward(grad, input_grad=True))
    with nncore.recording(mlp, keep=2):
        for factor in (1, 2, 3):
            mlp(factor * x)
    np.testing.assert_array_equal(mlp.backward(grad, input_grad=True), expected[2])
    np.testing.assert_array_equal(mlp.backward(grad, input_grad=True), expected[1])
    with pytest.raises(RuntimeError):
        mlp.backward(grad)


def test_after_the_block_one_record_is_kept_again(mlp, x):
    with nncore.recording(mlp, keep=3):
        mlp(x)
        mlp(x)
        assert record_count(mlp) == 2
    mlp(x)
    assert record_count(mlp) == 1


@pytest.mark.parametrize("training", [True, False])
def test_no_record_overrides_both(mlp, x, grad, training):
    mlp.train(training)
    with nncore.no_record():
        y = mlp(x)
    assert y.flags.writeable
    assert record_count(mlp) == 0
    assert mlp.training is training


def test_the_innermost_override_holds(mlp, x):
    with nncore.no_record(), nncore.recording(mlp):
        mlp(x)
        assert record_count(mlp) == 1
        mlp.backward(np.ones((5, 3)))
    with nncore.recording(mlp), nncore.no_record():
        mlp(x)
        assert record_count(mlp) == 0


def test_an_override_ends_with_its_block_after_an_error_too(mlp, x):
    with pytest.raises(KeyError), nncore.no_record():
        raise KeyError
    mlp(x)
    assert record_count(mlp) == 1


def test_no_record_keeps_the_record_there_was(mlp, x, grad):
    mlp(x)
    with nncore.no_record():
        mlp(2 * x)
    assert mlp.backward(grad, input_grad=True) is not None


@pytest.mark.parametrize(
    ("keep", "error", "message"),
    [
        (0, ValueError, "recording: keep must be positive, got 0"),
        (True, TypeError, "recording: keep must be an integer, got True"),
        (1.5, TypeError, "recording: keep must be an integer, got 1.5"),
    ],
)
def test_recording_checks_its_arguments(mlp, keep, error, message):
    with pytest.raises(error, match=message), nncore.recording(mlp, keep=keep):
        pass
    with pytest.raises(TypeError, match="model must be a Module, got function"):
        nncore.recording(lambda x: x).__enter__()


@pytest.mark.parametrize("last", [nn.ReLU, nn.LeakyReLU, nn.ELU, nn.Sigmoid, nn.Tanh])
def test_outputs_kept_for_backward_are_read_only(last, dtype, x, grad):
    model = nn.Sequential(nn.Linear(4, 3, dtype=dtype), last())
    y = model(x)
    assert not y.flags.writeable
    with pytest.raises(ValueError, match="read-only"):
        y[...] = 0
    model.backward(grad)
    with nncore.no_record():
        assert model(x).flags.writeable


def test_an_output_nobody_keeps_is_writable(mlp, x):
    assert mlp(x).flags.writeable


@pytest.mark.parametrize(
    ("bad", "error", "message"),
    [
        (None, TypeError, r"grad is None, expected an array of float.*input_grad=True"),
        (np.ones((5, 4)), ValueError, r"Sequential: grad has shape \(5, 4\), expected \(5, 3\)"),
        (np.ones(3), ValueError, r"Sequential: grad has shape \(3,\), expected \(5, 3\)"),
        (np.ones((5, 3), int), TypeError, "Sequential: grad has dtype int64"),
        (np.ones((5, 3), complex), TypeError, "Sequential: grad has dtype complex128"),
    ],
)
def test_a_wrong_gradient_changes_nothing(mlp, x, grad, bad, error, message):
    mlp(x)
    with pytest.raises(error, match=message):
        mlp.backward(bad)
    assert not any(p.grad.any() for p in mlp.parameters())
    mlp.backward(grad)
    assert mlp[0].weight.grad.any()


def test_gradients_of_any_floating_dtype_are_converted(mlp, x, grad):
    mlp(x)
    mlp.backward(grad.astype(np.float64).tolist())
    first = [p.grad.copy() for p in mlp.parameters()]
    mlp.zero_grad()
    mlp(x)
    mlp.backward(grad)
    for p, g in zip(mlp.parameters(), first, strict=True):
        np.testing.assert_array_equal(p.grad, g)


def test_an_eval_model_serves_many_threads(mlp, dtype, rng):
    mlp.eval()
    inputs = [rng.standard_normal((n + 1, 4)).astype(dtype) for n in range(8)]
    expected = [mlp(x) for x in inputs]
    wrong = []
    start = threading.Barrier(8)

    def serve(i):
        start.wait()
        for _ in range(50):
            if not np.array_equal(mlp(inputs[i]), expected[i]):
                wrong.append(i)

    threads = [threading.Thread(target=serve, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert wrong == []
    assert record_count(mlp) == 0


def test_an_override_holds_in_its_thread_alone(mlp, x):
    seen = []
    with nncore.no_record():
        thread = threading.Thread(target=lambda: seen.append((mlp(x), record_count(mlp))))
        thread.start()
        thread.join(60)
    assert seen[0][1] == 1
