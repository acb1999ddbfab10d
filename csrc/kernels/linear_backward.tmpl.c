/*
 * linear backward, dy (n, out) given.
 *
 *     backward_data         dx (n, in)        = dy (n, out) weight (out, in)
 *     backward_weight       dweight (out, in) += dy^T (out, n) x (n, in);  dbias (out) += column sums of dy
 *     backward_weight_rows  the same, row by row of dweight: small batches
 *
 * begin and end count columns of dx, rows of dweight.
 */
#include "template.h"

#include "gemm.h"
#include "gemm_pack.h"
#include "linear.h"

/*
 * Rows of b lie far apart: another page each, few sets of the first-level cache where the distance is a power of two.
 * Where three tiles or more read them, the first leaves a copy that lies close. At the right edge the copy is made
 * beforehand, with zeros beyond the columns.
 */
static void take_panel(gemm_tile *t, REAL *panel, int64_t m) {
    if (t->cols < GEMM_COLS) {
        gemm_pack_plain(panel, t->b, t->ldb, t->k, t->cols);
        t->b = panel;
        t->ldb = GEMM_COLS;
    } else if (m >= 3 * GEMM_ROWS) {
        t->copy = panel;
    }
}

NN_DEFINE_KERNEL(linear_backward_data) {
    const nn_linear_args *l = args;
    const REAL *weight = l->weight;
    REAL panel[GEMM_DEPTH * GEMM_COLS];
    for (int64_t j = begin; j < end; j += GEMM_COLS) {
        const int64_t cols = nn_min(GEMM_COLS, end - j);
        gemm_tile tile = {.c = (REAL *)l->dx + j, .ldc = l->in, .row = l->out, .step = 1, .cols = cols};
        int64_t p = 0;
        do { /* once also for out = 0: dx is zero */
            tile.k = nn_min(GEMM_DEPTH, l->out - p);
            tile.a = (const REAL *)l->dy + p;
            tile.b = weight + p * l->in + j;
            tile.ldb = l->in;
            take_panel(&tile, panel, l->n);
            gemm_run_panel(tile, l->n);
            tile.accumulate = true;
            p += tile.k;
        } while (p < l->out);
    }
}

enum {
    WEIGHT_DEPTH = 512 / sizeof(REAL), /* samples a block: dy^T of a piece takes 24 KB */
    WEIGHT_VECS = NN_LINEAR_WEIGHT_PIECE / VL,
};

/* block (depth, rows) = columns of dy, zeros beyond rows; dbias (rows) = its value, or zero, + their sums. */
static void pack_gradient(REAL *block, const REAL *dy, int64_t out, int64_t depth, int64_t rows, REAL *dbias,
                          bool from_zero) {
    for (int v = 0; v < WEIGHT_VECS; v++) {
        const int64_t some = nn_max(0, nn_min(rows - v * VL, VL));
        vec sum = dbias && !from_zero ? vload_some(dbias + v * VL, some) : vset(0);
        for (int64_t p = 0; p < depth; p++) {
            const REAL *from = dy + p * out + v * VL;
            const vec d = some == VL ? vload(from) : vload_some(from, some);
            vstore(block + p * NN_LINEAR_WEIGHT_PIECE + v * VL, d);
            sum += d;
        }
        if (dbias) vstore_some(dbias + v * VL, sum, some);
    }
}

NN_DEFINE_KERNEL(linear_backward_weight) {
    const nn_linear_args *l = args;
    const REAL *dy = l->dy, *x = l->x;
    REAL *dbias = l->dbias;
    REAL block[WEIGHT_DEPTH * NN_LINEAR_WEIGHT_PIECE];
    REAL panel[WEIGHT_DEPTH * GEMM_COLS];
    const int64_t rows = end - begin;
    for (int64_t p = 0; p < l->n; p += WEIGHT_DEPTH) {
        const int64_t depth = nn_min(WEIGHT_DEPTH, l->n - p);
        const bool from_zero = l->overwrite && p == 0;
        pack_gradient(block, dy + p * l->out + begin, l->out, depth, rows, dbias ? dbias + begin : NULL,
                      from_zero);
        if (!l->dweight) continue;
        for (int64_t j = 0; j < l->in; j += GEMM_COLS) {
            gemm_tile tile = {.c = (REAL *)l->dweight + begin * l->in + j, .ldc = l->in, .a = block, .row = 1,
                              .step = NN_LINEAR_WEIGHT_PIECE, .b = x + p * l->in + j, .ldb = l->in, .k = depth,
                              .cols = nn_min(GEMM_COLS, l->in - j), .accumulate = !from_zero};
            take_panel(&tile, panel, rows);
            gemm_run_panel(tile, rows);
        }
    }
}

/* One row of dweight passes through registers once, whatever the batch. */
NN_DEFINE_KERNEL(linear_backward_weight_rows) {
    const nn_linear_args *l = args;
    const REAL *dy = l->dy, *x = l->x;
    REAL *dbias = l->dbias;
    enum { WIDE = 4 };
    for (int64_t i = begin; i < end; i++) {
        if (dbias) {
            REAL sum = l->overwrite ? 0 : dbias[i];
            for (int64_t s = 0; s < l->n; s++) sum += dy[s * l->out + i];
            dbias[i] = sum;
        }
        if (!l->dweight) continue;
        REAL *row = (REAL *)l->dweight + i * l->in;
        int64_t j = 0;
        for (; j + WIDE * VL <= l->in; j += WIDE * VL) {
            vec acc[WIDE];
            NN_UNROLL(4) for (int v = 0; v < WIDE; v++) acc[v] = l->overwrite ? vset(0) : vload(row + j + v * VL);
            for (int64_t s = 0; s < l->n; s++) {
                const vec d = vset(dy[s * l->out + i]);
                NN_UNROLL(4) for (int v = 0; v < WIDE; v++)
                    acc[v] = vfma(d, vload(x + s * l->in + j + v * VL), acc[v]);
            }
            NN_UNROLL(4) for (int v = 0; v < WIDE; v++) vstore(row + j + v * VL, acc[v]);
        }
        for (; j < l->in; j += VL) {
            const int64_t some = nn_min(VL, l->in - j);
            vec acc = l->overwrite ? vset(0) : vload_some(row + j, some);
            for (int64_t s = 0; s < l->n; s++)
                acc = vfma(vset(dy[s * l->out + i]), vload_some(x + s * l->in + j, some), acc);
            vstore_some(row + j, acc, some);
        }
    }
}
