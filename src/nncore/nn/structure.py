"""The version of the structure of all models: tells who built on a model to look again.

A compiled step is made for certain layers, modes and frozen parameters. Walking the model before
each call to see whether they are still the same would cost more than a small step does. So every
change of structure (a module's attribute set or deleted, `train`/`eval`, `requires_grad`) takes a
new number here: while the number is the same, nothing has changed; when it is another, something
may have, somewhere.
"""

from itertools import count

# next() on it is atomic: two threads never take the same number, so none of their changes is lost.
_numbers = count(1)
_version = 0


def changed() -> None:
    """Note a change of structure."""
    global _version
    _version = next(_numbers)


def version() -> int:
    """The number of the latest change."""
    return _version


# The same for gradients: who takes the array of one, to look at it or to write to it, takes a
# number. A step that has seen all numbers knows which gradients are zero, and leaves those alone.
gradients = 0


def gradient_taken() -> None:
    """Note that somebody has the array of a gradient, or has written to gradients."""
    global gradients
    gradients = next(_numbers)
