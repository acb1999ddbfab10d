/*
 * conv2d_pack: from the weight as PyTorch stores it to panels that tiles read in order, and back.
 *
 *     packed [group][panel of columns][kernel row][kernel column][row][column of the panel]
 *
 * Panels are whole vectors: lanes beyond the last column are zero.
 */
#include "template.h"

#include "conv2d_panels.h"

/* The weight's element of the group's first column, first row, at a tap. */
static inline int64_t weight_at(const nn_conv2d_args *c, int64_t group, int64_t tap_h, int64_t tap_w) {
    const nn_conv_axis *h = &c->axis[0], *w = &c->axis[1];
    return group * c->group_stride + (h->kernel + tap_h * h->kernel_step) * c->kernel_width + w->kernel +
           tap_w * w->kernel_step;
}

/* packed = weight. begin and end count (group, kernel row). */
NN_DEFINE_KERNEL(conv2d_pack) {
    const nn_conv2d_args *c = args;
    const int64_t taps_h = c->axis[0].taps, taps_w = c->axis[1].taps;
    const int64_t group_size = conv_vecs(c->columns) * VL * taps_h * taps_w * c->rows;
    for (int64_t unit = begin; unit < end; unit++) {
        const int64_t group = unit / taps_h, tap_h = unit % taps_h;
        REAL *panel = (REAL *)c->packed + group * group_size;
        int64_t width;
        for (int64_t column = 0; column < c->columns; column += width) {
            width = conv_panel_vecs(c->columns - column) * VL;
            const int64_t columns = nn_min(width, c->columns - column);
            REAL *out = panel + tap_h * taps_w * c->rows * width;
            for (int64_t tap_w = 0; tap_w < taps_w; tap_w++) {
                const REAL *in = (const REAL *)c->weight + weight_at(c, group, tap_h, tap_w) +
                                 column * c->column_stride;
                for (int64_t row = 0; row < c->rows; row++, in += c->row_stride, out += width) {
                    for (int64_t j = 0; j < columns; j++) out[j] = in[j * c->column_stride];
                    for (int64_t j = columns; j < width; j++) out[j] = 0;
                }
            }
            panel += taps_h * taps_w * c->rows * width;
        }
    }
}

/*
 * dweight += the pieces' partial sums, dbias likewise: folded in order of the pieces. begin and end count
 * (group, kernel row); the bias goes with a group's first.
 */
NN_DEFINE_KERNEL(conv2d_fold) {
    const nn_conv2d_args *c = args;
    const int64_t taps_h = c->axis[0].taps, taps_w = c->axis[1].taps;
    const int64_t padded = conv_vecs(c->columns) * VL, group_size = padded * taps_h * taps_w * c->rows;
    const int64_t pieces = (c->n + c->piece_images - 1) / c->piece_images;
    for (int64_t unit = begin; unit < end; unit++) {
        const int64_t group = unit / taps_h, tap_h = unit % taps_h;
        if (c->dbias && tap_h == 0) {
            const REAL *in = (const REAL *)c->partial + c->groups * group_size + group * padded;
            REAL *dbias = (REAL *)c->dbias + group * c->columns;
            for (int64_t j = 0; j < c->columns; j++) {
                REAL sum = 0;
                for (int64_t p = 0; p < pieces; p++) sum += in[p * c->partial_size + j];
                dbias[j] += sum;
            }
        }
        if (!c->dweight) continue;
        const REAL *panel = (const REAL *)c->partial + group * group_size;
        int64_t width;
        for (int64_t column = 0; column < c->columns; column += width) {
            width = conv_panel_vecs(c->columns - column) * VL;
            const int64_t columns = nn_min(width, c->columns - column);
            const REAL *in = panel + tap_h * taps_w * c->rows * width;
            for (int64_t tap_w = 0; tap_w < taps_w; tap_w++) {
                REAL *out = (REAL *)c->dweight + weight_at(c, group, tap_h, tap_w) + column * c->column_stride;
                for (int64_t row = 0; row < c->rows; row++, in += width, out += c->row_stride) {
                    REAL sum[CONV_MAX_VECS * VL] = {0};
                    for (int64_t p = 0; p < pieces; p++)
                        for (int64_t j = 0; j < width; j += VL)
                            vstore(sum + j, vload(sum + j) + vload(in + p * c->partial_size + j));
                    for (int64_t j = 0; j < columns; j++) out[j * c->column_stride] += sum[j];
                }
            }
            panel += taps_h * taps_w * c->rows * width;
        }
    }
}
