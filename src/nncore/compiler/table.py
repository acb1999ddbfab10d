"""The table that ``print(step)`` shows."""

from typing import Any

from nncore.nn.operation import Operation as Node

_HEAD = ("operation", "layer", "output", "bytes", "flops", "backward", "fused with")


def show(nodes: list[Node], core: Any, *, updates: bool = False, plain: bool = False) -> str:
    """A row for each operation, at the size of the batch planned last; then the arena.

    `backward` says whether training runs it: nothing frozen has one, unless something that learns
    lies before it. `fused with` is a layer, where the two are one operation, shown in the row of
    the second; or, of an activation, the layer that applies it to what it writes, y of the one
    before and the gradient of the one behind; or the update of the weight, where that follows its
    gradient from the cache, which is for `updates`, where no gradient is needed for anything else.
    `plain` says that they are param - lr gradient, and that is all.

    Bytes are those of the output in the arena, with its gradient and what is saved for backward:
    buffers that are never alive together share memory, so the arena is smaller than their sum.
    """
    fused: list[list[str]] = [[] for _ in nodes]
    for index in range(len(nodes)):
        others = [core.followed(index, True), core.followed(index, False)]
        if core.merged(index):
            others.append(index + 1)
        for other in others:
            if other >= 0:
                fused[index].append(nodes[other].label)
                fused[other].append(nodes[index].label)
    rows = [_HEAD]
    for index, node in enumerate(nodes):
        places = core.places(index)
        held = sum(place[1] for place in places.values())
        shape = "x".join(str(size) for size in node.y_shape)
        learns = "yes" if core.learns(index) else "-"
        flops = 0 if core.merged(index) else core.flops(index)
        if updates and core.fusible(index, plain):
            fused[index].append("update")
        partners = ", ".join(fused[index])
        rows.append((node.kind, node.label, shape, f"{held:,}", f"{flops:,}", learns, partners))
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    lines = [
        "  ".join(
            cell.rjust(width) if 2 < column < 6 else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    held = sum(place[1] for index in range(len(nodes)) for place in core.places(index).values())
    held += sum(place[1] for place in core.common_places().values())
    lines.append(
        f"arena {core.arena_bytes:,} bytes for {core.capacity:,} samples ({held:,} without sharing)"
    )
    return "\n".join(lines)
