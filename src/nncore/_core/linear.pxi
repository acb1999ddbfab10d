# Linear: y = x weight^T + bias and its backward, one engine call each. No buffers: they cost more than a small product.

cdef int _plan_linear(nn_op *op, nn_io *io, ndarray x, ndarray weight, str layer) except -1:
    """Plans the operation on the rows of x, and takes x and the weights."""
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
    memset(io, 0, sizeof(nn_io))
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
    io.x = _held(x, op.x_count, type_number, layer, "x")
    io.weight = _held(weight, op.weight_count, type_number, layer, "weight")
    return 0


def linear_forward(ndarray x not None, ndarray weight not None, ndarray bias=None, str layer="Linear"):
    """y (..., out) = x (..., in) weight^T + bias; x is `floating`, weight (out, in) and bias (out) its dtype."""
    cdef nn_op op
    cdef nn_io io
    cdef nn_error error
    cdef nn_status status
    cdef cnp.npy_intp shape[64]
    cdef int rank = cnp.PyArray_NDIM(x)
    x = row_major(x)
    _plan_linear(&op, &io, x, weight, layer)
    _check_size(bias, op.channels, "bias", layer)
    io.bias = _held(bias, op.bias_count, cnp.PyArray_TYPE(x), layer, "bias")
    memcpy(shape, cnp.PyArray_DIMS(x), rank * sizeof(cnp.npy_intp))
    shape[rank - 1] = op.channels
    cdef ndarray y = empty_array(rank, shape, cnp.PyArray_TYPE(x)), work = workspace(op.forward_bytes)
    io.y = cnp.PyArray_DATA(y)
    io.work = cnp.PyArray_DATA(work)
    with nogil:
        status = nn_op_forward(&op, &io, &error)
    check(status, &error, layer)
    return y


cdef int _check_size(ndarray vector, int64_t size, str arg, str layer) except -1:
    if vector is not None and (cnp.PyArray_NDIM(vector) != 1 or vector.shape[0] != size):
        raise ValueError(f"{layer}: {arg} has shape {(<object>vector).shape}, expected ({size},)")
    return 0


cdef void *_gradient(ndarray array, int64_t count, int type_number, str layer, str arg) except? NULL:
    if array is not None and not cnp.PyArray_ISWRITEABLE(array):
        raise ValueError(f"{layer}: {arg} is read-only")
    return _held(array, count, type_number, layer, arg)


cdef bint _is_output(ndarray dy, ndarray x, int64_t out):
    """Whether dy has the shape of x but for `out` features."""
    cdef int rank = cnp.PyArray_NDIM(x), axis
    if cnp.PyArray_NDIM(dy) != rank or dy.shape[rank - 1] != out:
        return False
    for axis in range(rank - 1):
        if dy.shape[axis] != x.shape[axis]:
            return False
    return True


def linear_backward(ndarray dy not None, ndarray x not None, ndarray weight not None, ndarray dweight=None,
                    ndarray dbias=None, bint input_grad=True, str layer="Linear"):
    """Returns dx = dy weight (None unless `input_grad`); ADDS dy^T x to dweight and the sums of dy to dbias."""
    cdef nn_op op
    cdef nn_io io
    cdef nn_error error
    cdef nn_status status
    cdef int type_number = cnp.PyArray_TYPE(x)
    cdef ndarray dx = None
    x = row_major(x)
    _plan_linear(&op, &io, x, weight, layer)
    if not _is_output(dy, x, op.channels):
        raise ValueError(
            f"{layer}: grad has shape {(<object>dy).shape}, expected {(<object>x).shape[:-1] + (op.channels,)}"
        )
    if dweight is not None and (cnp.PyArray_NDIM(dweight) != 2 or dweight.shape[0] != op.channels):
        raise ValueError(f"{layer}: dweight has shape {(<object>dweight).shape}, expected {(<object>weight).shape}")
    _check_size(dbias, op.channels, "dbias", layer)
    dy = row_major(dy)
    io.dy = _held(dy, op.y_count, type_number, layer, "grad")
    io.dweight = _gradient(dweight, op.weight_count, type_number, layer, "dweight")
    io.dbias = _gradient(dbias, op.bias_count, type_number, layer, "dbias")
    if input_grad:
        dx = empty_array(cnp.PyArray_NDIM(x), cnp.PyArray_DIMS(x), type_number)
        io.dx = cnp.PyArray_DATA(dx)
    with nogil:
        status = nn_op_backward(&op, &io, &error)
    check(status, &error, layer)
    return dx
