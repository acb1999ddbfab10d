/*
 * linear.h: arguments of the three products of a fully connected layer, and what the operation that chooses
 * among their kernels must know of them.
 */
#ifndef NN_KERNELS_LINEAR_H
#define NN_KERNELS_LINEAR_H

#include <stdbool.h>
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
    void *packed;       /* x^T in panels (forward_swapped): written by pack_input */
    int64_t n, in, out;
    bool overwrite;     /* backward_weight: write dweight and dbias, as if they had been zero */
    void *descent;      /* backward_weight that overwrites: (out, in) -= rate dweight, which is written nowhere; or NULL */
    double rate;
} nn_linear_args;

enum { /* powers of two, as layers have: shared out evenly */
    NN_LINEAR_PIECE = 64,        /* columns of y, of dx a piece: a multiple of every tile's width */
    NN_LINEAR_FEW_PIECE = 960,   /* columns of dx a piece where there are one or two samples: weights stream past */
    NN_LINEAR_WEIGHT_PIECE = 64, /* rows of dweight a piece, at most */
    NN_LINEAR_DEPTH = 1024,      /* bytes of samples that dweight sums at a time; with descent there are no more */
    NN_LINEAR_PACK_PIECE = 32,   /* rows of x a piece of packing: a multiple of every panel's width */
};

#endif
