# The engine's step as an object: built from descriptions, looked into. step.pxi runs it.

cdef enum:
    MOST_VALUES = 64  # sources of a step, and outputs
    BRIEF_FLOPS = 1 << 15  # of a forward at capacity


cdef tuple _all(object given):
    """The arrays of all sources or outputs: one stands for itself."""
    return <tuple>given if type(given) is tuple else (given,)


cdef class _Graph:
    """Owns an `nn_step`; keeps the arrays alive whose addresses the engine holds."""

    cdef nn_step *_step
    cdef list _labels
    cdef list _held
    cdef tuple _shapes        # logical, of all values
    cdef tuple _outputs       # values
    cdef int64_t _sources
    cdef int _type_number
    cdef list _types          # NumPy's numbers of the sources' dtypes: int64 of indices
    cdef tuple _x_shape       # of the first source
    cdef int _x_type
    cdef dict _indices        # the nodes that read indices, and from which source
    cdef tuple _target_shape  # None: there is no loss
    cdef bint _reads_labels
    cdef bint _brief          # takes a few microseconds: others can wait for the GIL meanwhile
    cdef cnp.npy_intp _y_shape[8]  # of the one output, but for the batch
    cdef int _y_rank          # 0: there are several, or it is images
    cdef readonly int64_t last_batch

    def __cinit__(self, list nodes, dtype, int threads=0, *, int64_t sources=1, tuple outputs=()):
        """`nodes` are descriptions (nncore.nn.operation.Operation), in order of execution; `outputs` are values,
        by default the last one but for a loss."""
        cdef nn_error error
        cdef int64_t at = -1, count = len(nodes), i
        cdef nn_status status
        cdef nn_graph graph
        cdef int64_t values[MOST_VALUES]
        if not 1 <= sources <= MOST_VALUES or len(outputs) > MOST_VALUES:
            raise ValueError(f"compile: {sources} inputs and {len(outputs)} outputs, at most {MOST_VALUES}")
        cdef nn_node *given = <nn_node *>PyMem_Calloc(count if count else 1, sizeof(nn_node))
        if given is NULL:
            raise MemoryError(f"compile: no memory for {count} operations")
        self._labels = [node.label for node in nodes]
        self._held = []
        self._sources = sources
        self._type_number = cnp.NPY_FLOAT if dtype == _float32 else cnp.NPY_DOUBLE
        try:
            for i in range(count):
                self._fill(&given[i], nodes[i], i)
            values[0] = sources + count - 1
            for i in range(len(outputs)):
                values[i] = outputs[i]
            graph.nodes = given
            graph.count = count
            graph.sources = sources
            graph.outputs = values
            graph.output_count = len(outputs) if outputs else 1
            status = nn_step_create(&self._step, &graph, &at, &error)
            check(status, &error, self._label(at))
            self._take_shapes(nodes, given, outputs)
            self._brief = sum([nn_step_op(self._step, i).flops for i in range(count)]) < BRIEF_FLOPS
        finally:
            PyMem_Free(given)
        nn_step_threads(self._step, threads)

    def __dealloc__(self):
        nn_step_destroy(self._step)

    cdef int _fill(self, nn_node *given, object node, int64_t i) except -1:
        cdef tuple inputs = node.inputs if node.inputs else (self._sources + i - 1,)
        cdef int k
        _describe(&given.op, node, self._type_number)
        if len(inputs) != 1 + given.op.more_count:
            raise ValueError(f"{node.label}: {len(inputs)} inputs, {1 + given.op.more_count} shapes")
        for k in range(len(inputs)):
            given.inputs[k] = inputs[k]
        given.weight = _address(node.weight)
        given.bias = _address(node.bias)
        given.dweight = _address(node.weight_grad)
        given.dbias = _address(node.bias_grad)
        given.calls = _calls(node)
        for k in range(len(node.buffers)):
            given.buffers[k] = _held(node.buffers[k], given.op.channels, self._type_number, node.label, "buffer")
        self._held.append((node.weight, node.bias, node.weight_grad, node.bias_grad, node.buffers, node.calls))
        return 0

    cdef int _take_shapes(self, list nodes, nn_node *given, tuple outputs) except -1:
        """Shapes as the caller sees them; the sizes of the weights, which the plan knows."""
        cdef int64_t count = len(nodes), i
        cdef const nn_op *op
        cdef list shapes = [None] * self._sources
        self._types = [self._type_number] * self._sources
        self._indices = {}
        for i in range(count):
            node, op = nodes[i], nn_step_op(self._step, i)
            if op.indices:
                self._indices[i] = given[i].inputs[0]
                self._types[given[i].inputs[0]] = cnp.NPY_INT64
            for array, size in ((node.weight, op.weight_count), (node.weight_grad, op.weight_count),
                                (node.bias, op.bias_count), (node.bias_grad, op.bias_count)):
                _held(array, size, self._type_number, node.label, "weight or bias")
            for k, shape in enumerate((node.x_shape,) + node.more_shapes):
                if given[i].inputs[k] < self._sources:
                    shapes[given[i].inputs[k]] = shape
            shapes.append(node.y_shape)
        self._shapes = tuple(shapes)
        self._x_shape, self._x_type = shapes[0], self._types[0]
        self._outputs = outputs if outputs else (self._sources + count - 1,)
        op = nn_step_op(self._step, count - 1)
        if op.loss:
            node = nodes[count - 1]
            self._outputs = (given[count - 1].inputs[0],)
            self._reads_labels = op.reads_labels
            self._target_shape = node.target_shape or (node.x_shape[:1] if op.reads_labels else node.x_shape)
            if math.prod(self._target_shape) != op.target_count:
                raise ValueError(f"{node.label}: target has shape {self._target_shape}, expected {op.target_count}"
                                 " elements")
        shape = self._shapes[self._outputs[0]]
        if len(self._outputs) == 1 and len(shape) in (1, 2, 3):
            self._y_rank = len(shape)
            for i in range(1, self._y_rank):
                self._y_shape[i] = shape[i]
        return 0

    cdef str _label(self, int64_t at):
        return self._labels[at] if 0 <= at < len(self._labels) else "compile"

    cdef int _check(self, nn_status status, const nn_error *error, int64_t at) except -1:
        """Raises what went wrong at node `at`; of an index with its place in x, as the layer does by hand."""
        if status == NN_INDEX_ERROR and at in self._indices:
            shape = self._shapes[self._indices[at]]
            where = ", ".join(map(str, np.unravel_index(error.index, (error.index + 1,) + shape[1:])))
            raise IndexError(f"{self._label(at)}: x[{where}] is {error.got}, expected 0 to"
                             f" {nn_step_op(self._step, at).entries - 1}")
        return check(status, error, self._label(at))

    # ---- arrays

    cdef int64_t _take_x(self, const void **data, object x) except -1:
        """The last look at a batch; returns its samples."""
        cdef tuple arrays = _all(x)
        cdef int64_t i
        if len(arrays) != self._sources:
            raise ValueError(f"Step: {len(arrays)} inputs, the step was built for {self._sources}")
        for i in range(self._sources):
            _check_rows("x", <ndarray?>arrays[i], self._shapes[i], self._types[i], False)
            if (<ndarray>arrays[i]).shape[0] != (<ndarray>arrays[0]).shape[0]:
                raise ValueError(f"Step: x[{i}] has {(<ndarray>arrays[i]).shape[0]} rows,"
                                 f" x[0] has {(<ndarray>arrays[0]).shape[0]}")
            data[i] = cnp.PyArray_DATA(<ndarray>arrays[i])
        return (<ndarray>arrays[0]).shape[0]

    cdef ndarray _empty(self, int64_t value, int64_t n):
        return _empty_value((n,) + (<tuple>self._shapes[value])[1:], self._type_number)

    def empty_output(self, int64_t n):
        """An uninitialised array for the (first) outputs of n samples, as `epoch` writes them."""
        return self._empty(self._outputs[0], n)

    cdef ndarray _copy(self, int64_t value, int64_t n, ndarray out):
        cdef ndarray y = self._empty(value, n)
        memcpy(cnp.PyArray_DATA(y), nn_step_value(self._step, value), cnp.PyArray_NBYTES(y))
        if out is None:
            return y
        out[...] = y
        return out

    cdef object _output(self, int64_t n, object out):
        """The outputs of n samples, a tuple where there are several."""
        cdef int64_t k
        cdef ndarray y
        if out is None and self._y_rank:
            self._y_shape[0] = n
            y = empty_array(self._y_rank, self._y_shape, self._type_number)
            memcpy(cnp.PyArray_DATA(y), nn_step_value(self._step, self._outputs[0]), cnp.PyArray_NBYTES(y))
            return y
        if len(self._outputs) == 1:
            return self._copy(self._outputs[0], n, out)
        cdef tuple outs = (None,) * len(self._outputs) if out is None else out
        return tuple([self._copy(self._outputs[k], n, outs[k]) for k in range(len(self._outputs))])

    # ---- looking

    @property
    def arena_bytes(self):
        return nn_step_bytes(self._step)

    @property
    def capacity(self):
        return nn_step_capacity(self._step)

    def places(self, int64_t node):
        """(offset, bytes, first use, last use) of a node's output, its gradient, its saved state, and of what it
        gives to be added to the gradients of its inputs."""
        cdef nn_place y, dy
        cdef int k
        nn_step_value_places(self._step, self._sources + node, &y, &dy)
        places = {"y": _place(y), "grad": _place(dy), "saved": _place(nn_step_saved_place(self._step, node))}
        for k in range(1 + nn_step_op(self._step, node).more_count):
            place = _place(nn_step_aside_place(self._step, node, k))
            if place[1]:
                places[f"aside{k}"] = place
        return places

    def common_places(self):
        """The same of the batch's x and target where they are copied, and of the workspace."""
        cdef nn_place y, dy, target, work
        cdef int64_t v
        nn_step_common_places(self._step, &target, &work)
        places = {"target": _place(target), "work": _place(work)}
        for v in range(self._sources):
            nn_step_value_places(self._step, v, &y, &dy)
            places[f"x{v}" if v else "x"] = _place(y)
        return places

    def flops(self, int64_t node):
        """Floating-point operations of a node's forward for the batch planned last."""
        return nn_step_op(self._step, node).flops

    def learns(self, int64_t node):
        """Whether training runs its backward."""
        return bool(nn_step_learns(self._step, node))

    def merged(self, int64_t node):
        """Whether the node after it does its work."""
        return bool(nn_step_merged(self._step, node))

    def followed(self, int64_t node, bint forward):
        """The node that applies an activation to what it writes, be it y or dx; or -1."""
        return nn_step_followed(self._step, node, forward)

    def fusible(self, int64_t node, bint plain):
        """Whether the update of its weight, a plain one or any, may follow the gradient part by part."""
        return bool(nn_step_fusible(self._step, node, plain))


cdef tuple _place(nn_place place):
    return place.offset, place.bytes, place.from_, place.to
