/*
 * conv2d_pairs_weight.h: the weight's gradient by pairs of elements of dy, see conv2d_pairs.h.
 *
 *     partial [piece]: sums as conv2d_fold wants them, those of dy, [panel of columns][product][row][column] where
 *                      a row is a kernel row and a channel, then the buffers of a chunk: cells, pairs
 */
#ifndef NN_KERNELS_CONV2D_PAIRS_WEIGHT_H
#define NN_KERNELS_CONV2D_PAIRS_WEIGHT_H

#include "conv2d_pairs.h"
#include "conv2d_sum_tile.h"

/*
 * Tiles of a vector and a half make d0 + d1 and d0 - d1 as they go, which is less than to store them and to load them
 * again. Others have no time left for it: of 12 products 8 cycles go to loads.
 */
#if CONV_HAS_HALVES
#define SUMS_HALF(name, rows, sign) \
    static void sums_half_##name##_##rows(const conv_sum_tile *t) { sums_half(t, rows, sign); }
#define SUMS_HALVES(name, sign)                                                                          \
    SUMS_HALF(name, 4, sign) SUMS_HALF(name, 5, sign) SUMS_HALF(name, 6, sign) SUMS_HALF(name, 7, sign)  \
    SUMS_HALF(name, 8, sign)
SUMS_HALVES(one, 0) SUMS_HALVES(plus, 1) SUMS_HALVES(minus, -1)
#define HALVES(name)                                                                                     \
    {[4] = sums_half_##name##_4, sums_half_##name##_5, sums_half_##name##_6, sums_half_##name##_7,       \
     sums_half_##name##_8}
static conv_sum_tile_fn *const sums_half_table[3][CONV_HALF_ROWS + 1] = {HALVES(minus), HALVES(one), HALVES(plus)};
#endif

/* So do those of two panels, of dy that is read where it is. */
#if NN_HAVE_FMA
static void sums_wide_one(const conv_sum_tile *t) { sums_wide(t, 0); }
static void sums_wide_plus(const conv_sum_tile *t) { sums_wide(t, 1); }
static void sums_wide_minus(const conv_sum_tile *t) { sums_wide(t, -1); }
static conv_sum_tile_fn *const sums_wide_table[3] = {sums_wide_one, sums_wide_plus, sums_wide_minus};
#endif

/* Whether the tiles from a column on are such: this panel and the next are of two vectors, all of them whole. */
NN_INLINE bool pairs_are_wide(const nn_conv2d_args *c, int64_t column) {
    const int64_t left = c->columns - column;
    return NN_HAVE_FMA && nn_max(c->rows, c->axis[0].taps) == CONV_WIDE_ROWS && c->axis[1].count % 2 == 0 &&
           left >= 4 * VL && conv_panel_vecs(left - 2 * VL) == 2 && c->columns % VL == 0;
}

/* Whether the tiles of a panel are such. */
NN_INLINE bool pairs_are_halves(const nn_conv2d_args *c, int64_t column) {
#if CONV_HAS_HALVES
    return nn_max(c->rows, c->axis[0].taps) >= CONV_HALF_ROWS / 2 && conv_is_half(c->columns - column);
#else
    (void)c, (void)column;
    return false;
#endif
}

/*
 * What the cells are multiplied with, for a panel of columns: d0, d0 + d1, d0 - d1, d1. Elements of a row follow each
 * other, so the first and the last may be dy itself.
 */
typedef struct pair_planes {
    const REAL *at[4];
    int64_t step[4], image[4]; /* from pair to pair, from image to image */
} pair_planes;

/*
 * sums, differences (pairs, vecs * VL) = those of a chunk of dy from `dy` on, where a row has no odd element left over,
 * unless nobody wants them; total += the sums.
 */
NN_INLINE void add_pairs(REAL *sums, REAL *differences, REAL *total, const nn_conv2d_args *c, const REAL *dy,
                         const pair_chunk *chunk, int vecs, bool wanted) {
    const int64_t channels = c->columns, pairs = chunk->rows * c->axis[1].count / 2;
    vec all[CONV_MAX_VECS];
    NN_UNROLL(3) for (int v = 0; v < vecs; v++) all[v] = vset(0);
    for (int64_t n = 0; n < chunk->images; n++, dy += (c->axis[0].count - chunk->rows) * c->axis[1].count * channels) {
        for (int64_t k = 0; k < pairs; k++, dy += 2 * channels, sums += vecs * VL, differences += vecs * VL) {
            NN_UNROLL(3) for (int v = 0; v < vecs; v++) {
                const vec d0 = vload(dy + v * VL), d1 = vload(dy + channels + v * VL), sum = d0 + d1;
                all[v] += sum;
                if (!wanted) continue;
                vstore(sums + v * VL, sum);
                vstore(differences + v * VL, d0 - d1);
            }
        }
    }
    NN_UNROLL(3) for (int v = 0; v < vecs; v++) vstore(total + v * VL, vload(total + v * VL) + all[v]);
}

/* All four planes (pairs, step) of one vector, of which `lanes` exist; total += the sums. */
static void copy_pairs(REAL *to, int64_t plane, int64_t step, REAL *total, const nn_conv2d_args *c, const REAL *dy,
                       const pair_chunk *chunk, int64_t lanes) {
    const int64_t width = c->axis[1].count, channels = c->columns;
    vec all = vset(0);
    for (int64_t n = 0; n < chunk->images; n++, dy += (c->axis[0].count - chunk->rows) * width * channels) {
        for (int64_t i = 0; i < chunk->rows; i++, dy += width * channels) {
            for (int64_t j = 0; j < width; j += 2, to += step) {
                const vec d0 = vload_some(dy + j * channels, lanes);
                const vec d1 = j + 1 < width ? vload_some(dy + (j + 1) * channels, lanes) : vset(0);
                const vec sum = d0 + d1;
                all += sum;
                vstore(to, d0);
                vstore(to + plane, sum);
                vstore(to + 2 * plane, d0 - d1);
                vstore(to + 3 * plane, d1);
            }
        }
    }
    vstore(total, vload(total) + all);
}

/* The planes of a panel, what is no part of dy in `room`; total += the sums over the chunk. */
static pair_planes transform_pairs(const nn_conv2d_args *c, REAL *room, int64_t plane, REAL *total,
                                   const pair_chunk *chunk, int64_t column, int vecs) {
    const int64_t width = c->axis[1].count, height = c->axis[0].count, channels = c->columns, step = vecs * VL;
    const int64_t packed_image = chunk->rows * ((width + 1) / 2) * step, image = height * width * channels;
    const REAL *dy = (const REAL *)c->dy + chunk->n * image + chunk->row * width * channels + column;
    const int64_t after = (c->n - chunk->n - chunk->images + 1) * image - (chunk->row + chunk->rows) * width * channels;
    pair_planes planes = {{room, room + plane, room + 2 * plane, room + 3 * plane}, {step, step, step, step},
                          {packed_image, packed_image, packed_image, packed_image}};
    if (width % 2 || (after < VL && channels % VL)) {
        for (int64_t v = 0; v < step; v += VL)
            copy_pairs(room + v, plane, step, total + v, c, dy + v, chunk, nn_min(VL, channels - column - v));
        return planes;
    }
    /* Lanes beyond the last column are those of the next element: their sums are not looked at. */
    planes.at[0] = dy, planes.at[3] = dy + channels;
    planes.step[0] = planes.step[3] = 2 * channels;
    planes.image[0] = planes.image[3] = image;
    const bool wide = pairs_are_wide(c, column);
    if (wide) add_pairs(room, room, total + step, c, dy + step, chunk, 2, false);
    if (wide || pairs_are_halves(c, column)) add_pairs(room, room, total, c, dy, chunk, 2, false);
    else if (vecs == 1) add_pairs(room + plane, room + 2 * plane, total, c, dy, chunk, 1, true);
    else if (vecs == 2) add_pairs(room + plane, room + 2 * plane, total, c, dy, chunk, 2, true);
    else add_pairs(room + plane, room + 2 * plane, total, c, dy, chunk, 3, true);
    return planes;
}

/* All tiles of a panel of columns. */
static void sum_pairs(const nn_conv2d_args *c, conv_sum_table table, REAL *sums,
                      const pair_cells *cells, const pair_planes *planes, const pair_chunk *chunk,
                      int64_t column, int vecs) {
    const int64_t taps_h = c->axis[0].taps, taps = c->axis[1].taps, width = vecs * VL;
    const int64_t count = (c->axis[1].count + 1) / 2, line = cells_line(c);
    /* The rows of a tile are those of the kernel or channels, whichever are more. */
    const bool channels = c->rows >= taps_h;
    const int64_t outer = channels ? taps_h : c->rows, outer_step = channels ? line : 1;
    const int64_t inner = channels ? c->rows : taps_h;
    conv_sum_tile_fn *const *tile_of_rows = table[vecs], *sum_wide = NULL;
    const bool halves = pairs_are_halves(c, column), wide = pairs_are_wide(c, column);
    const conv_cut cut = conv_cut_evenly(inner, halves ? CONV_HALF_ROWS : wide ? CONV_WIDE_ROWS : conv_tile_rows(vecs));
    conv_sum_tile t = {
        .sum = sums, .x_row = channels ? 1 : line, .last = VL,
        .other = planes->at[3] - planes->at[0], .panel = nn_conv_products(taps) * taps_h * c->rows * width,
        .count = {chunk->images, chunk->rows, count},
        .x_step = {(chunk->rows + taps_h - 1) * line, line, 2 * c->rows},
    };
    /* A part of the next chunk of dy comes into the cache with each tile, a little with each of its elements: more at
       once would wait for each other. */
    const int64_t dy_line = c->axis[1].count * c->columns, elements = chunk->images * chunk->rows * count;
    const int64_t chunk_bytes = chunk->images * chunk->rows * dy_line * sizeof(REAL);
    const int64_t turns = nn_conv_products(taps) * outer * cut.tiles * elements;
    t.next = (const char *)((const REAL *)c->dy + (chunk->n * c->axis[0].count + chunk->row) * dy_line) + chunk_bytes +
             chunk_bytes / c->columns * column;
    t.next_step = (chunk_bytes / c->columns * nn_min(wide ? 2 * width : width, c->columns - column) + turns - 1) / turns;
    static const int plane_of[7] = {0, 1, 2, 3, 0, 1, 3};
    for (int64_t p = 0; p < nn_conv_products(taps); p++) {
        const int64_t at = taps & 1 ? p : p + 4;
        int plane = plane_of[at < 7 ? at : 4 + (at - 4) % 3];
#if NN_HAVE_FMA
        if (wide) {
            sum_wide = sums_wide_table[plane % 3];
            if (plane < 3) plane = 0;
        }
#endif
#if CONV_HAS_HALVES
        if (halves) {
            tile_of_rows = sums_half_table[plane == 1 ? 2 : plane != 2];
            if (plane < 3) plane = 0;
        }
#endif
        t.dy = planes->at[plane], t.dy_step[0] = planes->image[plane], t.dy_step[2] = planes->step[plane];
        t.dy_step[1] = count * t.dy_step[2];
        for (int64_t i = 0; i < outer; i++) {
            t.x = cells_of_product(cells, p, taps, c->rows) + i * outer_step;
            for (int64_t tile = 0; tile < cut.tiles; tile++) {
                const int64_t rows = cut.rows + (tile < cut.longer);
                (sum_wide ? sum_wide : tile_of_rows[rows])(&t);
                t.next += t.next_step * elements;
                t.x += rows * t.x_row;
                t.sum += rows * width;
            }
        }
    }
}

/* out [kernel row][tap][channel] of a panel = what the products say of the taps. */
static void taps_of_products(const nn_conv2d_args *c, REAL *out, const REAL *sums, int64_t width) {
    const int64_t taps_h = c->axis[0].taps, taps = c->axis[1].taps, rows = c->rows, plane = taps_h * rows * width;
    const bool channels = rows >= taps_h;
    for (int64_t h = 0; h < taps_h; h++) {
        for (int64_t row = 0; row < rows; row++) {
            const REAL *from = sums + (channels ? h * rows + row : row * taps_h + h) * width;
            REAL *to = out + (h * taps * rows + row) * width;
            for (int64_t v = 0; v < width; v += VL) {
                const REAL *s = from + v;
                REAL *at = to + v;
                if (taps & 1) {
                    const vec s1 = vload(s + plane), s2 = vload(s + 2 * plane), both = (s1 + s2) * R(0.5);
                    vstore(at, vload(s) + both);
                    vstore(at + rows * width, (s1 - s2) * R(0.5));
                    vstore(at + 2 * rows * width, both - vload(s + 3 * plane));
                    s += 4 * plane, at += 3 * rows * width;
                }
                for (int64_t tap = taps & 1 ? 3 : 0; tap < taps; tap += 2, s += 3 * plane, at += 2 * rows * width) {
                    const vec s1 = vload(s + plane);
                    vstore(at, s1 - vload(s));
                    vstore(at + rows * width, s1 + vload(s + 2 * plane));
                }
            }
        }
    }
}

/* Pieces begin to end of the batch. */
static void conv_pair_sum_pieces(const nn_conv2d_args *c, conv_sum_table table, int64_t begin, int64_t end) {
    const nn_conv_axis *ah = &c->axis[0], *aw = &c->axis[1];
    const int64_t padded = conv_vecs(c->columns) * VL, kernel_rows = ah->taps * c->rows;
    const int64_t products = nn_conv_products(aw->taps), most_pairs = c->images * c->band * ((aw->count + 1) / 2);
    for (int64_t piece = begin; piece < end; piece++) {
        REAL *taps = (REAL *)c->partial + piece * c->partial_size, *dy_sums = taps + aw->taps * kernel_rows * padded;
        REAL *sums = dy_sums + padded, *cells = sums + products * kernel_rows * padded;
        REAL *pairs = cells + CELLS_PLANES * cells_plane(c);
        for (REAL *at = dy_sums; at < cells; at += VL) vstore(at, vset(0));
        const int64_t n_end = nn_min((piece + 1) * c->piece_images, c->n);
        for (pair_chunk chunk = {.n = piece * c->piece_images}; next_chunk(c, n_end, &chunk);) {
            pair_cells found = {{0}};
            if (c->dweight) found = transform_cells(cells, c, &chunk);
            int vecs;
            for (int64_t column = 0; column < c->columns; column += vecs * VL) {
                vecs = conv_panel_vecs(c->columns - column);
                const int64_t plane = most_pairs * vecs * VL + 64 / sizeof(REAL);
                const pair_planes planes = transform_pairs(c, pairs, plane, dy_sums + column, &chunk, column, vecs);
                if (c->dweight)
                    sum_pairs(c, table, sums + products * kernel_rows * column, &found, &planes,
                              &chunk, column, vecs);
                if (pairs_are_wide(c, column)) column += vecs * VL;
            }
        }
        int64_t width;
        for (int64_t column = 0; column < c->columns; column += width) {
            width = conv_panel_vecs(c->columns - column) * VL;
            taps_of_products(c, taps + aw->taps * kernel_rows * column, sums + products * kernel_rows * column, width);
        }
    }
}

#endif
