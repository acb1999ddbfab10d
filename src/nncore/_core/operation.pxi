# Any operation of the engine from its description (nncore.nn.operation.Operation), on fresh arrays or in a step.

cdef dict _kinds = {(<bytes>nn_op_name(<nn_kind>kind)).decode(): kind for kind in range(NN_OP_KINDS)}


cdef nn_kind _kind_named(str name) except *:
    kind = _kinds.get(name)
    if kind is None:
        raise ValueError(f"the engine has no operation {name!r}")
    return <nn_kind><int>kind


cdef int _set_sizes(int64_t *sizes, tuple shape) except -1:
    """Only images have an order of axes of their own: all else is rows of features to the engine."""
    cdef int axis
    for axis in range(4):
        sizes[axis] = 1
    if len(shape) == 4:
        for axis in range(4):
            sizes[axis] = shape[axis]
    elif len(shape) > 0:
        sizes[0] = shape[0]
        sizes[1] = math.prod(shape[1:])
    return 0


cdef int _describe(nn_op *op, object given, int type_number) except -1:
    """The engine's form of a description, not yet planned."""
    cdef int axis
    memset(op, 0, sizeof(nn_op))
    op.kind = _kind_named(given.kind)
    op.dtype = NN_FLOAT32 if type_number == cnp.NPY_FLOAT else NN_FLOAT64
    _set_sizes(op.x, given.x_shape)
    if len(given.more_shapes) > 3:
        raise ValueError(f"{given.label}: {len(given.more_shapes) + 1} inputs, at most 4")
    op.more_count = len(given.more_shapes)
    for axis in range(op.more_count):
        _set_sizes(op.more[axis], given.more_shapes[axis])
    if op.more_count == 0 and given.weight is not None:
        _set_sizes(op.more[0], given.weight.shape)  # read where a weight stands in for an input
    _set_sizes(op.shape, given.y_shape)
    op.channels = given.channels
    op.groups = given.groups
    for axis in range(2):
        op.window.kernel[axis] = given.kernel_size[axis]
        op.window.stride[axis] = given.stride[axis]
        op.window.padding[axis] = given.padding[axis]
        op.window.dilation[axis] = given.dilation[axis]
        op.window.extra[axis] = given.extra[axis]
        op.parameter[axis] = given.parameter[axis]
    op.window.ceil_mode = given.ceil_mode
    op.count_include_pad = given.count_include_pad
    op.divisor = given.divisor
    op.window.adaptive = given.adaptive
    op.mode = given.mode
    op.direct = not nn_winograd_get()
    op.reduction = <nn_reduction><int>given.reduction
    op.ignores = given.ignore_index is not None
    op.ignore_index = given.ignore_index if op.ignores else 0
    op.bias = given.bias is not None
    op.training = given.training
    if given.stream is not None:
        _stream(&op.stream, given.stream[0], given.stream[1], 0)
    op.entries = 0 if given.entries is None else given.entries
    op.padding_entry = given.padding_entry
    return 0


cdef uint64_t *_calls(object given) except? NULL:
    """Where a layer counts its calls in training, NULL for None."""
    cdef object calls = given.calls
    if calls is None:
        return NULL
    if cnp.PyArray_TYPE(<ndarray?>calls) not in (cnp.NPY_UINT64, cnp.NPY_INT64) or cnp.PyArray_SIZE(<ndarray>calls) != 1:
        raise TypeError(f"{given.label}: calls must be an array of one uint64 or int64")
    return <uint64_t *>cnp.PyArray_DATA(<ndarray>calls)


cdef ndarray _empty_value(tuple shape, int type_number):
    """An uninitialised array of such a shape, in the memory order that the engine writes."""
    cdef cnp.npy_intp sizes[8]
    cdef int axis, rank = len(shape)
    if rank == 4:
        return empty_channels_last(shape[0], shape[1], shape[2], shape[3], type_number)
    if rank > 8:
        raise ValueError(f"an array of {rank} axes, at most 8")
    for axis in range(rank):
        sizes[axis] = shape[axis]
    return empty_array(rank, sizes, type_number)


cdef ndarray _in_engine_order(object x, tuple shape, int type_number, str label, str arg):
    """`x` checked, in the memory order that the engine reads."""
    if type(x) is not ndarray or not _ready(<ndarray>x, type_number):
        raise TypeError(f"{label}: {arg} has dtype {getattr(x, 'dtype', type(x).__name__)}, expected"
                        f" {'float32' if type_number == cnp.NPY_FLOAT else 'float64'}")
    if x.shape != shape:
        raise ValueError(f"{label}: {arg} has shape {x.shape}, expected {shape}")
    return as_channels_last(x) if len(shape) == 4 and type_number != cnp.NPY_INT64 else row_major(x)


cdef void *_held(object array, int64_t count, int type_number, str label, str arg) except? NULL:
    """The address of a weight or its gradient, which are C-ordered and of `count` elements; NULL for None."""
    if array is None:
        return NULL
    if not _ready(<ndarray?>array, type_number):
        raise TypeError(f"{label}: {arg} has dtype {array.dtype}, x has"
                        f" {'float32' if type_number == cnp.NPY_FLOAT else 'float64'}")
    if not cnp.PyArray_IS_C_CONTIGUOUS(<ndarray>array):
        raise ValueError(f"{label}: {arg} is not in C order")
    if cnp.PyArray_SIZE(<ndarray>array) != count:
        raise ValueError(f"{label}: {arg} has {array.size} elements, expected {count}")
    return cnp.PyArray_DATA(<ndarray>array)


cdef int _plan(nn_op *op, nn_io *io, object given, int type_number) except -1:
    """Plans a description, and takes its weights."""
    cdef nn_error error
    cdef str label = given.label
    cdef int i
    _describe(op, given, type_number)
    check(nn_op_plan(op, &error), &error, label)
    memset(io, 0, sizeof(nn_io))
    io.weight = _held(given.weight, op.weight_count, type_number, label, "weight")
    io.bias = _held(given.bias, op.bias_count, type_number, label, "bias")
    io.dweight = _held(given.weight_grad, op.weight_count, type_number, label, "weight.grad")
    io.dbias = _held(given.bias_grad, op.bias_count, type_number, label, "bias.grad")
    for i in range(len(given.buffers)):
        io.buffers[i] = _held(given.buffers[i], op.channels, type_number, label, "buffer")
    io.training = True
    return 0


def operation_forward(given, ndarray x not None, *more, bint save=True):
    """(y, what backward reads) of an operation, for its inputs; without `save` no backward will follow."""
    cdef nn_op op
    cdef nn_io io
    cdef nn_error error
    cdef nn_status status
    cdef int x_type = cnp.PyArray_TYPE(x), i
    cdef str label = given.label
    cdef bint indices = x_type == cnp.NPY_INT64 and given.weight is not None
    cdef int type_number = cnp.PyArray_TYPE(<ndarray?>given.weight) if indices else x_type
    if type_number != cnp.NPY_FLOAT and type_number != cnp.NPY_DOUBLE:
        raise TypeError(f"{label}: x has dtype {x.dtype}, expected float32 or float64")
    _plan(&op, &io, given, type_number)
    if op.indices != indices:
        raise TypeError(f"{label}: x has dtype {x.dtype}, expected {'int64' if op.indices else 'float32 or float64'}")
    if len(more) != op.more_count:
        raise TypeError(f"{label}: {len(more) + 1} inputs, expected {op.more_count + 1}")
    cdef ndarray first = _in_engine_order(x, given.x_shape, x_type, label, "x")
    cdef list rest = [_in_engine_order(array, shape, type_number, label, "x")
                      for array, shape in zip(more, given.more_shapes)]
    cdef ndarray y = _empty_value(given.y_shape, type_number)
    if cnp.PyArray_SIZE(y) != op.y_count:
        raise ValueError(f"{label}: y has shape {given.y_shape}, expected {op.y_count} elements")
    cdef ndarray saved = workspace(op.saved_bytes if save else 0)
    cdef ndarray work = workspace(op.forward_bytes)
    io.y = cnp.PyArray_DATA(y)
    io.x = cnp.PyArray_DATA(first)
    for i in range(op.more_count):
        io.more[i] = cnp.PyArray_DATA(<ndarray>rest[i])
    io.saved = cnp.PyArray_DATA(saved) if save else NULL
    io.work = cnp.PyArray_DATA(work)
    cdef uint64_t *calls = _calls(given) if op.training and op.x_count > 0 else NULL
    if calls is not NULL:
        io.call = calls[0]
    with nogil:
        status = nn_op_forward(&op, &io, &error)
    check(status, &error, label)
    if calls is not NULL:
        calls[0] += 1
    if not save:
        return y, None
    if op.needs & NN_NEEDS_Y:
        y.flags.writeable = False
    return y, (first if op.needs & NN_NEEDS_X else None, rest if op.needs & NN_NEEDS_X else [],
               y if op.needs & NN_NEEDS_Y else None, saved, type_number, io.call)


def operation_backward(given, tuple kept not None, ndarray grad not None, *, bint input_grad=True):
    """(dx, the gradients of the other inputs) from the gradient of y; adds to the gradients of the weights.

    `kept` is what `operation_forward` returned beside y. Without `input_grad` only the weights get gradients.
    """
    global _gradients
    cdef nn_op op
    cdef nn_io io
    cdef nn_error error
    cdef nn_status status
    cdef str label = given.label
    first, rest, y, saved, number, call = kept
    cdef int type_number = number, i
    _plan(&op, &io, given, type_number)
    cdef ndarray dy = _in_engine_order(grad, given.y_shape, type_number, label, "grad")
    input_grad = input_grad and not op.indices
    cdef ndarray dx = _empty_value(given.x_shape, type_number) if input_grad else None
    cdef list others = [_empty_value(shape, type_number) for shape in given.more_shapes] if input_grad else []
    cdef ndarray work = workspace(op.backward_bytes)
    io.call = call
    io.dy = cnp.PyArray_DATA(dy)
    io.x = _address(first)
    for i in range(len(rest)):
        io.more[i] = cnp.PyArray_DATA(<ndarray>rest[i])
    io.y = _address(y)
    io.saved = cnp.PyArray_DATA(<ndarray>saved)
    io.work = cnp.PyArray_DATA(work)
    io.dx = _address(dx)
    for i in range(len(others)):
        io.dmore[i] = cnp.PyArray_DATA(<ndarray>others[i])
    if io.dweight is not NULL or io.dbias is not NULL:
        _gradients += 1  # `given` may have been kept since its layer took the arrays
    with nogil:
        status = nn_op_backward(&op, &io, &error)
    check(status, &error, label)
    return dx, tuple(others)
