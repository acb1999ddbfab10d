# Conv2d: forward, and backward to x, weight and bias, one engine call each.

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


cdef int _same_dtype(ndarray array, ndarray x, str arg, str layer) except -1:
    if array is not None and cnp.PyArray_TYPE(array) != cnp.PyArray_TYPE(x):
        raise TypeError(f"{layer}: {arg} has dtype {array.dtype}, expected {x.dtype}")
    return 0


cdef int _check_vector(ndarray vector, ndarray x, int64_t size, str arg, str layer) except -1:
    _same_dtype(vector, x, arg, layer)
    if vector is not None and (cnp.PyArray_NDIM(vector) != 1 or vector.shape[0] != size):
        raise ValueError(f"{layer}: {arg} has shape {(<object>vector).shape}, expected ({size},)")
    return 0


cdef int _plan_conv2d(nn_op *op, ndarray x, ndarray weight, bint bias, object stride, object padding,
                      object dilation, int64_t groups, str layer) except -1:
    """Checks x, weight and geometry, and plans."""
    cdef nn_error error
    cdef int axis
    _same_dtype(weight, x, "weight", layer)
    if cnp.PyArray_NDIM(x) != 4:
        raise ValueError(f"{layer}: x has shape {(<object>x).shape}, expected (N, C, H, W)")
    if cnp.PyArray_NDIM(weight) != 4:
        raise ValueError(
            f"{layer}: weight has shape {(<object>weight).shape}, expected (out, in / groups, kh, kw)"
        )
    memset(op, 0, sizeof(nn_op))
    op.kind = NN_OP_CONV2D
    op.dtype = dtype_of(x)
    for axis in range(4):
        op.x[axis] = x.shape[axis]
    op.channels = weight.shape[0]
    op.groups = groups
    op.window.kernel[0] = weight.shape[2]
    op.window.kernel[1] = weight.shape[3]
    _window_pair(op.window.stride, stride, "stride", layer)
    _window_pair(op.window.padding, padding, "padding", layer)
    _window_pair(op.window.dilation, dilation, "dilation", layer)
    op.bias = bias
    op.direct = not nn_winograd_get()
    if groups > 0 and x.shape[1] != weight.shape[1] * groups:
        raise ValueError(
            f"{layer}: x has {x.shape[1]} channels, weight expects {weight.shape[1] * groups}"
            + (f" ({weight.shape[1]} in each of {groups} groups)" if groups > 1 else "")
        )
    return check(nn_op_plan(op, &error), &error, layer)


cdef int _conv2d_forward(const nn_op *op, real[:, :, :, ::1] y, const real[:, :, :, ::1] x,
                         const real[:, :, :, ::1] weight, const real[::1] bias, str layer) except -1:
    # y and x are (N, H, W, C)
    cdef nn_io io
    cdef nn_error error
    cdef nn_status status
    cdef ndarray work = workspace(op.forward_bytes)
    memset(&io, 0, sizeof(io))
    io.work = cnp.PyArray_DATA(work)
    io.y = &y[0, 0, 0, 0]
    io.x = &x[0, 0, 0, 0]
    io.weight = &weight[0, 0, 0, 0]
    if bias is not None:
        io.bias = &bias[0]
    with nogil:
        status = nn_op_forward(op, &io, &error)
    return check(status, &error, layer)


def conv2d_forward(ndarray x not None, ndarray weight not None, ndarray bias=None, stride=(1, 1),
                   padding=(0, 0), dilation=(1, 1), int64_t groups=1, layer="Conv2d"):
    """y (N, O, OH, OW) of x (N, C, H, W), which is `floating`; weight (O, C / groups, KH, KW), bias (O) its dtype.

    y lies in channels-last memory.
    """
    cdef nn_op op
    cdef ndarray y
    _plan_conv2d(&op, x, weight, bias is not None, stride, padding, dilation, groups, layer)
    _check_vector(bias, x, op.channels, "bias", layer)
    y = empty_channels_last(op.y[0], op.y[1], op.y[2], op.y[3], cnp.PyArray_TYPE(x))
    y_last = y.transpose(0, 2, 3, 1)
    x_last = as_channels_last(x).transpose(0, 2, 3, 1)
    if op.dtype == NN_FLOAT32:
        _conv2d_forward[float](&op, y_last, x_last, row_major(weight), bias, layer)
    else:
        _conv2d_forward[double](&op, y_last, x_last, row_major(weight), bias, layer)
    return y


cdef int _conv2d_backward(const nn_op *op, real[:, :, :, ::1] dx, real[:, :, :, ::1] dweight, real[::1] dbias,
                          const real[:, :, :, ::1] dy, const real[:, :, :, ::1] x,
                          const real[:, :, :, ::1] weight, str layer) except -1:
    # dx, dy and x are (N, H, W, C)
    cdef nn_io io
    cdef nn_error error
    cdef nn_status status
    cdef ndarray work = workspace(op.backward_bytes)
    memset(&io, 0, sizeof(io))
    io.work = cnp.PyArray_DATA(work)
    io.dy = &dy[0, 0, 0, 0]
    io.x = &x[0, 0, 0, 0]
    io.weight = &weight[0, 0, 0, 0]
    if dx is not None:
        io.dx = &dx[0, 0, 0, 0]
    if dweight is not None:
        io.dweight = &dweight[0, 0, 0, 0]
    if dbias is not None:
        io.dbias = &dbias[0]
    with nogil:
        status = nn_op_backward(op, &io, &error)
    return check(status, &error, layer)


def conv2d_backward(ndarray dy not None, ndarray x not None, ndarray weight not None, ndarray dweight=None,
                    ndarray dbias=None, stride=(1, 1), padding=(0, 0), dilation=(1, 1), int64_t groups=1,
                    bint input_grad=True, layer="Conv2d"):
    """Returns dx (None unless `input_grad`), channels-last; ADDS to dweight and dbias where they are given."""
    cdef nn_op op
    cdef ndarray dx = None
    cdef object dx_last = None
    _plan_conv2d(&op, x, weight, dbias is not None, stride, padding, dilation, groups, layer)
    expected = (op.y[0], op.y[1], op.y[2], op.y[3])
    if (<object>dy).shape != expected:
        raise ValueError(f"{layer}: grad has shape {(<object>dy).shape}, expected {expected}")
    _same_dtype(dy, x, "grad", layer)
    _same_dtype(dweight, x, "dweight", layer)
    if dweight is not None and (<object>dweight).shape != (<object>weight).shape:
        raise ValueError(
            f"{layer}: dweight has shape {(<object>dweight).shape}, expected {(<object>weight).shape}"
        )
    _check_vector(dbias, x, op.channels, "dbias", layer)
    if input_grad:
        dx = empty_channels_last(op.x[0], op.x[1], op.x[2], op.x[3], cnp.PyArray_TYPE(x))
        dx_last = dx.transpose(0, 2, 3, 1)
    dy_last = as_channels_last(dy).transpose(0, 2, 3, 1)
    x_last = as_channels_last(x).transpose(0, 2, 3, 1)
    if op.dtype == NN_FLOAT32:
        _conv2d_backward[float](&op, dx_last, dweight, dbias, dy_last, x_last, row_major(weight), layer)
    else:
        _conv2d_backward[double](&op, dx_last, dweight, dbias, dy_last, x_last, row_major(weight), layer)
    return dx
