"""Optimisers' updates: traces against PyTorch and the reference; all tensors in one call."""

import gc
import itertools

import numpy as np
import pytest
from tolerance import assert_same_bits

from nncore import reference
from nncore._core import engine

# Tails of every vector width, an empty tensor, a scalar, and more than one piece of 8192.
SHAPES = [(3, 5), (7,), (1,), (0, 4), (), (16,), (31, 33), (9000,)]

SGD = {
    "plain": {},
    "weight_decay": {"weight_decay": 0.1},
    "momentum": {"momentum": 0.9},
    "dampening": {"momentum": 0.9, "dampening": 0.3},
    "nesterov": {"momentum": 0.8, "nesterov": True},
    "everything": {"momentum": 0.7, "nesterov": True, "weight_decay": 0.05},
    "dampening_decay": {"momentum": 0.7, "dampening": 0.5, "weight_decay": 0.05},
}
ADAM = {
    "plain": {},
    "betas": {"betas": (0.6, 0.95)},
    "short_memory": {"betas": (0.4, 0.5)},
    "eps": {"eps": 1e-2},
    "weight_decay": {"weight_decay": 0.1},
    "everything": {"betas": (0.8, 0.99), "eps": 1e-3, "weight_decay": 0.2},
}
OTHERS = [
    ("Adam", "amsgrad", {"amsgrad": True, "betas": (0.9, 0.9)}),
    ("RMSprop", "plain", {"alpha": 0.9}),
    ("RMSprop", "momentum", {"momentum": 0.8, "weight_decay": 0.1}),
    ("RMSprop", "centered", {"centered": True, "eps": 1e-2}),
    ("RMSprop", "everything", {"centered": True, "eps": 1e-2, "momentum": 0.7, "alpha": 0.9}),
    ("Adagrad", "plain", {}),
    ("Adagrad", "everything", {"lr_decay": 0.1, "eps": 1e-3, "weight_decay": 0.1}),
]
LION = ("Lion", "plain", {"betas": (0.8, 0.95), "weight_decay": 0.1})
TRACES = [("SGD", *case) for case in SGD.items()]
TRACES += [(name, *case) for name in ("Adam", "AdamW") for case in ADAM.items()]
TRACES += OTHERS


def state_names(kind, options):
    """Of the arrays that the rule needs, in the engine's order."""
    names = {
        "sgd": [],
        "adam": ["exp_avg", "exp_avg_sq"],
        "rmsprop": ["square_avg"],
        "adagrad": ["sum"],
        "lion": ["exp_avg"],
    }[kind]
    names += ["momentum_buffer"] * bool(options.get("momentum"))
    names += ["max_exp_avg_sq"] * bool(options.get("amsgrad"))
    return names + ["grad_avg"] * bool(options.get("centered"))


class Case:
    """Parameters, gradients and state arrays of an optimiser, and the engine's update over them."""

    def __init__(self, name, options, dtype, rng, shapes=SHAPES, lr=0.05):
        self.options = {"lr": lr, **options}
        self.kind = "adam" if name == "AdamW" else name.lower()
        if self.kind == "adam":
            # AdamW's default in PyTorch
            self.options.setdefault("weight_decay", 0.01 if name == "AdamW" else 0.0)
        self.names = state_names(self.kind, options)
        count = len(self.names)
        self.params = [np.array(rng.standard_normal(shape), dtype) for shape in shapes]
        self.grads = [np.zeros_like(p) for p in self.params]
        self.states = [tuple(np.zeros_like(p) for _ in range(count)) for p in self.params]
        self.hyper = dict(self.options)
        if "betas" in self.hyper:
            self.hyper["beta1"], self.hyper["beta2"] = self.hyper.pop("betas")
        if self.kind == "rmsprop":
            self.hyper["beta2"] = self.hyper.pop("alpha", 0.99)
        if self.kind == "adagrad":
            self.hyper.setdefault("eps", 1e-10)
        if self.kind == "adam":
            self.hyper["decoupled"] = name == "AdamW"
        self.update = engine.Update(self.kind, self.params, self.grads, self.states)

    def arrays(self):
        return [*self.params, *self.grads, *itertools.chain(*self.states)]

    def draw_grads(self, rng):
        for grad in self.grads:
            grad[...] = rng.standard_normal(grad.shape) * 10.0 ** rng.integers(-3, 2)


@pytest.mark.parametrize(
    ("name", "case", "options"), TRACES, ids=lambda v: v if type(v) is str else ""
)
def test_fifty_steps_are_those_of_pytorch(name, case, options, isa, dtype, rng):
    torch = pytest.importorskip("torch")
    ours = Case(name, options, dtype, rng)
    theirs = [torch.tensor(p, requires_grad=True) for p in ours.params]
    optimizer = getattr(torch.optim, name)(theirs, **ours.options)
    tolerance = 1e-4 if dtype is np.float32 else 1e-9
    for step in range(50):
        ours.draw_grads(rng)
        for tensor, grad in zip(theirs, ours.grads, strict=True):
            tensor.grad = torch.tensor(grad)
        optimizer.step()
        ours.update.run(**ours.hyper)
        assert ours.update.steps == step + 1
        for param, tensor in zip(ours.params, theirs, strict=True):
            np.testing.assert_allclose(
                param, tensor.detach().numpy(), rtol=tolerance, atol=tolerance / 10
            )


@pytest.mark.parametrize(
    ("name", "case", "options"), [*TRACES, LION], ids=lambda v: v if type(v) is str else ""
)
def test_one_step_is_that_of_the_reference(name, case, options, isa, dtype, rng):
    """From any state, within a few roundings; the state arrays too."""
    ours = Case(name, options, dtype, rng)
    for array in itertools.chain(*ours.states):
        array[...] = abs(rng.standard_normal(array.shape))
    for arrays in ours.states:
        if options.get("centered"):
            # A mean of squares is above the mean's square; well above, so that nothing cancels.
            arrays[0][...] += 4 * arrays[-1] ** 2
    ours.draw_grads(rng)
    ours.update.steps = steps = 6
    before = [[exact(a) for a in arrays] for arrays in zip(ours.params, ours.grads, strict=True)]
    states = [[exact(a) for a in arrays] for arrays in ours.states]
    ours.update.run(**ours.hyper)
    eps = 8 * np.finfo(dtype).eps
    for at, (param, grad) in enumerate(before):
        old, true = param.copy(), states[at]
        scale = max((abs(a).max(initial=0) for a in (param, grad, *true)), default=0)
        reference_step(ours, param, grad, true, steps)
        assert np.all(abs(ours.params[at] - param) <= eps * (abs(param - old) + abs(old)))
        for array, expected in zip(ours.states[at], true, strict=True):
            np.testing.assert_allclose(array, expected, rtol=eps, atol=eps * scale)


def exact(x):
    return np.array(x, np.float64)


def reference_step(case, param, grad, state, steps):
    """One step of nncore.reference, in place."""
    kept = dict(zip(case.names, state, strict=True))
    options = dict(case.options)
    if case.kind in ("adam", "rmsprop", "adagrad"):
        kept["step"] = steps
    if case.kind == "adam":
        options["decoupled"] = case.hyper["decoupled"]
    getattr(reference, f"{case.kind}_step")(param, grad, kept, **options)


@pytest.mark.parametrize(
    ("name", "options"),
    [("SGD", SGD["momentum"]), ("Adam", {}), ("RMSprop", {}), ("Adagrad", {}), ("Lion", {})],
)
def test_gradients_are_cleared_in_the_same_pass(name, options, isa, dtype, rng):
    plain, clearing = (
        Case(name, options, dtype, np.random.default_rng(5)),
        Case(name, options, dtype, np.random.default_rng(5)),
    )
    for _ in range(2):
        plain.draw_grads(rng)
        for ours, theirs in zip(clearing.grads, plain.grads, strict=True):
            ours[...] = theirs
        before = [grad.copy() for grad in plain.grads]
        plain.update.run(**plain.hyper)
        clearing.update.run(**clearing.hyper, clear_grad=True)
        for ours, theirs in zip(clearing.params, plain.params, strict=True):
            assert_same_bits(ours, theirs)
        for cleared, kept, given in zip(clearing.grads, plain.grads, before, strict=True):
            assert_same_bits(kept, given)
            assert not cleared.any()


@pytest.mark.parametrize(("name", "options"), [("SGD", SGD["everything"]), ("AdamW", {})])
def test_bits_do_not_depend_on_threads_or_on_the_cutting(name, options, isa, dtype, threads):
    """Many small tensors, one large one: the same elements give the same bits."""
    rng = np.random.default_rng(3)
    many = Case(name, options, dtype, rng, shapes=[(n,) for n in range(250)])
    one = Case(name, options, dtype, rng, shapes=[(sum(range(250)),)])
    one.params[0][...] = np.concatenate(many.params)
    for _ in range(3):
        many.draw_grads(rng)
        one.grads[0][...] = np.concatenate(many.grads)
        many.update.run(**many.hyper)
        with_one_thread(lambda: one.update.run(**one.hyper))
    assert_same_bits(np.concatenate(many.params), one.params[0])


def with_one_thread(run):
    before = engine.threads_get()
    engine.threads_set(1)
    run()
    engine.threads_set(before)


@pytest.mark.parametrize(("name", "options"), [("SGD", SGD["momentum"]), ("Adam", {})])
def test_a_gradient_that_has_become_zero_leaves_no_subnormal_mean(name, options, isa, dtype, rng):
    """They would stay, and make each further step many times as slow."""
    case = Case(name, options, dtype, rng, shapes=[(19,)])
    case.grads[0][...] = np.finfo(dtype).tiny * rng.uniform(1, 10, 19)
    case.update.run(**case.hyper)
    case.grads[0][...] = 0
    for _ in range(40):
        case.update.run(**case.hyper)
        mean = case.states[0][0]
        assert np.all((mean == 0) | (abs(mean) >= np.finfo(dtype).tiny))
    assert not mean.any()


def test_configure_then_run(dtype, rng):
    case = Case("SGD", {}, dtype, rng)
    case.draw_grads(rng)
    expected = [p - dtype(0.5) * g for p, g in zip(case.params, case.grads, strict=True)]
    case.update.configure(lr=0.5)
    case.update.run()
    for param, true in zip(case.params, expected, strict=True):
        np.testing.assert_allclose(param, true, rtol=1e-6, atol=1e-6)
    case.update.run(lr=0)
    case.update.run()
    for param, true in zip(case.params, expected, strict=True):
        np.testing.assert_allclose(param, true, rtol=1e-6, atol=1e-6)
    assert case.update.steps == 3


def test_weight_decay_of_zero_leaves_infinite_weights_alone(isa, dtype):
    """0 * inf is NaN: what is not asked for is not computed."""
    for name in ("SGD", "Adam"):
        case = Case(name, {}, dtype, np.random.default_rng(0), shapes=[(3,)])
        case.params[0][...] = [np.inf, -np.inf, 1]
        case.update.run(**case.hyper)
        assert case.params[0].tolist() == [np.inf, -np.inf, 1]


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("at", [0, 1, 7, 4095, 8500, 8999])
def test_the_first_nonfinite_gradient_is_named(value, at, isa, dtype, rng, threads):
    case = Case("SGD", {}, dtype, rng)
    case.draw_grads(rng)
    for grad in case.grads:
        grad[grad > 0] = np.finfo(dtype).max
    assert case.update.first_nonfinite() is None
    case.grads[-1][at] = value
    assert case.update.first_nonfinite() == len(SHAPES) - 1
    case.grads[1][6] = value
    assert case.update.first_nonfinite() == 1
    case.grads[0][0, 0] = value
    assert case.update.first_nonfinite() == 0


def test_the_arrays_live_as_long_as_the_update(dtype):
    params = [np.ones(1000, dtype)]
    update = engine.Update("sgd", params, [np.ones(1000, dtype)], [()])
    param = params.pop()
    gc.collect()
    update.run(lr=1.0)
    assert not param.any()


def test_no_parameters():
    update = engine.Update("adam", [], [], [])
    update.run(lr=1.0)
    assert update.steps == 1
    assert update.first_nonfinite() is None


def zeros(shape=3, dtype=np.float32, **kwargs):
    return np.zeros(shape, dtype, **kwargs)


def read_only():
    array = zeros()
    array.flags.writeable = False
    return array


SHARED = zeros(6)


@pytest.mark.parametrize(
    ("kind", "params", "grads", "states", "error", "message"),
    [
        ("newton", [], [], [], ValueError, "kind is 'newton', expected one of sgd, adam, rmsprop"),
        (
            "lion",
            [zeros()],
            [zeros()],
            [()],
            ValueError,
            r"states\[0\] has 0 arrays, expected 1 to 1",
        ),
        ("sgd", [zeros()], [], [], ValueError, "1 params, 0 grads and 0 states"),
        ("sgd", [[1.0]], [zeros()], [()], TypeError, r"params\[0\] is a list, expected an array"),
        ("sgd", [zeros(dtype=int)], [zeros()], [()], TypeError, r"params\[0\] has dtype int64"),
        ("sgd", [zeros()], [zeros(dtype=float)], [()], TypeError, r"grads\[0\] has dtype float64"),
        ("sgd", [zeros(), zeros(dtype=float)], [zeros()] * 2, [()] * 2, TypeError, "float64"),
        ("sgd", [zeros()], [zeros(4)], [()], ValueError, r"grads\[0\] has 4 elements, .* has 3"),
        ("sgd", [zeros((2, 3)).T], [zeros((3, 2))], [()], ValueError, r"params\[0\] must be C-con"),
        ("sgd", [read_only()], [zeros()], [()], ValueError, r"params\[0\] must be .*writeable"),
        ("sgd", [zeros(dtype=">f4")], [zeros()], [()], TypeError, r"params\[0\] has dtype >f4"),
        ("sgd", [zeros()], [zeros()], [(zeros(), zeros())], ValueError, r"states\[0\] has 2"),
        ("adam", [zeros()], [zeros()], [()], ValueError, r"states\[0\] has 0 arrays, expected 2"),
        (
            "adam",
            [zeros()],
            [zeros()],
            [(zeros(), zeros(2))],
            ValueError,
            r"states\[0\]\[1\] has 2",
        ),
        ("sgd", [zeros()] * 2, [zeros()] * 2, [(), (zeros(),)], ValueError, r"states\[1\] has 1"),
        (
            *("sgd", [SHARED[:3], SHARED[2:]], [zeros(), zeros(4)], [()] * 2),
            *(ValueError, r"params\[0\] and params\[1\] share memory"),
        ),
        ("sgd", [SHARED], [SHARED], [()], ValueError, "share memory, expected arrays of their own"),
    ],
)
def test_arrays_that_do_not_fit(kind, params, grads, states, error, message):
    with pytest.raises(error, match=message):
        engine.Update(kind, params, grads, states)


def test_numbers_that_do_not_fit(rng):
    case = Case("SGD", {}, np.float32, rng)
    before = [array.copy() for array in case.arrays()]
    with pytest.raises(
        ValueError, match=r"momentum is 0.9, expected 0 as there are no state arrays"
    ):
        case.update.run(lr=0.1, momentum=0.9)
    with pytest.raises(ValueError, match="amsgrad is on, centered is on as there are no state arr"):
        case.update.run(lr=0.1, amsgrad=True, centered=True)
    with pytest.raises(TypeError, match="lr"):
        case.update.run(momentum=0.0)
    with pytest.raises(TypeError, match="rho"):
        case.update.run(lr=0.1, rho=0.1)
    with pytest.raises(ValueError, match="steps must be 0 or more, got -1"):
        case.update.steps = -1
    assert case.update.steps == 0
    for array, old in zip(case.arrays(), before, strict=True):
        assert_same_bits(array, old)


@pytest.mark.parametrize(
    ("name", "options"), [("Adam", ADAM["everything"]), ("RMSprop", {"momentum": 0.9})]
)
def test_wider_vectors(name, options, default_and_avx2, dtype):
    def trace():
        rng = np.random.default_rng(6)
        case = Case(name, options, dtype, rng)
        for _ in range(3):
            case.draw_grads(rng)
            case.update.run(**case.hyper)
        return case.arrays()

    for default, narrow in zip(*default_and_avx2(trace), strict=True):
        if name == "Adam" and dtype is np.float32:  # its quotient alone may round otherwise
            np.testing.assert_allclose(default, narrow, rtol=1e-6, atol=1e-9)
        else:
            assert_same_bits(default, narrow)
