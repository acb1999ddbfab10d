# Arrays on their way in: which are accepted, how they are converted, which memory order they get.

cdef object _float32 = np.dtype(np.float32)
cdef object _float64 = np.dtype(np.float64)


cdef inline nn_dtype dtype_of(ndarray x):
    return NN_FLOAT32 if cnp.PyArray_TYPE(x) == cnp.NPY_FLOAT else NN_FLOAT64


cdef inline bint _ready(ndarray x, int type_number):
    """Of this dtype, native byte order, aligned: a pointer may be taken."""
    return cnp.PyArray_TYPE(x) == type_number and cnp.PyArray_ISBEHAVED_RO(x)


def floating(x, dtype, layer, arg="x"):
    """`x` as an aligned, native array of `dtype` (float32 or float64), itself where it is one already.

    Floating arrays, lists and data frames are converted. Integer and bool arrays are a TypeError that says
    how to scale, as is anything that is not numbers.
    """
    cdef int type_number = cnp.NPY_FLOAT if dtype is _float32 or dtype == _float32 else cnp.NPY_DOUBLE
    if type(x) is ndarray and _ready(<ndarray>x, type_number):
        return x
    return _conversion.converted(x, _float32 if type_number == cnp.NPY_FLOAT else _float64, layer, arg)


cpdef ndarray row_major(ndarray x):
    """`x` in C order and aligned, itself where it is."""
    if cnp.PyArray_IS_C_CONTIGUOUS(x) and cnp.PyArray_ISALIGNED(x):
        return x
    return np.array(x, order="C")


cpdef object dense(ndarray x):
    """`x` without gaps in memory, in any order of axes: itself where it is so, else a C-ordered copy."""
    if (cnp.PyArray_IS_C_CONTIGUOUS(x) and cnp.PyArray_ISALIGNED(x)) or _is_channels_last(x):
        return x
    return np.array(x, order="C")


cdef bint _is_channels_last(ndarray x):
    """A dense, aligned (N, C, H, W) array whose memory is (N, H, W, C)."""
    if cnp.PyArray_NDIM(x) != 4 or not cnp.PyArray_ISALIGNED(x):
        return False
    cdef cnp.npy_intp *shape = cnp.PyArray_DIMS(x)
    cdef cnp.npy_intp *stride = cnp.PyArray_STRIDES(x)
    cdef cnp.npy_intp step = cnp.PyArray_ITEMSIZE(x)
    cdef int axis
    for axis in (1, 3, 2, 0):
        # The stride of an axis of one element says nothing.
        if shape[axis] != 1 and stride[axis] != step:
            return cnp.PyArray_SIZE(x) == 0
        step *= shape[axis]
    return True


# From here on a result's memory is the engine's, which keeps it for the next one when the array is gone.
cdef enum:
    RECYCLED_BYTES = 64 * 1024


cdef class _Block:
    """Owner of an array's memory, its `base`."""
    cdef void *data
    cdef int64_t bytes

    def __dealloc__(self):
        nn_block_give(self.data, self.bytes)


cdef ndarray empty_array(int axes, cnp.npy_intp *shape, int type_number):
    """An uninitialised C-ordered array."""
    cdef int64_t bytes = 8 if type_number == cnp.NPY_DOUBLE or type_number == cnp.NPY_INT64 else 4
    cdef int axis
    if type_number == cnp.NPY_UINT8:
        bytes = 1
    elif type_number == cnp.NPY_UINT16:
        bytes = 2
    for axis in range(axes):
        if shape[axis] > 0 and bytes > INT64_MAX // shape[axis]:
            bytes = 0  # too big: NumPy says so
        bytes *= shape[axis]
    if bytes < RECYCLED_BYTES:
        return cnp.PyArray_SimpleNew(axes, shape, type_number)
    cdef _Block block = _Block.__new__(_Block)
    block.data = nn_block_take(&bytes)
    block.bytes = bytes
    if block.data == NULL:
        raise MemoryError(f"no memory for an array of {bytes} bytes")
    cdef ndarray array = cnp.PyArray_SimpleNewFromData(axes, shape, type_number, block.data)
    cnp.set_array_base(array, block)
    return array


cdef ndarray empty_matrix(int64_t rows, int64_t cols, int type_number):
    cdef cnp.npy_intp shape[2]
    shape[0] = rows
    shape[1] = cols
    return empty_array(2, shape, type_number)


cdef object empty_like_order(ndarray x):
    """An uninitialised array of x's shape, dtype and memory order; x is dense."""
    if cnp.PyArray_IS_C_CONTIGUOUS(x):
        return empty_array(cnp.PyArray_NDIM(x), cnp.PyArray_DIMS(x), cnp.PyArray_TYPE(x))
    return empty_channels_last(x.shape[0], x.shape[1], x.shape[2], x.shape[3], cnp.PyArray_TYPE(x))


cdef object empty_channels_last(int64_t n, int64_t c, int64_t h, int64_t w, int type_number):
    """An uninitialised (n, c, h, w) array in channels-last memory."""
    cdef cnp.npy_intp shape[4]
    shape[0] = n
    shape[1] = h
    shape[2] = w
    shape[3] = c
    return empty_array(4, shape, type_number).transpose(0, 3, 1, 2)


cdef object same_order(ndarray x, ndarray like):
    """`x` in the memory order of `like`, which is dense and has its shape: itself where it is so."""
    cdef bint last = not cnp.PyArray_IS_C_CONTIGUOUS(like)
    if _is_channels_last(x) if last else (cnp.PyArray_IS_C_CONTIGUOUS(x) and cnp.PyArray_ISALIGNED(x)):
        return x
    ordered = empty_like_order(like)
    ordered[...] = x
    return ordered


cdef void *_address(ndarray array):
    return NULL if array is None else cnp.PyArray_DATA(array)


cdef object _no_workspace = np.empty(0, np.uint8)


cdef ndarray workspace(int64_t bytes):
    """Scratch memory for one run of an operation."""
    cdef cnp.npy_intp count = bytes
    return _no_workspace if bytes == 0 else empty_array(1, &count, cnp.NPY_UINT8)


cpdef object as_channels_last(ndarray x):
    """The floating (N, C, H, W) array `x` in channels-last memory: itself where it is so, else a copy."""
    if _is_channels_last(x):
        return x
    if cnp.PyArray_NDIM(x) != 4:
        raise ValueError(f"x has {cnp.PyArray_NDIM(x)} axes, expected 4")
    cdef ndarray last = empty_channels_last(x.shape[0], x.shape[1], x.shape[2], x.shape[3], cnp.PyArray_TYPE(x))
    if cnp.PyArray_STRIDES(x)[1] == cnp.PyArray_ITEMSIZE(x):
        last[...] = x  # channels already innermost, a crop for example: NumPy copies runs of them
        return last
    cdef ndarray first = row_major(x)
    _transpose(last, first, x.shape[0], x.shape[1], x.shape[2] * x.shape[3])
    return last


cpdef object as_channels_first(ndarray x):
    """The floating (N, C, H, W) array `x` in C order: itself where it is so, else a copy."""
    if cnp.PyArray_IS_C_CONTIGUOUS(x) or not _is_channels_last(x):
        return row_major(x)
    cdef ndarray first = empty_array(4, cnp.PyArray_DIMS(x), cnp.PyArray_TYPE(x))
    _transpose(first, x, x.shape[0], x.shape[2] * x.shape[3], x.shape[1])
    return first


cdef void _transpose(ndarray out, ndarray x, int64_t n, int64_t rows, int64_t cols):
    """The memory of `out`, (n, cols, rows), from that of `x`, (n, rows, cols)."""
    cdef void *dst = cnp.PyArray_DATA(out)
    cdef const void *src = cnp.PyArray_DATA(x)
    cdef nn_dtype dtype = dtype_of(x)
    with nogil:
        nn_transpose(dst, src, dtype, n, rows, cols)


def sample_rows(ndarray x not None):
    """(array, whether images lie (C, H, W)): the memory of `x` without gaps, itself where it is so, one row a sample."""
    if _is_channels_last(x):
        return x, False
    return row_major(x), cnp.PyArray_NDIM(x) == 4
