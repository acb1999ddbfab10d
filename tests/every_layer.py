"""Every public layer and loss with some of its options: what tests of all of them go through.

A test fails where a public class is missing here. `their` makes PyTorch's counterpart where it has
another name, or is no module.
"""

from typing import Any, NamedTuple

import numpy as np

from nncore import nn


class Case(NamedTuple):
    """A layer with its options, and a shape that it takes."""

    kind: str
    args: tuple[Any, ...] = ()
    options: dict[str, Any] = {}  # noqa: RUF012  (never changed)
    shape: tuple[int, ...] = (5, 6)
    their: Any = None  # torch -> a function of a tensor, or a module
    typed: bool = False  # whether it takes a dtype
    compiles: bool = True

    def __str__(self) -> str:
        shown = [repr(each) for each in self.args if not isinstance(each, nn.Module)]
        shown += [f"{name}={value!r}" for name, value in self.options.items()]
        return f"{self.kind}({','.join(shown)}){'x'.join(map(str, self.shape))}".replace(" ", "")

    def build(self, dtype):
        own = {"dtype": dtype} if self.typed else {}
        args = [each.astype(dtype) if isinstance(each, nn.Module) else each for each in self.args]
        layer = getattr(nn, self.kind)(*args, **self.options, **own)
        layer.reset_parameters(1)
        rng = np.random.default_rng(2)
        for parameter in layer.parameters():  # ones and zeros would hide much
            parameter.data[...] = rng.uniform(-1, 1.5, parameter.shape)
        return layer

    def twin(self, torch, layer, dtype):
        """PyTorch's, with the same values."""
        made = self.their(torch) if self.their else getattr(torch.nn, self.kind)
        if not isinstance(made, torch.nn.Module) and isinstance(made, type):
            made = made(*self.args, **self.options)
        if isinstance(made, torch.nn.Module):
            made = made.to(getattr(torch, np.dtype(dtype).name))
            values = {name: torch.tensor(value) for name, value in layer.state_dict().items()}
            made.load_state_dict(values)
        return made

    def draw(self, dtype, shape=None, seed=3):
        rng = np.random.default_rng(seed)
        shape = self.shape if shape is None else shape
        if self.kind == "Embedding":
            return rng.integers(0, self.args[0], shape)
        return np.asarray(2 * rng.standard_normal(shape), dtype)


IMAGE, LINE, WIDE = (3, 4, 6, 9), (3, 4, 9), (2, 12, 5, 7)


def typed(kind, *args, shape=(5, 6), **options):
    return Case(kind, args, options, shape, typed=True)


def plain(kind, *args, shape=(5, 6), **options):
    return Case(kind, args, options, shape)


def _upsample(**options):
    return lambda torch: torch.nn.Upsample(**options)


def _sum(torch):
    module = torch.nn.Module()
    module.body, module.shortcut = torch.nn.Linear(6, 6), torch.nn.Identity()
    module.forward = lambda x: module.shortcut(x) + module.body(x)
    return module


def _joined(torch):
    module = torch.nn.ModuleList([torch.nn.Conv2d(4, 3, 1), torch.nn.Tanh()])
    module.forward = lambda x: torch.cat([branch(x) for branch in module], 1)
    return module


def _chain(torch):
    return torch.nn.Sequential(torch.nn.Linear(6, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2))


CASES = [
    # activations
    *(plain(kind) for kind in ("ReLU", "ReLU6", "SELU", "Sigmoid", "LogSigmoid", "Tanh")),
    *(plain(kind, shape=IMAGE) for kind in ("SiLU", "Mish", "Softsign", "Hardswish")),
    *(plain("LeakyReLU", *slope, shape=LINE) for slope in ((), (0.3,), (-0.2,))),
    plain("Hardsigmoid", shape=(7,)), plain("GELU"), plain("GELU", approximate="tanh", shape=IMAGE),
    plain("ELU"), plain("ELU", 0.7, shape=IMAGE), plain("CELU", 0.5), plain("Hardtanh", -0.5, 2.0),
    plain("Softplus", shape=LINE), plain("Softplus", 2, 1), typed("PReLU"),
    typed("PReLU", 4, 0.1, shape=IMAGE), typed("PReLU", 6), typed("PReLU", 4, shape=LINE),
    plain("Softmax", -1), plain("Softmax", 1, shape=IMAGE), plain("Softmax", 2, shape=LINE),
    plain("LogSoftmax", 1), plain("LogSoftmax", 1, shape=LINE),
    # products
    typed("Linear", 6, 4), typed("Linear", 6, 1, bias=False), typed("Linear", 6, 3, shape=(1, 6)),
    typed("Conv2d", 4, 5, 3, shape=IMAGE), typed("Conv2d", 4, 6, (3, 2), (2, 1), (1, 0),
    shape=IMAGE),
    typed("Conv2d", 4, 6, 3, padding="same", dilation=2, groups=2, bias=False, shape=IMAGE),
    typed("Conv2d", 4, 8, 1, padding="valid", groups=4, shape=IMAGE),
    typed("Conv2d", 12, 12, 3, padding=1, shape=WIDE),
    typed("Conv1d", 4, 5, 3, 2, 1, shape=LINE),
    typed("Conv1d", 4, 6, 2, padding="same", dilation=3, groups=2, bias=False, shape=LINE),
    typed("ConvTranspose2d", 4, 3, 3, shape=IMAGE),
    typed("ConvTranspose2d", 4, 6, (2, 3), (3, 2), 1, (1, 0), 2, False, (1, 2), shape=IMAGE),
    # pooling
    plain("MaxPool2d", 2, shape=IMAGE), plain("MaxPool2d", (3, 2), (2, 1), (1, 0), shape=IMAGE),
    plain("MaxPool2d", 3, 2, 1, (1, 2), ceil_mode=True, shape=IMAGE),
    plain("MaxPool1d", 3, 2, 1, ceil_mode=True, shape=LINE),
    plain("MaxPool1d", 2, dilation=3, shape=LINE),
    plain("AvgPool2d", 2, shape=IMAGE), plain("AvgPool2d", 3, 2, 1, True, False, shape=IMAGE),
    plain("AvgPool2d", (3, 2), (1, 3), (1, 0), divisor_override=5, shape=IMAGE),
    plain("AvgPool1d", 2, shape=LINE), plain("AvgPool1d", 3, 2, 1, True, False, shape=LINE),
    plain("AdaptiveAvgPool2d", 1, shape=IMAGE), plain("AdaptiveAvgPool2d", (4, None), shape=IMAGE),
    plain("AdaptiveMaxPool2d", (3, 3), shape=IMAGE), plain("AdaptiveMaxPool2d", (4, 5),
    shape=IMAGE),
    plain("AdaptiveAvgPool1d", 4, shape=LINE), plain("AdaptiveMaxPool1d", 2, shape=LINE),
    Case("GlobalAvgPool2d", (), {}, IMAGE, lambda torch: torch.nn.AdaptiveAvgPool2d(1)),
    Case("Resize2d", ((4, 13),), {}, IMAGE, _upsample(size=(4, 13))),
    Case("Resize2d", (), {"scale_factor": 1.5, "mode": "bilinear"}, IMAGE,
         _upsample(scale_factor=1.5, mode="bilinear")),
    Case("Resize2d", (7,), {"mode": "bilinear", "align_corners": True}, IMAGE,
         _upsample(size=7, mode="bilinear", align_corners=True)),
    # normalisation
    typed("BatchNorm1d", 6), typed("BatchNorm1d", 4, shape=LINE),
    typed("BatchNorm1d", 6, momentum=None, eps=1e-2), typed("BatchNorm2d", 4, shape=IMAGE),
    typed("BatchNorm2d", 4, affine=False, momentum=0.3, shape=IMAGE),
    typed("BatchNorm2d", 4, track_running_stats=False, shape=IMAGE),
    typed("LayerNorm", 6), typed("LayerNorm", (6, 9), bias=False, shape=IMAGE),
    typed("LayerNorm", 9, eps=1e-2, elementwise_affine=False, shape=LINE),
    typed("GroupNorm", 2, 4, shape=IMAGE), typed("GroupNorm", 3, 6),
    typed("GroupNorm", 4, 4, affine=False, shape=LINE), typed("RMSNorm", 6),
    typed("RMSNorm", 9, eps=1e-3, elementwise_affine=False, shape=IMAGE),
    # others
    plain("Dropout", 0.0), plain("Dropout", 1.0, shape=IMAGE), plain("Dropout2d", 0.0, shape=IMAGE),
    plain("Dropout2d", 1.0, shape=IMAGE), plain("Identity", shape=LINE),
    plain("Flatten", shape=IMAGE),
    plain("Flatten", 2, shape=IMAGE)._replace(compiles=False),
    plain("Unflatten", 1, (2, 3)), plain("Unflatten", 1, (2, 2),
    shape=IMAGE)._replace(compiles=False),
    typed("Embedding", 7, 3, shape=(5,)), typed("Embedding", 7, 3, 2, shape=(4, 6)),
    Case("Residual", (nn.Linear(6, 6),), {}, (5, 6), _sum),
    Case("Concat", (nn.Conv2d(4, 3, 1), nn.Tanh()), {}, IMAGE, _joined),
    Case("Sequential", (nn.Linear(6, 3), nn.ReLU(), nn.Linear(3, 2)), {}, (5, 6), _chain),
]  # fmt: skip

# Not layers: what they are for has tests of its own.
NO_LAYERS = {"Module", "ModuleList", "ModuleDict"}
# What a draw decides: their values are in test_dropout.py.
RANDOM = {"Dropout", "Dropout2d"}
