/*
 * transpose.h: arguments of the transpose of n matrices.
 */
#ifndef NN_KERNELS_TRANSPOSE_H
#define NN_KERNELS_TRANSPOSE_H

#include <stdint.h>

typedef struct nn_transpose_args {
    void *dst;       /* (n, cols, rows) */
    const void *src; /* (n, rows, cols) */
    int64_t n, rows, cols;
} nn_transpose_args;

/* A matrix is cut into blocks of this many rows and columns: two of them stay in the first-level cache. */
enum { NN_TRANSPOSE_BLOCK = 64 };

/* Blocks along an axis; the last one takes what is left over, so that no block is narrower than a vector. */
static inline int64_t nn_transpose_blocks(int64_t size) {
    return size < NN_TRANSPOSE_BLOCK ? 1 : size / NN_TRANSPOSE_BLOCK;
}

#endif
