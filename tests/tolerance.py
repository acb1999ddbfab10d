"""How far a result may be from the reference."""

import numpy as np


def product_bound(magnitude, terms, dtype):
    """4 n eps sum|a||b|: the bound on a sum of `terms` products computed in `dtype`.

    `magnitude` is the sum of the absolute products, element by element: the reference on absolute
    values. The smallest normal number is added for sums that underflow.
    """
    info = np.finfo(dtype)
    return 4 * terms * info.eps * np.asarray(magnitude, np.float64) + info.tiny


def assert_products_close(actual, expected, magnitude, terms):
    """`actual` has the shape of `expected` (float64) and is within `product_bound` of it.

    Element by element; where `expected` is not finite, `actual` is the same infinity or NaN.
    """
    assert actual.shape == expected.shape
    finite = np.isfinite(expected)
    np.testing.assert_array_equal(actual[~finite], expected[~finite].astype(actual.dtype))
    bound = np.broadcast_to(product_bound(magnitude, terms, actual.dtype), expected.shape)[finite]
    distance = np.abs(actual[finite].astype(np.float64) - expected[finite])
    # not (<=): a NaN is never close
    far = ~(distance <= bound)
    if far.any():
        worst = np.flatnonzero(far)[0]
        raise AssertionError(
            f"{far.sum()} of {far.size} elements beyond their bound; the first: "
            f"{distance[worst]:g} from {expected[finite][worst]:g}, allowed {bound[worst]:g}"
        )


def assert_same_bits(actual, expected):
    """Equal shape, dtype and bits: -0 is not 0, a NaN equals itself."""
    assert actual.shape == expected.shape
    assert actual.dtype == expected.dtype
    same = contiguous_bytes(actual) == contiguous_bytes(expected)
    assert same, f"bits differ by at most {np.nanmax(np.abs(actual - expected), initial=0)}"


def contiguous_bytes(array):
    return np.ascontiguousarray(array).tobytes()
