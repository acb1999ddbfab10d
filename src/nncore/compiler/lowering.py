"""The tape of a compiled step: `forward` is run with values that have shapes and no numbers, and
each step becomes a node of a graph."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from nncore.compiler import lines
from nncore.nn import parts, structure
from nncore.nn.elementary import Elementary
from nncore.nn.module import Module
from nncore.nn.operation import Operation as Node
from nncore.nn.operation import Shape
from nncore.nn.tracing import Inherited, Tape, Value

# The operation of a layer, as this class computes it, for an input of this shape; None where it
# changes nothing.
Rule = Callable[[Module, type, str, Shape], Node | None]


@dataclass
class Graph:
    """Operations in order of execution; a loss is the last.

    Values are numbered: first the `sources`, the arrays of a batch, then the nodes' outputs.
    """

    nodes: list[Node]
    sources: int
    outputs: tuple[int, ...]  # values; with a loss the one that it reads
    several: bool = False  # whether the model returns a tuple
    constants: list[Any] = field(default_factory=list)  # arrays in the arithmetic of `forward`

    @property
    def indices(self) -> dict[int, Node]:
        """The sources of whole numbers, each with an operation that reads it."""
        return {node.inputs[0]: node for node in self.nodes if node.entries is not None}

    @property
    def output_shapes(self) -> tuple[Shape, ...]:
        """Shapes of the outputs, at the capacity."""
        return tuple(self.nodes[value - self.sources].y_shape for value in self.outputs)

    def key(self) -> list[Any]:
        """Equal for graphs that compute the same, whatever the size of the batch."""
        nodes = [
            (
                node.kind,
                node.inputs,
                node.x_shape[1:],
                node.y_shape[1:],
                node.parameter,
                [id(parameter) for parameter in node.parameters],
            )
            for node in self.nodes
        ]
        return [nodes, self.outputs, self.several, [id(array) for array in self.constants]]


class Lowering(Tape):
    """Writes each step down as a node; `rule` says which one a layer is."""

    def __init__(self, root: Module, dtype: np.dtype[Any], rule: Rule) -> None:
        super().__init__(root)
        self.dtype, self.rule = dtype, rule
        self.shapes: list[Shape] = []  # of each value
        self.constants: list[Any] = []
        # Label, node and inputs of each step; no node where it changes nothing.
        self.steps: list[tuple[str, Node | None, tuple[int, ...]]] = []

    def leaf(self, step: Any, inputs: tuple[Value, ...]) -> Value:
        node: Node | None
        if isinstance(step, Elementary):
            label = f"{self._label(self.running)} {step.label}"
            self.constants.append(step.held)
            node = step._operation([value.shape for value in inputs], self.dtype)
            node.label = label
        else:
            label = self._label(step)
            if len(inputs) > 1:
                raise TypeError(
                    f"compile: {label} has no compiled form for {len(inputs)} inputs: run the model"
                    " eagerly"
                )
            inherited = isinstance(step, Inherited)
            layer, kind = (step.module, step.kind) if inherited else (step, type(step))
            node = self.rule(layer, kind, label, inputs[0].shape)
        self.steps.append((label, node, tuple(value.number for value in inputs)))
        if node is None:
            return self._new(inputs[0].shape)
        over_lines = lines.reads_images(inputs[0].shape, node)
        return self._new(lines.of_images(node.y_shape) if over_lines else node.y_shape)

    def _label(self, module: Any) -> str:
        whole = module.module if isinstance(module, Inherited) else module
        name, kind = self.name(whole), type(whole).__name__
        return f"{kind} ({name})" if name else kind

    def _new(self, shape: Shape) -> Value:
        self.shapes.append(shape)
        return self.new(shape, self.dtype)

    def graph(self, shapes: Sequence[Shape]) -> Graph:
        """The whole graph, for inputs of these shapes."""
        for module in self.root.modules():
            if "_hooks" in module.__dict__:
                raise TypeError(
                    f"compile: {self._label(module)} has hooks, which run by hand alone: remove"
                    " them, or run the model eagerly"
                )
        sources = tuple(self._new(shape) for shape in shapes)
        outputs, several = self.run(sources)
        ends = [value.number for value in outputs]
        readers = [0] * self.count
        for number in (*ends, *(each for _, _, inputs in self.steps for each in inputs)):
            readers[number] += 1
        writer = lines.Writer(len(sources))
        for label, node, inputs in self.steps:
            if node is None:
                # Left out, unless gradients would then be added in another order than by hand.
                before = writer.places[inputs[0]]
                ends_at_source = before < len(sources) and len(writer.places) in ends
                if readers[inputs[0]] == 1 and not ends_at_source:
                    writer.same(inputs[0])
                    continue
                shape = self.shapes[inputs[0]]
                node = Node(label, "reshape", shape, shape)
            writer.write(node, inputs, [self.shapes[each] for each in inputs])
        outputs_at = tuple(writer.logical(number, self.shapes[number]) for number in ends)
        graph = Graph(writer.nodes, len(sources), outputs_at, several, self.constants)
        _check_indices(graph)
        return graph


def _check_indices(graph: Graph) -> None:
    """Whole numbers come with the batch, and an Embedding is all that reads them."""
    indices = graph.indices
    for source, node in indices.items():
        if source >= graph.sources:
            raise TypeError(
                f"compile: {node.label}: x is computed within the model, expected whole numbers,"
                " an input of it"
            )
    for node in graph.nodes:
        for value in node.inputs:
            if value in indices and node.entries is None:
                raise TypeError(
                    f"compile: {node.label} has no compiled form for the whole numbers that"
                    f" {indices[value].label} reads: run the model eagerly"
                )


def lowered(root: Module, dtype: np.dtype[Any], rule: Rule, shapes: Sequence[Shape]) -> Graph:
    """The graph of a model for batches of up to `shapes[0][0]` samples.

    Raises
    ------
    RuntimeError
        `forward` does not do the same for another size of batch, or at another time, or it makes
        or changes modules.
    """
    before = structure.version()
    graph = Lowering(root, dtype, rule).graph(shapes)
    if any(module._composed for module in root.modules()):
        parts.heed_modes(root)
        larger = [(shape[0] + 1, *shape[1:]) for shape in shapes]
        again = Lowering(root, dtype, rule).graph(larger)
        what = ""
        if structure.version() != before:
            what = "makes or changes modules or their attributes"
        elif again.key() != graph.key():
            what = "does not do the same twice, or not for batches of another size"
        if what:
            raise RuntimeError(
                f"compile: forward of {type(root).__name__} {what}: what it does may depend on"
                " modes and attributes of modules, and on nothing that changes from run to run"
            )
    return graph
