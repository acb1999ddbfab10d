"""Images on their way through a layer: batches (N, C, H, W), and (C, H, W) as a batch of one."""

from nncore.nn.arrays import Array


def batch_of(x: Array, layer: str, arg: str = "x") -> Array:
    """`x` as (N, C, H, W).

    Raises
    ------
    ValueError
        It has neither three nor four axes.
    """
    if x.ndim == 4:
        return x
    if x.ndim == 3:
        return x[None]
    raise ValueError(f"{layer}: {arg} has shape {x.shape}, expected (N, C, H, W) or (C, H, W)")


def unbatched(images: Array, x: Array) -> Array:
    """`images` with as many axes as `x`, which went in."""
    return images if x.ndim == 4 else images[0]
