/*
 * mse: squared error. begin and end count elements.
 *
 *     forward   partial = sum of (x - target)^2 over the piece
 *     backward  dx = (x - target) * scale
 */
#include "template.h"

#include "loss.h"

enum { CHAINS = 4 }; /* sums side by side, to cover the latency of an addition */

NN_DEFINE_KERNEL(mse_forward) {
    const nn_mse_args *a = args;
    const REAL *x = a->x, *target = a->target;
    vec sum[CHAINS] = {{0}};
    int64_t i = begin;
    for (; i + CHAINS * VL <= end; i += CHAINS * VL) {
        NN_UNROLL(4) for (int c = 0; c < CHAINS; c++) {
            const vec difference = vload(x + i + c * VL) - vload(target + i + c * VL);
            sum[c] = vfma(difference, difference, sum[c]);
        }
    }
    for (; i < end; i += VL) {
        const int64_t some = nn_min(VL, end - i);
        const vec difference = vload_some(x + i, some) - vload_some(target + i, some);
        sum[0] = vfma(difference, difference, sum[0]);
    }
    a->partial[begin / NN_MSE_PIECE] = vsum((sum[0] + sum[1]) + (sum[2] + sum[3]));
}

NN_DEFINE_KERNEL(mse_backward) {
    const nn_mse_args *a = args;
    const REAL *x = a->x, *target = a->target;
    REAL *dx = a->dx;
    const vec scale = vset((REAL)a->scale);
    int64_t i = begin;
    for (; i + VL <= end; i += VL) vstore(dx + i, (vload(x + i) - vload(target + i)) * scale);
    if (i < end) {
        const int64_t rest = end - i;
        vstore_some(dx + i, (vload_some(x + i, rest) - vload_some(target + i, rest)) * scale, rest);
    }
}
