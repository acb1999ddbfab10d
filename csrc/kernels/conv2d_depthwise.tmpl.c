/*
 * conv2d_depthwise: a convolution of each channel on its own, forward and backward_data. begin and end count
 * pieces.
 *
 * The walk is that of conv2d_correlate; a tile is elements by channels, and both factors are vectors of
 * channels.
 */
#include "template.h"

#include "conv2d_blocks.h"

NN_INLINE void store_tile(const conv_tile *t, vec acc[CONV_MAX_ROWS][CONV_MAX_VECS], int rows, int vecs) {
    const int64_t dest_row = t->dest_row, last = t->last;
    REAL *dest = t->dest;
    NN_UNROLL(12) for (int i = 0; i < rows; i++, dest += dest_row) {
        NN_UNROLL(3) for (int v = 0; v < vecs - 1; v++) vstore(dest + v * VL, acc[i][v]);
        store_lanes(dest + (vecs - 1) * VL, acc[i][vecs - 1], last);
    }
}

/* Three taps as far apart as the rows: a cell is loaded once for the three elements that it is under. */
NN_INLINE void depthwise_sliding(const conv_tile *t, int rows, int vecs, int64_t last) {
    vec acc[CONV_MAX_ROWS][CONV_MAX_VECS];
    const int64_t source_row = t->source_row, source_tap = t->source_tap, weight_tap = t->weight_tap, taps = t->taps;
    NN_UNROLL(3) for (int v = 0; v < vecs; v++) {
        const int64_t lanes = v < vecs - 1 ? VL : last;
        const REAL *w = t->weight + v * VL, *line = t->source + v * VL;
        const vec start = vload(t->start + v * VL);
        NN_UNROLL(12) for (int i = 0; i < rows; i++) acc[i][v] = start;
        for (int64_t tap = 0; tap < taps; tap++, w += weight_tap, line += source_tap) {
            const vec w0 = vload(w), w1 = vload(w + vecs * VL), w2 = vload(w + 2 * vecs * VL);
            const REAL *x = line;
            NN_UNROLL(14) for (int i = 0; i < rows + 2; i++, x += source_row) {
                const vec xv = load_lanes(x, lanes);
                if (i < rows) acc[i][v] = vfma(xv, w0, acc[i][v]);
                if (i >= 1 && i < rows + 1) acc[i - 1][v] = vfma(xv, w1, acc[i - 1][v]);
                if (i >= 2) acc[i - 2][v] = vfma(xv, w2, acc[i - 2][v]);
            }
        }
    }
    store_tile(t, acc, rows, vecs);
}

NN_INLINE void depthwise(const conv_tile *t, int rows, int vecs) {
    if (rows * vecs > 4 && t->segments == 3 && t->source_segment == t->source_row) {
        /* Whole vectors have code of their own where most of the time is spent: in the largest tiles. */
        if (rows * vecs >= 10 && t->last == VL) depthwise_sliding(t, rows, vecs, VL);
        else depthwise_sliding(t, rows, vecs, t->last);
        return;
    }
    vec acc[CONV_MAX_ROWS][CONV_MAX_VECS];
    NN_UNROLL(12) for (int i = 0; i < rows; i++) {
        NN_UNROLL(3) for (int v = 0; v < vecs; v++) acc[i][v] = vload(t->start + v * VL);
    }
    const bool whole = t->last == VL;
    for (int64_t tap = 0; tap < t->taps; tap++) {
        const REAL *w = t->weight + tap * t->weight_tap;
        const REAL *x = t->source + tap * t->source_tap;
        for (int64_t segment = 0; segment < t->segments; segment++, x += t->source_segment, w += vecs * VL) {
            vec wv[CONV_MAX_VECS];
            NN_UNROLL(3) for (int v = 0; v < vecs; v++) wv[v] = vload(w + v * VL);
            NN_UNROLL(12) for (int i = 0; i < rows; i++) {
                const REAL *xi = x + i * t->source_row;
                NN_UNROLL(3) for (int v = 0; v < vecs; v++) {
                    const bool full = v < vecs - 1 || whole;
                    const vec xv = full ? vload(xi + v * VL) : vload_some(xi + v * VL, t->last);
                    acc[i][v] = vfma(xv, wv[v], acc[i][v]);
                }
            }
        }
    }
    store_tile(t, acc, rows, vecs);
}

CONV_TILES(depthwise, conv_tile)

static void rectangle(const nn_conv2d_args *c, int64_t n_begin, int64_t n_end, const conv_run *h,
                      const conv_run *w) {
    conv_rectangle(c, depthwise_table, true, n_begin, n_end, h, w);
}

NN_DEFINE_KERNEL(conv2d_depthwise) { conv_pieces(args, rectangle, begin, end); }
