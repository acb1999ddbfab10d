/*
 * conv2d_blocks.h: from an image to register tiles.
 *
 * A correlation walks over rectangles of elements that all meet the same taps, so that padding is absent, not
 * multiplied by zero: the middle of the image is one large rectangle, the borders are narrow ones, a corner is
 * one element. The rows of a tile are elements of one rectangle a constant distance apart: along the width,
 * the height, or through the images of the piece, whichever fills tiles best.
 */
#ifndef NN_KERNELS_CONV2D_BLOCKS_H
#define NN_KERNELS_CONV2D_BLOCKS_H

#include "conv2d_panels.h"

/* One tile: rows elements of dest by up to 3 vectors of columns. */
typedef struct conv_tile {
    REAL *dest;
    int64_t dest_row; /* from element to element */
    const REAL *source;
    int64_t source_row;
    const REAL *weight; /* packed panel, at the first tap */
    const REAL *start;  /* vecs * VL start values */
    int64_t taps, source_tap, weight_tap;       /* kernel rows */
    int64_t segments, source_segment, length;   /* in each: runs of `length` consecutive source elements */
    int64_t last;                               /* columns stored of the last vector, 1 to VL */
} conv_tile;

typedef void conv_tile_fn(const conv_tile *);

typedef conv_tile_fn *const conv_tile_table[CONV_MAX_VECS + 1][CONV_MAX_ROWS + 1];

/* A direction of a rectangle: elements, and the distance of one from the next. */
typedef struct conv_direction {
    int64_t count, source, dest;
} conv_direction;

/* Cost per element of tiles along a direction: what a tile lacks in accumulators it pays in latency. */
static inline int64_t conv_cost(int64_t count, int64_t most, int64_t total) {
    const conv_cut cut = conv_cut_evenly(count, most);
    const int64_t least = (2 * most + 2) / 3;
    return (cut.longer * nn_max(cut.rows + 1, least) + (cut.tiles - cut.longer) * nn_max(cut.rows, least)) *
           (total / count);
}

/* The direction of the tiles, moved to [2]; the others keep their order: outer [0], middle [1]. */
static inline void conv_choose_direction(conv_direction d[3], int vecs) {
    const int64_t most = conv_tile_rows(vecs), total = d[0].count * d[1].count * d[2].count;
    int best = 2;
    for (int i = 1; i >= 0; i--)
        if (conv_cost(d[i].count, most, total) < conv_cost(d[best].count, most, total)) best = i;
    const conv_direction chosen = d[best];
    for (int i = best; i < 2; i++) d[i] = d[i + 1];
    d[2] = chosen;
}

enum { CONV_LINES = 8 };

/* Lines begin to end of a rectangle, for all columns of all groups. */
NN_INLINE void conv_lines(const nn_conv2d_args *c, conv_tile_table table, bool depthwise, conv_tile t,
                          const conv_direction d[3], const conv_run *h, const conv_run *w, const REAL *source,
                          REAL *dest, int64_t begin, int64_t end) {
    const int64_t taps_h = c->axis[0].taps, taps_w = c->axis[1].taps;
    const REAL *panel = c->packed;
    for (int64_t group = 0; group < c->groups; group++) {
        int vecs;
        for (int64_t column = 0; column < c->columns; column += vecs * VL) {
            vecs = conv_panel_vecs(c->columns - column);
            const int64_t columns = nn_min(c->columns - column, vecs * VL);
            const int64_t at = group * c->columns + column;
            REAL start[CONV_MAX_VECS * VL] = {0};
            if (c->bias) memcpy(start, (const REAL *)c->bias + at, (size_t)columns * sizeof(REAL));
            t.start = start;
            t.last = columns - (vecs - 1) * VL;
            t.weight_tap = taps_w * c->rows * vecs * VL;
            t.weight = panel + h->tap_begin * t.weight_tap + w->tap_begin * c->rows * vecs * VL;
            panel += taps_h * t.weight_tap;
            const conv_cut cut = conv_cut_evenly(d[2].count, conv_tile_rows(vecs));
            for (int64_t line = begin; line < end; line++) {
                t.source = source + line * d[1].source + (depthwise ? column : group * c->rows);
                t.dest = dest + line * d[1].dest + at;
                for (int64_t i = 0; i < cut.tiles; i++) {
                    const int64_t rows = cut.rows + (i < cut.longer);
                    table[vecs][rows](&t);
                    t.source += rows * t.source_row;
                    t.dest += rows * t.dest_row;
                }
            }
        }
    }
}

/*
 * Images n_begin to n_end, the rectangle h by w. `depthwise`: column i sees row i of the source alone.
 */
NN_INLINE void conv_rectangle(const nn_conv2d_args *c, conv_tile_table table, bool depthwise, int64_t n_begin,
                              int64_t n_end, const conv_run *h, const conv_run *w) {
    const nn_conv_axis *ah = &c->axis[0], *aw = &c->axis[1];
    const int64_t source_channels = depthwise ? c->columns : c->groups * c->rows;
    const int64_t dest_channels = c->groups * c->columns;
    const int64_t source_line = aw->source * source_channels, dest_line = aw->dest * dest_channels;
    const int64_t source_image = ah->source * source_line, dest_image = ah->dest * dest_line;
    conv_direction d[3] = {
        {n_end - n_begin, source_image, dest_image},
        {h->end - h->begin, ah->step * source_line, ah->stride * dest_line},
        {w->end - w->begin, aw->step * source_channels, aw->stride * dest_channels},
    };
    conv_choose_direction(d, conv_panel_vecs(c->columns));

    const REAL *source = (const REAL *)c->source + n_begin * source_image +
                         (ah->origin + h->begin * ah->step + h->tap_begin * ah->tap_step) * source_line +
                         (aw->origin + w->begin * aw->step + w->tap_begin * aw->tap_step) * source_channels;
    REAL *dest = (REAL *)c->dest + n_begin * dest_image + (ah->first + h->begin * ah->stride) * dest_line +
                 (aw->first + w->begin * aw->stride) * dest_channels;

    const bool contiguous = !depthwise && c->groups == 1 && aw->tap_step == 1;
    const int64_t taps_w = w->tap_end - w->tap_begin;
    conv_tile t = {
        .dest_row = d[2].dest,
        .source_row = d[2].source,
        .taps = taps_w ? h->tap_end - h->tap_begin : 0,
        .source_tap = ah->tap_step * source_line,
        .segments = contiguous ? 1 : taps_w,
        .source_segment = aw->tap_step * source_channels,
        .length = contiguous ? taps_w * c->rows : c->rows,
    };

    /* All lines for a panel of columns, whose weight stays in the cache. A channel alone has hardly any weight: there
       a few lines for all columns, while they are in the cache. */
    const int64_t lines = depthwise ? CONV_LINES : d[1].count;
    for (int64_t outer = 0; outer < d[0].count; outer++)
        for (int64_t first = 0; first < d[1].count; first += lines)
            conv_lines(c, table, depthwise, t, d, h, w, source + outer * d[0].source, dest + outer * d[0].dest, first,
                       nn_min(first + lines, d[1].count));
}

typedef void conv_rectangle_fn(const nn_conv2d_args *c, int64_t n_begin, int64_t n_end, const conv_run *h,
                               const conv_run *w);

/* Pieces begin to end; piece p is band p % bands of the images from p / bands * images. */
NN_INLINE void conv_pieces(const nn_conv2d_args *c, conv_rectangle_fn *rectangle, int64_t begin, int64_t end) {
    for (int64_t piece = begin; piece < end; piece++) {
        const int64_t n_begin = piece / c->bands * c->images, n_end = nn_min(n_begin + c->images, c->n);
        const int64_t first = piece % c->bands * c->band, limit = nn_min(first + c->band, c->axis[0].count);
        conv_run h, w;
        for (int64_t i = first; i < limit; i = h.end) {
            h = conv_next_run(&c->axis[0], i, limit);
            for (int64_t j = 0; j < c->axis[1].count; j = w.end) {
                w = conv_next_run(&c->axis[1], j, c->axis[1].count);
                rectangle(c, n_begin, n_end, &h, &w);
            }
        }
        const int64_t height = c->axis[0].dest;
        for (int64_t n = n_begin; n < n_end; n++) nn_conv2d_written(c, n * height + first, n * height + limit);
    }
}

#endif
