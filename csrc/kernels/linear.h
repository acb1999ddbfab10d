/*
 * linear.h: arguments of the three products of a fully connected layer.
 */
#ifndef NN_KERNELS_LINEAR_H
#define NN_KERNELS_LINEAR_H

#include <stdint.h>

typedef struct nn_linear_args {
    void *y;            /* (n, out) forward */
    void *dx;           /* (n, in)  backward_data */
    void *dweight;      /* (out, in) backward_weight: added to; NULL where not wanted */
    void *dbias;        /* (out)     backward_weight: added to; NULL where not wanted */
    const void *x;      /* (n, in) */
    const void *weight; /* (out, in) */
    const void *bias;   /* (out) or NULL */
    const void *dy;     /* (n, out) */
    int64_t n, in, out;
} nn_linear_args;

/* Forward and backward_data: columns of y or dx a piece; backward_weight: rows of dweight a piece. */
enum { NN_LINEAR_PIECE = 96 };

#endif
