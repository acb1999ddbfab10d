# Losses: the value forward (one double), the gradient backward. Labels are int64, as `labels` makes them.

def labels(x, layer="CrossEntropyLoss", arg="target"):
    """`x` as a C-contiguous int64 array of class numbers, itself where it is one already.

    Any integer dtype is accepted. Raises TypeError for floats, bools and objects, ValueError for anything that
    is not one number a row, IndexError for a number beyond int64.
    """
    if type(x) is ndarray and _ready(<ndarray>x, cnp.NPY_INT64) and cnp.PyArray_NDIM(<ndarray>x) == 1:
        return row_major(x)
    if x is None:
        raise TypeError(f"{layer}: {arg} is None, expected an array of class numbers")
    if isinstance(x, np.ma.MaskedArray):
        raise TypeError(f"{layer}: {arg} is a masked array, expected a plain one: use {arg}.filled(value)")
    try:
        array = np.asarray(x)
    except ValueError as error:
        raise TypeError(f"{layer}: {arg} cannot be made an array: {error}") from None
    if array.dtype.kind not in "iufb":
        raise TypeError(f"{layer}: {arg} has dtype {array.dtype}, expected integer class numbers")
    if array.ndim != 1:
        raise ValueError(f"{layer}: {arg} has shape {array.shape}, expected one class number a row, (N,)"
                         + _labels_hint(array, arg))
    if array.dtype.kind in "fb":
        # An empty list has no dtype of its own.
        if array.size or getattr(x, "dtype", None) is not None:
            raise TypeError(f"{layer}: {arg} has dtype {array.dtype}, expected integer class numbers: "
                            f"write {arg}.astype(int)")
    elif array.dtype.kind == "u" and array.dtype.itemsize == 8 and array.size:
        row = int(array.argmax())
        if int(array[row]) > _int64_max:
            raise IndexError(f"{layer}: {arg}[{row}] is {array[row]}, expected at most {_int64_max}")
    return np.require(array, dtype=np.int64, requirements=["C", "A", "E"])


cdef object _int64_max = 2**63 - 1


cdef str _labels_hint(object array, str arg):
    if array.ndim == 2 and array.shape[1] == 1:
        return f": write {arg}[:, 0]"
    if array.ndim == 2:
        return f": write {arg}.argmax(1) if it is one-hot"
    return ""


cdef int _loss_plan(nn_op *op, nn_kind kind, nn_dtype dtype, int64_t rows, int64_t columns, str layer) except -1:
    cdef nn_error error
    memset(op, 0, sizeof(nn_op))
    op.kind = kind
    op.dtype = dtype
    op.x[0] = rows
    op.x[1] = columns
    op.x[2] = op.x[3] = 1
    return check(nn_op_plan(op, &error), &error, layer)


cdef double _loss_forward(nn_kind kind, const real[:, ::1] x, const void *target, real[:, ::1] saved,
                          str layer) except? -1:
    cdef nn_op op
    cdef nn_io io
    cdef nn_error error
    cdef nn_status status
    cdef double loss = 0
    _loss_plan(&op, kind, NN_FLOAT32 if real is float else NN_FLOAT64, x.shape[0], x.shape[1], layer)
    memset(&io, 0, sizeof(io))
    io.y = &loss
    io.x = &x[0, 0]
    io.target = target
    if saved is not None:
        io.saved = &saved[0, 0]
    cdef ndarray work = workspace(op.forward_bytes)
    io.work = cnp.PyArray_DATA(work)
    with nogil:
        status = nn_op_forward(&op, &io, &error)
    check(status, &error, layer)
    return loss


cdef int _loss_backward(nn_kind kind, real[:, ::1] dx, const real[:, ::1] x, const void *target, double grad,
                        str layer) except -1:
    """`x` is what backward reads beside the target: the probabilities, or the prediction."""
    cdef nn_op op
    cdef nn_io io
    cdef nn_error error
    cdef nn_status status
    _loss_plan(&op, kind, NN_FLOAT32 if real is float else NN_FLOAT64, x.shape[0], x.shape[1], layer)
    memset(&io, 0, sizeof(io))
    io.dx = &dx[0, 0]
    io.x = &x[0, 0]
    io.saved = <void *>&x[0, 0]
    io.target = target
    io.dy = &grad
    with nogil:
        status = nn_op_backward(&op, &io, &error)
    return check(status, &error, layer)


cdef ndarray _labels_of(ndarray x, str arg, object target, str layer):
    """The labels of (n, classes) `x`: one a row."""
    if cnp.PyArray_NDIM(x) != 2:
        raise ValueError(f"{layer}: {arg} has shape {(<object>x).shape}, expected (N, classes)")
    cdef ndarray rows = labels(target, layer)
    if rows.shape[0] != x.shape[0]:
        raise ValueError(f"{layer}: target has {rows.shape[0]} rows, expected {x.shape[0]} as {arg} has")
    return rows


def cross_entropy_forward(ndarray logits not None, target, str layer="CrossEntropyLoss"):
    """(loss, probabilities): the mean of -log softmax(logits)[target], and softmax(logits); logits (N, classes)."""
    cdef ndarray rows = _labels_of(logits, "logits", target, layer)
    cdef ndarray x = row_major(logits)
    cdef ndarray p = empty_like_order(x)
    cdef double loss = 0
    if dtype_of(x) == NN_FLOAT32:
        loss = _loss_forward[float](NN_OP_CROSS_ENTROPY, x, cnp.PyArray_DATA(rows), p, layer)
    else:
        loss = _loss_forward[double](NN_OP_CROSS_ENTROPY, x, cnp.PyArray_DATA(rows), p, layer)
    return loss, p


def cross_entropy_backward(ndarray probabilities not None, target, double grad=1.0, str layer="CrossEntropyLoss"):
    """(probabilities - onehot(target)) * grad / N: the gradient of `grad` times the loss to the logits."""
    cdef ndarray rows = _labels_of(probabilities, "probabilities", target, layer)
    cdef ndarray p = row_major(probabilities)
    cdef ndarray dx = empty_like_order(p)
    if dtype_of(p) == NN_FLOAT32:
        _loss_backward[float](NN_OP_CROSS_ENTROPY, dx, p, cnp.PyArray_DATA(rows), grad, layer)
    else:
        _loss_backward[double](NN_OP_CROSS_ENTROPY, dx, p, cnp.PyArray_DATA(rows), grad, layer)
    return dx


cdef ndarray _summing_order(ndarray x):
    """`x` in the one memory order its elements are summed in: channels-last for images, else row-major."""
    if cnp.PyArray_NDIM(x) != 4 or _is_channels_last(x):
        return row_major(x) if cnp.PyArray_NDIM(x) != 4 else x
    ordered = empty_channels_last(x.shape[0], x.shape[1], x.shape[2], x.shape[3], cnp.PyArray_TYPE(x))
    ordered[...] = x
    return ordered


cdef ndarray _target_like(ndarray pred, object target, str layer):
    """`target` as an array of pred's dtype and shape, in the order it is summed in."""
    cdef ndarray array = floating(target, pred.dtype, layer, "target")
    shape, expected = (<object>array).shape, (<object>pred).shape
    if shape != expected:
        hint = ""
        if len(shape) + 1 == len(expected) and expected == (*shape, 1):
            hint = ": write target[..., None]"
        elif len(shape) == len(expected) + 1 and shape == (*expected, 1):
            hint = ": write target[..., 0]"
        raise ValueError(f"{layer}: target has shape {shape}, expected {expected} as the prediction has{hint}")
    return _summing_order(array)


cdef ndarray _one_column(ndarray x):
    """The elements of a dense array in memory order, (count, 1)."""
    return x.ravel(order="K").reshape(x.size, 1)


def mse_forward(ndarray pred not None, target, str layer="MSELoss"):
    """The mean of (pred - target)^2 over all elements; target has pred's shape."""
    cdef ndarray t = _one_column(_target_like(pred, target, layer))
    cdef ndarray x = _one_column(_summing_order(pred))
    if dtype_of(pred) == NN_FLOAT32:
        return _loss_forward[float](NN_OP_MSE, x, cnp.PyArray_DATA(t), None, layer)
    return _loss_forward[double](NN_OP_MSE, x, cnp.PyArray_DATA(t), None, layer)


def mse_backward(ndarray pred not None, target, double grad=1.0, str layer="MSELoss"):
    """2 (pred - target) * grad / count: the gradient of `grad` times the loss to pred."""
    cdef ndarray t = _one_column(_target_like(pred, target, layer))
    cdef ndarray x = _summing_order(pred)
    cdef ndarray dx = empty_like_order(x)
    if dtype_of(pred) == NN_FLOAT32:
        _loss_backward[float](NN_OP_MSE, _one_column(dx), _one_column(x), cnp.PyArray_DATA(t), grad, layer)
    else:
        _loss_backward[double](NN_OP_MSE, _one_column(dx), _one_column(x), cnp.PyArray_DATA(t), grad, layer)
    return dx
