# The compiled step: a list of planned operations over one arena, run by one engine call without the GIL.

STEP_PREDICT = NN_STEP_PREDICT
STEP_EVALUATE = NN_STEP_EVALUATE
STEP_GRADIENTS = NN_STEP_GRADIENTS
STEP_TRAIN = NN_STEP_TRAIN


cdef nn_kind _kind_named(str name) except *:
    for kind in range(NN_OP_KINDS):
        if (<bytes>nn_op_name(<nn_kind>kind)).decode() == name:
            return <nn_kind>kind
    raise ValueError(f"compile: the engine has no operation {name!r}")


cdef void *_address(ndarray array):
    return NULL if array is None else cnp.PyArray_DATA(array)


cdef bint _lies_ready(ndarray x, tuple shape, int type_number):
    """Of this dtype, of this shape but for the batch, in the memory order that the engine reads."""
    cdef int rank = cnp.PyArray_NDIM(x), axis
    if rank != len(shape) or not _ready(x, type_number):
        return False
    for axis in range(1, rank):
        if x.shape[axis] != <int64_t>shape[axis]:
            return False
    return _is_channels_last(x) if rank == 4 else cnp.PyArray_IS_C_CONTIGUOUS(x)


cdef class Step:
    """Owns an `nn_step`; keeps the arrays alive whose addresses the engine holds.

    `nodes` are the compiler's `Node`s (nncore.compiler.builder), in order of execution.
    """

    cdef nn_step *_step
    cdef list _labels
    cdef list _held
    cdef tuple _shapes
    cdef int _type_number
    cdef bint _running
    cdef tuple _x_shape       # logical shape the first operation reads
    cdef tuple _target_shape  # shape of float targets; None: labels
    cdef readonly int64_t last_batch

    def __cinit__(self, list nodes, dtype):
        cdef nn_error error
        cdef int64_t at = -1
        cdef nn_status status
        cdef int64_t count = len(nodes), i
        cdef int axis
        cdef nn_node *given = <nn_node *>PyMem_Calloc(count if count else 1, sizeof(nn_node))
        if given is NULL:
            raise MemoryError(f"compile: no memory for {count} operations")
        self._labels = [node.label for node in nodes]
        self._held = []
        self._type_number = cnp.NPY_FLOAT if dtype == _float32 else cnp.NPY_DOUBLE
        try:
            for i in range(count):
                node = nodes[i]
                given[i].op.kind = _kind_named(node.kind)
                given[i].op.dtype = NN_FLOAT32 if self._type_number == cnp.NPY_FLOAT else NN_FLOAT64
                for axis in range(4):
                    given[i].op.x[axis] = node.x_shape[axis] if axis < len(node.x_shape) else 1
                given[i].op.channels = node.channels
                given[i].op.groups = node.groups
                for axis in range(2):
                    given[i].op.window.kernel[axis] = node.kernel_size[axis]
                    given[i].op.window.stride[axis] = node.stride[axis]
                    given[i].op.window.padding[axis] = node.padding[axis]
                    given[i].op.window.dilation[axis] = node.dilation[axis]
                    given[i].op.parameter[axis] = node.parameter[axis]
                given[i].op.window.ceil_mode = node.ceil_mode
                given[i].op.count_include_pad = node.count_include_pad
                given[i].op.divisor = node.divisor
                given[i].op.bias = node.bias is not None
                given[i].input = i
                given[i].weight = _address(node.weight)
                given[i].bias = _address(node.bias)
                given[i].dweight = _address(node.weight_grad)
                given[i].dbias = _address(node.bias_grad)
                self._held.append((node.weight, node.bias, node.weight_grad, node.bias_grad))
            status = nn_step_create(&self._step, given, count, &at, &error)
        finally:
            PyMem_Free(given)
        check(status, &error, self._label(at))
        self._shapes = tuple(node.y_shape for node in nodes)
        self._x_shape = nodes[0].x_shape
        self._target_shape = nodes[count - 1].x_shape if nodes[count - 1].kind != "cross_entropy" else None

    def __dealloc__(self):
        nn_step_destroy(self._step)

    cdef str _label(self, int64_t at):
        return self._labels[at] if 0 <= at < len(self._labels) else "compile"

    def run_ready(self, int mode, x, target, list updates):
        """As `run` where both arrays are ready as they are (the way of a training loop), else None."""
        if type(x) is not ndarray or type(target) is not ndarray:
            return None
        if not _lies_ready(<ndarray>x, self._x_shape, self._type_number):
            return None
        cdef int64_t n = (<ndarray>x).shape[0]
        if n > nn_step_capacity(self._step) or (<ndarray>target).shape[0] != n:
            return None
        if self._target_shape is None:
            if cnp.PyArray_NDIM(<ndarray>target) != 1 or not _ready(<ndarray>target, cnp.NPY_INT64):
                return None
            if not cnp.PyArray_IS_C_CONTIGUOUS(<ndarray>target):
                return None
        elif not _lies_ready(<ndarray>target, self._target_shape, self._type_number):
            return None
        return self.run(mode, x, target, updates)

    def run(self, int mode, ndarray x not None, ndarray target, list updates):
        """One batch; returns the loss (NaN for a prediction). x and target are dense and of the right dtype."""
        cdef nn_error error
        cdef int64_t at = -1, n = x.shape[0], count = len(updates), i
        cdef nn_status status
        cdef double loss = float("nan")
        cdef nn_update *pointers[64]
        cdef const void *x_data = cnp.PyArray_DATA(x)
        cdef const void *target_data = _address(target)
        if count > 64:
            raise ValueError(f"Step: {count} parameter groups, at most 64")
        for i in range(count):
            pointers[i] = &(<Update>updates[i]).update
        if self._running:
            raise RuntimeError("Step: already running in another thread: use one Step a thread")
        self._running = True
        with nogil:
            status = nn_step_run(self._step, <nn_step_mode>mode, x_data, target_data, n, pointers, count,
                                 &loss, &at, &error)
        self._running = False
        check(status, &error, self._label(at))
        self.last_batch = n
        return loss

    def value(self, int64_t node, int64_t n, ndarray out=None):
        """A copy of the output of a node for the last batch, of n samples, in its logical shape."""
        shape = (n,) + self._shapes[node][1:]
        cdef ndarray y
        if len(shape) == 4:
            y = empty_channels_last(shape[0], shape[1], shape[2], shape[3], self._type_number)
        else:
            y = np.empty(shape, _float32 if self._type_number == cnp.NPY_FLOAT else _float64)
        memcpy(cnp.PyArray_DATA(y), nn_step_value(self._step, node + 1), cnp.PyArray_NBYTES(y))
        if out is None:
            return y
        out[...] = y
        return out

    @property
    def arena_bytes(self):
        return nn_step_bytes(self._step)

    @property
    def capacity(self):
        return nn_step_capacity(self._step)

    def places(self, int64_t node):
        """(offset, bytes, first use, last use) of a node's output, its gradient and its saved state."""
        cdef nn_place y, dy, saved
        nn_step_places(self._step, node, &y, &dy, &saved)
        return {
            "y": (y.offset, y.bytes, y.from_, y.to),
            "grad": (dy.offset, dy.bytes, dy.from_, dy.to),
            "saved": (saved.offset, saved.bytes, saved.from_, saved.to),
        }

    def flops(self, int64_t node):
        """Floating-point operations of a node's forward for the batch planned last."""
        return nn_step_op(self._step, node).flops
