/*
 * conv2d.h: arguments of the kernels of a convolution, forward and backward, and the geometry they share.
 *
 * Forward and backward_data are one computation, a correlation of a source image with packed weights:
 *
 *     forward        source = x,  dest = y,  columns = output channels, rows = input channels
 *     backward_data  source = dy, dest = dx, columns = input channels,  rows = output channels
 *
 * Backward_data with a stride is one correlation per phase: the elements of dx whose positions are equal
 * modulo the stride meet the same taps of the kernel, one apart in dy.
 */
#ifndef NN_KERNELS_CONV2D_H
#define NN_KERNELS_CONV2D_H

#include <stdbool.h>
#include <stdint.h>

#include "kernel.h"

/* One axis of a correlation. Taps outside the source are padding: they take part in nothing. */
typedef struct nn_conv_axis {
    int64_t source, dest;             /* sizes of the two images */
    int64_t count, first, stride;     /* element i of count is dest[first + i * stride] */
    int64_t origin, step, tap_step;   /* its tap t is source[origin + i * step + t * tap_step] */
    int64_t taps, kernel, kernel_step; /* tap t is at kernel + t * kernel_step in the weight */
} nn_conv_axis;

typedef struct nn_conv2d_args {
    void *dest;         /* correlate: (n, h, w, groups * columns); joint gradients: dx or NULL */
    const void *source; /* (n, h, w, groups * rows) */
    const void *weight; /* pack: as PyTorch stores it */
    void *packed;       /* [group][panel of columns][tap][row][column of the panel] */
    const void *bias;   /* (groups * columns) or NULL */
    void *dweight;      /* fold: added to; NULL where not wanted */
    void *dbias;        /* fold: added to; NULL where not wanted */
    const void *dy;     /* backward_weight: (n, h, w, groups * columns) */
    void *partial;      /* backward_weight: per piece sums in packed order, then those of dy */

    nn_kernel_fn *after;    /* correlations: what is done to rows of dest, of all channels, once they are written; or NULL */
    const void *after_args;

    int64_t n, groups, rows, columns;
    int64_t row_stride, column_stride, group_stride, kernel_width; /* of the weight, in elements */
    nn_conv_axis axis[2];                                          /* height, width */

    int64_t images, band, bands;       /* correlate: a piece is `images` images by `band` rows; bands an image */
    int64_t piece_images, partial_size; /* backward_weight: images a piece, elements of its sums; pairs: its buffers */
    bool paired;                        /* ... by pairs, in chunks of `images` by `band` rows */

    /* Winograd: quads of 2x2 elements along each axis, and in a piece, whose buffers are `partial`. There the
       rows and columns of one quad take `stretch` elements, those of a block for one position a `plane`. */
    int64_t quads[2], piece_quads, block_quads; /* block_quads: the weight's gradient */
    int64_t row_stretch, row_plane, column_stretch, column_plane;
} nn_conv2d_args;

/* Winograd: quads transformed at a time, a multiple of the rows of every register tile; products of a quad;
   and the fewest channels on a side. */
enum { NN_WINOGRAD_QUADS = 48, NN_WINOGRAD_POSITIONS = 16, NN_WINOGRAD_CHANNELS = 12 };

/* Rows begin to end of dest, of one image or of many, one below the other, are written. */
static inline void nn_conv2d_written(const nn_conv2d_args *c, int64_t begin, int64_t end) {
    const int64_t row = c->axis[1].dest * c->groups * c->columns;
    if (c->after && begin < end) c->after(c->after_args, begin * row, end * row);
}

/* Along the width alone: products of a pair of elements, and pairs in a chunk, about. */
static inline int64_t nn_conv_products(int64_t taps) { return taps / 2 * 3 + taps % 2; }
enum { NN_CONV_PAIRS = 256 };
/* Images that lie side by side in backward_data by pairs, at most. */
enum { NN_CONV_IMAGES = 16 };

#endif
