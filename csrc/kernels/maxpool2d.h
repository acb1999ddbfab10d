/*
 * maxpool2d.h: arguments of max pooling, forward and backward. Images are channels-last.
 */
#ifndef NN_KERNELS_MAXPOOL2D_H
#define NN_KERNELS_MAXPOOL2D_H

#include <stdbool.h>
#include <stdint.h>

typedef struct nn_maxpool2d_args {
    void *y;       /* (n, out_h, out_w, c) forward */
    void *index;   /* like y: position of each winner in its window; forward: NULL where not wanted */
    const void *x; /* (n, h, w, c) forward */

    void *dx;       /* (n, h, w, c) backward */
    const void *dy; /* like y */

    int64_t n, c, h, w, out_h, out_w;
    int64_t kernel[2], stride[2], padding[2], dilation[2]; /* height, width */
    int index_bytes;                                       /* 1, 2 or 4 */
} nn_maxpool2d_args;

/* Bands of stride[0] rows each that the input with its upper padding is cut into. */
static inline int64_t nn_maxpool2d_bands(const nn_maxpool2d_args *a) {
    return (a->padding[0] + a->h + a->stride[0] - 1) / a->stride[0];
}

/* Bytes of the index of a window of `area` elements, 0 if it is too large for any. */
static inline int nn_maxpool2d_index_bytes(int64_t area) {
    return area <= 255 ? 1 : area <= 65535 ? 2 : area <= INT32_MAX ? 4 : 0;
}

/* Part of a window that lies inside the input, along one axis: `count` taps from tap `first` on. */
typedef struct nn_taps {
    int64_t first, count;
} nn_taps;

/* Of the window that starts at `start`; there is always one tap inside (the plan has made sure). */
static inline nn_taps nn_taps_inside(int64_t start, int64_t kernel, int64_t dilation, int64_t size) {
    int64_t first = 0, last = kernel - 1;
    if (start < 0) first = dilation == 1 ? -start : (-start + dilation - 1) / dilation;
    if (start + last * dilation >= size) {
        last = size - 1 - start;
        if (dilation != 1) last /= dilation;
    }
    return (nn_taps){first, last - first + 1};
}

/* Windows `first` to `end` of a row: only they lie inside the input's columns. */
typedef struct nn_range {
    int64_t first, end;
} nn_range;

static inline nn_range nn_windows_inside(const nn_maxpool2d_args *a) {
    const int64_t stride = a->stride[1], padding = a->padding[1];
    const int64_t room = a->w - 1 - a->dilation[1] * (a->kernel[1] - 1) + padding; /* where the last one starts */
    int64_t first = (padding + stride - 1) / stride, end = room < 0 ? 0 : room / stride + 1;
    if (first > a->out_w) first = a->out_w;
    if (end > a->out_w) end = a->out_w;
    return (nn_range){first, end < first ? first : end};
}

#endif
