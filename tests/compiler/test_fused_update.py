"""Updates that follow the gradient from the cache: the bits of the separate passes, and when."""

import copy

import numpy as np
import pytest
from step_networks import assert_same_state, batches, by_hand
from tolerance import assert_same_bits

import nncore as nc
from nncore import nn, optim
from nncore._core import engine

# Steps are taken in registers (by rows, up to 8 samples, or by tiles, up to 256), in strips aside
# or where the gradient lies, or by the separate pass, as the rule and the size of batch have it.
SIZES = [8, 1, 1, 5, 9, 32, 40, 128, 257, 256, 0, 1]

RULES = {
    "sgd": lambda p, **o: optim.SGD(p, lr=0.05, **o),
    "nesterov": lambda p, **o: optim.SGD(
        p, lr=0.05, momentum=0.9, weight_decay=1e-3, nesterov=True, **o
    ),
    "maximize": lambda p, **o: optim.SGD(p, lr=0.01, maximize=True, **o),
    "adam": lambda p, **o: optim.Adam(p, lr=1e-3, amsgrad=True, **o),
    "adamw": lambda p, **o: optim.AdamW(p, lr=1e-3, **o),
    "rmsprop": lambda p, **o: optim.RMSprop(p, lr=1e-3, centered=True, momentum=0.5, **o),
    "adagrad": lambda p, **o: optim.Adagrad(p, lr=1e-2, lr_decay=0.1, **o),
    "lion": lambda p, **o: optim.Lion(p, lr=1e-4, weight_decay=0.1, **o),
}


def wide(dtype=np.float32):
    """Weights that are large enough, the first of them with a tail; the last is not."""
    return nn.Sequential(
        nn.Linear(131, 128, dtype=dtype), nn.ReLU(), nn.Linear(128, 130, bias=False, dtype=dtype),
        nn.Tanh(), nn.Linear(130, 5, dtype=dtype),
    )  # fmt: skip


def pair(rule, dtype=np.float32, build=wide, **options):
    model = build(dtype)
    model.reset_parameters(3)
    twin = copy.deepcopy(model)
    optimizer, hand = (RULES[rule](each.parameters(), **options) for each in (model, twin))
    return model, optimizer, nc.compile(model, nn.CrossEntropyLoss(), optimizer), twin, hand


def train(rng, step, twin, hand, sizes=SIZES, dtype=np.float32):
    """One after the other: gradients by hand would have a step look at its own again."""
    given = list(batches(rng, (131,), 5, dtype, sizes))
    losses = [step(x, y) for x, y in given]
    by_turns = [by_hand(twin, nn.CrossEntropyLoss(), hand, x, y) for x, y in given]
    np.testing.assert_array_equal(losses, by_turns)


@pytest.mark.parametrize("rule", RULES)
def test_same_bits_as_by_hand(rule, dtype, threads, rng):
    model, optimizer, step, twin, hand = pair(rule, dtype)
    train(rng, step, twin, hand, dtype=dtype)
    assert_same_state(model, optimizer, twin, hand)


@pytest.mark.parametrize("rule", ["sgd", "adam"])
def test_same_bits_on_every_instruction_set(rule, isa, rng):
    model, optimizer, step, twin, hand = pair(rule)
    train(rng, step, twin, hand, [1, 1, 1, 3, 8, 40, 41])
    assert_same_state(model, optimizer, twin, hand)


def policy(dtype=np.float32):
    """A weight whose gradient is made by the rule, of one sample; rows of four elements."""
    return nn.Sequential(
        nn.Linear(4, 65, dtype=dtype), nn.Tanh(), nn.Linear(65, 64, bias=False, dtype=dtype),
        nn.Tanh(), nn.Linear(64, 70, dtype=dtype), nn.Tanh(), nn.Linear(70, 2, dtype=dtype),
    )  # fmt: skip


@pytest.mark.parametrize("rule", RULES)
def test_gradients_of_one_sample_are_made_by_the_rule(rule, dtype, isa, rng):
    """Never written: once they are known to be zero, whatever is there then stays."""
    clipped = {"max_grad_value": 1e-3} if rule == "adamw" else {}
    model, optimizer, step, twin, hand = pair(rule, dtype, policy, **clipped)
    given = list(batches(rng, (4,), 2, dtype, [1, 1, 2, 1, 1]))
    losses = [step(x, y) for x, y in given]
    weight = model[4].weight
    weight._grad[69, 63] = 7
    step(*given[0])
    assert weight._grad[69, 63] == (7 if dtype == np.float32 else 0)
    weight._grad[...] = 0
    weight.grad[...] = 3  # seen from now on, and written
    step(*given[0])
    assert not weight._grad.any()
    given += [given[0], given[0]]
    by_turns = [by_hand(twin, nn.CrossEntropyLoss(), hand, x, y) for x, y in given]
    np.testing.assert_array_equal(losses, by_turns[:-2])
    assert_same_state(model, optimizer, twin, hand)


def test_one_sample_is_not_shared_out_below_the_threshold(rng):
    """Of plain descent: whoever wakes a worker for it waits longer than the work takes."""
    before = nc.get_num_threads()
    nc.set_num_threads(2)
    try:
        model = nn.Sequential(nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 10))
        optimizer = optim.SGD(model.parameters(), lr=0.05)
        step = nc.compile(model, nn.CrossEntropyLoss(), optimizer)
        x, y = np.ones((1, 784), np.float32), np.zeros(1, np.int64)
        step(x, y)
        shared = engine.threads_pieces_by_workers()
        for _ in range(5):
            assert not model[0].weight.grad.any()  # seen, so written where it lies
            step(x, y)
        assert engine.threads_pieces_by_workers() == shared
    finally:
        nc.set_num_threads(before)


def test_hundred_steps_with_four_threads(rng):
    before = nc.get_num_threads()
    nc.set_num_threads(4)
    try:
        model, optimizer, step, twin, hand = pair("sgd")
        train(rng, step, twin, hand, [1, 1, 7, 1] * 25)
    finally:
        nc.set_num_threads(before)
    assert_same_state(model, optimizer, twin, hand)


def idle(step):
    """Whether training leaves gradients alone that are zero and that nobody holds."""
    weight = step.model[0].weight
    weight._grad[0, 0] = 7
    x, y = np.ones((1, 131), np.float32), [0]
    step(x, y)
    left = weight._grad[0, 0]
    weight._grad[0, 0] = 0
    return left == 7


@pytest.mark.parametrize(
    "options", [{"max_grad_norm": 0.01}, {"error_if_nonfinite": True}, {"max_grad_value": 1e-3}]
)
def test_options_of_the_optimizer(options, rng):
    model, optimizer, step, twin, hand = pair("adam", **options)
    train(rng, step, twin, hand)
    before = copy.deepcopy((model, optimizer))
    for _ in range(3):
        step(np.ones((1, 131), np.float32), [0])
    assert idle(step) == ("max_grad_value" in options)
    assert_same_state(*before, twin, hand)


def test_gradients_are_left_alone_until_somebody_takes_them(rng):
    model, _, step, twin, hand = pair("sgd")
    train(rng, step, twin, hand, [1, 1, 1])
    step(np.ones((1, 131), np.float32), [0])
    assert idle(step)
    held = model[0].weight.grad
    for _ in range(3):
        held[...] = 5.0
        step(np.ones((1, 131), np.float32), [1])
        assert (held == 0).all()
    assert not idle(step)


@pytest.mark.parametrize("way", ["gradients", "halves", "clone", "by hand"])
def test_gradients_that_were_written_by_others_read_zero(way, rng):
    model, optimizer, step, twin, hand = pair("sgd")
    other = step.clone()
    x, y = next(batches(rng, (131,), 5, np.float32, [2]))
    for _ in range(4):
        assert step(x, y) == by_hand(twin, nn.CrossEntropyLoss(), hand, x, y)
        loss_fn = nn.CrossEntropyLoss()
        if way == "gradients":
            step.gradients(x, y)
        elif way == "clone":
            other.gradients(x, y)
        elif way == "halves":
            step.backward(np.ones_like(step.forward(x)))
        else:
            loss_fn(model(x), y)
            model.backward(loss_fn.backward())
        assert all(parameter._grad.any() for parameter in model.parameters())
    assert step(x, y) == by_hand(twin, nn.CrossEntropyLoss(), hand, x, y)
    assert_same_state(model, optimizer, twin, hand)


def test_what_a_refused_batch_left_in_gradients_reads_zero(rng):
    """Of another step over the same weights, which knew them zero."""
    model, optimizer, step, twin, hand = pair("sgd")
    other = step.clone()
    x, y = next(batches(rng, (131,), 5, np.float32, [1]))
    for each in (step, other, step, step):
        each(x, y)
    optimizer.error_if_nonfinite = True
    with pytest.raises(ValueError, match="gradient"), np.errstate(all="ignore"):
        other(np.full_like(x, np.inf), y)
    assert np.isnan(model[0].weight._grad).any()
    optimizer.error_if_nonfinite = False
    step(x, y)
    for _ in range(5):
        by_hand(twin, nn.CrossEntropyLoss(), hand, x, y)
    assert_same_state(model, optimizer, twin, hand)


def test_a_layer_that_kept_its_operation_writes_gradients_too(rng):
    """An Embedding, whose weight is a Linear's as well; its backward comes long after forward."""
    head, embedding = nn.Linear(128, 200, bias=False), nn.Embedding(200, 128)
    head.weight = embedding.weight
    optimizer = optim.SGD(head.parameters(), lr=0.1)
    step = nc.compile(head, nn.CrossEntropyLoss(), optimizer)
    x, y = next(batches(rng, (128,), 200, np.float32, [1]))
    for _ in range(3):
        looked_up = embedding(np.array([3, 5]))
        for _ in range(3):
            step(x, y)
        embedding.backward(np.ones_like(looked_up))
        assert head.weight._grad.any()
        step(x, y)
        assert not head.weight._grad.any()


class _Scaled(nn.Module):
    """A row of a weight is a constant of `forward` as well."""

    def __init__(self, dtype=np.float32):
        super().__init__()
        self.first, self.second = nn.Linear(131, 128), nn.Linear(128, 128)
        self.last = nn.Linear(128, 5)
        self.rows = [self.second.weight.data[3]]

    def forward(self, x):
        return self.last(self.second(self.first(x) * self.rows[0]))


def test_weights_that_others_read_too(rng):
    twin, model = _Scaled(), _Scaled()
    model.copy_from(twin)
    hand, optimizer = (optim.SGD(each.parameters(), lr=0.1) for each in (twin, model))
    step = nc.compile(model, nn.CrossEntropyLoss(), optimizer)
    train(rng, step, twin, hand, [1, 4, 1, 9])
    assert_same_state(model, optimizer, twin, hand)


@pytest.mark.parametrize("way", ["step", "epoch"])
def test_a_batch_that_lies_in_the_weights(way, rng):
    """Whether it is read as weights are changed: where they are updated after the last backward."""
    model, optimizer, step, twin, hand = pair("sgd")
    y = np.array([1, 4])
    for _ in range(4):
        x, given = model[0].weight.data[5:7], twin[0].weight.data[5:7]
        loss = by_hand(twin, nn.CrossEntropyLoss(), hand, given, y)
        assert loss == (step(x, y) if way == "step" else step.epoch(x, y))
    assert_same_state(model, optimizer, twin, hand)


def test_a_batch_that_is_refused_changes_nothing(rng):
    model, optimizer, step, twin, hand = pair("adam")
    train(rng, step, twin, hand, [1, 1])
    x, y = next(batches(rng, (131,), 5, np.float32, [2]))
    with pytest.raises(IndexError):
        step(x, np.array([1, 5]))
    x[1, 3] = np.inf
    with pytest.raises(FloatingPointError):
        step.epoch(x, y, batch_size=1, error_if_nonfinite=True)
    by_hand(twin, nn.CrossEntropyLoss(), hand, x[:1], y[:1])
    assert_same_state(model, optimizer, twin, hand)


def test_an_epoch_that_is_left_has_whole_batches(rng):
    """Updates that have begun are not broken off, wherever the clock runs out."""

    def large(dtype=np.float32):
        return nn.Sequential(nn.Linear(131, 4096), nn.ReLU(), nn.Linear(4096, 128))

    model, optimizer, step, twin, hand = pair("adam", build=large)
    x, y = next(batches(rng, (131,), 5, np.float32, [12]))
    data = step._batches("test", x, y, None, 4)
    updates = optimizer._compiled_updates(clear_grad=True)
    for most in range(1, 9):
        calls = []

        def stop(done, most=most, calls=calls):
            calls.append(done)
            if len(calls) == most:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            step._run_epoch(engine.STEP_TRAIN, data, updates, seconds=1e-9, progress=stop)
        for at in range(len(step.losses)):
            rows = slice(4 * at, 4 * at + 4)
            by_hand(twin, nn.CrossEntropyLoss(), hand, x[rows], y[rows])
        assert_same_state(model, optimizer, twin, hand)
        if len(step.losses) == 3:
            break
    assert "update" in str(step)
    assert most > 2


def test_weights_of_two_layers_and_frozen_ones(rng):
    def tied(dtype=np.float32):
        twice = nn.Linear(131, 131, dtype=dtype)
        return nn.Sequential(twice, nn.ReLU(), twice, nn.Linear(131, 5, dtype=dtype))

    model, optimizer, step, twin, hand = pair("adam", build=tied)
    train(rng, step, twin, hand, [1, 2, 1])
    assert_same_state(model, optimizer, twin, hand)
    assert "update" not in str(step)

    model, optimizer, step, twin, hand = pair("adam")
    for each in (model, twin):
        each[2].weight.requires_grad = False
    before = model[2].weight.data.copy()
    train(rng, step, twin, hand, [1, 2, 1])
    assert_same_bits(model[2].weight.data, before)
    assert_same_state(model, optimizer, twin, hand)


def test_weights_that_the_optimizer_does_not_hold(rng):
    model, twin = wide(), wide()
    twin.load_state_dict(model.state_dict())
    optimizer, hand = (optim.SGD(each[2].parameters(), lr=0.1) for each in (model, twin))
    step = nc.compile(model, nn.CrossEntropyLoss(), optimizer)
    train(rng, step, twin, hand, [1, 1])
    optimizer.add_param_group({"params": model[0].parameters(), "lr": 0.01})
    hand.add_param_group({"params": twin[0].parameters(), "lr": 0.01})
    for parameter in twin.parameters():
        parameter.zero_grad()
    train(rng, step, twin, hand, [1, 1, 2])
    for own, other in zip(model.parameters(), twin.parameters(), strict=True):
        assert_same_bits(own.data, other.data)


def test_print_tells(rng):
    _, optimizer, step, _, _ = pair("sgd")
    step(np.zeros((1, 131), np.float32), [0])
    rows = str(step).splitlines()
    assert [row.split()[0] for row in rows if row.endswith("update")] == ["linear", "linear"]
    optimizer.max_grad_norm = 1.0
    assert "update" not in str(step)


@pytest.mark.parametrize("options", [{}, {"momentum": 0.9}, {"weight_decay": 0.1}])
def test_print_tells_of_larger_batches(options):
    model = nn.Sequential(nn.Linear(131, 131), nn.ReLU(), nn.Linear(131, 3))
    step = nc.compile(
        model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.1, **options)
    )
    step(np.zeros((64, 131), np.float32), np.zeros(64, int))
    rows = [row.split()[0] for row in str(step).splitlines() if row.endswith("update")]
    assert rows == ([] if options else ["linear"])
    step(np.zeros((300, 131), np.float32), np.zeros(300, int))
    assert "update" not in str(step)
