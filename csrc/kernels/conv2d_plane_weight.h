/*
 * conv2d_plane_weight.h: the weight's gradient where the source has one channel: tiles of sums along the width.
 *
 * A lane is an element of a row, and every sum is a vector until the end of the piece: no lane is empty,
 * however few columns there are. For that, dy is copied in planes, one for each column.
 *
 *     partial: sums as conv2d_fold wants them, [panel of columns][tap][column of the panel], then those of dy;
 *              then the first as vectors, [kernel column][kernel row][column]
 */
#ifndef NN_KERNELS_CONV2D_PLANE_WEIGHT_H
#define NN_KERNELS_CONV2D_PLANE_WEIGHT_H

#include "conv2d_plane.h"

enum { PLANE_TAPS = 3, PLANE_COPY = 8192 * 4 / sizeof(REAL) };

/* ---- a tile: kernel rows by columns, 12 accumulators at most ------------------------------------------ */

typedef struct plane_sum_tile {
    REAL *sum;
    int64_t sum_tap;           /* from kernel row to kernel row; columns follow each other */
    const REAL *x, *dy;
    int64_t x_tap, dy_column;
    int64_t images, x_image, dy_image, rows, x_row, dy_row, width; /* elements */
} plane_sum_tile;

typedef void plane_sum_fn(const plane_sum_tile *);

NN_INLINE void add_plane_products(vec acc[PLANE_TAPS][PLANE_COLUMNS], const plane_sum_tile *t, const REAL *x,
                                  const REAL *dy, int taps, int columns, int64_t lanes) {
    const int64_t x_tap = t->x_tap, dy_column = t->dy_column;
    vec xv[PLANE_TAPS];
    NN_UNROLL(3) for (int i = 0; i < taps; i++) xv[i] = load_lanes(x + i * x_tap, lanes);
    NN_UNROLL(6) for (int j = 0; j < columns; j++) {
        const vec dv = vkept(load_lanes(dy + j * dy_column, lanes));
        NN_UNROLL(3) for (int i = 0; i < taps; i++) acc[i][j] = vfma(xv[i], dv, acc[i][j]);
    }
}

NN_INLINE void plane_sums(const plane_sum_tile *t, int columns, int taps) {
    vec acc[PLANE_TAPS][PLANE_COLUMNS];
    NN_UNROLL(3) for (int i = 0; i < taps; i++) {
        NN_UNROLL(6) for (int j = 0; j < columns; j++) acc[i][j] = vload(t->sum + i * t->sum_tap + j * VL);
    }
    const int64_t whole = t->width / VL * VL, rest = t->width - whole;
    for (int64_t n = 0; n < t->images; n++) {
        for (int64_t row = 0; row < t->rows; row++) {
            const REAL *x = t->x + n * t->x_image + row * t->x_row, *dy = t->dy + n * t->dy_image + row * t->dy_row;
            for (int64_t k = 0; k < whole; k += VL) add_plane_products(acc, t, x + k, dy + k, taps, columns, VL);
            if (rest) add_plane_products(acc, t, x + whole, dy + whole, taps, columns, rest);
        }
    }
    NN_UNROLL(3) for (int i = 0; i < taps; i++) {
        NN_UNROLL(6) for (int j = 0; j < columns; j++) vstore(t->sum + i * t->sum_tap + j * VL, acc[i][j]);
    }
}

#define PLANE_SUMS(columns, taps) \
    static void plane_sums_##columns##x##taps(const plane_sum_tile *t) { plane_sums(t, columns, taps); }
PLANE_SUMS(1, 1) PLANE_SUMS(1, 2) PLANE_SUMS(1, 3)
PLANE_SUMS(2, 1) PLANE_SUMS(2, 2) PLANE_SUMS(2, 3)
PLANE_SUMS(3, 1) PLANE_SUMS(3, 2) PLANE_SUMS(3, 3)
PLANE_SUMS(4, 1) PLANE_SUMS(4, 2) PLANE_SUMS(4, 3)
PLANE_SUMS(6, 1) PLANE_SUMS(6, 2)

static plane_sum_fn *const plane_sums_table[PLANE_COLUMNS + 1][PLANE_TAPS + 1] = {
    [1] = {0, plane_sums_1x1, plane_sums_1x2, plane_sums_1x3},
    [2] = {0, plane_sums_2x1, plane_sums_2x2, plane_sums_2x3},
    [3] = {0, plane_sums_3x1, plane_sums_3x2, plane_sums_3x3},
    [4] = {0, plane_sums_4x1, plane_sums_4x2, plane_sums_4x3},
    [6] = {0, plane_sums_6x1, plane_sums_6x2},
};

/* ---- a box: the same columns of some images, rows and elements ---------------------------------------- */

/* A box of elements of dy: images, rows, elements of a row. */
typedef struct plane_box {
    int64_t begin[3], end[3];
} plane_box;

/* square (elements, columns) = VL elements of dy; count < VL: so many of them, then zeros. */
NN_INLINE void load_elements(vec square[VL], const REAL *dy, int64_t channels, int64_t lanes, int64_t count) {
    NN_UNROLL(16) for (int e = 0; e < VL; e++)
        square[e] = e < count ? load_lanes(dy + e * channels, lanes) : vset(0);
}

/*
 * planes [column][image][row][element, whole vectors] = `columns` columns of dy, at most VL; total += their sums.
 * Planes are whole vectors in both directions: what lies in columns beyond the last is never read.
 */
static void copy_planes(REAL *planes, int64_t plane, REAL *total, const nn_conv2d_args *c, const plane_box *box,
                        int64_t column, int64_t columns) {
    const int64_t channels = c->columns, width = c->axis[1].count, height = c->axis[0].count;
    const int64_t count = box->end[2] - box->begin[2];
    const REAL *dy = (const REAL *)c->dy + column;
    const int64_t safe = c->n * height * width * channels - column - VL * channels; /* VL lanes of VL elements exist */
    vec sum = vload(total);
    for (int64_t n = box->begin[0]; n < box->end[0]; n++) {
        for (int64_t i = box->begin[1]; i < box->end[1]; i++) {
            int64_t from = ((n * height + i) * width + box->begin[2]) * channels;
            for (int64_t k = 0; k < count; k += VL, from += VL * channels, planes += VL) {
                vec square[VL];
                if (count - k < VL) load_elements(square, dy + from, channels, columns, count - k);
                else if (from + VL > safe) load_elements(square, dy + from, channels, columns, VL);
                else load_elements(square, dy + from, channels, VL, VL);
                vec pair = square[0] + square[1];
                NN_UNROLL(8) for (int e = 2; e < VL; e += 2) pair += square[e] + square[e + 1];
                sum += pair;
                vtranspose(square);
                NN_UNROLL(16) for (int j = 0; j < VL; j++) vstore(planes + j * plane, square[j]);
            }
        }
    }
    vstore(total, sum);
}

/* Sums of `columns` columns over a box; vectors is where theirs begin, planes their dy. */
static void sum_plane_box(const nn_conv2d_args *c, REAL *vectors, const plane_box *box, const REAL *planes,
                          int64_t plane, int columns) {
    const nn_conv_axis *ah = &c->axis[0], *aw = &c->axis[1];
    const int64_t line = aw->source, image = ah->source * line;
    plane_sum_tile t = {
        .sum_tap = c->columns * VL, .x_tap = ah->tap_step * line, .dy_column = plane,
        .images = box->end[0] - box->begin[0], .x_image = image, .x_row = ah->step * line,
        .dy_row = (box->end[2] - box->begin[2] + VL - 1) / VL * VL,
    };
    t.dy_image = (box->end[1] - box->begin[1]) * t.dy_row;
    conv_run h;
    for (int64_t i = box->begin[1]; i < box->end[1]; i = h.end) {
        h = conv_next_run(ah, i, box->end[1]);
        t.rows = h.end - h.begin;
        const conv_cut cut = conv_cut_evenly(h.tap_end - h.tap_begin, nn_min(PLANE_TAPS, 12 / columns));
        for (int64_t tap_w = 0; tap_w < aw->taps; tap_w++) {
            int64_t begin, end;
            conv_elements(aw, tap_w, &begin, &end);
            begin = nn_max(begin, box->begin[2]);
            end = nn_min(end, box->end[2]);
            if (begin >= end) continue;
            t.width = end - begin;
            t.x = (const REAL *)c->source + box->begin[0] * image +
                  (ah->origin + h.begin * ah->step + h.tap_begin * ah->tap_step) * line + aw->origin + begin +
                  tap_w * aw->tap_step;
            t.dy = planes + (h.begin - box->begin[1]) * t.dy_row + begin - box->begin[2];
            t.sum = vectors + (tap_w * ah->taps + h.tap_begin) * t.sum_tap;
            for (int64_t tile = 0; tile < cut.tiles; tile++) {
                const int64_t taps = cut.rows + (tile < cut.longer);
                plane_sums_table[columns][taps](&t);
                t.x += taps * t.x_tap;
                t.sum += taps * t.sum_tap;
            }
        }
    }
}

/* ---- the pieces --------------------------------------------------------------------------------------- */

/* out (columns) = the sums over the lanes of `count` columns' vectors; whole vectors are written. */
static void fold_lanes(REAL *out, const REAL *vectors, int64_t count) {
    vec square[VL];
    NN_UNROLL(16) for (int j = 0; j < VL; j++) square[j] = j < count ? vload(vectors + j * VL) : vset(0);
    vtranspose(square);
    NN_UNROLL(4) for (int width = VL / 2; width > 0; width /= 2) {
        NN_UNROLL(8) for (int i = 0; i < width; i++) square[i] += square[i + width];
    }
    vstore(out, square[0]);
}

static void sum_plane_piece(const nn_conv2d_args *c, REAL *partial, int64_t n_begin, int64_t n_end) {
    const nn_conv_axis *ah = &c->axis[0], *aw = &c->axis[1];
    const int64_t taps = ah->taps * aw->taps, columns = c->columns, padded = conv_vecs(columns) * VL;
    REAL *dy_sums = partial + taps * padded, *vectors = dy_sums + padded;
    for (REAL *at = dy_sums; at < vectors + taps * columns * VL; at += VL) vstore(at, vset(0));

    /* Boxes of whole images, else of whole rows, else of what fits. */
    REAL planes[PLANE_COPY];
    const int64_t room = PLANE_COPY / VL - 2 * VL, w_step = nn_min(aw->count, room);
    const int64_t row = (w_step + VL - 1) / VL * VL, h_step = conv_even_step(ah->count, room / row);
    const int64_t n_step = h_step < ah->count || w_step < aw->count ? 1 : nn_max(1, room / (row * ah->count));
    for (int64_t column = 0; column < columns; column += VL) {
        const int64_t some = nn_min(VL, columns - column);
        for (int64_t n = n_begin; n < n_end; n += n_step)
            for (int64_t i = 0; i < ah->count; i += h_step)
                for (int64_t j = 0; j < aw->count; j += w_step) {
                    const plane_box box = {{n, i, j}, {nn_min(n + n_step, n_end), nn_min(i + h_step, ah->count),
                                                       nn_min(j + w_step, aw->count)}};
                    copy_planes(planes, room, dy_sums + column, c, &box, column, some);
                    if (!c->dweight) continue;
                    int next;
                    for (int64_t at = 0; at < some; at += next) {
                        next = conv_plane_columns(some - at);
                        sum_plane_box(c, vectors + (column + at) * VL, &box, planes + at * room, room, next);
                    }
                }
    }

    int64_t width;
    REAL *out = partial;
    for (int64_t panel = 0; panel < columns; panel += width) {
        width = conv_panel_vecs(columns - panel) * VL;
        for (int64_t tap = 0; tap < taps; tap++) {
            const REAL *from = vectors + (tap % aw->taps * ah->taps + tap / aw->taps) * columns * VL;
            for (int64_t j = panel; j < panel + width; j += VL, out += VL) fold_lanes(out, from + j * VL, columns - j);
        }
    }
}

/* Whether the sums are for these tiles: see conv_is_plane. */
static inline bool conv_sums_are_planes(const nn_conv2d_args *c) {
    const conv_run whole = {.end = c->axis[1].count};
    return conv_is_plane(c, &whole);
}

/* Pieces begin to end of the batch. */
static void conv_plane_sum_pieces(const nn_conv2d_args *c, int64_t begin, int64_t end) {
    for (int64_t piece = begin; piece < end; piece++)
        sum_plane_piece(c, (REAL *)c->partial + piece * c->partial_size, piece * c->piece_images,
                        nn_min((piece + 1) * c->piece_images, c->n));
}

#endif
