# Flatten: (N, ...) to (N, features) in logical order, and back: a change of memory order where there are images.

cdef int64_t _features(tuple shape):
    """Product of all sizes but the first."""
    cdef int64_t features = 1
    for size in shape[1:]:
        features *= size
    return features


def flatten_forward(ndarray x not None, layer="Flatten"):
    """(N, features) of x (N, ...) in logical order; shares x's memory where x is in C order."""
    shape = (<object>x).shape
    if len(shape) == 0:
        raise ValueError(f"{layer}: x has shape (), expected at least one axis, the batch")
    return as_channels_first(x).reshape(shape[0], _features(shape))


def flatten_backward(ndarray dy not None, tuple x_shape not None, layer="Flatten"):
    """dx of shape `x_shape` from dy (N, features); channels-last memory where it has four axes."""
    if len(x_shape) == 0:
        raise ValueError(f"{layer}: x has shape (), expected at least one axis, the batch")
    flat = (x_shape[0], _features(x_shape))
    if (<object>dy).shape != flat:
        raise ValueError(f"{layer}: grad has shape {(<object>dy).shape}, expected {flat}")
    grad = dy.reshape(x_shape)
    return as_channels_last(grad) if len(x_shape) == 4 else row_major(grad)
