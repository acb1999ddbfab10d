/*
 * layer_norm.h: arguments of normalisation by rows (LayerNorm, RMSNorm). x (rows, size).
 */
#ifndef NN_KERNELS_LAYER_NORM_H
#define NN_KERNELS_LAYER_NORM_H

#include <stdbool.h>
#include <stdint.h>

typedef struct nn_layer_norm_args {
    void *y;            /* forward: written */
    void *saved;        /* forward: written, NULL where not wanted; backward: read. (3, rows): mean, inverse, offset */
    void *dx;           /* backward: written; NULL where not wanted */
    void *partial;      /* backward: for each piece sums of dy xhat, then of dy, (2, size); NULL where not wanted */
    const void *x, *dy; /* (rows, size) */
    const void *weight, *bias; /* (size), each may be NULL */
    int64_t rows, size, rows_a_piece;
    double eps;
    bool centred; /* LayerNorm; else the mean is taken to be 0 */
} nn_layer_norm_args;

#endif
