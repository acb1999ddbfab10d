/*
 * conv2d_correlate: dest (n, h, w, columns) = bias + source (n, h, w, rows) * weight, the sums of Conv2d
 * forward and of its backward_data. begin and end count pieces.
 *
 * Channels lie side by side, so the source elements under one kernel row of undilated taps are consecutive: a
 * tile is a few matrix products accumulated in the same registers, dest elements by columns. Each element is
 * one chain of vfma over (kernel row, kernel column, channel) from its bias.
 */
#include "template.h"

#include "conv2d_blocks.h"
#include "conv2d_plane.h"

NN_INLINE void correlate(const conv_tile *t, int rows, int vecs) {
    vec acc[CONV_MAX_ROWS][CONV_MAX_VECS];
    const int64_t source_row = t->source_row, length = t->length;
    NN_UNROLL(12) for (int i = 0; i < rows; i++) {
        NN_UNROLL(3) for (int v = 0; v < vecs; v++) acc[i][v] = vload(t->start + v * VL);
    }
    for (int64_t tap = 0; tap < t->taps; tap++) {
        const REAL *w = t->weight + tap * t->weight_tap;
        for (int64_t segment = 0; segment < t->segments; segment++) {
            const REAL *x = t->source + tap * t->source_tap + segment * t->source_segment;
            for (int64_t k = 0; k < length; k++, x++, w += vecs * VL) {
                vec wv[CONV_MAX_VECS];
                NN_UNROLL(3) for (int v = 0; v < vecs; v++) wv[v] = vload(w + v * VL);
                NN_UNROLL(12) for (int i = 0; i < rows; i++) {
                    const vec xv = vset(x[i * source_row]);
                    NN_UNROLL(3) for (int v = 0; v < vecs; v++) acc[i][v] = vfma(xv, wv[v], acc[i][v]);
                }
            }
        }
    }
    const int64_t dest_row = t->dest_row, last = t->last;
    REAL *dest = t->dest;
    NN_UNROLL(12) for (int i = 0; i < rows; i++, dest += dest_row) {
        NN_UNROLL(3) for (int v = 0; v < vecs - 1; v++) vstore(dest + v * VL, acc[i][v]);
        if (last == VL) vstore(dest + (vecs - 1) * VL, acc[i][vecs - 1]);
        else vstore_some(dest + (vecs - 1) * VL, acc[i][vecs - 1], last);
    }
}

CONV_TILES(correlate, conv_tile)

static void rectangle(const nn_conv2d_args *c, int64_t n_begin, int64_t n_end, const conv_run *h,
                      const conv_run *w) {
    if (conv_is_plane(c, w)) conv_plane_rectangle(c, n_begin, n_end, h, w);
    else conv_rectangle(c, correlate_table, false, n_begin, n_end, h, w);
}

NN_DEFINE_KERNEL(conv2d_correlate) { conv_pieces(args, rectangle, begin, end); }
