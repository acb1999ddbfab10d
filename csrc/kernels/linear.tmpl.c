/*
 * linear: the three products of a fully connected layer, on the tile of gemm.h.
 *
 *     forward          y  (n, out)      = x (n, in) weight^T (in, out) + bias (out)
 *     backward_data    dx (n, in)       = dy (n, out) weight (out, in)
 *     backward_weight  dweight (out, in) += dy^T (out, n) x (n, in);  dbias (out) += column sums of dy
 *
 * begin and end count columns of y, columns of dx, rows of dweight.
 */
#include "template.h"

#include "gemm.h"
#include "linear.h"

/*
 * c (m, columns begin to end) = start + a b, b[p * b_row + j * b_step]. Panels of b are packed block by block
 * along k where their rows are not contiguous or hold fewer than GEMM_COLS columns.
 */
static void product(REAL *c, int64_t ldc, const REAL *a, int64_t a_row, int64_t a_step, const REAL *b,
                    int64_t b_row, int64_t b_step, const REAL *start, bool accumulate, int64_t m, int64_t k,
                    int64_t begin, int64_t end) {
    REAL panel[GEMM_DEPTH * GEMM_COLS];
    REAL start_some[GEMM_COLS] = {0};
    for (int64_t j = begin; j < end; j += GEMM_COLS) {
        const int64_t cols = nn_min(GEMM_COLS, end - j);
        const bool pack = b_step != 1 || cols < GEMM_COLS;
        gemm_tile tile = {.c = c + j, .ldc = ldc, .row = a_row, .step = a_step, .cols = cols,
                          .accumulate = accumulate};
        if (start) {
            memcpy(start_some, start + j, (size_t)cols * sizeof(REAL));
            tile.start = start_some;
        }
        int64_t p = 0;
        do { /* also once for k = 0: c is its start value */
            tile.k = nn_min(GEMM_DEPTH, k - p);
            tile.a = a + p * a_step;
            tile.b = b + p * b_row + j * b_step;
            tile.ldb = b_row;
            if (pack) {
                gemm_pack_panel(panel, tile.b, b_row, b_step, tile.k, cols);
                tile.b = panel;
                tile.ldb = GEMM_COLS;
            }
            gemm_run_panel(tile, m);
            tile.accumulate = true;
            p += tile.k;
        } while (p < k);
    }
}

NN_DEFINE_KERNEL(linear_forward) {
    const nn_linear_args *l = args;
    product(l->y, l->out, l->x, l->in, 1, l->weight, 1, l->in, l->bias, false, l->n, l->in, begin, end);
}

NN_DEFINE_KERNEL(linear_backward_data) {
    const nn_linear_args *l = args;
    product(l->dx, l->in, l->dy, l->out, 1, l->weight, l->in, 1, NULL, false, l->n, l->out, begin, end);
}

NN_DEFINE_KERNEL(linear_backward_weight) {
    const nn_linear_args *l = args;
    const REAL *dy = l->dy;
    if (l->n == 0) return;
    if (l->dweight)
        product((REAL *)l->dweight + begin * l->in, l->in, dy + begin, 1, l->out, l->x, l->in, 1, NULL, true,
                end - begin, l->n, 0, l->in);
    if (!l->dbias) return;
    REAL *dbias = l->dbias;
    for (int64_t i = 0; i < l->n; i++)
        for (int64_t j = begin; j < end; j++) dbias[j] += dy[i * l->out + j];
}
