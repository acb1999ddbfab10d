# The compiled step: a list of planned operations over one arena, run by one engine call without the GIL.

STEP_PREDICT = NN_STEP_PREDICT
STEP_EVALUATE = NN_STEP_EVALUATE
STEP_GRADIENTS = NN_STEP_GRADIENTS
STEP_TRAIN = NN_STEP_TRAIN


cdef tuple _loss_kinds = ("cross_entropy", "mse")

cdef enum:
    MOST_UPDATES = 64


cdef class Step:
    """Owns an `nn_step`; keeps the arrays alive whose addresses the engine holds.

    `nodes` are descriptions (nncore.nn.operation.Operation), in order of execution.
    """

    cdef nn_step *_step
    cdef list _labels
    cdef list _held
    cdef tuple _shapes
    cdef int _type_number
    cdef int64_t _last        # the node that gives the output
    cdef readonly bint running
    cdef tuple _x_shape       # logical shape the first operation reads
    cdef tuple _target_shape  # shape of float targets; None: labels
    cdef readonly int64_t last_batch
    cdef readonly int64_t batches_done  # of the last epoch, whole ones

    def __cinit__(self, list nodes, dtype, int threads=0):
        cdef nn_error error
        cdef int64_t at = -1
        cdef nn_status status
        cdef int64_t count = len(nodes), i
        cdef nn_node *given = <nn_node *>PyMem_Calloc(count if count else 1, sizeof(nn_node))
        if given is NULL:
            raise MemoryError(f"compile: no memory for {count} operations")
        self._labels = [node.label for node in nodes]
        self._held = []
        self._type_number = cnp.NPY_FLOAT if dtype == _float32 else cnp.NPY_DOUBLE
        try:
            for i in range(count):
                node = nodes[i]
                _describe(&given[i].op, node, self._type_number)
                given[i].input = i
                given[i].weight = _address(node.weight)
                given[i].bias = _address(node.bias)
                given[i].dweight = _address(node.weight_grad)
                given[i].dbias = _address(node.bias_grad)
                given[i].calls = _calls(node)
                for k in range(len(node.buffers)):
                    given[i].buffers[k] = _held(node.buffers[k], given[i].op.channels, self._type_number, node.label, "buffer")
                self._held.append((node.weight, node.bias, node.weight_grad, node.bias_grad, node.buffers, node.calls))
            status = nn_step_create(&self._step, given, count, &at, &error)
        finally:
            PyMem_Free(given)
        check(status, &error, self._label(at))
        nn_step_threads(self._step, threads)
        self._shapes = tuple(node.y_shape for node in nodes)
        self._x_shape = nodes[0].x_shape
        self._target_shape = nodes[count - 1].x_shape if nodes[count - 1].kind != "cross_entropy" else None
        self._last = count - 1 - (nodes[count - 1].kind in _loss_kinds)

    def __dealloc__(self):
        nn_step_destroy(self._step)

    cdef str _label(self, int64_t at):
        return self._labels[at] if 0 <= at < len(self._labels) else "compile"

    # ---- one batch

    cdef int _enter(self) except -1:
        """One caller at a time: the arena is one."""
        if self.running:
            raise RuntimeError("Step: already running in another thread: use a step.clone() for each thread")
        self.running = True
        return 0

    cdef int64_t _pointers(self, nn_update **pointers, list updates) except -1:
        if len(updates) > MOST_UPDATES:
            raise ValueError(f"Step: {len(updates)} parameter groups, at most {MOST_UPDATES}")
        for i in range(len(updates)):
            pointers[i] = &(<Update>updates[i]).update
        return len(updates)

    cdef bint _x_ready(self, object x):
        """Whether x can be read as it is, and fits in."""
        return (type(x) is ndarray and _lies_ready(<ndarray>x, self._x_shape, self._type_number)
                and (<ndarray>x).shape[0] <= nn_step_capacity(self._step))

    def train_ready(self, x, target, Plan plan, list groups, version):
        """The loss of a training step, where both arrays are ready as they are and the plan of the updates holds,
        as in most of a training loop; else None."""
        if plan is None or not self._x_ready(x) or type(target) is not ndarray:
            return None
        if cnp.PyArray_NDIM(<ndarray>target) < 1 or (<ndarray>target).shape[0] != (<ndarray>x).shape[0]:
            return None
        if self._target_shape is None:
            if cnp.PyArray_NDIM(<ndarray>target) != 1 or not _ready(<ndarray>target, cnp.NPY_INT64):
                return None
            if not cnp.PyArray_IS_C_CONTIGUOUS(<ndarray>target):
                return None
        elif not _lies_ready(<ndarray>target, self._target_shape, self._type_number):
            return None
        if not plan.holds(groups, version, True):
            return None
        return self._run(NN_STEP_TRAIN, x, target, plan.updates)

    def run(self, int mode, ndarray x not None, ndarray target, list updates):
        """One batch; returns the loss (NaN for a prediction)."""
        _check_rows("x", x, self._x_shape, self._type_number, False)
        if mode != NN_STEP_PREDICT:
            _check_target(target, self._target_shape, self._type_number, x.shape[0], False)
        return self._run(mode, x, target, updates)

    cdef double _run(self, int mode, ndarray x, ndarray target, list updates) except? -1:
        cdef nn_error error
        cdef int64_t at = -1, n = x.shape[0]
        cdef nn_status status
        cdef double loss = NAN
        cdef nn_update *pointers[MOST_UPDATES]
        cdef int64_t count = self._pointers(pointers, updates)
        cdef const void *x_data = cnp.PyArray_DATA(x)
        cdef const void *target_data = _address(target)
        self._enter()
        with nogil:
            status = nn_step_run(self._step, <nn_step_mode>mode, x_data, target_data, n, pointers, count,
                                 &loss, &at, &error)
        self.running = False
        check(status, &error, self._label(at))
        self.last_batch = n
        return loss

    def predict_ready(self, x):
        """As `predict` where x is ready as it is, else None."""
        return self._predict(x, None) if self._x_ready(x) else None

    def predict(self, ndarray x not None, ndarray out=None):
        """The output for one batch, in `out` if given, which has its shape and dtype."""
        _check_rows("x", x, self._x_shape, self._type_number, False)
        return self._predict(x, out)

    cdef ndarray _predict(self, ndarray x, ndarray out):
        cdef nn_error error
        cdef int64_t at = -1, n = x.shape[0]
        cdef nn_status status
        cdef double loss = 0
        cdef const void *x_data = cnp.PyArray_DATA(x)
        self._enter()
        try:
            with nogil:
                status = nn_step_run(self._step, NN_STEP_PREDICT, x_data, NULL, n, NULL, 0, &loss, &at, &error)
            check(status, &error, self._label(at))
            self.last_batch = n
            return self._output(n, out)
        finally:
            self.running = False

    def output(self, ndarray out=None):
        """The output of the last batch."""
        self._enter()
        try:
            return self._output(self.last_batch, out)
        finally:
            self.running = False

    def empty_output(self, int64_t n):
        """An uninitialised array for the outputs of n samples, as `epoch` writes them."""
        return _empty_value((n,) + (<tuple>self._shapes[self._last])[1:], self._type_number)

    cdef ndarray _output(self, int64_t n, ndarray out):
        cdef ndarray y = self.empty_output(n)
        memcpy(cnp.PyArray_DATA(y), nn_step_value(self._step, self._last + 1), cnp.PyArray_NBYTES(y))
        if out is None:
            return y
        out[...] = y
        return out

    # ---- the two halves

    @property
    def recorded(self):
        """Samples of the forward that waits for its backward, -1 if there is none."""
        return nn_step_recorded(self._step)

    def forget(self):
        """Give up the forward that waits for its backward."""
        nn_step_forget(self._step)

    def forward(self, ndarray x not None):
        """The output for one batch, with everything kept that `backward` needs."""
        cdef nn_error error
        cdef int64_t at = -1, n = x.shape[0]
        cdef nn_status status
        cdef const void *x_data = cnp.PyArray_DATA(x)
        _check_rows("x", x, self._x_shape, self._type_number, False)
        self._enter()
        try:
            with nogil:
                status = nn_step_forward(self._step, x_data, n, &at, &error)
            check(status, &error, self._label(at))
            self.last_batch = n
            return self._output(n, None)
        finally:
            self.running = False

    def backward(self, ndarray grad not None, bint input_grad, bint parameter_grad=True):
        """Adds to the gradients of the parameters; returns that of x, or None. grad is dense and of the right shape."""
        cdef nn_error error
        cdef int64_t at = -1
        cdef nn_status status
        cdef ndarray dx = None
        cdef const void *dy_data = cnp.PyArray_DATA(grad)
        cdef void *dx_data
        _check_rows("grad", grad, self._shapes[self._last], self._type_number, False)
        if grad.shape[0] != nn_step_recorded(self._step):
            raise ValueError(f"Step: grad has {grad.shape[0]} rows, the forward had {nn_step_recorded(self._step)}")
        if input_grad:
            dx = _empty_value((nn_step_recorded(self._step),) + self._x_shape[1:], self._type_number)
        dx_data = _address(dx)
        self._enter()
        with nogil:
            status = nn_step_backward(self._step, dy_data, dx_data, parameter_grad, &at, &error)
        self.running = False
        check(status, &error, self._label(at))
        return dx

    # ---- many batches

    def epoch(self, int mode, tuple x, tuple target, ndarray order, int64_t samples, int64_t batch, list updates,
              ndarray losses, ndarray correct, ndarray output, *, bint stop_at_nonfinite=False, double seconds=0.05,
              progress=None):
        """Batches of a data set; returns whether all losses that were to be looked at were finite.

        x and target are pairs (dense array, whether its images lie (C, H, W)); order holds checked int64 row
        numbers. After `seconds`, again and again, signals are heard and progress(batches done) is called. What is
        wrong ends it with the parameters as the last whole batch left them and their gradients zero.
        """
        cdef nn_error error
        cdef int64_t at = -1
        cdef nn_status status = NN_OK
        cdef nn_epoch epoch
        cdef nn_update *pointers[MOST_UPDATES]
        cdef int64_t count = self._pointers(pointers, updates)
        cdef bint whole = False
        cdef ndarray rows = x[0]
        cdef int64_t size = 1
        if samples < 0 or batch < 1:
            raise ValueError(f"Step: {samples} samples in batches of {batch}")
        cdef int64_t batches = samples // batch + (samples % batch > 0)
        _check_rows("x", rows, self._x_shape, self._type_number, True)
        if mode != NN_STEP_PREDICT:
            _check_target(None if target is None else target[0], self._target_shape, self._type_number,
                          rows.shape[0], True)
            if losses is None:
                raise ValueError("Step: losses is None where the loss is computed")
        if order is None and samples > rows.shape[0]:
            raise ValueError(f"Step: {samples} samples of {rows.shape[0]} rows")
        for extent in self._shapes[self._last][1:]:
            size *= extent
        _check_results(order, cnp.NPY_INT64, samples)
        _check_results(losses, cnp.NPY_DOUBLE, batches)
        _check_results(correct, cnp.NPY_INT64, batches)
        _check_results(output, self._type_number, samples * size)
        if correct is not None and self._target_shape is not None:
            raise ValueError("Step: right answers are counted where targets are labels")
        memset(&epoch, 0, sizeof(epoch))
        epoch.mode = <nn_step_mode>mode
        epoch.x.data = cnp.PyArray_DATA(rows)
        epoch.x.bytes = cnp.PyArray_TYPE(rows) == cnp.NPY_UINT8
        epoch.x.channels_first = x[1]
        if target is not None:
            epoch.target.data = cnp.PyArray_DATA(target[0])
            epoch.target.channels_first = target[1]
        epoch.order = <const int64_t *>_address(order)
        epoch.samples = samples
        epoch.batch = batch
        epoch.stop_at_nonfinite = stop_at_nonfinite
        epoch.loss = <double *>_address(losses)
        epoch.correct = <int64_t *>_address(correct)
        epoch.output = _address(output)
        self._enter()
        self.batches_done = 0
        try:
            while True:
                with nogil:
                    status = nn_step_epoch(self._step, &epoch, pointers, count, seconds, &at, &error)
                self.batches_done = epoch.done
                check(status, &error, self._label(at))
                self.last_batch = nn_step_op(self._step, 0).x[0] if batches > 0 else 0
                if progress is not None and epoch.done > 0 and not epoch.nonfinite:
                    progress(epoch.done)
                if epoch.done == batches or epoch.nonfinite:
                    break
                PyErr_CheckSignals()
            whole = not epoch.nonfinite
            return not epoch.nonfinite
        finally:
            if mode == NN_STEP_TRAIN and not whole:
                nn_step_clear(self._step)
            self.running = False

    # ---- looking

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

    def common_places(self):
        """The same of the batch's x and target where they are copied, and of the workspace."""
        cdef nn_place x, target, work
        nn_step_common_places(self._step, &x, &target, &work)
        return {
            "x": (x.offset, x.bytes, x.from_, x.to),
            "target": (target.offset, target.bytes, target.from_, target.to),
            "work": (work.offset, work.bytes, work.from_, work.to),
        }

    def flops(self, int64_t node):
        """Floating-point operations of a node's forward for the batch planned last."""
        return nn_step_op(self._step, node).flops
