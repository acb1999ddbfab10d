/*
 * conv2d_depthwise_weight: the sums of conv2d_backward_weight where each channel is convolved on its own.
 * begin and end count pieces.
 *
 * A tile is taps of a kernel row by channels: both factors are vectors of channels.
 */
#include "template.h"

#include "conv2d_weight.h"

NN_INLINE void depthwise_sums(const conv_sum_tile *t, int rows, int vecs) {
    vec acc[CONV_MAX_ROWS][CONV_MAX_VECS];
    const bool whole = t->last == VL;
    NN_UNROLL(12) for (int i = 0; i < rows; i++) {
        NN_UNROLL(3) for (int v = 0; v < vecs; v++) acc[i][v] = vload(t->sum + (i * vecs + v) * VL);
    }
    for (int64_t outer = 0; outer < t->count[0]; outer++) {
        for (int64_t middle = 0; middle < t->count[1]; middle++) {
            const REAL *x = t->x + outer * t->x_step[0] + middle * t->x_step[1];
            const REAL *dy = t->dy + outer * t->dy_step[0] + middle * t->dy_step[1];
            for (int64_t k = 0; k < t->count[2]; k++, x += t->x_step[2], dy += t->dy_step[2]) {
                vec dv[CONV_MAX_VECS];
                NN_UNROLL(3) for (int v = 0; v < vecs; v++) dv[v] = vload(dy + v * VL);
                NN_UNROLL(12) for (int i = 0; i < rows; i++) {
                    const REAL *xi = x + i * t->x_row;
                    NN_UNROLL(3) for (int v = 0; v < vecs; v++) {
                        const bool full = v < vecs - 1 || whole;
                        const vec xv = full ? vload(xi + v * VL) : vload_some(xi + v * VL, t->last);
                        acc[i][v] = vfma(xv, dv[v], acc[i][v]);
                    }
                }
            }
        }
    }
    NN_UNROLL(12) for (int i = 0; i < rows; i++) {
        NN_UNROLL(3) for (int v = 0; v < vecs; v++) vstore(t->sum + (i * vecs + v) * VL, acc[i][v]);
    }
}

CONV_TILES(depthwise_sums, conv_sum_tile)

NN_DEFINE_KERNEL(conv2d_depthwise_weight) { conv_sum_pieces(args, depthwise_sums_table, true, begin, end); }
