/*
 * conv2d_pairs_forward: what conv2d_correlate computes, by pairs of elements of y along the width, see conv2d_pairs.h.
 * begin and end count pieces of piece_images images.
 *
 * A tile holds two sums for each pair: first p and m, of the products that go into both elements, then d0 = p + m and
 * d1 = p - m, to which the others are added:
 *
 *     p    x1 + x2, and x1 of each two taps          d0    x0 - x2, and x0 - x1 of each two
 *     m    x2 - x1                                   d1    x3 - x1, and x2 - x1
 *
 *     partial [piece]: scratch, cells of a chunk
 */
#include "template.h"

#if NN_BITS == 32 /* never chosen for float64, see nn_conv2d_is_paired */
#include "conv2d_pairs.h"

enum { MOST_PAIRS = 6 };

typedef struct pair_tile {
    const REAL *x[MOST_PAIRS];         /* the first cell of each pair */
    REAL *d0[MOST_PAIRS], *d1[MOST_PAIRS];
    const REAL *weight, *start;        /* packed panel; vecs * VL start values */
    int64_t plane, taps_h, line, rows; /* of the cells: from product to product; kernel rows, the next one; channels */
    int64_t last;                      /* columns stored of the last vector */
} pair_tile;

/* acc += the products `product` of one channel. */
NN_INLINE void add_product(vec acc[MOST_PAIRS][CONV_MAX_VECS], const REAL *const x[MOST_PAIRS], int64_t product,
                           const REAL *w, int pairs, int vecs) {
    vec wv[CONV_MAX_VECS];
    NN_UNROLL(3) for (int v = 0; v < vecs; v++) wv[v] = vload(w + v * VL);
    NN_UNROLL(6) for (int i = 0; i < pairs; i++) {
        const vec xv = vset(x[i][product]);
        NN_UNROLL(3) for (int v = 0; v < vecs; v++) acc[i][v] = vfma(xv, wv[v], acc[i][v]);
    }
}

NN_INLINE void pair_sums(const pair_tile *t, int taps, int pairs, int vecs) {
    vec a[MOST_PAIRS][CONV_MAX_VECS], b[MOST_PAIRS][CONV_MAX_VECS];
    const int64_t plane = t->plane, rows = t->rows, step = vecs * VL;
    const REAL *w = t->weight, *x[MOST_PAIRS];
    NN_UNROLL(6) for (int i = 0; i < pairs; i++) {
        NN_UNROLL(3) for (int v = 0; v < vecs; v++) a[i][v] = vload(t->start + v * VL), b[i][v] = vset(0);
    }
    for (int64_t h = 0; h < t->taps_h; h++) {
        NN_UNROLL(6) for (int i = 0; i < pairs; i++) x[i] = t->x[i] + h * t->line;
        for (int64_t k = 0; k < rows; k++) {
            add_product(a, x, plane, w, pairs, vecs);
            add_product(b, x, 2 * plane, w + step, pairs, vecs);
            if (taps == 5) add_product(a, x, 5 * plane, w + 2 * step, pairs, vecs);
            w += taps == 5 ? 3 * step : 2 * step;
            NN_UNROLL(6) for (int i = 0; i < pairs; i++) x[i]++;
        }
    }
    NN_UNROLL(6) for (int i = 0; i < pairs; i++) {
        NN_UNROLL(3) for (int v = 0; v < vecs; v++) {
            const vec p = a[i][v], m = b[i][v];
            a[i][v] = p + m;
            b[i][v] = p - m;
        }
    }
    for (int64_t h = 0; h < t->taps_h; h++) {
        NN_UNROLL(6) for (int i = 0; i < pairs; i++) x[i] = t->x[i] + h * t->line;
        for (int64_t k = 0; k < rows; k++) {
            add_product(a, x, 0, w, pairs, vecs);
            add_product(b, x, 3 * plane, w + step, pairs, vecs);
            if (taps == 5) {
                add_product(a, x, 4 * plane, w + 2 * step, pairs, vecs);
                add_product(b, x, 6 * plane, w + 3 * step, pairs, vecs);
            }
            w += taps == 5 ? 4 * step : 2 * step;
            NN_UNROLL(6) for (int i = 0; i < pairs; i++) x[i]++;
        }
    }
    const int64_t last = t->last;
    NN_UNROLL(6) for (int i = 0; i < pairs; i++) {
        NN_UNROLL(3) for (int v = 0; v < vecs - 1; v++) {
            vstore(t->d0[i] + v * VL, a[i][v]);
            vstore(t->d1[i] + v * VL, b[i][v]);
        }
        store_lanes(t->d0[i] + (vecs - 1) * VL, a[i][vecs - 1], last);
        store_lanes(t->d1[i] + (vecs - 1) * VL, b[i][vecs - 1], last);
    }
}

typedef void pair_sums_fn(const pair_tile *);

#define PAIR_SUMS(taps, pairs, vecs) \
    static void pair_sums_##taps##_##vecs(const pair_tile *t) { pair_sums(t, taps, pairs, vecs); }
PAIR_SUMS(3, 6, 1) PAIR_SUMS(3, 3, 2) PAIR_SUMS(3, 2, 3)
PAIR_SUMS(5, 6, 1) PAIR_SUMS(5, 3, 2) PAIR_SUMS(5, 2, 3)

static pair_sums_fn *const pair_sums_table[2][CONV_MAX_VECS + 1] = {
    {0, pair_sums_3_1, pair_sums_3_2, pair_sums_3_3},
    {0, pair_sums_5_1, pair_sums_5_2, pair_sums_5_3},
};

/* All elements of a chunk, for all columns. */
static void sum_chunk(const nn_conv2d_args *c, const REAL *cells, int64_t plane, const pair_chunk *chunk) {
    const nn_conv_axis *ah = &c->axis[0], *aw = &c->axis[1];
    const int64_t pairs = (aw->count + 1) / 2, columns = c->columns, line = pairs * c->rows;
    const int64_t elements = chunk->images * chunk->rows * pairs;
    REAL nowhere[CONV_MAX_VECS * VL];
    pair_tile t = {.weight = c->packed, .plane = plane, .taps_h = ah->taps, .line = line, .rows = c->rows};
    int vecs;
    for (int64_t column = 0; column < columns; column += vecs * VL) {
        vecs = conv_panel_vecs(columns - column);
        REAL start[CONV_MAX_VECS * VL] = {0};
        const int64_t width = nn_min(columns - column, vecs * VL), rows = conv_tile_rows(vecs) / 2;
        for (int64_t j = 0; c->bias && j < width; j++) start[j] = ((const REAL *)c->bias)[column + j];
        t.start = start;
        t.last = width - (vecs - 1) * VL;
        REAL *dest = (REAL *)c->dest + (chunk->n * ah->dest + chunk->row) * aw->dest * columns + column;
        const REAL *x = cells;
        int64_t pair = 0, row = 0;
        for (int64_t element = 0; element < elements; element += rows) {
            for (int64_t i = 0; i < rows; i++) {
                t.x[i] = x, t.d0[i] = dest;
                t.d1[i] = 2 * pair + 1 < aw->dest ? dest + columns : nowhere;
                if (element + i + 1 >= elements) continue; /* the last element, as often as the tile is too large */
                x += c->rows, dest += 2 * columns;
                if (++pair < pairs) continue;
                pair = 0, dest -= aw->dest % 2 * columns;
                if (++row < chunk->rows) continue;
                row = 0, x += (ah->taps - 1) * line, dest += (ah->dest - chunk->rows) * aw->dest * columns;
            }
            pair_sums_table[aw->taps == 5][vecs](&t);
        }
        t.weight += nn_conv_products(aw->taps) * ah->taps * c->rows * vecs * VL;
    }
}

NN_DEFINE_KERNEL(conv2d_pairs_forward) {
    const nn_conv2d_args *c = args;
    const nn_conv_axis *ah = &c->axis[0], *aw = &c->axis[1];
    const int64_t count = (aw->count + 1) / 2, half = count + aw->taps / 2 + 1 + VL;
    const int64_t scratch = c->rows == 1 ? 2 * half * (c->band + ah->taps - 1) : (aw->taps + 1) * VL;
    const int64_t plane = c->images * (c->band + ah->taps - 1) * count * c->rows + VL;
    for (int64_t piece = begin; piece < end; piece++) {
        REAL *halves = (REAL *)c->partial + piece * c->partial_size, *cells = halves + scratch;
        for (REAL *at = halves; at < cells; at++) *at = 0;
        const int64_t n_end = nn_min((piece + 1) * c->piece_images, c->n);
        pair_chunk chunk;
        for (chunk.n = piece * c->piece_images; chunk.n < n_end; chunk.n += chunk.images) {
            chunk.images = nn_min(c->images, n_end - chunk.n);
            for (chunk.row = 0; chunk.row < ah->count; chunk.row += chunk.rows) {
                chunk.rows = nn_min(c->band, ah->count - chunk.row);
                transform_cells(cells, plane, c, halves, half, &chunk);
                sum_chunk(c, cells, plane, &chunk);
            }
        }
    }
}

#else
NN_DEFINE_KERNEL(conv2d_pairs_forward) { (void)args, (void)begin, (void)end; }
#endif
