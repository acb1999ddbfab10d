/*
 * conv2d_weight.h: from a piece of the batch to register tiles of the weight's gradient.
 *
 * The piece is taken in chunks of dy that fit the first-level cache. Of a chunk, one panel of columns at a
 * time is copied side by side (its sums are the bias' gradient); then every tile of sums meets all elements
 * of the chunk whose tap is inside the image.
 */
#ifndef NN_KERNELS_CONV2D_WEIGHT_H
#define NN_KERNELS_CONV2D_WEIGHT_H

#include "conv2d_sums.h"

/* Elements of dy in a chunk: 36 KB of three vectors each. Part of the order of summation. */
enum { CONV_CHUNK = 12288 / VEC_BYTES };

/* A box of elements of dy: images, rows, columns. */
typedef struct conv_box {
    int64_t begin[3], end[3];
} conv_box;

/* panel (count, vecs * VL) = columns of dy from one element to the next; acc[k % 4] += element k. */
NN_INLINE void conv_copy_line(REAL *panel, vec acc[4][CONV_MAX_VECS], const REAL *dy, int64_t channels,
                              int64_t count, int64_t last, int vecs) {
    for (int64_t k = 0; k < count; k += 4) {
        const int64_t some = nn_min(4, count - k);
        NN_UNROLL(4) for (int e = 0; e < 4; e++) {
            if (e >= some) break;
            NN_UNROLL(3) for (int v = 0; v < vecs; v++) {
                const REAL *from = dy + (k + e) * channels + v * VL;
                const vec value = v < vecs - 1 || last == VL ? vload(from) : vload_some(from, last);
                vstore(panel + ((k + e) * vecs + v) * VL, value);
                acc[e][v] += value;
            }
        }
    }
}

/* panel (elements of the box, vecs * VL) = dy from `channel` on; sum (vecs * VL) += over all elements. */
NN_INLINE void conv_copy_box(REAL *panel, REAL *sum, const nn_conv2d_args *c, const conv_box *box, int64_t channel,
                             int64_t last, int vecs) {
    const int64_t channels = c->groups * c->columns, count = box->end[2] - box->begin[2];
    const int64_t line = c->axis[1].count * channels, image = c->axis[0].count * line;
    vec acc[4][CONV_MAX_VECS] = {{{0}}};
    for (int64_t n = box->begin[0]; n < box->end[0]; n++) {
        for (int64_t i = box->begin[1]; i < box->end[1]; i++, panel += count * vecs * VL)
            conv_copy_line(panel, acc, (const REAL *)c->dy + n * image + i * line + box->begin[2] * channels + channel,
                           channels, count, last, vecs);
    }
    NN_UNROLL(3) for (int v = 0; v < vecs; v++) {
        const vec all = (acc[0][v] + acc[1][v]) + (acc[2][v] + acc[3][v]);
        vstore(sum + v * VL, vload(sum + v * VL) + all);
    }
}

static inline void conv_copy_panel(REAL *panel, REAL *sum, const nn_conv2d_args *c, const conv_box *box,
                                   int64_t channel, int64_t columns, int vecs) {
    const int64_t last = columns - (vecs - 1) * VL;
    if (vecs == 1) conv_copy_box(panel, sum, c, box, channel, last, 1);
    else if (vecs == 2) conv_copy_box(panel, sum, c, box, channel, last, 2);
    else conv_copy_box(panel, sum, c, box, channel, last, 3);
}

/* All tiles of one panel over one box; sums is the panel's part of the partial sums. */
NN_INLINE void conv_sum_panel(const nn_conv2d_args *c, conv_sum_table table, bool depthwise, const conv_box *box,
                              REAL *sums, const REAL *dy, int64_t channel, int64_t columns, int vecs) {
    const nn_conv_axis *ah = &c->axis[0], *aw = &c->axis[1];
    const int64_t channels = depthwise ? c->columns : c->groups * c->rows, width = vecs * VL;
    const int64_t line = aw->source * channels, image = ah->source * line;
    const int64_t dy_line = (box->end[2] - box->begin[2]) * width;
    const int64_t dy_image = (box->end[1] - box->begin[1]) * dy_line;
    const bool contiguous = !depthwise && c->groups == 1 && aw->tap_step == 1;
    const int64_t most = conv_tile_rows(vecs);

    conv_run w;
    for (int64_t j = box->begin[2]; j < box->end[2]; j = w.end) {
        w = conv_next_run(aw, j, box->end[2]);
        const int64_t taps_w = w.tap_end - w.tap_begin;
        /* Rows of sums that follow each other in the image too: all taps of a kernel row, or those of one tap. */
        const int64_t blocks = contiguous || depthwise ? taps_w > 0 : taps_w;
        const int64_t block_rows = contiguous ? taps_w * c->rows : depthwise ? taps_w : c->rows;
        const conv_cut cut = conv_cut_evenly(block_rows, most);
        for (int64_t tap = 0; tap < ah->taps; tap++) {
            int64_t begin, end;
            conv_elements(ah, tap, &begin, &end);
            begin = nn_max(begin, box->begin[1]);
            end = nn_min(end, box->end[1]);
            if (begin >= end) continue;
            conv_sum_tile t = {
                .x_row = depthwise ? aw->tap_step * channels : 1,
                .count = {box->end[0] - box->begin[0], end - begin, w.end - w.begin},
                .x_step = {image, ah->step * line, aw->step * channels},
                .dy_step = {dy_image, dy_line, width},
                .last = columns - (vecs - 1) * VL,
                .next = (const char *)dy, /* nothing is fetched */
            };
            if (t.count[2] < 4 && t.count[1] > t.count[2]) {
                /* A border: long in height only. */
                const int64_t swap[3] = {t.count[1], t.x_step[1], t.dy_step[1]};
                t.count[1] = t.count[2], t.x_step[1] = t.x_step[2], t.dy_step[1] = t.dy_step[2];
                t.count[2] = swap[0], t.x_step[2] = swap[1], t.dy_step[2] = swap[2];
            }
            const REAL *x = (const REAL *)c->source + box->begin[0] * image +
                            (ah->origin + begin * ah->step + tap * ah->tap_step) * line +
                            (aw->origin + w.begin * aw->step + w.tap_begin * aw->tap_step) * channels + channel;
            t.dy = dy + (begin - box->begin[1]) * dy_line + (w.begin - box->begin[2]) * width;
            t.sum = sums + (tap * aw->taps + w.tap_begin) * c->rows * width;
            for (int64_t block = 0; block < blocks; block++, x += aw->tap_step * channels) {
                t.x = x;
                for (int64_t i = 0; i < cut.tiles; i++) {
                    const int64_t rows = cut.rows + (i < cut.longer);
                    table[vecs][rows](&t);
                    t.x += rows * t.x_row;
                    t.sum += rows * width;
                }
            }
        }
    }
}

/* One box of a piece: every group, every panel. */
NN_INLINE void conv_sum_box(const nn_conv2d_args *c, conv_sum_table table, bool depthwise, REAL *partial,
                            const conv_box *box) {
    REAL panel[CONV_CHUNK * CONV_MAX_VECS * VL];
    const int64_t taps = c->axis[0].taps * c->axis[1].taps, padded = conv_vecs(c->columns) * VL;
    REAL *sums = partial, *dy_sums = partial + c->groups * padded * taps * c->rows;
    for (int64_t group = 0; group < c->groups; group++) {
        int vecs;
        for (int64_t column = 0; column < c->columns; column += vecs * VL) {
            vecs = conv_panel_vecs(c->columns - column);
            const int64_t columns = nn_min(c->columns - column, vecs * VL);
            conv_copy_panel(panel, dy_sums, c, box, group * c->columns + column, columns, vecs);
            if (c->dweight)
                conv_sum_panel(c, table, depthwise, box, sums, panel, depthwise ? column : group * c->rows,
                               columns, vecs);
            sums += taps * c->rows * vecs * VL;
            dy_sums += vecs * VL;
        }
    }
}

/* Pieces begin to end of the batch, each in boxes of at most CONV_CHUNK elements of dy. */
NN_INLINE void conv_sum_pieces(const nn_conv2d_args *c, conv_sum_table table, bool depthwise, int64_t begin,
                               int64_t end) {
    const int64_t height = c->axis[0].count, width = c->axis[1].count;
    const int64_t w_step = nn_min(width, CONV_CHUNK);
    const int64_t h_step = conv_even_step(height, CONV_CHUNK / w_step);
    const int64_t n_step = h_step < height || w_step < width ? 1 : nn_max(1, CONV_CHUNK / (height * width));
    for (int64_t piece = begin; piece < end; piece++) {
        REAL *partial = (REAL *)c->partial + piece * c->partial_size;
        for (int64_t i = 0; i < c->partial_size; i++) partial[i] = 0;
        const int64_t n_end = nn_min((piece + 1) * c->piece_images, c->n);
        for (int64_t n = piece * c->piece_images; n < n_end; n += n_step)
            for (int64_t i = 0; i < height; i += h_step)
                for (int64_t j = 0; j < width; j += w_step) {
                    const conv_box box = {
                        {n, i, j},
                        {nn_min(n + n_step, n_end), nn_min(i + h_step, height), nn_min(j + w_step, width)},
                    };
                    conv_sum_box(c, table, depthwise, partial, &box);
                }
    }
}

#endif
