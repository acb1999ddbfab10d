/*
 * avgpool2d.h: arguments of average pooling, forward and backward. Images are channels-last.
 */
#ifndef NN_KERNELS_AVGPOOL2D_H
#define NN_KERNELS_AVGPOOL2D_H

#include <stdbool.h>
#include <stdint.h>

/* A window along one axis: where it begins in the input (or in the padding before it), its cells, and how many count. */
typedef struct nn_extent {
    int64_t first, end; /* cells inside the input */
    int64_t counted;
} nn_extent;

typedef struct nn_avgpool2d_args {
    void *y;       /* (n, out_h, out_w, c) forward */
    const void *x; /* (n, h, w, c) forward */

    void *dx;       /* (n, h, w, c) backward */
    const void *dy; /* like y */

    int64_t n, c, h, w, out_h, out_w;
    int64_t kernel[2], stride[2], padding[2]; /* height, width */
    bool adaptive; /* out_h x out_w windows share the input evenly, and their own cells divide them */
    bool count_include_pad;
    int64_t divisor; /* of all windows; 0: each by its number of cells */
    const nn_extent *windows[2]; /* backward: (out_h), (out_w), in ascending order */
} nn_avgpool2d_args;

static inline nn_extent nn_extent_of(const nn_avgpool2d_args *a, int axis, int64_t window, int64_t size) {
    if (a->adaptive) {
        const int64_t windows = axis ? a->out_w : a->out_h;
        const int64_t begin = window * size / windows, stop = ((window + 1) * size + windows - 1) / windows;
        return (nn_extent){begin, stop, stop - begin};
    }
    const int64_t start = window * a->stride[axis] - a->padding[axis], end = start + a->kernel[axis];
    const int64_t padded = size + a->padding[axis];
    nn_extent e = {start < 0 ? 0 : start, end < size ? end : size, 0};
    e.counted = a->count_include_pad ? (end < padded ? end : padded) - start : e.end - e.first;
    return e;
}

#endif
