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
        for (int64_t p = 0; p < k; p += VL) {
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

/*
 * y (cols samples, rows features from j) = transpose of rows of weight times a panel of x^T, plus bias: a column of
 * the tile is `rows` neighbours in y.
 */
NN_INLINE void store_swapped(const nn_linear_args *l, const REAL *tile, REAL *y, int64_t j, int64_t rows,
                             int64_t cols) {
    const REAL *bias = l->bias;
    REAL start[GEMM_ROWS] = {0};
    if (bias)
        for (int64_t i = 0; i < rows; i++) start[i] = bias[j + i];
    for (int64_t s = 0; s < cols; s++)
        NN_UNROLL(16) for (int i = 0; i < rows; i++) y[s * l->out + j + i] = tile[i * GEMM_COLS + s] + start[i];
}

NN_DEFINE_KERNEL(linear_forward_swapped) {
    const nn_linear_args *l = args;
    REAL whole[GEMM_ROWS * GEMM_COLS];
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

enum { DOTS = 8 }; /* products at a time: of four samples and two features, two and four, one and eight */

/* acc (samples, features) += lanes p and on, `some` of them, of rows of weight times rows of x. */
NN_INLINE void add_dots(vec acc[DOTS], const REAL *const weight[DOTS], const REAL *const x[DOTS], int64_t p,
                        int64_t some, int features, int samples) {
    vec xv[DOTS];
    NN_UNROLL(8) for (int s = 0; s < samples; s++) xv[s] = vkept(load_lanes(x[s] + p, some));
    NN_UNROLL(8) for (int f = 0; f < features; f++) {
        const vec w = load_lanes(weight[f] + p, some);
        const vec wv = samples > 1 ? vkept(w) : w;
        NN_UNROLL(8) for (int s = 0; s < samples; s++) acc[s * features + f] = vfma(wv, xv[s], acc[s * features + f]);
    }
}

/* Columns `begin` to `end` of y for samples i and on: rows of weight times rows of x, along k in vectors. */
NN_INLINE void dot_samples(const nn_linear_args *l, int64_t begin, int64_t end, int64_t i, int samples) {
    const int features = DOTS / samples;
    const int64_t k = l->in, out = l->out;
    const REAL *bias = l->bias, *weight[DOTS], *x[DOTS];
    REAL *y = (REAL *)l->y + i * out;
    NN_UNROLL(8) for (int s = 0; s < samples; s++) x[s] = (const REAL *)l->x + (i + s) * k;
    for (int64_t j = begin; j < end; j += features) {
        /* Rows that do not exist are given as the last one that does. */
        weight[0] = (const REAL *)l->weight + j * k;
        NN_UNROLL(8) for (int f = 1; f < features; f++) weight[f] = weight[f - 1] + (j + f < end ? k : 0);
        vec acc[DOTS + VL];
        NN_UNROLL(32) for (int a = 0; a < DOTS + VL; a++) acc[a] = vset(0);
        int64_t p = 0;
        for (; p + VL <= k; p += VL) add_dots(acc, weight, x, p, VL, features, samples);
        if (p < k) add_dots(acc, weight, x, p, k - p, features, samples);
        if (samples == 1 && j + DOTS <= end) { /* they are neighbours */
            NN_UNROLL(8) for (int a = 0; a < DOTS; a += VL)
                vstore(y + j + a, vfold(acc + a) + (bias ? vload(bias + j + a) : vset(0)));
            continue;
        }
        REAL dot[DOTS + VL];
        NN_UNROLL(8) for (int a = 0; a < DOTS; a += VL) vstore(dot + a, vfold(acc + a));
        for (int f = 0; f < features && j + f < end; f++) {
            const REAL start = bias ? bias[j + f] : 0;
            NN_UNROLL(8) for (int s = 0; s < samples; s++) y[s * out + j + f] = dot[s * features + f] + start;
        }
    }
}

#if NN_LANES == 8
/*
 * Rows of weight of four elements, as many as a state of a small task has: a vector holds two of them, and eight dot
 * products are added up as dot_samples would. Returns how far it came.
 */
static int64_t dot_fours(const nn_linear_args *l, int64_t begin, int64_t end, int64_t i) {
    const vec one = vload_some((const REAL *)l->x + i * 4, 4), x = __builtin_shufflevector(one, one, 0, 1, 2, 3, 0, 1, 2, 3);
    for (; begin + VL <= end; begin += VL) {
        vec t[4];
        NN_UNROLL(4) for (int k = 0; k < 4; k++) t[k] = vfma(vload((const REAL *)l->weight + begin * 4 + k * VL), x, vset(0));
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
    int64_t i = 0;
    for (; i + 4 <= l->n; i += 4) dot_samples(l, begin, end, i, 4);
    for (; i + 2 <= l->n; i += 2) dot_samples(l, begin, end, i, 2);
#if NN_LANES == 8
    if (i < l->n && l->in == 4) begin = dot_fours(l, begin, end, i);
#endif
    if (i < l->n) dot_samples(l, begin, end, i, 1);
}

#endif
