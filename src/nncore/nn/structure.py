"""The version of the structure of all models: tells who built on a model to look again.

A compiled step is made for certain layers, modes and frozen parameters. Walking the model before
each call to see whether they are still the same would cost more than a small step does. So every
change of structure (a module's attribute set or deleted, `requires_grad`, `train`/`eval` where a
module computes by its mode) takes a new number here: while the number is the same, nothing has
changed; when it is another, something may have, somewhere. The number is the engine's, which asks
for it at each call of a small step.

Gradients have such a number too: who takes the array of one, to look at it or to write to it, takes
a new one. A step that has seen all numbers knows which gradients are zero, and leaves those alone.
"""

from nncore._core.engine import gradient_taken, gradients_version
from nncore._core.engine import structure_changed as changed
from nncore._core.engine import structure_version as version

__all__ = ["changed", "gradient_taken", "gradients_version", "version"]
