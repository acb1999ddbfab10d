# Batches of a data set, outside of a step.

def gather_rows(ndarray source not None, ndarray order not None, dtype, ndarray table=None, layer="gather_rows"):
    """The rows `order` of `source` in `dtype`, images in channels-last memory; byte b of uint8 reads table[b].

    source is of dtype or uint8, without gaps in memory (`sample_rows` makes it so), order int64.
    """
    cdef int type_number = cnp.NPY_FLOAT if np.dtype(dtype) == _float32 else cnp.NPY_DOUBLE
    cdef bint bytes = cnp.PyArray_TYPE(source) == cnp.NPY_UINT8
    cdef nn_rows rows
    cdef int64_t channels, pixels = 1, n = cnp.PyArray_SIZE(order), count
    if cnp.PyArray_NDIM(source) < 1:
        raise ValueError(f"{layer}: source is a single number")
    if not bytes and not _ready(source, type_number):
        raise TypeError(f"{layer}: source has dtype {source.dtype}, expected {np.dtype(dtype)} or uint8")
    if bytes and (table is None or cnp.PyArray_SIZE(table) != 256 or not _ready(table, type_number)
                  or not cnp.PyArray_IS_C_CONTIGUOUS(table)):
        raise ValueError(f"{layer}: uint8 needs a table of 256 values of {np.dtype(dtype)}")
    cdef bint last = _is_channels_last(source)
    if not last and not cnp.PyArray_IS_C_CONTIGUOUS(source):
        raise ValueError(f"{layer}: source has gaps in memory")
    order = _conversion.row_order(order, source.shape[0], layer)
    shape = (n,) + (<object>source).shape[1:]
    cdef ndarray out = _empty_value(shape, type_number)
    count = math.prod(shape[1:])
    channels = count
    if cnp.PyArray_NDIM(source) == 4:
        channels = shape[1]
        pixels = shape[2] * shape[3]
    rows.data = cnp.PyArray_DATA(source)
    rows.bytes = bytes
    rows.channels_first = cnp.PyArray_NDIM(source) == 4 and not last
    cdef const int64_t *numbers = <const int64_t *>cnp.PyArray_DATA(order)
    cdef void *written = cnp.PyArray_DATA(out)
    cdef const void *scaled = _address(table)
    with nogil:
        nn_gather(written, &rows, scaled, numbers, NN_FLOAT32 if type_number == cnp.NPY_FLOAT else NN_FLOAT64, n,
                  channels, pixels)
    return out


def crop(ndarray x not None, places, size, layer="crop"):
    """Windows of `size` of images, one each, that begin at `places` (N, 2); zeros where there is no image."""
    cdef int type_number = cnp.PyArray_TYPE(x)
    if cnp.PyArray_NDIM(x) != 4 or type_number not in (cnp.NPY_FLOAT, cnp.NPY_DOUBLE):
        raise ValueError(f"{layer}: x has shape {np.shape(x)} and dtype {x.dtype}, expected floats (N, C, H, W)")
    cdef ndarray source = as_channels_last(x)
    cdef ndarray begin = np.array(places, np.int64, order="C")
    cdef int64_t n = x.shape[0], channels = x.shape[1], height = x.shape[2], width = x.shape[3]
    cdef int64_t rows = size[0], columns = size[1]
    if np.shape(begin) != (n, 2) or np.abs(begin).max(initial=0) > 2**31 or min(rows, columns) < 0:
        raise ValueError(f"{layer}: expected places ({n}, 2) and a size, got {np.shape(begin)} and {size}")
    cdef ndarray out = _empty_value((n, channels, rows, columns), type_number)
    cdef void *written = cnp.PyArray_DATA(out)
    cdef const void *images = cnp.PyArray_DATA(source)
    cdef const int64_t *where = <const int64_t *>cnp.PyArray_DATA(begin)
    with nogil:
        nn_crop(written, images, where, NN_FLOAT32 if type_number == cnp.NPY_FLOAT else NN_FLOAT64, n, height, width,
                channels, rows, columns)
    return out
