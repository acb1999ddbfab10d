"""Values on their way into the graph, those over lines in whichever form their reader wants.

To the engine lines (N, C, L) are images of height 1, in their order of memory. They stay so from
layer to layer, and are turned to logical order where something else reads them: for each reader
anew and just before it, so that gradients meet in the order in which they do by hand.
"""

from __future__ import annotations

from collections.abc import Sequence

from nncore.nn.operation import Operation as Node
from nncore.nn.operation import Shape

# Element by element, wherever each stands in memory.
_ANY_ORDER = frozenset(
    [
        *("relu", "sigmoid", "tanh", "leaky_relu", "elu", "gelu", "gelu_tanh", "silu", "softplus"),
        *("hardtanh", "hardsigmoid", "hardswish", "selu", "celu", "mish", "softsign", "scale"),
    ]
)


def reads_images(shape: Shape, node: Node) -> bool:
    """Whether a node takes its input of this logical shape as images of height 1."""
    return len(shape) == 3 and len(node.x_shape) == 4


def of_images(shape: Shape) -> Shape:
    """The lines that images of height 1 are."""
    return (*shape[:2], shape[3])


def _as_images(shape: Shape) -> Shape:
    return (*shape[:2], 1, shape[2])


class Writer:
    """Puts operations on the graph's list, and remembers where each value of the tape is there."""

    def __init__(self, sources: int) -> None:
        self.nodes: list[Node] = []
        self.places = list(range(sources))  # of each value: its number in the graph
        self._images = [False] * sources  # whether it lies there as images
        self._sources = sources

    def same(self, value: int) -> None:
        """The next value is this one."""
        self.places.append(self.places[value])
        self._images.append(self._images[value])

    def write(self, node: Node, inputs: Sequence[int], shapes: Sequence[Shape]) -> None:
        """The next value is computed by `node` from values of these logical shapes."""
        images = reads_images(shapes[0], node)
        given = self._images[inputs[0]]
        if given and node.kind == "flatten":
            node.x_shape = _as_images(shapes[0])
            node.inputs = (self.places[inputs[0]],)
        elif given and len(inputs) == 1 and node.kind in _ANY_ORDER:
            node.x_shape = node.y_shape = _as_images(shapes[0])
            node.inputs, images = (self.places[inputs[0]],), True
        else:
            node.inputs = tuple(
                self._turned(value, shape, images, node.label)
                for value, shape in zip(inputs, shapes, strict=True)
            )
        self._append(node)
        self.places.append(self._last)
        self._images.append(images)

    def logical(self, value: int, shape: Shape) -> int:
        """The number of a value in logical order."""
        label = self.nodes[-1].label if self.nodes else ""
        return self._turned(value, shape, False, label)

    def _turned(self, value: int, shape: Shape, to_images: bool, label: str) -> int:
        place = self.places[value]
        if len(shape) != 3 or self._images[value] == to_images:
            return place
        both = (shape, _as_images(shape))
        x_shape, y_shape = both if to_images else both[::-1]
        self._append(Node(label, "reshape", x_shape, y_shape, inputs=(place,)))
        return self._last

    def _append(self, node: Node) -> None:
        self.nodes.append(node)

    @property
    def _last(self) -> int:
        return self._sources + len(self.nodes) - 1
