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
 * Sums run in a few chains over segments of a row, which are added up in double. Each step is taken for a few rows that
 * lie in the cache before the next one, SIDE of them to a block and forward's blocks by twos: the steps of one row wait
 * for each other. What comes from memory is read row after row: two rows side by side, or asked for ahead, take longer.
 */
#include "template.h"

#include "layer_norm.h"

enum { SIDE = VEC_BYTES / 8, BLOCKS = 2, SEGMENT = 256 * VL, TOGETHER = 4096 };

typedef double quad __attribute__((vector_size(8 * SIDE)));
typedef REAL four __attribute__((vector_size(NN_BITS / 8 * SIDE)));

typedef int64_t mask __attribute__((vector_size(8 * SIDE)));

/* Whether any bit is set. */
NN_INLINE bool is_any(mask m) {
#if VEC_BYTES == 32
    return _mm256_movemask_pd((__m256d)m) != 0;
#else
    int64_t any = 0;
    for (int k = 0; k < SIDE; k++) any |= m[k];
    return any != 0;
#endif
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
    quad sums[2];
} block;

/* x - centre; near: the centre is 0. */
NN_INLINE vec from_centre(const REAL *x, vec centre, int64_t lanes, bool near) {
    const vec v = load_lanes(x, lanes);
    if (near) return v;
    return lanes < VL ? vselect(vmask(lanes), v - centre, vset(0)) : v - centre;
}

/* The two sums of each row of the block, one row after the other: as they come from memory at its best. */
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
            vec one[2] = {{0}}, two[4] = {{0}};
            int64_t i = first;
            for (; i + 4 * VL <= end; i += 4 * VL)
                NN_UNROLL(2) for (int c = 0; c < 4; c += 2) {
                    const vec v = from_centre(x + i + c * VL, centre, VL, near);
                    const vec w = from_centre(x + i + (c + 1) * VL, centre, VL, near);
                    one[c / 2] += v + w;
                    two[c] = vfma(v, v, two[c]);
                    two[c + 1] = vfma(w, w, two[c + 1]);
                }
            for (; i < end; i += VL) {
                const vec v = from_centre(x + i, centre, nn_min(VL, end - i), near);
                one[0] += v;
                two[0] = vfma(v, v, two[0]);
            }
            total[0][k] = one[0] + one[1];
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
static inline void measure(const nn_layer_norm_args *a, block *b, double share) {
    quad sums[2] = {b->sums[0], b->sums[1]};
    quad mean = sums[0] * share, variance = sums[1] * share, offset = {0};
    b->near = true;
    b->centre = (four){0};
    if (a->centred) {
        variance -= mean * mean;
        offset = mean;
        const mask far = ~((mean * mean <= variance) & (variance < __builtin_inf())); /* or a square is above REAL */
        b->near = !is_any(far);
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

/* Two rows near 0 from row k on, a cache line of each in turn: they share what is loaded of weight and bias. */
NN_INLINE void write_two(const nn_layer_norm_args *a, const block *b, int64_t k, const REAL *weight, const REAL *bias) {
    const int64_t size = a->size; /* here, where no store can be thought to change it */
    REAL *y = (REAL *)a->y + (b->first + k) * size;
    const line r[2] = {line_of(a, b, k), line_of(a, b, k + 1)};
    int64_t i = 0;
    for (; i + 2 * VL <= size; i += 2 * VL) {
        const vec w[2] = {vkept(vload(weight + i)), vkept(vload(weight + i + VL))};
        const vec d[2] = {vkept(vload(bias + i)), vkept(vload(bias + i + VL))};
        NN_UNROLL(2) for (int n = 0; n < 2; n++)
            NN_UNROLL(2) for (int c = 0; c < 2; c++)
                vstore(y + n * size + i + c * VL, vfma(normalised(&r[n], i + c * VL, VL, true), w[c], d[c]));
    }
    for (; i < size; i += VL)
        for (int n = 0; n < 2; n++)
            write_y(y + n * size, &r[n], i, nn_min(VL, size - i), true, weight, bias);
}

static NN_NOINLINE void write_any(REAL *y, line r, int64_t size, const REAL *weight, const REAL *bias) {
    write_row(y, &r, size, false, weight, bias);
}

static inline void write_block(const nn_layer_norm_args *a, const block *b) {
    const REAL *weight = a->weight, *bias = a->bias;
    int64_t k = 0;
    if (b->near && weight && bias)
        for (; k + 2 <= b->count; k += 2) write_two(a, b, k, weight, bias);
    for (; k < b->count; k++) {
        REAL *y = (REAL *)a->y + (b->first + k) * a->size;
        const line r = line_of(a, b, k);
        if (weight && bias) write_row(y, &r, a->size, false, weight, bias);
        else if (weight && b->near) write_row(y, &r, a->size, true, weight, NULL);
        else write_any(y, r, a->size, weight, bias);
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
    const double share = 1 / (double)a->size;
    while (begin < end) {
        block b[BLOCKS];
        int blocks = 0;
        for (; blocks < most && begin < end; begin += b[blocks++].count) {
            b[blocks].first = begin;
            b[blocks].count = nn_min(end - begin, rows);
            b[blocks].centre = (four){0};
            sum_rows(a, &b[blocks], true, b[blocks].sums);
        }
        for (int i = 0; i < blocks; i++) measure(a, &b[i], share);
        for (int i = 0; i < blocks; i++) write_block(a, &b[i]);
    }
}

/* ---- backward ---------------------------------------------------------------------------------------- */

/* SIDE rows, or fewer: what forward saved of them, and dx = inverse g + (x - centre) slope + level. */
typedef struct group {
    int64_t first, count;
    four centre, inverse, offset, slope, level;
} group;

/* The first numbers at `from`, zeros behind. */
NN_INLINE four take(const REAL *from, int64_t count) {
    four v = {0};
    if (count == SIDE) memcpy(&v, from, sizeof v);
    else
        for (int64_t k = 0; k < count; k++) v[k] = from[k];
    return v;
}

/* Sums of a row, of g and of g (x - centre), in a few chains. */
typedef struct tally {
    vec one[2], two[2];
} tally;

/* Vector number c from element i on: what it adds to its row's sums and to those of its columns, dy xhat and dy. */
NN_INLINE void add_vector(const line *r, const REAL *dy, int64_t i, int c, int64_t lanes, const REAL *weight,
                          REAL *columns, int64_t size, tally *own) {
    const vec v = load_lanes(dy + i, lanes), g = weight ? v * load_lanes(weight + i, lanes) : v;
    const vec far = from_centre(r->x + i, r->centre, lanes, false);
    own->one[c % 2] += g;
    own->two[c % 2] = vfma(g, far, own->two[c % 2]);
    if (!columns) return;
    store_lanes(columns + i, vfma(v, vfma(far, r->inverse, r->offset), load_lanes(columns + i, lanes)), lanes);
    store_lanes(columns + size + i, load_lanes(columns + size + i, lanes) + v, lanes);
}

/* Both sums of each row, one row after the other, as they come from memory; beside them those of the columns. */
NN_INLINE void sum_group(const nn_layer_norm_args *a, const group *b, const REAL *weight, REAL *columns, quad sums[2]) {
    const int64_t size = a->size;
    sums[0] = sums[1] = (quad){0};
    for (int64_t first = 0; first < size; first += SEGMENT) {
        const int64_t end = nn_min(first + SEGMENT, size);
        vec total[2][SIDE];
        for (int k = 0; k < SIDE; k++) total[0][k] = total[1][k] = vset(0);
        for (int64_t k = 0; k < b->count; k++) {
            const int64_t at = (b->first + k) * size;
            const line r = {(const REAL *)a->x + at, vset(b->centre[k]), vset(b->inverse[k]), vset(b->offset[k])};
            const REAL *dy = (const REAL *)a->dy + at;
            tally own = {{{0}}, {{0}}};
            int64_t i = first;
            for (; i + 4 * VL <= end; i += 4 * VL)
                NN_UNROLL(4) for (int c = 0; c < 4; c++)
                    add_vector(&r, dy, i + c * VL, c, VL, weight, columns, size, &own);
            for (; i < end; i += VL) add_vector(&r, dy, i, 0, nn_min(VL, end - i), weight, columns, size, &own);
            total[0][k] = own.one[0] + own.one[1];
            total[1][k] = own.two[0] + own.two[1];
        }
        sums[0] += totals_of(total[0]);
        sums[1] += totals_of(total[1]);
    }
}

static NN_NOINLINE void sum_any(const nn_layer_norm_args *a, const group *b, REAL *columns, quad sums[2]) {
    sum_group(a, b, a->weight, columns, sums);
}

/* dx of `rows` rows from row k on, which lie in the cache by now: they share what is loaded of weight. */
NN_INLINE void write_dx(const nn_layer_norm_args *a, const group *b, int64_t k, int rows, const REAL *weight) {
    const int64_t size = a->size, at = (b->first + k) * size;
    const REAL *x = (const REAL *)a->x + at, *dy = (const REAL *)a->dy + at;
    REAL *dx = (REAL *)a->dx + at;
    vec centre[2], inverse[2], slope[2], level[2];
    NN_UNROLL(2) for (int r = 0; r < rows; r++) {
        centre[r] = vset(b->centre[k + r]), inverse[r] = vset(b->inverse[k + r]);
        slope[r] = vset(b->slope[k + r]), level[r] = vset(b->level[k + r]);
    }
    int64_t i = 0;
    for (; i + 2 * VL <= size; i += 2 * VL) {
        vec w[2] = {vset(1), vset(1)};
        if (weight) w[0] = vkept(vload(weight + i)), w[1] = vkept(vload(weight + i + VL));
        NN_UNROLL(2) for (int r = 0; r < rows; r++)
            NN_UNROLL(2) for (int c = 0; c < 2; c++) {
                const int64_t j = r * size + i + c * VL;
                const vec far = vload(x + j) - centre[r];
                vstore(dx + j, vfma(vload(dy + j) * w[c], inverse[r], vfma(far, slope[r], level[r])));
            }
    }
    for (; i < size; i += VL) {
        const int64_t lanes = nn_min(VL, size - i);
        const vec w = weight ? load_lanes(weight + i, lanes) : vset(1);
        NN_UNROLL(2) for (int r = 0; r < rows; r++) {
            const int64_t j = r * size + i;
            const vec far = load_lanes(x + j, lanes) - centre[r];
            store_lanes(dx + j, vfma(load_lanes(dy + j, lanes) * w, inverse[r], vfma(far, slope[r], level[r])), lanes);
        }
    }
}

static NN_NOINLINE void write_dx_any(const nn_layer_norm_args *a, const group *b, int64_t k) {
    write_dx(a, b, k, 1, a->weight);
}

NN_DEFINE_KERNEL(layer_norm_backward) {
    const nn_layer_norm_args *a = args;
    const int64_t size = a->size, rows = rows_of(2 * size);
    const double share = 1 / (double)size;
    REAL *columns = a->partial ? (REAL *)a->partial + begin / a->rows_a_piece * 2 * size : NULL;
    if (columns) memset(columns, 0, (size_t)(2 * size) * sizeof(REAL));
    for (int64_t n = begin; n < end; n += rows) {
        group b = {.first = n, .count = nn_min(end - n, rows)};
        const REAL *saved = (const REAL *)a->saved + n;
        b.centre = take(saved, b.count);
        b.inverse = take(saved + a->rows, b.count);
        b.offset = take(saved + 2 * a->rows, b.count);
        quad sums[2];
        if (a->weight && columns) sum_group(a, &b, a->weight, columns, sums);
        else sum_any(a, &b, columns, sums);
        if (!a->dx) continue;
        const quad inverse = __builtin_convertvector(b.inverse, quad), offset = __builtin_convertvector(b.offset, quad);
        const quad scale = -inverse * share, slope = scale * (sums[1] * inverse + sums[0] * offset);
        b.slope = __builtin_convertvector(slope * inverse, four);
        b.level = __builtin_convertvector(slope * offset + (a->centred ? scale * sums[0] : (quad){0}), four);
        int64_t k = 0;
        if (a->weight)
            for (; k + 2 <= b.count; k += 2) write_dx(a, &b, k, 2, a->weight);
        for (; k < b.count; k++) write_dx_any(a, &b, k);
    }
}
