# Updates: an optimiser's step over all its parameters in one engine call.

cdef dict _update_kinds = {"sgd": NN_SGD, "adam": NN_ADAM}


cdef class Update:
    """The step of an optimiser ("sgd" or "adam"; AdamW is "adam" with `decoupled`) over fixed arrays.

    params, grads and the arrays of states are kept, and changed in place: for each parameter its gradient and
    a tuple of state arrays (SGD with momentum: one; Adam: two), all C-contiguous, of one dtype and equal size.
    `steps` counts the updates done.
    """

    cdef nn_update update  # for the compiled step: set by `configure`
    cdef list _arrays      # keeps what the pointers point to
    cdef int _states       # arrays of state of each parameter

    def __cinit__(self, str kind, params, grads, states):
        cdef int64_t i
        cdef int at
        cdef ndarray array
        memset(&self.update, 0, sizeof(self.update))
        if kind not in _update_kinds:
            raise ValueError(f"Update: kind is {kind!r}, expected 'sgd' or 'adam'")
        params, grads, states = list(params), list(grads), [tuple(arrays) for arrays in states]
        if not len(params) == len(grads) == len(states):
            raise ValueError(f"Update: {len(params)} params, {len(grads)} grads and {len(states)} states, "
                             "expected as many of each")
        self._states = len(states[0]) if states else 2
        self._check_arrays(kind, params, grads, states)
        self.update.kind = _update_kinds[kind]
        self.update.dtype = dtype_of(params[0]) if params else NN_FLOAT32
        self.update.tensors = <nn_tensor *>PyMem_Calloc(max(len(params), 1), sizeof(nn_tensor))
        if self.update.tensors == NULL:
            raise MemoryError(f"Update: no memory for {len(params)} parameters")
        self.update.tensor_count = len(params)
        for i in range(len(params)):
            array = params[i]
            self.update.tensors[i].param = cnp.PyArray_DATA(array)
            self.update.tensors[i].count = cnp.PyArray_SIZE(array)
            array = grads[i]
            self.update.tensors[i].grad = cnp.PyArray_DATA(array)
            for at in range(self._states):
                array = states[i][at]
                self.update.tensors[i].state[at] = cnp.PyArray_DATA(array)
        self._arrays = [params, grads, states]

    def __dealloc__(self):
        PyMem_Free(self.update.tensors)

    cdef int _check_arrays(self, str kind, list params, list grads, list states) except -1:
        spans = []
        for i, (param, grad, arrays) in enumerate(zip(params, grads, states)):
            if len(arrays) != self._states or not (len(arrays) == 2 if kind == "adam" else len(arrays) < 2):
                raise ValueError(f"Update: states[{i}] has {len(arrays)} arrays, expected "
                                 + ("2" if kind == "adam" else "0 or 1, as the first has"))
            named = [(f"params[{i}]", param), (f"grads[{i}]", grad)]
            named += [(f"states[{i}][{at}]", array) for at, array in enumerate(arrays)]
            for name, array in named:
                self._check_array(name, array, params[0], param)
                if array.nbytes:
                    start = array.__array_interface__["data"][0]
                    spans.append((start, start + array.nbytes, name))
        # Two threads may work on any two of them at once.
        spans.sort()
        for (_, stop, name), (start, _, other) in zip(spans, spans[1:]):
            if start < stop:
                raise ValueError(f"Update: {name} and {other} share memory, expected arrays of their own")
        return 0

    cdef int _check_array(self, str name, object array, object first, object param) except -1:
        if type(array) is not ndarray:
            raise TypeError(f"Update: {name} is a {type(array).__name__}, expected an array")
        if array.dtype != _float32 and array.dtype != _float64:
            raise TypeError(f"Update: {name} has dtype {array.dtype}, expected float32 or float64")
        if array.dtype != first.dtype:
            raise TypeError(f"Update: {name} has dtype {array.dtype}, expected {first.dtype} as the first has")
        if array.size != param.size:
            raise ValueError(f"Update: {name} has {array.size} elements, its parameter has {param.size}")
        if not cnp.PyArray_IS_C_CONTIGUOUS(array) or not cnp.PyArray_ISBEHAVED(array):
            raise ValueError(f"Update: {name} must be C-contiguous, aligned, writeable and in native byte order")
        return 0

    @property
    def steps(self):
        return self.update.steps

    @steps.setter
    def steps(self, int64_t steps):
        if steps < 0:
            raise ValueError(f"Update: steps must be 0 or more, got {steps}")
        self.update.steps = steps

    def configure(self, *, double lr, double weight_decay=0.0, double momentum=0.0, double dampening=0.0,
                  bint nesterov=False, double beta1=0.9, double beta2=0.999, double eps=1e-8,
                  bint decoupled=False, bint clear_grad=False):
        """Set the numbers of the following runs; ranges are the caller's to check."""
        if self.update.kind == NN_SGD and momentum != 0 and self._states < 1 and self.update.tensor_count:
            raise ValueError(f"Update: momentum is {momentum}, expected 0 as there are no state arrays")
        self.update.lr = lr
        self.update.weight_decay = weight_decay
        self.update.momentum = momentum
        self.update.dampening = dampening
        self.update.nesterov = nesterov
        self.update.beta1 = beta1
        self.update.beta2 = beta2
        self.update.eps = eps
        self.update.decoupled = decoupled
        self.update.clear_grad = clear_grad

    def run(self, **hyper):
        """One step, with the numbers of `configure`, which are given here or were set before."""
        cdef nn_error error
        cdef nn_status status
        if hyper:
            self.configure(**hyper)
        with nogil:
            status = nn_update_run(&self.update, &error)
        check(status, &error, "Update")

    def first_nonfinite(self):
        """The number of the first parameter whose gradient is not finite, None if all are."""
        cdef int64_t tensor
        with nogil:
            tensor = nn_update_nonfinite(&self.update)
        return None if tensor < 0 else tensor


cdef class Plan:
    """The updates of an optimiser as they were configured, and all that they were configured for.

    A small compiled step takes a few microseconds, checking and setting its numbers more: whether they are
    still the same is asked here, without making lists.
    """

    cdef readonly list updates
    cdef list _groups, _numbers
    cdef tuple _names
    cdef object _version
    cdef bint _clear_grad

    def __init__(self, list groups not None, names, version, bint clear_grad, list updates not None):
        self.updates, self._groups, self._names = updates, groups, tuple(names)
        self._version, self._clear_grad = version, clear_grad
        self._numbers = []
        for group in groups:
            self._numbers.append(len(group["params"]))
            self._numbers += [_value_of(group[name]) for name in self._names]

    cpdef bint holds(self, list groups, version, bint clear_grad):
        """Whether they are right for these groups as they are now."""
        cdef Py_ssize_t at, i, k = 0
        cdef dict group
        if groups is not self._groups or clear_grad != self._clear_grad or version != self._version:
            return False
        if len(groups) * (len(self._names) + 1) != len(self._numbers):
            return False
        for at in range(len(groups)):
            group = groups[at]
            if len(group["params"]) != self._numbers[k]:
                return False
            k += 1
            for i in range(len(self._names)):
                now, then = _value_of(group[self._names[i]]), self._numbers[k]
                if now is not then and now != then:
                    return False
                k += 1
        return True


cdef inline object _value_of(object number):
    """What a number is now: a list of betas may change in place."""
    return tuple(number) if type(number) is list else number
