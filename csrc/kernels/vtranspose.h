/*
 * vtranspose.h: vectors that take lanes of two others; the transpose of a square of VL x VL elements in
 * registers, and the sums of its rows.
 *
 * Stage d swaps the off-diagonal d x d squares of every 2d x 2d square; the stages 1, 2, 4, ... up to VL / 2
 * together transpose.
 */
#ifndef NN_KERNELS_VTRANSPOSE_H
#define NN_KERNELS_VTRANSPOSE_H

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
