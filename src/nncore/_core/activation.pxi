# Elementwise activations: forward from x, backward from what forward kept: y, or x where the derivative is no
# function of y. Memory order is kept.

cdef int _plan_activation(nn_op *op, nn_kind kind, nn_dtype dtype, int64_t count, double p, double q,
                          str layer) except -1:
    cdef nn_error error
    memset(op, 0, sizeof(nn_op))
    op.kind = kind
    op.dtype = dtype
    op.x[0] = count
    op.x[1] = op.x[2] = op.x[3] = 1
    op.parameter[0] = p
    op.parameter[1] = q
    return check(nn_op_plan(op, &error), &error, layer)


cdef int _activation_forward(nn_kind kind, real[::1] y, const real[::1] x, double p, double q,
                             str layer) except -1:
    cdef nn_op op
    cdef nn_io io
    cdef nn_error error
    cdef nn_status status
    _plan_activation(&op, kind, NN_FLOAT32 if real is float else NN_FLOAT64, x.shape[0], p, q, layer)
    memset(&io, 0, sizeof(io))
    io.y = &y[0]
    io.x = &x[0]
    with nogil:
        status = nn_op_forward(&op, &io, &error)
    return check(status, &error, layer)


cdef int _activation_backward(nn_kind kind, real[::1] dx, const real[::1] dy, const real[::1] kept, double p,
                              double q, str layer) except -1:
    cdef nn_op op
    cdef nn_io io
    cdef nn_error error
    cdef nn_status status
    _plan_activation(&op, kind, NN_FLOAT32 if real is float else NN_FLOAT64, kept.shape[0], p, q, layer)
    memset(&io, 0, sizeof(io))
    io.dx = &dx[0]
    io.dy = &dy[0]
    io.y = <void *>&kept[0]  # the operation knows which of the two it reads
    io.x = &kept[0]
    with nogil:
        status = nn_op_backward(&op, &io, &error)
    return check(status, &error, layer)


cdef object _forward(nn_kind kind, ndarray x, str layer, object out=None, double p=0, double q=0):
    cdef ndarray source = dense(x)
    cdef ndarray y = empty_like_order(source) if out is None else _output(out, source, layer)
    if dtype_of(x) == NN_FLOAT32:
        _activation_forward[float](kind, y.ravel(order="K"), source.ravel(order="K"), p, q, layer)
    else:
        _activation_forward[double](kind, y.ravel(order="K"), source.ravel(order="K"), p, q, layer)
    return y


cdef ndarray _output(object out, ndarray source, str layer):
    """`out` as an array that may be written in the memory order of `source`; it may be `source` itself."""
    if type(out) is not ndarray or not _ready(<ndarray>out, cnp.PyArray_TYPE(source)):
        raise TypeError(f"{layer}: out must be an aligned array of {source.dtype}, got {getattr(out, 'dtype', out)!r}")
    cdef ndarray y = out
    if (<object>y).shape != (<object>source).shape or (<object>y).strides != (<object>source).strides:
        raise ValueError(
            f"{layer}: out has shape {(<object>y).shape} and strides {(<object>y).strides}, expected those of x:"
            f" {(<object>source).shape} and {(<object>source).strides}"
        )
    if not y.flags.writeable:
        raise ValueError(f"{layer}: out is read-only")
    if cnp.PyArray_DATA(y) != cnp.PyArray_DATA(source) and np.may_share_memory(y, source):
        raise ValueError(f"{layer}: out overlaps x")
    return y


cdef object _backward(nn_kind kind, ndarray dy, ndarray kept, str layer, double p=0, double q=0):
    if (<object>dy).shape != (<object>kept).shape:
        raise ValueError(f"{layer}: grad has shape {(<object>dy).shape}, expected {(<object>kept).shape}")
    kept = dense(kept)
    cdef ndarray grad = same_order(dy, kept)
    cdef ndarray dx = empty_like_order(kept)
    if dtype_of(kept) == NN_FLOAT32:
        _activation_backward[float](kind, dx.ravel(order="K"), grad.ravel(order="K"), kept.ravel(order="K"), p, q, layer)
    else:
        _activation_backward[double](kind, dx.ravel(order="K"), grad.ravel(order="K"), kept.ravel(order="K"), p, q, layer)
    return dx


def relu_forward(ndarray x not None, layer="ReLU", out=None):
    """max(x, 0), NaN kept; into `out` where one is given, an array like x or x itself, here and below."""
    return _forward(NN_OP_RELU, x, layer, out)


def relu_backward(ndarray dy not None, ndarray y not None, layer="ReLU"):
    """dy where y > 0 (or NaN), else 0."""
    return _backward(NN_OP_RELU, dy, y, layer)


def sigmoid_forward(ndarray x not None, layer="Sigmoid", out=None):
    """1 / (1 + exp(-x))."""
    return _forward(NN_OP_SIGMOID, x, layer, out)


def sigmoid_backward(ndarray dy not None, ndarray y not None, layer="Sigmoid"):
    """dy y (1 - y)."""
    return _backward(NN_OP_SIGMOID, dy, y, layer)


def tanh_forward(ndarray x not None, layer="Tanh", out=None):
    """tanh(x)."""
    return _forward(NN_OP_TANH, x, layer, out)


def tanh_backward(ndarray dy not None, ndarray y not None, layer="Tanh"):
    """dy (1 - y^2)."""
    return _backward(NN_OP_TANH, dy, y, layer)


def leaky_relu_forward(ndarray x not None, double negative_slope=0.01, layer="LeakyReLU", out=None):
    """x where x > 0, else negative_slope x."""
    return _forward(NN_OP_LEAKY_RELU, x, layer, out, negative_slope)


def leaky_relu_backward(ndarray dy not None, ndarray kept not None, double negative_slope=0.01, layer="LeakyReLU"):
    """dy where kept > 0, else negative_slope dy; kept is y, or x where the slope is negative."""
    return _backward(NN_OP_LEAKY_RELU, dy, kept, layer, negative_slope)


def elu_forward(ndarray x not None, double alpha=1.0, layer="ELU", out=None):
    """x where x > 0, else alpha (exp(x) - 1)."""
    return _forward(NN_OP_ELU, x, layer, out, alpha)


def elu_backward(ndarray dy not None, ndarray kept not None, double alpha=1.0, layer="ELU"):
    """dy where x > 0, else dy alpha exp(x); kept is y, or x where alpha is negative."""
    return _backward(NN_OP_ELU, dy, kept, layer, alpha)


cdef nn_kind _gelu(object approximate, str layer) except *:
    if approximate == "none":
        return NN_OP_GELU
    if approximate == "tanh":
        return NN_OP_GELU_TANH
    raise ValueError(f"{layer}: approximate must be 'none' or 'tanh', got {approximate!r}")


def gelu_forward(ndarray x not None, approximate="none", layer="GELU", out=None):
    """x Phi(x), or the form with tanh."""
    return _forward(_gelu(approximate, layer), x, layer, out)


def gelu_backward(ndarray dy not None, ndarray x not None, approximate="none", layer="GELU"):
    """dy (Phi(x) + x phi(x)), or the derivative of the form with tanh."""
    return _backward(_gelu(approximate, layer), dy, x, layer)


def silu_forward(ndarray x not None, layer="SiLU", out=None):
    """x / (1 + exp(-x))."""
    return _forward(NN_OP_SILU, x, layer, out)


def silu_backward(ndarray dy not None, ndarray x not None, layer="SiLU"):
    """dy s (1 + x (1 - s)), s = sigmoid(x)."""
    return _backward(NN_OP_SILU, dy, x, layer)


def softplus_forward(ndarray x not None, double beta=1.0, double threshold=20.0, layer="Softplus", out=None):
    """log(1 + exp(beta x)) / beta; x where beta x > threshold."""
    return _forward(NN_OP_SOFTPLUS, x, layer, out, beta, threshold)


def softplus_backward(ndarray dy not None, ndarray x not None, double beta=1.0, double threshold=20.0,
                      layer="Softplus"):
    """dy sigmoid(beta x); dy where beta x > threshold."""
    return _backward(NN_OP_SOFTPLUS, dy, x, layer, beta, threshold)


def exp_forward(ndarray x not None, layer="exp", out=None):
    """exp(x)."""
    return _forward(NN_OP_EXP, x, layer, out)


def exp_backward(ndarray dy not None, ndarray y not None, layer="exp"):
    """dy y."""
    return _backward(NN_OP_EXP, dy, y, layer)


def log_forward(ndarray x not None, layer="log", out=None):
    """The natural logarithm of x."""
    return _forward(NN_OP_LOG, x, layer, out)


def log_backward(ndarray dy not None, ndarray x not None, layer="log"):
    """dy / x."""
    return _backward(NN_OP_LOG, dy, x, layer)
