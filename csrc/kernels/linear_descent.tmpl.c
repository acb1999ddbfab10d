/*
 * linear_descent: the weight's gradient of a small batch and the plain step down it, in one pass over the weight.
 *
 *     weight (out, in) -= rate (dy^T (out, n) x (n, in));  dbias (out) = column sums of dy
 *
 * begin and end count rows of weight. The gradient is in registers alone, but rounded as where it is stored, so that
 * the bits are those of linear_backward_weight_rows followed by sgd_update.
 */
#include "template.h"

#include "linear.h"

enum { ABREAST = 4 };

/* `width` vectors of a row, of the last one `some` elements. */
NN_INLINE void descend(REAL *row, const REAL *dy, const REAL *x, const nn_linear_args *l, int64_t n, vec rate, int width,
                       int64_t some) {
    vec sum[ABREAST];
    NN_UNROLL(4) for (int v = 0; v < width; v++) sum[v] = vset(0);
    for (int64_t s = 0; s < n; s++) {
        const vec d = vset(dy[s * l->out]);
        NN_UNROLL(4) for (int v = 0; v < width; v++) sum[v] = vfma(d, load_lanes(x + s * l->in + v * VL, some), sum[v]);
    }
    NN_UNROLL(4) for (int v = 0; v < width; v++)
        store_lanes(row + v * VL, vfma(-rate, sum[v], load_lanes(row + v * VL, some)), some);
}

NN_INLINE void descend_rows(const nn_linear_args *l, int64_t begin, int64_t end, int64_t n) {
    const vec rate = vset((REAL)l->rate);
    const REAL *x = l->x;
    for (int64_t i = begin; i < end; i++) {
        const REAL *dy = (const REAL *)l->dy + i;
        REAL *row = (REAL *)l->descent + i * l->in;
        if (l->dbias) {
            REAL sum = 0;
            for (int64_t s = 0; s < n; s++) sum += dy[s * l->out];
            ((REAL *)l->dbias)[i] = sum;
        }
        int64_t j = 0;
        for (; j + ABREAST * VL <= l->in; j += ABREAST * VL) descend(row + j, dy, x + j, l, n, rate, ABREAST, VL);
        for (; j < l->in; j += VL) descend(row + j, dy, x + j, l, n, rate, 1, nn_min(VL, l->in - j));
    }
}

NN_DEFINE_KERNEL(linear_descent) {
    const nn_linear_args *l = args;
    if (l->n == 1) descend_rows(l, begin, end, 1); /* whose d stays in a register */
    else descend_rows(l, begin, end, l->n);
}
