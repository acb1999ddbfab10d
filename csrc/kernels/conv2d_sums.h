/*
 * conv2d_sums.h: one register tile of sums over elements, what the weight's gradients are made of.
 */
#ifndef NN_KERNELS_CONV2D_SUMS_H
#define NN_KERNELS_CONV2D_SUMS_H

#include "conv2d_panels.h"

/* sum (rows, vecs * VL) += over all elements: x (rows) times dy (vecs * VL). */
typedef struct conv_sum_tile {
    REAL *sum;
    const REAL *x;
    int64_t x_row; /* from row to row of the tile */
    const REAL *dy;
    int64_t count[3], x_step[3], dy_step[3]; /* elements: outer, middle, inner */
    int64_t last;                            /* columns of the last vector, 1 to VL */
    int64_t other;                           /* sums_half, sums_wide: what is so far off is added to dy, or subtracted */
    int64_t panel;                           /* sums_wide: from the sums of two vectors to those of the next two */
    const char *next;                        /* sums_apart: what comes into the cache meanwhile, */
    int64_t next_step;                       /* so many bytes with each element */
} conv_sum_tile;

typedef void conv_sum_tile_fn(const conv_sum_tile *);
typedef conv_sum_tile_fn *const conv_sum_table[CONV_MAX_VECS + 1][CONV_MAX_ROWS + 1];

#endif
