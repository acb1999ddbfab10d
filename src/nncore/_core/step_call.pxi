# What the compiler's Step does without a line of Python: the call of a training loop, and a prediction. A small step
# takes two or three microseconds, a Python function that looks at five attributes half of one.

cdef int64_t _structure = 0  # with the GIL held: no change is lost


def structure_changed():
    """Note a change of structure."""
    global _structure
    _structure += 1


def structure_version():
    """The number of the latest change."""
    return _structure


# The same for gradients: who takes the array of one, to look at it or to write to it, takes a number. A step that has
# seen all numbers knows which gradients are zero, and leaves those alone.
cdef int64_t _gradients = 0


def gradient_taken():
    """Note that somebody has the array of a gradient, or has written to gradients."""
    global _gradients
    _gradients += 1


def gradients_version():
    """The number of the latest taking."""
    return _gradients


cdef class Caller:
    """Base of the Step that `nncore.compile` returns, which holds its model and prepares arrays.

    Arrays that can be read as they are, and an optimiser whose plan still stands, go straight to the engine; anything
    else to the subclass's `_train(mode, x, y)` and `_predict(x, out)`. Models without a loss have no training call.
    """

    cdef public object optimizer
    cdef public Step _core
    cdef public int64_t _built_for  # the structure's number
    cdef public int64_t _gradients_seen  # the gradients'
    cdef public Plan _seen          # of the last training call
    cdef public list _strangers     # parameters that the plan does not hold, known since then

    def __call__(self, x, y):
        """Train on one batch: gradients zeroed, forward, loss, backward, update; returns the loss.

        The numbers of the optimiser are read at each call. Gradients read zero afterwards. An
        empty batch returns NaN; its gradients are zero, so that at most momentum, averages and
        weight decay of the optimiser change anything, as by hand.
        """
        return self._call(NN_STEP_TRAIN, x, y)

    def _train_finite(self, x, y):
        """The same, but after a loss that is not finite nothing has changed."""
        return self._call(NN_STEP_TRAIN_FINITE, x, y)

    cdef _call(self, int mode, x, y):
        cdef Step core = self._core
        cdef Plan plan = self._seen
        cdef const void *data
        cdef double loss
        if (core is None or self._built_for != _structure or self._gradients_seen != _gradients
                or not core._x_ready(x) or not core._target_ready(y, x)):
            return self._train(mode, x, y)
        data = cnp.PyArray_DATA(<ndarray>x)
        if plan is None or not plan._stands(self.optimizer):  # a schedule changes its numbers batch by batch
            loss = core._run(mode, &data, (<ndarray>x).shape[0], <ndarray>y, self._updates("gradients(x, y)"))
            self._clear_strangers()
            return loss
        loss = core._go(mode, &data, (<ndarray>x).shape[0], <ndarray>y, plan._pointers, len(plan.updates),
                        plan.updates)
        if self._strangers:
            self._clear_strangers()
        return loss

    def predict(self, x, out=None):
        """The model's output for one batch, in `out` if given; a tuple if it has several heads."""
        cdef Step core = self._core
        cdef const void *data
        if out is not None or core is None or self._built_for != _structure or not core._x_ready(x):
            return self._predict(x, out)
        data = cnp.PyArray_DATA(<ndarray>x)
        return core._predict(&data, (<ndarray>x).shape[0], None)
