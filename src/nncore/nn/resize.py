"""Resizing of images: pooling as down-scaling, and its opposite."""

from typing import Any

from nncore.nn.arguments import flag, number, pair, show
from nncore.nn.images import ImageLayer
from nncore.nn.operation import Operation, Pair, Shape

# The engine's nn_resize.
_NEAREST, _BILINEAR, _ALIGNED = range(3)


class Resize2d(ImageLayer):
    """Images of another size; PyTorch's ``Upsample``, larger or smaller.

    Output i of an axis looks at the place p of x: i * in / out ("nearest"), (i + 1/2) in / out -
    1/2, at least 0 ("bilinear"), or i (in - 1) / (out - 1) (with `align_corners`). "nearest" takes
    cell floor(p); "bilinear" weights that cell and the next one by 1 - r and r with r = p -
    floor(p), in both directions. Nothing is smoothed before: with a factor below 1/2 some cells
    take part in nothing.

    Backward: each gradient goes to the cells that its output was made of, with the same weights.

    Parameters
    ----------
    size : int or (int, int), optional
        Of the output.
    scale_factor : float or (float, float), optional
        Output sizes are floor(in * scale_factor), and 1 / scale_factor stands for in / out above,
        unless the output is as large as the input (for "nearest", or twice as large).
        Either `size` or `scale_factor` is given.
    mode : str
        "nearest" or "bilinear".
    align_corners : bool, optional
        Of "bilinear" only, by default False: whether the centres of the corners stay in place.
    recompute_scale_factor : bool, optional
        With `scale_factor`: whether in / out is taken from the sizes instead.

    Raises
    ------
    TypeError, ValueError
        At construction: none or both of `size` and `scale_factor` are given, one of them is not
        positive, `mode` is unknown or has no corners to align. At a call: x is not of floating
        numbers, has no channels or pixels, or nothing would be left of them.

    Notes
    -----
    Shapes: x (N, C, H, W) or (C, H, W); y (N, C, H', W') or (C, H', W'). "nearest" finds its cell
    in float32 arithmetic for every dtype, as PyTorch does for float32.
    """

    def __init__(
        self,
        size: int | Pair | None = None,
        scale_factor: float | tuple[float, float] | None = None,
        mode: str = "nearest",
        align_corners: bool | None = None,
        recompute_scale_factor: bool | None = None,
    ) -> None:
        if (size is None) == (scale_factor is None):
            raise ValueError(
                "Resize2d: exactly one of size and scale_factor must be given,"
                f" got size={size!r}, scale_factor={scale_factor!r}"
            )
        if mode not in ("nearest", "bilinear"):
            raise ValueError(f"Resize2d: mode must be 'nearest' or 'bilinear', got {mode!r}")
        if align_corners is not None and mode == "nearest":
            raise ValueError(
                f"Resize2d: align_corners must be None for mode 'nearest', got {align_corners!r}"
            )
        self.size = None if size is None else pair("Resize2d", "size", size, 1)
        self.scale_factor = None if scale_factor is None else _factors(scale_factor)
        self.mode = mode
        self.align_corners = (
            None if align_corners is None else flag("Resize2d", "align_corners", align_corners)
        )
        self.recompute_scale_factor = recompute_scale_factor is not None and flag(
            "Resize2d", "recompute_scale_factor", recompute_scale_factor
        )
        if self.recompute_scale_factor and self.scale_factor is None:
            raise ValueError("Resize2d: recompute_scale_factor must be None for a size, got True")

    def _over_images(self, shape: Shape) -> Operation:
        size, step = self.size, [0.0, 0.0]
        if size is None:
            factors = self.scale_factor or (1.0, 1.0)
            # Sizes beyond this are for the engine to refuse.
            size = (
                int(min(shape[2] * factors[0], 2.0**62)),
                int(min(shape[3] * factors[1], 2.0**62)),
            )
            if min(size) < 1 <= min(shape[2:]):
                raise ValueError(
                    f"Resize2d: x has shape {shape}, of which scale_factor {show(factors)} would"
                    " leave nothing"
                )
        for axis in range(2):
            before, after = shape[2 + axis], size[axis]
            if self.align_corners:
                step[axis] = (before - 1) / (after - 1) if after > 1 < before else 0.0
            elif self.scale_factor is None or self.recompute_scale_factor:
                step[axis] = before / max(after, 1)
            else:
                step[axis] = 1 / self.scale_factor[axis]
        return Operation(
            type(self).__name__,
            "resize2d",
            shape,
            (*shape[:2], *size),
            kernel_size=size,
            parameter=(step[0], step[1]),
            mode=_ALIGNED if self.align_corners else _BILINEAR if self.mode == "bilinear" else 0,
        )

    def extra_repr(self) -> str:
        named = "scale_factor" if self.size is None else "size"
        value: Any = self.scale_factor if self.size is None else self.size
        return f"{named}={show(value)}, mode={self.mode!r}"


def _factors(value: Any) -> tuple[float, float]:
    """One or two positive numbers."""
    parts = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
    if len(parts) != 2:
        raise ValueError(f"Resize2d: scale_factor must be one or two numbers, got {value!r}")
    height, width = (number("Resize2d", "scale_factor", part) for part in parts)
    if not min(height, width) > 0:
        raise ValueError(f"Resize2d: scale_factor must be positive, got {value!r}")
    return height, width
