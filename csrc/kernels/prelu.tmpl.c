/*
 * prelu: y = x where x > 0, else weight x; and its backward. begin and end count rows of the matrix of prelu.h, of
 * backward those of one piece.
 *
 *     dx = dy where x > 0, else weight dy         partial = column sums of x dy where not x > 0
 */
#include "template.h"

#include "prelu.h"

/* Elements of a vector at (row, column): fewer at the end of a row, and of all. */
NN_INLINE int64_t lanes_at(const nn_prelu_args *a, int64_t row, int64_t column) {
    return nn_min(nn_min(VL, a->width - column), a->count - row * a->width - column);
}

NN_INLINE vec weight_at(const nn_prelu_args *a, int64_t column) {
    const REAL *weight = a->weight;
    return a->one ? vset(weight[0]) : load_lanes(weight + column, nn_min(VL, a->width - column));
}

NN_DEFINE_KERNEL(prelu_forward) {
    const nn_prelu_args *a = args;
    for (int64_t row = begin; row < end; row++)
        for (int64_t column = 0, lanes; column < a->width && (lanes = lanes_at(a, row, column)) > 0; column += VL) {
            const int64_t at = row * a->width + column;
            const vec x = load_lanes((const REAL *)a->x + at, lanes);
            store_lanes((REAL *)a->y + at, vselect(x > vset(0), x, weight_at(a, column) * x), lanes);
        }
}

NN_DEFINE_KERNEL(prelu_backward) {
    const nn_prelu_args *a = args;
    for (int64_t column = 0; column < a->width; column += VL) {
        const vec weight = weight_at(a, column);
        vec sum = vset(0);
        for (int64_t row = begin, lanes; row < end && (lanes = lanes_at(a, row, column)) > 0; row++) {
            const int64_t at = row * a->width + column;
            const vec x = load_lanes((const REAL *)a->x + at, lanes), dy = load_lanes((const REAL *)a->dy + at, lanes);
            const ivec right = x > vset(0);
            sum = vfma(vselect(right, vset(0), x), dy, sum);
            if (a->dx) store_lanes((REAL *)a->dx + at, vselect(right, dy, weight * dy), lanes);
        }
        if (!a->partial) continue;
        double *partial = a->partial + begin / a->rows_a_piece * a->width + column;
        for (int64_t i = 0; i < nn_min(VL, a->width - column); i++) partial[i] = (double)sum[i];
    }
}
