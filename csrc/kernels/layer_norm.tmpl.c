/*
 * layer_norm: rows brought to mean 0 and variance 1, or (RMSNorm) to mean square 1. begin and end count rows.
 *
 *     xhat = (x - mean) inverse + offset,   inverse = 1 / sqrt(variance + eps)
 *     y    = xhat weight + bias
 *     dx   = inverse (g - sum g / size - xhat sum (g xhat) / size),   g = weight dy;  RMSNorm: without sum g
 *
 * `offset` holds what the mean lost when it was rounded to REAL.
 * Sums run in a few chains over segments of a row, which are added up in double. Each step is taken for a few rows
 * that lie in the cache before the next one: the steps of one row wait for each other.
 */
#include "template.h"

#include "layer_norm.h"

enum { CHAINS = 4, SEGMENT = 64 * CHAINS * VL };

/* Rows together at most, and about how many elements of them. */
enum { ROWS = 8, TOGETHER = 4096 };


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

NN_INLINE vec normalised(const row *r, int64_t i, int64_t lanes) {
    return vfma(load_lanes(r->x + i, lanes) - vset(r->mean), vset(r->inverse), vset(r->offset));
}

/* What is summed up of each element: x - mean and its square, or the square alone. Lanes beyond the row add nothing. */
NN_INLINE void add_terms(const row *r, int64_t i, int64_t lanes, bool plain, vec *one, vec *two) {
    vec far = load_lanes(r->x + i, lanes) - vset(r->mean);
    if (lanes < VL) far = vselect(vmask(lanes), far, vset(0));
    if (plain) *one += far;
    *two = vfma(far, far, *two);
}

NN_INLINE void moments(const row *r, int64_t size, bool plain, double total[2]) {
    total[0] = total[1] = 0;
    for (int64_t first = 0; first < size; first += SEGMENT) {
        const int64_t end = nn_min(first + SEGMENT, size);
        vec one[CHAINS] = {{0}}, two[CHAINS] = {{0}};
        int64_t i = first;
        for (; i + CHAINS * VL <= end; i += CHAINS * VL)
            NN_UNROLL(4) for (int c = 0; c < CHAINS; c++) add_terms(r, i + c * VL, VL, plain, &one[c], &two[c]);
        for (; i + VL <= end; i += VL) add_terms(r, i, VL, plain, &one[0], &two[0]);
        if (i < end) add_terms(r, i, end - i, plain, &one[1], &two[1]);
        if (plain) total[0] += total_of((one[0] + one[1]) + (one[2] + one[3]));
        total[1] += total_of((two[0] + two[1]) + (two[2] + two[3]));
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
    for (; i + 4 * VL <= size; i += 4 * VL)
        NN_UNROLL(4) for (int c = 0; c < 4; c++) write_y(y, r, i + c * VL, VL, weight, bias);
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

/*
 * The mean, inverse and offset of rows: moments about the mean of a first few elements, in one pass; where that lies
 * further from the row's mean than a deviation, about the latter.
 */
static inline void measure_rows(const nn_layer_norm_args *a, row *r, int64_t first, int64_t count) {
    const int64_t size = a->size, few = nn_min(size, VL);
    const double share = 1 / (double)size;
    double total[ROWS][2];
    for (int64_t n = 0; n < count; n++) {
        r[n] = row_of(a, first + n);
        if (a->centred) {
            r[n].mean = (REAL)(total_of(load_lanes(r[n].x, few)) / (double)few);
            moments(&r[n], size, true, total[n]);
        } else {
            moments(&r[n], size, false, total[n]);
        }
    }
    for (int64_t n = 0; n < count; n++) {
        double far = total[n][0] * share, variance = total[n][1] * share - far * far;
        if (far * far > variance) {
            r[n].mean = (REAL)((double)r[n].mean + far);
            moments(&r[n], size, true, total[n]);
            far = total[n][0] * share, variance = total[n][1] * share - far * far;
        }
        if (variance < 0) variance = 0;
        const double mean = (double)r[n].mean + far, inverse = 1 / __builtin_sqrt(variance + a->eps);
        const double lost = ((double)r[n].mean - (double)(REAL)mean) + far; /* of the mean, by rounding */
        r[n].mean = (REAL)mean;
        r[n].inverse = (REAL)inverse;
        r[n].offset = lost == 0 ? 0 : (REAL)(-lost * inverse); /* 0 inf is no number of ours */
        if (!a->saved) continue;
        REAL *saved = (REAL *)a->saved + first + n;
        saved[0] = r[n].mean, saved[a->rows] = r[n].inverse, saved[2 * a->rows] = r[n].offset;
    }
}

static inline void write_rows(const nn_layer_norm_args *a, const row *r, int64_t first, int64_t count) {
    for (int64_t n = 0; n < count; n++) {
        const row own = r[n];
        REAL *y = (REAL *)a->y + (first + n) * a->size;
        if (a->weight && a->bias) write_row(y, &own, a->size, true, true);
        else if (a->weight) write_row(y, &own, a->size, true, false);
        else write_row(y, &own, a->size, false, a->bias != NULL);
    }
}

/* What a row adds to its own sums, g and g (x - mean), and to those of its columns, dy xhat and dy. */
typedef struct tally {
    vec one, two;
} tally;

NN_INLINE void add_row(const row *r, int64_t i, int64_t lanes, vec weight, tally *own, vec *product, vec *plain) {
    const vec dy = load_lanes(r->dy + i, lanes), g = dy * weight;
    vec far = load_lanes(r->x + i, lanes) - vset(r->mean);
    if (lanes < VL) far = vselect(vmask(lanes), far, vset(0));
    own->one += g;
    own->two = vfma(g, far, own->two);
    *product = vfma(dy, vfma(far, vset(r->inverse), vset(r->offset)), *product);
    *plain += dy;
}

/* A vector of two rows, or of one; the columns' sums are those of a piece, products and then plain ones. */
NN_INLINE void add_rows(const row *r, const row *s, int64_t i, int64_t lanes, const REAL *weights, REAL *columns,
                        int64_t size, tally *one, tally *two) {
    const vec weight = weights ? load_lanes(weights + i, lanes) : vset(1);
    vec product = vset(0), plain = vset(0);
    if (columns) product = load_lanes(columns + i, lanes), plain = load_lanes(columns + size + i, lanes);
    add_row(r, i, lanes, weight, one, &product, &plain);
    if (s) add_row(s, i, lanes, weight, two, &product, &plain);
    if (!columns) return;
    store_lanes(columns + i, product, lanes);
    store_lanes(columns + size + i, plain, lanes);
}

NN_INLINE void sums(const row *r, const row *s, int64_t size, REAL *columns, double one[2], double two[2]) {
    const REAL *weights = r->weight;
    one[0] = one[1] = two[0] = two[1] = 0;
    for (int64_t first = 0; first < size; first += SEGMENT) {
        const int64_t end = nn_min(first + SEGMENT, size);
        tally a = {{0}, {0}}, b = {{0}, {0}};
        int64_t i = first;
        if (weights && columns) /* no question inside the loop: this is where a network spends its time */
            for (; i + 4 * VL <= end; i += 4 * VL)
                NN_UNROLL(4) for (int c = 0; c < 4; c++)
                    add_rows(r, s, i + c * VL, VL, weights, columns, size, &a, &b);
        for (; i < end; i += VL) add_rows(r, s, i, nn_min(VL, end - i), weights, columns, size, &a, &b);
        one[0] += total_of(a.one), one[1] += total_of(a.two);
        if (s) two[0] += total_of(b.one), two[1] += total_of(b.two);
    }
}

/* dx = inverse g + ((x - mean) slope + level) */
NN_INLINE void write_dx(REAL *dx, const row *r, int64_t i, int64_t lanes, const REAL *weights, vec slope, vec level) {
    const vec dy = load_lanes(r->dy + i, lanes), far = load_lanes(r->x + i, lanes) - vset(r->mean);
    const vec g = weights ? dy * load_lanes(weights + i, lanes) : dy;
    store_lanes(dx + i, vfma(g, vset(r->inverse), vfma(far, slope, level)), lanes);
}

/* From total, the sums of g and of g (x - mean). */
NN_INLINE void write_dx_row(const nn_layer_norm_args *a, row r, int64_t n, const double total[2]) {
    const int64_t size = a->size;
    const REAL *weights = r.weight;
    const double inverse = r.inverse, products = total[1] * inverse + total[0] * (double)r.offset;
    const double scale = -inverse / (double)size, slope = scale * products;
    const vec steep = vset((REAL)(slope * inverse));
    const vec level = vset((REAL)(slope * (double)r.offset + (a->centred ? scale * total[0] : 0)));
    REAL *dx = (REAL *)a->dx + n * size;
    int64_t i = 0;
    if (weights)
        for (; i + 4 * VL <= size; i += 4 * VL)
            NN_UNROLL(4) for (int c = 0; c < 4; c++) write_dx(dx, &r, i + c * VL, VL, weights, steep, level);
    for (; i < size; i += VL) write_dx(dx, &r, i, nn_min(VL, size - i), weights, steep, level);
}

NN_INLINE int64_t together(int64_t size) { return size * ROWS <= TOGETHER ? ROWS : nn_max(1, TOGETHER / size); }

NN_DEFINE_KERNEL(layer_norm_forward) {
    const nn_layer_norm_args *a = args;
    const int64_t some = together(a->size);
    row r[ROWS];
    for (int64_t n = begin; n < end; n += some) {
        const int64_t count = nn_min(some, end - n);
        measure_rows(a, r, n, count);
        write_rows(a, r, n, count);
    }
}

NN_DEFINE_KERNEL(layer_norm_backward) {
    const nn_layer_norm_args *a = args;
    const int64_t size = a->size;
    REAL *columns = a->partial ? (REAL *)a->partial + begin / a->rows_a_piece * 2 * size : NULL;
    for (int64_t i = 0; columns && i < 2 * size; i++) columns[i] = 0;
    for (int64_t n = begin; n < end; n += 2) {
        const row r = row_of(a, n);
        double total[2][2];
        if (n + 1 < end) {
            const row s = row_of(a, n + 1);
            sums(&r, &s, size, columns, total[0], total[1]);
            if (a->dx) write_dx_row(a, s, n + 1, total[1]);
        } else {
            sums(&r, NULL, size, columns, total[0], total[1]);
        }
        if (a->dx) write_dx_row(a, r, n, total[0]);
    }
}
