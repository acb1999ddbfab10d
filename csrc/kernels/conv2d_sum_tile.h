/*
 * conv2d_sum_tile.h: the register tile of sums over elements.
 *
 * A tile is rows (consecutive floats of x) by columns (output channels), one step of the product an element of
 * dy: x is broadcast, dy is a vector.
 */
#ifndef NN_KERNELS_CONV2D_SUM_TILE_H
#define NN_KERNELS_CONV2D_SUM_TILE_H

#include "conv2d_sums.h"

/* acc (rows, vecs) += x (rows) times dy (vecs): one element. */
NN_INLINE void add_product(vec acc[CONV_MAX_ROWS][CONV_MAX_VECS], const REAL *x, int64_t x_row, const REAL *dy,
                           int rows, int vecs) {
    vec dv[CONV_MAX_VECS];
    NN_UNROLL(3) for (int v = 0; v < vecs; v++) dv[v] = vload(dy + v * VL);
    NN_UNROLL(12) for (int i = 0; i < rows; i++) {
        const vec xv = vset(x[i * x_row]);
        NN_UNROLL(3) for (int v = 0; v < vecs; v++) acc[i][v] = vfma(xv, dv[v], acc[i][v]);
    }
}

NN_INLINE void sum_tile(const conv_sum_tile *t, int rows, int vecs, int64_t x_row, bool fetches) {
    /* A small tile takes every second element into sums of their own: one chain each would wait for itself. */
    const bool two_chains = rows * vecs < 8;
    vec acc[CONV_MAX_ROWS][CONV_MAX_VECS], odd[CONV_MAX_ROWS][CONV_MAX_VECS];
    const int64_t x_step = t->x_step[2], dy_step = t->dy_step[2], count = t->count[2];
    const int64_t x_line_step = t->x_step[1], dy_line_step = t->dy_step[1];
    const char *next = t->next;
    const int64_t next_step = t->next_step;
    if (fetches && two_chains) { /* whose loop has no register left */
        const char *end = next + t->count[1] * count * next_step;
        for (; next < end; next += 64) __builtin_prefetch(next, 0, 2);
    }
    NN_UNROLL(12) for (int i = 0; i < rows; i++) {
        NN_UNROLL(3) for (int v = 0; v < vecs; v++) {
            acc[i][v] = vload(t->sum + (i * vecs + v) * VL);
            odd[i][v] = vset(0);
        }
    }
    for (int64_t outer = 0; outer < t->count[0]; outer++) {
        const REAL *x_line = t->x + outer * t->x_step[0], *dy_line = t->dy + outer * t->dy_step[0];
        for (int64_t middle = t->count[1]; middle > 0; middle--, x_line += x_line_step, dy_line += dy_line_step) {
            const REAL *x = x_line, *dy = dy_line;
            int64_t k = count;
            for (; two_chains && k >= 2; k -= 2, x += x_step, dy += dy_step) {
                add_product(acc, x, x_row, dy, rows, vecs);
                x = pkept((REAL *)x + x_step), dy = pkept((REAL *)dy + dy_step);
                add_product(odd, x, x_row, dy, rows, vecs);
            }
            for (; k > 0; k--, x += x_step, dy += dy_step) {
                if (fetches && !two_chains) {
                    __builtin_prefetch(next, 0, 2);
                    next += next_step;
                }
                add_product(acc, x, x_row, dy, rows, vecs);
            }
        }
    }
    NN_UNROLL(12) for (int i = 0; i < rows; i++) {
        NN_UNROLL(3) for (int v = 0; v < vecs; v++)
            vstore(t->sum + (i * vecs + v) * VL, two_chains ? acc[i][v] + odd[i][v] : acc[i][v]);
    }
}

/* The tile's rows side by side in x, or apart. */
NN_INLINE void sums(const conv_sum_tile *t, int rows, int vecs) { sum_tile(t, rows, vecs, 1, false); }
NN_INLINE void sums_apart(const conv_sum_tile *t, int rows, int vecs) { sum_tile(t, rows, vecs, t->x_row, true); }

/* dy, or what `sign` makes of it and the other one. */
NN_INLINE vec one_or_both(vec dy, vec other, int sign) { return sign > 0 ? dy + other : sign < 0 ? dy - other : dy; }

#if NN_HAVE_FMA
/* Three rows by two panels of two vectors. The rows wait in registers for the vectors, each as it is made. */
NN_INLINE void sums_wide(const conv_sum_tile *t, int sign) {
    const int64_t other = sign ? t->other : 0;
    const int64_t x_row = t->x_row, x_step = t->x_step[2], dy_step = t->dy_step[2], count = t->count[2];
    const char *next = t->next;
    const int64_t next_step = t->next_step;
    vec acc[4][CONV_WIDE_ROWS];
    NN_UNROLL(4) for (int v = 0; v < 4; v++) {
        NN_UNROLL(3) for (int i = 0; i < CONV_WIDE_ROWS; i++)
            acc[v][i] = vload(t->sum + v / 2 * t->panel + (i * 2 + v % 2) * VL);
    }
    for (int64_t outer = 0; outer < t->count[0]; outer++) {
        const REAL *x_line = t->x + outer * t->x_step[0], *dy_line = t->dy + outer * t->dy_step[0];
        for (int64_t middle = t->count[1]; middle > 0; middle--, x_line += t->x_step[1], dy_line += t->dy_step[1]) {
            const REAL *x = x_line, *dy = dy_line;
            for (int64_t k = count; k > 0; k--, x += x_step, dy += dy_step) {
                __builtin_prefetch(next, 0, 2);
                next += next_step;
                vec xv[CONV_WIDE_ROWS];
                NN_UNROLL(3) for (int i = 0; i < CONV_WIDE_ROWS; i++) xv[i] = vkept(vset(x[i * x_row]));
                NN_UNROLL(4) for (int v = 0; v < 4; v++) {
                    const vec dv = one_or_both(vload(dy + v * VL), vload(dy + other + v * VL), sign);
                    NN_UNROLL(3) for (int i = 0; i < CONV_WIDE_ROWS; i++) acc[v][i] = vfma(xv[i], dv, acc[v][i]);
                }
            }
        }
    }
    NN_UNROLL(4) for (int v = 0; v < 4; v++) {
        NN_UNROLL(3) for (int i = 0; i < CONV_WIDE_ROWS; i++)
            vstore(t->sum + v / 2 * t->panel + (i * 2 + v % 2) * VL, acc[v][i]);
    }
}
#endif

#if CONV_HAS_HALVES
/* The same for a vector and a half of columns; the other half of a row's sums is left as it is. */
NN_INLINE void sums_half(const conv_sum_tile *t, int rows, int sign) {
    const int64_t other = sign ? t->other : 0;
    const int64_t x_row = t->x_row, x_step = t->x_step[2], dy_step = t->dy_step[2], count = t->count[2];
    const int64_t x_line_step = t->x_step[1], dy_line_step = t->dy_step[1];
    const char *next = t->next;
    const int64_t next_step = t->next_step;
    const int last = rows - 1;
    vec whole[CONV_HALF_ROWS], shared[CONV_HALF_ROWS / 2];
    NN_UNROLL(8) for (int i = 0; i < rows; i++) whole[i] = vload(t->sum + i * 2 * VL);
    NN_UNROLL(4) for (int i = 0; i < rows; i += 2)
        shared[i / 2] = vhalves(vload_twice(t->sum + (i * 2 + 1) * VL),
                                vload_twice(t->sum + ((i < last ? i + 1 : i) * 2 + 1) * VL));
    for (int64_t outer = 0; outer < t->count[0]; outer++) {
        const REAL *x_line = t->x + outer * t->x_step[0], *dy_line = t->dy + outer * t->dy_step[0];
        for (int64_t middle = t->count[1]; middle > 0; middle--, x_line += x_line_step, dy_line += dy_line_step) {
            const REAL *x = x_line, *dy = dy_line;
            for (int64_t k = count; k > 0; k--, x += x_step, dy += dy_step) {
                __builtin_prefetch(next, 0, 2);
                next += next_step;
                const vec first = one_or_both(vload(dy), vload(dy + other), sign);
                const vec second = one_or_both(vload_twice(dy + VL), vload_twice(dy + other + VL), sign);
                NN_UNROLL(4) for (int i = 0; i < rows; i += 2) {
                    const vec x0 = vset(x[i * x_row]), x1 = i < last ? vset(x[(i + 1) * x_row]) : x0;
                    whole[i] = vfma(x0, first, whole[i]);
                    if (i < last) whole[i + 1] = vfma(x1, first, whole[i + 1]);
                    shared[i / 2] = vfma(i < last ? vhalves(x0, x1) : x0, second, shared[i / 2]);
                }
            }
        }
    }
    NN_UNROLL(8) for (int i = 0; i < rows; i++) vstore(t->sum + i * 2 * VL, whole[i]);
    NN_UNROLL(4) for (int i = 0; i < rows; i += 2)
        vstore_halves(t->sum + (i * 2 + 1) * VL, t->sum + ((i < last ? i + 1 : i) * 2 + 1) * VL, shared[i / 2]);
}
#endif

#endif
