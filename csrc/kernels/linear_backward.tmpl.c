/*
 * linear backward, dy (n, out) given.
 *
 *     backward_data         dx (n, in)        = dy (n, out) weight (out, in)
 *     backward_weight       dweight (out, in) += dy^T (out, n) x (n, in);  dbias (out) += column sums of dy
 *
 * linear_few.tmpl.c has those of small batches. begin and end count columns of dx, rows of dweight.
 */
#include "template.h"

#include "gemm.h"
#include "linear.h"

/* panel (k, GEMM_COLS) = b (k, cols), cols up to VL, rows of b contiguous and `row` elements apart; zeros beyond. */
static void pack_plain(REAL *panel, const REAL *b, int64_t row, int64_t k, int64_t cols) {
    for (int64_t p = 0; p < k; p++) {
        vstore(panel + p * GEMM_COLS, vload_some(b + p * row, cols));
        for (int v = 1; v < GEMM_VECS; v++) vstore(panel + p * GEMM_COLS + v * VL, vset(0));
    }
}

/*
 * Whether the first-level cache holds the panel of b where it lies: it is a quarter of it, and rows that share a set are
 * no more than half of the lines there. With vectors of half a line the copy was faster nevertheless.
 */
static bool stays_near(const gemm_panel *t) {
    const int64_t apart = t->ldb * (int64_t)sizeof(REAL), power = nn_min(apart & -apart, 4096);
    return VEC_BYTES == 64 && t->k * GEMM_COLS * (int64_t)sizeof(REAL) <= 8192 && t->k * power <= 4 * 4096;
}

/*
 * Rows of b lie far apart: another page each, few sets of the first-level cache where the distance is a power of two.
 * Where three tiles or more read them, the first leaves a copy that lies close. Of less than a vector the copy is made
 * beforehand, with zeros beyond the columns, unless tiles are masked.
 */
static void take_panel(gemm_panel *t, REAL *room, int64_t m) {
    if (t->cols <= VL && !GEMM_MASKED) {
        pack_plain(room, t->b, t->ldb, t->k, t->cols);
        t->b = room;
        t->ldb = GEMM_COLS;
    } else if (t->cols == GEMM_COLS && m >= 3 * GEMM_ROWS && !stays_near(t)) {
        t->copy = room;
    }
}

NN_DEFINE_KERNEL(linear_backward_data) {
    const nn_linear_args *l = args;
    const REAL *weight = l->weight;
    REAL panel[GEMM_PANEL];
    int64_t p = 0;
    do { /* once also for out = 0: dx is zero. All panels of a depth, while its part of dy lies in the second level */
        const int64_t k = nn_min(GEMM_DEPTH, l->out - p);
        for (int64_t j = begin; j < end; j += GEMM_COLS) {
            gemm_panel tile = {.c = (REAL *)l->dx + j, .ldc = l->in, .a = (const REAL *)l->dy + p, .row = l->out,
                              .step = 1, .b = weight + p * l->in + j, .ldb = l->in, .k = k,
                              .cols = nn_min(GEMM_COLS, end - j), .accumulate = p > 0, .scale = 1};
            take_panel(&tile, panel, l->n);
            gemm_run_panel(&tile, l->n);
        }
        p += k;
    } while (p < l->out);
}

enum {
    /* Samples a block: dy^T of a piece takes 64 KB, which a thread's smallest stack holds, and is read in order. */
    WEIGHT_DEPTH = NN_LINEAR_DEPTH / sizeof(REAL),
    WEIGHT_TILES = (NN_LINEAR_WEIGHT_PIECE + GEMM_ROWS - 1) / GEMM_ROWS,
    WEIGHT_LANES = (GEMM_ROWS + VL - 1) / VL * VL, /* stored for GEMM_ROWS: the rest is overwritten by the next */
};

/*
 * block (tiles, depth, GEMM_ROWS) = columns of dy, those of a tile side by side; dbias (rows) = its value, or zero, + their
 * sums. Blocks have WEIGHT_LANES elements of room behind the last.
 */
static void pack_gradient(REAL *block, const REAL *dy, int64_t out, int64_t depth, int64_t rows, REAL *dbias,
                          bool from_zero) {
    int64_t some;
    for (int64_t i = 0; i < rows; i += some, block += depth * GEMM_ROWS) {
        some = gemm_next_rows(rows - i, GEMM_ROWS);
        vec sum[WEIGHT_LANES / VL];
        for (int v = 0; v * VL < WEIGHT_LANES; v++) {
            const int64_t lanes = nn_max(0, nn_min(some - v * VL, VL));
            sum[v] = dbias && !from_zero ? vload_some(dbias + i + v * VL, lanes) : vset(0);
        }
        for (int64_t p = 0; p < depth; p++)
            NN_UNROLL(8) for (int v = 0; v * VL < WEIGHT_LANES; v++) {
                const int64_t lanes = nn_max(0, nn_min(some - v * VL, VL));
                const vec d = vload_some(dy + p * out + i + v * VL, lanes);
                vstore(block + p * GEMM_ROWS + v * VL, d);
                sum[v] += d;
            }
        if (dbias)
            for (int v = 0; v * VL < WEIGHT_LANES; v++)
                vstore_some(dbias + i + v * VL, sum[v], nn_max(0, nn_min(some - v * VL, VL)));
    }
}

/* dbias (`width` vectors, of the last one `some`) = its value, or zero, + the sums of columns of dy. */
NN_INLINE void sum_columns(const REAL *dy, int64_t out, int64_t depth, REAL *dbias, int width, int64_t some,
                           bool from_zero) {
    vec sum[4];
    NN_UNROLL(4) for (int v = 0; v < width; v++)
        sum[v] = from_zero ? vset(0) : load_lanes(dbias + v * VL, v < width - 1 ? VL : some);
    for (int64_t p = 0; p < depth; p++)
        NN_UNROLL(4) for (int v = 0; v < width; v++)
            sum[v] += load_lanes(dy + p * out + v * VL, v < width - 1 ? VL : some);
    NN_UNROLL(4) for (int v = 0; v < width; v++) store_lanes(dbias + v * VL, sum[v], v < width - 1 ? VL : some);
}

static void sum_gradient(const REAL *dy, int64_t out, int64_t depth, int64_t rows, REAL *dbias, bool from_zero) {
    int64_t i = 0;
    for (; i + 4 * VL <= rows; i += 4 * VL) sum_columns(dy + i, out, depth, dbias + i, 4, VL, from_zero);
    for (; i < rows; i += VL) sum_columns(dy + i, out, depth, dbias + i, 1, nn_min(VL, rows - i), from_zero);
}

/*
 * A panel of so few columns of dweight that its rows would fill hardly a lane: vectors run along rows, the columns of dy,
 * `width` of them, of the last one `some`; one column is summed at a time.
 */
enum { FEW_COLUMNS = VL > 4 ? 4 : 0 };

NN_INLINE void sum_rows(const gemm_panel *t, REAL *c, const REAL *dy, int64_t out, int width, int64_t some) {
    for (int64_t j = 0; j < t->cols; j++) {
        vec acc[4] = {vset(0), vset(0), vset(0), vset(0)};
        const REAL *x = t->b + j, *d = dy;
        for (int64_t p = 0; p < t->k; p++, x += t->ldb, d += out)
            NN_UNROLL(4) for (int v = 0; v < width; v++)
                acc[v] = vfma(load_lanes(d + v * VL, v < width - 1 ? VL : some), vset(*x), acc[v]);
        REAL sum[4 * VL], *to = c + j;
        NN_UNROLL(4) for (int v = 0; v < width; v++) vstore(sum + v * VL, acc[v]);
        const int64_t rows = (width - 1) * VL + some;
        for (int64_t i = 0; i < rows; i++, to += t->ldc) *to = t->accumulate ? sfma(t->scale, sum[i], *to) : sum[i];
    }
}

static void sum_few_columns(const gemm_panel *t, const REAL *dy, int64_t out, int64_t rows) {
    int64_t i = 0;
    for (; i + 4 * VL <= rows; i += 4 * VL) sum_rows(t, t->c + i * t->ldc, dy + i, out, 4, VL);
    for (; i < rows; i += VL) sum_rows(t, t->c + i * t->ldc, dy + i, out, 1, nn_min(VL, rows - i));
}

enum { NEAR_GRADIENT = 16384 / sizeof(REAL) }; /* dy of half the first-level cache is read where it lies */

NN_DEFINE_KERNEL(linear_backward_weight) {
    const nn_linear_args *l = args;
    const REAL *x = l->x;
    REAL block[WEIGHT_DEPTH * WEIGHT_TILES * GEMM_ROWS + WEIGHT_LANES];
    REAL room[WEIGHT_DEPTH * GEMM_COLS];
    const int64_t rows = end - begin;
    for (int64_t p = 0; p < l->n; p += WEIGHT_DEPTH) {
        const int64_t depth = nn_min(WEIGHT_DEPTH, l->n - p);
        const bool from_zero = l->overwrite && p == 0, near = l->n * l->out <= NEAR_GRADIENT;
        const REAL *dy = (const REAL *)l->dy + p * l->out + begin;
        REAL *dbias = l->dbias ? (REAL *)l->dbias + begin : NULL;
        if (!near) pack_gradient(block, dy, l->out, depth, rows, dbias, from_zero);
        else if (dbias) sum_gradient(dy, l->out, depth, rows, dbias, from_zero);
        if (!l->dweight) continue;
        for (int64_t j = 0; j < l->in; j += GEMM_COLS) {
            gemm_panel tile = {.c = (REAL *)(l->descent ? l->descent : l->dweight) + begin * l->in + j, .ldc = l->in,
                               .a = near ? dy : block, .row = 1, .step = near ? l->out : GEMM_ROWS,
                               .next = near ? 0 : depth * GEMM_ROWS, .b = x + p * l->in + j, .ldb = l->in, .k = depth,
                               .cols = nn_min(GEMM_COLS, l->in - j),
                               .accumulate = l->descent || !from_zero, .scale = l->descent ? (REAL)-l->rate : 1};
            if (near && tile.cols <= FEW_COLUMNS) {
                sum_few_columns(&tile, dy, l->out, rows);
            } else {
                take_panel(&tile, room, rows);
                gemm_run_panel(&tile, rows);
            }
        }
    }
}
