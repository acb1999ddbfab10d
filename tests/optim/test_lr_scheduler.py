"""Schedules beside PyTorch's: fifty values, state that goes through JSON, errors."""

import json
import warnings

import numpy as np
import pytest

import nncore as nc
from nncore import nn, optim
from nncore.optim import lr_scheduler as ours

CASES = {
    "step": ("StepLR", {"step_size": 7, "gamma": 0.5}),
    "milestones": ("MultiStepLR", {"milestones": [30, 4, 4, 17], "gamma": 0.3}),
    "exponential": ("ExponentialLR", {"gamma": 0.9}),
    "cosine": ("CosineAnnealingLR", {"T_max": 12, "eta_min": 0.001}),
    "cosine of one": ("CosineAnnealingLR", {"T_max": 1}),
    "linear": ("LinearLR", {}),
    "linear down": ("LinearLR", {"start_factor": 1.0, "end_factor": 0.0, "total_iters": 30}),
    "constant": ("ConstantLR", {"factor": 0.25, "total_iters": 9}),
    "lambda": ("LambdaLR", {"lr_lambda": lambda epoch: 0.9**epoch}),
    "lambdas": ("LambdaLR", {"lr_lambda": [lambda e: 1 / (e + 1), lambda e: 2.0]}),
    "one cycle": ("OneCycleLR", {"max_lr": 0.5, "total_steps": 51}),
    "one cycle lists": (
        "OneCycleLR",
        {
            "max_lr": [0.5, 1.0],
            "epochs": 10,
            "steps_per_epoch": 6,
            "pct_start": 0.4,
            "anneal_strategy": "linear",
            "base_momentum": [0.7, 0.8],
            "div_factor": 10.0,
            "final_div_factor": 100.0,
        },
    ),
    "three phases": (
        "OneCycleLR",
        {"max_lr": 0.5, "total_steps": 60, "three_phase": True, "cycle_momentum": False},
    ),
}


def sequence(module, optimizer):
    parts = [
        module.LinearLR(optimizer, start_factor=0.1, total_iters=5),
        module.CosineAnnealingLR(optimizer, T_max=20),
        module.ExponentialLR(optimizer, gamma=0.8),
    ]
    return module.SequentialLR(optimizer, parts, milestones=[5, 25])


def nested(module, optimizer):
    first = [module.ConstantLR(optimizer, 0.5, 3), module.StepLR(optimizer, 4)]
    inner = module.SequentialLR(optimizer, first, [8])
    return module.SequentialLR(
        optimizer, [inner, module.MultiStepLR(optimizer, [2, 6])], milestones=[20]
    )


MAKERS = {name: (lambda m, o, c=case: getattr(m, c[0])(o, **c[1])) for name, case in CASES.items()}
MAKERS |= {"sequence": sequence, "nested": nested}


def optimizers(torch, rule="SGD"):
    """Of two groups, ours and PyTorch's."""
    numbers = {"lr": 0.1, "momentum": 0.9} if rule == "SGD" else {"lr": 0.1}
    mine = [{"params": [nn.Parameter([1.0])]}, {"params": [nn.Parameter([2.0])], "lr": 0.03}]
    own = getattr(optim, rule)(mine, **numbers)
    if torch is None:
        return own, None
    theirs = [
        {"params": [torch.nn.Parameter(torch.ones(1))]},
        {"params": [torch.nn.Parameter(torch.ones(1))], "lr": 0.03},
    ]
    return own, getattr(torch.optim, rule)(theirs, **numbers)


def numbers_of(optimizer):
    return [
        [float(g["lr"]), *(float(b) for b in g.get("betas", ())), float(g.get("momentum", 0))]
        for g in optimizer.param_groups
    ]


@pytest.fixture(params=MAKERS.values(), ids=MAKERS)
def make(request):
    return request.param


@pytest.mark.parametrize("rule", ["SGD", "Adam"])
def test_fifty_values_are_pytorchs(torch, make, rule):
    own, other = optimizers(torch, rule)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch wants an optimizer's step before
        mine, theirs = make(ours, own), make(torch.optim.lr_scheduler, other)
        for _ in range(50):
            np.testing.assert_allclose(numbers_of(own), numbers_of(other), rtol=1e-9, atol=1e-14)
            np.testing.assert_allclose(
                mine.get_last_lr(), theirs.get_last_lr(), rtol=1e-9, atol=1e-14
            )
            assert mine.last_epoch == theirs.last_epoch
            mine.step()
            theirs.step()


def test_goes_on_from_a_state_that_went_through_json(make):
    """As after an interruption: built anew, both states loaded, every number as without it."""
    whole, _ = optimizers(None)
    straight = make(ours, whole)
    for stop in (0, 3, 26):
        half, _ = optimizers(None)
        first = make(ours, half)
        for _ in range(stop):
            first.step()
        kept = json.loads(json.dumps([first.state_dict(), half.state_dict()["param_groups"]]))
        resumed, _ = optimizers(None)
        second = make(ours, resumed)
        second.load_state_dict(kept[0])
        resumed.load_state_dict({"state": {}, "param_groups": kept[1]})
        assert second.get_last_lr() == first.get_last_lr()
        assert numbers_of(resumed) == numbers_of(half)
        for _ in range(10):
            first.step()
            second.step()
            assert numbers_of(resumed) == numbers_of(half)
            assert second.state_dict() == first.state_dict()
    assert straight.last_epoch == 0


MEASURES = [5, 4, 4, 4, 4, 3.9999, 3, 3.5, 3.2, 3.1, 3, 3, 2, 2.5, 2.5, 2.5, 2.5, 2.5, 2.5, 2.5]


@pytest.mark.parametrize(
    "options",
    [
        {"patience": 2},
        {"patience": 1, "cooldown": 3, "factor": 0.5},
        {"patience": 0, "threshold": 0.5, "threshold_mode": "abs", "min_lr": [0.01, 0.001]},
        {"patience": 1, "mode": "max", "min_lr": 0.02},
        {"patience": 1, "mode": "max", "threshold_mode": "abs", "eps": 0.05},
    ],
)
def test_plateau_is_pytorchs(torch, options):
    own, other = optimizers(torch)
    mine = ours.ReduceLROnPlateau(own, **options)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(other, **options)
    for at, measure in enumerate([*MEASURES, np.nan, *MEASURES]):
        mine.step(measure)
        theirs.step(measure)
        np.testing.assert_allclose(mine.get_last_lr(), theirs.get_last_lr(), rtol=1e-12)
        assert mine.num_bad_epochs == theirs.num_bad_epochs
        if at == 10:
            state = json.loads(json.dumps(mine.state_dict()))
            mine = ours.ReduceLROnPlateau(own, **options)
            mine.load_state_dict(state)


def test_compiled_steps_read_the_rates():
    model = nn.Sequential(nn.Linear(3, 2))
    optimizer = optim.SGD(model.parameters(), lr=1.0)
    scheduler = ours.StepLR(optimizer, 1, gamma=0.0)
    step = nc.compile(model, nn.CrossEntropyLoss(), optimizer)
    x, y = np.ones((4, 3), np.float32), np.zeros(4, int)
    before = model[0].weight.data.copy()
    step(x, y)
    trained = model[0].weight.data.copy()
    assert not np.array_equal(trained, before)
    scheduler.step()
    step(x, y)
    np.testing.assert_array_equal(model[0].weight.data, trained)


def test_resumed_by_last_epoch(torch):
    own, _ = optimizers(None)
    with pytest.raises(ValueError, match=r"StepLR: last_epoch is 3, but param_groups\[0\] has no"):
        ours.StepLR(own, 4, last_epoch=3)
    for group in own.param_groups:
        group["initial_lr"] = group["lr"]
    scheduler = ours.StepLR(own, 4, last_epoch=3)
    assert scheduler.last_epoch == 4
    np.testing.assert_allclose(scheduler.get_last_lr(), [0.01, 0.003])


S, _ = optimizers(None)
LAST = ours.OneCycleLR(S, 0.1, 2)

ERRORS = [
    (lambda: ours.StepLR(3, 1), TypeError, "StepLR: optimizer must be an Optimizer, got int"),
    (lambda: ours.StepLR(S, 0), ValueError, "StepLR: step_size must be"),
    (lambda: ours.StepLR(S, 1, gamma=-1), ValueError, "StepLR: gamma must be at least 0"),
    (lambda: ours.MultiStepLR(S, [1.5]), TypeError, "MultiStepLR: milestones must be an integer"),
    (lambda: ours.LinearLR(S, 0), ValueError, r"LinearLR: start_factor must be in \(0, 1\]"),
    (lambda: ours.LinearLR(S, end_factor=2), ValueError, "LinearLR: end_factor must be in"),
    (lambda: ours.ConstantLR(S, 0), ValueError, "ConstantLR: factor must be in"),
    (lambda: ours.CosineAnnealingLR(S, 0), ValueError, "CosineAnnealingLR: T_max must be"),
    (lambda: ours.LambdaLR(S, [abs]), ValueError, "LambdaLR: lr_lambda must be a function, or 2"),
    (lambda: ours.OneCycleLR(S, 0.1), ValueError, "total_steps must be given, or both epochs"),
    (lambda: ours.OneCycleLR(S, [0.1], 5), ValueError, "max_lr must have 2 numbers, one a group"),
    (lambda: ours.OneCycleLR(S, 0.1, 5, pct_start=2), ValueError, r"pct_start must be in \[0, 1\]"),
    (lambda: ours.OneCycleLR(S, 0.1, 5, div_factor=0), ValueError, "must be positive, got 0"),
    (lambda: ours.OneCycleLR(S, 0.1, 5, anneal_strategy="x"), ValueError, "'cos' or 'linear'"),
    (
        lambda: ours.OneCycleLR(optim.Adagrad([nn.Parameter([1.0])]), 0.1, 5),
        ValueError,
        "cycle_momentum must be False, as Adagrad has neither momentum nor betas",
    ),
    (lambda: [LAST.step() for _ in range(3)], ValueError, "step 3 is one more than total_steps, 2"),
    (lambda: ours.ReduceLROnPlateau(S, "up"), ValueError, "mode must be one of .*, got 'up'"),
    (lambda: ours.ReduceLROnPlateau(S, factor=1), ValueError, r"factor must be in \[0, 1\)"),
    (lambda: ours.SequentialLR(S, [], []), ValueError, "schedulers is empty"),
    (lambda: ours.SequentialLR(S, [3], []), TypeError, r"schedulers\[0\] must be a schedule"),
    (
        lambda: ours.SequentialLR(S, [ours.ReduceLROnPlateau(S)], []),
        ValueError,
        "whose step needs a measure",
    ),
    (lambda: ours.SequentialLR(S, [LAST], [1]), ValueError, "milestones must be 0, one fewer"),
    (lambda: ours.SequentialLR(optimizers(None)[0], [LAST], []), ValueError, "another optimizer"),
    (lambda: LAST.load_state_dict(3), TypeError, "OneCycleLR: state_dict must be a mapping"),
    (
        lambda: LAST.load_state_dict({**LAST.state_dict(), "x": 1, "last_epoch": "2"}),
        ValueError,
        "nothing was loaded: x is unexpected; last_epoch is '2', expected something like",
    ),
    (
        lambda: LAST.load_state_dict({}),
        ValueError,
        "total_steps is missing; .*last_epoch is missing",
    ),
]


@pytest.mark.parametrize(("call", "error", "message"), ERRORS)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_parts_of_a_sequence_are_loaded_all_or_none():
    own, _ = optimizers(None)
    scheduler = sequence(ours, own)
    state = scheduler.state_dict()
    for _ in range(7):
        scheduler.step()
    before = scheduler.state_dict()
    state["schedulers"][2]["gamma"] = None
    state["schedulers"][2].pop("last_epoch")
    with pytest.raises(ValueError, match="ExponentialLR: state_dict does not fit"):
        scheduler.load_state_dict(state)
    assert scheduler.state_dict() == before
    assert "SequentialLR(last_epoch=7" in repr(scheduler)
