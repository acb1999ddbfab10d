# Losses: the value forward (one double), the gradient backward. Labels are int64, as `labels` makes them.

def labels(x, layer="CrossEntropyLoss", arg="target", int axes=1):
    """`x` as a C-contiguous int64 array of class numbers, itself where it is one already.

    Any integer dtype is accepted. Raises TypeError for floats, bools and objects, ValueError for anything that
    is not one number a row (or, with more axes, a pixel), IndexError for a number beyond int64.
    """
    if type(x) is ndarray and _ready(<ndarray>x, cnp.NPY_INT64) and cnp.PyArray_NDIM(<ndarray>x) == axes:
        return row_major(x)
    return _conversion.labels(x, layer, arg, axes)


cdef int _check_labels(ndarray target, int64_t count, str label) except -1:
    if (not _ready(target, cnp.NPY_INT64) or not cnp.PyArray_IS_C_CONTIGUOUS(target)
            or cnp.PyArray_SIZE(target) != count):
        raise ValueError(f"{label}: target must be {count} int64 labels")
    return 0


cdef class LossPlan:
    """A loss described by an Operation, planned once for predictions of its shape and dtype."""

    cdef nn_op op
    cdef nn_io io
    cdef object given  # holds the weights
    cdef str label
    cdef int type_number
    cdef tuple x_shape

    def __cinit__(self, given, dtype):
        self.given = given
        self.label = given.label
        self.x_shape = given.x_shape
        self.type_number = cnp.NPY_FLOAT if dtype == _float32 else cnp.NPY_DOUBLE
        _plan(&self.op, &self.io, given, self.type_number)
        if not self.op.loss:
            raise ValueError(f"{self.label}: {given.kind} is no loss")
        if self.op.reduction == NN_NONE and math.prod(given.y_shape) != self.op.y_count:
            raise ValueError(f"{self.label}: the losses have shape {given.y_shape}, expected {self.op.y_count}"
                             " elements")

    def forward(self, x, ndarray target not None):
        """(the loss, what backward reads): a float, or an array where nothing is reduced.

        `target` is int64 labels or an array like x, as the operation reads it.
        """
        cdef nn_io io = self.io
        cdef nn_error error
        cdef nn_status status
        cdef double value = 0
        cdef ndarray y = None
        cdef ndarray first = _in_engine_order(x, self.x_shape, self.type_number, self.label, "pred")
        cdef ndarray goal = target
        if self.op.reads_labels:
            _check_labels(target, self.op.target_count, self.label)
        else:
            goal = _in_engine_order(target, self.x_shape, self.type_number, self.label, "target")
        if self.op.reduction == NN_NONE:
            y = _empty_value(self.given.y_shape, self.type_number)
        cdef ndarray saved = workspace(self.op.saved_bytes)
        cdef ndarray work = workspace(self.op.forward_bytes)
        io.y = &value if y is None else cnp.PyArray_DATA(y)
        io.x = cnp.PyArray_DATA(first)
        io.target = cnp.PyArray_DATA(goal)
        io.saved = cnp.PyArray_DATA(saved)
        io.work = cnp.PyArray_DATA(work)
        with nogil:
            status = nn_op_forward(&self.op, &io, &error)
        check(status, &error, self.label)
        return value if y is None else y, (first if self.op.needs & NN_NEEDS_X else None, goal, saved)

    def backward(self, tuple kept not None, grad=1.0):
        """The gradient of `grad` times the loss to the prediction; where nothing is reduced grad is an array."""
        cdef nn_io io = self.io
        cdef nn_error error
        cdef nn_status status
        cdef double factor = 1
        cdef ndarray first, goal, saved, dy
        first, goal, saved = kept
        if self.op.reads_labels:
            _check_labels(goal, self.op.target_count, self.label)
        if self.op.reduction == NN_NONE:
            dy = _in_engine_order(grad, self.given.y_shape, self.type_number, self.label, "grad")
            io.dy = cnp.PyArray_DATA(dy)
        else:
            factor = grad
            io.dy = &factor
        cdef ndarray dx = _empty_value(self.x_shape, self.type_number)
        cdef ndarray work = workspace(self.op.backward_bytes)
        io.x = _address(first)
        io.target = cnp.PyArray_DATA(goal)
        io.saved = cnp.PyArray_DATA(saved)
        io.work = cnp.PyArray_DATA(work)
        io.dx = cnp.PyArray_DATA(dx)
        with nogil:
            status = nn_op_backward(&self.op, &io, &error)
        check(status, &error, self.label)
        return dx
