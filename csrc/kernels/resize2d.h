/*
 * resize2d.h: arguments of resizing, forward and backward. Images are channels-last.
 */
#ifndef NN_KERNELS_RESIZE2D_H
#define NN_KERNELS_RESIZE2D_H

#include <stdint.h>

/* Along an axis: the cells of x that an element of y is made of, and how much of each. */
typedef struct nn_resize_tap {
    int64_t at[2];
    double weight[2];
} nn_resize_tap;

typedef struct nn_resize2d_args {
    void *y;       /* (n, out_h, out_w, c) forward */
    const void *x; /* (n, h, w, c) forward */

    void *dx;       /* (n, h, w, c) backward */
    const void *dy; /* like y */

    int64_t n, c, h, w, out_h, out_w;
    int taps;                           /* 1: the first cell, copied; 2: both, weighted */
    const nn_resize_tap *down, *across; /* (out_h), (out_w); cells in ascending order */
} nn_resize2d_args;

#endif
