/*
 * vtranspose.h: vectors that take lanes of two others; the transpose of a square of VL x VL elements in
 * registers, and the sums of its rows.
 *
 * Stage d swaps the off-diagonal d x d squares of every 2d x 2d square; the stages 1, 2, 4, ... up to VL / 2
 * together transpose.
 */
#ifndef NN_KERNELS_VTRANSPOSE_H
#define NN_KERNELS_VTRANSPOSE_H

#include <string.h>

#define NN_LANES (VEC_BYTES * 8 / NN_BITS) /* VL, for the preprocessor */

/* Source of lane k of the upper and the lower vector of a pair: 0 to VL-1 in the one, VL and on in the other. */
#define NN_UPPER(k, d) ((k) & (d) ? NN_LANES + (k) - (d) : (k))
#define NN_LOWER(k, d) ((k) & (d) ? NN_LANES + (k) : (k) + (d))
#define NN_EACH2(f, k, d) f(k, d), f((k) + 1, d)
#define NN_EACH4(f, k, d) NN_EACH2(f, k, d), NN_EACH2(f, (k) + 2, d)
#define NN_EACH8(f, k, d) NN_EACH4(f, k, d), NN_EACH4(f, (k) + 4, d)
#define NN_EACH16(f, k, d) NN_EACH8(f, k, d), NN_EACH8(f, (k) + 8, d)
#if NN_LANES == 2
#define NN_EACH(f, d) NN_EACH2(f, 0, d)
#elif NN_LANES == 4
#define NN_EACH(f, d) NN_EACH4(f, 0, d)
#elif NN_LANES == 8
#define NN_EACH(f, d) NN_EACH8(f, 0, d)
#else
#define NN_EACH(f, d) NN_EACH16(f, 0, d)
#endif

#define NN_BEHIND(k, d) ((k) + (d))

/* The upper half of a, then the lower half of b. */
NN_INLINE vec vstraddle(vec a, vec b) { return __builtin_shufflevector(a, b, NN_EACH(NN_BEHIND, NN_LANES / 2)); }

#define NN_TRANSPOSE_STAGE(t, d)                                                     \
    NN_UNROLL(16) for (int i = 0; i < VL; i++) if (!(i & (d))) {                     \
        const vec upper = t[i], lower = t[i + (d)];                                  \
        t[i] = __builtin_shufflevector(upper, lower, NN_EACH(NN_UPPER, d));          \
        t[i + (d)] = __builtin_shufflevector(upper, lower, NN_EACH(NN_LOWER, d));    \
    }

/* Lane j of vector i becomes lane i of vector j. */
NN_INLINE void vtranspose(vec t[VL]) {
    NN_TRANSPOSE_STAGE(t, 1)
#if NN_LANES > 2
    NN_TRANSPOSE_STAGE(t, 2)
#endif
#if NN_LANES > 4
    NN_TRANSPOSE_STAGE(t, 4)
#endif
#if NN_LANES > 8
    NN_TRANSPOSE_STAGE(t, 8)
#endif
}

#define NN_HAVE_QUADS (NN_BITS == 32 && NN_LANES > 4)
#if NN_HAVE_QUADS
typedef REAL nn_quad __attribute__((vector_size(16)));
typedef REAL nn_octet __attribute__((vector_size(32)));

NN_INLINE nn_quad vload_quad(const REAL *from) {
    nn_quad quad;
    memcpy(&quad, from, sizeof quad);
    return quad;
}

NN_INLINE nn_octet vjoin_quads(const REAL *a, const REAL *b) {
    return __builtin_shufflevector(vload_quad(a), vload_quad(b), 0, 1, 2, 3, 4, 5, 6, 7);
}

/* Four elements of rows 0, 4, 8, ... */
NN_INLINE vec vload_quads(const REAL *from, int64_t row) {
#if NN_LANES == 8
    return vjoin_quads(from, from + 4 * row);
#else
    return __builtin_shufflevector(vjoin_quads(from, from + 4 * row), vjoin_quads(from + 8 * row, from + 12 * row), 0, 1,
                                   2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
#endif
}

/* Within each quad of lanes: of a and b one element in turn, from d on; two of each, from d on. */
#define NN_SINGLES(k, d) (((k) & 1 ? NN_LANES : 0) + ((k) & ~3) + ((k) & 2) / 2 + (d))
#define NN_COUPLES(k, d) (((k) & 2 ? NN_LANES : 0) + ((k) & ~3) + ((k) & 1) + (d))

/*
 * Four columns of VL rows `row` apart become vectors. Quads of lanes are joined as they are loaded, so that only within
 * them there is something left to shuffle.
 */
NN_INLINE void vtranspose_columns(vec t[4], const REAL *from, int64_t row) {
    const vec a = vload_quads(from, row), b = vload_quads(from + row, row);
    const vec c = vload_quads(from + 2 * row, row), d = vload_quads(from + 3 * row, row);
    for (int half = 0; half < 2; half++) {
        const vec ab = half ? __builtin_shufflevector(a, b, NN_EACH(NN_SINGLES, 2))
                            : __builtin_shufflevector(a, b, NN_EACH(NN_SINGLES, 0));
        const vec cd = half ? __builtin_shufflevector(c, d, NN_EACH(NN_SINGLES, 2))
                            : __builtin_shufflevector(c, d, NN_EACH(NN_SINGLES, 0));
        t[2 * half] = __builtin_shufflevector(ab, cd, NN_EACH(NN_COUPLES, 0));
        t[2 * half + 1] = __builtin_shufflevector(ab, cd, NN_EACH(NN_COUPLES, 2));
    }
}
#endif

/* Of a pair d apart: lane k of the sum holds parts of the one or, where k has the bit d, of the other. */
#define NN_FOLD_STAGE(t, d)                                                          \
    NN_UNROLL(16) for (int i = 0; i < VL; i += 2 * (d))                              \
        t[i] = __builtin_shufflevector(t[i], t[i + (d)], NN_EACH(NN_UPPER, d)) +     \
               __builtin_shufflevector(t[i], t[i + (d)], NN_EACH(NN_LOWER, d));

#define NN_OWN(k, d) ((k) & (d) ? NN_LANES + (k) : (k))
#define NN_OTHER(k, d) ((k) & (d) ? (k) : NN_LANES + (k))
#define NN_CROSSED(k, d) ((k) ^ (d))

/* Lane k of the result: the sum of the lanes of vector k. */
NN_INLINE vec vfold(vec t[VL]) {
#if NN_BITS == 32 /* to select is cheaper than to shuffle, and nothing else takes lanes 1 apart from two vectors at once */
    NN_UNROLL(16) for (int i = 0; i < VL; i += 2) {
        const vec other = vkept(__builtin_shufflevector(t[i], t[i + 1], NN_EACH(NN_OTHER, 1)));
        t[i] = __builtin_shufflevector(t[i], t[i + 1], NN_EACH(NN_OWN, 1)) +
               __builtin_shufflevector(other, other, NN_EACH(NN_CROSSED, 1));
    }
#else
    NN_FOLD_STAGE(t, 1)
#endif
#if NN_LANES > 2
    NN_FOLD_STAGE(t, 2)
#endif
#if NN_LANES > 4
    NN_FOLD_STAGE(t, 4)
#endif
#if NN_LANES > 8
    NN_FOLD_STAGE(t, 8)
#endif
    return t[0];
}

#endif
