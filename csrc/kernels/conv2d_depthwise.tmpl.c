/*
 * conv2d_depthwise: a convolution of each channel on its own, forward and backward_data. begin and end count
 * pieces.
 *
 * The walk is that of conv2d_correlate; a tile is elements by channels, and both factors are vectors of
 * channels.
 */
#include "template.h"

#include "conv2d_blocks.h"

NN_INLINE void depthwise(const conv_tile *t, int rows, int vecs) {
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
    NN_UNROLL(12) for (int i = 0; i < rows; i++) {
        REAL *dest = t->dest + i * t->dest_row;
        NN_UNROLL(3) for (int v = 0; v < vecs - 1; v++) vstore(dest + v * VL, acc[i][v]);
        if (whole) vstore(dest + (vecs - 1) * VL, acc[i][vecs - 1]);
        else vstore_some(dest + (vecs - 1) * VL, acc[i][vecs - 1], t->last);
    }
}

CONV_TILES(depthwise, conv_tile)

static void rectangle(const nn_conv2d_args *c, int64_t n_begin, int64_t n_end, const conv_run *h,
                      const conv_run *w) {
    conv_rectangle(c, depthwise_table, true, n_begin, n_end, h, w);
}

NN_DEFINE_KERNEL(conv2d_depthwise) { conv_pieces(args, rectangle, begin, end); }
