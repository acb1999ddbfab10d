/*
 * columns: sums over the columns of a matrix, and a line through every column. columns.h says how matrices are cut;
 * begin and end count units.
 *
 *     moments         partial = (m, sum of x - m, sum of (x - m)^2), m about the mean of the unit's column
 *     sums            partial = (sum of dy, sum of dy (x - mean), -)
 *     apply           out = (x - c0) c1 + c2
 *     apply_backward  out = dy c0 + ((x - c1) c2 + c3)
 *
 * Moments are taken about the mean m of the unit's first rows; where that turns out to be far from the mean of all,
 * once more about the latter. So a large mean costs no digits: the subtraction is exact where it matters, and what m
 * is short of the mean is summed up too (the corrected two-pass algorithm: Chan, Golub and LeVeque, "Algorithms for
 * computing the sample variance", 1983).
 */
#include "template.h"

#include "columns.h"

/* Rows that are summed in registers before they join the unit's sums: short chains keep the rounding small. */
enum { GROUP = 32, VECS = 4 };

/* Rows that a line goes through together where they are short: memory is still read from end to end. */
enum { ROWS = 4, SHORT = 64 };

/* first += the rows of x */
NN_INLINE void add(REAL *first, const REAL *x, int64_t pitch, int64_t rows, int vecs, int64_t lanes) {
    vec sum[VECS];
    NN_UNROLL(4) for (int v = 0; v < vecs; v++) sum[v] = load_lanes(first + v * VL, lanes);
    for (int64_t r = 0; r < rows; r++)
        NN_UNROLL(4) for (int v = 0; v < vecs; v++) sum[v] += load_lanes(x + r * pitch + v * VL, lanes);
    NN_UNROLL(4) for (int v = 0; v < vecs; v++) store_lanes(first + v * VL, sum[v], lanes);
}

/* first += w, second += w (x - mean) for the rows, w = dy or x - mean */
NN_INLINE void add_products(REAL *first, REAL *second, const REAL *x, const REAL *dy, const REAL *mean, int64_t pitch,
                            int64_t rows, int vecs, int64_t lanes) {
    vec centre[VECS], one[VECS], two[VECS];
    NN_UNROLL(4) for (int v = 0; v < vecs; v++) {
        centre[v] = load_lanes(mean + v * VL, lanes);
        one[v] = two[v] = vset(0);
    }
    for (int64_t r = 0; r < rows; r++)
        NN_UNROLL(4) for (int v = 0; v < vecs; v++) {
            const vec far = load_lanes(x + r * pitch + v * VL, lanes) - centre[v];
            const vec w = dy ? load_lanes(dy + r * pitch + v * VL, lanes) : far;
            one[v] += w;
            two[v] = vfma(w, far, two[v]);
        }
    NN_UNROLL(4) for (int v = 0; v < vecs; v++) {
        store_lanes(first + v * VL, load_lanes(first + v * VL, lanes) + one[v], lanes);
        store_lanes(second + v * VL, load_lanes(second + v * VL, lanes) + two[v], lanes);
    }
}

static inline void add_all(REAL *first, const REAL *x, int64_t pitch, int64_t rows, int64_t width) {
    for (int64_t r = 0; r < rows; r += GROUP) {
        const int64_t some = nn_min(GROUP, rows - r);
        const REAL *from = x + r * pitch;
        int64_t c = 0;
        for (; c + VECS * VL <= width; c += VECS * VL) add(first + c, from + c, pitch, some, VECS, VL);
        for (; c < width; c += VL) add(first + c, from + c, pitch, some, 1, nn_min(VL, width - c));
    }
}

NN_INLINE void add_all_products(REAL *first, REAL *second, const REAL *x, const REAL *dy, const REAL *mean,
                                int64_t pitch, int64_t rows, int64_t width) {
    for (int64_t r = 0; r < rows; r += GROUP) {
        const int64_t some = nn_min(GROUP, rows - r), at = r * pitch;
        int64_t c = 0;
        for (; c + VECS * VL <= width; c += VECS * VL)
            add_products(first + c, second + c, x + at + c, dy ? dy + at + c : NULL, mean + c, pitch, some, VECS, VL);
        for (; c < width; c += VL)
            add_products(first + c, second + c, x + at + c, dy ? dy + at + c : NULL, mean + c, pitch, some, 1,
                         nn_min(VL, width - c));
    }
}

static inline void clear(REAL *sums, int64_t width) { memset(sums, 0, (size_t)nn_max(width, 0) * sizeof(REAL)); }

/* The unit's first element in x, and its sums, which begin at zero. */
NN_INLINE int64_t open_unit(const nn_columns_args *a, const nn_columns_unit *unit, REAL **sums) {
    const nn_columns *c = &a->cut;
    *sums = (REAL *)a->partial + (unit->sample * c->blocks + unit->block) * NN_COLUMNS_SUMS * c->columns + unit->first;
    for (int k = 0; k < NN_COLUMNS_SUMS; k++) clear(*sums + k * c->columns, unit->width);
    return unit->sample * c->size + nn_columns_row(c, unit) * c->columns + unit->first;
}

/* Moments of a unit about m, in sums[0]; whether that lies more than two deviations from the mean of any column. */
static NN_NOINLINE bool moments(REAL *sums, const REAL *x, int64_t columns, int64_t rows, int64_t width) {
    add_all_products(sums + columns, sums + 2 * columns, x, NULL, sums, columns, rows, width);
    const vec share = vset(1 / (REAL)rows);
    ivec off = ivset(0);
    for (int64_t j = 0; j < width; j += VL) {
        const int64_t lanes = nn_min(VL, width - j);
        const vec far = load_lanes(sums + columns + j, lanes) * share, square = far * far;
        off |= square > vset(4) * (load_lanes(sums + 2 * columns + j, lanes) * share - square);
    }
    return vany(off);
}

NN_DEFINE_KERNEL(columns_moments) {
    const nn_columns_args *a = args;
    const int64_t columns = a->cut.columns;
    for (int64_t u = begin; u < end; u++) {
        const nn_columns_unit unit = nn_columns_unit_of(&a->cut, u);
        const int64_t width = unit.width, few = nn_min(unit.rows, GROUP);
        if (width <= 0) continue;
        REAL *sums;
        const REAL *x = (const REAL *)a->x + open_unit(a, &unit, &sums);
        add_all(sums, x, columns, few, width);
        const REAL share = 1 / (REAL)few, inverse = 1 / (REAL)unit.rows;
        for (int64_t j = 0; j < width; j++) sums[j] *= share;
        if (!moments(sums, x, columns, unit.rows, width)) continue;
        for (int64_t j = 0; j < width; j++) sums[j] += sums[columns + j] * inverse;
        clear(sums + columns, width);
        clear(sums + 2 * columns, width);
        moments(sums, x, columns, unit.rows, width);
    }
}

NN_DEFINE_KERNEL(columns_sums) {
    const nn_columns_args *a = args;
    const int64_t columns = a->cut.columns;
    for (int64_t u = begin; u < end; u++) {
        const nn_columns_unit unit = nn_columns_unit_of(&a->cut, u);
        if (unit.width <= 0) continue;
        REAL *sums;
        const int64_t at = open_unit(a, &unit, &sums);
        add_all_products(sums, sums + columns, (const REAL *)a->x + at, (const REAL *)a->dy + at,
                         (const REAL *)a->given + unit.sample * columns + unit.first, columns, unit.rows, unit.width);
    }
}

/* A vector of `rows` rows, pitch apart: they share what is loaded of the coefficients, which are `columns` apart. */
NN_INLINE void line(REAL *out, const REAL *x, const REAL *c, int64_t columns, int rows, int64_t lanes) {
    const vec centre = load_lanes(c, lanes), slope = load_lanes(c + columns, lanes);
    const vec level = load_lanes(c + 2 * columns, lanes);
    NN_UNROLL(4) for (int r = 0; r < rows; r++)
        store_lanes(out + r * columns, vfma(load_lanes(x + r * columns, lanes) - centre, slope, level), lanes);
}

NN_INLINE void line_backward(REAL *out, const REAL *x, const REAL *dy, const REAL *c, int64_t columns, int rows,
                             int64_t lanes) {
    const vec scale = load_lanes(c, lanes), centre = load_lanes(c + columns, lanes);
    const vec slope = load_lanes(c + 2 * columns, lanes), level = load_lanes(c + 3 * columns, lanes);
    NN_UNROLL(4) for (int r = 0; r < rows; r++) {
        const vec inner = vfma(load_lanes(x + r * columns, lanes) - centre, slope, level);
        store_lanes(out + r * columns, vfma(load_lanes(dy + r * columns, lanes), scale, inner), lanes);
    }
}

NN_INLINE void apply_vector(REAL *out, const REAL *x, const REAL *dy, const REAL *c, int64_t columns, int rows,
                            int64_t lanes) {
    if (dy) line_backward(out, x, dy, c, columns, rows, lanes);
    else line(out, x, c, columns, rows, lanes);
}

NN_INLINE void apply(const nn_columns_args *a, int64_t begin, int64_t end, bool backward, int coefficients) {
    const int64_t columns = a->cut.columns;
    for (int64_t u = begin; u < end; u++) {
        const nn_columns_unit unit = nn_columns_unit_of(&a->cut, u);
        const REAL *c = (const REAL *)a->given + unit.sample * coefficients * columns + unit.first;
        const int64_t at = unit.sample * a->cut.size + nn_columns_row(&a->cut, &unit) * columns + unit.first;
        REAL *out = (REAL *)a->out + at;
        const REAL *x = (const REAL *)a->x + at, *dy = backward ? (const REAL *)a->dy + at : NULL;
        const int64_t whole = unit.width / VL * VL, rest = unit.width - whole;
        int64_t r = 0, from = 0;
        if (columns <= SHORT && rest == 0)
            for (; r + ROWS <= unit.rows; r += ROWS, from += ROWS * columns)
                for (int64_t j = from; j < from + whole; j += VL)
                    apply_vector(out + j, x + j, dy ? dy + j : NULL, c + j - from, columns, ROWS, VL);
        for (; r < unit.rows; r++, from += columns) {
            int64_t j = from;
            for (; j < from + whole; j += VL)
                apply_vector(out + j, x + j, dy ? dy + j : NULL, c + j - from, columns, 1, VL);
            if (rest > 0) apply_vector(out + j, x + j, dy ? dy + j : NULL, c + j - from, columns, 1, rest);
        }
    }
}

NN_DEFINE_KERNEL(columns_apply) { apply(args, begin, end, false, 3); }

NN_DEFINE_KERNEL(columns_apply_backward) { apply(args, begin, end, true, 4); }
