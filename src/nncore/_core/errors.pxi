# From the engine's error record to a Python exception: the one place (DESIGN 5).

cdef object _exception_of(nn_status status):
    if status == NN_TYPE_ERROR:
        return TypeError
    if status == NN_VALUE_ERROR:
        return ValueError
    if status == NN_INDEX_ERROR:
        return IndexError
    if status == NN_MEMORY_ERROR:
        return MemoryError
    return RuntimeError


cdef int check(nn_status status, const nn_error *error, str layer) except -1:
    """Raises "layer: arg[index] is got, expected relation expected" unless status is NN_OK."""
    if status == NN_OK:
        return 0
    arg = (<bytes>error.arg).decode()
    if error.index >= 0:
        arg = f"{arg}[{error.index}]"
    relation = (<bytes>error.relation).decode()
    raise _exception_of(status)(f"{layer}: {arg} is {error.got}, expected {relation} {error.expected}")
