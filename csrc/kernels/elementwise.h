/*
 * elementwise.h: the loops of elementwise kernels, around a function of vectors that is inlined into them.
 *
 * Two vectors at a time: two independent chains of a polynomial fill the latency of one.
 */
#ifndef NN_KERNELS_ELEMENTWISE_H
#define NN_KERNELS_ELEMENTWISE_H

/* y[i] = f(x[i]) for i in [begin, end) */
NN_INLINE void elementwise_unary(REAL *y, const REAL *x, int64_t begin, int64_t end, vec (*f)(vec)) {
    int64_t i = begin;
    for (; i + 2 * VL <= end; i += 2 * VL) {
        const vec first = f(vload(x + i)), second = f(vload(x + i + VL));
        vstore(y + i, first);
        vstore(y + i + VL, second);
    }
    for (; i < end; i += VL) {
        const int64_t some = nn_min(VL, end - i);
        vstore_some(y + i, f(vload_some(x + i, some)), some);
    }
}

/* z[i] = f(x[i], y[i]) for i in [begin, end) */
NN_INLINE void elementwise_binary(REAL *z, const REAL *x, const REAL *y, int64_t begin, int64_t end,
                                  vec (*f)(vec, vec)) {
    int64_t i = begin;
    for (; i + 2 * VL <= end; i += 2 * VL) {
        const vec first = f(vload(x + i), vload(y + i)), second = f(vload(x + i + VL), vload(y + i + VL));
        vstore(z + i, first);
        vstore(z + i + VL, second);
    }
    for (; i < end; i += VL) {
        const int64_t some = nn_min(VL, end - i);
        vstore_some(z + i, f(vload_some(x + i, some), vload_some(y + i, some)), some);
    }
}

#endif
