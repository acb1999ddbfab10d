/*
 * conv2d_pairs_data: what conv2d_correlate computes for the gradient of x, by pairs of elements of dy along the width,
 * see conv2d_pairs.h. begin and end count pieces of piece_images images.
 *
 * There are few columns, so the lanes are images: NN_CONV_IMAGES of them go together, no lane is empty, and padding is
 * left out as in the direct sum. The transform is that of conv2d_pairs.h the other way round: a pair d0, d1 of dy adds
 *
 *     three taps     s0 = d0 w0   s1 = (d0 + d1) (w0 + w1 + w2) / 2   s2 = (d0 - d1) (w0 - w1 + w2) / 2   s3 = d1 w2
 *                    to cells     x0 += s0   x1 += s1 - s2 - s3   x2 += s1 + s2 - s0   x3 += s3
 *     two            s0 = d0 w0   s1 = (d0 + d1) (w0 + w1)   s2 = d1 w1
 *                    to cells     x0 += s0   x1 += s1 - s0 - s2   x2 += s2
 *
 * Products are summed over the kernel's rows and the channels of dy before they are added to cells. Two cells are done
 * with each pair, the others wait for the next one:
 *
 *     partial [piece]: planes of a pair [4][row of dy][channel], cells that wait [row of dx][taps + 1][column],
 *                      sums [product][column], two cells [column]; all of them [image]
 */
#include "template.h"

#if NN_BITS == 32 && NN_HAVE_FMA /* never chosen elsewhere, see csrc/ops/conv2d_pairs.c */
#include "conv2d_panels.h"
#include "vtranspose.h"

enum { IMAGE_VECS = 2, IMAGES = IMAGE_VECS * VL };

/* ---- dy ----------------------------------------------------------------------------------------------- */

/* square = VL elements from `from` on of each image, one a vector: of those that exist, and are before `end`. */
NN_INLINE void load_square(vec square[VL], const REAL *from, int64_t image, int64_t images, int64_t count,
                           const REAL *end) {
    REAL copy[VL * VL];
    if (images < VL || from + (VL - 1) * image + VL > end) {
        for (int64_t i = 0; i < VL; i++)
            for (int64_t k = 0; k < VL; k++) copy[i * VL + k] = i < images && k < count ? from[i * image + k] : 0;
        from = copy, image = VL;
    }
    NN_UNROLL(16) for (int i = 0; i < VL; i++) square[i] = vload(from + i * image);
}

/* to [channel][image] = one element of each image. */
static void gather(REAL *to, const REAL *from, int64_t image, int64_t images, int64_t channels, const REAL *end) {
    for (int64_t first = 0; first < IMAGES; first += VL, from += VL * image, to += VL) {
        for (int64_t k = 0; k < channels; k += VL) {
            vec square[VL];
            load_square(square, from + k, image, images - first, channels - k, end);
            vtranspose(square);
            NN_UNROLL(16) for (int j = 0; j < VL; j++)
                if (k + j < channels) vstore(to + (k + j) * IMAGES, square[j]);
        }
    }
}

/* planes [d0, d0 + d1, d0 - d1, d1][row][channel][image] of the pair from `pair` on, in images from `from` on. */
static void gather_pair(REAL *planes, const nn_conv2d_args *c, const REAL *from, int64_t pair, int64_t images) {
    const int64_t height = c->axis[0].source, width = c->axis[1].source, channels = c->rows;
    const int64_t row = channels * IMAGES, plane = height * row, image = height * width * channels;
    const REAL *end = (const REAL *)c->source + c->n * image;
    for (int64_t h = 0; h < height; h++) {
        const REAL *at = from + (h * width + pair) * channels;
        REAL *to = planes + h * row;
        gather(to, at, image, images, channels, end);
        gather(to + 3 * plane, at + channels, image, pair + 1 < width ? images : 0, channels, end);
        for (int64_t k = 0; k < row; k += VL) {
            const vec d0 = vload(to + k), d1 = vload(to + 3 * plane + k);
            vstore(to + plane + k, d0 + d1);
            vstore(to + 2 * plane + k, d0 - d1);
        }
    }
}

/* ---- products ----------------------------------------------------------------------------------------- */

/* sums [column][image] = planes (length, images) times weight (length, columns). */
NN_INLINE void sum_columns(REAL *sums, const REAL *d, const REAL *weight, int64_t length, int columns) {
    vec acc[PAIR_DATA_COLUMNS][IMAGE_VECS];
    NN_UNROLL(6) for (int j = 0; j < columns; j++) {
        NN_UNROLL(2) for (int v = 0; v < IMAGE_VECS; v++) acc[j][v] = vset(0);
    }
    for (int64_t k = 0; k < length; k++, d += IMAGES, weight += columns) {
        vec dv[IMAGE_VECS];
        NN_UNROLL(2) for (int v = 0; v < IMAGE_VECS; v++) dv[v] = vload(d + v * VL);
        NN_UNROLL(6) for (int j = 0; j < columns; j++) {
            const vec w = vset(weight[j]);
            NN_UNROLL(2) for (int v = 0; v < IMAGE_VECS; v++) acc[j][v] = vfma(w, dv[v], acc[j][v]);
        }
    }
    NN_UNROLL(6) for (int j = 0; j < columns; j++) {
        NN_UNROLL(2) for (int v = 0; v < IMAGE_VECS; v++) vstore(sums + j * IMAGES + v * VL, acc[j][v]);
    }
}

typedef void sum_columns_fn(REAL *sums, const REAL *d, const REAL *weight, int64_t length);

#define SUM_COLUMNS(columns)                                                                                  \
    static void sum_columns_##columns(REAL *sums, const REAL *d, const REAL *weight, int64_t length) {        \
        sum_columns(sums, d, weight, length, columns);                                                        \
    }
SUM_COLUMNS(1) SUM_COLUMNS(2) SUM_COLUMNS(3) SUM_COLUMNS(4) SUM_COLUMNS(5) SUM_COLUMNS(6)

static sum_columns_fn *const sum_columns_table[PAIR_DATA_COLUMNS + 1] = {
    0, sum_columns_1, sum_columns_2, sum_columns_3, sum_columns_4, sum_columns_5, sum_columns_6,
};

/* ---- dx ----------------------------------------------------------------------------------------------- */

/*
 * done [2][column][image], waiting [taps + 1][column][image] = the cells of a pair with its sums. A cell that begins to
 * wait starts from what is behind the others, the last two: the bias.
 */
static void add_to_cells(REAL *done, REAL *waiting, const REAL *sums, int64_t sum, int64_t cell, int64_t taps,
                         int64_t columns) {
    for (int64_t k = 0; k < columns * IMAGES; k += VL) {
        const REAL *s = sums + k;
        REAL *at = waiting + k, *to = done + k;
        int64_t step = PAIR_DATA_COLUMNS * IMAGES;
        vec first = vload(at);
        int64_t tap = 0;
        if (taps & 1) {
            const vec s0 = vload(s), s1 = vload(s + sum), s2 = vload(s + 2 * sum), s3 = vload(s + 3 * sum);
            vstore(to, first + s0);
            vstore(to + step, vload(at + cell) + (s1 - s2 - s3));
            vstore(at, vload(at + 2 * cell) + (s1 + s2 - s0));
            first = vload(at + 3 * cell) + s3;
            to = at + cell, step = cell, at += 3 * cell, s += 4 * sum;
            tap = 3;
        }
        for (; tap < taps; tap += 2) {
            const vec s0 = vload(s), s1 = vload(s + sum), s2 = vload(s + 2 * sum);
            vstore(to, first + s0);
            vstore(to + step, vload(at + cell) + (s1 - s0 - s2));
            first = vload(at + 2 * cell) + s2;
            to = tap ? to + 2 * cell : waiting + k;
            step = cell, at += 2 * cell, s += 3 * sum;
        }
        vstore(to, first);
    }
}

/* One element of each image = from [column][image], where `room` elements may be written. */
static void scatter(REAL *to, const REAL *from, int64_t image, int64_t images, int64_t columns, int64_t room) {
    for (int64_t first = 0; first < images; first += VL, from += VL, to += VL * image) {
        for (int64_t j = 0; j < columns; j += VL) {
            vec square[VL];
            NN_UNROLL(16) for (int i = 0; i < VL; i++)
                square[i] = j + i < columns ? vload(from + (j + i) * IMAGES) : vset(0);
            vtranspose(square);
            if (images - first >= VL && room >= j + VL) {
                NN_UNROLL(16) for (int i = 0; i < VL; i++) vstore(to + i * image + j, square[i]);
                continue;
            }
            vec copy[VL];
            NN_UNROLL(16) for (int i = 0; i < VL; i++) copy[i] = square[i];
            for (int64_t i = 0; i < nn_min(VL, images - first); i++)
                vstore_some(to + i * image + j, copy[i], nn_min(VL, columns - j));
        }
    }
}

/* Cell `cell` of a row, if it exists. The cells of a pair, and those that wait, come in order: lanes beyond the last
   column are the next cell's, which is still to come, unless columns are in several panels. */
static void scatter_cell(REAL *to, const REAL *from, const nn_conv2d_args *c, int64_t cell, int64_t images,
                         int64_t columns) {
    const nn_conv_axis *aw = &c->axis[1];
    if (cell < 0 || cell >= aw->dest) return;
    const int64_t room = columns == c->columns ? (aw->dest - cell) * columns : columns;
    scatter(to + cell * c->columns, from, c->axis[0].dest * aw->dest * c->columns, images, columns, room);
}

/* All images, n to n + images, of a piece. */
static void paired_images(const nn_conv2d_args *c, REAL *planes, int64_t n, int64_t images) {
    const nn_conv_axis *ah = &c->axis[0], *aw = &c->axis[1];
    const int64_t taps = aw->taps, products = nn_conv_products(taps), columns = c->columns;
    const int64_t row = c->rows * IMAGES, plane = ah->source * row, cell = columns * IMAGES;
    const int64_t sum = PAIR_DATA_COLUMNS * IMAGES, line = aw->dest * columns;
    REAL *waiting = planes + 4 * plane, *sums = waiting + ah->dest * (taps + 1) * cell, *done = sums + products * sum;
    const REAL *dy = (const REAL *)c->source + n * ah->source * aw->source * c->rows;
    REAL *dx = (REAL *)c->dest + n * ah->dest * line;
    for (int64_t k = 0; k < ah->dest * (taps + 1) * cell; k += IMAGES) {
        const vec start = vset(c->bias ? ((const REAL *)c->bias)[k / IMAGES % columns] : 0);
        NN_UNROLL(2) for (int v = 0; v < IMAGE_VECS; v++) vstore(waiting + k + v * VL, start);
    }
    int64_t at = 1 - taps - aw->origin; /* the first of a pair's cells */
    for (int64_t pair = 0; pair < aw->source; pair += 2, at += 2) {
        gather_pair(planes, c, dy, pair, images);
        const bool last = pair + 2 >= aw->source;
        const REAL *weight = c->packed;
        int64_t width;
        for (int64_t column = 0; column < columns; column += width) {
            width = nn_min(PAIR_DATA_COLUMNS, columns - column);
            const int64_t weight_row = c->rows * width, weight_product = ah->taps * weight_row;
            for (int64_t h = 0; h < ah->dest; h++) {
                static const int plane_of[7] = {0, 1, 2, 3, 0, 1, 3};
                int64_t tap_begin, tap_end;
                conv_taps(ah, h, &tap_begin, &tap_end);
                const REAL *d = planes + (ah->origin + h + tap_begin) * row;
                for (int64_t p = 0; p < products; p++) {
                    const int64_t q = taps & 1 ? p : p + 4;
                    sum_columns_table[width](sums + p * sum, d + plane_of[q < 7 ? q : 4 + (q - 4) % 3] * plane,
                                             weight + p * weight_product + tap_begin * weight_row,
                                             (tap_end - tap_begin) * c->rows);
                }
                REAL *wait = waiting + h * (taps + 1) * cell + column * IMAGES, *to = dx + h * line + column;
                add_to_cells(done, wait, sums, sum, cell, taps, width);
                for (int64_t i = 0; i < 2; i++) scatter_cell(to, done + i * sum, c, at + i, images, width);
                for (int64_t i = 0; last && i < taps - 1; i++)
                    scatter_cell(to, wait + i * cell, c, at + 2 + i, images, width);
            }
            weight += products * weight_product;
        }
    }
}

NN_DEFINE_KERNEL(conv2d_pairs_data) {
    const nn_conv2d_args *c = args;
    for (int64_t piece = begin; piece < end; piece++) {
        const int64_t n_end = nn_min((piece + 1) * c->piece_images, c->n);
        for (int64_t n = piece * c->piece_images; n < n_end; n += IMAGES) {
            const int64_t images = nn_min(IMAGES, n_end - n), height = c->axis[0].dest;
            paired_images(c, (REAL *)c->partial + piece * c->partial_size, n, images);
            nn_conv2d_written(c, n * height, (n + images) * height);
        }
    }
}

#else
NN_DEFINE_KERNEL(conv2d_pairs_data) { (void)args, (void)begin, (void)end; }
#endif
