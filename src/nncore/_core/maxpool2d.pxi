# MaxPool2d: y and the index of the winners; backward routes the gradient to them.

cdef int _window_pair(int64_t *out, object pair, str arg, str layer) except -1:
    """Two integers, (height, width)."""
    if not isinstance(pair, tuple) or len(pair) != 2:
        raise TypeError(f"{layer}: {arg} must be two integers (height, width), got {pair!r}")
    for axis, value in enumerate(pair):
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
            raise TypeError(f"{layer}: {arg} must be two integers (height, width), got {pair!r}")
        if not -2**62 < value < 2**62:
            raise ValueError(f"{layer}: {arg}[{axis}] is {value}, expected at most {2**30}")
        out[axis] = value
    return 0


cdef int _plan_max_pool2d(nn_op *op, ndarray x, tuple shape, object kernel, object stride, object padding,
                          object dilation, bint ceil_mode, str layer) except -1:
    """Plans max pooling of `shape`, (N, C, H, W), in x's dtype."""
    cdef nn_error error
    if len(shape) != 4:
        raise ValueError(f"{layer}: x has shape {shape}, expected (N, C, H, W)")
    memset(op, 0, sizeof(nn_op))
    op.kind = NN_OP_MAXPOOL2D
    op.dtype = dtype_of(x)
    for axis in range(4):
        op.x[axis] = shape[axis]
    _window_pair(op.window.kernel, kernel, "kernel_size", layer)
    _window_pair(op.window.stride, stride, "stride", layer)
    _window_pair(op.window.padding, padding, "padding", layer)
    _window_pair(op.window.dilation, dilation, "dilation", layer)
    op.window.ceil_mode = ceil_mode
    return check(nn_op_plan(op, &error), &error, layer)


cdef dict _index_names = {cnp.NPY_UINT8: "uint8", cnp.NPY_UINT16: "uint16", cnp.NPY_INT32: "int32"}


cdef int _index_type(const nn_op *op):
    """NumPy's type number of the index (nn_maxpool2d_index_bytes tells its size)."""
    cdef int64_t area = op.window.kernel[0] * op.window.kernel[1]
    return cnp.NPY_UINT8 if area <= 255 else cnp.NPY_UINT16 if area <= 65535 else cnp.NPY_INT32


cdef int _max_pool2d_forward(const nn_op *op, real[:, :, :, ::1] y, void *index, const real[:, :, :, ::1] x,
                             str layer) except -1:
    """x and y are (n, h, w, c): the memory's order."""
    cdef nn_io io
    cdef nn_error error
    cdef nn_status status
    memset(&io, 0, sizeof(io))
    io.y = &y[0, 0, 0, 0]
    io.x = &x[0, 0, 0, 0]
    io.saved = index
    with nogil:
        status = nn_op_forward(op, &io, &error)
    return check(status, &error, layer)


def max_pool2d_forward(ndarray x not None, kernel, stride, padding, dilation, bint ceil_mode=False,
                       bint with_index=True, layer="MaxPool2d"):
    """y (N, C, H', W') and the winners' index (its shape; None unless `with_index`) of x (N, C, H, W).

    The index is the row-major position in the window, uint8 for windows of up to 255 elements, else uint16 or
    int32. Both results are in channels-last memory.
    """
    cdef nn_op op
    _plan_max_pool2d(&op, x, (<object>x).shape, kernel, stride, padding, dilation, ceil_mode, layer)
    cdef ndarray source = as_channels_last(x)
    cdef ndarray y = empty_channels_last(op.y[0], op.y[1], op.y[2], op.y[3], cnp.PyArray_TYPE(x))
    cdef ndarray index = None
    cdef void *winners = NULL
    if with_index:
        index = empty_channels_last(op.y[0], op.y[1], op.y[2], op.y[3], _index_type(&op))
        winners = cnp.PyArray_DATA(index)
    if op.dtype == NN_FLOAT32:
        _max_pool2d_forward[float](&op, y.transpose(0, 2, 3, 1), winners, source.transpose(0, 2, 3, 1), layer)
    else:
        _max_pool2d_forward[double](&op, y.transpose(0, 2, 3, 1), winners, source.transpose(0, 2, 3, 1), layer)
    return y, index


cdef int _max_pool2d_backward(const nn_op *op, real[:, :, :, ::1] dx, const real[:, :, :, ::1] dy,
                              const void *index, str layer) except -1:
    """dx and dy are (n, h, w, c): the memory's order."""
    cdef nn_io io
    cdef nn_error error
    cdef nn_status status
    memset(&io, 0, sizeof(io))
    io.dx = &dx[0, 0, 0, 0]
    io.dy = &dy[0, 0, 0, 0]
    io.saved = <void *>index
    with nogil:
        status = nn_op_backward(op, &io, &error)
    return check(status, &error, layer)


def max_pool2d_backward(ndarray dy not None, ndarray index not None, tuple x_shape not None, kernel, stride,
                        padding, dilation, bint ceil_mode=False, layer="MaxPool2d"):
    """dx of shape `x_shape`, in channels-last memory: each dy added to the element that `index` names.

    `index` is what forward returned. Other values in it give a wrong dx, but touch nothing outside of it.
    """
    cdef nn_op op
    _plan_max_pool2d(&op, dy, x_shape, kernel, stride, padding, dilation, ceil_mode, layer)
    shape = (op.y[0], op.y[1], op.y[2], op.y[3])
    if (<object>dy).shape != shape:
        raise ValueError(f"{layer}: grad has shape {(<object>dy).shape}, expected {shape}")
    if (<object>index).shape != shape:
        raise ValueError(f"{layer}: index has shape {(<object>index).shape}, expected {shape}")
    cdef int index_type = _index_type(&op)
    if not _ready(index, index_type):
        raise TypeError(f"{layer}: index has dtype {index.dtype}, expected {_index_names[index_type]}")
    cdef ndarray grad = as_channels_last(dy)
    cdef ndarray winners = index
    if not _is_channels_last(index):
        winners = empty_channels_last(op.y[0], op.y[1], op.y[2], op.y[3], index_type)
        winners[...] = index
    cdef ndarray dx = empty_channels_last(op.x[0], op.x[1], op.x[2], op.x[3], cnp.PyArray_TYPE(dy))
    cdef const void *saved = cnp.PyArray_DATA(winners)
    if op.dtype == NN_FLOAT32:
        _max_pool2d_backward[float](&op, dx.transpose(0, 2, 3, 1), grad.transpose(0, 2, 3, 1), saved, layer)
    else:
        _max_pool2d_backward[double](&op, dx.transpose(0, 2, 3, 1), grad.transpose(0, 2, 3, 1), saved, layer)
    return dx
