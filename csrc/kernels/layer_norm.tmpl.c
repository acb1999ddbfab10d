/*
 * layer_norm: rows brought to mean 0 and variance 1, or (RMSNorm) to mean square 1. begin and end count rows.
 *
 *     xhat = (x - centre) inverse + offset,   inverse = 1 / sqrt(variance + eps)
 *     y    = xhat weight + bias
 *     dx   = inverse g + xhat slope + level,   g = weight dy
 *            slope = -inverse sum (g xhat) / size,   level = -inverse sum g / size;  RMSNorm: without level
 *
 * Where the mean lies within a deviation of 0, centre is 0 and the rest in `offset`, which spares a subtraction; else
 * it is the mean, and offset what that lost when it was rounded to REAL. All of it is the row's own: no bit depends on
 * the rows beside it.
 * Sums run in a few chains over segments of a row, which are added up in double. Forward takes each step for a few rows
 * that lie in the cache before the next one, SIDE of them to a block and blocks by twos: the steps of one row wait for
 * each other.
 */
#include "template.h"

#include "layer_norm.h"

enum { SIDE = VEC_BYTES / 8, BLOCKS = 2, CHAINS = 4, SEGMENT = 64 * CHAINS * VL, TOGETHER = 4096 };

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

/* The first numbers of four into an array. */
NN_INLINE void put(REAL *to, four v, int64_t count) {
    if (count == SIDE) memcpy(to, &v, sizeof v);
    else
        for (int64_t k = 0; k < count; k++) to[k] = v[k];
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
    four centre, inverse, offset;
} block;

/* x - centre and its square. near: the centre is 0. */
NN_INLINE void add_terms(const REAL *x, vec centre, int64_t lanes, bool near, vec *one, vec *two) {
    vec far = load_lanes(x, lanes);
    if (!near) far -= centre;
    if (!near && lanes < VL) far = vselect(vmask(lanes), far, vset(0));
    *one += far;
    *two = vfma(far, far, *two);
}

/* The two sums of each row of the block. */
NN_INLINE void sum_rows(const nn_layer_norm_args *a, const block *b, bool near, quad sums[2]) {
    const int64_t size = a->size;
    sums[0] = sums[1] = (quad){0};
    for (int64_t first = 0; first < size; first += SEGMENT) {
        const int64_t end = nn_min(first + SEGMENT, size);
        vec total[2][SIDE];
        for (int k = 0; k < SIDE; k++) total[0][k] = total[1][k] = vset(0);
        for (int64_t k = 0; k < b->count; k++) {
            const REAL *x = (const REAL *)a->x + (b->first + k) * size;
            const vec centre = vset(b->centre[k]);
            vec one[CHAINS] = {{0}}, two[CHAINS] = {{0}};
            int64_t i = first;
            for (; i + CHAINS * VL <= end; i += CHAINS * VL)
                NN_UNROLL(4) for (int c = 0; c < CHAINS; c++)
                    add_terms(x + i + c * VL, centre, VL, near, &one[c], &two[c]);
            for (; i < end; i += VL) add_terms(x + i, centre, nn_min(VL, end - i), near, &one[0], &two[0]);
            total[0][k] = (one[0] + one[1]) + (one[2] + one[3]);
            total[1][k] = (two[0] + two[1]) + (two[2] + two[3]);
        }
        sums[0] += totals_of(total[0]);
        sums[1] += totals_of(total[1]);
    }
}

/* Moments about centres that are not 0. */
static NN_NOINLINE void sum_again(const nn_layer_norm_args *a, const block *b, quad sums[2]) {
    sum_rows(a, b, false, sums);
}

/* v where m has its bits set, 0 elsewhere */
NN_INLINE quad where(mask m, quad v) { return (quad)(m & (mask)v); }

/* The centre, inverse and offset of rows: from moments about 0, and where the mean is far from that about the mean. */
static inline void measure(const nn_layer_norm_args *a, block *b) {
    const double share = 1 / (double)a->size;
    quad sums[2];
    sum_rows(a, b, true, sums);
    quad mean = sums[0] * share, variance = sums[1] * share, offset = {0};
    b->near = true;
    b->centre = (four){0};
    if (a->centred) {
        variance -= mean * mean;
        offset = mean;
        const mask far = ~((mean * mean <= variance) & (variance < __builtin_inf())); /* or a square is above REAL */
        b->near = !is_any(far, b->count);
        if (!b->near) {
            b->centre = __builtin_convertvector(where(far, mean), four);
            sum_again(a, b, sums);
            const quad centre = __builtin_convertvector(b->centre, quad);
            mean = sums[0] * share;
            variance = sums[1] * share - mean * mean;
            b->centre = __builtin_convertvector(where(far, centre + mean), four);
            offset = (centre - __builtin_convertvector(b->centre, quad)) + mean;
        }
    }
    const quad inverse = 1 / root_of(where(~(variance < 0), variance) + a->eps);
    b->inverse = __builtin_convertvector(inverse, four);
    b->offset = __builtin_convertvector(where(offset != 0, -offset * inverse), four); /* 0 inf is no number of ours */
    if (!a->saved) return;
    REAL *saved = (REAL *)a->saved + b->first;
    put(saved, b->centre, b->count);
    put(saved + a->rows, b->inverse, b->count);
    put(saved + 2 * a->rows, b->offset, b->count);
}

/* A row's numbers in registers, which no store can be thought to change. */
typedef struct line {
    const REAL *x;
    vec centre, inverse, offset;
} line;

NN_INLINE line line_of(const nn_layer_norm_args *a, const block *b, int64_t k) {
    const int64_t at = (b->first + k) * a->size;
    return (line){(const REAL *)a->x + at, vset(b->centre[k]), vset(b->inverse[k]), vset(b->offset[k])};
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
        if (!weight || !(bias || b->near)) write_any(y, r, a->size, weight, bias);
        else if (!bias) write_row(y, &r, a->size, true, weight, NULL);
        else if (b->near) write_row(y, &r, a->size, true, weight, bias);
        else write_row(y, &r, a->size, false, weight, bias);
    }
}

/* Rows of a block, and blocks one after the other, of which so many elements are read. */
static inline int64_t rows_of(int64_t elements) {
    return elements * SIDE <= TOGETHER ? SIDE : nn_max(1, TOGETHER / elements);
}
static inline int blocks_of(int64_t elements) { return elements * SIDE * BLOCKS <= TOGETHER ? BLOCKS : 1; }

NN_DEFINE_KERNEL(layer_norm_forward) {
    const nn_layer_norm_args *a = args;
    const int64_t rows = rows_of(a->size);
    const int most = blocks_of(a->size);
    while (begin < end) {
        block b[BLOCKS];
        int blocks = 0;
        for (; blocks < most && begin < end; begin += b[blocks++].count) {
            b[blocks].first = begin;
            b[blocks].count = nn_min(end - begin, rows);
            measure(a, &b[blocks]);
        }
        for (int i = 0; i < blocks; i++) write_block(a, &b[i]);
    }
}

/* ---- backward ---------------------------------------------------------------------------------------- */

typedef struct row {
    const REAL *x, *dy;
    REAL centre, inverse, offset;
} row;

static inline row row_of(const nn_layer_norm_args *a, int64_t n) {
    const REAL *saved = (const REAL *)a->saved + n;
    return (row){(const REAL *)a->x + n * a->size, (const REAL *)a->dy + n * a->size, saved[0], saved[a->rows],
                 saved[2 * a->rows]};
}

/* What a row adds to its own sums, g and g (x - mean), and to those of its columns, dy xhat and dy. */
typedef struct tally {
    vec one, two;
} tally;

NN_INLINE void add_row(const row *r, int64_t i, int64_t lanes, bool near, vec weight, tally *own, vec *product,
                       vec *plain) {
    const vec dy = load_lanes(r->dy + i, lanes), g = dy * weight;
    vec far = load_lanes(r->x + i, lanes);
    if (!near) far -= vset(r->centre);
    if (!near && lanes < VL) far = vselect(vmask(lanes), far, vset(0));
    own->one += g;
    own->two = vfma(g, far, own->two);
    *product = vfma(dy, vfma(far, vset(r->inverse), vset(r->offset)), *product);
    *plain += dy;
}

/* A vector of two rows, or of one; the columns' sums are those of a piece, products and then plain ones. */
NN_INLINE void add_rows(const row *r, const row *s, int64_t i, int64_t lanes, bool near, const REAL *weights,
                        REAL *columns, int64_t size, tally *one, tally *two) {
    const vec weight = weights ? load_lanes(weights + i, lanes) : vset(1);
    vec product = vset(0), plain = vset(0);
    if (columns) product = load_lanes(columns + i, lanes), plain = load_lanes(columns + size + i, lanes);
    add_row(r, i, lanes, near, weight, one, &product, &plain);
    if (s) add_row(s, i, lanes, near, weight, two, &product, &plain);
    if (!columns) return;
    store_lanes(columns + i, product, lanes);
    store_lanes(columns + size + i, plain, lanes);
}

NN_INLINE void sums(const nn_layer_norm_args *a, const row *r, const row *s, bool near, REAL *columns,
                    double one[2], double two[2]) {
    const int64_t size = a->size;
    const REAL *weights = a->weight;
    one[0] = one[1] = two[0] = two[1] = 0;
    for (int64_t first = 0; first < size; first += SEGMENT) {
        const int64_t end = nn_min(first + SEGMENT, size);
        tally own = {{0}, {0}}, other = {{0}, {0}};
        int64_t i = first;
        if (s && weights && columns && near) /* no question inside the loop: this is where a network spends its time */
            for (; i + 4 * VL <= end; i += 4 * VL)
                NN_UNROLL(4) for (int c = 0; c < 4; c++)
                    add_rows(r, s, i + c * VL, VL, true, weights, columns, size, &own, &other);
        else if (s && weights && columns)
            for (; i + 4 * VL <= end; i += 4 * VL)
                NN_UNROLL(4) for (int c = 0; c < 4; c++)
                    add_rows(r, s, i + c * VL, VL, false, weights, columns, size, &own, &other);
        for (; i < end; i += VL) add_rows(r, s, i, nn_min(VL, end - i), false, weights, columns, size, &own, &other);
        one[0] += (double)vsum(own.one), one[1] += (double)vsum(own.two);
        if (s) two[0] += (double)vsum(other.one), two[1] += (double)vsum(other.two);
    }
}

/* dx = inverse g + ((x - centre) slope + level) */
NN_INLINE void write_dx(REAL *dx, const row *r, int64_t i, int64_t lanes, bool near, const REAL *weights, vec slope,
                        vec level) {
    const vec dy = load_lanes(r->dy + i, lanes), x = load_lanes(r->x + i, lanes), far = near ? x : x - vset(r->centre);
    const vec g = weights ? dy * load_lanes(weights + i, lanes) : dy;
    store_lanes(dx + i, vfma(g, vset(r->inverse), vfma(far, slope, level)), lanes);
}

/* dx of row n from `total`, its sums of g and of g (x - centre). */
static NN_NOINLINE void write_dx_row(const nn_layer_norm_args *a, int64_t n, const double total[2]) {
    const row r = row_of(a, n);
    const int64_t size = a->size;
    const REAL *weights = a->weight;
    const double inverse = r.inverse, products = total[1] * inverse + total[0] * (double)r.offset;
    const double scale = -inverse / (double)size, slope = scale * products;
    const vec steep = vset((REAL)(slope * inverse));
    const vec level = vset((REAL)(slope * (double)r.offset + (a->centred ? scale * total[0] : 0)));
    REAL *dx = (REAL *)a->dx + n * size;
    int64_t i = 0;
    if (weights && r.centre == 0)
        for (; i + 4 * VL <= size; i += 4 * VL)
            NN_UNROLL(4) for (int c = 0; c < 4; c++) write_dx(dx, &r, i + c * VL, VL, true, weights, steep, level);
    else if (weights)
        for (; i + 4 * VL <= size; i += 4 * VL)
            NN_UNROLL(4) for (int c = 0; c < 4; c++) write_dx(dx, &r, i + c * VL, VL, false, weights, steep, level);
    for (; i < size; i += VL) write_dx(dx, &r, i, nn_min(VL, size - i), false, weights, steep, level);
}

NN_DEFINE_KERNEL(layer_norm_backward) {
    const nn_layer_norm_args *a = args;
    const int64_t size = a->size;
    REAL *columns = a->partial ? (REAL *)a->partial + begin / a->rows_a_piece * 2 * size : NULL;
    if (columns) memset(columns, 0, (size_t)(2 * size) * sizeof(REAL));
    for (int64_t n = begin; n < end; n += 2) {
        const row r = row_of(a, n), s = row_of(a, nn_min(n + 1, end - 1));
        double total[2][2];
        if (n + 1 < end) sums(a, &r, &s, r.centre == 0 && s.centre == 0, columns, total[0], total[1]);
        else sums(a, &r, NULL, false, columns, total[0], total[1]);
        for (int64_t k = nn_min(end - n, 2) - 1; a->dx && k >= 0; k--) write_dx_row(a, n + k, total[k]);
    }
}
