# Linear: y = x weight^T + bias and its backward, one engine call each.

cdef int _plan_linear(nn_op *op, nn_dtype dtype, int64_t n, int64_t in_features, int64_t out_features,
                      bint bias, str layer) except -1:
    cdef nn_error error
    memset(op, 0, sizeof(nn_op))
    op.kind = NN_OP_LINEAR
    op.dtype = dtype
    op.x[0] = n
    op.x[1] = in_features
    op.x[2] = op.x[3] = 1
    op.channels = out_features
    op.groups = 1
    op.bias = bias
    return check(nn_op_plan(op, &error), &error, layer)


cdef int _linear_forward(real[:, ::1] y, const real[:, ::1] x, const real[:, ::1] weight,
                         const real[::1] bias, str layer) except -1:
    cdef nn_op op
    cdef nn_io io
    cdef nn_error error
    cdef nn_status status
    _plan_linear(&op, NN_FLOAT32 if real is float else NN_FLOAT64, x.shape[0], x.shape[1],
                 weight.shape[0], bias is not None, layer)
    memset(&io, 0, sizeof(io))
    io.y = &y[0, 0]
    io.x = &x[0, 0]
    io.weight = &weight[0, 0]
    if bias is not None:
        io.bias = &bias[0]
    cdef ndarray work = workspace(op.forward_bytes)
    io.work = cnp.PyArray_DATA(work)
    with nogil:
        status = nn_op_forward(&op, &io, &error)
    return check(status, &error, layer)


def linear_forward(ndarray x not None, ndarray weight not None, ndarray bias=None, layer="Linear"):
    """y (..., out) = x (..., in) weight^T + bias; x is `floating`, weight (out, in) and bias (out) its dtype."""
    cdef ndarray x2, y
    cdef int rank = cnp.PyArray_NDIM(x)
    if rank == 0 or x.shape[rank - 1] != weight.shape[1]:
        raise ValueError(
            f"{layer}: x has {x.shape[rank - 1] if rank else 'no'} features, weight expects {weight.shape[1]}"
            f" (x has shape {(<object>x).shape})"
        )
    _check_size(bias, weight.shape[0], "bias", layer)
    x2 = row_major(x) if rank == 2 else row_major(x).reshape(-1 if x.size else _rows(x), x.shape[rank - 1])
    y = empty_matrix(x2.shape[0], weight.shape[0], cnp.PyArray_TYPE(x))
    if dtype_of(x) == NN_FLOAT32:
        _linear_forward[float](y, x2, weight, bias, layer)
    else:
        _linear_forward[double](y, x2, weight, bias, layer)
    return y if rank == 2 else (<object>y).reshape((<object>x).shape[:-1] + (weight.shape[0],))


cdef int _check_size(ndarray vector, int64_t size, str arg, layer) except -1:
    if vector is not None and (cnp.PyArray_NDIM(vector) != 1 or vector.shape[0] != size):
        raise ValueError(f"{layer}: {arg} has shape {(<object>vector).shape}, expected ({size},)")
    return 0


cdef int64_t _rows(ndarray x):
    """Product of all sizes but the last (reshape(-1) cannot tell it for an empty array)."""
    cdef int64_t rows = 1
    for axis in range(cnp.PyArray_NDIM(x) - 1):
        rows *= x.shape[axis]
    return rows


cdef int _linear_backward(real[:, ::1] dx, real[:, ::1] dweight, real[::1] dbias, const real[:, ::1] dy,
                          const real[:, ::1] x, const real[:, ::1] weight, str layer) except -1:
    cdef nn_op op
    cdef nn_io io
    cdef nn_error error
    cdef nn_status status
    _plan_linear(&op, NN_FLOAT32 if real is float else NN_FLOAT64, x.shape[0], x.shape[1],
                 weight.shape[0], dbias is not None, layer)
    memset(&io, 0, sizeof(io))
    io.dy = &dy[0, 0]
    io.x = &x[0, 0]
    io.weight = &weight[0, 0]
    if dx is not None:
        io.dx = &dx[0, 0]
    if dweight is not None:
        io.dweight = &dweight[0, 0]
    if dbias is not None:
        io.dbias = &dbias[0]
    with nogil:
        status = nn_op_backward(&op, &io, &error)
    return check(status, &error, layer)


def linear_backward(ndarray dy not None, ndarray x not None, ndarray weight not None, ndarray dweight=None,
                    ndarray dbias=None, bint input_grad=True, layer="Linear"):
    """Returns dx = dy weight (None unless `input_grad`); ADDS dy^T x to dweight and the sums of dy to dbias."""
    cdef ndarray x2, dy2, dx2 = None
    cdef int64_t rows = _rows(x)
    shape = (<object>x).shape
    if (<object>dy).shape != shape[:-1] + (weight.shape[0],):
        raise ValueError(
            f"{layer}: grad has shape {(<object>dy).shape}, expected {shape[:-1] + (weight.shape[0],)}"
        )
    if dweight is not None and (<object>dweight).shape != (<object>weight).shape:
        raise ValueError(f"{layer}: dweight has shape {(<object>dweight).shape}, expected {(<object>weight).shape}")
    _check_size(dbias, weight.shape[0], "dbias", layer)
    x2 = row_major(x).reshape(rows, weight.shape[1])
    dy2 = row_major(dy).reshape(rows, weight.shape[0])
    if input_grad:
        dx2 = empty_matrix(rows, weight.shape[1], cnp.PyArray_TYPE(x))
    if dtype_of(x) == NN_FLOAT32:
        _linear_backward[float](dx2, dweight, dbias, dy2, x2, weight, layer)
    else:
        _linear_backward[double](dx2, dweight, dbias, dy2, x2, weight, layer)
    return (<object>dx2).reshape(shape) if input_grad else None
