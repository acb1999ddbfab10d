# The compiled step: a graph of planned operations over one arena, run by one engine call without the GIL.

STEP_PREDICT = NN_STEP_PREDICT
STEP_EVALUATE = NN_STEP_EVALUATE
STEP_GRADIENTS = NN_STEP_GRADIENTS
STEP_TRAIN = NN_STEP_TRAIN
STEP_TRAIN_FINITE = NN_STEP_TRAIN_FINITE


cdef class Step(_Graph):
    """Runs a graph: batches, halves of them, many of them.

    x is an array, or a tuple of them where there are several sources; so are outputs and their gradients.
    """

    cdef readonly bint running
    cdef readonly int64_t batches_done  # of the last epoch, whole ones

    # ---- one batch

    cdef int _enter(self) except -1:
        """One caller at a time: the arena is one."""
        if self.running:
            raise RuntimeError("Step: already running in another thread: use a step.clone() for each thread")
        self.running = True
        return 0

    cdef bint _x_ready(self, object x):
        """Whether x can be read as it is, and fits in."""
        return (type(x) is ndarray and self._sources == 1 and _lies_ready(<ndarray>x, self._x_shape, self._x_type)
                and (<ndarray>x).shape[0] <= nn_step_capacity(self._step))

    cdef bint _target_ready(self, object target, object x):
        """The same of the target; there must be a loss."""
        return (type(target) is ndarray and self._target_shape is not None and cnp.PyArray_NDIM(<ndarray>target) > 0
                and (<ndarray>target).shape[0] == (<ndarray>x).shape[0]
                and _lies_ready(<ndarray>target, self._target_shape,
                                cnp.NPY_INT64 if self._reads_labels else self._type_number))

    def run(self, int mode, x, ndarray target, list updates):
        """One batch; returns the loss (NaN for a prediction)."""
        cdef const void *data[MOST_VALUES]
        cdef int64_t n = self._take_x(data, x)
        if mode != NN_STEP_PREDICT:
            self._check_target(target, n, False)
        return self._run(mode, data, n, target, updates)

    cdef double _run(self, int mode, const void **x, int64_t n, ndarray target, list updates) except? -1:
        cdef nn_update *pointers[MOST_UPDATES]
        cdef int64_t count = update_pointers(pointers, updates, "Step")
        return self._go(mode, x, n, target, pointers, count, updates)

    cdef double _go(self, int mode, const void **x, int64_t n, ndarray target, nn_update **pointers, int64_t count,
                    list updates) except? -1:
        global _gradients
        cdef nn_error error
        cdef int64_t at = -1
        cdef nn_status status
        cdef double loss = NAN
        cdef const void *target_data = _address(target)
        self._enter()
        if self._brief:
            status = nn_step_run(self._step, <nn_step_mode>mode, x, target_data, n, pointers, count, &loss, &at,
                                 &error)
        else:
            with nogil:
                status = nn_step_run(self._step, <nn_step_mode>mode, x, target_data, n, pointers, count, &loss, &at,
                                     &error)
        self.running = False
        if status != NN_OK:
            _gradients += 1  # what a refused batch has written stays, for other steps too
            check_gradients(status, &error, updates, "Step")
            self._check(status, &error, at)
        self.last_batch = n
        return loss

    cdef int _check_target(self, ndarray target, int64_t n, bint any_order) except -1:
        """Without a loss the engine says what is wrong."""
        if self._target_shape is None:
            return 0
        return _check_target(target, self._target_shape, cnp.NPY_INT64 if self._reads_labels else self._type_number,
                             n, any_order)

    def predict(self, x, out=None):
        """The output for one batch, in `out` if given, which has its shape and dtype."""
        cdef const void *data[MOST_VALUES]
        cdef int64_t n = self._take_x(data, x)
        return self._predict(data, n, out)

    cdef object _predict(self, const void **x, int64_t n, object out):
        self._go(NN_STEP_PREDICT, x, n, None, NULL, 0, None)
        return self._output(n, out)

    def output(self, out=None):
        """The output of the last batch."""
        self._enter()
        try:
            return self._output(self.last_batch, out)
        finally:
            self.running = False

    def unseen(self, bint unseen):
        """Say whether nobody else holds the arrays of the gradients: then training need not write zeros to zeros."""
        nn_step_unseen(self._step, unseen)

    # ---- the two halves

    @property
    def recorded(self):
        """Samples of the forward that waits for its backward, -1 if there is none."""
        return nn_step_recorded(self._step)

    def forget(self):
        """Give up the forward that waits for its backward."""
        nn_step_forget(self._step)

    def forward(self, x):
        """The output for one batch, with everything kept that `backward` needs."""
        cdef nn_error error
        cdef int64_t at = -1
        cdef nn_status status
        cdef const void *data[MOST_VALUES]
        cdef int64_t n = self._take_x(data, x)
        self._enter()
        try:
            with nogil:
                status = nn_step_forward(self._step, data, n, &at, &error)
            self._check(status, &error, at)
            self.last_batch = n
            return self._output(n, None)
        finally:
            self.running = False

    def backward(self, grad not None, bint input_grad, bint parameter_grad=True):
        """Adds to the gradients of the parameters; returns those of x, or None, which is that of indices too.

        grad is dense and of the right shape.
        """
        cdef nn_error error
        cdef int64_t at = -1, k, n = nn_step_recorded(self._step)
        cdef nn_status status
        cdef tuple grads = _all(grad), inputs = ()
        cdef const void *dy[MOST_VALUES]
        cdef void *dx[MOST_VALUES]
        cdef void **wanted = NULL
        if len(grads) != len(self._outputs):
            raise ValueError(f"Step: {len(grads)} gradients for {len(self._outputs)} outputs")
        for k in range(len(grads)):
            _check_rows("grad", <ndarray?>grads[k], self._shapes[self._outputs[k]], self._type_number, False)
            if (<ndarray>grads[k]).shape[0] != n:
                raise ValueError(f"Step: grad has {grads[k].shape[0]} rows, the forward had {n}")
            dy[k] = cnp.PyArray_DATA(<ndarray>grads[k])
        if input_grad:
            inputs = tuple([self._empty(k, n) if self._types[k] == self._type_number else None
                            for k in range(self._sources)])
            for k in range(self._sources):
                dx[k] = _address(inputs[k])
            wanted = dx
        self._enter()
        with nogil:
            status = nn_step_backward(self._step, dy, wanted, parameter_grad, &at, &error)
        self.running = False
        check(status, &error, self._label(at))
        if not input_grad:
            return None
        return inputs if self._sources > 1 else inputs[0]

    # ---- many batches

    def epoch(self, int mode, tuple x not None, tuple target, ndarray order, int64_t samples, int64_t batch, list updates,
              ndarray losses, ndarray correct, ndarray output, *, bint stop_at_nonfinite=False, double seconds=0.05,
              progress=None):
        """Batches of a data set; returns whether all losses that were to be looked at were finite.

        x and target are pairs (dense array, whether its images lie (C, H, W)), x a tuple of pairs where there are
        several sources; order holds checked int64 row numbers. After `seconds`, again and again, signals are heard and progress(batches done) is called. What is
        wrong ends it with the parameters as the last whole batch left them and their gradients zero.
        """
        cdef nn_error error
        cdef int64_t at = -1
        cdef nn_status status = NN_OK
        cdef nn_epoch epoch
        cdef nn_update *pointers[MOST_UPDATES]
        cdef int64_t count = update_pointers(pointers, updates, "Step")
        cdef bint whole = False
        cdef tuple pairs = (x,) if len(x) and type(x[0]) is not tuple else x
        cdef nn_rows rows[MOST_VALUES]
        cdef int64_t size = 1, k, available
        if samples < 0 or batch < 1:
            raise ValueError(f"Step: {samples} samples in batches of {batch}")
        cdef int64_t batches = samples // batch + (samples % batch > 0)
        available = self._take_rows(rows, pairs)
        if mode != NN_STEP_PREDICT:
            self._check_target(None if target is None else target[0], available, True)
            if losses is None:
                raise ValueError("Step: losses is None where the loss is computed")
        if order is None and samples > available:
            raise ValueError(f"Step: {samples} samples of {available} rows")
        for extent in self._shapes[self._outputs[0]][1:]:
            size *= extent
        _check_results(order, cnp.NPY_INT64, samples)
        _check_results(losses, cnp.NPY_DOUBLE, batches)
        _check_results(correct, cnp.NPY_INT64, batches)
        _check_results(output, self._type_number, samples * size)
        if correct is not None and not (self._reads_labels and len(self._target_shape) == 1):
            raise ValueError("Step: right answers are counted where targets are labels")
        memset(&epoch, 0, sizeof(epoch))
        epoch.mode = <nn_step_mode>mode
        epoch.x = rows
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
                check_gradients(status, &error, updates, "Step")
                self._check(status, &error, at)
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
                nn_step_give_up(self._step)
            self.running = False

    cdef int64_t _take_rows(self, nn_rows *rows, tuple pairs) except -1:
        """The last look at a data set; returns its rows."""
        cdef int64_t v
        cdef ndarray array
        if len(pairs) != self._sources:
            raise ValueError(f"Step: {len(pairs)} inputs, the step was built for {self._sources}")
        for v in range(self._sources):
            array = pairs[v][0]
            _check_rows("x", array, self._shapes[v], self._types[v], True)
            if array.shape[0] != (<ndarray>pairs[0][0]).shape[0]:
                raise ValueError(f"Step: x[{v}] has {array.shape[0]} rows, x[0] has {pairs[0][0].shape[0]}")
            rows[v].data = cnp.PyArray_DATA(array)
            rows[v].bytes = cnp.PyArray_TYPE(array) == cnp.NPY_UINT8
            rows[v].channels_first = pairs[v][1]
        return (<ndarray>pairs[0][0]).shape[0]
