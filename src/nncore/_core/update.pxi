# Updates: an optimiser's step over all its parameters in one engine call.

cdef dict _update_kinds = {"sgd": NN_SGD, "adam": NN_ADAM, "rmsprop": NN_RMSPROP, "adagrad": NN_ADAGRAD,
                           "lion": NN_LION}
# The fewest and the most arrays of state of each.
cdef dict _update_states = {"sgd": (0, 1), "adam": (2, 3), "rmsprop": (1, 3), "adagrad": (1, 1), "lion": (1, 1)}

cdef enum:
    MOST_UPDATES = 64


def _place_of(ndarray array not None):
    """Where an array's memory begins; `__array_interface__` says it too, in ten times the time."""
    return <Py_ssize_t>cnp.PyArray_DATA(array)


cdef class Update:
    """The step of an optimiser (AdamW is "adam" with `decoupled`) over fixed arrays.

    params, grads and the arrays of states are kept, and changed in place: for each parameter its gradient and
    a tuple of state arrays (which, says nn_tensor in nncore.h), all C-contiguous, of one dtype and equal size.
    `names` are the parameters', for messages. `steps` counts the updates done.
    """

    cdef nn_update update  # for the compiled step: set by `configure`
    cdef list _arrays      # keeps what the pointers point to
    cdef int _states       # arrays of state of each parameter
    cdef readonly object names

    def __cinit__(self, str kind, params, grads, states, names=None):
        cdef int64_t i, total = 0
        cdef int at
        cdef ndarray array
        memset(&self.update, 0, sizeof(self.update))
        if kind not in _update_kinds:
            raise ValueError(f"Update: kind is {kind!r}, expected one of {', '.join(_update_kinds)}")
        params, grads, states = list(params), list(grads), [tuple(arrays) for arrays in states]
        _update_checks.check_arrays(_place_of, params, grads, states, *_update_states[kind])
        self._states = len(states[0]) if states else _update_states[kind][1]
        self.names = [f"params[{at}]" for at in range(len(params))] if names is None else list(names)
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
            total += self.update.tensors[i].count
        self.update.sums = <double *>PyMem_Calloc(total // NN_UPDATE_PIECE + 1, sizeof(double))
        if self.update.sums == NULL:
            raise MemoryError(f"Update: no memory for the sums of {total} elements")
        self._arrays = [params, grads, states]

    def __dealloc__(self):
        PyMem_Free(self.update.tensors)
        PyMem_Free(self.update.sums)

    @property
    def steps(self):
        return self.update.steps

    @steps.setter
    def steps(self, int64_t steps):
        if steps < 0:
            raise ValueError(f"Update: steps must be 0 or more, got {steps}")
        self.update.steps = steps

    def configure(self, *, double lr, double weight_decay=0.0, double momentum=0.0, double dampening=0.0,
                  bint nesterov=False, double beta1=0.9, double beta2=0.999, double eps=1e-8, double lr_decay=0.0,
                  bint decoupled=False, bint amsgrad=False, bint centered=False, bint maximize=False,
                  bint clear_grad=False, double max_norm=0.0, double max_value=0.0, bint finite=False):
        """Set the numbers of the following runs; ranges are the caller's to check."""
        cdef int needed = (momentum != 0) + amsgrad + centered
        if self.update.tensor_count and self._states < needed + (0 if self.update.kind == NN_SGD else
                                                                 2 if self.update.kind == NN_ADAM else 1):
            options = [f"momentum is {momentum}, expected 0" if momentum else "", "amsgrad is on" if amsgrad else "",
                       "centered is on" if centered else ""]
            raise ValueError(f"Update: {', '.join(filter(None, options))} as there are no state arrays")
        self.update.lr = lr
        self.update.weight_decay = weight_decay
        self.update.momentum = momentum
        self.update.dampening = dampening
        self.update.nesterov = nesterov
        self.update.beta1 = beta1
        self.update.beta2 = beta2
        self.update.eps = eps
        self.update.lr_decay = lr_decay
        self.update.decoupled = decoupled
        self.update.amsgrad = amsgrad
        self.update.centered = centered
        self.update.maximize = maximize
        self.update.clear_grad = clear_grad
        self.update.max_norm = max_norm
        self.update.max_value = max_value
        self.update.finite = finite

    def run(self, **hyper):
        """One step, with the numbers of `configure`, which are given here or were set before."""
        if hyper:
            self.configure(**hyper)
        run_updates([self], "Update")

    def squares(self):
        """The sum of the squares of all gradients, in double precision; not finite where one of them is not."""
        cdef double sum
        with nogil:
            sum = nn_update_squares(&self.update)
        return sum

    def first_nonfinite(self):
        """The number of the first parameter whose gradient is not finite, None if all are."""
        cdef int64_t tensor
        with nogil:
            tensor = nn_update_nonfinite(&self.update)
        return None if tensor < 0 else tensor


cdef int64_t update_pointers(nn_update **pointers, list updates, str owner) except -1:
    if len(updates) > MOST_UPDATES:
        raise ValueError(f"{owner}: {len(updates)} parameter groups, at most {MOST_UPDATES}")
    for i in range(len(updates)):
        pointers[i] = &(<Update>updates[i]).update
    return len(updates)


cdef int check_gradients(nn_status status, const nn_error *error, list updates, str owner) except -1:
    """Raises with the parameter's name where its gradient is not finite and that is an error."""
    if status == NN_VALUE_ERROR and error.arg == nn_gradient:
        name = updates[error.got].names[error.index]
        raise ValueError(f"{owner}: the gradient of {name} must be finite, got NaN or infinity")
    return 0


def run_updates(list updates not None, str owner not None):
    """The steps of an optimiser's updates, as configured: all or none of them."""
    cdef nn_error error
    cdef nn_status status
    cdef nn_update *pointers[MOST_UPDATES]
    cdef int64_t count = update_pointers(pointers, updates, owner)
    with nogil:
        status = nn_update_run(pointers, count, &error)
    check_gradients(status, &error, updates, owner)
    check(status, &error, owner)


cdef class Plan:
    """The updates of an optimiser as they were configured, and all that they were configured for.

    A small compiled step takes a few microseconds, checking and setting its numbers more: whether they are
    still the same is asked here, first by looking whether the groups hold the same objects.
    """

    cdef readonly list updates
    cdef nn_update *_pointers[MOST_UPDATES]  # the same
    cdef list _groups, _numbers
    cdef tuple _names
    cdef tuple _items      # names and values of all groups, in their order; empty where one may change in place
    cdef Py_ssize_t _listed  # parameters, and names of them, in all groups
    cdef int64_t _version
    cdef bint _clear_grad
    cdef type _planned     # the optimiser's type

    def __init__(self, list groups not None, names, int64_t version, bint clear_grad, list updates not None):
        self.updates, self._groups, self._names = updates, groups, tuple(names)
        self._version, self._clear_grad = version, clear_grad
        update_pointers(self._pointers, updates, "Plan")
        self._numbers = self._numbers_now()
        self._remember()

    cdef list _numbers_now(self):
        cdef list numbers = []
        for group in self._groups:
            numbers.append(len(group["params"]))
            for name in self._names:
                number = group[name]
                numbers.append(tuple(number) if type(number) is list else number)  # betas may change in place
        return numbers

    cdef int _remember(self) except -1:
        cdef list items = []
        self._listed = 0
        for group in self._groups:
            for name, value in group.items():
                items += name, value
                if name == "params" or name == "param_names":
                    self._listed += len(value)
                elif type(value) is list:
                    self._items = ()
                    return 0
        self._items = tuple(items)
        return 0

    cdef bint _same_objects(self):
        """Whether the groups hold what was there at the last look; else who knows."""
        cdef PyObject **then = PySequence_Fast_ITEMS(self._items)
        cdef Py_ssize_t count = len(self._items), k = 0, listed = 0, at, place
        cdef PyObject *name = NULL
        cdef PyObject *value = NULL
        for at in range(len(self._groups)):
            place = 0
            while PyDict_Next(self._groups[at], &place, &name, &value):
                if k >= count or name is not then[k] or value is not then[k + 1]:
                    return False
                if type(<object>value) is list:
                    listed += len(<list>value)
                k += 2
        return k == count and listed == self._listed

    cdef bint _stands(self, object optimizer):
        """Whether it is still the optimiser's plan for a compiled step; no says only that one must look closer."""
        if type(optimizer) is not self._planned:  # looked up in its bases, once
            if not isinstance(optimizer, Planned):
                return False
            self._planned = type(optimizer)
        return (self._clear_grad and self._version == _structure and (<Planned>optimizer)._plan is self
                and (<Planned>optimizer).param_groups is self._groups and self._same_objects())

    def holds(self, list groups, int64_t version, bint clear_grad):
        """Whether they are right for these groups as they are now."""
        if groups is not self._groups or clear_grad != self._clear_grad or version != self._version:
            return False
        if self._same_objects():
            return True
        if self._numbers_now() != self._numbers:
            return False
        self._remember()
        return True


cdef class Planned:
    """Base of optimisers: what each call of a compiled step looks at, where it is found at once."""

    cdef public list param_groups
    cdef public Plan _plan  # None: what was configured is out of date
