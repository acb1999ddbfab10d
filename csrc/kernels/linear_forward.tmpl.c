/*
 * linear forward: y (n, out) = x (n, in) weight^T (in, out) + bias (out), in three forms.
 *
 *     linear_forward          columns of y across the tile: panels of weight^T packed as they are needed
 *     linear_forward_swapped  y^T = weight x^T: x^T packed once, weight read in place, tiles stored transposed
 *     linear_forward_dot      rows of x times rows of weight along k: few rows or few columns
 *
 * begin and end count columns of y; for linear_pack_input rows of x.
 */
#include "template.h"

#include "gemm.h"
#include "linear.h"
#include "vtranspose.h"

/* panel (k, GEMM_COLS) = b^T, b (cols, k): rows of b contiguous and `row` elements apart. */
static NN_NOINLINE void pack_transposed(REAL *panel, const REAL *b, int64_t row, int64_t k, int64_t cols) {
    for (int v = 0; v < GEMM_VECS; v++) {
        const int64_t some = nn_max(0, nn_min(cols - v * VL, VL));
        const REAL *from = b + v * VL * row;
        REAL *to = panel + v * VL;
        int64_t p = 0;
#if NN_HAVE_QUADS
        for (; some == VL && p + 4 <= k; p += 4) {
            vec column[4];
            vtranspose_columns(column, from + p, row);
            NN_UNROLL(4) for (int i = 0; i < 4; i++) vstore(to + (p + i) * GEMM_COLS, column[i]);
        }
#endif
        for (; p < k; p += VL) {
            const int64_t depth = nn_min(VL, k - p);
            vec square[VL];
            NN_UNROLL(16) for (int i = 0; i < VL; i++) {
                if (i >= some) square[i] = vset(0);
                else square[i] = depth == VL ? vload(from + i * row + p) : vload_some(from + i * row + p, depth);
            }
            vtranspose(square);
            if (depth == VL) {
                NN_UNROLL(16) for (int i = 0; i < VL; i++) vstore(to + (p + i) * GEMM_COLS, square[i]);
            } else {
                NN_UNROLL(16) for (int i = 0; i < VL; i++)
                    if (i < depth) vstore(to + (p + i) * GEMM_COLS, square[i]);
            }
        }
    }
}

NN_DEFINE_KERNEL(linear_forward) {
    const nn_linear_args *l = args;
    const REAL *weight = l->weight, *bias = l->bias;
    REAL panel[GEMM_PANEL];
    REAL start[GEMM_COLS] = {0};
    for (int64_t j = begin; j < end; j += GEMM_COLS) {
        const int64_t cols = nn_min(GEMM_COLS, end - j);
        gemm_panel tile = {.ldc = l->out, .row = l->in, .step = 1, .ldb = GEMM_COLS, .cols = cols};
        if (bias) {
            for (int64_t i = 0; i < cols; i++) start[i] = bias[j + i];
            tile.start = start;
        }
        int64_t p = 0;
        do { /* once also for in = 0: y is the bias */
            tile.k = nn_min(GEMM_DEPTH, l->in - p);
            tile.c = (REAL *)l->y + j;
            tile.a = (const REAL *)l->x + p;
            tile.b = panel;
            pack_transposed(panel, weight + j * l->in + p, l->in, tile.k, cols);
            gemm_run_panel(&tile, l->n);
            tile.accumulate = true;
            tile.scale = 1;
            tile.start = NULL;
            p += tile.k;
        } while (p < l->in);
    }
}

/* ---- swapped roles ----------------------------------------------------------------------------------- */

NN_DEFINE_KERNEL(linear_pack_input) {
    const nn_linear_args *l = args;
    for (int64_t i = begin; i < end; i += GEMM_COLS)
        pack_transposed((REAL *)l->packed + i * l->in, (const REAL *)l->x + i * l->in, l->in, l->in,
                        nn_min(GEMM_COLS, end - i));
}

/* Rows of a tile that is stored transposed: with quads whole vectors of them are read. */
enum { WHOLE_ROWS = NN_HAVE_QUADS ? VL : GEMM_ROWS };

/*
 * y (cols samples, rows features from j) = transpose of rows of weight times a panel of x^T, plus bias: a column of
 * the tile is `rows` neighbours in y.
 */
NN_INLINE void store_swapped(const nn_linear_args *l, const REAL *tile, REAL *y, int64_t j, int64_t rows,
                             int64_t cols) {
    const REAL *bias = l->bias;
    REAL start[WHOLE_ROWS] = {0};
    if (bias)
        for (int64_t i = 0; i < rows; i++) start[i] = bias[j + i];
    y += j;
#if NN_HAVE_QUADS
    for (int64_t s = 0; s < cols; s += 4) {
        vec column[4];
        vtranspose_columns(column, tile + s, GEMM_COLS);
        for (int i = 0; i < 4 && s + i < cols; i++, y += l->out) vstore_some(y, column[i] + vload(start), rows);
    }
#else
    for (int64_t s = 0; s < cols; s++, y += l->out)
        NN_UNROLL(16) for (int i = 0; i < rows; i++) y[i] = tile[i * GEMM_COLS + s] + start[i];
#endif
}

NN_DEFINE_KERNEL(linear_forward_swapped) {
    const nn_linear_args *l = args;
    REAL whole[WHOLE_ROWS * GEMM_COLS] = {0};
    for (int64_t s = 0; s < l->n; s += GEMM_COLS) {
        const int64_t cols = nn_min(GEMM_COLS, l->n - s);
        REAL *y = (REAL *)l->y + s * l->out;
        for (int64_t j = begin, rows; j < end; j += rows) {
            rows = gemm_next_rows(end - j, GEMM_ROWS);
            gemm_panel tile = {.c = whole, .ldc = GEMM_COLS, .a = (const REAL *)l->weight + j * l->in, .row = l->in,
                               .step = 1, .b = (const REAL *)l->packed + s * l->in, .ldb = GEMM_COLS, .k = l->in,
                               .cols = GEMM_MASKED ? cols : GEMM_COLS};
            gemm_run_panel(&tile, rows);
            if (rows == GEMM_ROWS) store_swapped(l, whole, y, j, GEMM_ROWS, cols);
            else store_swapped(l, whole, y, j, rows, cols);
        }
    }
}

/* ---- dot products ------------------------------------------------------------------------------------ */

#if VEC_BYTES < 64 /* with more lanes they would be added up in another order, to other bits than AVX2's */

/*
 * Products at a time: of two samples and five features, three and three, four and two, one and eight. Eight chains are as
 * many as two multiply-add units need, and not one may be late: ten are better where few of the five are missing.
 */
enum { DOTS = 10, DOT_SAMPLES = 4, DOT_FEATURES = 8, DOT_BLOCK = 16384 / sizeof(REAL) };

/* acc (samples, features) += lanes p and on, `some` of them, of rows of weight times rows of x. */
NN_INLINE void add_dots(vec acc[DOTS], const REAL *const weight[DOT_FEATURES], const REAL *const x[DOT_SAMPLES],
                        int64_t p, int64_t some, int samples, int features) {
    vec xv[DOT_SAMPLES];
    NN_UNROLL(4) for (int s = 0; s < samples; s++) xv[s] = vkept(load_lanes(x[s] + p, some));
    NN_UNROLL(8) for (int f = 0; f < features; f++) {
        const vec w = load_lanes(weight[f] + p, some);
        const vec wv = samples > 1 ? vkept(w) : w;
        NN_UNROLL(4) for (int s = 0; s < samples; s++) acc[s * features + f] = vfma(wv, xv[s], acc[s * features + f]);
    }
}

/* Columns j and on of y, up to `end` and not more than `features`, for samples i and on: along k in vectors. */
NN_INLINE void dot_tile(const nn_linear_args *l, int64_t end, int64_t i, int64_t j, int samples, int features) {
    const int64_t k = l->in, out = l->out;
    static const REAL none[DOT_FEATURES];
    const REAL *bias = l->bias, *weight[DOT_FEATURES], *x[DOT_SAMPLES];
    REAL *y = (REAL *)l->y + i * out + j;
    NN_UNROLL(4) for (int s = 0; s < samples; s++) x[s] = (const REAL *)l->x + (i + s) * k;
    /* Rows that do not exist are given as the last one that does. */
    weight[0] = (const REAL *)l->weight + j * k;
    NN_UNROLL(8) for (int f = 1; f < features; f++) weight[f] = weight[f - 1] + (j + f < end ? k : 0);
    const int dots = samples * features;
    vec acc[DOTS];
    NN_UNROLL(16) for (int a = 0; a < DOTS; a++) acc[a] = vset(0);
    int64_t p = 0;
    for (; p + VL <= k; p += VL) add_dots(acc, weight, x, p, VL, samples, features);
    if (p < k) add_dots(acc, weight, x, p, k - p, samples, features);
    const REAL *start = bias ? bias + j : none;
    const bool neighbours = samples == 1 && j + features <= end;
    REAL dot[DOTS + VL];
    NN_UNROLL(8) for (int a = 0; a < dots; a += VL) {
        vec part[VL]; /* of less sums than lanes there are twins, which are computed once */
        NN_UNROLL(8) for (int v = 0; v < VL; v++)
            part[v] = acc[a + v < dots ? a + v : a + v % 2 < dots ? a + v % 2 : a];
        if (neighbours) vstore(y + a, vfold(part) + vload(start + a));
        else vstore(dot + a, vfold(part));
    }
    if (neighbours) return;
    if (j + features <= end) {
        NN_UNROLL(8) for (int f = 0; f < features; f++)
            NN_UNROLL(4) for (int s = 0; s < samples; s++) y[s * out + f] = dot[s * features + f] + start[f];
    } else {
        for (int f = 0; j + f < end; f++)
            for (int s = 0; s < samples; s++) y[s * out + f] = dot[s * features + f] + start[f];
    }
}

#if NN_LANES == 8
/*
 * Rows of weight of four elements, as many as a state of a small task has: a vector holds two of them, and eight dot
 * products are added up as dot_tile would. Returns how far it came.
 */
static int64_t dot_fours(const nn_linear_args *l, int64_t begin, int64_t end, int64_t i) {
    const vec one = vload_some((const REAL *)l->x + i * 4, 4);
    const vec x = __builtin_shufflevector(one, one, 0, 1, 2, 3, 0, 1, 2, 3);
    for (; begin + VL <= end; begin += VL) {
        vec t[4];
        NN_UNROLL(4) for (int k = 0; k < 4; k++)
            t[k] = vfma(vload((const REAL *)l->weight + begin * 4 + k * VL), x, vset(0));
        NN_UNROLL(2) for (int k = 0; k < 4; k += 2)
            t[k] = __builtin_shufflevector(t[k], t[k + 1], NN_EACH(NN_UPPER, 1)) +
                   __builtin_shufflevector(t[k], t[k + 1], NN_EACH(NN_LOWER, 1));
        t[0] = __builtin_shufflevector(t[0], t[2], NN_EACH(NN_UPPER, 2)) +
               __builtin_shufflevector(t[0], t[2], NN_EACH(NN_LOWER, 2));
        t[0] = __builtin_shufflevector(t[0], t[0], 0, 4, 1, 5, 2, 6, 3, 7); /* lane 4 g + k has row 2 k + g */
        vstore((REAL *)l->y + i * l->out + begin, t[0] + (l->bias ? vload((const REAL *)l->bias + begin) : vset(0)));
    }
    return begin;
}
#endif

NN_DEFINE_KERNEL(linear_forward_dot) {
    const nn_linear_args *l = args;
    const bool fives = VEC_BYTES < 32 || l->out % 5 == 0 || l->out % 5 == 4 || l->out > 12;
    /* All samples meet so many rows of weight that these stay in the first-level cache. */
    const int64_t block = l->in * 10 < DOT_BLOCK ? DOT_BLOCK / nn_max(l->in, 1) / 5 * 5 : 5;
    for (int64_t from = begin; from < end; from += block) {
        const int64_t to = nn_min(from + block, end);
        for (int64_t i = 0, samples; i < l->n; i += samples) {
            const int64_t left = l->n - i;
            samples = left >= 4 && !fives ? 4 : left >= 3 && left % 2 && VEC_BYTES >= 32 ? 3 : nn_min(left, 2);
            if (samples == 4) for (int64_t j = from; j < to; j += 2) dot_tile(l, to, i, j, 4, 2);
            else if (samples == 3) for (int64_t j = from; j < to; j += 3) dot_tile(l, to, i, j, 3, 3);
            else if (samples == 2) for (int64_t j = from; j < to; j += 5) dot_tile(l, to, i, j, 2, 5);
            else {
                int64_t j = from;
#if NN_LANES == 8
                if (l->in == 4) j = dot_fours(l, from, to, i);
#endif
                for (; j < to; j += 8) dot_tile(l, to, i, j, 1, 8);
            }
        }
    }
}

#endif
