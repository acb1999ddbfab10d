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
    bool adaptive;   /* out_h x out_w windows share the input evenly; none is above kernel */
    int index_bytes; /* 1, 2 or 4 */
    bool relu;       /* forward: y is what ReLU makes of the largest; where that is 0 the index names none */
} nn_maxpool2d_args;

/* Bands of stride[0] rows each that the input with its upper padding is cut into. */
static inline int64_t nn_maxpool2d_bands(const nn_maxpool2d_args *a) {
    return (a->padding[0] + a->h + a->stride[0] - 1) / a->stride[0];
}

/* Bytes of the index of a window of `area` elements, 0 if it is too large for any. */
static inline int nn_maxpool2d_index_bytes(int64_t area) {
    return area <= 255 ? 1 : area <= 65535 ? 2 : area <= INT32_MAX ? 4 : 0;
}

/* What the index of a window says where none of its elements is to have a gradient. */
static inline int64_t nn_maxpool2d_none(const nn_maxpool2d_args *a) { return a->kernel[0] * a->kernel[1]; }

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

/* Where window i of `count` begins that share `size` cells evenly, and with i + 1 where it ends, rounded up. */
static inline int64_t nn_share_begin(int64_t i, int64_t size, int64_t count) { return i * size / count; }
static inline int64_t nn_share_end(int64_t i, int64_t size, int64_t count) {
    return ((i + 1) * size + count - 1) / count;
}

/* Where window i begins along an axis, and its part inside the input. */
static inline int64_t nn_window_start(const nn_maxpool2d_args *a, int axis, int64_t i) {
    if (a->adaptive) return axis ? nn_share_begin(i, a->w, a->out_w) : nn_share_begin(i, a->h, a->out_h);
    return i * a->stride[axis] - a->padding[axis];
}
static inline nn_taps nn_window_taps(const nn_maxpool2d_args *a, int axis, int64_t i, int64_t start) {
    const int64_t size = axis ? a->w : a->h;
    if (a->adaptive) return (nn_taps){0, nn_share_end(i, size, axis ? a->out_w : a->out_h) - start};
    return nn_taps_inside(start, a->kernel[axis], a->dilation[axis], size);
}

/* Windows `first` to `end` of a row: only they lie inside the input's columns. */
typedef struct nn_range {
    int64_t first, end;
} nn_range;

static inline nn_range nn_windows_inside(const nn_maxpool2d_args *a) {
    if (a->adaptive) return (nn_range){0, 0}; /* each is a case of its own */
    const int64_t stride = a->stride[1], padding = a->padding[1];
    const int64_t room = a->w - 1 - a->dilation[1] * (a->kernel[1] - 1) + padding; /* where the last one starts */
    int64_t first = (padding + stride - 1) / stride, end = room < 0 ? 0 : room / stride + 1;
    if (first > a->out_w) first = a->out_w;
    if (end > a->out_w) end = a->out_w;
    return (nn_range){first, end < first ? first : end};
}

#endif
