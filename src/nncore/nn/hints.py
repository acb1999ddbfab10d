"""What to write instead, for the habits that people bring from PyTorch."""

from typing import NoReturn

_CPU = "nncore computes on the CPU: leave it out"
_DTYPE = "for a copy of another dtype write model.astype(np.float64)"

PARAMETER = {
    "numpy": "write parameter.data, which is a NumPy array",
    "item": "write parameter.data.item()",
    "detach": "write parameter.data, which is a NumPy array",
    "cpu": _CPU,
    "cuda": _CPU,
    "to": f"{_CPU}; a parameter keeps its dtype, {_DTYPE}",
    "backward": "write model.backward(loss_fn.backward())",
}
MODULE = {
    "cpu": _CPU,
    "cuda": _CPU,
    "to": f"{_CPU}; {_DTYPE}",
    "float": "write model.astype(np.float32)",
    "double": "write model.astype(np.float64)",
    "half": "nncore has float32 and float64: write model.astype(np.float32)",
    "numpy": "write {name: p.data for name, p in model.named_parameters()}",
}
_OWN = "write a Module with _forward and _backward in NumPy for it (docs/composing.md)"
# Of what `forward` of a composed module computes with.
VALUE = {
    "size": "write x.shape",
    "view": "write x.reshape",
    "T": _OWN,
    "relu": "make a layer in __init__, self.act = nn.ReLU(), and call it",
    "detach": _OWN,
    "data": "its numbers are not there while forward is traced",
    "numpy": "its numbers are not there while forward is traced",
    "item": "its numbers are not there while forward is traced",
}
NUMPY = {
    "concatenate": "write nncore.concatenate([a, b], axis=1)",
    "stack": "write nncore.concatenate of values with an axis of size 1 more",
    "mean": "write x.mean(axes)",
    "reshape": "write x.reshape(shape)",
    "ravel": "write x.flatten()",
}
LOSS = {
    "backward": "a loss is a float; write model.backward(loss_fn.backward())",
    "item": "a loss is a float already",
    "detach": "a loss is a float already",
    "numpy": "a loss is a float; write np.asarray(loss)",
    "cpu": "a loss is a float already",
    "cuda": _CPU,
    "to": _CPU,
}


def missing(owner: object, name: str, hints: dict[str, str]) -> NoReturn:
    """Raises the AttributeError of an attribute that `owner` lacks, with the hint for it."""
    kind = type(owner).__name__
    if name in hints:
        raise AttributeError(f"{kind} has no {name}(): {hints[name]}")
    raise AttributeError(f"{kind!r} object has no attribute {name!r}", name=name, obj=owner)
