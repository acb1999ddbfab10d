# Elementwise activations: forward from x, backward from forward's y. Memory order is kept.

cdef int _activation_forward(nn_kind kind, real[::1] y, const real[::1] x, str layer) except -1:
    cdef nn_op op
    cdef nn_io io
    cdef nn_error error
    cdef nn_status status
    _plan_activation(&op, kind, NN_FLOAT32 if real is float else NN_FLOAT64, x.shape[0], layer)
    memset(&io, 0, sizeof(io))
    io.y = &y[0]
    io.x = &x[0]
    with nogil:
        status = nn_op_forward(&op, &io, &error)
    return check(status, &error, layer)


cdef int _plan_activation(nn_op *op, nn_kind kind, nn_dtype dtype, int64_t count, str layer) except -1:
    cdef nn_error error
    memset(op, 0, sizeof(nn_op))
    op.kind = kind
    op.dtype = dtype
    op.x[0] = count
    op.x[1] = op.x[2] = op.x[3] = 1
    return check(nn_op_plan(op, &error), &error, layer)


cdef int _activation_backward(nn_kind kind, real[::1] dx, const real[::1] dy, const real[::1] y,
                              str layer) except -1:
    cdef nn_op op
    cdef nn_io io
    cdef nn_error error
    cdef nn_status status
    _plan_activation(&op, kind, NN_FLOAT32 if real is float else NN_FLOAT64, y.shape[0], layer)
    memset(&io, 0, sizeof(io))
    io.dx = &dx[0]
    io.dy = &dy[0]
    io.y = <void *>&y[0]
    with nogil:
        status = nn_op_backward(&op, &io, &error)
    return check(status, &error, layer)


cdef object _forward(nn_kind kind, ndarray x, str layer):
    cdef ndarray source = dense(x)
    cdef ndarray y = empty_like_order(source)
    if dtype_of(x) == NN_FLOAT32:
        _activation_forward[float](kind, y.ravel(order="K"), source.ravel(order="K"), layer)
    else:
        _activation_forward[double](kind, y.ravel(order="K"), source.ravel(order="K"), layer)
    return y


cdef object _backward(nn_kind kind, ndarray dy, ndarray y, str layer):
    if (<object>dy).shape != (<object>y).shape:
        raise ValueError(f"{layer}: grad has shape {(<object>dy).shape}, expected {(<object>y).shape}")
    y = dense(y)
    cdef ndarray grad = same_order(dy, y)
    cdef ndarray dx = empty_like_order(y)
    if dtype_of(y) == NN_FLOAT32:
        _activation_backward[float](kind, dx.ravel(order="K"), grad.ravel(order="K"), y.ravel(order="K"), layer)
    else:
        _activation_backward[double](kind, dx.ravel(order="K"), grad.ravel(order="K"), y.ravel(order="K"), layer)
    return dx


def relu_forward(ndarray x not None, layer="ReLU"):
    """max(x, 0), NaN kept."""
    return _forward(NN_OP_RELU, x, layer)


def relu_backward(ndarray dy not None, ndarray y not None, layer="ReLU"):
    """dy where y > 0 (or NaN), else 0."""
    return _backward(NN_OP_RELU, dy, y, layer)


def sigmoid_forward(ndarray x not None, layer="Sigmoid"):
    """1 / (1 + exp(-x))."""
    return _forward(NN_OP_SIGMOID, x, layer)


def sigmoid_backward(ndarray dy not None, ndarray y not None, layer="Sigmoid"):
    """dy y (1 - y)."""
    return _backward(NN_OP_SIGMOID, dy, y, layer)


def tanh_forward(ndarray x not None, layer="Tanh"):
    """tanh(x)."""
    return _forward(NN_OP_TANH, x, layer)


def tanh_backward(ndarray dy not None, ndarray y not None, layer="Tanh"):
    """dy (1 - y^2)."""
    return _backward(NN_OP_TANH, dy, y, layer)
