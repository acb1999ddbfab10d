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

/* ---- one or two samples ------------------------------------------------------------------------------- */

enum { ABREAST = VEC_BYTES == 64 ? 4 : 8, SMALL_WEIGHTS = 32768 / sizeof(REAL) };

/* dx (width vectors) = dy (out) weight (out, width vectors): so many chains that none waits for another. */
NN_INLINE void data_abreast(REAL *dx, const REAL *dy, const REAL *weight, int64_t in, int64_t out, int width,
                            int64_t some) {
    vec acc[ABREAST];
    NN_UNROLL(8) for (int v = 0; v < width; v++) acc[v] = vset(0);
    for (int64_t p = 0; p < out; p++) {
        const vec d = vset(dy[p]);
        NN_UNROLL(8) for (int v = 0; v < width; v++) acc[v] = vfma(d, load_lanes(weight + p * in + v * VL, some), acc[v]);
    }
    NN_UNROLL(8) for (int v = 0; v < width; v++) store_lanes(dx + v * VL, acc[v], some);
}

/* Weights that stay in the first-level cache: the sums stay in registers. */
static void data_of_small(const nn_linear_args *l, int64_t begin, int64_t end) {
    const REAL *weight = l->weight;
    for (int64_t i = 0; i < l->n; i++) {
        const REAL *dy = (const REAL *)l->dy + i * l->out;
        REAL *dx = (REAL *)l->dx + i * l->in;
        int64_t j = begin;
        for (; j + ABREAST * VL <= end; j += ABREAST * VL)
            data_abreast(dx + j, dy, weight + j, l->in, l->out, ABREAST, VL);
        for (; j + VL <= end; j += VL) data_abreast(dx + j, dy, weight + j, l->in, l->out, 1, VL);
        if (j < end) data_abreast(dx + j, dy, weight + j, l->in, l->out, 1, end - j);
    }
}

/*
 * More weights are used once or twice each: what counts is to read them in order, `count` columns of FEW rows at a
 * time, while the sums stay in the first-level cache.
 */
enum { FEW = 4 };

NN_INLINE void few_rows(REAL *dx, const REAL *dy, const REAL *weight, const nn_linear_args *l, int64_t count, int samples,
                        int rows, bool first) {
    vec d[2][FEW];
    NN_UNROLL(2) for (int i = 0; i < samples; i++)
        NN_UNROLL(4) for (int r = 0; r < rows; r++) d[i][r] = vset(dy[i * l->out + r]);
    for (int64_t j = 0; j < count; j += VL) {
        const int64_t some = nn_min(VL, count - j);
        vec w[FEW];
        NN_UNROLL(4) for (int r = 0; r < rows; r++)
            w[r] = some == VL ? vload(weight + r * l->in + j) : vload_some(weight + r * l->in + j, some);
        NN_UNROLL(2) for (int i = 0; i < samples; i++) {
            REAL *to = dx + i * l->in + j;
            vec sum = first ? vset(0) : some == VL ? vload(to) : vload_some(to, some);
            NN_UNROLL(4) for (int r = 0; r < rows; r++) sum = vfma(d[i][r], w[r], sum);
            if (some == VL) vstore(to, sum);
            else vstore_some(to, sum, some);
        }
    }
}

NN_INLINE void data_of_few(const nn_linear_args *l, int64_t begin, int64_t end, int samples) {
    REAL *dx = (REAL *)l->dx + begin;
    const REAL *dy = l->dy, *weight = (const REAL *)l->weight + begin;
    int64_t p = 0;
    for (; p + FEW <= l->out; p += FEW)
        few_rows(dx, dy + p, weight + p * l->in, l, end - begin, samples, FEW, p == 0);
    for (; p < l->out; p++) few_rows(dx, dy + p, weight + p * l->in, l, end - begin, samples, 1, p == 0);
    if (l->out == 0) few_rows(dx, dy, weight, l, end - begin, samples, 0, true);
}

NN_DEFINE_KERNEL(linear_backward_data) {
    const nn_linear_args *l = args;
    const REAL *weight = l->weight;
    if (l->n <= 2) {
        if (l->in * l->out <= SMALL_WEIGHTS) data_of_small(l, begin, end);
        else if (l->n == 1) data_of_few(l, begin, end, 1);
        else if (l->n == 2) data_of_few(l, begin, end, 2);
        return;
    }
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
    WEIGHT_DEPTH = NN_LINEAR_DEPTH / sizeof(REAL), /* samples a block: dy^T of a piece takes 64 KB, and is read in order */
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

/* dweight = dy^T x of one sample, or += that: x stays in registers, `width` vectors of it. */
NN_INLINE void outer_product(const nn_linear_args *l, int64_t begin, int64_t end, int64_t j, int width, int64_t some) {
    const bool overwrite = l->overwrite;
    const REAL *dy = l->dy;
    vec part[ABREAST];
    NN_UNROLL(8) for (int v = 0; v < width; v++) part[v] = load_lanes((const REAL *)l->x + j + v * VL, some);
    for (int64_t i = begin; i < end; i++) {
        REAL *row = (REAL *)l->dweight + i * l->in + j;
        const vec d = vset(dy[i]);
        NN_UNROLL(8) for (int v = 0; v < width; v++) {
            const vec start = overwrite ? vset(0) : load_lanes(row + v * VL, some);
            store_lanes(row + v * VL, vfma(d, part[v], start), some);
        }
    }
}

#if defined(__GNUC__) && !defined(__clang__) && !defined(NN_SMALL)
#define HAVE_SHUFFLE 1 /* by lanes that are not constants */
/* Rows of a power of two, which fill a vector together: x once for each, dy's element of each. Returns how far it came. */
static int64_t outer_product_of_short(const nn_linear_args *l, int64_t begin, int64_t end) {
    const int64_t in = l->in, rows = VL / in;
    const ivec row = viota() >> __builtin_ctzll((uint64_t)in), column = viota() & ivset((INT)in - 1);
    const vec part = __builtin_shuffle(vload_some(l->x, in), column);
    for (; begin + rows <= end; begin += rows) {
        const vec d = __builtin_shuffle(vload_some((const REAL *)l->dy + begin, rows), row);
        vstore((REAL *)l->dweight + begin * in, vfma(d, part, vset(0)));
    }
    return begin;
}
#else
#define HAVE_SHUFFLE 0
#endif

static void weight_of_one(const nn_linear_args *l, int64_t begin, int64_t end) {
    const REAL *dy = l->dy;
    REAL *dbias = l->dbias;
    for (int64_t i = begin; dbias && i < end; i += VL) {
        const int64_t some = nn_min(VL, end - i);
        const vec start = l->overwrite ? vset(0) : load_lanes(dbias + i, some);
        store_lanes(dbias + i, start + load_lanes(dy + i, some), some);
    }
    if (!l->dweight) return;
    int64_t j = 0;
#if HAVE_SHUFFLE
    if (l->overwrite && l->in > 0 && l->in < VL && VL % l->in == 0) begin = outer_product_of_short(l, begin, end);
#endif
    for (; j + ABREAST * VL <= l->in; j += ABREAST * VL) outer_product(l, begin, end, j, ABREAST, VL);
    for (; j + VL <= l->in; j += VL) outer_product(l, begin, end, j, 1, VL);
    if (j < l->in) outer_product(l, begin, end, j, 1, l->in - j);
}

/* One row of dweight passes through registers once, whatever the batch. */
NN_DEFINE_KERNEL(linear_backward_weight_rows) {
    const nn_linear_args *l = args;
    if (l->n == 1 && (l->overwrite || l->in * l->out <= SMALL_WEIGHTS)) {
        weight_of_one(l, begin, end);
        return;
    }
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
