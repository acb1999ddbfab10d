/*
 * conv2d_pairs_pack: what pairs of elements are multiplied with, see conv2d_pairs.h. begin and end count kernel rows.
 *
 *     forward        packed [panel of columns][products of both elements of a pair, then the others]: there
 *                           [kernel row][row][product][column of the panel], panels as the direct sum's
 *     backward_data  packed [panel of columns][product][kernel row][row][column of the panel]
 */
#include "template.h"

#if NN_BITS == 32 /* never chosen for float64, see nn_conv2d_is_paired */
#include "conv2d_panels.h"

/* out [product] = those of a row of taps, `step` apart. */
static void products_of_taps(REAL *out, int64_t step, const REAL *w, int64_t taps) {
    int64_t tap = 0;
    if (taps & 1) {
        const REAL even = w[0] + w[2];
        out[0] = w[0];
        out[step] = R(0.5) * (even + w[1]);
        out[2 * step] = R(0.5) * (even - w[1]);
        out[3 * step] = w[2];
        tap = 3, out += 4 * step;
    }
    for (; tap < taps; tap += 2, out += 3 * step) {
        out[0] = w[tap];
        out[step] = w[tap] + w[tap + 1];
        out[2 * step] = w[tap + 1];
    }
}

/* Of the forward pass: products that go into both elements of a pair, then the others. */
static void pack_forward(const nn_conv2d_args *c, int64_t begin, int64_t end) {
    const nn_conv_axis *ah = &c->axis[0];
    const int64_t taps = c->axis[1].taps, products = nn_conv_products(taps), both = taps == 5 ? 3 : 2;
    static const int place[7] = {0, 0, 1, 1, 2, 2, 3};
    static const bool in_both[7] = {false, true, true, false, false, true, false};
    REAL *panel = c->packed;
    int64_t width;
    for (int64_t column = 0; column < c->columns; column += width) {
        width = conv_panel_vecs(c->columns - column) * VL;
        REAL *others = panel + both * ah->taps * c->rows * width;
        for (int64_t k = begin * c->rows; k < end * c->rows; k++) {
            const REAL *in = (const REAL *)c->weight + (k / c->rows) * c->kernel_width + k % c->rows * c->row_stride;
            for (int64_t j = 0; j < width; j++) {
                REAL out[7] = {0};
                if (column + j < c->columns) products_of_taps(out, 1, in + (column + j) * c->column_stride, taps);
                for (int64_t p = 0; p < products; p++)
                    *(in_both[p] ? panel + (both * k + place[p]) * width + j
                                 : others + ((products - both) * k + place[p]) * width + j) = out[p];
            }
        }
        panel += products * ah->taps * c->rows * width;
    }
}

/* Of backward_data. */
static void pack_data(const nn_conv2d_args *c, int64_t begin, int64_t end) {
    const nn_conv_axis *ah = &c->axis[0];
    const int64_t taps = c->axis[1].taps, products = nn_conv_products(taps);
    REAL *panel = c->packed;
    int64_t width;
    for (int64_t column = 0; column < c->columns; column += width) {
        width = nn_min(6, c->columns - column);
        const int64_t product = ah->taps * c->rows * width;
        for (int64_t h = begin; h < end; h++) {
            const REAL *in = (const REAL *)c->weight + (ah->kernel + h * ah->kernel_step) * c->kernel_width;
            for (int64_t row = 0; row < c->rows; row++)
                for (int64_t j = 0; j < width; j++)
                    products_of_taps(panel + (h * c->rows + row) * width + j, product,
                                     in + row * c->row_stride + (column + j) * c->column_stride, taps);
        }
        panel += products * product;
    }
}

NN_DEFINE_KERNEL(conv2d_pairs_pack) {
    const nn_conv2d_args *c = args;
    if (c->axis[0].kernel_step > 0) pack_forward(c, begin, end);
    else pack_data(c, begin, end);
}

#else
NN_DEFINE_KERNEL(conv2d_pairs_pack) { (void)args, (void)begin, (void)end; }
#endif
