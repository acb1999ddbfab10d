/*
 * conv2d_pairs.h: Winograd's convolution along the width alone, for what the form in two dimensions does not take:
 * kernels of any width, few channels.
 *
 *     pair      two elements of dest side by side, d0 and d1, under the cells x0, x1, ... of one row of the source
 *     product   one of 3 taps / 2 products for each pair of channels, where the direct sum takes 2 taps
 *
 * Three taps together take four products, two take three (A. Toom, 1963, in the points 0, 1, -1 and infinity):
 *
 *     cells        dy            tap 0   1    2          cells     dy          tap 0   1
 *     x0 - x2      d0                1                   x0 - x1   d0              1
 *     x1 + x2      d0 + d1         1/2  1/2  1/2         x1        d0 + d1         1   1
 *     x2 - x1      d0 - d1         1/2 -1/2  1/2         x2 - x1   d1                  1
 *     x3 - x1      d1                         1
 *
 * An odd number of taps is three, then twos. Rows of the kernel stay apart: they are summed like channels. Nothing is
 * multiplied but by 1 and 1/2, so the rounding is that of the direct sum in kind.
 */
#ifndef NN_KERNELS_CONV2D_PAIRS_H
#define NN_KERNELS_CONV2D_PAIRS_H

#include "conv2d_panels.h"
#include "vtranspose.h"

/* What a chunk of the batch, of whole rows, is made of. */
typedef struct pair_chunk {
    int64_t n, images, row, rows; /* images from n on, rows of dest from `row` on */
} pair_chunk;

/* The chunk behind this one, of a piece that ends before image n_end: the first one behind {.n = its first image}. */
NN_INLINE bool next_chunk(const nn_conv2d_args *c, int64_t n_end, pair_chunk *chunk) {
    const int64_t count = c->axis[0].count;
    chunk->row += chunk->rows;
    if (chunk->row >= count) chunk->n += chunk->images, chunk->row = 0;
    chunk->images = nn_min(c->images, n_end - chunk->n);
    chunk->rows = nn_min(c->band, count - chunk->row);
    return chunk->images > 0 && chunk->rows > 0;
}

/* Elements of a chunk's buffers: a product's plane of cells, and what transform_cells works in, by halves. */
typedef struct pair_room {
    int64_t plane, scratch, half;
} pair_room;

NN_INLINE pair_room room_of(const nn_conv2d_args *c) {
    const int64_t taps = c->axis[1].taps, count = (c->axis[1].count + 1) / 2, rows = c->band + c->axis[0].taps - 1;
    const int64_t half = count + taps / 2 + 1 + VL;
    return (pair_room){c->images * rows * count * c->rows + VL, c->rows == 1 ? 2 * half * rows : (taps + 1) * VL, half};
}

/* The products of three taps, and of two, from the plane of the first of them on; returns the plane behind them. */
NN_INLINE REAL *store_three(REAL *to, int64_t plane, vec x0, vec x1, vec x2, vec x3) {
    vstore(to, x0 - x2);
    vstore(to + plane, x1 + x2);
    vstore(to + 2 * plane, x2 - x1);
    vstore(to + 3 * plane, x3 - x1);
    return to + 4 * plane;
}

NN_INLINE REAL *store_two(REAL *to, int64_t plane, vec x0, vec x1, vec x2) {
    vstore(to, x0 - x1);
    vstore(to + plane, x1);
    vstore(to + 2 * plane, x2 - x1);
    return to + 3 * plane;
}

/* The products of the cells x0 = even[0], x1 = odd[0], x2 = even[step], ..., for one vector of pairs or channels. */
NN_INLINE void store_products(REAL *to, int64_t plane, const REAL *even, const REAL *odd, int64_t step, int64_t taps,
                              int64_t lanes) {
    vec x0 = load_lanes(even, lanes), x1 = load_lanes(odd, lanes);
    int64_t tap = 0;
    if (taps & 1) {
        const vec x2 = load_lanes(even += step, lanes), x3 = load_lanes(odd += step, lanes);
        to = store_three(to, plane, x0, x1, x2, x3);
        tap = 3;
        if (tap < taps) {
            x0 = x3, x1 = load_lanes(even += step, lanes);
            const REAL *swap = even;
            even = odd, odd = swap;
        }
    }
    for (; tap < taps; tap += 2) {
        const vec x2 = load_lanes(even += step, lanes);
        to = store_two(to, plane, x0, x1, x2);
        x0 = x2;
        if (tap + 2 < taps) x1 = load_lanes(odd += step, lanes);
    }
}

/* ---- one channel: vectors of pairs ---------------------------------------------------------------------- */

#define NN_SECOND(k, d) (2 * (k) + (d))

/* halves = the even cells of a row, padding before them included, then the odd ones. */
static void split_row(REAL *halves, int64_t half, const REAL *x, int64_t width, int64_t padding) {
    REAL *first = halves + (padding & 1) * half + padding / 2;
    REAL *second = halves + (~padding & 1) * half + (padding + 1) / 2;
    for (int64_t k = 0; k < width; k += 2 * VL, first += VL, second += VL) {
        const vec a = load_lanes(x + k, nn_min(VL, width - k));
        const vec b = vload_some(x + k + VL, nn_max(0, nn_min(VL, width - k - VL)));
        vstore(first, __builtin_shufflevector(a, b, NN_EACH(NN_SECOND, 0)));
        vstore(second, __builtin_shufflevector(a, b, NN_EACH(NN_SECOND, 1)));
    }
}

/* ---- channels: vectors of them ------------------------------------------------------------------------- */

/* A pair some of whose cells are not inside the row: x is its first cell, `cell` the number of that. */
static NN_NOINLINE void transform_border(REAL *to, int64_t plane, REAL *copy, const REAL *x, int64_t cell,
                                         int64_t width, int64_t channels, int64_t taps) {
    for (int64_t k = 0; k < channels; k += VL) {
        const int64_t lanes = nn_min(VL, channels - k);
        for (int64_t t = 0; t <= taps; t++) {
            const bool inside = cell + t >= 0 && cell + t < width;
            vstore(copy + t * VL, inside ? vload_some(x + t * channels + k, lanes) : vset(0));
        }
        store_products(to + k, plane, copy, copy + VL, 2 * VL, taps, VL);
    }
}

/* A row of cells from x on, where `left` elements are left of the whole source. */
static void transform_row(REAL *to, int64_t plane, REAL *copy, const nn_conv2d_args *c, const REAL *x, int64_t left) {
    const int64_t width = c->axis[1].source, channels = c->rows, taps = c->axis[1].taps, step = 2 * channels;
    const int64_t pairs = (c->axis[1].count + 1) / 2;
    int64_t cell = c->axis[1].origin;
    for (int64_t j = 0; j < pairs; j++, cell += 2, to += channels) {
        const REAL *at = x + cell * channels;
        /* Lanes beyond a cell are read too, and what comes of them is overwritten by the next pair. */
        if (cell < 0 || cell + taps >= width || (cell + taps + 1) * channels + VL > left) {
            transform_border(to, plane, copy, at, cell, width, channels, taps);
            continue;
        }
        for (int64_t k = 0; k < channels; k += VL)
            store_products(to + k, plane, at + k, at + channels + k, step, taps, VL);
    }
}

/* ---- a chunk -------------------------------------------------------------------------------------------- */

/* panel [product][image][row and those of the kernel below][pair][channel] = the cells of a chunk; a vector more is
   written. `scratch` holds the halves of all rows, or a pair's cells. */
static void transform_cells(REAL *panel, int64_t plane, const nn_conv2d_args *c, REAL *scratch, int64_t half,
                            const pair_chunk *chunk) {
    const nn_conv_axis *ah = &c->axis[0], *aw = &c->axis[1];
    const int64_t line = aw->source * c->rows, count = (aw->count + 1) / 2 * c->rows, rows = chunk->rows + ah->taps - 1;
    const int64_t products = nn_conv_products(aw->taps);
    for (int64_t n = chunk->n; n < chunk->n + chunk->images; n++, panel += rows * count) {
        const REAL *image = (const REAL *)c->source + n * ah->source * line;
        const int64_t first = ah->origin + chunk->row;
        const int64_t begin = nn_min(rows, nn_max(0, -first)), end = nn_max(begin, nn_min(rows, ah->source - first));
        for (int64_t p = 0; p < products; p++) {
            REAL *to = panel + p * plane;
            for (int64_t k = 0; k < begin * count; k++) to[k] = 0;
        }
        if (c->rows == 1) {
            /* All rows are split before the first is read again: a load waits for each store that it meets in part. */
            for (int64_t i = begin; i < end; i++)
                split_row(scratch + 2 * i * half, half, image + (first + i) * line, aw->source, -aw->origin);
            for (int64_t i = begin; i < end; i++) {
                const REAL *halves = scratch + 2 * i * half;
                for (int64_t k = 0; k < count; k += VL)
                    store_products(panel + i * count + k, plane, halves + k, halves + half + k, 1, aw->taps, VL);
            }
        } else {
            for (int64_t i = begin; i < end; i++)
                transform_row(panel + i * count, plane, scratch, c, image + (first + i) * line,
                              ((c->n - n) * ah->source - first - i) * line);
        }
        for (int64_t p = 0; p < products; p++) {
            REAL *to = panel + p * plane;
            for (int64_t k = end * count; k < rows * count; k++) to[k] = 0;
        }
    }
}

#endif
