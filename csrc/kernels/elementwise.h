/*
 * elementwise.h: the loops of elementwise kernels, around a function of vectors that is inlined into them.
 *
 * Two vectors at a time: two independent chains of a polynomial fill the latency of one. A lone argument is loaded once:
 * the compiler would load it again for each use as an operand.
 */
#ifndef NN_KERNELS_ELEMENTWISE_H
#define NN_KERNELS_ELEMENTWISE_H

/* y[i] = f(x[i]) for i in [begin, end) */
NN_INLINE void elementwise_unary(REAL *y, const REAL *x, int64_t begin, int64_t end, vec (*f)(vec)) {
    int64_t i = begin;
    for (; i + 2 * VL <= end; i += 2 * VL) {
        const vec first = f(vkept(vload(x + i))), second = f(vkept(vload(x + i + VL)));
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

/* What a function is given beside its argument: numbers, the same in all lanes. */
typedef struct given {
    vec a, b, c;
} given;

/* y[i] = f(x[i], g) for i in [begin, end) */
NN_INLINE void elementwise_unary_given(REAL *y, const REAL *x, int64_t begin, int64_t end, vec (*f)(vec, given),
                                       given g) {
    int64_t i = begin;
    for (; i + 2 * VL <= end; i += 2 * VL) {
        const vec first = f(vkept(vload(x + i)), g), second = f(vkept(vload(x + i + VL)), g);
        vstore(y + i, first);
        vstore(y + i + VL, second);
    }
    for (; i < end; i += VL) {
        const int64_t some = nn_min(VL, end - i);
        vstore_some(y + i, f(vload_some(x + i, some), g), some);
    }
}

/* z[i] = f(x[i], y[i], g) for i in [begin, end) */
NN_INLINE void elementwise_binary_given(REAL *z, const REAL *x, const REAL *y, int64_t begin, int64_t end,
                                        vec (*f)(vec, vec, given), given g) {
    int64_t i = begin;
    for (; i + 2 * VL <= end; i += 2 * VL) {
        const vec first = f(vload(x + i), vload(y + i), g), second = f(vload(x + i + VL), vload(y + i + VL), g);
        vstore(z + i, first);
        vstore(z + i + VL, second);
    }
    for (; i < end; i += VL) {
        const int64_t some = nn_min(VL, end - i);
        vstore_some(z + i, f(vload_some(x + i, some), vload_some(y + i, some), g), some);
    }
}

#endif
