# Linear: y = x weight^T + bias and its backward, one engine call each.

cdef int _plan_linear(nn_op *op, ndarray x, ndarray weight, str layer) except -1:
    """Plans the operation on the rows of x; checks x and the weights."""
    cdef nn_error error
    cdef int type_number = cnp.NPY_FLOAT if cnp.PyArray_TYPE(x) == cnp.NPY_FLOAT else cnp.NPY_DOUBLE
    cdef int rank = cnp.PyArray_NDIM(x), axis
    if cnp.PyArray_NDIM(weight) != 2:
        raise ValueError(f"{layer}: weight has shape {(<object>weight).shape}, expected two axes")
    if rank == 0 or x.shape[rank - 1] != weight.shape[1]:
        raise ValueError(
            f"{layer}: x has {x.shape[rank - 1] if rank else 'no'} features, weight expects {weight.shape[1]}"
            f" (x has shape {(<object>x).shape})"
        )
    memset(op, 0, sizeof(nn_op))
    op.kind = NN_OP_LINEAR
    op.dtype = dtype_of(x)
    op.x[0] = 1
    for axis in range(rank - 1):
        op.x[0] *= x.shape[axis]
    op.x[1] = weight.shape[1]
    op.x[2] = op.x[3] = 1
    op.channels = weight.shape[0]
    op.groups = 1
    check(nn_op_plan(op, &error), &error, layer)
    _held(x, op.x_count, type_number, layer, "x")
    _held(weight, op.weight_count, type_number, layer, "weight")
    return 0


cdef ndarray _rows(ndarray array, int64_t rows, int64_t width):
    """All axes but the last as one; None for None."""
    return array if array is None or cnp.PyArray_NDIM(array) == 2 else (<object>array).reshape((rows, width))


cdef int _linear_forward(const nn_op *op, real[:, ::1] y, const real[:, ::1] x, const real[:, ::1] weight,
                         const real[::1] bias, ndarray work, str layer) except -1:
    cdef nn_io io
    cdef nn_error error
    cdef nn_status status
    memset(&io, 0, sizeof(nn_io))
    io.y = &y[0, 0]
    io.x = &x[0, 0]
    io.weight = &weight[0, 0]
    if bias is not None:
        io.bias = &bias[0]
    io.work = cnp.PyArray_DATA(work)
    with nogil:
        status = nn_op_forward(op, &io, &error)
    return check(status, &error, layer)


def linear_forward(ndarray x not None, ndarray weight not None, ndarray bias=None, str layer="Linear"):
    """y (..., out) = x (..., in) weight^T + bias; x is `floating`, weight (out, in) and bias (out) its dtype."""
    cdef nn_op op
    cdef cnp.npy_intp shape[64]
    cdef int rank = cnp.PyArray_NDIM(x)
    x = row_major(x)
    _plan_linear(&op, x, weight, layer)
    _check_size(bias, op.channels, "bias", layer)
    _held(bias, op.bias_count, cnp.PyArray_TYPE(x), layer, "bias")
    memcpy(shape, cnp.PyArray_DIMS(x), rank * sizeof(cnp.npy_intp))
    shape[rank - 1] = op.channels
    cdef ndarray y = empty_array(rank, shape, cnp.PyArray_TYPE(x)), work = workspace(op.forward_bytes)
    cdef ndarray y_rows = _rows(y, op.x[0], op.channels), x_rows = _rows(x, op.x[0], op.x[1])
    if op.dtype == NN_FLOAT32:
        _linear_forward[float](&op, y_rows, x_rows, weight, bias, work, layer)
    else:
        _linear_forward[double](&op, y_rows, x_rows, weight, bias, work, layer)
    return y


cdef int _check_size(ndarray vector, int64_t size, str arg, str layer) except -1:
    if vector is not None and (cnp.PyArray_NDIM(vector) != 1 or vector.shape[0] != size):
        raise ValueError(f"{layer}: {arg} has shape {(<object>vector).shape}, expected ({size},)")
    return 0


cdef int _check_gradient(ndarray array, int64_t count, int type_number, str layer, str arg) except -1:
    if array is not None and not cnp.PyArray_ISWRITEABLE(array):
        raise ValueError(f"{layer}: {arg} is read-only")
    _held(array, count, type_number, layer, arg)
    return 0


cdef bint _is_output(ndarray dy, ndarray x, int64_t out):
    """Whether dy has the shape of x but for `out` features."""
    cdef int rank = cnp.PyArray_NDIM(x), axis
    if cnp.PyArray_NDIM(dy) != rank or dy.shape[rank - 1] != out:
        return False
    for axis in range(rank - 1):
        if dy.shape[axis] != x.shape[axis]:
            return False
    return True


cdef int _linear_backward(const nn_op *op, real[:, ::1] dx, real[:, ::1] dweight, real[::1] dbias,
                          const real[:, ::1] dy, const real[:, ::1] x, const real[:, ::1] weight, str layer) except -1:
    cdef nn_io io
    cdef nn_error error
    cdef nn_status status
    memset(&io, 0, sizeof(nn_io))
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
        status = nn_op_backward(op, &io, &error)
    return check(status, &error, layer)


def linear_backward(ndarray dy not None, ndarray x not None, ndarray weight not None, ndarray dweight=None,
                    ndarray dbias=None, bint input_grad=True, str layer="Linear"):
    """Returns dx = dy weight (None unless `input_grad`); ADDS dy^T x to dweight and the sums of dy to dbias."""
    cdef nn_op op
    cdef int type_number = cnp.PyArray_TYPE(x)
    cdef ndarray dx = None
    x = row_major(x)
    _plan_linear(&op, x, weight, layer)
    if not _is_output(dy, x, op.channels):
        raise ValueError(
            f"{layer}: grad has shape {(<object>dy).shape}, expected {(<object>x).shape[:-1] + (op.channels,)}"
        )
    if dweight is not None and (cnp.PyArray_NDIM(dweight) != 2 or dweight.shape[0] != op.channels):
        raise ValueError(f"{layer}: dweight has shape {(<object>dweight).shape}, expected {(<object>weight).shape}")
    _check_size(dbias, op.channels, "dbias", layer)
    dy = row_major(dy)
    _held(dy, op.y_count, type_number, layer, "grad")
    _check_gradient(dweight, op.weight_count, type_number, layer, "dweight")
    _check_gradient(dbias, op.bias_count, type_number, layer, "dbias")
    if input_grad:
        dx = empty_array(cnp.PyArray_NDIM(x), cnp.PyArray_DIMS(x), type_number)
    cdef ndarray dx_rows = _rows(dx, op.x[0], op.x[1]), dy_rows = _rows(dy, op.x[0], op.channels)
    x = _rows(x, op.x[0], op.x[1])
    if op.dtype == NN_FLOAT32:
        _linear_backward[float](&op, dx_rows, dweight, dbias, dy_rows, x, weight, layer)
    else:
        _linear_backward[double](&op, dx_rows, dweight, dbias, dy_rows, x, weight, layer)
    return dx
