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
        gemm_panel tile = {.ldc = l->out, .row = l->in, .step = 1, 
                          .ldb = GEMM_COLS, .cols = cols};
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
 * y (cols samples, rows features from j) = transpose of rows of weight times a panel of x^T; bias is added as the tile is
 * stored, in which a column is `rows` neighbours in y.
 */
NN_INLINE void store_swapped(const nn_linear_args *l, const REAL *tile, REAL *y, int64_t j, int64_t rows, int64_t cols) {
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
                               .cols = GEMM_COLS};
            gemm_run_panel(&tile, rows);
            if (rows == GEMM_ROWS) store_swapped(l, whole, y, j, GEMM_ROWS, cols);
            else store_swapped(l, whole, y, j, rows, cols);
        }
    }
}

/* ---- dot products ------------------------------------------------------------------------------------ */

enum { DOTS = 8 }; /* products at a time: four features and two samples, or eight features and one */

/*
 * dot[f * samples + s] = weight row f . x row s, along k in vectors. Rows that do not exist are given as the last one
 * that does.
 */
NN_INLINE void dot_tile(REAL dot[DOTS], const REAL *const weight[DOTS], const REAL *const x[2], int64_t k, int samples) {
    const int features = DOTS / samples;
    vec acc[DOTS];
    NN_UNROLL(8) for (int i = 0; i < DOTS; i++) acc[i] = vset(0);
    int64_t p = 0;
    for (; p + VL <= k; p += VL) {
        NN_UNROLL(8) for (int f = 0; f < features; f++) {
            const vec w = vload(weight[f] + p);
            NN_UNROLL(2) for (int s = 0; s < samples; s++)
                acc[f * samples + s] = vfma(w, vload(x[s] + p), acc[f * samples + s]);
        }
    }
    if (p < k)
        NN_UNROLL(8) for (int f = 0; f < features; f++) {
            const vec w = vload_some(weight[f] + p, k - p);
            NN_UNROLL(2) for (int s = 0; s < samples; s++)
                acc[f * samples + s] = vfma(w, vload_some(x[s] + p, k - p), acc[f * samples + s]);
        }
    /* The sums of VL accumulators at once: transposed, lane i holds the parts of accumulator i. */
    for (int g = 0; g < DOTS; g += VL) {
        vec part[VL];
        NN_UNROLL(16) for (int i = 0; i < VL; i++) part[i] = g + i < DOTS ? acc[(g + i) % DOTS] : vset(0);
        vtranspose(part);
        for (int width = VL / 2; width > 0; width /= 2)
            for (int i = 0; i < width; i++) part[i] += part[i + width];
        vstore_some(dot + g, part[0], nn_min(VL, DOTS - g));
    }
}

/* Columns `begin` to `end` of y for samples i and on. */
NN_INLINE void dot_samples(const nn_linear_args *l, int64_t begin, int64_t end, int64_t i, int samples) {
    const REAL *bias = l->bias, *weight[DOTS], *x[2];
    const int64_t step = DOTS / samples;
    REAL *y = (REAL *)l->y + i * l->out;
    for (int s = 0; s < samples; s++) x[s] = (const REAL *)l->x + (i + s) * l->in;
    for (int64_t j = begin; j < end; j += step) {
        const int64_t features = nn_min(step, end - j);
        for (int f = 0; f < step; f++) weight[f] = (const REAL *)l->weight + (j + nn_min(f, features - 1)) * l->in;
        REAL dot[DOTS];
        dot_tile(dot, weight, x, l->in, samples);
        for (int s = 0; s < samples; s++)
            for (int64_t f = 0; f < features; f++)
                y[s * l->out + j + f] = dot[f * samples + s] + (bias ? bias[j + f] : 0);
    }
}

NN_DEFINE_KERNEL(linear_forward_dot) {
    const nn_linear_args *l = args;
    int64_t i = 0;
    for (; i + 2 <= l->n; i += 2) dot_samples(l, begin, end, i, 2);
    if (i < l->n) dot_samples(l, begin, end, i, 1);
}
