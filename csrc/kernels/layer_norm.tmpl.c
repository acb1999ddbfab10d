/*
 * layer_norm: rows brought to mean 0 and variance 1, or (RMSNorm) to mean square 1. begin and end count rows.
 *
 *     xhat = (x - centre) inverse + offset,   inverse = 1 / sqrt(variance + eps)
 *     y    = xhat weight + bias
 *     dx   = inverse g + xhat slope + level,   g = weight dy
 *            slope = -inverse sum (g xhat) / size,   level = -inverse sum g / size;  RMSNorm: without level
 *
 * Where the mean lies within two deviations of 0, centre is 0 and the rest in `offset`; else it is the mean, and offset
 * what that lost when it was rounded to REAL. So is RMSNorm's.
 * Steps are taken for a few rows that lie in the cache before the next one, SIDE of them to a block and blocks by twos:
 * the steps of one row wait for each other. Sums run in a few chains over segments of a row, which are added up in
 * double.
 */
#include "template.h"

#include "layer_norm.h"

enum { SIDE = 4, BLOCKS = 2, CHAINS = 4, SEGMENT = 64 * CHAINS * VL, TOGETHER = 4096 };

typedef double quad __attribute__((vector_size(8 * SIDE)));
typedef REAL four __attribute__((vector_size(NN_BITS / 8 * SIDE)));

typedef int64_t mask __attribute__((vector_size(8 * SIDE)));

/* Whether any bit of the first lanes is set. */
static inline bool is_any(mask m, int64_t count) {
    int64_t lane[SIDE], any = 0;
    memcpy(lane, &m, sizeof lane);
    for (int64_t k = 0; k < count; k++) any |= lane[k];
    return any != 0;
}

NN_INLINE quad root_of(quad v) {
    quad root;
    for (int k = 0; k < SIDE; k++) root[k] = __builtin_sqrt(v[k]);
    return root;
}

/* The first numbers of four, to and from an array. */
NN_INLINE void put(REAL *to, four v, int64_t count) {
    if (count == SIDE) memcpy(to, &v, sizeof v);
    else
        for (int64_t k = 0; k < count; k++) to[k] = v[k];
}

NN_INLINE four take(const REAL *from, int64_t count) {
    four v = {0};
    if (count == SIDE) memcpy(&v, from, sizeof v);
    else
        for (int64_t k = 0; k < count; k++) v[k] = from[k];
    return v;
}

/* The sum of the lanes of each vector. */
NN_INLINE quad totals_of(const vec v[SIDE]) {
#if VEC_BYTES == 32 && NN_BITS == 32
    const __m256 one = _mm256_hadd_ps((__m256)v[0], (__m256)v[1]), two = _mm256_hadd_ps((__m256)v[2], (__m256)v[3]);
    const __m256 all = _mm256_hadd_ps(one, two);
    return (quad)_mm256_cvtps_pd(_mm_add_ps(_mm256_castps256_ps128(all), _mm256_extractf128_ps(all, 1)));
#else
    quad total;
    for (int k = 0; k < SIDE; k++) total[k] = (double)vsum(v[k]);
    return total;
#endif
}

/* SIDE rows, or fewer. */
typedef struct block {
    int64_t first, count;
    bool near; /* all centres are 0 */
    four centre, inverse, offset, slope, level;
} block;

/* What is summed up of an element: x - centre and its square, or g and g (x - centre). */
typedef enum terms { MOMENTS, GRADIENTS } terms;

/* near: the centre is 0. */
NN_INLINE void add_terms(const REAL *x, const REAL *dy, const REAL *weight, vec centre, int64_t lanes, terms of,
                         bool near, vec *one, vec *two) {
    vec far = load_lanes(x, lanes), g;
    if (!near) far -= centre;
    if (!near && lanes < VL) far = vselect(vmask(lanes), far, vset(0));
    g = far;
    if (of == GRADIENTS) {
        g = load_lanes(dy, lanes);
        if (weight) g *= load_lanes(weight, lanes);
    }
    *one += g;
    *two = vfma(g, far, *two);
}

/* The two sums of each row of the block. */
NN_INLINE void sum_rows(const nn_layer_norm_args *a, const block *b, terms of, bool near,
                        const REAL *weights, quad sums[2]) {
    const int64_t size = a->size;
    sums[0] = sums[1] = (quad){0};
    for (int64_t first = 0; first < size; first += SEGMENT) {
        const int64_t end = nn_min(first + SEGMENT, size);
        vec total[2][SIDE];
        for (int k = 0; k < SIDE; k++) total[0][k] = total[1][k] = vset(0);
        for (int64_t k = 0; k < b->count; k++) {
            const REAL *x = (const REAL *)a->x + (b->first + k) * size, *dy = NULL;
            if (of == GRADIENTS) dy = (const REAL *)a->dy + (b->first + k) * size;
            const vec centre = vset(b->centre[k]);
            vec one[CHAINS] = {{0}}, two[CHAINS] = {{0}};
            int64_t i = first;
            for (; i + CHAINS * VL <= end; i += CHAINS * VL)
                NN_UNROLL(4) for (int c = 0; c < CHAINS; c++) {
                    const int64_t at = i + c * VL;
                    add_terms(x + at, dy + at, weights ? weights + at : NULL, centre, VL, of, near, &one[c], &two[c]);
                }
            for (; i < end; i += VL)
                add_terms(x + i, dy + i, weights ? weights + i : NULL, centre, nn_min(VL, end - i), of, near,
                          &one[0], &two[0]);
            total[0][k] = (one[0] + one[1]) + (one[2] + one[3]);
            total[1][k] = (two[0] + two[1]) + (two[2] + two[3]);
        }
        sums[0] += totals_of(total[0]);
        sums[1] += totals_of(total[1]);
    }
}

/* Moments about means that are far from 0. */
static NN_NOINLINE void sum_again(const nn_layer_norm_args *a, const block *b, quad sums[2]) {
    sum_rows(a, b, MOMENTS, false, NULL, sums);
}

/* The centre, inverse and offset of rows: from moments about 0, or where that was too far off about the mean found. */
static inline void measure(const nn_layer_norm_args *a, block *b) {
    const double share = 1 / (double)a->size;
    quad sums[2];
    sum_rows(a, b, MOMENTS, true, NULL, sums);
    quad mean = sums[0] * share, variance = sums[1] * share, offset = {0};
    b->near = true;
    b->centre = (four){0};
    if (a->centred) {
        variance -= mean * mean;
        const mask off = ~((mean * mean <= 4 * variance) & (variance < __builtin_inf()));
        b->near = !is_any(off, b->count);
        if (!b->near) {
            b->centre = __builtin_convertvector((quad)(off & (mask)mean), four);
            sum_again(a, b, sums);
            quad far = sums[0] * share, centre = __builtin_convertvector(b->centre, quad);
            variance = sums[1] * share - far * far;
            mean = centre + far;
            b->centre = __builtin_convertvector((quad)(off & (mask)mean), four);
            offset = (centre - __builtin_convertvector(b->centre, quad)) + far;
        } else {
            offset = mean;
        }
    }
    const quad inverse = 1 / root_of((quad)((mask)variance & ~(variance < 0)) + a->eps);
    b->inverse = __builtin_convertvector(inverse, four);
    b->offset = __builtin_convertvector((quad)((mask)(-offset * inverse) & (offset != 0)), four); /* 0 inf is no number */
    if (!a->saved) return;
    REAL *saved = (REAL *)a->saved + b->first;
    put(saved, b->centre, b->count);
    put(saved + a->rows, b->inverse, b->count);
    put(saved + 2 * a->rows, b->offset, b->count);
}

/* A row's numbers in registers, which no store can be thought to change. */
typedef struct line {
    const REAL *x, *dy;
    vec centre, inverse, offset, slope, level;
} line;

NN_INLINE line line_of(const nn_layer_norm_args *a, const block *b, int64_t k) {
    const int64_t at = (b->first + k) * a->size;
    return (line){(const REAL *)a->x + at, (const REAL *)a->dy + at, vset(b->centre[k]), vset(b->inverse[k]),
                  vset(b->offset[k]), vset(b->slope[k]), vset(b->level[k])};
}

NN_INLINE vec normalised(const line *r, int64_t i, int64_t lanes, bool near) {
    const vec x = load_lanes(r->x + i, lanes);
    return vfma(near ? x : x - r->centre, r->inverse, r->offset);
}

NN_INLINE void write_y(REAL *y, const line *r, int64_t i, int64_t lanes, bool near, const REAL *weight,
                       const REAL *bias) {
    vec v = normalised(r, i, lanes, near);
    if (weight) v = vfma(v, load_lanes(weight + i, lanes), bias ? load_lanes(bias + i, lanes) : vset(0));
    else if (bias) v += load_lanes(bias + i, lanes);
    store_lanes(y + i, v, lanes);
}

NN_INLINE void write_row(REAL *y, const line *r, int64_t size, bool near, const REAL *weight, const REAL *bias) {
    int64_t i = 0;
    for (; i + 4 * VL <= size; i += 4 * VL)
        NN_UNROLL(4) for (int c = 0; c < 4; c++) write_y(y, r, i + c * VL, VL, near, weight, bias);
    for (; i < size; i += VL) write_y(y, r, i, nn_min(VL, size - i), near, weight, bias);
}

static NN_NOINLINE void write_any(REAL *y, line r, int64_t size, const REAL *weight, const REAL *bias) {
    write_row(y, &r, size, false, weight, bias);
}

static inline void write_block(const nn_layer_norm_args *a, const block *b) {
    const REAL *weight = a->weight, *bias = a->bias;
    for (int64_t k = 0; k < b->count; k++) {
        REAL *y = (REAL *)a->y + (b->first + k) * a->size;
        const line r = line_of(a, b, k);
        if (!weight || !b->near) write_any(y, r, a->size, weight, bias);
        else if (bias) write_row(y, &r, a->size, true, weight, bias);
        else write_row(y, &r, a->size, true, weight, NULL);
    }
}

static inline int64_t rows_of(int64_t size) { return size * SIDE <= TOGETHER ? SIDE : nn_max(1, TOGETHER / size); }

NN_DEFINE_KERNEL(layer_norm_forward) {
    const nn_layer_norm_args *a = args;
    const int64_t rows = rows_of(a->size), blocks_most = a->size * SIDE * BLOCKS <= TOGETHER ? BLOCKS : 1;
    while (begin < end) {
        block b[BLOCKS];
        int blocks = 0;
        for (; blocks < blocks_most && begin < end; begin += b[blocks++].count) {
            b[blocks].first = begin;
            b[blocks].count = nn_min(end - begin, rows);
            measure(a, &b[blocks]);
        }
        for (int i = 0; i < blocks; i++) write_block(a, &b[i]);
    }
}

/* ---- backward ---------------------------------------------------------------------------------------- */

static NN_NOINLINE void sum_gradients(const nn_layer_norm_args *a, const block *b, quad sums[2]) {
    sum_rows(a, b, GRADIENTS, false, a->weight, sums);
}

/* What forward saved, and the two numbers that the row's sums give. */
static inline void weigh(const nn_layer_norm_args *a, block *b) {
    const REAL *saved = (const REAL *)a->saved + b->first;
    b->centre = take(saved, b->count);
    b->inverse = take(saved + a->rows, b->count);
    b->offset = take(saved + 2 * a->rows, b->count);
    const quad centre = __builtin_convertvector(b->centre, quad);
    b->near = !is_any(centre != 0, b->count);
    quad sums[2];
    if (a->weight && b->near) sum_rows(a, b, GRADIENTS, true, a->weight, sums);
    else sum_gradients(a, b, sums);
    const quad inverse = __builtin_convertvector(b->inverse, quad), offset = __builtin_convertvector(b->offset, quad);
    const quad scale = inverse * (-1 / (double)a->size);
    b->slope = __builtin_convertvector(scale * (sums[1] * inverse + sums[0] * offset), four);
    b->level = a->centred ? __builtin_convertvector(scale * sums[0], four) : (four){0};
}

/* A vector of a row: dx, where it is wanted, and what it adds to the columns' sums. */
NN_INLINE void spread(REAL *dx, const line *r, int64_t i, int64_t lanes, bool near, vec weight, vec *product, vec *plain) {
    const vec dy = load_lanes(r->dy + i, lanes), xhat = normalised(r, i, lanes, near);
    *product = vfma(dy, xhat, *product);
    *plain += dy;
    if (dx) store_lanes(dx + i, vfma(dy * weight, r->inverse, vfma(xhat, r->slope, r->level)), lanes);
}

/* The same of two rows, or of one; columns: the sums of a piece, products and then plain ones. */
NN_INLINE void spread_both(REAL *dx, const line *r, const line *s, int64_t size, int64_t i, int64_t lanes,
                           bool near, const REAL *weights, REAL *columns) {
    const vec weight = weights ? load_lanes(weights + i, lanes) : vset(1);
    vec product = vset(0), plain = vset(0);
    if (columns) product = load_lanes(columns + i, lanes), plain = load_lanes(columns + size + i, lanes);
    spread(dx, r, i, lanes, near, weight, &product, &plain);
    if (s) spread(dx ? dx + size : NULL, s, i, lanes, near, weight, &product, &plain);
    if (!columns) return;
    store_lanes(columns + i, product, lanes);
    store_lanes(columns + size + i, plain, lanes);
}

NN_INLINE void spread_rows(REAL *dx, const line *r, const line *s, int64_t size, bool near, const REAL *weights,
                           REAL *columns) {
    int64_t i = 0;
    for (; i + VL <= size; i += VL) spread_both(dx, r, s, size, i, VL, near, weights, columns);
    if (i < size) spread_both(dx, r, s, size, i, size - i, near, weights, columns);
}

static NN_NOINLINE void spread_any(REAL *dx, line r, line s, bool both, int64_t size, const REAL *weights,
                                   REAL *columns) {
    spread_rows(dx, &r, both ? &s : NULL, size, false, weights, columns);
}

static inline void spread_block(const nn_layer_norm_args *a, const block *b, REAL *columns) {
    const int64_t size = a->size;
    for (int64_t k = 0; k < b->count; k += 2) {
        REAL *dx = a->dx ? (REAL *)a->dx + (b->first + k) * size : NULL;
        const line r = line_of(a, b, k), s = line_of(a, b, k + 1);
        if (k + 1 < b->count && a->weight && columns && dx && b->near)
            spread_rows(dx, &r, &s, size, true, a->weight, columns);
        else spread_any(dx, r, s, k + 1 < b->count, size, a->weight, columns);
    }
}

NN_DEFINE_KERNEL(layer_norm_backward) {
    const nn_layer_norm_args *a = args;
    REAL *columns = a->partial ? (REAL *)a->partial + begin / a->rows_a_piece * 2 * a->size : NULL;
    if (columns) memset(columns, 0, (size_t)(2 * a->size) * sizeof(REAL));
    const int64_t rows = nn_max(2, rows_of(a->size)), blocks_most = a->size * SIDE * BLOCKS <= TOGETHER ? BLOCKS : 1;
    while (begin < end) {
        block b[BLOCKS];
        int blocks = 0;
        for (; blocks < blocks_most && begin < end; begin += b[blocks++].count) {
            b[blocks].first = begin;
            b[blocks].count = nn_min(end - begin, rows);
            weigh(a, &b[blocks]);
        }
        for (int i = 0; i < blocks; i++) spread_block(a, &b[i], columns);
    }
}
