/*
 * conv2d_pairs_pack: what pairs of elements are multiplied with, see conv2d_pairs.h. begin and end count kernel rows.
 *
 *     forward        packed [panel of columns][kernel row][row][product][column of the panel]
 *     backward_data  packed [panel of columns][product][kernel row][row][column of the panel]
 */
#include "template.h"

#if NN_BITS == 32 && NN_HAVE_FMA /* never chosen elsewhere, see csrc/ops/conv2d_pairs.c */
#include "conv2d_panels.h"

/* out [product] = those of a row of taps, `step` apart; `sign` goes to those whose cells come with the other one. */
static void products_of_taps(REAL *out, int64_t step, const REAL *w, int64_t taps, REAL sign) {
    int64_t tap = 0;
    if (taps & 1) {
        const REAL even = w[0] + w[2];
        out[0] = w[0];
        out[step] = R(0.5) * (even + w[1]);
        out[2 * step] = R(0.5) * (even - w[1]);
        out[3 * step] = sign * w[2];
        tap = 3, out += 4 * step;
    }
    for (; tap < taps; tap += 2, out += 3 * step) {
        out[0] = sign * w[tap];
        out[step] = w[tap] + w[tap + 1];
        out[2 * step] = w[tap + 1];
    }
}

NN_DEFINE_KERNEL(conv2d_pairs_pack) {
    const nn_conv2d_args *c = args;
    const int64_t taps = c->axis[1].taps, products = nn_conv_products(taps);
    /* Vectors of columns forward, single ones in backward_data, which takes the taps from the last to the first. */
    const bool vectors = c->axis[0].kernel_step > 0;
    const int64_t most = vectors ? PAIR_COLUMNS : PAIR_DATA_COLUMNS;
    REAL *panel = c->packed;
    int64_t width;
    for (int64_t column = 0; column < c->columns; column += width) {
        const int64_t columns = nn_min(most, c->columns - column);
        width = vectors ? most : columns;
        const int64_t length = c->axis[0].taps * c->rows;
        const int64_t product = vectors ? width : length * width, step = vectors ? products * width : width;
        for (int64_t h = begin; h < end; h++) {
            const REAL *in = (const REAL *)c->weight + column * c->column_stride +
                             (c->axis[0].kernel + h * c->axis[0].kernel_step) * c->kernel_width;
            for (int64_t row = 0; row < c->rows; row++, in += c->row_stride) {
                REAL *out = panel + (h * c->rows + row) * step;
                for (int64_t j = 0; j < columns; j++)
                    products_of_taps(out + j, product, in + j * c->column_stride, taps, vectors ? -1 : 1);
                for (int64_t j = columns; j < width; j++)
                    for (int64_t p = 0; p < products; p++) out[p * product + j] = 0;
            }
        }
        panel += products * length * width;
    }
}

#else
NN_DEFINE_KERNEL(conv2d_pairs_pack) { (void)args, (void)begin, (void)end; }
#endif
