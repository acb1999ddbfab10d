# The random stream: element i is a function of (seed, name, call, i) alone.

cdef int _stream(nn_stream *stream, object seed, object name, object call) except -1:
    for what, value in (("seed", seed), ("call", call)):
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
            raise TypeError(f"{what} must be an integer, got {value!r}")
        if not 0 <= value < 2**64:
            raise ValueError(f"{what} must be at least 0 and below 2**64, got {value}")
    cdef bytes encoded = name.encode()
    stream[0] = nn_stream_make(<uint64_t>int(seed), encoded, <uint64_t>int(call))
    return 0


def stream_uniform(seed, name, call, shape, dtype, double low, double high):
    """An array of numbers equally likely in [low, high)."""
    cdef nn_stream stream
    _stream(&stream, seed, name, call)
    cdef ndarray out = np.empty(shape, dtype)
    nn_stream_uniform(&stream, dtype_of(out), cnp.PyArray_DATA(out), cnp.PyArray_SIZE(out), low, high)
    return out


def stream_normal(seed, name, call, shape, dtype, double mean, double std):
    """An array of normally distributed numbers."""
    cdef nn_stream stream
    _stream(&stream, seed, name, call)
    cdef ndarray out = np.empty(shape, dtype)
    nn_stream_normal(&stream, dtype_of(out), cnp.PyArray_DATA(out), cnp.PyArray_SIZE(out), mean, std)
    return out


def stream_permutation(seed, name, call, int64_t count):
    """The numbers 0 to count - 1 in random order, int64."""
    cdef nn_stream stream
    if count < 0:
        raise ValueError(f"count must be at least 0, got {count}")
    _stream(&stream, seed, name, call)
    cdef ndarray out = np.empty(count, np.int64)
    nn_stream_permutation(&stream, <int64_t *>cnp.PyArray_DATA(out), count)
    return out
