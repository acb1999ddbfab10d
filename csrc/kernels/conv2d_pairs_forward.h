/*
 * conv2d_pairs_forward.h: y by pairs of its elements, see conv2d_pairs.h.
 *
 * A tile holds two sums for each pair: first p and m, of the products that go into both elements, then d0 = p + m and
 * d1 = p - m, to which the others are added:
 *
 *     p    x1 + x2, and x1 of each two taps          d0    x0 - x2, and x0 - x1 of each two
 *     m    x2 - x1                                   d1    x3 - x1, and x2 - x1
 *
 *     partial [piece]: cells of a chunk
 */
#ifndef NN_KERNELS_CONV2D_PAIRS_FORWARD_H
#define NN_KERNELS_CONV2D_PAIRS_FORWARD_H

#include "conv2d_pairs.h"

enum { PAIRS = 3 }; /* of a tile, with 12 accumulators */

typedef struct pair_tile {
    const REAL *cells[7];         /* of each product, those of the chunk's first pair */
    int64_t x[PAIRS];             /* each pair's, from there */
    REAL *d0[PAIRS], *d1[PAIRS];
    const REAL *weight, *start;   /* packed panel; start values */
    int64_t taps_h, line, rows;   /* kernel rows, the cells of the next one, channels */
    int64_t last;                 /* columns stored */
} pair_tile;

/* acc += a product of one channel. */
NN_INLINE void add_one_product(vec acc[PAIRS][PAIR_VECS], const int64_t *x, const REAL *cells, const REAL *w) {
    vec wv[PAIR_VECS];
    NN_UNROLL(2) for (int v = 0; v < PAIR_VECS; v++) wv[v] = vload(w + v * VL);
    NN_UNROLL(3) for (int i = 0; i < PAIRS; i++) {
        const vec xv = vset(cells[x[i]]);
        NN_UNROLL(2) for (int v = 0; v < PAIR_VECS; v++) acc[i][v] = vfma(xv, wv[v], acc[i][v]);
    }
}

static NN_NOINLINE void store_columns(REAL *to, vec first, vec second, int64_t count) {
    vstore_some(to, first, nn_min(VL, count));
    vstore_some(to + VL, second, nn_max(0, count - VL));
}

NN_INLINE void pair_sums(const pair_tile *t, int taps) {
    vec a[PAIRS][PAIR_VECS], b[PAIRS][PAIR_VECS];
    NN_UNROLL(3) for (int i = 0; i < PAIRS; i++) {
        NN_UNROLL(2) for (int v = 0; v < PAIR_VECS; v++) a[i][v] = vload(t->start + v * VL), b[i][v] = vset(0);
    }
    const int64_t rows = t->rows;
    const REAL *const *cells = t->cells, *w = t->weight;
    int64_t x[PAIRS];
    for (int64_t h = 0; h < t->taps_h; h++) {
        NN_UNROLL(3) for (int i = 0; i < PAIRS; i++) x[i] = t->x[i] + h * t->line;
        for (int64_t k = 0; k < rows; k++, w += (taps == 5 ? 7 : 4) * PAIR_COLUMNS) {
            add_one_product(a, x, cells[1], w + PAIR_COLUMNS);
            add_one_product(b, x, cells[2], w + 2 * PAIR_COLUMNS);
            if (taps == 5) add_one_product(a, x, cells[5], w + 5 * PAIR_COLUMNS);
            NN_UNROLL(3) for (int i = 0; i < PAIRS; i++) x[i]++;
        }
    }
    NN_UNROLL(3) for (int i = 0; i < PAIRS; i++) {
        NN_UNROLL(2) for (int v = 0; v < PAIR_VECS; v++) {
            const vec p = a[i][v], m = b[i][v];
            a[i][v] = p + m;
            b[i][v] = p - m;
        }
    }
    w = t->weight;
    for (int64_t h = 0; h < t->taps_h; h++) {
        NN_UNROLL(3) for (int i = 0; i < PAIRS; i++) x[i] = t->x[i] + h * t->line;
        for (int64_t k = 0; k < rows; k++, w += (taps == 5 ? 7 : 4) * PAIR_COLUMNS) {
            add_one_product(a, x, cells[0], w);
            add_one_product(b, x, cells[3], w + 3 * PAIR_COLUMNS);
            if (taps == 5) {
                add_one_product(a, x, cells[4], w + 4 * PAIR_COLUMNS);
                add_one_product(b, x, cells[6], w + 6 * PAIR_COLUMNS);
            }
            NN_UNROLL(3) for (int i = 0; i < PAIRS; i++) x[i]++;
        }
    }
    const bool whole = t->last == PAIR_COLUMNS;
    NN_UNROLL(3) for (int i = 0; i < PAIRS; i++) {
        if (whole) {
            NN_UNROLL(2) for (int v = 0; v < PAIR_VECS; v++) {
                vstore(t->d0[i] + v * VL, a[i][v]);
                vstore(t->d1[i] + v * VL, b[i][v]);
            }
        } else {
            store_columns(t->d0[i], a[i][0], a[i][1], t->last);
            store_columns(t->d1[i], b[i][0], b[i][1], t->last);
        }
    }
}

static NN_NOINLINE void pair_sums_3(const pair_tile *t) { pair_sums(t, 3); }
static NN_NOINLINE void pair_sums_5(const pair_tile *t) { pair_sums(t, 5); }

/* All elements of a chunk, for all columns. */
static void sum_chunk(const nn_conv2d_args *c, const pair_cells *cells, const pair_chunk *chunk) {
    const nn_conv_axis *ah = &c->axis[0], *aw = &c->axis[1];
    const int64_t pairs = (aw->count + 1) / 2, columns = c->columns, line = cells_line(c), step = 2 * c->rows;
    const int64_t elements = chunk->images * chunk->rows * pairs;
    REAL nowhere[PAIR_COLUMNS];
    pair_tile t = {.weight = c->packed, .taps_h = ah->taps, .line = line, .rows = c->rows};
    for (int64_t p = 0; p < nn_conv_products(aw->taps); p++)
        t.cells[p] = cells_of_product(cells, p, aw->taps, c->rows);
    for (int64_t column = 0; column < columns; column += PAIR_COLUMNS) {
        REAL start[PAIR_COLUMNS] = {0};
        t.last = nn_min(columns - column, PAIR_COLUMNS);
        for (int64_t j = 0; c->bias && j < t.last; j++) start[j] = ((const REAL *)c->bias)[column + j];
        t.start = start;
        REAL *dest = (REAL *)c->dest + (chunk->n * ah->dest + chunk->row) * aw->dest * columns + column;
        int64_t x = 0, pair = 0, row = 0;
        for (int64_t element = 0; element < elements; element += PAIRS) {
            for (int64_t i = 0; i < PAIRS; i++) {
                t.x[i] = x, t.d0[i] = dest;
                t.d1[i] = 2 * pair + 1 < aw->dest ? dest + columns : nowhere;
                if (element + i + 1 >= elements) continue; /* the last element, as often as the tile is too large */
                x += step, dest += 2 * columns;
                if (++pair < pairs) continue;
                pair = 0, x += line - pairs * step, dest -= aw->dest % 2 * columns;
                if (++row < chunk->rows) continue;
                row = 0, x += (ah->taps - 1) * line, dest += (ah->dest - chunk->rows) * aw->dest * columns;
            }
            if (aw->taps == 5) pair_sums_5(&t);
            else pair_sums_3(&t);
        }
        t.weight += nn_conv_products(aw->taps) * ah->taps * c->rows * PAIR_COLUMNS;
    }
}

/* Pieces begin to end of the batch. */
static void conv_pair_pieces(const nn_conv2d_args *c, int64_t begin, int64_t end) {
    for (int64_t piece = begin; piece < end; piece++) {
        const int64_t n_end = nn_min((piece + 1) * c->piece_images, c->n);
        for (pair_chunk chunk = {.n = piece * c->piece_images}; next_chunk(c, n_end, &chunk);) {
            const pair_cells cells = transform_cells((REAL *)c->partial + piece * c->partial_size, c, &chunk);
            sum_chunk(c, &cells, &chunk);
            const int64_t height = c->axis[0].dest, row = chunk.n * height + chunk.row;
            nn_conv2d_written(c, row, row + (chunk.images - 1) * height + chunk.rows);
        }
    }
}

#endif
