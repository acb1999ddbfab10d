# The last look at the arrays of a compiled step, before their pointers are taken.

cdef bint _lies_ready(ndarray x, tuple shape, int type_number):
    """Of this dtype, of this shape but for the batch, in the memory order that the engine reads."""
    cdef int rank = cnp.PyArray_NDIM(x), axis
    if rank != len(shape) or not _ready(x, type_number):
        return False
    for axis in range(1, rank):
        if x.shape[axis] != <int64_t>shape[axis]:
            return False
    return _is_channels_last(x) if rank == 4 and type_number != cnp.NPY_INT64 else cnp.PyArray_IS_C_CONTIGUOUS(x)


cdef int _check_rows(str name, ndarray x, tuple shape, int type_number, bint any_order) except -1:
    """The last look before a pointer is taken: the compiler has prepared these arrays, for this very step?"""
    if _lies_ready(x, shape, type_number):
        return 0
    any_order = any_order and type_number != cnp.NPY_INT64  # indices and labels have one
    if any_order and (<object>x).shape[1:] == shape[1:] and cnp.PyArray_IS_C_CONTIGUOUS(x):
        if _ready(x, type_number) or (name == "x" and cnp.PyArray_TYPE(x) == cnp.NPY_UINT8):
            return 0
    if any_order and name == "x" and cnp.PyArray_TYPE(x) == cnp.NPY_UINT8 and _is_channels_last(x):
        if (<object>x).shape[1:] == shape[1:]:
            return 0
    raise ValueError(f"Step: {name} of shape {(<object>x).shape} and dtype {x.dtype} is not what the step was "
                     f"built for, {shape[1:]} a sample")


cdef int _check_target(ndarray target, tuple shape, int type_number, int64_t n, bint any_order) except -1:
    if target is None:
        raise ValueError("Step: target is None, expected the labels or targets of x")
    _check_rows("target", target, shape, type_number, any_order)
    if target.shape[0] != n:
        raise ValueError(f"Step: target has {target.shape[0]} rows, x has {n}")
    return 0


cdef int _check_results(ndarray array, int type_number, int64_t count) except -1:
    """An array that the engine writes to: of so many elements without gaps."""
    if array is not None and (cnp.PyArray_TYPE(array) != type_number or cnp.PyArray_SIZE(array) != count
                              or not cnp.PyArray_ISBEHAVED(array)
                              or not (cnp.PyArray_IS_C_CONTIGUOUS(array) or _is_channels_last(array))):
        raise ValueError(f"Step: results of shape {(<object>array).shape} and dtype {array.dtype} do not fit")
    return 0
