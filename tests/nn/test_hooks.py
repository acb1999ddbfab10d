"""Forward and backward hooks: PyTorch's form and order, and nothing left behind."""

import copy

import numpy as np
import pytest
from composed_networks import build, inputs

from nncore import nn


def chain(library):
    return library.Sequential(library.Linear(3, 4), library.Tanh(), library.Linear(4, 2))


def test_the_same_calls_as_pytorch(torch, rng, close):
    ours, theirs = chain(nn), chain(torch.nn)
    theirs.load_state_dict({k: torch.from_numpy(v) for k, v in ours.state_dict().items()})
    seen = {"ours": [], "theirs": []}
    for who, model in (("ours", ours), ("theirs", theirs)):
        for name, module in (("whole", model), *model.named_children()):
            module.register_forward_hook(
                lambda m, x, y, w=who, n=name: seen[w].append((n, "forward", x, y))
            )
            module.register_full_backward_hook(
                lambda m, dx, dy, w=who, n=name: seen[w].append((n, "backward", dx, dy))
            )
    x, grad = rng.standard_normal((2, 3)).astype(np.float32), np.ones((2, 2), np.float32)
    ours(x)
    ours.backward(grad, input_grad=True)
    theirs(torch.from_numpy(x).requires_grad_()).backward(torch.from_numpy(grad))
    assert [each[:2] for each in seen["ours"]] == [each[:2] for each in seen["theirs"]]
    for mine, other in zip(seen["ours"], seen["theirs"], strict=True):
        for a, b in zip(mine[2:], other[2:], strict=True):
            a, b = (each if isinstance(each, tuple) else (each,) for each in (a, b))
            assert len(a) == len(b)
            for array, tensor in zip(a, b, strict=True):
                assert (array is None) == (tensor is None), mine[:2]
                if array is not None:
                    close(array, tensor.detach().numpy())


def test_what_a_hook_returns_takes_its_place(rng):
    model, x = chain(nn), rng.standard_normal((2, 3)).astype(np.float32)
    plain = model[1:](2 * model[0](x))
    handle = model[0].register_forward_hook(lambda m, x, y: 2 * y)
    np.testing.assert_array_equal(model(x), plain)
    handle.remove()
    handle.remove()
    assert not set(vars(model[0])) & {"_hooks", "_forward", "_backward"}
    y = model(x)
    with model[1].register_full_backward_hook(lambda m, dx, dy: (0 * dx[0],)):
        model.backward(np.ones_like(y))
    assert not model[0].weight.grad.any()
    assert model[2].weight.grad.any()
    for wrong in (y, y[:1], 3):
        message = "Linear: a forward hook returned something else"
        handle = model[0].register_forward_hook(lambda m, x, y, w=wrong: w)
        with handle, pytest.raises(ValueError, match=message):
            model(x)
    with pytest.raises(TypeError, match="Linear: a hook must be a function, got int"):
        model[0].register_forward_hook(3)


@pytest.mark.parametrize("name", ["branching", "two", "shared"])
def test_within_composed_modules(name, rng):
    model = build(name)
    x = inputs(name, rng, 2, np.float32)
    plain, calls = model(*x), []
    for _, module in model.named_modules():
        module.register_forward_hook(lambda m, x, y: calls.append((m, len(x))))
        module.register_full_backward_hook(lambda m, dx, dy: calls.append(m))
    y = model(*x)
    for a, b in zip(
        y if name == "two" else (y,), plain if name == "two" else (plain,), strict=True
    ):
        np.testing.assert_array_equal(a, b)
    assert calls[-1] == (model, len(x))
    calls.clear()
    model.backward(y, input_grad=True)
    assert calls[-1] is model
    assert {type(m) for m in calls} >= {type(m) for m in model.modules()}


def test_copies_have_none_and_eval_calls_them(rng):
    model, calls = chain(nn), []
    model[1].register_forward_hook(lambda *_: calls.append(1))
    x = rng.standard_normal((2, 3)).astype(np.float32)
    model.eval()(x)
    assert calls == [1]
    copy.deepcopy(model)(x)
    assert calls == [1]


def test_with_a_composed_module_around(rng):
    """Hooked or not, the numbers are the same where no value is read twice within."""
    model, x = build("residual"), inputs("residual", rng, 2, np.float32)
    y = model(*x)
    model.backward(y)
    expected = [parameter.grad.copy() for parameter in model.parameters()]
    model.zero_grad()
    for _, module in model.named_modules():
        module.register_full_backward_hook(lambda m, dx, dy: None)
    model(*x)
    model.backward(y)
    for parameter, other in zip(model.parameters(), expected, strict=True):
        np.testing.assert_allclose(parameter.grad, other, 1e-5, 1e-6)
