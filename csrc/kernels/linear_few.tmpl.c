/*
 * linear backward of small batches, dy (n, out) given.
 *
 *     backward_data_few     dx (n, in)        = dy (n, out) weight (out, in), n up to 2
 *     backward_weight_rows  dweight (out, in) += dy^T (out, n) x (n, in), row by row;  dbias (out) += column sums of dy
 *
 * begin and end count columns of dx, rows of dweight.
 */
#include "template.h"

#include "linear.h"

/* ---- dx ---------------------------------------------------------------------------------------------- */

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

NN_DEFINE_KERNEL(linear_backward_data_few) {
    const nn_linear_args *l = args;
    if (l->in * l->out <= SMALL_WEIGHTS) data_of_small(l, begin, end);
    else if (l->n == 1) data_of_few(l, begin, end, 1);
    else if (l->n == 2) data_of_few(l, begin, end, 2);
}

/* ---- dweight ----------------------------------------------------------------------------------------- */

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
