/*
 * layer_norm: rows brought to mean 0 and variance 1, or (RMSNorm) to mean square 1. begin and end count rows.
 *
 *     xhat = (x - mean) inverse + offset,   inverse = 1 / sqrt(variance + eps)
 *     y    = xhat weight + bias
 *     dx   = inverse (g - sum g / size - xhat sum (g xhat) / size),   g = weight dy;  RMSNorm: without sum g
 *
 * Two passes: the mean, then the variance about it; `offset` holds what the mean lost when it was rounded to REAL.
 * Sums run in a few chains over segments of a row, which are added up in double. Each step is taken for a few rows
 * that lie in the cache before the next one: the steps of one row wait for each other.
 */
#include "template.h"

#include "layer_norm.h"

enum { CHAINS = 4, SEGMENT = 64 * CHAINS * VL };

/* Rows together at most, and about how many elements of them. */
enum { ROWS = 4, TOGETHER = 4096 };

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

NN_INLINE void write_y(REAL *y, const row *r, int64_t i, int64_t lanes, bool weight, bool bias) {
    vec v = normalised(r, i, lanes);
    if (weight) v = vfma(v, load_lanes(r->weight + i, lanes), bias ? load_lanes(r->bias + i, lanes) : vset(0));
    else if (bias) v += load_lanes(r->bias + i, lanes);
    store_lanes(y + i, v, lanes);
}

NN_INLINE void write_row(REAL *y, const row *r, int64_t size, bool weight, bool bias) {
    int64_t i = 0;
    for (; i + 2 * VL <= size; i += 2 * VL) {
        write_y(y, r, i, VL, weight, bias);
        write_y(y, r, i + VL, VL, weight, bias);
    }
    for (; i < size; i += VL) write_y(y, r, i, nn_min(VL, size - i), weight, bias);
}

/* Row n; in backward with the mean, inverse and offset that forward saved. */
NN_INLINE row row_of(const nn_layer_norm_args *a, int64_t n) {
    const REAL *saved = a->saved;
    row r = {.x = (const REAL *)a->x + n * a->size, .weight = a->weight, .bias = a->bias};
    if (a->dy) {
        r.dy = (const REAL *)a->dy + n * a->size;
        r.mean = saved[n], r.inverse = saved[a->rows + n], r.offset = saved[2 * a->rows + n];
    }
    return r;
}

static inline void forward_rows(const nn_layer_norm_args *a, int64_t first, int64_t count) {
    const int64_t size = a->size;
    const double share = 1 / (double)size;
    row r[ROWS];
    double total[ROWS][2];
    for (int64_t n = 0; n < count; n++) {
        r[n] = row_of(a, first + n);
        if (!a->centred) continue;
        sums(VALUES, &r[n], size, total[n]);
        r[n].mean = (REAL)(total[n][0] * share);
    }
    for (int64_t n = 0; n < count; n++) sums(SQUARES, &r[n], size, total[n]);
    for (int64_t n = 0; n < count; n++) {
        const double lost = a->centred ? total[n][0] * share : 0; /* of the mean, by rounding */
        double variance = total[n][1] * share - lost * lost;
        if (variance < 0) variance = 0;
        const double inverse = 1 / __builtin_sqrt(variance + a->eps);
        r[n].inverse = (REAL)inverse;
        r[n].offset = lost == 0 ? 0 : (REAL)(-lost * inverse); /* 0 inf is no number of ours */
        if (!a->saved) continue;
        REAL *saved = (REAL *)a->saved + first + n;
        saved[0] = r[n].mean, saved[a->rows] = r[n].inverse, saved[2 * a->rows] = r[n].offset;
    }
    for (int64_t n = 0; n < count; n++) {
        const row own = r[n];
        REAL *y = (REAL *)a->y + (first + n) * size;
        if (a->weight && a->bias) write_row(y, &own, size, true, true);
        else if (a->weight) write_row(y, &own, size, true, false);
        else write_row(y, &own, size, false, a->bias != NULL);
    }
}

/* dx = inverse g + (xhat slope + level) */
NN_INLINE void write_dx(REAL *dx, const row *r, int64_t i, int64_t lanes, vec slope, vec level) {
    const vec inner = vfma(normalised(r, i, lanes), slope, level);
    store_lanes(dx + i, vfma(weighted(r, i, lanes), vset(r->inverse), inner), lanes);
}

static inline void dx_of_rows(const nn_layer_norm_args *a, const row *r, int64_t first, int64_t count) {
    const int64_t size = a->size;
    double total[ROWS][2];
    for (int64_t n = 0; n < count; n++) sums(PRODUCTS, &r[n], size, total[n]);
    for (int64_t n = 0; n < count; n++) {
        const row own = r[n];
        const double scale = -(double)own.inverse / (double)size;
        const vec slope = vset((REAL)(scale * total[n][1]));
        const vec level = vset(a->centred ? (REAL)(scale * total[n][0]) : 0);
        REAL *dx = (REAL *)a->dx + (first + n) * size;
        int64_t i = 0;
        for (; i + VL <= size; i += VL) write_dx(dx, &own, i, VL, slope, level);
        if (i < size) write_dx(dx, &own, i, size - i, slope, level);
    }
}

/* products += dy xhat, plain += dy for a strip of columns, row after row. */
NN_INLINE void add_weights(REAL *products, REAL *plain, const row *r, int64_t count, int64_t i, int vecs,
                           int64_t lanes) {
    vec product[CHAINS], sum[CHAINS];
    NN_UNROLL(4) for (int c = 0; c < vecs; c++) {
        product[c] = load_lanes(products + i + c * VL, lanes);
        sum[c] = load_lanes(plain + i + c * VL, lanes);
    }
    for (int64_t n = 0; n < count; n++)
        NN_UNROLL(4) for (int c = 0; c < vecs; c++) {
            const vec dy = load_lanes(r[n].dy + i + c * VL, lanes);
            product[c] = vfma(dy, normalised(&r[n], i + c * VL, lanes), product[c]);
            sum[c] += dy;
        }
    NN_UNROLL(4) for (int c = 0; c < vecs; c++) {
        store_lanes(products + i + c * VL, product[c], lanes);
        store_lanes(plain + i + c * VL, sum[c], lanes);
    }
}

NN_INLINE int64_t together(int64_t size) { return size * ROWS <= TOGETHER ? ROWS : nn_max(1, TOGETHER / size); }

NN_DEFINE_KERNEL(layer_norm_forward) {
    const nn_layer_norm_args *a = args;
    const int64_t some = together(a->size);
    for (int64_t n = begin; n < end; n += some) forward_rows(a, n, nn_min(some, end - n));
}

NN_DEFINE_KERNEL(layer_norm_backward) {
    const nn_layer_norm_args *a = args;
    const int64_t size = a->size, some = together(size);
    REAL *products = a->partial ? (REAL *)a->partial + begin / a->rows_a_piece * 2 * size : NULL;
    REAL *plain = products ? products + size : NULL;
    for (int64_t i = 0; products && i < 2 * size; i++) products[i] = 0;
    for (int64_t first = begin; first < end; first += some) {
        const int64_t count = nn_min(some, end - first);
        row r[ROWS];
        for (int64_t n = 0; n < count; n++) r[n] = row_of(a, first + n);
        if (a->dx) dx_of_rows(a, r, first, count);
        if (!products) continue;
        int64_t i = 0;
        for (; i + CHAINS * VL <= size; i += CHAINS * VL) add_weights(products, plain, r, count, i, CHAINS, VL);
        for (; i < size; i += VL) add_weights(products, plain, r, count, i, 1, nn_min(VL, size - i));
    }
}
