# Flatten: (N, ...) to (N, features) in logical order, and back.

cdef int64_t _features(tuple shape):
    """Product of all sizes but the first."""
    cdef int64_t features = 1
    for size in shape[1:]:
        features *= size
    return features


cdef int _plan_flatten(nn_op *op, nn_dtype dtype, int64_t n, int64_t c, int64_t h, int64_t w, str layer) except -1:
    cdef nn_error error
    memset(op, 0, sizeof(nn_op))
    op.kind = NN_OP_FLATTEN
    op.dtype = dtype
    op.x[0] = n
    op.x[1] = c
    op.x[2] = h
    op.x[3] = w
    return check(nn_op_plan(op, &error), &error, layer)


cdef int _flatten_forward(real[:, ::1] y, const real[:, :, :, ::1] x, str layer) except -1:
    """x is (n, h, w, c): the memory's order."""
    cdef nn_op op
    cdef nn_io io
    cdef nn_error error
    cdef nn_status status
    _plan_flatten(&op, NN_FLOAT32 if real is float else NN_FLOAT64, x.shape[0], x.shape[3], x.shape[1],
                  x.shape[2], layer)
    memset(&io, 0, sizeof(io))
    io.y = &y[0, 0]
    io.x = &x[0, 0, 0, 0]
    with nogil:
        status = nn_op_forward(&op, &io, &error)
    return check(status, &error, layer)


cdef int _flatten_backward(real[:, :, :, ::1] dx, const real[:, ::1] dy, str layer) except -1:
    """dx is (n, h, w, c): the memory's order."""
    cdef nn_op op
    cdef nn_io io
    cdef nn_error error
    cdef nn_status status
    _plan_flatten(&op, NN_FLOAT32 if real is float else NN_FLOAT64, dx.shape[0], dx.shape[3], dx.shape[1],
                  dx.shape[2], layer)
    memset(&io, 0, sizeof(io))
    io.dx = &dx[0, 0, 0, 0]
    io.dy = &dy[0, 0]
    with nogil:
        status = nn_op_backward(&op, &io, &error)
    return check(status, &error, layer)


def flatten_forward(ndarray x not None, layer="Flatten"):
    """(N, features) of x (N, ...) in logical order; shares x's memory where x is in C order."""
    shape = (<object>x).shape
    if len(shape) == 0:
        raise ValueError(f"{layer}: x has shape (), expected at least one axis, the batch")
    cdef ndarray y
    flat = (shape[0], _features(shape))
    if cnp.PyArray_IS_C_CONTIGUOUS(x) or not _is_channels_last(x):
        return in_rows(x).reshape(flat)
    y = empty_matrix(flat[0], flat[1], cnp.PyArray_TYPE(x))
    if dtype_of(x) == NN_FLOAT32:
        _flatten_forward[float](y, x.transpose(0, 2, 3, 1), layer)
    else:
        _flatten_forward[double](y, x.transpose(0, 2, 3, 1), layer)
    return y


def flatten_backward(ndarray dy not None, tuple x_shape not None, layer="Flatten"):
    """dx of shape `x_shape` from dy (N, features); channels-last memory where it has four axes."""
    if len(x_shape) == 0:
        raise ValueError(f"{layer}: x has shape (), expected at least one axis, the batch")
    flat = (x_shape[0], _features(x_shape))
    if (<object>dy).shape != flat:
        raise ValueError(f"{layer}: grad has shape {(<object>dy).shape}, expected {flat}")
    cdef ndarray grad = in_rows(dy)
    if len(x_shape) != 4 or dy.size == 0:
        return (<object>grad).reshape(x_shape)
    cdef ndarray dx = empty_channels_last(x_shape[0], x_shape[1], x_shape[2], x_shape[3], cnp.PyArray_TYPE(dy))
    if dtype_of(dy) == NN_FLOAT32:
        _flatten_backward[float](dx.transpose(0, 2, 3, 1), grad, layer)
    else:
        _flatten_backward[double](dx.transpose(0, 2, 3, 1), grad, layer)
    return dx
