/*
 * prelu.h: arguments of PReLU. The elements are a matrix of `width` columns, the last row perhaps shorter: a column
 * is a channel, or with one weight for all, any number of columns.
 */
#ifndef NN_KERNELS_PRELU_H
#define NN_KERNELS_PRELU_H

#include <stdbool.h>
#include <stdint.h>

typedef struct nn_prelu_args {
    void *y, *dx;         /* written; dx may be NULL */
    double *partial;      /* backward: sums of x dy where x <= 0 over a piece, `width` of them; or NULL */
    const void *x, *dy;
    const void *weight;   /* (width), or one */
    bool one;
    int64_t count, width;
    int64_t rows_a_piece;
} nn_prelu_args;

/* Columns where one weight serves all (what a strip of vectors takes in AVX2); elements a piece, about. */
enum { NN_PRELU_WIDTH = 32, NN_PRELU_PIECE = 4096 };

#endif
