/*
 * layer_norm: rows brought to mean 0 and variance 1, or (RMSNorm) to mean square 1. begin and end count rows.
 *
 *     xhat = (x - mean) inverse + offset,   inverse = 1 / sqrt(variance + eps)
 *     y    = xhat weight + bias
 *     dx   = inverse (g - sum g / size - xhat sum (g xhat) / size),   g = weight dy;  RMSNorm: without sum g
 *
 * Two passes: the mean, then the variance about it; `offset` holds what the mean lost when it was rounded to REAL.
 * Sums run in a few chains over segments of a row, which are added up in double.
 */
#include "template.h"

#include "layer_norm.h"

enum { CHAINS = 4, SEGMENT = 64 * CHAINS * VL };

/* vsum's sum, by shuffles: short rows spend most of their time here. */
NN_INLINE double total_of(vec v) {
#if VEC_BYTES == 32 && NN_BITS == 32
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128((__m256)v), _mm256_extractf128_ps((__m256)v, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return (double)_mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
#else
    return (double)vsum(v);
#endif
}

typedef struct row {
    const REAL *x, *dy, *weight, *bias;
    REAL mean, inverse, offset;
} row;

NN_INLINE vec weighted(const row *r, int64_t i, int64_t lanes) {
    const vec dy = load_lanes(r->dy + i, lanes);
    return r->weight ? dy * load_lanes(r->weight + i, lanes) : dy;
}

NN_INLINE vec normalised(const row *r, int64_t i, int64_t lanes) {
    return vfma(load_lanes(r->x + i, lanes) - vset(r->mean), vset(r->inverse), vset(r->offset));
}

/* What is summed up: two terms of each element. Lanes beyond the row add nothing. */
typedef enum terms { VALUES, SQUARES, PRODUCTS } terms;

NN_INLINE void add_terms(terms kind, const row *r, int64_t i, int64_t lanes, vec *one, vec *two) {
    if (kind == VALUES) {
        *one += load_lanes(r->x + i, lanes);
    } else if (kind == SQUARES) {
        vec far = load_lanes(r->x + i, lanes) - vset(r->mean);
        if (lanes < VL) far = vselect(vmask(lanes), far, vset(0));
        *one += far;
        *two = vfma(far, far, *two);
    } else {
        const vec g = weighted(r, i, lanes);
        *one += g;
        *two = vfma(g, lanes < VL ? vselect(vmask(lanes), normalised(r, i, lanes), vset(0)) : normalised(r, i, lanes),
                    *two);
    }
}

NN_INLINE void sums(terms kind, const row *r, int64_t size, double total[2]) {
    total[0] = total[1] = 0;
    for (int64_t first = 0; first < size; first += SEGMENT) {
        const int64_t end = nn_min(first + SEGMENT, size);
        vec one[CHAINS] = {{0}}, two[CHAINS] = {{0}};
        int64_t i = first;
        for (; i + CHAINS * VL <= end; i += CHAINS * VL)
            NN_UNROLL(4) for (int c = 0; c < CHAINS; c++) add_terms(kind, r, i + c * VL, VL, &one[c], &two[c]);
        for (; i + VL <= end; i += VL) add_terms(kind, r, i, VL, &one[0], &two[0]);
        if (i < end) add_terms(kind, r, i, end - i, &one[1], &two[1]);
        total[0] += total_of((one[0] + one[1]) + (one[2] + one[3]));
        if (kind != VALUES) total[1] += total_of((two[0] + two[1]) + (two[2] + two[3]));
    }
}

NN_INLINE void write_y(REAL *y, const row *r, int64_t i, int64_t lanes) {
    vec v = normalised(r, i, lanes);
    if (r->weight) v = vfma(v, load_lanes(r->weight + i, lanes), r->bias ? load_lanes(r->bias + i, lanes) : vset(0));
    else if (r->bias) v += load_lanes(r->bias + i, lanes);
    store_lanes(y + i, v, lanes);
}

NN_DEFINE_KERNEL(layer_norm_forward) {
    const nn_layer_norm_args *a = args;
    const int64_t size = a->size;
    const double share = 1 / (double)size;
    for (int64_t n = begin; n < end; n++) {
        row r = {.x = (const REAL *)a->x + n * size, .weight = a->weight, .bias = a->bias};
        double total[2];
        if (a->centred) {
            sums(VALUES, &r, size, total);
            r.mean = (REAL)(total[0] * share);
        }
        sums(SQUARES, &r, size, total);
        const double lost = a->centred ? total[0] * share : 0; /* of the mean, by rounding */
        double variance = total[1] * share - lost * lost;
        if (variance < 0) variance = 0;
        const double inverse = 1 / __builtin_sqrt(variance + a->eps);
        r.inverse = (REAL)inverse;
        r.offset = lost == 0 ? 0 : (REAL)(-lost * inverse); /* 0 inf is no number of ours */
        if (a->saved) {
            REAL *saved = a->saved;
            saved[n] = r.mean, saved[a->rows + n] = r.inverse, saved[2 * a->rows + n] = r.offset;
        }
        REAL *y = (REAL *)a->y + n * size;
        int64_t i = 0;
        for (; i + VL <= size; i += VL) write_y(y, &r, i, VL);
        if (i < size) write_y(y, &r, i, size - i);
    }
}

/* dx = inverse g + (xhat slope + level) */
NN_INLINE void write_dx(REAL *dx, const row *r, int64_t i, int64_t lanes, vec slope, vec level) {
    const vec inner = vfma(normalised(r, i, lanes), slope, level);
    store_lanes(dx + i, vfma(weighted(r, i, lanes), vset(r->inverse), inner), lanes);
}

NN_INLINE void add_weights(REAL *products, REAL *plain, const row *r, int64_t i, int64_t lanes) {
    const vec dy = load_lanes(r->dy + i, lanes);
    store_lanes(products + i, vfma(dy, normalised(r, i, lanes), load_lanes(products + i, lanes)), lanes);
    store_lanes(plain + i, load_lanes(plain + i, lanes) + dy, lanes);
}

NN_DEFINE_KERNEL(layer_norm_backward) {
    const nn_layer_norm_args *a = args;
    const REAL *saved = a->saved;
    const int64_t size = a->size;
    REAL *products = a->partial ? (REAL *)a->partial + begin / a->rows_a_piece * 2 * size : NULL;
    REAL *plain = products ? products + size : NULL;
    for (int64_t i = 0; products && i < 2 * size; i++) products[i] = 0;
    for (int64_t n = begin; n < end; n++) {
        const row r = {.x = (const REAL *)a->x + n * size, .dy = (const REAL *)a->dy + n * size, .weight = a->weight,
                       .mean = saved[n], .inverse = saved[a->rows + n], .offset = saved[2 * a->rows + n]};
        if (a->dx) {
            double total[2];
            sums(PRODUCTS, &r, size, total);
            const double scale = -(double)r.inverse / (double)size;
            const vec slope = vset((REAL)(scale * total[1])), level = vset(a->centred ? (REAL)(scale * total[0]) : 0);
            REAL *dx = (REAL *)a->dx + n * size;
            int64_t i = 0;
            for (; i + VL <= size; i += VL) write_dx(dx, &r, i, VL, slope, level);
            if (i < size) write_dx(dx, &r, i, size - i, slope, level);
        }
        if (!products) continue;
        int64_t i = 0;
        for (; i + VL <= size; i += VL) add_weights(products, plain, &r, i, VL);
        if (i < size) add_weights(products, plain, &r, i, size - i);
    }
}
