# AvgPool2d: the mean of each window; backward shares the gradient among its cells.

cdef int _plan_avg_pool2d(nn_op *op, ndarray x, tuple shape, object kernel, object stride, object padding,
                          bint ceil_mode, bint count_include_pad, object divisor, str layer) except -1:
    """Plans average pooling of `shape`, (N, C, H, W), in x's dtype."""
    cdef nn_error error
    if len(shape) != 4:
        raise ValueError(f"{layer}: x has shape {shape}, expected (N, C, H, W)")
    memset(op, 0, sizeof(nn_op))
    op.kind = NN_OP_AVGPOOL2D
    op.dtype = dtype_of(x)
    for axis in range(4):
        op.x[axis] = shape[axis]
    _window_pair(op.window.kernel, kernel, "kernel_size", layer)
    _window_pair(op.window.stride, stride, "stride", layer)
    _window_pair(op.window.padding, padding, "padding", layer)
    op.window.ceil_mode = ceil_mode
    op.count_include_pad = count_include_pad
    if divisor is not None:
        if divisor < 1:
            raise ValueError(f"{layer}: divisor_override must be positive, got {divisor}")
        op.divisor = divisor
    return check(nn_op_plan(op, &error), &error, layer)


cdef int _avg_pool2d(const nn_op *op, real[:, :, :, ::1] out, const real[:, :, :, ::1] given, bint backward,
                     str layer) except -1:
    """y from x, or dx from dy; both are (n, h, w, c): the memory's order."""
    cdef nn_io io
    cdef nn_error error
    cdef nn_status status
    memset(&io, 0, sizeof(io))
    if backward:
        io.dx = &out[0, 0, 0, 0]
        io.dy = &given[0, 0, 0, 0]
    else:
        io.y = &out[0, 0, 0, 0]
        io.x = &given[0, 0, 0, 0]
    with nogil:
        status = nn_op_backward(op, &io, &error) if backward else nn_op_forward(op, &io, &error)
    return check(status, &error, layer)


def avg_pool2d_forward(ndarray x not None, kernel, stride, padding, bint ceil_mode=False,
                       bint count_include_pad=True, divisor=None, layer="AvgPool2d"):
    """y (N, C, H', W') of x (N, C, H, W), in channels-last memory."""
    cdef nn_op op
    _plan_avg_pool2d(&op, x, (<object>x).shape, kernel, stride, padding, ceil_mode, count_include_pad, divisor,
                     layer)
    cdef ndarray source = as_channels_last(x)
    cdef ndarray y = empty_channels_last(op.y[0], op.y[1], op.y[2], op.y[3], cnp.PyArray_TYPE(x))
    if op.dtype == NN_FLOAT32:
        _avg_pool2d[float](&op, y.transpose(0, 2, 3, 1), source.transpose(0, 2, 3, 1), False, layer)
    else:
        _avg_pool2d[double](&op, y.transpose(0, 2, 3, 1), source.transpose(0, 2, 3, 1), False, layer)
    return y


def avg_pool2d_backward(ndarray dy not None, tuple x_shape not None, kernel, stride, padding, bint ceil_mode=False,
                        bint count_include_pad=True, divisor=None, layer="AvgPool2d"):
    """dx of shape `x_shape`, in channels-last memory: the sum of dy / divisor over an element's windows."""
    cdef nn_op op
    _plan_avg_pool2d(&op, dy, x_shape, kernel, stride, padding, ceil_mode, count_include_pad, divisor, layer)
    shape = (op.y[0], op.y[1], op.y[2], op.y[3])
    if (<object>dy).shape != shape:
        raise ValueError(f"{layer}: grad has shape {(<object>dy).shape}, expected {shape}")
    cdef ndarray grad = as_channels_last(dy)
    cdef ndarray dx = empty_channels_last(op.x[0], op.x[1], op.x[2], op.x[3], cnp.PyArray_TYPE(dy))
    if op.dtype == NN_FLOAT32:
        _avg_pool2d[float](&op, dx.transpose(0, 2, 3, 1), grad.transpose(0, 2, 3, 1), True, layer)
    else:
        _avg_pool2d[double](&op, dx.transpose(0, 2, 3, 1), grad.transpose(0, 2, 3, 1), True, layer)
    return dx
