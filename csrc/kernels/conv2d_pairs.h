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
 *
 * Of whole rows at once, not pair by pair, four planes serve all products: x, x0 - x2, x0 + x1 and x1 - x0 from each
 * cell on. Then x3 - x1 is the second of them one cell further with the other sign, x0 - x1 the fourth with the other
 * sign: the sign goes to what is multiplied with it.
 */
#ifndef NN_KERNELS_CONV2D_PAIRS_H
#define NN_KERNELS_CONV2D_PAIRS_H

#include "conv2d_panels.h"

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

/* The four planes of cells of a chunk, [image][row and those of the kernel below][cell][channel] each. */
enum { CELLS_AS_IS, CELLS_THIRD, CELLS_SUM, CELLS_DIFFERENCE, CELLS_PLANES };
typedef struct pair_cells {
    const REAL *at[CELLS_PLANES];
} pair_cells;

/* Where product p of so many taps finds the cells of the first pair. */
NN_INLINE const REAL *cells_of_product(const pair_cells *cells, int64_t p, int64_t taps, int64_t channels) {
    if (taps & 1) {
        if (p < 4) return cells->at[p == 1 ? CELLS_SUM : p == 2 ? CELLS_DIFFERENCE : CELLS_THIRD] + (p > 0) * channels;
        p -= 4;
    }
    const int64_t cell = (taps & 1) * 3 + p / 3 * 2 + (p % 3 > 0);
    return cells->at[p % 3 == 1 ? CELLS_AS_IS : CELLS_DIFFERENCE] + cell * channels;
}

/* Elements of a row of cells, padding included, and of a plane of a chunk, in whole vectors; a little more is read and written. */
NN_INLINE int64_t cells_line(const nn_conv2d_args *c) {
    return ((c->axis[1].count + 1) / 2 * 2 + c->axis[1].taps - 1) * c->rows;
}
NN_INLINE int64_t cells_plane(const nn_conv2d_args *c) {
    const int64_t count = c->images * (c->band + c->axis[0].taps - 1) * cells_line(c) + 2 * c->rows + VL;
    return (count + VL - 1) / VL * VL;
}

/* to = `before` zeros, x (count), `after` zeros; up to a vector more is written. */
static void copy_row(REAL *to, int64_t before, const REAL *x, int64_t count, int64_t after) {
    for (int64_t k = 0; k < before; k += VL) vstore(to + k, vset(0));
    to += before;
    for (int64_t k = 0; k < count; k += VL) vstore(to + k, load_lanes(x + k, nn_min(VL, count - k)));
    to += count;
    for (int64_t k = 0; k < after; k += VL) vstore(to + k, vset(0));
}

/* The cells of a chunk, in `room`, or those that are as in x there, if it has no padding. */
static pair_cells transform_cells(REAL *room, const nn_conv2d_args *c, const pair_chunk *chunk) {
    const nn_conv_axis *ah = &c->axis[0], *aw = &c->axis[1];
    const int64_t channels = c->rows, line = cells_line(c), source_line = aw->source * channels;
    const int64_t before = -aw->origin * channels, rows = chunk->rows + ah->taps - 1, plane = cells_plane(c);
    const int64_t first = ah->origin + chunk->row, count = chunk->images * rows * line;
    const REAL *x = (const REAL *)c->source + (chunk->n * ah->source + first) * source_line;
    const int64_t left = ((c->n - chunk->n) * ah->source - first) * source_line;
    if (line != source_line || ah->origin != 0 || left < count + 2 * channels + VL) {
        REAL *to = room;
        for (int64_t n = 0; n < chunk->images; n++) {
            for (int64_t i = 0; i < rows; i++, to += line) {
                if (first + i < 0 || first + i >= ah->source) copy_row(to, line, NULL, 0, 0);
                else copy_row(to, before, x + (n * ah->source + i) * source_line, source_line,
                              line - before - source_line);
            }
        }
        x = room;
    }
    REAL *third = room + CELLS_THIRD * plane, *sum = room + CELLS_SUM * plane;
    REAL *difference = room + CELLS_DIFFERENCE * plane;
    for (int64_t k = 0; k < count; k += VL) {
        const vec x0 = vload(x + k), x1 = vload(x + k + channels), x2 = vload(x + k + 2 * channels);
        vstore(third + k, x0 - x2);
        vstore(sum + k, x0 + x1);
        vstore(difference + k, x1 - x0);
    }
    return (pair_cells){{x, third, sum, difference}};
}

#endif
