/*
 * conv2d_winograd_pack: G weight G^T, in panels that tiles read in order. begin and end count rows.
 *
 *     packed [position][panel of columns][row][column of the panel]
 *
 * Panels are whole vectors: lanes beyond the last column are zero.
 */
#include "template.h"

#if NN_BITS == 32 /* never chosen for float64, see nn_conv2d_is_winograd */
#include "conv2d_winograd.h"

NN_DEFINE_KERNEL(conv2d_winograd_pack) {
    const nn_conv2d_args *c = args;
    const nn_conv_axis *ah = &c->axis[0], *aw = &c->axis[1];
    const int64_t position = c->rows * conv_vecs(c->columns) * VL;
    int64_t width;
    for (int64_t panel = 0; panel < c->columns; panel += width) {
        width = conv_panel_vecs(c->columns - panel) * VL;
        for (int64_t row = begin; row < end; row++) {
            REAL *out = (REAL *)c->packed + panel * c->rows + row * width;
            for (int64_t column = panel; column < panel + width; column += VL, out += VL) {
                REAL tap[3][3][VL] = {{{0}}};
                const REAL *in = (const REAL *)c->weight + row * c->row_stride + column * c->column_stride;
                for (int64_t lane = 0; lane < nn_min(VL, c->columns - column); lane++, in += c->column_stride) {
                    for (int i = 0; i < 3; i++)
                        for (int j = 0; j < 3; j++)
                            tap[i][j][lane] = in[(ah->kernel + i * ah->kernel_step) * c->kernel_width + aw->kernel +
                                                 j * aw->kernel_step];
                }
                NN_UNROLL(4) for (int i = 0; i < 4; i++) {
                    vec t[3];
                    NN_UNROLL(3) for (int j = 0; j < 3; j++)
                        t[j] = weight_row(i, vload(tap[0][j]), vload(tap[1][j]), vload(tap[2][j]));
                    NN_UNROLL(4) for (int j = 0; j < 4; j++)
                        vstore(out + (4 * i + j) * position, weight_row(j, t[0], t[1], t[2]));
                }
            }
        }
    }
}

#else
NN_DEFINE_KERNEL(conv2d_winograd_pack) { (void)args, (void)begin, (void)end; }
#endif
